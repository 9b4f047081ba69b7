//! Servers that are spoken to by TLS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use utm_dispatcher::config::Config;
use utm_dispatcher::telemetry::metrics::Reason;

use crate::harness::program::Program;
use crate::harness::{Client, config, proxy};

/// A shop that is known by a certificate, and what its clients said.
struct Shop {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Hello>>>,
}

/// The name that a client asked for, and whether it had been there before.
type Hello = (Option<String>, Option<HandshakeKind>);

/// An authority, written to a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = folder.join(name);
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// A shop whose certificate has these names.
    async fn shop(&self, names: &[&str]) -> Shop {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<_>>>::default();
        let shop = Shop { address, seen: Arc::clone(&seen) };
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                    let session = tls.get_ref().1;
                    let name = session.server_name().map(str::to_owned);
                    seen.lock().unwrap().push((name, session.handshake_kind()));
                    let mut buffer = vec![0; 16 << 10];
                    while tls.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret";
                        tls.write_all(answer.as_bytes()).await.unwrap();
                        tls.flush().await.unwrap();
                    }
                });
            }
        });
        shop
    }
}

fn before(shop: &Shop, ca: &Path, server_name: Option<&str>) -> Config {
    let mut config = config(&[shop.address]);
    config.proxy.workers = 1;
    let upstream = &mut config.upstreams[0];
    upstream.servers[0].https = true;
    upstream.tls.ca = Some(ca.to_owned());
    upstream.tls.server_name = server_name.map(str::to_owned);
    config
}

#[tokio::test]
async fn a_server_is_known_by_its_certificate_and_sessions_are_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ca.pem");
    let shop = authority.shop(&["shop.internal"]).await;
    let mut config = before(&shop, &authority.file, Some("shop.internal"));
    // Each request comes on a connection of its own.
    config.upstreams[0].keep_alive = std::time::Duration::ZERO;
    let proxy = proxy(config);
    for _ in 0..3 {
        let answer = proxy.get("/").await;
        assert_eq!((answer.status(), answer.body.as_slice()), (200, &b"secret"[..]));
    }
    let seen = shop.seen.lock().unwrap().clone();
    assert!(seen.iter().all(|(name, _)| name.as_deref() == Some("shop.internal")), "{seen:?}");
    assert!(seen[1..].iter().any(|(_, kind)| *kind == Some(HandshakeKind::Resumed)), "{seen:?}");
}

#[tokio::test]
async fn a_server_by_address_is_known_by_its_address() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ca.pem");
    let shop = authority.shop(&["127.0.0.1"]).await;
    let proxy = proxy(before(&shop, &authority.file, None));
    let mut client = proxy.connect().await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.status(), 200);
    }
    assert_eq!(shop.seen.lock().unwrap().len(), 1, "the connection is used again");
}

#[tokio::test]
async fn a_server_that_cannot_prove_who_it_is_gets_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) =
        (Authority::new(folder.path(), "ours.pem"), Authority::new(folder.path(), "theirs.pem"));
    let shop = ours.shop(&["shop.internal"]).await;
    for (ca, name) in [(&theirs, "shop.internal"), (&ours, "other.internal")] {
        let proxy = proxy(before(&shop, &ca.file, Some(name)));
        assert_eq!(proxy.get("/").await.status(), 502);
        assert_eq!(proxy.metrics.upstream_errors.get_or_create(&Reason { reason: "tls" }).get(), 1);
    }
    assert!(shop.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_reload_believes_the_authorities_that_a_file_has_now_and_keeps_connections_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(folder.path(), "ca.pem"), Authority::new(folder.path(), "new.pem"));
    let (file, both) = (old.file.clone(), format!("{}{}", new.issuer.pem(), old.issuer.pem()));
    let shop = old.shop(&["127.0.0.1"]).await;
    let mut program = Program::new(shop.address, "postgres://127.0.0.1:1/none", folder.path());
    program.edit(|text| {
        let text = text.replace("workers = 2", "workers = 1");
        let text = text.replace(&format!("http://{}", shop.address), &format!("https://{}", shop.address));
        text.replace("trust_events = true", &format!("tls = {{ ca = \"{}\" }}", file.display()))
    });
    program.start().await;
    let mut client = Client::connect(program.proxy).await;
    assert_eq!(client.get("/").await.status(), 200);
    let said = "the certificate authorities of an upstream changed";
    // The same ones, another one beside them, the same in another order, and another one in their place.
    let rounds = [
        (old.issuer.pem(), 0, 200, 1),
        (both.clone(), 1, 200, 2),
        (format!("{}{}", old.issuer.pem(), new.issuer.pem()), 1, 200, 2),
        (new.issuer.pem(), 2, 502, 2),
    ];
    for (pem, changes, status, connections) in rounds {
        std::fs::write(&file, pem).unwrap();
        program.reload().await;
        assert_eq!(client.get("/").await.status(), status);
        assert_eq!(program.log().matches(said).count(), changes, "{}", program.log());
        assert_eq!(shop.seen.lock().unwrap().len(), connections);
    }
}

#[tokio::test]
async fn a_server_that_takes_connections_and_says_nothing_is_given_up_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ca.pem");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shop = Shop { address: silent.local_addr().unwrap(), seen: Arc::default() };
    let mut config = before(&shop, &authority.file, None);
    config.proxy.timeouts.connect = std::time::Duration::from_millis(300);
    assert_eq!(proxy(config).get("/").await.status(), 504);
}

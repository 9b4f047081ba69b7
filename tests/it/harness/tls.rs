//! Certificates made for a test, and clients that believe in them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use utm_dispatcher::config::{Config, Tls, TlsVersion};

/// Body of a client's request.
pub(crate) type Body = BoxBody<Bytes, hyper::Error>;

/// Who vouches for the certificates of a test.
#[derive(Debug)]
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    files: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Authority { issuer, files: tempfile::tempdir().unwrap() }
    }

    /// Where a file of this name is, or will be.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Writes a new certificate for these names, and its key, over what was there; answers the certificate.
    pub(crate) fn write(&self, file: &str, names: &[&str]) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        // As certbot does it: what is read is the old file or the new one, never half of it.
        let replace = |name: String, text: String| {
            std::fs::write(self.path("new"), text).unwrap();
            std::fs::rename(self.path("new"), self.path(&name)).unwrap();
        };
        replace(format!("{file}.key"), key.serialize_pem());
        replace(format!("{file}.pem"), certificate.pem());
        certificate.der().clone()
    }

    /// `[[proxy.tls]]` of a certificate that was written.
    pub(crate) fn table(&self, file: &str) -> Tls {
        Tls {
            certificate: self.path(&format!("{file}.pem")),
            key: self.path(&format!("{file}.key")),
            names: Vec::new(),
            min_version: TlsVersion::V1_2,
        }
    }

    /// The configuration of a proxy that takes TLS only, for `shop.test` and 127.0.0.1.
    pub(crate) fn config(&self, upstream: SocketAddr) -> Config {
        self.write("shop", &["shop.test", "127.0.0.1"]);
        let mut config = super::config(&[upstream]);
        config.proxy.tls_listen = std::mem::take(&mut config.proxy.listen);
        config.proxy.tls = vec![self.table("shop")];
        config
    }

    /// What a client believes, and which application protocols it offers.
    pub(crate) fn client(
        &self,
        protocols: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// A connection to `name`, which offers these application protocols.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        name: &str,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        encrypt(address, name, self.client(protocols, rustls::ALL_VERSIONS)).await
    }

    /// An HTTP/1.1 client of `shop.test`.
    pub(crate) async fn http1(&self, address: SocketAddr) -> http1::SendRequest<Body> {
        let stream = self.connect(address, "shop.test", &["http/1.1"]).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// An HTTP/2 client of `shop.test`.
    pub(crate) async fn http2(&self, address: SocketAddr) -> http2::SendRequest<Body> {
        let stream = self.connect(address, "shop.test", &["h2", "http/1.1"]).await.unwrap();
        http2_on(stream).await.unwrap()
    }
}

/// An HTTP/2 client on a connection that has agreed on it.
pub(crate) async fn http2_on(stream: TlsStream<TcpStream>) -> hyper::Result<http2::SendRequest<Body>> {
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// A handshake.
pub(crate) async fn encrypt(
    address: SocketAddr,
    name: &str,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    TlsConnector::from(config).connect(ServerName::try_from(name.to_owned()).unwrap(), tcp).await
}

//! TLS: which certificate a connection gets, and new certificates while connections go on.
//!
//! Each `[[proxy.tls]]` is a `ServerConfig` of its own, chosen by the name that the client asks for before the handshake
//! goes on; so each has its own least version. All share the keys of session tickets, which outlive a new certificate.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{Acceptor, ProducesTickets};
use rustls::sign::SingleCertAndKey;
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certificates::{Certificate, CertificateError, Ending};
use crate::config::{Tls, TlsVersion};
use crate::telemetry::metrics::Metrics;

/// How often files are looked at for a change.
const LOOK_AFTER: Duration = Duration::from_secs(2);

/// ALPN names (RFC 7301), the preferred one first.
const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// TLS cannot be set up with it.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// The certificates in use; they can be replaced while connections are taken.
pub struct Certificates {
    current: ArcSwap<Table>,
    wanted: Mutex<Wanted>,
    provider: Arc<CryptoProvider>,
    tickets: Arc<dyn ProducesTickets>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

/// What is to be in use, and how its files looked when they were last read.
#[derive(Default)]
struct Wanted {
    tls: Vec<Tls>,
    seen: Vec<Option<Stamp>>,
}

/// What changes with a file's content.
type Stamp = (SystemTime, u64, u64);

/// In the order of the configuration; the first is for all names that none is for.
#[derive(Default)]
struct Table(Vec<Choice>);

struct Choice {
    names: Vec<String>,
    certificate: Certificate,
    file: PathBuf,
    /// What the log has said of its end: nothing, that it is near, that it is over.
    told: AtomicU8,
    config: Arc<ServerConfig>,
}

impl Choice {
    /// Says, once for each, that the certificate's end is near, and that it is over.
    fn warn_of_end(&self) {
        let ending = self.certificate.ending(SystemTime::now());
        let stage = match ending {
            None => 0,
            Some(Ending::In(_)) => 1,
            Some(Ending::Past) => 2,
        };
        if self.told.fetch_max(stage, Ordering::Relaxed) >= stage {
            return;
        }
        let file = self.file.display();
        match ending {
            Some(Ending::Past) => tracing::warn!(%file, "a TLS certificate has expired; browsers refuse it"),
            Some(Ending::In(left)) => {
                tracing::warn!(%file, hours = left.as_secs() / 3600, "a TLS certificate expires soon");
            }
            None => {}
        }
    }
}

impl Certificates {
    /// Reads all files.
    ///
    /// # Errors
    ///
    /// What is wrong with the first one that cannot be used.
    pub fn load(tls: &[Tls]) -> Result<Arc<Self>, TlsError> {
        let certificates = Certificates {
            current: ArcSwap::default(),
            wanted: Mutex::default(),
            provider: Arc::new(ring::default_provider()),
            tickets: ring::Ticketer::new().map_err(TlsError::Setup)?,
        };
        certificates.replace(tls)?;
        Ok(Arc::new(certificates))
    }

    /// Reads the files of `tls` and uses them from now on; connections that are open go on with what they have.
    ///
    /// # Errors
    ///
    /// As [`Certificates::load`]; then what was in use stays.
    pub fn replace(&self, tls: &[Tls]) -> Result<(), TlsError> {
        let seen = stamps(tls);
        let table = self.table(tls);
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        match table {
            Ok(table) => {
                *wanted = Wanted { tls: tls.to_vec(), seen };
                self.current.store(Arc::new(table));
                Ok(())
            }
            Err(error) => {
                // Not read again before they change.
                if wanted.tls == tls {
                    wanted.seen = seen;
                }
                Err(error)
            }
        }
    }

    fn table(&self, tls: &[Tls]) -> Result<Table, TlsError> {
        tls.iter().map(|tls| self.choice(tls)).collect::<Result<_, _>>().map(Table)
    }

    fn choice(&self, tls: &Tls) -> Result<Choice, TlsError> {
        let certificate = Certificate::load(&tls.certificate, &tls.key)?;
        let versions: &[&SupportedProtocolVersion] = match tls.min_version {
            TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12],
            TlsVersion::V1_3 => &[&version::TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(versions)
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&certificate.certified))));
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        config.ticketer = Arc::clone(&self.tickets);
        let names = if tls.names.is_empty() { certificate.names.clone() } else { tls.names.clone() };
        let (file, told, config) = (tls.certificate.clone(), AtomicU8::new(0), Arc::new(config));
        let choice = Choice { names, certificate, file, told, config };
        choice.warn_of_end();
        Ok(choice)
    }

    /// Reads the files again whenever one changes, for ever.
    pub async fn watch(self: Arc<Self>, metrics: Arc<Metrics>) {
        self.tell_end(&metrics);
        let mut interval = tokio::time::interval(LOOK_AFTER);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            // A handful of calls to `stat`; a file system that hangs holds up a blocking thread, nothing else.
            let own = Arc::clone(&self);
            let Ok(outcome) = tokio::task::spawn_blocking(move || own.replace_changed()).await else {
                continue;
            };
            if let Some(outcome) = &outcome {
                metrics.state.certificates_refused.store(outcome.is_err(), Ordering::Relaxed);
            }
            match outcome {
                None => {}
                Some(Ok(())) => {
                    tracing::info!("changed TLS certificates were read; new connections get them")
                }
                Some(Err(error)) => tracing::error!(
                    %error,
                    "changed TLS certificates cannot be used; those read before stay in use"
                ),
            }
            self.tell_end(&metrics);
        }
    }

    fn replace_changed(&self) -> Option<Result<(), TlsError>> {
        let tls = {
            let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            (stamps(&wanted.tls) != wanted.seen).then(|| wanted.tls.clone())
        }?;
        Some(self.replace(&tls))
    }

    fn tell_end(&self, metrics: &Metrics) {
        let table = self.current.load();
        table.0.iter().for_each(Choice::warn_of_end);
        let first = table.0.iter().filter_map(|choice| choice.certificate.not_after).min();
        let seconds = first.and_then(|end| end.duration_since(SystemTime::UNIX_EPOCH).ok());
        let seconds = seconds.and_then(|seconds| i64::try_from(seconds.as_secs()).ok());
        metrics.tls_certificate_end_unix_seconds.set(seconds.unwrap_or(0));
    }

    /// What is used for a client that asks for `name`; none when there is no certificate at all.
    fn choose(&self, name: Option<&str>) -> Option<Arc<ServerConfig>> {
        let table = self.current.load();
        let named = name.and_then(|name| {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let exact = |choice: &&Choice| choice.names.contains(&name);
            let wild = |choice: &&Choice| choice.names.iter().any(|pattern| covers(pattern, &name));
            table.0.iter().find(exact).or_else(|| table.0.iter().find(wild))
        });
        named.or_else(|| table.0.first()).map(|choice| Arc::clone(&choice.config))
    }

    /// Encrypts a connection.
    ///
    /// # Errors
    ///
    /// When the client goes away, or does not speak TLS as we do.
    pub(super) async fn handshake(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
        let config = self.choose(start.client_hello().server_name());
        let config = config.ok_or_else(|| io::Error::other("there is no certificate"))?;
        start.into_stream(config).await
    }
}

/// Whether client and we have agreed on HTTP/2.
pub(super) fn speaks_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP_2)
}

/// Whether `*.suffix` stands for `name`: it stands for one label (RFC 6125 section 6.4.3).
fn covers(pattern: &str, name: &str) -> bool {
    let parent = name.split_once('.').map(|(_, parent)| parent);
    pattern.strip_prefix("*.").is_some_and(|suffix| parent == Some(suffix))
}

fn stamps(tls: &[Tls]) -> Vec<Option<Stamp>> {
    let stamp = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
    };
    tls.iter().flat_map(|tls| [stamp(&tls.certificate), stamp(&tls.key)]).collect()
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        assert!(covers("*.shop.test", "www.shop.test"));
        for name in ["shop.test", "a.www.shop.test", "wwwshop.test", "test", ""] {
            assert!(!covers("*.shop.test", name), "{name}");
        }
        assert!(!covers("www.shop.test", "www.shop.test"));
    }
}

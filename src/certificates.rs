//! TLS certificates as files: a chain and its key in PEM, what names it is for and until when.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// A certificate with its chain and key.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Chain and key, as the handshake wants them.
    pub certified: Arc<CertifiedKey>,
    /// Host names that it is for, lower case; `*.suffix` among them.
    pub names: Vec<String>,
    /// Until when it is good; none when it does not tell.
    pub not_after: Option<SystemTime>,
}

/// Why there is no certificate: a sentence, and which of the two files it is about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The chain.
    #[error("{0}")]
    Chain(String),
    /// The key.
    #[error("{0}")]
    Key(String),
}

/// A certificate that ends sooner is worth a warning.
const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How near a certificate's end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It is over: browsers refuse the certificate.
    Past,
    /// Less than a week.
    In(Duration),
}

impl Certificate {
    /// Whether it has ended or soon will.
    pub fn ending(&self, now: SystemTime) -> Option<Ending> {
        match self.not_after?.duration_since(now) {
            Err(_) => Some(Ending::Past),
            Ok(left) if left < SOON => Some(Ending::In(left)),
            Ok(_) => None,
        }
    }

    /// Reads both files.
    ///
    /// # Errors
    ///
    /// When one cannot be read or holds something else, or when they do not belong together.
    pub fn load(chain_file: &Path, key_file: &Path) -> Result<Self, CertificateError> {
        let chain = read_chain(chain_file).map_err(CertificateError::Chain)?;
        // Only what is told of it depends on this; whether it can be used is rustls's to say.
        let first = chain.first().and_then(|first| x509_cert::Certificate::from_der(first).ok());
        let key = PrivateKeyDer::from_pem_file(key_file)
            .map_err(|error| CertificateError::Key(explain(key_file, "private key", &error)))?;
        let certified =
            CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
                Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => CertificateError::Key(format!(
                    "the key in {} does not belong to the certificate in {}",
                    key_file.display(),
                    chain_file.display()
                )),
                error => CertificateError::Key(format!("{} cannot be used: {error}", key_file.display())),
            })?;
        let not_after = first.as_ref().map(|first| first.tbs_certificate.validity.not_after);
        Ok(Certificate {
            certified: Arc::new(certified),
            names: first.as_ref().map(names).unwrap_or_default(),
            not_after: not_after.map(|end| UNIX_EPOCH + end.to_unix_duration()),
        })
    }
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let explain = |error: &pem::Error| explain(file, "certificate", error);
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|error| explain(&error))?.collect();
    match chain.map_err(|error| explain(&error))? {
        chain if chain.is_empty() => Err(explain(&pem::Error::NoItemsFound)),
        chain => Ok(chain),
    }
}

fn explain(file: &Path, what: &str, error: &pem::Error) -> String {
    let file = file.display();
    match error {
        pem::Error::Io(error) => format!("cannot read {file}: {error}"),
        pem::Error::NoItemsFound => format!("there is no {what} in {file} (PEM)"),
        error => format!("{file} is no PEM file: {error}"),
    }
}

fn names(certificate: &x509_cert::Certificate) -> Vec<String> {
    let Ok(Some((_, alternative))) = certificate.tbs_certificate.get::<SubjectAltName>() else {
        return Vec::new();
    };
    let host = |name: GeneralName| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        _ => None,
    };
    alternative.0.into_iter().filter_map(host).collect()
}

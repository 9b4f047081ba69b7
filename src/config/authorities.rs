//! PEM files with certificate authorities.

use std::io;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The authorities in a PEM file; one at least.
///
/// # Errors
///
/// When it cannot be read, has none, or one that is no certificate.
pub fn read(path: &Path) -> io::Result<RootCertStore> {
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let pem = std::fs::read(path)?;
    let mut authorities = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(format!("it is no PEM file: {error}")))?;
        authorities.add(certificate).map_err(|error| wrong(format!("a certificate is wrong: {error}")))?;
    }
    if authorities.is_empty() {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    Ok(authorities)
}

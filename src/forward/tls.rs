//! TLS towards servers: whose certificates are believed, and by which name.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use super::standing::Tls;
use crate::config::{UpstreamServer, UpstreamTls, authorities};

/// Whom the servers of an upstream must be vouched for by.
pub(super) fn authorities(tls: &UpstreamTls) -> io::Result<Arc<RootCertStore>> {
    let authorities = match &tls.ca {
        Some(path) => authorities::read(path).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
        })?,
        None => of_the_system()?,
    };
    Ok(Arc::new(authorities))
}

/// Whether both hold the same ones, in whatever order.
pub(super) fn are_same(one: &RootCertStore, other: &RootCertStore) -> bool {
    let has_all = |one: &RootCertStore, other: &RootCertStore| {
        other.roots.iter().all(|authority| one.roots.contains(authority))
    };
    has_all(one, other) && has_all(other, one)
}

/// For all servers of an upstream. Sessions are kept in it, so that connections after the first are cheap.
pub(super) fn client_config(authorities: &Arc<RootCertStore>) -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(Arc::clone(authorities))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// For one server.
pub(super) fn of_server(
    config: &Arc<ClientConfig>,
    tls: &UpstreamTls,
    server: &UpstreamServer,
) -> io::Result<Tls> {
    let name = tls.server_name.as_deref().map_or(server.host(), |name| name.trim_matches(['[', ']']));
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| io::Error::other(format!("`{name}` cannot be the name in a certificate")))?;
    Ok(Tls { config: Arc::clone(config), name })
}

fn of_the_system() -> io::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut authorities = RootCertStore::empty();
    authorities.add_parsable_certificates(found.certs);
    if authorities.is_empty() {
        let why = "the system has no certificate authorities for https:// servers; install them \
                   (Debian: ca-certificates), or name a file by tls.ca";
        return Err(io::Error::other(why));
    }
    Ok(authorities)
}

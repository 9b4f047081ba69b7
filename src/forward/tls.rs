//! TLS towards servers: whose certificates are believed, and by which name.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use super::standing::Tls;
use crate::config::{UpstreamServer, UpstreamTls, authorities};

/// For all servers of an upstream. Sessions are kept in it, so that connections after the first are cheap.
pub(super) fn client_config(tls: &UpstreamTls) -> io::Result<Arc<ClientConfig>> {
    let authorities = match &tls.ca {
        Some(path) => authorities::read(path).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
        })?,
        None => of_the_system()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(authorities)
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

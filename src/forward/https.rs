//! The way from http to https: the same address, encrypted.

use std::net::SocketAddr;

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};

use super::body::ResponseBody;
use super::head::Authority;
use super::pages::text;
use super::refusal::Refusal;

/// Port of http where none is named.
const HTTP_PORT: u16 = 80;
/// Port of https where none is named.
const HTTPS_PORT: u16 = 443;

/// Sends the client to the same target over https. `local` is where the request came to, `tls_port` where https is taken.
///
/// A client that named no port although ours is another than 80 came through a mapping of ports, which will map the
/// usual port of https as well.
///
/// # Errors
///
/// When it is not known to which host (HTTP/1.0): the answer to give instead, 400.
pub fn redirect(
    head: &Parts,
    authority: &Authority,
    local: SocketAddr,
    tls_port: u16,
) -> Result<Response<ResponseBody>, Refusal> {
    let (host, port) = (authority.host(), authority.port());
    if host.is_empty() {
        return Err(Refusal::Host);
    }
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let target = if target == "*" { "/" } else { target };
    let is_mapped = port.is_none() && local.port() != HTTP_PORT;
    let location = if is_mapped || tls_port == HTTPS_PORT {
        format!("https://{host}{target}")
    } else {
        format!("https://{host}:{tls_port}{target}")
    };
    let location =
        HeaderValue::from_maybe_shared(bytes::Bytes::from(location)).map_err(|_| Refusal::Target)?;
    let is_get = matches!(head.method, Method::GET | Method::HEAD);
    // 308 keeps method and body, which some old clients know nothing of.
    let (status, words) = if is_get {
        (StatusCode::MOVED_PERMANENTLY, "Moved Permanently")
    } else {
        (StatusCode::PERMANENT_REDIRECT, "Permanent Redirect")
    };
    let mut response = text(status, words);
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::super::head;
    use super::*;
    use crate::config::Limits;

    fn location(method: &str, host: &str, target: &str, local: u16, tls_port: u16) -> (u16, String) {
        let request = Request::builder().method(method).uri(target).header("host", host).body(()).unwrap();
        let mut parts = request.into_parts().0;
        let limits = Limits {
            header_bytes: 1 << 16,
            headers: 100,
            uri_bytes: 1 << 15,
            body_bytes: None,
            connections_per_ip: None,
        };
        let authority = head::check(&mut parts, &limits).unwrap();
        let local = SocketAddr::from(([127, 0, 0, 1], local));
        let response = redirect(&parts, &authority, local, tls_port).unwrap();
        (response.status().as_u16(), response.headers()["location"].to_str().unwrap().to_owned())
    }

    #[test]
    fn the_whole_target_is_kept() {
        let target = "/a//b%2F?utm_source=x&&gclid=1";
        assert_eq!(
            location("GET", "shop.test", target, 80, 443),
            (301, format!("https://shop.test{target}"))
        );
        assert_eq!(location("POST", "shop.test", "/", 80, 443).0, 308);
    }

    #[test]
    fn the_port_is_the_one_that_the_client_can_reach() {
        assert_eq!(location("GET", "shop.test:8080", "/", 8080, 8443).1, "https://shop.test:8443/");
        assert_eq!(location("GET", "shop.test", "/", 8080, 8443).1, "https://shop.test/", "mapped from 80");
        assert_eq!(location("GET", "shop.test", "/", 80, 8443).1, "https://shop.test:8443/");
        assert_eq!(location("GET", "[::1]:8080", "/", 8080, 443).1, "https://[::1]/");
    }
}

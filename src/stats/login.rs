//! Signing in by a browser: a token is given once, and a cookie stands for it.
//!
//! The cookie holds what is known of the token (its hash), when it ends, and a MAC of both with a key that this process
//! drew: it is no token, opens nothing but reading, ends with the process, and a token that is revoked takes it along. As
//! reading is all, `SameSite=Lax` is enough: links of mails open.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::{COOKIE, LOCATION, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::Sha256;

use crate::capture::cookie::pairs;
use crate::config::{STATS_COOKIE, Scope};
use crate::dashboard;
use crate::stats::access::Admitted;
use crate::stats::tokens::{self, TokenHash};
use crate::stats::{AppState, Shared};

/// How long it opens anything; a browser that is closed forgets it before.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Greatest form.
const FORM_BYTES: usize = 16 << 10;

/// Bytes of the hash, of the end in seconds, of the MAC.
const HASH: usize = 32;
const END: usize = 8;
const MAC: usize = 32;

/// What makes cookies and knows its own.
pub(crate) struct Logins(Hmac<Sha256>);

impl Logins {
    /// With a new key.
    pub(crate) fn new() -> std::io::Result<Logins> {
        let mut key = [0; 32];
        SysRng.try_fill_bytes(&mut key).map_err(std::io::Error::other)?;
        Hmac::new_from_slice(&key).map(Logins).map_err(std::io::Error::other)
    }

    fn value(&self, token: &TokenHash, now: u64) -> String {
        let mut value = Vec::with_capacity(HASH + END + MAC);
        value.extend_from_slice(token);
        value.extend_from_slice(&(now + LIFE.as_secs()).to_be_bytes());
        let mac = self.0.clone().chain_update(&value).finalize().into_bytes();
        value.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(value)
    }

    /// What is known of the token for which a cookie of these headers stands.
    pub(crate) fn token(&self, headers: &HeaderMap, now: u64) -> Option<TokenHash> {
        let lines = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
        let mut pairs = lines.flat_map(pairs).filter(|(name, _)| *name == STATS_COOKIE.as_bytes());
        pairs.find_map(|(_, value)| self.read(value, now))
    }

    fn read(&self, value: &[u8], now: u64) -> Option<TokenHash> {
        let value = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (told, mac) = value.split_at_checked(HASH + END)?;
        self.0.clone().chain_update(told).verify_slice(mac).ok()?;
        let (hash, end) = told.split_at(HASH);
        (u64::from_be_bytes(end.try_into().ok()?) > now).then(|| hash.try_into().ok())?
    }
}

/// Addresses at which people sign in and out.
pub(crate) fn urls() -> Router<Arc<Shared>> {
    Router::new().route("/login", get(page).post(give)).route("/logout", post(end))
}

/// `GET /login`
async fn page(request: Request) -> Response {
    dashboard::login(&request.into_parts().0, StatusCode::OK, "", None)
}

/// `POST /login`: the token and where to go then, as a form sends them.
async fn give(State(shared): AppState, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, FORM_BYTES).await else {
        return dashboard::refused(&parts, StatusCode::PAYLOAD_TOO_LARGE, "too_large");
    };
    let field = |wanted: &str| {
        let mut pairs = form_urlencoded::parse(&body);
        pairs.find_map(|(name, value)| (name == wanted).then(|| value.trim().to_owned())).unwrap_or_default()
    };
    let (token, next) = (tokens::hash(&field("token")), field("next"));
    let again = |status, why| dashboard::login(&parts, status, &next, Some(why));
    match shared.judge(Some(token), tokens::READ_TIMEOUT).await {
        Admitted::As(Scope::Read | Scope::Admin) | Admitted::Anybody => {
            let value = shared.logins.value(&token, now());
            let cookie = format!("{STATS_COOKIE}={value}; {}", shared.access().cookie_attributes());
            (StatusCode::SEE_OTHER, [(LOCATION, way_to(&next)), (SET_COOKIE, cookie)]).into_response()
        }
        Admitted::As(Scope::Ingest) | Admitted::Nobody => again(StatusCode::FORBIDDEN, "login.wrong"),
        Admitted::Unknown => again(StatusCode::SERVICE_UNAVAILABLE, "login.away"),
    }
}

/// `POST /logout`
async fn end(State(shared): AppState, uri: Uri) -> Response {
    let cookie = format!("{STATS_COOKIE}=; {}; Max-Age=0", shared.access().cookie_attributes());
    (
        StatusCode::SEE_OTHER,
        [(LOCATION, format!("login?{}", uri.query().unwrap_or_default())), (SET_COOKIE, cookie)],
    )
        .into_response()
}

/// What somebody sees instead of a page who must sign in first.
pub(crate) fn ask(parts: &Parts) -> Response {
    let here = parts.uri.path_and_query().map_or("", |target| target.as_str()).trim_start_matches('/');
    let mut response = dashboard::login(parts, StatusCode::UNAUTHORIZED, here, None);
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// A place of this port: below it, whatever is said.
fn way_to(next: &str) -> String {
    if next.bytes().all(|byte| byte.is_ascii_graphic()) { format!("./{next}") } else { "./".to_owned() }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    crate::clock::unix_ms() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, format!("a=b; {STATS_COOKIE}={value}; city=Київ").parse().unwrap())])
    }

    #[test]
    fn a_cookie_stands_for_its_token_until_it_ends() {
        let (logins, others) = (Logins::new().unwrap(), Logins::new().unwrap());
        let token = tokens::hash("utmd_x");
        let value = logins.value(&token, 1000);
        assert_eq!(logins.token(&headers(&value), 1000), Some(token));
        assert_eq!(logins.token(&headers(&value), 1000 + LIFE.as_secs()), None);
        assert_eq!(others.token(&headers(&value), 1000), None);
        for changed in ["", "x", &value[..value.len() - 2], &value.replace(&value[..4], "AAAA")] {
            assert_eq!(logins.token(&headers(changed), 1000), None, "{changed}");
        }
    }

    #[test]
    fn nobody_is_sent_to_another_host() {
        for (next, place) in [
            ("reports/sources?period=week", "./reports/sources?period=week"),
            ("?period=year", "./?period=year"),
            ("//evil.example", ".///evil.example"),
            ("https://evil.example", "./https://evil.example"),
            ("a\r\nb", "./"),
            ("", "./"),
        ] {
            assert_eq!(way_to(next), place);
        }
    }
}

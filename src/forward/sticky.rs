//! The cookie that keeps a visitor with one server.
//!
//! Its value is a hash of the server's URL: it means the same after the list was changed, to every proxy and to each
//! worker. It is no secret and nothing is granted for it; whoever changes it chooses a server.

use http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use http::{Response, StatusCode};
use sha2::{Digest, Sha256};

use crate::capture::cookie::CookieName;
use crate::capture::may_set_cookie;
use crate::clock::unix_ms;
use crate::config::STATS_COOKIE;

/// The cookie of one upstream.
#[derive(Debug)]
pub(super) struct StickyCookie {
    name: CookieName,
    /// Of each server.
    values: Vec<String>,
}

impl StickyCookie {
    /// `urls` of the upstream's servers, in the order of their numbers.
    pub(super) fn new(name: &str, urls: impl Iterator<Item = String>) -> Self {
        StickyCookie { name: CookieName::new(name), values: urls.map(|url| value(&url)).collect() }
    }

    /// The number of the server that a request's cookie names.
    pub(super) fn server(&self, headers: &HeaderMap) -> Option<usize> {
        let fields = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
        fields
            .flat_map(|field| self.name.values(field))
            .find_map(|value| self.values.iter().position(|known| known.as_bytes() == value))
    }

    /// Gives the visitor the cookie of the server with this number. Not where a cache may hand it to others, who would
    /// all come to this server; the next answer brings it.
    pub(super) fn set<B>(&self, response: &mut Response<B>, number: usize, https: bool) {
        let is_informational = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let Some(value) = self.values.get(number).filter(|_| !is_informational) else { return };
        if !may_set_cookie(response.status(), response.headers(), unix_ms()) {
            return;
        }
        let secure = if https { "; Secure" } else { "" };
        let line = format!("{}={value}; Path=/; HttpOnly; SameSite=Lax{secure}", self.name.as_str());
        if let Ok(line) = HeaderValue::from_str(&line) {
            response.headers_mut().append(SET_COOKIE, line);
        }
    }
}

/// The names of all upstreams' cookies, and of the one by which people are signed in at the stats port, as browsers do not
/// tell ports apart: no server gets any of them.
#[derive(Debug)]
pub(super) struct OwnCookies(Vec<CookieName>);

impl OwnCookies {
    /// These names, each once, and the stats port's.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut known: Vec<CookieName> = Vec::new();
        for name in names.chain([STATS_COOKIE]) {
            if !known.iter().any(|known| known.as_str() == name) {
                known.push(CookieName::new(name));
            }
        }
        OwnCookies(known)
    }

    /// Takes the cookies out of a request.
    pub(super) fn hide(&self, headers: &mut HeaderMap) {
        if headers.contains_key(COOKIE) {
            self.0.iter().for_each(|name| name.hide(headers));
        }
    }
}

/// 64 bits of the hash are enough to tell some dozen servers apart.
fn value(url: &str) -> String {
    let digest = Sha256::digest(url.as_bytes());
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sticky(urls: &[&str]) -> StickyCookie {
        StickyCookie::new("shop_server", urls.iter().map(|url| (*url).to_owned()))
    }

    fn cookie_of(response: &Response<()>) -> Option<&str> {
        response.headers().get(SET_COOKIE).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn a_server_is_known_by_its_url_wherever_it_stands() {
        let before = sticky(&["http://a:1", "http://b:1"]);
        let after = sticky(&["http://c:1", "http://b:1", "http://a:1"]);
        let mut response = Response::new(());
        before.set(&mut response, 1, true);
        let line = cookie_of(&response).unwrap();
        let (pair, attributes) = line.split_once(';').unwrap();
        assert_eq!(attributes, " Path=/; HttpOnly; SameSite=Lax; Secure");
        for (sticky, number) in [(&before, 1), (&after, 1), (&sticky(&["http://b:1"]), 0)] {
            let mut headers = HeaderMap::new();
            headers.append(COOKIE, HeaderValue::from_str(&format!("cart=1; {pair}; x=y")).unwrap());
            assert_eq!(sticky.server(&headers), Some(number));
        }
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_str(pair).unwrap());
        assert_eq!(sticky(&["http://a:1"]).server(&headers), None);
    }

    #[test]
    fn cookies_of_all_upstreams_are_taken_out() {
        let names = OwnCookies::new(["shop_server", "blog_server", "shop_server"].into_iter());
        assert_eq!(names.0.len(), 3, "each once, and the stats port's");
        let mut headers = HeaderMap::new();
        headers.append(
            COOKIE,
            HeaderValue::from_static("cart=1; blog_server=x; _utmd_stats=z; shop_server=1; x=y"),
        );
        names.hide(&mut headers);
        assert_eq!(headers[COOKIE], "cart=1; x=y");
        headers.insert(COOKIE, HeaderValue::from_static("shop_server=1"));
        names.hide(&mut headers);
        assert!(!headers.contains_key(COOKIE));
    }

    #[test]
    fn it_is_not_set_where_a_cache_may_share_it() {
        for (control, is_set) in [
            ("public, max-age=60", false),
            ("s-maxage=5", false),
            ("private, max-age=60", true),
            ("no-store", true),
        ] {
            let mut response = Response::new(());
            response.headers_mut().insert("cache-control", HeaderValue::from_static(control));
            sticky(&["http://a:1"]).set(&mut response, 0, false);
            assert_eq!(cookie_of(&response).is_some(), is_set, "{control}");
        }
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        sticky(&["http://a:1"]).set(&mut response, 0, false);
        assert_eq!(cookie_of(&response), None);
    }
}

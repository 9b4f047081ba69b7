//! What tracking adds to a request on the worker: `cargo bench --bench capture`. Pure code, no kernel.
#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to say")]

use divan::{Bencher, black_box};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use sha2::{Digest, Sha256};
use utm_dispatcher::capture::cookie::CookieName;
use utm_dispatcher::capture::mask;
use utm_dispatcher::capture::query::{NamePatterns, strip};
use utm_dispatcher::capture::{Arrival, Conclusion, Fired, Observation, ResponseHead, Rules, Secrets};
use utm_dispatcher::config;
use utm_dispatcher::erasure::ForgottenVisitors;
use utm_dispatcher::inspect::Inspection;
use utm_dispatcher::keys::KeyRing;
use uuid::Uuid;

const AT_MS: u64 = 1_764_000_000_000;
const TARGET: &str = "/catalogue/shoes?utm_source=facebook&utm_medium=paid_social&utm_campaign=autumn_sale_2026\
    &fbclid=IwAR0uYx1kq9ZrW3bT7cVd5nLmPqSfGhJkXzAeRtYuIoWqEdCvBnM&id=1";
const COOKIES: &str = "sessionid=1f0c5d2b7a9e4c6d8b3f2a1e0d9c8b7a; csrftoken=Zk3mQ8vT1xW7yR5nB2cD9fG4hJ6kL0pS; \
    _ga=GA1.1.1234567890.1700000000; _fbp=fb.1.1700000000000.1234567890; \
    cart=eyJpdGVtcyI6W3siaWQiOjEsInF0eSI6Mn1dfQ; currency=UAH; lang=uk; seen=1042,77,3190,556,18,2044";

/// The program's, and a count of what is asked of it.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler<mimalloc::MiMalloc> = divan::AllocProfiler::new(mimalloc::MiMalloc);

fn main() {
    divan::main();
}

/// Always the same work: times of other machines compare as multiples of this one.
#[divan::bench]
fn baseline_sha256_of_4_kib(bencher: Bencher) {
    let bytes = [7; 4096];
    bencher.bench(|| Sha256::digest(black_box(&bytes)));
}

#[divan::bench]
fn mask_plain_path(bencher: Bencher) {
    bencher.bench(|| mask::path(black_box("/catalogue/shoes/red-leather-boots-42/")).len());
}

#[divan::bench]
fn mask_token_in_path(bencher: Bencher) {
    bencher.bench(|| mask::path(black_box("/reset/MQ/c3w1p7-8f3a2b1c9d8e7f6a5b4c3d2e1f0a9b8c/")).len());
}

/// What `inspect` costs each request while nobody looks.
#[divan::bench]
fn look_whether_somebody_looks(bencher: Bencher) {
    let (inspection, _keeper) = Inspection::new();
    bencher.bench(|| black_box(&inspection).is_on());
}

#[divan::bench]
fn strip_tagged(bencher: Bencher) {
    let patterns = NamePatterns::new(["utm_*"]);
    bencher.bench(|| strip(black_box(TARGET.as_bytes()), &patterns));
}

#[divan::bench]
fn strip_untagged(bencher: Bencher) {
    let patterns = NamePatterns::new(["utm_*"]);
    bencher.bench(|| strip(black_box(b"/catalogue/shoes?page=2&sort=price&id=1"), &patterns));
}

#[divan::bench]
fn take_own_cookie_off(bencher: Bencher) {
    let visitor = Visitor::known();
    let field = visitor.head.headers["cookie"].clone();
    let name = CookieName::new("_utmd");
    bencher.bench(|| name.without(black_box(field.as_bytes())));
}

#[divan::bench]
fn asset(bencher: Bencher) {
    let visitor = Visitor::of("/static/app.css?v=20261122");
    assert!(visitor.observe().is_none());
    bencher.bench(|| visitor.observe().is_none());
}

#[divan::bench]
fn page_view_of_a_known_visitor(bencher: Bencher) {
    let visitor = Visitor::known();
    bencher.bench(|| visitor.view(|view| black_box(view).record.is_some()));
}

#[divan::bench]
fn first_page_view_of_a_tagged_visitor(bencher: Bencher) {
    let visitor = Visitor::of(TARGET);
    visitor.view(|view| assert!(view.set_cookie.is_some()));
    bencher.bench(|| visitor.view(|view| black_box(view).record.is_some()));
}

#[divan::bench]
fn page_view_without_cookies(bencher: Bencher) {
    let mut visitor = Visitor::of(TARGET);
    visitor.rules = rules(|tracking| tracking.identity.mode = config::IdentifyBy::Cookieless);
    visitor.view(|view| assert!(view.page_view && view.set_cookie.is_none()));
    bencher.bench(|| visitor.view(|view| black_box(view).record.is_some()));
}

/// The least configuration, changed.
fn rules(change: impl FnOnce(&mut config::Tracking)) -> Rules {
    let settings = config::parse(include_str!("../config/minimal.toml"), "minimal.toml", &|_| None);
    let mut tracking = settings.unwrap().tracking;
    change(&mut tracking);
    Rules::new(&tracking)
}

/// Somebody who asks for one page over and over, with all that capture needs.
struct Visitor {
    head: Parts,
    response: HeaderMap,
    rules: Rules,
    keys: KeyRing,
    forgotten: ForgottenVisitors,
}

impl Visitor {
    /// A visitor with the cookie of a first view of the same tagged page.
    fn known() -> Self {
        let mut visitor = Self::of(TARGET);
        let line = visitor.view(|view| view.set_cookie.unwrap());
        let pair = line.to_str().unwrap().split(';').next().unwrap().to_owned();
        visitor.head.headers.insert("cookie", HeaderValue::try_from(format!("{COOKIES}; {pair}")).unwrap());
        visitor.view(|view| assert!(view.page_view && view.set_cookie.is_none()));
        visitor
    }

    fn of(target: &str) -> Self {
        let request = Request::get(target)
            .header("host", "www.shop.example")
            .header("connection", "keep-alive")
            .header("cache-control", "max-age=0")
            .header("sec-ch-ua", "\"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\"")
            .header("sec-ch-ua-mobile", "?0")
            .header("sec-ch-ua-platform", "\"Windows\"")
            .header("upgrade-insecure-requests", "1")
            .header(
                "user-agent",
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/128.0.0.0 Safari/537.36",
            )
            .header("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
            .header("sec-fetch-site", "cross-site")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("referer", "https://l.facebook.com/")
            .header("accept-encoding", "gzip, deflate, br, zstd")
            .header("accept-language", "uk-UA,uk;q=0.9,en-US;q=0.8,en;q=0.7")
            .header("cookie", COOKIES);
        let response = HeaderMap::from_iter(
            [("content-type", "text/html; charset=utf-8"), ("content-length", "700"), ("server", "shop")]
                .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value))),
        );
        let folder = tempfile::tempdir().unwrap();
        Self {
            head: request.body(()).unwrap().into_parts().0,
            response,
            rules: rules(|_| {}),
            keys: KeyRing::load_or_create(&folder.path().join("secret")).unwrap(),
            forgotten: ForgottenVisitors::default(),
        }
    }

    fn observe(&self) -> Option<Box<Observation>> {
        let arrival = Arrival { at_ms: AT_MS, client: [203, 0, 113, 9].into(), https: true };
        Observation::of(&self.head.method, &self.head.uri, &self.head.headers, arrival, &self.rules)
    }

    /// One view, from the request's head to what is made of it.
    fn view<T>(&self, then: impl FnOnce(Conclusion<'_>) -> T) -> T {
        let observation = black_box(self).observe().unwrap();
        let secrets = Secrets { keys: &self.keys, salt: &[7; 16], forgotten: &self.forgotten };
        // A fixed id: the kernel's random bytes are not what is measured.
        let mint = || Uuid::from_u128(0x019a_b000_0000_7000_8000_0000_0000_0001);
        then(observation.conclude(
            "default",
            ResponseHead { status: StatusCode::OK, headers: &self.response, trust_events: false },
            Fired::default(),
            secrets,
            &self.rules,
            mint,
        ))
    }
}

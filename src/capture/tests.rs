//! Journeys: what a request and its response lead to.

use http::{Method, Request};

use super::cookie::VisitorCookie;
use super::*;
use crate::config::{
    Attribution, CookieDomain, Exclude, IdentifyBy, IdentityConfig, Privacy, Retain, StoreIp, Tracking,
    TrackingMode,
};
use crate::hit::{Identity, Record};

const AT: u64 = 1_700_000_000_000;
const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36";
const MINTED: Uuid = Uuid::from_u128(0x018b_cfe5_6800_7000_8000_0000_0000_0001);

fn rules() -> Rules {
    Rules::new(&Tracking {
        mode: TrackingMode::Record,
        strip: vec!["utm_*".into()],
        parameters: vec![],
        restore_on_redirect: true,
        cookies: vec!["_fbp".into(), "_fbc".into(), "_gcl_*".into()],
        upstream_headers: false,
        exclude: Exclude::default(),
        static_extensions: vec!["css".into(), "js".into(), "png".into()],
        action_body_bytes: 256 << 10,
        locale_prefixes: vec!["uk".into(), "en".into()],
        identity: IdentityConfig {
            mode: IdentifyBy::Cookie,
            honour_gpc: true,
            cookie: "_utmd".into(),
            domain: CookieDomain::Auto,
            max_age: std::time::Duration::from_secs(390 * 86_400),
            secret_file: "secret".into(),
            session_timeout: std::time::Duration::from_secs(1800),
        },
        privacy: Privacy {
            store_ip: StoreIp::Truncated,
            redact_parameters: Vec::new(),
            retain: Retain::default(),
        },
        attribution: Attribution {
            lookback: std::time::Duration::from_secs(90 * 86_400),
            referrer_exclusions: vec!["paypal.com".into()],
            aliases: Vec::new(),
        },
    })
}

/// A browser that keeps its cookie.
struct Browser {
    rules: Rules,
    keys: KeyRing,
    forgotten: ForgottenVisitors,
    cookie: Option<String>,
    at_ms: u64,
}

/// What one request led to, owned.
#[derive(Debug)]
struct Seen {
    recorded: bool,
    page_view: bool,
    identity: Option<Identity>,
    source: Option<String>,
    touched: bool,
    actions: usize,
    set_cookie: Option<String>,
    takes_cookie: bool,
    bot: Option<String>,
}

impl Browser {
    fn new() -> Self {
        let keys =
            crate::keys::parse(std::path::Path::new("keys"), "1 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE");
        Self {
            rules: rules(),
            keys: keys.unwrap(),
            forgotten: ForgottenVisitors::default(),
            cookie: None,
            at_ms: AT,
        }
    }

    fn wait(&mut self, seconds: u64) -> &mut Self {
        self.at_ms += seconds * 1000;
        self
    }

    fn open(&mut self, url: &str) -> Seen {
        self.send("GET", url, &[], 200, &[("content-type", "text/html")])
    }

    fn send(
        &mut self,
        method: &str,
        url: &str,
        request: &[(&str, &str)],
        status: u16,
        response: &[(&'static str, &'static str)],
    ) -> Seen {
        let mut builder = Request::builder()
            .method(method)
            .uri(url)
            .header("Host", "www.shop.ua")
            .header("User-Agent", CHROME)
            .header("Accept", "text/html,*/*;q=0.8")
            .header("Accept-Language", "uk");
        if let Some(cookie) = &self.cookie {
            builder = builder.header("Cookie", format!("a=b; _utmd={cookie}; _fbp=fb.1.2.3"));
        }
        let mut request_head = builder.body(()).unwrap().into_parts().0;
        for (name, value) in request {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request_head.headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let arrival = Arrival { at_ms: self.at_ms, client: "203.0.113.9".parse().unwrap(), https: false };
        let mut observation = Observation::of(
            &request_head.method,
            &request_head.uri,
            &request_head.headers,
            arrival,
            &self.rules,
        )
        .expect("no asset");
        let excluded = Exclude { paths: vec!["/admin/".into()], ..Exclude::default() };
        observation.exclude(&crate::exclusion::Exclusions::new(excluded.rules()), &self.rules);
        let headers: HeaderMap = response
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let secrets = Secrets { keys: &self.keys, salt: &[7; 16], forgotten: &self.forgotten };
        let status = StatusCode::from_u16(status).unwrap();
        let response = ResponseHead { status, headers: &headers, trust_events: true };
        let conclusion =
            observation.conclude("default", response, Fired::default(), secrets, &self.rules, || MINTED);
        let set_cookie = conclusion.set_cookie.map(|line| line.to_str().unwrap().to_owned());
        if let Some(line) = &set_cookie {
            let value = line.strip_prefix("_utmd=").unwrap().split(';').next().unwrap();
            self.cookie = Some(value.to_owned());
        }
        let page_view = conclusion.page_view;
        let recorded = conclusion.record.is_some();
        let (hit, bot) = match conclusion.record {
            Some(Record::Hit(hit)) => (Some(hit), None),
            Some(Record::BotCount(count)) => (None, Some(count.bot.into_owned())),
            _ => (None, None),
        };
        let touch = hit.as_ref().and_then(|hit| hit.touch.clone());
        Seen {
            recorded,
            page_view,
            identity: hit.as_ref().and_then(|hit| hit.identity),
            source: touch.as_ref().and_then(|touch| touch.source.as_deref().map(str::to_owned)),
            touched: touch.is_some(),
            actions: hit.map_or(0, |hit| hit.actions.len()),
            set_cookie,
            takes_cookie: response::Answer::of(status, &headers, self.at_ms).no_cookie.is_none(),
            bot,
        }
    }
}

#[test]
fn a_tagged_landing_is_a_page_view_a_touch_and_a_cookie() {
    let mut browser = Browser::new();
    let landing = browser.open("/p/1?utm_source=facebook&utm_medium=cpc&utm_campaign=autumn");
    assert!(landing.page_view && landing.recorded);
    assert_eq!(landing.source.as_deref(), Some("facebook"));
    let identity = landing.identity.unwrap();
    assert_eq!((identity.visitor_id, identity.session_number), (MINTED, 1));
    let line = landing.set_cookie.unwrap();
    assert!(line.ends_with("; Path=/; Max-Age=33696000; Domain=shop.ua; HttpOnly; SameSite=Lax"), "{line}");

    let next = browser.wait(30).open("/p/2");
    assert_eq!(next.identity.unwrap().session_id, identity.session_id);
    assert!(!next.touched);
    assert_eq!(next.set_cookie, None, "refreshed at most once a minute");
    assert!(browser.wait(31).open("/p/3").set_cookie.is_some());
}

#[test]
fn a_click_that_carries_only_a_click_id_is_a_touch() {
    let landing = Browser::new().open("/?gclid=Cj0KCQ");
    assert!(landing.touched && landing.page_view);
}

#[test]
fn the_touch_is_recorded_on_a_redirect_and_the_page_after_it_continues() {
    let mut browser = Browser::new();
    let redirect = browser.send("GET", "/old?utm_source=a", &[], 301, &[("location", "/new")]);
    assert!(redirect.recorded && redirect.touched && !redirect.page_view);
    let page = browser.wait(1).open("/new");
    assert_eq!(page.identity.unwrap().session_id, redirect.identity.unwrap().session_id);
    assert!(!page.touched);
}

#[test]
fn a_second_tagged_click_is_a_second_session_and_a_reload_is_not() {
    let mut browser = Browser::new();
    let first = browser.open("/?utm_source=a").identity.unwrap();
    let reload = browser.wait(5).open("/?utm_source=a");
    assert!(!reload.touched);
    let second = browser.wait(5).open("/?utm_source=b");
    assert!(second.touched);
    assert_eq!(reload.identity.unwrap().session_id, first.session_id);
    assert_eq!(second.identity.unwrap().session_number, 2);
}

#[test]
fn tags_on_internal_links_are_no_touch() {
    let mut browser = Browser::new();
    browser.open("/?utm_source=a");
    let link = [("Referer", "https://m.shop.ua/")];
    let internal =
        browser.wait(5).send("GET", "/sale?utm_source=banner", &link, 200, &[("content-type", "text/html")]);
    assert!(internal.page_view && !internal.touched);
    assert_eq!(internal.identity.unwrap().session_number, 1);
}

#[test]
fn a_payment_return_after_an_hour_continues_the_session() {
    let mut browser = Browser::new();
    let first = browser.open("/?utm_source=a").identity.unwrap();
    let back = [("Referer", "https://www.paypal.com/checkoutnow")];
    let returned = browser.wait(3600).send("GET", "/thanks", &back, 200, &[("content-type", "text/html")]);
    assert_eq!(returned.identity.unwrap().session_id, first.session_id);
    assert!(!returned.touched);
}

#[test]
fn a_referrer_is_a_touch_of_a_new_session_only() {
    let mut browser = Browser::new();
    let google = [("Referer", "https://www.google.com/")];
    let html = [("content-type", "text/html")];
    assert!(browser.send("GET", "/", &google, 200, &html).touched);
    assert!(!browser.wait(60).send("GET", "/", &[("Referer", "https://t.co/x")], 200, &html).touched);
    assert!(browser.wait(1900).send("GET", "/", &google, 200, &html).touched);
}

#[test]
fn only_what_a_person_sees_as_a_page_is_a_page_view() {
    let mut browser = Browser::new();
    let html = [("content-type", "text/html")];
    assert!(!browser.send("HEAD", "/", &[], 200, &html).page_view);
    assert!(!browser.send("GET", "/", &[], 404, &html).page_view);
    assert!(!browser.send("GET", "/feed", &[], 200, &[("content-type", "application/rss+xml")]).page_view);
    assert!(!browser.send("GET", "/", &[("Sec-Fetch-Mode", "cors")], 200, &html).page_view);
    assert!(!browser.send("GET", "/", &[("Sec-Purpose", "prefetch;prerender")], 200, &html).recorded);
    assert!(
        !browser
            .send("GET", "/", &[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")], 200, &html)
            .page_view
    );
    assert!(
        browser
            .send("GET", "/", &[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")], 200, &html)
            .page_view
    );
    assert!(browser.send("GET", "/", &[], 304, &[]).page_view);
}

#[test]
fn a_page_that_caches_may_share_sets_no_cookie_and_has_the_identity_of_the_day() {
    let mut browser = Browser::new();
    let public = [("content-type", "text/html"), ("cache-control", "public, max-age=60")];
    let landing = browser.send("GET", "/?utm_source=a", &[], 200, &public);
    assert_eq!(landing.set_cookie, None);
    let identity = landing.identity.unwrap();
    assert_eq!(identity.mode, crate::hit::IdentityMode::Cookieless);
    assert!(landing.touched);
    let minted = browser.wait(10).open("/next").identity.unwrap();
    assert_eq!(minted.minted_from, Some(identity.visitor_id), "what came before can be linked");
}

#[test]
fn a_bot_is_counted_and_gets_no_cookie_but_its_order_is_kept() {
    let mut browser = Browser::new();
    let bot = [("User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1)")];
    let seen = browser.send("GET", "/?utm_source=a", &bot, 200, &[("content-type", "text/html")]);
    assert_eq!((seen.bot.as_deref(), seen.set_cookie), (Some("googlebot"), None));
    let bank = [("User-Agent", "python-requests/2.31")];
    let webhook =
        browser.send("POST", "/hook", &bank, 200, &[("x-utm-event", "purchase; order_id=1; value=5")]);
    assert_eq!((webhook.actions, webhook.identity, webhook.bot), (1, None, None));
}

#[test]
fn an_event_of_the_shop_is_an_action_of_the_visitor() {
    let mut browser = Browser::new();
    let visitor = browser.open("/?utm_source=a").identity.unwrap();
    let xhr = [("Accept", "*/*"), ("Sec-Fetch-Mode", "cors")];
    let order = browser.wait(60).send(
        "POST",
        "/buy",
        &xhr,
        200,
        &[("x-utm-event", "purchase; order_id=7; value=10.50")],
    );
    assert_eq!((order.actions, order.identity.unwrap().session_id), (1, visitor.session_id));
    assert!(order.set_cookie.is_some(), "an action is activity");
}

#[test]
fn a_polling_tab_does_not_keep_a_session_alive_and_a_post_does() {
    let mut browser = Browser::new();
    browser.open("/");
    let xhr = [("Accept", "*/*")];
    let json = [("content-type", "application/json")];
    assert_eq!(browser.wait(120).send("GET", "/poll", &xhr, 200, &json).set_cookie, None);
    assert!(browser.wait(120).send("POST", "/cart", &xhr, 200, &json).set_cookie.is_some());
}

#[test]
fn who_denies_is_only_counted_and_what_is_excluded_leaves_nothing() {
    let mut browser = Browser::new();
    let html = [("content-type", "text/html")];
    let seen = browser.send("GET", "/?utm_source=a", &[("Sec-GPC", "1")], 200, &html);
    assert!(seen.recorded && seen.page_view && seen.identity.is_none() && seen.set_cookie.is_none());
    let seen = browser.send("GET", "/uk/admin/x", &[], 200, &html);
    assert!(!seen.recorded && seen.set_cookie.is_none());
}

/// What a step of a walk sends and gets.
fn step(browser: &mut Browser, kind: u8, tag: u8, wait_s: u64) -> Seen {
    let html = ("content-type", "text/html");
    let tagged = ["/p", "/p?utm_source=a", "/p?utm_source=b&gclid=G", "/p?gclid=G"][usize::from(tag % 4)];
    let own = [("Referer", "https://www.shop.ua/"), ("Origin", "https://www.shop.ua")];
    let xhr = [("Accept", "*/*"), ("Origin", "https://www.shop.ua")];
    let event = ("x-utm-event", "purchase; order_id=1");
    browser.wait(wait_s);
    match kind % 12 {
        0 => browser.open(tagged),
        1 => browser.send("GET", tagged, &own, 200, &[html]),
        2 => browser.send("GET", tagged, &[("Referer", "https://www.google.com/")], 200, &[html]),
        3 => browser.send("GET", tagged, &[("Referer", "https://www.paypal.com/")], 200, &[html]),
        4 => browser.send("GET", tagged, &[], 302, &[("location", "/")]),
        5 => browser.send("GET", tagged, &[], 404, &[html]),
        6 => browser.send("GET", tagged, &[], 200, &[("content-type", "application/pdf")]),
        7 => browser.send("POST", tagged, &own, 302, &[("location", "/")]),
        8 => browser.send("POST", tagged, &xhr, 200, &[]),
        9 => browser.send("POST", tagged, &xhr, 200, &[event]),
        10 => browser.send("GET", tagged, &[("Accept", "*/*")], 200, &[]),
        _ => browser.send("GET", tagged, &[], 499, &[]),
    }
}

proptest::proptest! {
    /// Whatever somebody who keeps cookies does: one visitor; each session of the cookie is recorded before the next
    /// one, but for those that left nothing to record; what is recorded belongs to the session that the cookie holds.
    #[test]
    fn what_is_recorded_belongs_to_the_session_of_the_cookie(
        steps in proptest::collection::vec((0..12_u8, 0..4_u8, 0..2400_u64), 1..40),
    ) {
        let mut browser = Browser::new();
        let mut visitors = std::collections::HashSet::new();
        let mut is_linked = false;
        for (kind, tag, wait_s) in steps {
            let seen = step(&mut browser, kind, tag, wait_s);
            let Some(identity) = seen.identity else {
                proptest::prop_assert!(!seen.recorded);
                continue;
            };
            if identity.mode == crate::hit::IdentityMode::Cookieless {
                proptest::prop_assert!(!seen.takes_cookie && browser.cookie.is_none());
                continue;
            }
            visitors.insert(identity.visitor_id);
            // Told at first, and again while no cookie can say that it was.
            proptest::prop_assert_eq!(identity.minted_from.is_some(), !is_linked);
            is_linked |= seen.takes_cookie;
            if seen.takes_cookie {
                let value = browser.cookie.clone().unwrap();
                let cookie = VisitorCookie::decode(value.as_bytes(), &browser.keys, u32::MAX - 300).unwrap();
                proptest::prop_assert_eq!(cookie.session_id, identity.session_id);
                proptest::prop_assert_eq!(cookie.session_number, identity.session_number);
                proptest::prop_assert!(seen.set_cookie.is_some() || !seen.touched, "a touch begins a session");
            }
        }
        proptest::prop_assert!(visitors.len() <= 1);
    }

    /// Whatever stands in the fields of a request and its response, it is looked at to the end.
    #[test]
    fn no_field_makes_it_fail(
        target in "/[!-~&&[^\"<>`#]]{0,40}(\\?(utm_source|gclid|utm_term\\[\\])=[!-~&&[^\"<>#]]{0,40})?",
        values in proptest::collection::vec(proptest::collection::vec(32..=255_u8, 0..60), 8),
        at_ms in proptest::num::u64::ANY,
        status in 100..1000_u16,
    ) {
        let names = ["host", "cookie", "referer", "user-agent", "origin", "cache-control", "expires", "x-utm-event"];
        let mut headers: HeaderMap = [("accept", "text/html"), ("content-type", "text/html")]
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .into_iter()
            .collect();
        for (name, value) in names.iter().zip(&values) {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        let Browser { rules, keys, forgotten, .. } = Browser::new();
        let secrets = Secrets { keys: &keys, salt: &[7; 16], forgotten: &forgotten };
        let status = StatusCode::from_u16(status).unwrap();
        for method in [Method::GET, Method::HEAD, Method::POST] {
            for gpc in ["0", "1"] {
                headers.insert("sec-gpc", HeaderValue::from_static(gpc));
                let arrival = Arrival { at_ms, client: "2001:db8::9".parse().unwrap(), https: true };
                let Ok(uri) = target.parse() else { continue };
                let Some(mut observation) = Observation::of(&method, &uri, &headers, arrival, &rules) else { continue };
                let _ = observation.preview(secrets, &rules, || MINTED);
                let response = ResponseHead { status, headers: &headers, trust_events: true };
                let conclusion = observation.conclude("default", response, Fired::default(), secrets, &rules, || MINTED);
                let mut payload = Vec::new();
                if let Some(record) = &conclusion.record {
                    record.encode_into(&mut payload).unwrap();
                    proptest::prop_assert_eq!(&Record::decode(&payload).unwrap(), record);
                }
            }
        }
    }
}

#[test]
fn whoever_is_forgotten_and_comes_back_is_somebody_new() {
    let mut browser = Browser::new();
    let known = VisitorCookie {
        visitor_id: Uuid::from_u128(7),
        ..VisitorCookie::decode(
            {
                browser.open("/?utm_source=a");
                browser.cookie.as_ref().unwrap().as_bytes()
            },
            &browser.keys,
            u32::MAX - 300,
        )
        .unwrap()
    };
    browser.cookie = Some(known.encode(&browser.keys));
    let seen = browser.wait(5).open("/");
    assert_eq!(seen.identity.unwrap().visitor_id, known.visitor_id);
    let hash = crate::erasure::id_hash(known.visitor_id.as_bytes());
    browser.forgotten = ForgottenVisitors::new([hash].into());
    let back = browser.wait(5).open("/");
    let identity = back.identity.unwrap();
    assert_eq!((identity.visitor_id, identity.session_number), (MINTED, 1));
    assert!(back.set_cookie.is_some() && identity.minted_from.is_some());
}

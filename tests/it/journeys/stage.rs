//! The vocabulary of journeys: a shop with this program before it, people who come by their own ways, a clock that is set,
//! and the story of what the reports make of it.
//!
//! Everything goes by real sockets, a real journal and a real Postgres; only the time is made up. It is Tuesday, 10 March
//! 2026, 10:00 UTC when the curtain rises, and time passes only when a journey says so.

#![allow(dead_code, reason = "a vocabulary may have a word that no journey needs today")]

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use utm_dispatcher::clock::WallClock;
use utm_dispatcher::config::{Config, Live, Retain};
use utm_dispatcher::exclusion::CurrentExclusions;
use utm_dispatcher::store::judge::Judge;

use crate::harness::app::{Running, app_config};
use crate::harness::client::Answer;
use crate::harness::postgres::{self, Database};
use crate::harness::{Client, Received, Reply, Upstream, config, eventually};

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// Where the shop is when nobody says otherwise.
const SHOP: &str = "https://shop.ua";
const CHROME: &str = "Mozilla/5.0 (Linux; Android 13; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36";
/// Most redirects that a browser follows.
const REDIRECTS: usize = 5;

/// The shop, the programs before it, and the time.
pub(super) struct Stage {
    database: Database,
    files: TempDir,
    upstream: Upstream,
    proxies: Vec<Program>,
    configure: Box<dyn Fn(&mut Config)>,
    orders: Vec<String>,
    people: u8,
    now: Timestamp,
}

struct Program {
    running: Running,
    clock: WallClock,
    /// How far its clock is off, milliseconds.
    skew_ms: i64,
}

impl Stage {
    /// A shop as anybody has it.
    pub(super) async fn open() -> Self {
        Self::with(|_| {}).await
    }

    /// A shop whose configuration is changed.
    pub(super) async fn with(configure: impl Fn(&mut Config) + 'static) -> Self {
        let mut stage = Stage {
            database: postgres::migrated().await,
            files: tempfile::tempdir().unwrap(),
            upstream: Upstream::start(shop).await,
            proxies: Vec::new(),
            configure: Box::new(configure),
            orders: Vec::new(),
            people: 0,
            now: "2026-03-10T10:00:00Z".parse().unwrap(),
        };
        stage.another_proxy(0).await;
        stage
    }

    /// One more program before the same shop, with the same key and database; its clock is `skew_ms` off.
    pub(super) async fn another_proxy(&mut self, skew_ms: i64) {
        let number = self.proxies.len();
        let mut config = app_config(self.upstream.address(), &self.database.url, self.files.path());
        config.journal.dir = self.files.path().join(format!("journal-{number}"));
        config.journal.wait = Duration::from_secs(10);
        config.proxy.workers = 1;
        config.proxy.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        // Journeys are as true in years to come.
        config.tracking.attribution.referrer_exclusions =
            ["paypal.com", "wayforpay.com", "accounts.google.com"].map(str::to_owned).to_vec();
        config.tracking.privacy.retain = Retain { events: None, sessions: None, visitors: None };
        (self.configure)(&mut config);
        let clock = WallClock::at(0);
        let running = Running::start_at(config, clock.clone()).await;
        self.proxies.push(Program { running, clock, skew_ms });
        self.set_clocks();
    }

    /// The first program ends and comes back as `change` has its files by then (its key is `secret` in that folder).
    pub(super) async fn restart(&mut self, change: impl FnOnce(&std::path::Path)) {
        self.settled().await;
        for program in std::mem::take(&mut self.proxies) {
            program.running.stop().await;
        }
        change(self.files.path());
        self.another_proxy(0).await;
    }

    /// Somebody with a browser, a device and an address of their own.
    pub(super) fn visitor(&mut self) -> Visitor {
        self.people += 1;
        Visitor {
            address: format!("203.0.113.{}", self.people),
            agent: CHROME.to_owned(),
            fields: String::new(),
            jar: Vec::new(),
            takes_cookies: true,
            names_language: true,
            tells_referrer: true,
            proxy: 0,
            page: None,
            last: Answer { head: String::new(), body: Vec::new(), trailers: Vec::new(), complete: true },
        }
    }

    /// Time passes.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.set_clocks();
    }

    /// It is then, RFC 3339.
    pub(super) fn set_time(&mut self, time: &str) {
        self.now = time.parse().unwrap();
        self.set_clocks();
    }

    fn set_clocks(&self) {
        for program in &self.proxies {
            let unix_ms = self.now.as_millisecond() + program.skew_ms;
            program.clock.set(u64::try_from(unix_ms).unwrap());
        }
    }

    /// Tells the API what somebody did.
    pub(super) async fn shop_tells(&self, action: Value) {
        let (status, answer) = self.proxies[0].running.tell("actions", &json!([action])).await;
        assert_eq!((status, &answer["results"][0]["outcome"]), (200, &json!("recorded")), "{answer}");
    }

    /// The shop tells the API of an order, or of what became of one: the fields besides `order_id` and `status`.
    pub(super) async fn shop_reports(&mut self, order: &str, status: &str, mut fields: Value) {
        fields["order_id"] = json!(order);
        fields["status"] = json!(status);
        if fields.get("at").is_none() {
            fields["at"] = json!(self.now.to_string());
        }
        let (status, answer) = self.proxies[0].running.tell_orders(&json!([fields])).await;
        assert_eq!((status, &answer["results"][0]["outcome"]), (200, &json!("recorded")), "{answer}");
        self.note_order(order);
    }

    /// Somebody is forgotten, by the id of the visitor.
    pub(super) async fn forget(&self, visitor: &str) {
        self.settled().await;
        let (status, answer) = self.proxies[0].running.forget(visitor).await;
        assert_eq!((status, &answer["results"]["outcome"]), (200, &json!("forgotten")), "{answer}");
    }

    fn note_order(&mut self, order: &str) {
        if !self.orders.iter().any(|known| known == order) {
            self.orders.push(order.to_owned());
        }
    }

    /// Waits until everything that was recorded is in the database.
    pub(super) async fn settled(&self) {
        for program in &self.proxies {
            eventually("everything is shipped", Duration::from_secs(20), || async {
                let (_, page) = program.running.ask("/metrics").await;
                let count = |name: &str| {
                    let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_default();
                    line.rsplit(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
                };
                (count("utm_dispatcher_hits_total ") <= count("utm_dispatcher_records_shipped_total "))
                    .then_some(())
            })
            .await;
        }
    }

    /// The results of a report, when everything is in the database.
    pub(super) async fn report(&self, target: &str) -> Value {
        self.settled().await;
        let answer = self.proxies[0].running.report(target).await.expect("the database is there");
        answer["results"].clone()
    }

    /// Waits until a report says so.
    pub(super) async fn report_when(&self, target: &str, says: impl Fn(&Value) -> bool) {
        eventually(target, Duration::from_secs(30), async || says(&self.report(target).await).then_some(()))
            .await;
    }

    /// Tells the API of an alias or a rule; answers status and body.
    pub(super) async fn put(&self, target: &str, body: &str) -> (u16, Value) {
        self.proxies[0].running.put(target, body).await
    }

    /// Has the API delete something; answers the status.
    pub(super) async fn delete(&self, target: &str) -> u16 {
        self.proxies[0].running.delete(target).await
    }

    /// Has everything that is recorded joined and judged, which the office does every half minute.
    pub(super) async fn judged(&self) {
        self.settled().await;
        let mut config = config(&[]);
        (self.configure)(&mut config);
        let mut judge = Judge::new(self.database.store(), Live::new(config), CurrentExclusions::default());
        judge.look().await.unwrap();
        // The program's own judge may be at it, too: then this one waits its turn.
        eventually("everything is judged", Duration::from_secs(30), async || {
            judge.judge_all(&CancellationToken::new()).await.unwrap();
            let waiting = self.value("SELECT count(*) FROM unjudged_hours").await;
            (waiting.as_deref() == Some("0")).then_some(())
        })
        .await;
    }

    /// Status and text of any answer of the stats port, when everything is in the database.
    pub(super) async fn ask(&self, target: &str) -> (u16, String) {
        self.settled().await;
        self.proxies[0].running.ask(target).await
    }

    /// The texts in the first column of a query's rows, when everything is in the database.
    pub(super) async fn texts(&self, sql: &str) -> Vec<String> {
        self.settled().await;
        let rows = self.database.connect().await.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The only value of a query's only row, as text, when everything is in the database.
    pub(super) async fn value(&self, sql: &str) -> Option<String> {
        self.settled().await;
        let client = self.database.connect().await;
        client.query_one(&format!("SELECT ({sql})::text"), &[]).await.unwrap().get(0)
    }

    /// What the shop received, request by request.
    pub(super) fn shop_received(&self) -> Vec<Received> {
        self.upstream.received()
    }

    /// What the reports tell: visitors by their first visit, their sessions with the touches in them, and orders with
    /// who earned them. Times are `MM-DD HH:MM`, UTC.
    pub(super) async fn story(&self) -> String {
        self.judged().await;
        let mut sessions = self.report("sessions?period=all_time&bots=include&limit=1000").await;
        let sessions = sessions.as_array_mut().unwrap();
        sessions.sort_by_key(|session| {
            let field = |name| text(session, name).to_owned();
            // Ids of visitors with a cookie are in the order in which they were made.
            (field("first_seen"), session["session_number"].as_i64(), field("identity"), field("visitor_id"))
        });
        let mut visitors: Vec<&str> = Vec::new();
        for session in sessions.iter() {
            let visitor = text(session, "visitor_id");
            if !visitors.contains(&visitor) {
                visitors.push(visitor);
            }
        }
        let number = |visitor: &str| visitors.iter().position(|known| *known == visitor).map(|at| at + 1);
        let mut story = String::new();
        for visitor in &visitors {
            let theirs: Vec<&Value> =
                sessions.iter().filter(|session| text(session, "visitor_id") == *visitor).collect();
            let _ = writeln!(story, "visitor {}, {}", number(visitor).unwrap(), text(theirs[0], "identity"));
            for session in theirs {
                self.tell_session(session, &mut story).await;
            }
        }
        for order in &self.orders {
            let explained = self.report(&format!("orders/{order}/explain")).await;
            let (facts, credits) = (&explained["order"], explained["credits"].as_array().unwrap());
            let whose = match facts["visitor_id"].as_str() {
                Some(visitor) => format!(
                    "of visitor {} by {}",
                    number(visitor).map_or("(unseen)".to_owned(), |number| number.to_string()),
                    text(facts, "joined_by")
                ),
                None => "of nobody".to_owned(),
            };
            let earned: Vec<String> = credits
                .iter()
                .filter(|credit| text(credit, "model") == "last_non_direct")
                .map(label)
                .collect();
            let earned = if earned.is_empty() { "(not tracked)".to_owned() } else { earned.join(", ") };
            let _ = writeln!(story, "order {order}: {} {whose} ← {earned}", text(facts, "gross"));
        }
        story
    }

    async fn tell_session(&self, session: &Value, story: &mut String) {
        let pages = session["page_views"].as_i64().unwrap();
        let _ = writeln!(
            story,
            "  {} session {}: {}, {pages} page{}",
            when(text(session, "first_seen")),
            session["session_number"],
            label(session),
            if pages == 1 { "" } else { "s" },
        );
        let id = text(session, "session_id");
        let details = self.report(&format!("sessions/{id}")).await;
        for touch in details["touches"].as_array().unwrap() {
            let mut words = vec![when(text(touch, "at")), values(touch)];
            if let Some(ids) = touch["click_ids"].as_object() {
                words.extend(
                    ids.iter().map(|(name, value)| format!("{name}={:.20}", value.as_str().unwrap())),
                );
            }
            if let Some(referrer) = touch["referrer"].as_str() {
                words.push(format!("from {referrer}"));
            }
            let flags = touch["flags"].as_array().unwrap();
            words.extend(flags.iter().map(|flag| format!("({})", flag.as_str().unwrap())));
            if touch["status"] != 200 {
                words.push(format!("(answered {})", touch["status"]));
            }
            let _ = writeln!(story, "    {}", words.join(" "));
        }
    }
}

/// Somebody who comes to the shop.
pub(super) struct Visitor {
    address: String,
    agent: String,
    fields: String,
    jar: Vec<Cookie>,
    takes_cookies: bool,
    names_language: bool,
    tells_referrer: bool,
    proxy: usize,
    /// The address of the page that is open.
    page: Option<String>,
    /// The last answer, redirects followed.
    pub(super) last: Answer,
}

struct Cookie {
    domain: String,
    /// Whether hosts below the domain see it.
    is_wide: bool,
    name: String,
    value: String,
}

impl Visitor {
    /// The browser keeps no cookie.
    pub(super) fn without_cookies(mut self) -> Self {
        self.takes_cookies = false;
        self
    }

    /// The browser tells no page from where it comes.
    pub(super) fn without_referrers(mut self) -> Self {
        self.tells_referrer = false;
        self
    }

    /// The browser names no language.
    pub(super) fn without_language(mut self) -> Self {
        self.names_language = false;
        self
    }

    /// The browser says this with every request: one field, without its line end.
    pub(super) fn saying(mut self, field: &str) -> Self {
        self.says(field);
        self
    }

    /// From now on.
    pub(super) fn says(&mut self, field: &str) {
        self.fields = format!("{}{field}\r\n", self.fields);
    }

    /// From now on no more than any browser does.
    pub(super) fn says_nothing_special(&mut self) {
        self.fields.clear();
    }

    /// Another browser.
    pub(super) fn with_agent(mut self, agent: &str) -> Self {
        agent.clone_into(&mut self.agent);
        self
    }

    /// The next requests come from there.
    pub(super) fn moves_to(&mut self, address: &str) {
        address.clone_into(&mut self.address);
    }

    /// The next requests go by that proxy; the first is 0.
    pub(super) fn goes_by_proxy(&mut self, number: usize) {
        self.proxy = number;
    }

    /// A script of the page sets a cookie.
    pub(super) fn keeps(&mut self, name: &str, value: &str) {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.jar.retain(|cookie| cookie.name != name);
        self.jar.push(Cookie { domain: "shop.ua".to_owned(), is_wide: true, name, value });
    }

    /// A script of the page, or a clean-up, takes a cookie away.
    pub(super) fn loses(&mut self, name: &str) {
        self.jar.retain(|cookie| cookie.name != name);
    }

    /// The value of a cookie that the browser has.
    pub(super) fn cookie(&self, name: &str) -> Option<&str> {
        self.jar.iter().find(|cookie| cookie.name == name).map(|cookie| cookie.value.as_str())
    }

    /// The address of the page that is open.
    pub(super) fn page(&self) -> &str {
        self.page.as_deref().expect("a page")
    }

    /// Asks for an address and follows no redirect.
    pub(super) async fn asks(&mut self, stage: &Stage, target: &str) {
        self.request(stage, "GET", &format!("{SHOP}{target}"), None).await;
    }

    /// Follows a link on a foreign page; `referrer` is all that the browser tells of it.
    pub(super) async fn arrives_from(&mut self, stage: &Stage, referrer: &str, target: &str) {
        self.navigate(stage, "GET", target, Some(referrer)).await;
    }

    /// Follows a link in a mail or an app: no referrer.
    pub(super) async fn clicks(&mut self, stage: &Stage, target: &str) {
        self.navigate(stage, "GET", target, None).await;
    }

    /// Types the address, or takes a bookmark.
    pub(super) async fn types(&mut self, stage: &Stage, target: &str) {
        self.navigate(stage, "GET", target, None).await;
    }

    /// Follows a link on the page of the shop that is open.
    pub(super) async fn browses(&mut self, stage: &Stage, target: &str) {
        let from = self.page.clone();
        self.navigate(stage, "GET", target, from.as_deref()).await;
    }

    /// Asks for the open page again.
    pub(super) async fn reloads(&mut self, stage: &Stage) {
        let page = self.page.clone().expect("a page");
        self.navigate(stage, "GET", &page, None).await;
    }

    /// Sends a form of the page that is open.
    pub(super) async fn submits(&mut self, stage: &Stage, target: &str) {
        let from = self.page.clone();
        self.navigate(stage, "POST", target, from.as_deref()).await;
    }

    /// Places an order; the shop says so by `X-Utm-Event`.
    pub(super) async fn orders(&mut self, stage: &mut Stage, order: &str, value: &str) {
        stage.note_order(order);
        self.submits(stage, &format!("/order/{order}/{value}")).await;
    }

    /// A server tells the shop of an order, without a cookie and from no page; the shop says so by `X-Utm-Event`.
    pub(super) async fn reports(&mut self, stage: &mut Stage, order: &str, value: &str) {
        stage.note_order(order);
        self.request(stage, "POST", &format!("{SHOP}/order/{order}/{value}"), None).await;
    }

    async fn navigate(&mut self, stage: &Stage, method: &str, target: &str, referrer: Option<&str>) {
        let mut url = if target.starts_with("http") { target.to_owned() } else { format!("{SHOP}{target}") };
        let mut method = method.to_owned();
        for _ in 0..=REDIRECTS {
            self.request(stage, &method, &url, referrer).await;
            let Some(location) = self.last.value("location").filter(|_| self.last.status() / 100 == 3) else {
                self.page = Some(url.split('#').next().unwrap().to_owned());
                return;
            };
            url = resolve(&url, location);
            method = "GET".to_owned();
        }
        panic!("too many redirects");
    }

    async fn request(&mut self, stage: &Stage, method: &str, url: &str, referrer: Option<&str>) {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (host, target) = rest.find(['/', '?']).map_or((rest, "/"), |at| rest.split_at(at));
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {}\r\nX-Forwarded-Proto: {scheme}\r\n\
             User-Agent: {}\r\nAccept: text/html,*/*;q=0.8\r\n",
            self.address, self.agent
        );
        if self.names_language {
            head.push_str("Accept-Language: uk-UA,uk;q=0.9\r\n");
        }
        if scheme == "https" {
            let site = match referrer {
                None => "none",
                Some(page) if host_of(page) == host => "same-origin",
                Some(page) if host_of(page).ends_with("shop.ua") => "same-site",
                Some(_) => "cross-site",
            };
            let _ = write!(
                head,
                "Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
            );
        }
        if let Some(page) = referrer.filter(|_| self.tells_referrer) {
            let _ = write!(head, "Referer: {page}\r\n");
            if method == "POST" {
                let _ = write!(head, "Origin: {scheme}://{}\r\n", host_of(page));
            }
        }
        let seen = self.jar.iter().filter(|cookie| cookie.is_seen_by(host));
        let cookies: Vec<String> = seen.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        if !cookies.is_empty() {
            let _ = write!(head, "Cookie: {}\r\n", cookies.join("; "));
        }
        if method == "POST" {
            head.push_str("Content-Length: 0\r\n");
        }
        let mut client = Client::connect(stage.proxies[self.proxy].running.proxy).await;
        client.send(format!("{head}{}\r\n", self.fields)).await;
        self.last = client.answer().await;
        if self.takes_cookies {
            let lines: Vec<String> = self.last.values("set-cookie").into_iter().map(str::to_owned).collect();
            lines.iter().for_each(|line| self.take_cookie(host, line));
        }
    }

    fn take_cookie(&mut self, host: &str, line: &str) {
        let mut parts = line.split("; ");
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let attributes: Vec<&str> = parts.collect();
        let domain = attributes.iter().find_map(|attribute| attribute.strip_prefix("Domain="));
        let cookie = Cookie {
            domain: domain.unwrap_or(host).to_owned(),
            is_wide: domain.is_some(),
            name: name.to_owned(),
            value: value.to_owned(),
        };
        assert!(cookie.is_seen_by(host), "a browser refuses {line} of {host}");
        self.jar.retain(|known| (&known.domain, &known.name) != (&cookie.domain, &cookie.name));
        if !attributes.contains(&"Max-Age=0") {
            self.jar.push(cookie);
        }
    }
}

impl Cookie {
    fn is_seen_by(&self, host: &str) -> bool {
        host == self.domain || (self.is_wide && host.ends_with(&format!(".{}", self.domain)))
    }
}

/// The shop: a page at every path, but for those that say what they are.
fn shop(request: &Received) -> Reply {
    const HTML: &str = "Content-Type: text/html; charset=utf-8";
    let redirect = |status: &str, to: &str| Reply::with(status, &[&format!("Location: {to}")], "");
    let target = request.target();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        ["order", order, value] => {
            let event = format!("X-Utm-Event: purchase; order_id={order}; value={value}; currency=UAH");
            Reply::with("303 See Other", &["Location: /thanks", &event], "")
        }
        // Somebody searches for what stands in the query.
        ["search"] => {
            Reply::with("200 OK", &[HTML, &format!("X-Utm-Event: search; query={query}")], "<p>found</p>")
        }
        // Somebody looks at what the query names.
        ["product"] => Reply::with(
            "200 OK",
            &[HTML, &format!("X-Utm-Event: product_view; product_id=7; product_name={query}")],
            "<p>product</p>",
        ),
        // Loses the query, as many shops do.
        ["old", ..] => redirect("301 Moved Permanently", "/new"),
        ["cacheable-old", ..] => Reply::with(
            "301 Moved Permanently",
            &["Location: /new", "Cache-Control: public, max-age=86400"],
            "",
        ),
        ["login"] => redirect("302 Found", "/account"),
        // Anywhere: /goto?https://m.shop.ua/sale
        ["goto"] => redirect("302 Found", query),
        ["cached", ..] => Reply::with("200 OK", &[HTML, "Cache-Control: public, max-age=600"], "<p>page</p>"),
        ["unchanged", ..] => Reply::raw("HTTP/1.1 304 Not Modified\r\n\r\n"),
        ["missing"] => Reply::with("404 Not Found", &[HTML], "<p>none</p>"),
        ["broken"] => Reply::with("500 Internal Server Error", &[HTML], "<p>sorry</p>"),
        ["data", ..] => Reply::with("200 OK", &["Content-Type: application/json"], "{}"),
        _ => Reply::with("200 OK", &[HTML], "<p>page</p>"),
    }
}

fn resolve(page: &str, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    let scheme = page.find("://").unwrap() + 3;
    let end = page[scheme..].find(['/', '?']).map_or(page.len(), |at| scheme + at);
    format!("{}{location}", &page[..end])
}

fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// `source / medium / campaign`, as reports group by them, without what is not there.
fn label(value: &Value) -> String {
    joined(["source", "medium", "campaign"].map(|field| text(value, field)))
}

/// The values of a touch, as seen or inferred.
fn values(touch: &Value) -> String {
    joined(
        ["utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term"]
            .map(|field| text(touch, field)),
    )
}

fn joined<const N: usize>(words: [&str; N]) -> String {
    let there = words.into_iter().filter(|word| !word.is_empty() && *word != "(none)");
    let there: Vec<String> = there.map(|word| format!("{word:.40}")).collect();
    there.join(" / ")
}

fn when(time: &str) -> String {
    let at: Timestamp = time.parse().unwrap();
    at.to_zoned(TimeZone::UTC).strftime("%m-%d %H:%M").to_string()
}

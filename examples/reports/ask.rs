//! Asks every report of a stats port, as the program serves it, over growing windows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utm_dispatcher::config::{self, DatabasePlace, Live};
use utm_dispatcher::customer::CustomerHasher;
use utm_dispatcher::ingest::{Ingest, Receipts};
use utm_dispatcher::inspect::Inspection;
use utm_dispatcher::keys::KeyRing;
use utm_dispatcher::stats::{self, StatsContext, database::ReportDatabase};
use utm_dispatcher::telemetry::metrics::Metrics;

use crate::Arguments;

const PERIODS: [&str; 4] = ["today", "month", "year", "all_time"];

/// What is asked of the API; what begins with a slash is a page.
const QUESTIONS: [&str; 51] = [
    "/?",
    "/?source=google",
    "general-stats?",
    "general-stats?source=google",
    "general-stats?device=mobile",
    "timeseries?",
    "timeseries?source=google",
    "compare?",
    "sources?",
    "sources?device=mobile",
    "sources?model=linear",
    "campaigns?",
    "campaigns?source=google",
    "content?",
    "channels?",
    "devices?",
    "browsers?",
    "operating-systems?",
    "geo?",
    "geo/regions?",
    "geo/cities?",
    "referrers?",
    "landing-pages?",
    "landing-pages?source=google",
    "funnel?mode=closed",
    "funnel?mode=open",
    "funnel?source=google",
    "returning-visitors?",
    "products?",
    "products?source=google",
    "roi?ad_spend=1000",
    "repeat-rate?",
    "ltv-comparison?",
    "cohort-analysis?cohort_type=month",
    "cohort-analysis?cohort_type=month&metric=ltv",
    "ab-test?campaign=campaign%201",
    "attribution?",
    "attribution?by=campaign",
    "orders?",
    "orders?source=google",
    "sessions?",
    "sessions?device=mobile",
    "coverage?",
    "tag-health?",
    "export?type=orders&format=ndjson",
    "export?type=google-offline-conversions",
    "export?type=meta-conversions",
    "export?type=campaigns&format=ndjson",
    "export?type=touches&format=ndjson",
    "export?type=actions&format=ndjson",
    "export?type=sessions&format=ndjson",
];

/// Rows by the million, or each with a search of its own: whoever exports years of them does not wait for the end.
const LONG: [&str; 5] = [
    "export?type=google-offline-conversions",
    "export?type=meta-conversions",
    "export?type=touches&format=ndjson",
    "export?type=actions&format=ndjson",
    "export?type=sessions&format=ndjson",
];

/// Those that have no window. `{session}` and `{order}` stand for the newest ones.
const WITHOUT_WINDOW: [&str; 3] = ["sessions/{session}", "orders/{order}/explain", "realtime"];

/// Asks, prints a line for each question and answers the figures. The whole is bounded in time.
pub(crate) async fn every_question(url: &str, arguments: &Arguments) -> anyhow::Result<Vec<Value>> {
    let port = Port::start(url).await?;
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    let mut figures = Vec::new();
    println!("{:<48} {:>10} {:>10} {:>10} {:>10}   p50 / p95, ms", "", "today", "month", "year", "all_time");
    let is_wanted = |address: &str| address.contains(&arguments.only);
    for question in QUESTIONS {
        let addresses = PERIODS.map(|period| (period, format!("{question}&period={period}")));
        if !addresses.iter().any(|(_, address)| is_wanted(address)) {
            continue;
        }
        let mut cells = Vec::new();
        for (period, address) in addresses {
            let is_short = !LONG.contains(&question) || ["today", "month"].contains(&period);
            let is_asked = is_short && is_wanted(&address) && Instant::now() < end;
            let times = port.ask(is_asked.then_some(address), arguments.repeat).await?;
            cells.push(cell(times));
            figures.push(figure(question, Some(period), times));
        }
        println!("{question:<48} {:>10} {:>10} {:>10} {:>10}", cells[0], cells[1], cells[2], cells[3]);
    }
    for question in WITHOUT_WINDOW.iter().filter(|question| is_wanted(question)) {
        let session = port.newest("sessions", "session_id").await?;
        let order = port.newest("orders", "order_id").await?;
        let address = question.replace("{session}", &session).replace("{order}", &order);
        let times = port.ask(Some(address), arguments.repeat).await?;
        println!("{question:<48} {:>10}", cell(times));
        figures.push(figure(question, None, times));
    }
    Ok(figures)
}

fn cell(times: Option<(f64, f64)>) -> String {
    times.map_or_else(|| "–".to_owned(), |(p50, p95)| format!("{p50:.0}/{p95:.0}"))
}

fn figure(question: &str, period: Option<&str>, times: Option<(f64, f64)>) -> Value {
    let (p50, p95) = times.unzip();
    json!({"question": question, "period": period, "p50_ms": p50, "p95_ms": p95})
}

struct Port {
    address: String,
    client: reqwest::Client,
    _files: tempfile::TempDir,
}

impl Port {
    async fn start(url: &str) -> anyhow::Result<Port> {
        let files = tempfile::tempdir()?;
        let text = format!(
            "[proxy]\nlisten = [\"127.0.0.1:1\"]\n[[upstream]]\nname = \"shop\"\nservers = [\"http://127.0.0.1:9\"]\n\
             [database]\nurl = \"postgres://x@127.0.0.1/x\"\n[journal]\ndir = \"{}\"\n[stats]\nlisten = \"127.0.0.1:0\"\n\
             timezone = \"Europe/Kyiv\"\n",
            files.path().display()
        );
        let path = files.path().join("config.toml");
        std::fs::write(&path, text)?;
        let mut config = config::load(&path)?;
        config.database.place = DatabasePlace::Url(url.into());
        let keys = KeyRing::load_or_create(&files.path().join("customer-key"))?;
        let (batches, _) = std::sync::mpsc::channel();
        let pool = || ReportDatabase::new(url, 4, Duration::from_secs(60));
        let context = StatsContext {
            config: Live::new(config),
            database: pool()?,
            tokens: pool()?,
            metrics: Arc::new(Metrics::default()),
            ingest: Ingest::new(batches, Arc::new(Receipts::default())),
            customers: CustomerHasher::new(&keys, None),
            inspection: Inspection::new().0,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        tokio::spawn(stats::serve(listener, context, CancellationToken::new()));
        Ok(Port { address, client: reqwest::Client::builder().no_proxy().build()?, _files: files })
    }

    /// What the newest row of a list has in a field.
    async fn newest(&self, list: &str, field: &str) -> anyhow::Result<String> {
        let answer =
            self.client.get(format!("{}/api/v1/{list}?period=all_time&limit=1", self.address)).send().await?;
        let answer: Value = answer.json().await?;
        let name = answer["results"][0][field].as_str().with_context(|| format!("no {field}: {answer}"))?;
        Ok(name.to_owned())
    }

    /// Median and 95th percentile of the answers, in milliseconds; none when one takes a minute, or nothing is asked.
    async fn ask(&self, question: Option<String>, repeat: usize) -> anyhow::Result<Option<(f64, f64)>> {
        let Some(question) = question else { return Ok(None) };
        let mut times = Vec::new();
        for round in 0..=repeat {
            let begun = Instant::now();
            let below = if question.starts_with('/') { "" } else { "/api/v1/" };
            let answer = self.client.get(format!("{}{below}{question}", self.address)).send().await?;
            let status = answer.status();
            let text = answer.text().await?;
            if status == 422 || status == 503 {
                return Ok(None);
            }
            anyhow::ensure!(status.is_success(), "{question}: {text}");
            let time = begun.elapsed().as_secs_f64() * 1e3;
            if round > 0 {
                times.push(time);
            }
            // What takes long is as long the second time.
            if begun.elapsed() > Duration::from_secs(5) {
                times.push(time);
                break;
            }
        }
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
        Ok(Some((at(0.5), at(0.95))))
    }
}

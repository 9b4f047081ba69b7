//! Asks every report of a stats port, as the program serves it, over growing windows.

use std::sync::Arc;
use std::time::{Duration, Instant};

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

const QUESTIONS: [&str; 44] = [
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
    "export?type=sessions&format=ndjson",
];

/// Asks, prints a line for each question and answers the figures. The whole is bounded in time.
pub(crate) async fn every_question(url: &str, arguments: &Arguments) -> anyhow::Result<Vec<Value>> {
    let port = Port::start(url).await?;
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    let mut figures = Vec::new();
    println!("{:<48} {:>10} {:>10} {:>10} {:>10}   p50 / p95, ms", "", "today", "month", "year", "all_time");
    for question in QUESTIONS.iter().filter(|question| question.contains(&arguments.only)) {
        let mut cells = Vec::new();
        for period in PERIODS {
            // Two days of sessions are told one by one; whoever exports years does not wait for them.
            let is_asked = Instant::now() < end && !(question.contains("type=sessions") && period != "month");
            let times = if is_asked {
                port.ask(&format!("{question}&period={period}"), arguments.repeat).await?
            } else {
                None
            };
            cells.push(times.map_or_else(|| "–".to_owned(), |(p50, p95)| format!("{p50:.0}/{p95:.0}")));
            figures
                .push(json!({"question": question, "period": period, "p50_ms": times.map(|times| times.0),
                                "p95_ms": times.map(|times| times.1)}));
        }
        println!("{question:<48} {:>10} {:>10} {:>10} {:>10}", cells[0], cells[1], cells[2], cells[3]);
    }
    Ok(figures)
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
        let address = format!("http://{}/api/v1/", listener.local_addr()?);
        tokio::spawn(stats::serve(listener, context, CancellationToken::new()));
        Ok(Port { address, client: reqwest::Client::builder().no_proxy().build()?, _files: files })
    }

    /// Median and 95th percentile of the answers, in milliseconds; none when one takes a minute.
    async fn ask(&self, question: &str, repeat: usize) -> anyhow::Result<Option<(f64, f64)>> {
        let mut times = Vec::new();
        for round in 0..=repeat {
            let begun = Instant::now();
            let answer = self.client.get(format!("{}{question}", self.address)).send().await?;
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

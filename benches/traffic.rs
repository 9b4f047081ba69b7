//! What counting and logging a request add on the worker: `cargo bench --bench traffic`. Lines go to a pipe's writer that
//! drops them, /dev/null.
#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to say")]

use std::net::IpAddr;
use std::time::Duration;

use divan::{Bencher, black_box};
use http::Version;
use utm_dispatcher::config::{AccessLog as LogConfig, AccessLogFormat, StoreIp};
use utm_dispatcher::telemetry::access_log::{AccessLog, End, Entry, UpstreamPart};
use utm_dispatcher::telemetry::metrics::Metrics;
use utm_dispatcher::telemetry::traffic::Traffic;

const AGENT: &[u8] =
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 \
    Safari/537.36";

/// The program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// One request from its head to its end.
#[divan::bench]
fn count(bencher: Bencher) {
    let traffic = Traffic::default();
    let meter = traffic.open(vec!["none".to_owned(), "default".to_owned()]);
    bencher.bench_local(|| {
        meter.begin();
        meter.answer(black_box(200));
        meter.send(black_box(700));
        let time = black_box(Duration::from_micros(1_234));
        meter.end(1, 200, time, Some(time), 0);
    });
}

#[divan::bench]
fn log_combined(bencher: Bencher) {
    log(bencher, AccessLogFormat::Combined);
}

#[divan::bench]
fn log_json(bencher: Bencher) {
    log(bencher, AccessLogFormat::Json);
}

fn log(bencher: Bencher, format: AccessLogFormat) {
    let config = LogConfig { format, path: Some("/dev/null".into()), address: StoreIp::Truncated };
    let (log, _ended) = AccessLog::start(&config, &Metrics::default()).unwrap().unwrap();
    let pen = log.pen();
    let entry = Entry {
        at_ms: 1_764_000_000_123,
        client: IpAddr::from([203, 0, 113, 77]),
        https: true,
        method: "GET",
        path: "/catalogue/shoes/running-shoe-42_1042/",
        query_bytes: 120,
        version: Version::HTTP_11,
        host: b"www.shop.example",
        referer: b"https://www.facebook.com/",
        user_agent: AGENT,
        status: 200,
        request_bytes: 1_812,
        sent_bytes: 7_412,
        time: Duration::from_micros(12_345),
        upstream: Some(UpstreamPart {
            name: "shop",
            server: "127.0.0.1:9000",
            connect: None,
            header: Some(Duration::from_micros(11_087)),
            total: Some(Duration::from_micros(11_961)),
            answered: true,
            retries: 0,
        }),
        request_id: b"019abc0123456789abcdef0123456789",
        site: "default",
        route: "default",
        reason: None,
        end: End::Complete,
    };
    bencher.bench_local(|| pen.write(black_box(&entry)));
}

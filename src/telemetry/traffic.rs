//! Requests and their times, by route and class of the status. Each worker counts on cache lines of its own, which only
//! it writes, so that a request costs no locked instruction; whoever asks for the metrics sums up.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Upper bounds of the histograms' buckets, microseconds.
const BOUNDS_US: [u64; 15] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 60_000_000,
];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counts of all workers, of those that have ended too.
#[derive(Debug, Default)]
pub struct Traffic(Mutex<Shards>);

#[derive(Debug, Default)]
struct Shards {
    open: Vec<Arc<Shard>>,
    /// Sums of shards whose workers have ended, or have other routes by now.
    closed: Sums,
}

/// What one worker counts with.
#[derive(Debug)]
pub struct Meter {
    shard: Arc<Shard>,
    /// Keeps it on its thread: a shard has one writer.
    on_one_thread: PhantomData<Rc<()>>,
}

#[derive(Debug)]
struct Shard {
    /// Label `route` of each of `routes`.
    labels: Vec<String>,
    totals: Totals,
    routes: Box<[ByClass]>,
}

/// Padded, as are all that are written: the line before and the line after are somebody else's, and processors fetch
/// lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Totals {
    begun: Count,
    ended: Count,
    answered: [Count; CLASSES.len()],
    request_body_bytes: Count,
    response_body_bytes: Count,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct ByClass([Times; CLASSES.len()]);

#[derive(Debug, Default)]
struct Times {
    request: Histogram,
    upstream_header: Histogram,
}

#[derive(Debug, Default)]
struct Histogram {
    sum_us: Count,
    /// The last one is of what lies beyond all bounds.
    buckets: [Count; BOUNDS_US.len() + 1],
}

/// A counter with one writer and any number of readers.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Count {
    fn add(&self, number: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Histogram {
    fn observe(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.add(us);
        self.buckets[BOUNDS_US.partition_point(|bound| *bound < us)].add(1);
    }
}

impl Traffic {
    /// A worker begins to count; `labels` are its routes', in the order of their numbers.
    pub fn open(&self, labels: Vec<String>) -> Meter {
        let routes = labels.iter().map(|_| ByClass::default()).collect();
        let shard = Arc::new(Shard { labels, totals: Totals::default(), routes });
        let mut shards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Shards { open, closed } = &mut *shards;
        open.retain(|shard| {
            let is_in_use = Arc::strong_count(shard) > 1;
            if !is_in_use {
                closed.add(shard);
            }
            is_in_use
        });
        open.push(Arc::clone(&shard));
        Meter { shard, on_one_thread: PhantomData }
    }

    fn sums(&self) -> Sums {
        let shards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sums = shards.closed.clone();
        shards.open.iter().for_each(|shard| sums.add(shard));
        sums
    }
}

impl Meter {
    /// A request's head has come.
    pub fn begin(&self) {
        self.shard.totals.begun.add(1);
    }

    /// It has an answer, or none any more.
    pub fn answer(&self, status: u16) {
        self.shard.totals.answered[class(status)].add(1);
    }

    /// Bytes of an answer's body go out.
    pub fn send(&self, bytes: u64) {
        self.shard.totals.response_body_bytes.add(bytes);
    }

    /// The answer has ended. `upstream_header`: from the request's sending to the head of the upstream's answer.
    pub fn end(
        &self,
        route: usize,
        status: u16,
        time: Duration,
        upstream_header: Option<Duration>,
        body_bytes: u64,
    ) {
        let totals = &self.shard.totals;
        totals.ended.add(1);
        totals.request_body_bytes.add(body_bytes);
        let Some(route) = self.shard.routes.get(route) else { return };
        let times = &route.0[class(status)];
        times.request.observe(time);
        if let Some(time) = upstream_header {
            times.upstream_header.observe(time);
        }
    }
}

fn class(status: u16) -> usize {
    usize::from(status / 100).clamp(1, CLASSES.len()) - 1
}

#[derive(Debug, Default, Clone)]
struct Sums {
    in_flight: u64,
    answered: [u64; CLASSES.len()],
    request_body_bytes: u64,
    response_body_bytes: u64,
    routes: BTreeMap<String, [[Sum; 2]; CLASSES.len()]>,
}

/// Of a histogram.
#[derive(Debug, Default, Clone)]
struct Sum {
    sum_us: u64,
    buckets: [u64; BOUNDS_US.len() + 1],
}

impl Sums {
    fn add(&mut self, shard: &Shard) {
        let totals = &shard.totals;
        // Read in this order, an exchange that ends meanwhile is counted as under way rather than as less than none.
        let ended = totals.ended.get();
        self.in_flight += totals.begun.get().saturating_sub(ended);
        for (sum, count) in self.answered.iter_mut().zip(&totals.answered) {
            *sum += count.get();
        }
        self.request_body_bytes += totals.request_body_bytes.get();
        self.response_body_bytes += totals.response_body_bytes.get();
        for (label, route) in shard.labels.iter().zip(&shard.routes) {
            let sums = self.routes.entry(label.clone()).or_default();
            for ([request, upstream_header], times) in sums.iter_mut().zip(&route.0) {
                request.add(&times.request);
                upstream_header.add(&times.upstream_header);
            }
        }
    }
}

impl Sum {
    fn add(&mut self, histogram: &Histogram) {
        self.sum_us += histogram.sum_us.get();
        for (sum, count) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += count.get();
        }
    }
}

/// What `/metrics` shows of it.
#[derive(Debug)]
pub(super) struct TrafficCollector(pub(super) Arc<Traffic>);

impl Collector for TrafficCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let sums = self.0.sums();
        let mut requests = encoder.encode_descriptor(
            "requests",
            "Requests answered, by status class",
            None,
            MetricType::Counter,
        )?;
        for (class, count) in CLASSES.iter().zip(sums.answered) {
            requests
                .encode_family(&[("class", *class)])?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        encoder
            .encode_descriptor("requests_in_flight", "Requests being answered", None, MetricType::Gauge)?
            .encode_gauge(&i64::try_from(sums.in_flight).unwrap_or(i64::MAX))?;
        for (name, help, bytes) in [
            ("request_body_bytes", "Bytes of requests' bodies", sums.request_body_bytes),
            ("response_body_bytes", "Bytes of answers' bodies", sums.response_body_bytes),
        ] {
            encoder
                .encode_descriptor(name, help, None, MetricType::Counter)?
                .encode_counter::<NoLabelSet, _, u64>(&bytes, None)?;
        }
        for (number, name, help) in [
            (0, "request_seconds", "From a request's head to the end of its answer"),
            (1, "upstream_header_seconds", "From a request's sending to the head of the answer"),
        ] {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            for (route, by_class) in &sums.routes {
                for (class, sums) in CLASSES.iter().zip(by_class) {
                    let sum = &sums[number];
                    let count: u64 = sum.buckets.iter().sum();
                    // What has never been is left out, or each route would be ten histograms.
                    if count > 0 {
                        let labels = [("route", route.as_str()), ("class", *class)];
                        family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                            seconds(sum.sum_us),
                            count,
                            &sum.by_seconds(),
                            None,
                        )?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Sum {
    fn by_seconds(&self) -> [(f64, u64); BOUNDS_US.len() + 1] {
        std::array::from_fn(|number| {
            (BOUNDS_US.get(number).map_or(f64::INFINITY, |bound| seconds(*bound)), self.buckets[number])
        })
    }
}

fn seconds(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    fn shown(traffic: &Arc<Traffic>) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(TrafficCollector(Arc::clone(traffic))));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn workers_are_summed_up_and_an_ended_one_is_not_forgotten() {
        let traffic = Arc::new(Traffic::default());
        let routes = || vec!["none".to_owned(), "shop.test/".to_owned()];
        for _ in 0..3 {
            let meter = traffic.open(routes());
            meter.begin();
            meter.answer(204);
            meter.send(7);
            meter.end(1, 204, Duration::from_micros(1_000), Some(Duration::from_micros(999)), 5);
        }
        let meter = traffic.open(vec!["none".to_owned()]);
        meter.begin();
        meter.begin();
        meter.answer(503);
        meter.end(0, 503, Duration::from_secs(61), None, 0);
        let text = shown(&traffic);
        for line in [
            "requests_total{class=\"2xx\"} 3",
            "requests_total{class=\"5xx\"} 1",
            "requests_in_flight 1",
            "request_body_bytes_total 15",
            "response_body_bytes_total 21",
            "request_seconds_bucket{le=\"0.0005\",route=\"shop.test/\",class=\"2xx\"} 0",
            "request_seconds_bucket{le=\"0.001\",route=\"shop.test/\",class=\"2xx\"} 3",
            "request_seconds_bucket{le=\"60.0\",route=\"none\",class=\"5xx\"} 0",
            "request_seconds_bucket{le=\"+Inf\",route=\"none\",class=\"5xx\"} 1",
            "request_seconds_sum{route=\"none\",class=\"5xx\"} 61.0",
            "upstream_header_seconds_count{route=\"shop.test/\",class=\"2xx\"} 3",
        ] {
            assert!(text.contains(&format!("\n{line}\n")), "{line} in:\n{text}");
        }
        assert!(!text.contains("upstream_header_seconds_count{route=\"none\""), "{text}");
    }
}

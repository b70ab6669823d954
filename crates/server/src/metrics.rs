//! What `/metrics` shows, in Prometheus text; each figure says there what it means.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::routes::REFERRAL;
use crate::scrape::{MetricsSnapshot, ProcessMetrics};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CapacityLabel {
    of: &'static str,
}

/// The server's own figures.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter<u64, AtomicU64>>,
    seconds: Family<RouteLabels, Histogram>,
    running: Gauge<i64, AtomicI64>,
    too_costly: Counter<u64, AtomicU64>,
    left_out: Counter<u64, AtomicU64>,
    for_capacity: Family<CapacityLabel, Counter<u64, AtomicU64>>,
    hot: HotMetrics,
}

/// The figures of a GET of one referral that is there, at hand without a look for them.
struct HotMetrics {
    requests: Counter<u64, AtomicU64>,
    seconds: Histogram,
}

const HOT_LABELS: RequestLabels = RequestLabels { route: REFERRAL, method: "GET", status: 200 };

/// What requests are refused for: the places that callers share, the rate of one caller, the time of one request, and the
/// work of one batch.
const REFUSAL_REASONS: [&str; 8] =
    ["requests", "bodies", "memory", "answers", "lists", "rate", "deadline", "batch"];

/// From 20 µs, what a GET of a hot referral takes, to 10 s, three steps a decade.
const BUCKETS: [f64; 18] = [
    0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0,
    5.0, 10.0,
];

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

impl Default for Metrics {
    fn default() -> Metrics {
        let requests = Family::<RequestLabels, Counter<u64, AtomicU64>>::default();
        let seconds = Family::<RouteLabels, Histogram>::new_with_constructor(histogram as fn() -> Histogram);
        let RequestLabels { route, method, .. } = HOT_LABELS;
        let hot = HotMetrics {
            requests: requests.get_or_create_owned(&HOT_LABELS),
            seconds: seconds.get_or_create_owned(&RouteLabels { route, method }),
        };
        let mut metrics = Metrics {
            registry: Registry::with_prefix("cosell"),
            requests,
            seconds,
            running: Gauge::default(),
            too_costly: Counter::default(),
            left_out: Counter::default(),
            for_capacity: Family::default(),
            hot,
        };
        let registry = &mut metrics.registry;
        registry.register("http_requests", "Answers, by route, method and status", metrics.requests.clone());
        registry.register(
            "http_request_seconds",
            "Time from the end of the head to the answer",
            metrics.seconds.clone(),
        );
        registry.register("http_requests_running", "Requests in work", metrics.running.clone());
        registry.register(
            "queries_too_costly",
            "Queries refused for what they would cost",
            metrics.too_costly.clone(),
        );
        registry.register(
            "referrals_left_out",
            "Damaged referrals that lists and counts left out",
            metrics.left_out.clone(),
        );
        registry.register(
            "refused_for_capacity",
            "Requests refused because a limit of the server or a caller's share was reached",
            metrics.for_capacity.clone(),
        );
        // Shown from the beginning, so that an alert sees the first one.
        for of in REFUSAL_REASONS {
            drop(metrics.for_capacity.get_or_create(&CapacityLabel { of }));
        }
        metrics
    }
}

/// One request in work.
pub(crate) struct RunningRequest<'a>(&'a Gauge<i64, AtomicI64>);

impl Drop for RunningRequest<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Counts a request as running until the guard is dropped, also when its client goes away before the answer.
    pub(crate) fn start_request(&self) -> RunningRequest<'_> {
        self.running.inc();
        RunningRequest(&self.running)
    }

    pub(crate) fn record_request(
        &self,
        route: &'static str,
        method: &'static str,
        status: u16,
        took: Duration,
    ) {
        let call = RequestLabels { route, method, status };
        if call == HOT_LABELS {
            self.hot.requests.inc();
            self.hot.seconds.observe(took.as_secs_f64());
            return;
        }
        self.requests.get_or_create(&call).inc();
        self.seconds.get_or_create(&RouteLabels { route, method }).observe(took.as_secs_f64());
    }

    pub(crate) fn refused_for_cost(&self) {
        self.too_costly.inc();
    }

    pub(crate) fn left_out(&self, referrals: usize) {
        self.left_out.inc_by(referrals as u64);
    }

    pub(crate) fn refused_for_capacity(&self, of: &'static str) {
        self.for_capacity.get_or_create(&CapacityLabel { of }).inc();
    }

    /// The text of `/metrics`.
    pub(crate) fn text(&self, snapshot: MetricsSnapshot, process: ProcessMetrics) -> String {
        let (mut others, mut of_the_system) = (Registry::with_prefix("cosell"), Registry::default());
        others.register_collector(Box::new(snapshot));
        of_the_system.register_collector(Box::new(process));
        let mut out = String::new();
        // Writing to a String cannot fail.
        for registry in [&self.registry, &others, &of_the_system] {
            let _ = text::encode_registry(&mut out, registry);
        }
        let _ = text::encode_eof(&mut out);
        out
    }
}

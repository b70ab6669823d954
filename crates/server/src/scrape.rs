//! Figures that others count, shown as they stand when `/metrics` is asked: those of the store, of the expiry and of the
//! process.

use std::fmt::Error;

use exchange::{Distribution, ExpiryMetrics, StoreMetrics};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// What the operating system says of this process; `None` where it does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ProcessMetrics {
    /// Memory that is in use and not on disk alone, in bytes.
    pub resident_bytes: Option<u64>,
    /// Time of processors that was used, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Open file descriptors, sockets included.
    pub open_files: Option<u64>,
    /// How many there may be.
    pub most_files: Option<u64>,
    /// When the process began, in seconds since the Unix epoch.
    pub began_at: Option<f64>,
}

/// Tells about the process. The composition root has the one that asks the operating system.
pub trait ProcessProbe: std::fmt::Debug + Send + Sync + 'static {
    /// The figures now.
    fn metrics(&self) -> ProcessMetrics;
}

/// What is known beside the server's own figures.
#[derive(Debug)]
pub(crate) struct MetricsSnapshot {
    pub(crate) accepts_writes: bool,
    /// For each place that callers share: its name, what is held of it, and how much there is.
    pub(crate) shares: [(&'static str, u64, u64); 4],
    pub(crate) store: StoreMetrics,
    pub(crate) expiry: ExpiryMetrics,
}

/// Writes figures one by one.
struct FamilyWriter<'a>(DescriptorEncoder<'a>);

impl FamilyWriter<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn fraction(&mut self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> Result<(), Error> {
        let mut out = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        out.encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    /// A histogram of values in so many parts of the unit to show.
    fn histogram(&mut self, name: &str, help: &str, values: &Distribution, parts: f64) -> Result<(), Error> {
        let bounds = values.bounds.iter().map(|bound| *bound as f64 / parts).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(values.counts.iter().copied()).collect();
        let count = values.counts.iter().sum();
        let mut out = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        out.encode_histogram::<NoLabelSet>(values.sum as f64 / parts, count, &buckets, None)
    }
}

impl Collector for MetricsSnapshot {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let mut out = FamilyWriter(encoder);
        let mut build =
            out.0.encode_descriptor("build", "The version of the program", None, MetricType::Info)?;
        build.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        let writes = "1, or 0 while the store takes no writes";
        out.gauge("store_accepts_writes", writes, u64::from(self.accepts_writes))?;
        self.shares(&mut out)?;
        self.store(&mut out)?;
        let ExpiryMetrics { looks, expired, overdue_seconds } = self.expiry;
        out.counter("expiry_looks", "Searches for unanswered referrals whose time is up", looks)?;
        out.counter("expiry_referrals", "Unanswered referrals that were closed", expired)?;
        let overdue = "For how long the soonest expiry has passed; 0 while nothing is due";
        out.fraction("expiry_overdue_seconds", overdue, overdue_seconds)
    }
}

impl MetricsSnapshot {
    fn shares(&self, out: &mut FamilyWriter) -> Result<(), Error> {
        let held = "What is held of the places that callers share: numbers, or bytes of memory and answers";
        let mut gauges = out.0.encode_descriptor("shares_held", held, None, MetricType::Gauge)?;
        for (name, held, _) in &self.shares {
            gauges.encode_family(&[("of", *name)])?.encode_gauge(held)?;
        }
        let limit = "How much there is of them";
        let mut gauges = out.0.encode_descriptor("shares_limit", limit, None, MetricType::Gauge)?;
        for (name, _, limit) in &self.shares {
            gauges.encode_family(&[("of", *name)])?.encode_gauge(limit)?;
        }
        Ok(())
    }

    fn store(&self, out: &mut FamilyWriter) -> Result<(), Error> {
        let StoreMetrics { group_sizes, commit_microseconds, cache, lists_waiting, log_bytes, pool } =
            &self.store;
        out.histogram("store_group_changes", "Changes that shared a commit", group_sizes, 1.0)?;
        let commit = "Time that commits took, with the writing to disk";
        out.histogram("store_commit_seconds", commit, commit_microseconds, 1e6)?;
        if let Some(cache) = cache {
            out.counter("store_cache_hits", "Referrals that the cache had", cache.hits)?;
            out.counter(
                "store_cache_misses",
                "Referrals that the database had to be asked for",
                cache.misses,
            )?;
            out.gauge("store_cache_bytes", "Bytes in the cache", cache.bytes)?;
            out.gauge("store_cache_limit_bytes", "Bytes that the cache may hold", cache.limit_bytes)?;
        }
        if let Some(waiting) = lists_waiting {
            out.gauge("store_lists_waiting", "Lists that wait for a thread", *waiting)?;
        }
        if let Some(bytes) = log_bytes {
            out.gauge("store_log_bytes", "Bytes of the write-ahead log", *bytes)?;
        }
        if let Some(pool) = pool {
            out.gauge("database_connections_in_use", "Connections that are lent", pool.in_use)?;
            out.gauge("database_connections_limit", "Connections that there may be", pool.limit)?;
            out.gauge("database_connections_waiting", "Calls that wait for a connection", pool.waiting)?;
            out.counter("database_retries", "Statements and transactions tried again", pool.retries)?;
            out.counter("database_unavailable", "Calls that got no connection", pool.unavailable)?;
        }
        Ok(())
    }
}

/// Under the names that Prometheus gives such figures of any process.
impl Collector for ProcessMetrics {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let mut out = FamilyWriter(encoder);
        if let Some(seconds) = self.cpu_seconds {
            out.counter("process_cpu_seconds", "Time of processors that was used", seconds)?;
        }
        if let Some(bytes) = self.resident_bytes {
            out.gauge("process_resident_memory_bytes", "Memory in use", bytes)?;
        }
        if let Some(files) = self.open_files {
            out.gauge("process_open_fds", "Open file descriptors", files)?;
        }
        if let Some(files) = self.most_files {
            out.gauge("process_max_fds", "File descriptors that there may be", files)?;
        }
        if let Some(began_at) = self.began_at {
            out.fraction("process_start_time_seconds", "When the process began, Unix time", began_at)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use exchange::StoreMetrics;
    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::*;

    /// Figures of both engines at once; a server has those of one.
    fn everything() -> String {
        let (cache, pool) = (Some(Default::default()), Some(Default::default()));
        let store = StoreMetrics {
            cache,
            pool,
            lists_waiting: Some(3),
            log_bytes: Some(4),
            ..StoreMetrics::default()
        };
        let snapshot = MetricsSnapshot {
            accepts_writes: true,
            shares: [("requests", 0, 1); 4],
            store,
            expiry: ExpiryMetrics::default(),
        };
        let mut registry = Registry::with_prefix("cosell");
        registry.register_collector(Box::new(snapshot));
        let mut out = String::new();
        text::encode(&mut out, &registry).unwrap();
        out
    }

    #[test]
    fn the_figures_of_both_engines_are_in_the_manual() {
        let (manual, shown) = (include_str!("../../../docs/operations.md"), everything());
        assert!(shown.contains("cosell_database_connections_in_use 0\n"), "{shown}");
        assert!(shown.contains("cosell_store_lists_waiting 3\n"), "{shown}");
        for (name, kind) in shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')) {
            let name = match kind {
                "counter" => format!("`{name}_total`"),
                "info" => format!("`{name}_info`"),
                _ => format!("`{name}`"),
            };
            assert!(manual.contains(&name), "docs/operations.md does not explain {name}");
        }
    }
}

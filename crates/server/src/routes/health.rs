//! `/livez`, `/readyz`, `/metrics`: for operators, without a token, with bodies of their own.

use std::sync::atomic::Ordering;

use http::StatusCode;

use super::{HealthCheck, text};
use crate::RequestContext;
use crate::response::{ApiResponse, json_response};
use crate::scrape::{MetricsSnapshot, ProcessMetrics};

impl RequestContext {
    pub(crate) fn health(&self, asked: HealthCheck) -> ApiResponse {
        match asked {
            HealthCheck::Live => json_response(StatusCode::OK, r#"{"status":"alive"}"#),
            HealthCheck::Ready => self.readiness(),
            HealthCheck::Metrics => {
                let figures = self.metrics.text(self.snapshot(), self.process());
                text(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", figures)
            }
        }
    }

    fn snapshot(&self) -> MetricsSnapshot {
        MetricsSnapshot {
            accepts_writes: self.exchange.health().is_ok(),
            shares: self.shares.usage(),
            store: self.exchange.store_metrics(),
            expiry: self.exchange.expiry_metrics(),
        }
    }

    fn process(&self) -> ProcessMetrics {
        self.options.process.as_ref().map(|process| process.metrics()).unwrap_or_default()
    }

    /// Ready while writes are accepted, lists come through, and no shutdown has begun.
    fn readiness(&self) -> ApiResponse {
        if self.draining.load(Ordering::SeqCst) {
            return json_response(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"draining"}"#);
        }
        if self.lists.is_stalled(self.exchange.now()) {
            return json_response(
                StatusCode::SERVICE_UNAVAILABLE,
                r#"{"status":"unavailable","reason":"lists wait, and none has come through for ten seconds"}"#,
            );
        }
        match self.exchange.health() {
            Ok(()) => json_response(StatusCode::OK, r#"{"status":"ready"}"#),
            Err(_) => json_response(
                StatusCode::SERVICE_UNAVAILABLE,
                r#"{"status":"unavailable","reason":"the store accepts no writes; see the log"}"#,
            ),
        }
    }
}

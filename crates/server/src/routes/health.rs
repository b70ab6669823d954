//! `/livez`, `/readyz`, `/metrics`: for operators, without a token, with bodies of their own.

use std::sync::atomic::Ordering;

use http::StatusCode;

use super::{Health, text};
use crate::Shared;
use crate::answer::{Answer, json};
use crate::scrape::{ProcessFigures, Scraped};

impl Shared {
    pub(crate) fn health(&self, asked: Health) -> Answer {
        match asked {
            Health::Live => json(StatusCode::OK, r#"{"status":"alive"}"#),
            Health::Ready => self.readiness(),
            Health::Metrics => {
                let figures = self.metrics.text(self.scraped(), self.process());
                text(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", figures)
            }
        }
    }

    fn scraped(&self) -> Scraped {
        Scraped {
            accepts_writes: self.exchange.health().is_ok(),
            shares: self.shares.figures(),
            store: self.exchange.store_metrics(),
            expiry: self.exchange.expiry_metrics(),
        }
    }

    fn process(&self) -> ProcessFigures {
        self.options.process.as_ref().map(|process| process.figures()).unwrap_or_default()
    }

    /// Ready while writes are accepted, lists come through, and no shutdown has begun.
    fn readiness(&self) -> Answer {
        if self.draining.load(Ordering::SeqCst) {
            return json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"draining"}"#);
        }
        if self.lists.is_stalled(self.exchange.now()) {
            return json(
                StatusCode::SERVICE_UNAVAILABLE,
                r#"{"status":"unavailable","reason":"lists wait, and none has come through for ten seconds"}"#,
            );
        }
        match self.exchange.health() {
            Ok(()) => json(StatusCode::OK, r#"{"status":"ready"}"#),
            Err(_) => json(
                StatusCode::SERVICE_UNAVAILABLE,
                r#"{"status":"unavailable","reason":"the store accepts no writes; see the log"}"#,
            ),
        }
    }
}

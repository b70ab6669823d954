//! What only this engine promises; the rest is the conformance suite.

mod batched_lookup;
mod metrics;
mod nodes;
mod pooled;
mod schema;
mod statements;
mod suite;
mod tls;

#[path = "../../tests/support/postgres.rs"]
pub(crate) mod database;

#[path = "../../tests/support/pgbouncer.rs"]
mod pgbouncer;

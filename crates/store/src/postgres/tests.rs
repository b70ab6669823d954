//! What only this engine promises; the rest is the conformance suite.

mod figures;
mod nodes;
mod schema;
mod statements;
mod suite;
mod tls;

#[path = "../../tests/support/postgres.rs"]
pub(crate) mod database;

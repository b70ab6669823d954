//! What only this engine promises; the rest is the conformance suite.

mod suite;

#[path = "../../tests/support/postgres.rs"]
mod database;

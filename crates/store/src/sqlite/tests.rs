//! What only this engine promises; the rest is the conformance suite.

mod bad_days;
mod bulk;
mod directory;
mod histories;
mod suite;

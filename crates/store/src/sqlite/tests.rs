//! What only this engine promises; the rest is the conformance suite.

mod aggregation;
mod backup;
mod bad_days;
mod bulk;
mod directory;
mod expressions;
mod histories;
mod lists;
mod suite;

use crate::{Columns, StoredReferral};

#[path = "../../tests/support/random.rs"]
mod random;

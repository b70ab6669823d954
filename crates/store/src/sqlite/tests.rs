//! What only this engine promises; the rest is the conformance suite.

mod aggregation;
mod backup;
mod bad_days;
mod bulk;
mod directory;
mod histories;
mod lists;
mod suite;

use crate::{Columns, StoredReferral};

#[expect(dead_code, reason = "the other tests make lists too")]
#[path = "../../tests/support/random.rs"]
mod random;

//! Bulk loading.

/// What a bulk load did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkReport {
    /// Referrals that are new in the store.
    pub loaded: u64,
    /// Referrals whose id was in the store already, or came twice.
    pub skipped_existing: u64,
}

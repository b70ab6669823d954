//! What the targets with a store begin with.

use std::sync::Arc;

use exchange::Clock;
use referral::{OrganizationId, Timestamp};
use store::sqlite::{SqliteOptions, SqliteStore};
use store::{Organization, Store};

/// In seconds since 1970.
pub(crate) const NOW: i64 = 1_800_000_000;

/// Time and chance that stand still.
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(NOW)
    }
}

/// An empty store whose one organization is Microsoft, of issuer `issuer` and this tenant.
pub(crate) async fn store_of(tenant: Option<&str>) -> Arc<dyn Store> {
    let folder = tempfile::tempdir().expect("a folder").keep();
    let store = SqliteStore::open(&folder, SqliteOptions::default()).expect("a store");
    // The files are open: they live as long as the process.
    let _ = std::fs::remove_dir_all(folder);
    let organization = Organization {
        id: OrganizationId::MICROSOFT,
        name: "Microsoft".to_owned(),
        issuer: "issuer".to_owned(),
        tenant: tenant.map(str::to_owned),
        partner_id: None,
        locations: Vec::new(),
    };
    store.save_organization(&organization).await.expect("an organization");
    Arc::new(store)
}

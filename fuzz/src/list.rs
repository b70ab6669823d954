//! Any bytes as the query string of a list, in both temperaments, over a real store: refused with a reason, or
//! answered; its continuation reads back as the same question; and no statement is made that SQLite refuses.

use std::sync::{Arc, LazyLock};

use exchange::{ApiMode, Continuation, Exchange, Ids, ListRequest, Policy, Principal, ReadError, StoreError};
use referral::Timestamp;
use uuid::Uuid;

use super::world::{Still, store_of};

impl Ids for Still {
    fn next(&self, _: Timestamp) -> Uuid {
        Uuid::from_u128(1)
    }
}

struct World {
    exchange: Exchange,
    caller: exchange::Caller,
    runtime: tokio::runtime::Runtime,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let exchange = runtime.block_on(async {
        Exchange::open(store_of(None).await, Arc::new(Still), Arc::new(Still), Policy::default()).await
    });
    let exchange = exchange.expect("an exchange");
    let person = Principal {
        issuer: "issuer".to_owned(),
        tenant: None,
        subject: "seller".to_owned(),
        identities: vec!["seller@msft.example".to_owned()],
        roles: vec!["ReferralAdmin".to_owned()],
        app_only: false,
    };
    let caller = exchange.admit(&person).expect("a caller");
    World { exchange, caller, runtime }
});

/// Any bytes as the query string of a list.
pub fn list(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for mode in [ApiMode::Strict, ApiMode::Extended] {
        let Ok(list_request) = ListRequest::from_query(text, mode) else { continue };
        let again =
            ListRequest::from_query(&list_request.continuation_query("token"), mode).expect("a continuation");
        assert_eq!(again.fingerprint(), list_request.fingerprint());
        let World { exchange, caller, runtime } = &*WORLD;
        let outcome = runtime.block_on(async {
            if list_request.options().apply.is_some() {
                return exchange.aggregate(caller, &list_request, None).await.map(drop);
            }
            exchange.page(caller, &list_request, None::<&Continuation>, false).await.map(drop)
        });
        match outcome {
            Ok(()) | Err(ReadError::Store(StoreError::NotSupported(_) | StoreError::TooCostly(_))) => {}
            Err(other) => panic!("{text}: {other}"),
        }
    }
}

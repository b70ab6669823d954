//! Expiry by several nodes: one of them does the job at a time, and another goes on when that one is killed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use referral::{EngagementId, OrganizationId, ReferralId, ReferralStatus, ReferralSubstatus, Timestamp};
use serde_json::{Value, json};
use store::postgres::{PostgresOptions, PostgresStore};
use store::{Action, Change, Entry, Store, StoredReferral, Write};

use super::clients::{PATH, post};
use super::database::Database;
use super::place::{ORGANIZATIONS, Place};
use super::proxy::{Network, Proxy};
use super::support::Sandbox;
use super::{call, psql};

/// How many are due.
const DUE: u64 = 1500;
/// What one part takes from a node to the database and back: the job lasts long enough to be cut off.
const SLOW: Duration = Duration::from_millis(15);
/// A node's debug log says so of each.
const EXPIRED: &str = "expired unanswered";

#[test]
fn each_due_referral_expires_once_though_many_nodes_are_there_and_the_one_at_work_is_killed() {
    let database = Database::new();
    let place = Place::in_database(&database.address());
    make_due(&place, &database);

    let proxies = [(); 3].map(|()| Proxy::before(database.socket()));
    let mut nodes: Vec<Sandbox> = proxies
        .iter()
        .map(|proxy| {
            proxy.becomes(Network::Slow(SLOW));
            let port = proxy.address().port();
            place.serve(&format!("host=127.0.0.1 port={port} user=cosell dbname={}", database.name()))
        })
        .collect();

    // Whoever is the first to close something is killed in the middle of it.
    let begun = Instant::now();
    let at_work = loop {
        if let Some(number) = nodes.iter().position(|node| node.log().contains(EXPIRED)) {
            break number;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody begins");
        std::thread::sleep(Duration::from_millis(2));
    };
    nodes[at_work].kill();
    // What it had sent may still arrive.
    let mut done = 0;
    while done != expired(&database) {
        done = expired(&database);
        std::thread::sleep(SLOW * 20);
    }
    assert!(done > 0 && done < DUE, "{done} of {DUE} were closed before the kill");
    let others: Vec<Sandbox> = nodes
        .into_iter()
        .enumerate()
        .filter(|(number, _)| *number != at_work)
        .map(|(_, node)| node)
        .collect();

    // The job is still its own for a while; then another goes on.
    let begun = Instant::now();
    while expired(&database) < DUE {
        assert!(begun.elapsed() < Duration::from_secs(45), "{} of {DUE} are closed", expired(&database));
        std::thread::sleep(Duration::from_millis(50));
    }
    let twice = "SELECT count(*) FROM (
           SELECT referral FROM change_log WHERE action = 2 GROUP BY referral HAVING count(*) > 1
         ) AS twice";
    assert_eq!((expired(&database), psql(&database, twice).as_str()), (DUE, "0"));
    let open = "SELECT count(*) FROM referral WHERE status = 1 AND expires IS NOT NULL";
    assert_eq!(psql(&database, open), "0");
    let gaps = "SELECT count(*) = max(position) FROM change_log GROUP BY organization";
    assert_eq!(psql(&database, gaps), "t");
    // What one did the other did not try.
    let (closed, beaten): (Vec<usize>, Vec<usize>) = others
        .iter()
        .map(|node| node.log())
        .map(|log| (log.matches(EXPIRED).count(), log.matches("changed before it expired").count()))
        .unzip();
    assert_eq!(beaten, [0, 0], "{closed:?}");
    assert_eq!(closed.iter().sum::<usize>() as u64, DUE - done, "{closed:?}");
}

fn expired(database: &Database) -> u64 {
    psql(database, "SELECT count(*) FROM change_log WHERE action = 2").parse().unwrap()
}

/// Makes one referral as a client does, and many like it that stand New and whose time is up.
fn make_due(place: &Place, database: &Database) {
    let node = place.serve(&database.address());
    let made = call(&node, &place.token(0), "POST", PATH, &[], &post("model").body);
    assert_eq!(made.status, 201, "{}", made.text());
    let id: ReferralId = made.json()["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(node.stop(), 0);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = PostgresStore::open(&database.address(), PostgresOptions::default()).await.unwrap();
        let owner: OrganizationId = ORGANIZATIONS[0].0.parse().unwrap();
        let model = store.referral(&owner, id).await.unwrap().unwrap();
        let all: Vec<Change> = (1..=DUE).map(|number| due(&model, number)).collect();
        for some in all.chunks(250) {
            let committed = store.commit_all(some.to_vec()).await.unwrap();
            assert!(matches!(committed, store::AllOrNone::All(_)), "{committed:?}");
        }
        store.close().await;
    });
}

fn due(model: &StoredReferral, number: u64) -> Change {
    let expires = Timestamp::from_unix_seconds(1_700_000_000);
    let mut bytes = [0xa0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    let (id, engagement) = (ReferralId::from_bytes(bytes), EngagementId::from_bytes(bytes));
    let mut document: Value = serde_json::from_slice(&model.document).unwrap();
    document["id"] = json!(id.to_string());
    document["engagementId"] = json!(engagement.to_string());
    (document["status"], document["substatus"]) = (json!("New"), json!("Pending"));
    document["direction"] = json!("Incoming");
    document
        .as_object_mut()
        .unwrap()
        .entry("acceptedDateTime")
        .and_modify(|accepted| *accepted = Value::Null);
    document["expirationDateTime"] = json!(expires.to_string());
    let mut referral = StoredReferral {
        id,
        engagement_id: engagement,
        document: Bytes::from(document.to_string()),
        ..model.clone()
    };
    (referral.columns.status, referral.columns.substatus) = (ReferralStatus::New, ReferralSubstatus::Pending);
    referral.columns.accepted = None;
    referral.columns.expires = Some(expires);
    let entry =
        Entry { action: Action::Created, at: expires, actor: None, changes: Bytes::from_static(b"{}") };
    let write = Write { referral, decided_on: None, entry, search: Some(String::new()) };
    Change { write: Some(write), guards: Vec::new(), answer: None }
}

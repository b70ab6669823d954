//! What lists cost, and that they may not cost more.

use bytes::Bytes;
use odata::{BindSettings, Binder, Limits, ParseSettings, QueryOptions, Search};
use referral::{ReferralQualification, ReferralStatus, ReferralSubstatus};

use super::super::{QueryLimits, SqliteOptions, SqliteStore};
use crate::conformance::samples::*;
use crate::{Action, Change, CommitOutcome, CountMode, Query, Scope, Store, StoreError, Write};

fn open(directory: &std::path::Path, limits: QueryLimits) -> SqliteStore {
    SqliteStore::open(directory, SqliteOptions { limits, ..SqliteOptions::default() }).unwrap()
}

pub(super) fn asked(filter: &str, order: &str) -> Query {
    let text = [("$filter", filter), ("$orderby", order)].into_iter().filter(|(_, text)| !text.is_empty());
    let text: Vec<_> = text.map(|(name, text)| format!("{name}={}", text.replace(' ', "%20"))).collect();
    let options = QueryOptions::parse(&text.join("&"), &ParseSettings::default()).unwrap();
    let settings = BindSettings::default();
    let bound = Binder::new(crate::schema(), "Referral", &settings).options(&options).unwrap();
    Query {
        scope: Scope { owner: organization(1), team: None, offer_leads: false, now: at(0) },
        filter: bound.filter,
        search: None,
        order: bound.orderby,
        after: None,
        skip: 0,
        limit: 50,
        count: CountMode::Exact,
    }
}

/// Of every tenth class `New/Pending`, the others spread over what a referral may be.
fn some(number: u64) -> Write {
    let mut referral = a_referral(&organization(1), number);
    (referral.columns.status, referral.columns.substatus) = match number % 10 {
        0 => (ReferralStatus::New, ReferralSubstatus::Pending),
        1 | 2 => (ReferralStatus::Active, ReferralSubstatus::Accepted),
        _ => (ReferralStatus::Closed, ReferralSubstatus::Won),
    };
    referral.columns.qualification = ReferralQualification::ALL[(number / 10 % 4) as usize];
    referral.document = Bytes::from(format!(r#"{{"name":"deal {number}"}}"#));
    let entry = news(Action::Imported, &referral);
    let search = words_of(&referral);
    Write { referral, decided_on: None, entry, search: Some(search) }
}

async fn filled(store: &SqliteStore, count: u64) {
    let all: Vec<_> = (0..count).map(some).collect();
    store.bulk_load(std::iter::once(all), |_| ()).await.unwrap();
}

/// What a query has cost: rows of indexes that were read, and steps of SQLite's machine.
async fn cost(store: &SqliteStore, query: &Query) -> (u64, u64) {
    let query = query.clone();
    let limits = store.limits;
    store.lists.ask(None, move |reader| reader.cost(limits, &query)).await.unwrap()
}

#[tokio::test]
async fn a_page_of_incoming_pending_reads_no_more_than_it_shows() {
    // REF-249
    let mut costs = Vec::new();
    for count in [2_000, 12_000] {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path(), QueryLimits::default());
        filled(&store, count).await;
        let query = asked("direction eq 'Incoming' and substatus eq 'Pending'", "");
        let found = store.query(&query).await.unwrap();
        assert_eq!((found.referrals.len(), found.count), (50, Some(count / 10)));
        assert!(store.plan(&query).await.unwrap().by_index);
        let (rows, steps) = cost(&store, &query).await;
        // One more waits when the page is full.
        assert!(rows <= 50 + 1, "{rows} rows of {count}");
        // SQLite's own count: a row takes some ten steps, so nothing is passed over inside the engine either.
        assert!(steps <= 50 * 60, "{steps} steps over {count}");
        costs.push((rows, steps));
        let last = found.referrals.last().map(|(_, place)| place.clone());
        let (rows, _) = cost(&store, &Query { after: last, ..query }).await;
        assert!(rows <= 50 + 1, "{rows} rows of the second page");
    }
    assert_eq!(costs[0], costs[1], "more data make no page dearer");
}

#[tokio::test]
async fn a_commit_between_two_looks_shows_no_row_that_does_not_match() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), QueryLimits::default());
    let new: Vec<_> = (0..8).map(|number| some(number * 10)).collect();
    store.bulk_load(std::iter::once(new), |_| ()).await.unwrap();
    let query = asked("status eq 'New'", "");
    let (limits, cache) = (store.limits, std::sync::Arc::clone(&store.cache));
    let (known, is_known) = tokio::sync::oneshot::channel();
    let (committed, is_committed) = std::sync::mpsc::channel();
    let reading = store.lists.ask(None, move |reader| {
        let before = cache.generation();
        // All classes there are pass: no row would be looked at.
        assert_eq!(reader.find(&cache, limits, &query)?.count, Some(8));
        known.send(()).unwrap();
        is_committed.recv().unwrap();
        reader.find_since(&cache, before, limits, &query)
    });
    let writing = async {
        is_known.await.unwrap();
        let active = Change { write: Some(some(1)), guards: Vec::new(), answer: None };
        assert!(matches!(store.commit(active).await, Ok(CommitOutcome::Committed(_))));
        committed.send(()).unwrap();
    };
    let (found, ()) = tokio::join!(reading, writing);
    let found = found.unwrap();
    assert_eq!((found.referrals.len(), found.count), (8, Some(8)));
    assert!(found.referrals.iter().all(|(shown, _)| shown.columns.status == ReferralStatus::New));
}

#[tokio::test]
async fn a_skip_beyond_all_numbers_finds_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), QueryLimits::default());
    filled(&store, 200).await;
    for filter in ["", "substatus eq 'Pending'", "customerProfile/address/country eq 'US'", "id ne null"] {
        for order in ["", "updatedDateTime desc", "status"] {
            for skip in [i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
                let found = store.query(&Query { skip, ..asked(filter, order) }).await.unwrap();
                assert!(found.referrals.is_empty(), "{filter} {order} {skip}");
            }
        }
    }
}

#[tokio::test]
async fn a_filter_of_very_many_terms_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), QueryLimits::default());
    filled(&store, 20).await;
    for term in ["name ne 'x'", "contains(name,'deal')"] {
        let filter = vec![term; 1100].join(" and ");
        for order in ["", "status"] {
            assert_eq!(store.query(&asked(&filter, order)).await.unwrap().count, Some(20));
        }
    }
}

#[tokio::test]
async fn a_query_beyond_its_budget_is_broken_off_and_says_what_would_help() {
    let directory = tempfile::tempdir().unwrap();
    let limits = QueryLimits { documents: 500, cheap: 2, ..QueryLimits::default() };
    let store = open(directory.path(), limits);
    filled(&store, 2_000).await;
    let query = asked("contains(name,'deal 1')", "");
    let refused = store.query(&query).await.unwrap_err();
    assert!(matches!(&refused, StoreError::TooCostly(help) if help.contains("createdDateTime")), "{refused}");
    // The page alone is within it, and so is a narrower question; the reader goes on.
    let page = store.query(&Query { count: CountMode::IfCheap, limit: 5, ..query.clone() }).await.unwrap();
    assert_eq!((page.referrals.len(), page.count), (5, None));
    let narrow = asked("contains(name,'deal 1') and createdDateTime lt 2020-09-13T12:28:40Z", "");
    assert_eq!(store.query(&narrow).await.unwrap().count, Some(31)); // 1, 10 to 19, 100 to 119
    store.close().await;

    let store = open(directory.path(), QueryLimits { steps: 20_000, ..QueryLimits::default() });
    let refused = store.query(&asked("", "status,id")).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooCostly(_)), "{refused}");
    assert_eq!(store.query(&asked("", "")).await.unwrap().count, Some(2_000));
}

/// A row is held against each value of a list, and that is counted too.
#[tokio::test]
async fn values_that_rows_are_held_against_count() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), QueryLimits { nodes: 2_000_000, ..QueryLimits::default() });
    filled(&store, 2_000).await;
    let values = |count: usize| (0..count).map(|n| format!("'none {n}'")).collect::<Vec<_>>().join(",");
    let query = |count| Query { count: CountMode::No, ..asked(&format!("name in ({})", values(count)), "") };
    assert_eq!(store.query(&query(50)).await.unwrap().referrals.len(), 0);
    let refused = store.query(&query(900)).await.unwrap_err();
    assert!(matches!(refused, StoreError::TooCostly(_)), "{refused}");
}

#[tokio::test]
async fn very_many_terms_about_the_team_are_answered() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), QueryLimits::default());
    filled(&store, 20).await;
    let same = vec!["team/any(t:t/email eq 'a@x.example')"; 200].join(" and ");
    let plan = store.plan(&asked(&same, "status")).await.unwrap();
    assert!(!plan.statements.concat().contains("EXISTS"), "{plan:?}");
    let others: Vec<_> = (0..200).map(|n| format!("team/any(t:t/email eq 'a{n}@x.example')")).collect();
    let query = asked(&others.join(" and "), "");
    let plan = store.plan(&query).await.unwrap();
    assert_eq!(plan.statements.concat().matches("team_member AS member").count(), 2 * 15, "{plan:?}");
    assert_eq!(store.query(&query).await.unwrap().count, Some(0));
}

/// Nobody waits for what nobody reads: the reader is free again.
#[tokio::test]
async fn a_query_whose_caller_has_gone_is_broken_off() {
    let directory = tempfile::tempdir().unwrap();
    let limits = QueryLimits { steps: u64::MAX, ..QueryLimits::default() };
    let options = SqliteOptions { limits, list_readers: 1, ..SqliteOptions::default() };
    let store = std::sync::Arc::new(SqliteStore::open(directory.path(), options).unwrap());
    let (begun, begins) = tokio::sync::oneshot::channel();
    let (ended, end) = tokio::sync::oneshot::channel();
    let caller = tokio::spawn({
        let store = store.clone();
        async move {
            let endless = move |reader: &super::super::lists::ListReader| {
                reader.meter.start(limits);
                begun.send(()).unwrap();
                let numbers =
                    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
                let outcome = reader.connection.query_row(numbers, [], |row| row.get::<_, i64>(0));
                ended.send(outcome.is_err()).unwrap();
                Ok(())
            };
            store.lists.ask(None, endless).await
        }
    });
    begins.await.unwrap();
    caller.abort();
    assert!(end.await.unwrap());
    assert_eq!(store.query(&asked("", "")).await.unwrap().count, Some(0));
}

/// A list that takes long stands in nobody's way who reads a single referral.
#[tokio::test]
async fn single_referrals_are_read_beside_lists() {
    let directory = tempfile::tempdir().unwrap();
    let store = std::sync::Arc::new(open(directory.path(), QueryLimits::default()));
    filled(&store, 100).await;
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let (store, wait) = (store.clone(), wait.clone());
            tokio::spawn(async move {
                let waiting = move |_: &_| {
                    wait.lock().unwrap().recv().unwrap();
                    Ok(())
                };
                store.lists.ask(None, waiting).await.unwrap();
            })
        })
        .collect();
    tokio::task::yield_now().await;
    assert!(store.find_referral(id(7)).await.unwrap().is_some());
    assert!(busy.iter().all(|list| !list.is_finished()));
    go.send(()).unwrap();
    go.send(()).unwrap();
    for list in busy {
        list.await.unwrap();
    }
}

#[tokio::test]
async fn without_a_search_index_searching_is_refused_until_all_is_indexed() {
    let directory = tempfile::tempdir().unwrap();
    let query = Query { search: Search::parse("deal", &Limits::default()).ok(), ..asked("", "") };
    let off = SqliteOptions { search: false, ..SqliteOptions::default() };
    let store = SqliteStore::open(directory.path(), off).unwrap();
    filled(&store, 3).await;
    let refused = store.query(&query).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotSupported(_)), "{refused}");
    store.close().await;

    let store = open(directory.path(), QueryLimits::default());
    let refused = store.query(&query).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::NotSupported(_)),
        "what was written without is not found: {refused}"
    );
    for number in 0..3 {
        let mut changed = next(&some(number).referral);
        changed.document = some(number).referral.document;
        must(&store, edit(changed)).await;
    }
    assert_eq!(store.query(&query).await.unwrap().count, Some(3));
}

/// Words that nearly all have are not gathered and sorted: the newest are asked for them one by one.
#[tokio::test]
async fn a_page_of_common_words_reads_no_more_than_it_shows() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), QueryLimits::default());
    filled(&store, 3_000).await;
    let query = |text: &str| Query { search: Search::parse(text, &Limits::default()).ok(), ..asked("", "") };
    let found = store.query(&query("deal")).await.unwrap();
    assert_eq!((found.referrals.len(), found.count), (50, Some(3_000)));
    let (rows, _) = cost(&store, &query("deal")).await;
    assert_eq!(rows, 50);
    let (rows, _) = cost(&store, &query("17")).await;
    assert_eq!(rows, 0, "rare words are found by the search index alone");
    assert_eq!(store.query(&query("17")).await.unwrap().referrals.len(), 1);
}

/// A caller of lists is told that its organization asks too much, one of single referrals that the server is busy.
#[tokio::test]
async fn too_many_waiting_lists_are_busy_and_too_many_waiting_reads_unavailable() {
    use super::super::files::Files;
    use super::super::readers::Readers;
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), QueryLimits::default());
    let files = Files::new(directory.path(), None, std::time::Duration::from_secs(1));
    let (readers, threads) = Readers::<rusqlite::Connection>::start(&files, "test", 1, 1, 1).unwrap();
    let (begun, begins) = tokio::sync::oneshot::channel();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let running = readers.ask(None, move |_| {
        begun.send(()).unwrap();
        wait.recv().unwrap();
        Ok(())
    });
    let others = async {
        begins.await.unwrap();
        let waiting = readers.ask(None, |_| Ok(()));
        let refused = async {
            tokio::task::yield_now().await;
            assert_eq!(readers.waiting(), 1);
            let list = readers.ask(None, |_| Ok(())).await;
            assert!(matches!(list, Err(StoreError::Busy)), "{list:?}");
            let read = readers.read(|_| Ok(())).await;
            assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
            go.send(()).unwrap();
        };
        tokio::join!(waiting, refused).0.unwrap();
    };
    tokio::join!(running, others).0.unwrap();
    drop(readers);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    store.close().await;
}

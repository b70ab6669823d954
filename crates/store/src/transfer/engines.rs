//! Moving between the engines, each to each: nothing is lost, and the target's own counts, teams and words are made.

use std::sync::Arc;

use referral::OrganizationId;
use tempfile::TempDir;

use super::*;
use crate::conformance::samples::*;
use crate::postgres::tests::database::Database;
use crate::postgres::{PostgresOptions, PostgresStore};
use crate::sqlite::{SqliteOptions, SqliteStore};
use crate::{Action, AllOrNone, CommitOutcome, Entry, Role};

/// A store in a place of its own.
struct Place {
    store: Arc<dyn Transfer>,
    _folder: Option<TempDir>,
    _database: Option<Database>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Sqlite,
    Postgres,
}

const KINDS: [Kind; 2] = [Kind::Sqlite, Kind::Postgres];

impl Place {
    async fn new(kind: Kind) -> Place {
        match kind {
            Kind::Sqlite => {
                let folder = TempDir::new().unwrap();
                let store = SqliteStore::open(folder.path(), SqliteOptions::default()).unwrap();
                Place { store: Arc::new(store), _folder: Some(folder), _database: None }
            }
            Kind::Postgres => {
                let database = Database::new();
                let store =
                    PostgresStore::open(&database.address(), PostgresOptions::default()).await.unwrap();
                Place { store: Arc::new(store), _folder: None, _database: Some(database) }
            }
        }
    }

    fn store(&self) -> &dyn Transfer {
        self.store.as_ref()
    }
}

/// A referral of every sort of column, by its number.
fn sample(number: u64) -> StoredReferral {
    let owner =
        if number.is_multiple_of(5) { OrganizationId::MICROSOFT } else { organization((number % 3) as u8) };
    let mut referral = a_referral(&owner, number);
    let columns = &mut referral.columns;
    columns.team = (0..number % 3).map(|person| format!("person{person}@x.example")).collect();
    columns.country = number.is_multiple_of(2).then(|| format!("C{}", number % 4));
    columns.expires = number.is_multiple_of(4).then(|| at(5000 + number as i64));
    columns.accepted = number.is_multiple_of(6).then(|| at(3));
    columns.sender = number.is_multiple_of(7).then(|| organization(2));
    columns.offer_lead = number.is_multiple_of(11);
    columns.shared_with_microsoft = number.is_multiple_of(3);
    referral
}

fn imported(number: u64) -> Write {
    let referral = sample(number);
    let entry = Entry { actor: None, ..news(Action::Imported, &referral) };
    let search = words_of(&referral);
    Write { referral, decided_on: None, entry, search: Some(search) }
}

/// So many referrals as come in several pages and batches, some of them changed, and one of everything else.
const REFERRALS: u64 = 450;

async fn fill(store: &dyn Transfer) {
    let all: Vec<Write> = (0..REFERRALS).map(imported).collect();
    let batches: Vec<Vec<Write>> = all.chunks(90).map(<[Write]>::to_vec).collect();
    let report = store.load(Box::new(batches.into_iter())).await.unwrap();
    assert_eq!(report, BulkReport { loaded: REFERRALS, skipped_existing: 0 });
    for number in [7, 20, 33, 449] {
        must(store, edit(next(&sample(number)))).await;
    }
    for number in 0..300 {
        let given = idempotency_record(&organization((number % 2) as u8), number, at(number.into()));
        let alone = crate::Change { write: None, guards: Vec::new(), answer: Some(given) };
        assert_eq!(store.commit(alone).await.unwrap(), CommitOutcome::Committed(None));
    }
    store.save_setting("link-key", &[0, 1, 255]).await.unwrap();
    store.save_setting("empty", b"").await.unwrap();
    for number in 0..3 {
        let organization = Organization {
            id: organization(number),
            name: format!("Contoso {number}"),
            issuer: "ours".to_owned(),
            tenant: (number > 0).then(|| "t".to_owned()),
            partner_id: None,
            locations: (0..number).rev().map(|place| place.to_string()).collect(),
        };
        store.save_organization(&organization).await.unwrap();
        let assignment = Assignment {
            organization: organization.id,
            identity: "ann@contoso.example".to_owned(),
            role: Role::ReferralUser,
        };
        store.save_assignment(&assignment).await.unwrap();
    }
}

async fn all(store: &dyn Transfer, table: Table, after: Option<ExportPosition>) -> Vec<Record> {
    let mut export = store.export(table, after);
    let mut records = Vec::new();
    while let Some(batch) = export.next().await.unwrap() {
        records.extend(batch);
    }
    records
}

async fn digest(store: &dyn Transfer, table: Table) -> Digest {
    let mut sum = Sum::default();
    all(store, table, None).await.iter().for_each(|record| sum.take(record));
    sum.end()
}

/// What the words are is not the store's to say.
fn with_words(mut records: Vec<Record>) -> Vec<Record> {
    for record in &mut records {
        if let Record::Referral { referral, search } = record {
            *search = words_of(referral);
        }
    }
    records
}

async fn copy(from: &dyn Transfer, to: &dyn Transfer, table: Table, at_most: usize) {
    let after = to.last(table).await.unwrap();
    let records = with_words(all(from, table, after).await);
    for batch in records.into_iter().take(at_most).collect::<Vec<_>>().chunks(70) {
        to.import(batch.to_vec()).await.unwrap();
    }
}

/// What a caller sees that is kept in tables of its own.
async fn derived(store: &dyn Transfer) -> Vec<String> {
    let mut seen = Vec::new();
    for owner in [organization(0), organization(1), organization(2), OrganizationId::MICROSOFT] {
        let lists = [
            all_of(&owner),
            ListQuery { offer_leads: true, ..all_of(&owner) },
            ListQuery { team: Some(vec!["person1@x.example".to_owned()]), ..all_of(&owner) },
        ];
        for list in lists {
            let count = store.count(&list).await.unwrap();
            seen.push(format!("{count} {:?}", ids(store, &list).await));
        }
        let engagement = store.engagement(engagement(1), &owner).await.unwrap();
        seen.push(format!("{}", engagement.len()));
        let log = store.log(&owner, 0, 1000).await.unwrap();
        seen.push(format!("{:?}", log.iter().map(|entry| entry.position).collect::<Vec<_>>()));
    }
    seen.push(format!("{:?} {:?}", store.next_expiry().await.unwrap(), store.heads().await.unwrap()));
    seen
}

async fn found_by_words(store: &dyn Transfer, owner: &OrganizationId, words: &str) -> usize {
    let search = odata::Search::parse(words, &odata::Limits::default()).unwrap();
    let query = crate::Query {
        scope: crate::Scope { owner: owner.clone(), team: None, offer_leads: true, now: at(0) },
        filter: None,
        search: Some(search),
        order: Vec::new(),
        after: None,
        skip: 0,
        limit: 1000,
        count: crate::CountMode::No,
    };
    store.query(&query).await.unwrap().referrals.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_goes_from_each_engine_to_each_and_comes_to_the_same() {
    let mut first: Option<Vec<Digest>> = None;
    for from in KINDS {
        let source = Place::new(from).await;
        fill(source.store()).await;
        for to in KINDS {
            let target = Place::new(to).await;
            for table in Table::ALL {
                assert_eq!(target.store().records(table).await.unwrap(), 0, "{to:?}: {table:?}");
                copy(source.store(), target.store(), table, usize::MAX).await;
            }
            let mut digests = Vec::new();
            for table in Table::ALL {
                let digest = digest(source.store(), table).await;
                assert_eq!(
                    self::digest(target.store(), table).await,
                    digest,
                    "{from:?} to {to:?}: {table:?}"
                );
                assert_eq!(target.store().records(table).await.unwrap(), digest.records);
                digests.push(digest);
            }
            let counts: Vec<u64> = digests.iter().map(|digest| digest.records).collect();
            assert_eq!(counts, [REFERRALS, REFERRALS + 4, 300, 2, 3, 3]);
            // The same in every engine, whoever was filled first.
            assert_eq!(*first.get_or_insert_with(|| digests.clone()), digests, "{from:?} to {to:?}");
            assert_eq!(derived(target.store()).await, derived(source.store()).await, "{from:?} to {to:?}");
            let owner = organization(1);
            let found = found_by_words(target.store(), &owner, "number").await;
            assert_eq!(found, found_by_words(source.store(), &owner, "number").await);
            assert!(found > 50, "{found}");

            // It goes on as if it had always been there.
            let newest = target.store().heads().await.unwrap();
            let head = newest.iter().find(|(organization, _)| *organization == owner).unwrap().1;
            let again = must(target.store(), edit(next(&sample(1)))).await;
            assert_eq!(again, head + 1, "{to:?}: the log goes on after its head");
            let taken = target.store().commit(creation(a_referral(&owner, 2))).await.unwrap();
            assert_eq!(taken, CommitOutcome::VersionConflict, "{to:?}: an id is taken");
            let asked = crate::Change {
                write: None,
                guards: Vec::new(),
                answer: Some(idempotency_record(&owner, 3, at(9))),
            };
            let answered = target.store().commit_all(vec![asked]).await.unwrap();
            assert!(
                matches!(answered, AllOrNone::None { because: CommitOutcome::Replayed(_), .. }),
                "{to:?}"
            );
            target.store().close().await;
        }
        source.store().close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_broken_off_goes_on_after_its_last_record() {
    let source = Place::new(Kind::Sqlite).await;
    fill(source.store()).await;
    for to in KINDS {
        let target = Place::new(to).await;
        for table in [Table::Referrals, Table::Log, Table::Answers] {
            for at_most in [140, 70, usize::MAX] {
                copy(source.store(), target.store(), table, at_most).await;
            }
            let digest = digest(source.store(), table).await;
            assert_eq!(self::digest(target.store(), table).await, digest, "{to:?}: {table:?}");
        }
        assert_eq!(derived(target.store()).await, derived(source.store()).await, "{to:?}");
        target.store().close().await;
    }
    source.store().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_of_what_is_there_is_refused_whole() {
    for kind in KINDS {
        let place = Place::new(kind).await;
        let records = with_words(vec![
            Record::Referral { referral: Box::new(sample(2)), search: String::new() },
            Record::Referral { referral: Box::new(sample(1)), search: String::new() },
        ]);
        place.store().import(records[1..].to_vec()).await.unwrap();
        assert!(place.store().import(records).await.is_err(), "{kind:?}");
        assert_eq!(place.store().records(Table::Referrals).await.unwrap(), 1, "{kind:?}");
        assert_eq!(
            place.store().count(&all_of(&sample(2).owner)).await.unwrap(),
            0,
            "{kind:?}: nor is it counted"
        );
        // Whoever imports may go on.
        place.store().health().unwrap();
        place.store().close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mark_of_a_copy_is_no_record_and_can_be_removed() {
    for kind in KINDS {
        let place = Place::new(kind).await;
        place.store().save_setting(UNFINISHED_COPY, b"x").await.unwrap();
        assert_eq!(place.store().records(Table::Settings).await.unwrap(), 0);
        assert!(all(place.store(), Table::Settings, None).await.is_empty());
        place.store().remove_setting(UNFINISHED_COPY).await.unwrap();
        assert_eq!(place.store().setting(UNFINISHED_COPY).await.unwrap(), None);
        place.store().close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_nobody_takes_ends() {
    for kind in KINDS {
        let place = Place::new(kind).await;
        fill(place.store()).await;
        let mut export = place.store().export(Table::Referrals, None);
        assert!(export.next().await.unwrap().is_some());
        drop(export);
        place.store().close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_into_a_store_in_use_adds_what_is_not_there() {
    for kind in KINDS {
        let place = Place::new(kind).await;
        let mine = created(place.store(), sample(3)).await;
        let batches: Vec<Vec<Write>> =
            vec![(0..40).map(imported).collect(), (20..60).map(imported).collect()];
        let report = place.store().load(Box::new(batches.into_iter())).await.unwrap();
        assert_eq!(report, BulkReport { loaded: 59, skipped_existing: 21 }, "{kind:?}");
        assert_eq!(stored(place.store(), mine.id).await, Some(mine), "{kind:?}");
        for (owner, head) in place.store().heads().await.unwrap() {
            let list = ListQuery { offer_leads: true, ..all_of(&owner) };
            assert_eq!(place.store().count(&list).await.unwrap(), head, "{kind:?}: {owner}");
            let log = place.store().log(&owner, 0, 1000).await.unwrap();
            let told: Vec<_> = log.iter().map(|entry| entry.position).collect();
            assert_eq!(told, (1..=head).collect::<Vec<_>>(), "{kind:?}: {owner}");
        }
        place.store().close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_whose_source_breaks_has_loaded_nothing_into_an_empty_database() {
    let place = Place::new(Kind::Postgres).await;
    let dying = (0..5_u64).map(|batch| {
        assert!(batch < 4, "the source of the rows breaks");
        (batch * 50..batch * 50 + 50).map(imported).collect()
    });
    assert!(place.store().load(Box::new(dying)).await.is_err());
    for table in Table::ALL {
        assert_eq!(place.store().records(table).await.unwrap(), 0, "{table:?}");
    }
    assert_eq!(place.store().heads().await.unwrap(), []);
    let whole = vec![(0..50).map(imported).collect()];
    assert_eq!(place.store().load(Box::new(whole.into_iter())).await.unwrap().loaded, 50);
    place.store().close().await;
}

//! Random queries over random referrals: the engine gives the rows, the order, the count and the aggregates that the
//! evaluator gives over the documents.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::any::Any;
use std::cmp::Reverse;
use std::sync::Arc;

use bytes::Bytes;
use odata::{
    BindSettings, Binder, DateTimeOffset, EvalError, Evaluator, ParseSettings, QueryOptions, TypedOptions,
    TypedOrder,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value as Json;
use store::postgres::{PostgresOptions, PostgresStore};
use store::sqlite::{SqliteOptions, SqliteStore};
use store::{
    Action, Aggregation, Change, Columns, CommitOutcome, CountMode, Cursor, Entry, Query, Scope, SortValue,
    Store, StoreError, StoredReferral, Write,
};
use tokio::runtime::Runtime;

#[path = "support/postgres.rs"]
mod database;
#[path = "support/random.rs"]
mod random;

use random::{Choices, same, small};

/// As many as make several pages, and groups of several.
const REFERRALS: u8 = 40;

/// A store with random referrals, and what it was given.
struct Filled {
    runtime: Runtime,
    store: Box<dyn Store>,
    referrals: Vec<StoredReferral>,
    /// Where the data are.
    _place: Box<dyn Any>,
}

impl Filled {
    fn on_sqlite(compression: bool) -> Filled {
        let directory = tempfile::tempdir().unwrap();
        let store =
            SqliteStore::open(directory.path(), SqliteOptions { compression, ..SqliteOptions::default() })
                .unwrap();
        Filled::new(runtime(), Box::new(store), Box::new(directory))
    }

    fn on_postgres() -> Filled {
        let (runtime, database) = (runtime(), database::Database::new());
        let address = database.address();
        let opened = PostgresStore::open(&address, PostgresOptions::default());
        let store = runtime.block_on(opened).unwrap();
        Filled::new(runtime, Box::new(store), Box::new(database))
    }

    fn new(runtime: Runtime, store: Box<dyn Store>, place: Box<dyn Any>) -> Filled {
        // The same bytes in every run: it is the queries that are random here.
        let bytes: Vec<u8> = std::iter::successors(Some(1u32), |last| {
            Some(last.wrapping_mul(1_664_525).wrapping_add(1_013_904_223))
        })
        .map(|state| (state >> 24) as u8)
        .take(20_000)
        .collect();
        let referrals: Vec<_> =
            random::referrals(&mut Choices::new(&bytes), REFERRALS).into_iter().map(small).collect();
        for referral in &referrals {
            let entry = Entry {
                action: Action::Imported,
                at: referral.columns.updated,
                actor: None,
                changes: Bytes::from_static(b"{}"),
            };
            let write =
                Write { referral: referral.clone(), decided_on: None, entry, search: Some(String::new()) };
            let change = Change { write: Some(write), guards: Vec::new(), answer: None };
            assert!(matches!(
                runtime.block_on(store.commit(change)).unwrap(),
                CommitOutcome::Committed(Some(_))
            ));
        }
        Filled { runtime, store, referrals, _place: place }
    }

    /// What a query finds, page by page.
    fn pages(&self, query: &Query) -> Result<Vec<Cursor>, StoreError> {
        let mut query = query.clone();
        let mut all = Vec::new();
        loop {
            let found = self.runtime.block_on(self.store.query(&query))?;
            let full = found.referrals.len() == query.limit;
            all.extend(found.referrals.into_iter().map(|(_, place)| place));
            if !full {
                return Ok(all);
            }
            query.after = all.last().cloned();
            query.skip = 0;
        }
    }

    /// The documents that a scope shows, newest first.
    fn documents(&self, scope: &Scope) -> Vec<(&StoredReferral, Json)> {
        let on_team = |referral: &StoredReferral| match &scope.team {
            None => true,
            Some(emails) => emails.iter().any(|email| referral.columns.team.contains(email)),
        };
        let mut shown: Vec<&StoredReferral> =
            self.referrals.iter().filter(|referral| on_team(referral)).collect();
        shown.sort_by_key(|referral| (Reverse(referral.columns.created), referral.id));
        let document = |referral: &StoredReferral| serde_json::from_slice(&referral.document).unwrap();
        shown.into_iter().map(|referral| (referral, document(referral))).collect()
    }

    /// The same as [`pages`](Self::pages) by the evaluator, all at once, and how many match without `skip`.
    fn expected(&self, query: &Query) -> Result<(Vec<Cursor>, u64), EvalError> {
        let evaluator = evaluator(query.scope.now);
        let mut kept = Vec::new();
        for (referral, document) in self.documents(&query.scope) {
            if !query.filter.as_ref().map_or(Ok(true), |filter| evaluator.matches(filter, &document))? {
                continue;
            }
            let key = |key: &TypedOrder| {
                Ok(SortValue::of(&evaluator.value(&key.expr, &document)?, key.ignore_case))
            };
            let keys = match query.order.is_empty() {
                true => vec![SortValue::Integer(referral.columns.created.ticks())],
                false => query.order.iter().map(key).collect::<Result<_, EvalError>>()?,
            };
            kept.push((Cursor { keys, id: referral.id }, document));
        }
        if !query.order.is_empty() {
            kept.sort_by(|(one, left), (other, right)| {
                evaluator.order(&query.order, left, right).unwrap().then(one.id.cmp(&other.id))
            });
        }
        let count = kept.len() as u64;
        Ok((kept.into_iter().skip(query.skip as usize).map(|(place, _)| place).collect(), count))
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn evaluator(now: referral::Timestamp) -> Evaluator<'static> {
    Evaluator { schema: store::schema(), now: DateTimeOffset { ticks: now.ticks(), offset: 0 }, work: None }
}

fn scope(team: Option<Vec<String>>) -> Scope {
    let now = "2021-06-01T12:00:00.5Z".parse().unwrap();
    Scope { owner: random::owner(), team, offer_leads: false, now }
}

/// Options that are not empty, bound; `None` where random text means nothing.
fn bind(options: &[(&str, &str)]) -> Option<TypedOptions> {
    let given = options.iter().filter(|(_, value)| !value.is_empty());
    let text: Vec<String> =
        given.map(|(name, value)| format!("{name}={}", value.replace('+', "%2B"))).collect();
    let query = QueryOptions::parse(&text.join("&"), &ParseSettings::default()).ok()?;
    Binder::new(store::schema(), "Referral", &BindSettings::default()).options(&query).ok()
}

#[test]
fn every_list_has_the_rows_the_order_and_the_count_the_evaluator_gives_it() {
    lists(&Filled::on_sqlite(true));
}

#[test]
fn documents_that_are_not_compressed_are_listed_alike() {
    lists(&Filled::on_sqlite(false));
}

#[test]
fn every_list_on_postgresql_has_the_rows_the_order_and_the_count_the_evaluator_gives_it() {
    lists(&Filled::on_postgres());
}

fn lists(filled: &Filled) {
    let team = prop_oneof![
        3 => Just(None),
        1 => Just(Some(vec!["ann@contoso.example".to_owned()])),
        1 => Just(Some(vec!["bob@fabrikam.example".to_owned(), "ärna@x.example".to_owned()])),
    ];
    let queries = (vec(any::<u8>(), 0..60), vec(any::<u8>(), 0..40), 0..3u8, 0..3u64, 1..20usize, team);
    TestRunner::default()
        .run(&queries, |(filter, order, ordered, skip, limit, team)| {
            let filter = random::filter(&mut Choices::new(&filter));
            let order = &mut Choices::new(&order);
            let order = match ordered {
                0 => String::new(),
                1 => random::order(order),
                _ => format!("{} desc", random::expression(order)),
            };
            // Not-a-number equals nothing, so that places with it cannot be compared.
            if may_make_nan(&order) {
                return Ok(());
            }
            let Some(options) = bind(&[("$filter", &filter), ("$orderby", &order)]) else { return Ok(()) };
            let query = Query {
                scope: scope(team),
                filter: options.filter,
                search: None,
                order: options.orderby,
                after: None,
                skip,
                limit,
                count: CountMode::Exact,
            };
            let Ok((expected, count)) = filled.expected(&query) else { return Ok(()) };
            match filled.pages(&query) {
                Ok(found) => prop_assert_eq!(found, expected, "{} by {}", filter, order),
                Err(StoreError::NotSupported(why)) => {
                    prop_assert!(why.contains("'links'"), "{filter}: {why}");
                    return Ok(());
                }
                Err(other) => return Err(TestCaseError::fail(format!("{filter}: {other}"))),
            }
            let found = filled.runtime.block_on(filled.store.query(&query)).unwrap();
            prop_assert_eq!(found.count, Some(count), "{}", filter);
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_aggregation_makes_what_the_evaluator_makes() {
    aggregations(&Filled::on_sqlite(true));
}

#[test]
fn every_aggregation_on_postgresql_makes_what_the_evaluator_makes() {
    aggregations(&Filled::on_postgres());
}

/// Whether a text may make not-a-number.
fn may_make_nan(text: &str) -> bool {
    ["INF", "NaN", "Edm.Double", "Edm.Single"].iter().any(|word| text.contains(word))
}

fn aggregations(filled: &Filled) {
    let scope = scope(None);
    let documents = || filled.documents(&scope).into_iter().map(|(_, document)| Arc::new(document)).collect();
    TestRunner::default()
        .run(&(vec(any::<u8>(), 0..80), 0..3u64, 1..50usize), |(query, skip, limit)| {
            let (steps, filter, order) = random::pipeline(&mut Choices::new(&query));
            let text = format!("{steps} filter {filter} order {order}");
            let Some(options) = bind(&[("$apply", &steps), ("$filter", &filter), ("$orderby", &order)])
            else {
                return Ok(());
            };
            let (Some(apply), filter, order) = (options.apply, options.filter, options.orderby) else {
                return Ok(());
            };
            let outer = evaluator(scope.now);
            let Ok(made) = outer.apply(&apply, documents(), &|_, _| Ok(true)) else { return Ok(()) };
            let evaluator = Evaluator { schema: &apply.schema, ..outer };
            let mut kept: Vec<Json> = Vec::new();
            for item in made {
                match filter.as_ref().map_or(Ok(true), |filter| evaluator.matches(filter, &item)) {
                    Ok(true) => kept.push(Json::clone(&item)),
                    Ok(false) => {}
                    Err(_) => return Ok(()),
                }
            }
            let Ok(made) = evaluator.sorted(&order, kept) else { return Ok(()) };
            let made: Vec<Json> = made.into_iter().skip(skip as usize).take(limit).collect();
            let aggregation =
                Aggregation { scope: scope.clone(), apply: apply.clone(), filter, order, skip, limit };
            match filled.runtime.block_on(filled.store.aggregate(&aggregation)) {
                Ok(found) => {
                    let found = Json::from(found.rows);
                    prop_assert!(
                        same(&found, &Json::from(made.clone())),
                        "{text}\n{found}\n{}",
                        Json::from(made)
                    );
                }
                Err(StoreError::NotSupported(why)) => {
                    let known = ["'links'", "search"];
                    prop_assert!(known.iter().any(|known| why.contains(known)), "{text}: {why}");
                }
                Err(other) => return Err(TestCaseError::fail(format!("{text}: {other}"))),
            }
            Ok(())
        })
        .unwrap();
}

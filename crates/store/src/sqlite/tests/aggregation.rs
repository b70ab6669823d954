//! `$apply` over stored referrals makes what the evaluator makes of all documents at once.

use std::cmp::Reverse;
use std::sync::Arc;

use odata::{BindSettings, Binder, EvalError, Evaluator, ParseSettings, QueryOptions, TypedOptions};
use proptest::collection::vec;
use proptest::prelude::*;
use referral::{OrganizationId, Timestamp};
use rusqlite::Connection;
use serde_json::Value as Json;

use super::super::compression::Compression;
use super::super::lists::ListReader;
use super::super::meter::Meter;
use super::super::{QueryLimits, schema, writes};
use super::random::{self, Choices, same, small};
use crate::{Aggregation, Scope, StoreError, StoredReferral};

fn now() -> Timestamp {
    "2021-06-01T12:00:00.5Z".parse().unwrap()
}

fn database(referrals: &[StoredReferral]) -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::migrate(&mut connection, schema::MIGRATIONS).unwrap();
    // One as it is, the next one compressed: both are read alike.
    for (referral, compression) in
        referrals.iter().zip([Compression::Plain, Compression::Compressed].iter().cycle())
    {
        let document = compression.encode(&referral.document);
        writes::insert(&connection, referral, &document, writes::Words::NotIndexed).unwrap();
    }
    connection
}

/// A reader of a database with these referrals.
fn reader(referrals: &[StoredReferral]) -> ListReader {
    let mut connection = database(referrals);
    let meter = Meter::attach(&mut connection).unwrap();
    ListReader::of(connection, meter)
}

fn bind(options: &str) -> Result<TypedOptions, String> {
    let query = QueryOptions::parse(options, &ParseSettings::default()).map_err(|error| error.to_string())?;
    let settings = BindSettings::default();
    let bound = Binder::new(crate::schema(), "Referral", &settings).options(&query);
    bound.map_err(|error| error.to_string())
}

fn scope(owner: OrganizationId) -> Scope {
    Scope { owner, team: None, offer_leads: false, now: now() }
}

fn results(reader: &ListReader, options: &TypedOptions) -> Result<Vec<Json>, StoreError> {
    let aggregation = Aggregation {
        scope: scope(random::owner()),
        apply: options.apply.clone().unwrap(),
        filter: options.filter.clone(),
        order: options.orderby.clone(),
        skip: options.skip.unwrap_or(0),
        limit: options.top.map_or(1000, |top| top as usize),
    };
    reader.aggregate(QueryLimits::default(), &aggregation).map(|made| made.rows)
}

fn expected(referrals: &[StoredReferral], options: &TypedOptions) -> Result<Vec<Json>, EvalError> {
    let mut newest_first: Vec<&StoredReferral> = referrals.iter().collect();
    newest_first.sort_by_key(|referral| (Reverse(referral.columns.created), referral.id));
    let documents = newest_first.iter().map(|referral| serde_json::from_slice(&referral.document).unwrap());
    let now = odata::DateTimeOffset { ticks: now().ticks(), offset: 0 };
    let apply = options.apply.as_ref().unwrap();
    let evaluator = Evaluator { schema: crate::schema(), now, work: None };
    let made = evaluator.apply(apply, documents.map(Arc::new).collect(), &|_, _| Ok(true))?;
    let evaluator = Evaluator { schema: &apply.schema, now, work: None };
    let mut kept: Vec<Json> = Vec::new();
    for item in made {
        if options.filter.as_ref().map_or(Ok(true), |filter| evaluator.matches(filter, &item))? {
            kept.push(Json::clone(&item));
        }
    }
    let kept = evaluator.sorted(&options.orderby, kept)?;
    let skip = options.skip.unwrap_or(0) as usize;
    Ok(kept.into_iter().skip(skip).take(options.top.map_or(1000, |top| top as usize)).collect())
}

proptest! {
    #[test]
    fn every_pipeline_makes_what_the_evaluator_makes(
        documents in vec(any::<u8>(), 0..2500),
        query in vec(any::<u8>(), 0..80),
    ) {
        let referrals = random::referrals(&mut Choices::new(&documents), 6);
        let referrals: Vec<StoredReferral> = referrals.into_iter().map(small).collect();
        let (steps, filter, order) = random::pipeline(&mut Choices::new(&query));
        let mut text = format!("$apply={steps}");
        for (option, value) in [("$filter", filter), ("$orderby", order)] {
            if !value.is_empty() {
                text.push_str(&format!("&{option}={value}"));
            }
        }
        let Ok(options) = bind(&text.replace('+', "%2B")) else { return Ok(()) };
        match results(&reader(&referrals), &options) {
            Ok(found) => {
                let Ok(expected) = expected(&referrals, &options) else { return Ok(()) };
                let all = found.iter().zip(&expected).all(|(found, expected)| same(found, expected));
                prop_assert!(
                    all && found.len() == expected.len(),
                    "{}\n{}\n{}", text, Json::from(found), Json::from(expected),
                );
            }
            Err(StoreError::Fault(_)) => prop_assert!(expected(&referrals, &options).is_err(), "{}", text),
            Err(StoreError::NotSupported(why)) => {
                let known = ["'links'", "search"];
                prop_assert!(known.iter().any(|known| why.contains(known)), "{}: {}", text, why);
            }
            Err(other) => return Err(TestCaseError::fail(format!("{text}: {other}"))),
        }
    }
}

/// Texts that grow by steps, and those that are carried through many, are bounded together, whatever the rows.
#[test]
fn texts_that_grow_from_step_to_step_are_bounded() {
    let reader = reader(&random::referrals(&mut Choices::new(&[]), 6));
    let mut doubled = "compute(concat(name,'0123456789abcdef') as x0)".to_owned();
    for step in 1..=12 {
        doubled.push_str(&format!("/compute(concat(x{0},x{0}) as x{step})", step - 1));
    }
    let of = |steps: &str| bind(&format!("$apply={steps}").replace('+', "%2B")).unwrap();
    let options = of(&format!("{doubled}/aggregate(x12 with max as m)"));
    let apply = options.apply.unwrap();
    let ask = |apply, bytes| {
        let aggregation = Aggregation {
            scope: scope(random::owner()),
            apply,
            filter: None,
            order: Vec::new(),
            skip: 0,
            limit: 10,
        };
        reader.aggregate(QueryLimits { bytes, ..QueryLimits::default() }, &aggregation).map(|made| made.rows)
    };
    let refused = ask(apply.clone(), 1 << 14).unwrap_err();
    assert!(matches!(refused, StoreError::TooCostly(_)), "{refused}");
    assert_eq!(ask(apply, QueryLimits::default().bytes).unwrap().len(), 1);
    // One text longer than all may be.
    for step in 13..=20 {
        doubled.push_str(&format!("/compute(concat(x{0},x{0}) as x{step})", step - 1));
    }
    let longer = of(&format!("{doubled}/aggregate(x20 with max as m)"));
    let refused = ask(longer.apply.unwrap(), 4 << 20).unwrap_err();
    assert!(matches!(refused, StoreError::TooCostly(_)), "{refused}");
}

/// What was computed for a referral that a filter drops is not held for the next one.
#[test]
fn computed_members_of_dropped_referrals_are_released() {
    let reader = reader(&random::referrals(&mut Choices::new(&[]), 40));
    let text = "x".repeat(300);
    let apply = format!("compute(concat(name,'{text}') as c)/filter(c eq 'none')/aggregate($count as n)");
    let aggregation = Aggregation {
        scope: scope(random::owner()),
        apply: bind(&format!("$apply={apply}")).unwrap().apply.unwrap(),
        filter: None,
        order: Vec::new(),
        skip: 0,
        limit: 10,
    };
    let made = reader.aggregate(QueryLimits { bytes: 4_000, ..QueryLimits::default() }, &aggregation);
    assert_eq!(made.unwrap().rows[0]["n"], 0);
}

/// Five referrals: statuses, countries and amounts told apart; the last is another organization's, the one before an
/// offer lead.
fn sample() -> Vec<StoredReferral> {
    let mut referrals = random::referrals(&mut Choices::new(&[]), 6);
    let rows = [
        ("New", Some("DE"), "1.10"),
        ("Closed", Some("FR"), "2.20"),
        ("New", Some("DE"), "3.30"),
        ("Active", None, "null"),
        ("New", Some("DE"), "100"),
        ("New", Some("DE"), "1000"),
    ];
    for (referral, (status, country, amount)) in referrals.iter_mut().zip(rows) {
        let mut document: Json = serde_json::from_slice(&referral.document).unwrap();
        document["status"] = status.into();
        document["customerProfile"]["address"]["country"] = country.into();
        document["details"]["dealValue"] = serde_json::from_str(amount).unwrap();
        let read: referral::Referral = serde_json::from_value(document).unwrap();
        referral.columns.status = read.status;
        referral.columns.country = read.customer_profile.address.country.clone();
        referral.document = read.to_document().into();
    }
    referrals[4].columns.offer_lead = true;
    referrals[5].owner = crate::conformance::samples::organization(9);
    referrals[2].columns.team = vec!["ann@contoso.example".to_owned()];
    referrals
}

#[test]
fn every_step_makes_what_it_makes_in_memory() {
    let referrals = sample();
    let reader = reader(&referrals);
    for (text, made) in [
        ("aggregate($count as n,details/dealValue with sum as s)", r#"[{"n":4,"s":6.60}]"#),
        (
            "aggregate(details/dealValue with average as a,details/dealValue with min as l,status with max as h)",
            r#"[{"a":2.2,"l":1.1,"h":"Closed"}]"#,
        ),
        ("filter(false)/aggregate($count as n,details/dealValue with sum as s)", r#"[{"n":0,"s":null}]"#),
        (
            "groupby((status),aggregate($count as n))",
            r#"[{"status":"New","n":2},{"status":"Active","n":1},{"status":"Closed","n":1}]"#,
        ),
        ("groupby((status))/orderby(status desc)/top(2)", r#"[{"status":"Closed"},{"status":"Active"}]"#),
        (
            "filter(direction eq 'Incoming')/groupby((status,type),aggregate($count as n))/filter(n gt 1)",
            r#"[{"status":"New","type":"Independent","n":2}]"#,
        ),
        (
            "groupby((customerProfile/address/country),aggregate(details/dealValue with sum as s))",
            r#"[{"customerProfile":{"address":{"country":null}},"s":null},
                {"customerProfile":{"address":{"country":"DE"}},"s":4.4},
                {"customerProfile":{"address":{"country":"FR"}},"s":2.2}]"#,
        ),
        (
            "groupby((status),filter(details/dealValue gt 2)/aggregate($count as n))",
            r#"[{"status":"New","n":1},{"status":"Active","n":0},{"status":"Closed","n":1}]"#,
        ),
        (
            "groupby((status),groupby((customerProfile/address/country),aggregate($count as n)))/topcount(1,n)",
            r#"[{"status":"New","customerProfile":{"address":{"country":"DE"}},"n":2}]"#,
        ),
        (
            "compute(details/dealValue mul 2 as twice)/topcount(1,twice)/groupby((twice))",
            r#"[{"twice":6.6}]"#,
        ),
        ("aggregate(customerProfile/address/country with countdistinct as c)", r#"[{"c":2}]"#),
        ("concat(aggregate($count as n),groupby((status))/top(1))", r#"[{"n":4},{"status":"New"}]"#),
        ("skip(3)/groupby((id))", r#"[{"id":"c0c0c0c0-c0c0-c0c0-c0c0-c0c0c0c0c0c0"}]"#),
    ] {
        let options = bind(&format!("$apply={text}")).unwrap_or_else(|error| panic!("{text}: {error}"));
        let found = results(&reader, &options).unwrap_or_else(|error| panic!("{text}: {error}"));
        let made: Vec<Json> = serde_json::from_str(made).unwrap();
        let all = found.iter().zip(&made).all(|(found, made)| same(found, made));
        assert!(all && found.len() == made.len(), "{text}: {}", Json::from(found));
        assert!(
            expected(&referrals[..4], &options).unwrap().iter().zip(&made).all(|(one, made)| same(one, made)),
            "{text}"
        );
    }
}

#[test]
fn an_aggregation_sees_what_its_scope_allows() {
    let reader = reader(&sample());
    let count = |scope: Scope, apply: &str| {
        let apply = bind(&format!("$apply={apply}")).unwrap().apply.unwrap();
        let aggregation = Aggregation { scope, apply, filter: None, order: Vec::new(), skip: 0, limit: 10 };
        reader.aggregate(QueryLimits::default(), &aggregation).unwrap().rows[0]["n"].as_u64()
    };
    let all = scope(random::owner());
    for apply in ["aggregate($count as n)", "filter(name ne 'x')/aggregate($count as n)"] {
        assert_eq!(count(all.clone(), apply), Some(4), "{apply}");
        assert_eq!(count(Scope { offer_leads: true, ..all.clone() }, apply), Some(5), "{apply}");
        let team = |email: &str| Scope { team: Some(vec![email.to_owned()]), ..all.clone() };
        assert_eq!(count(team("ann@contoso.example"), apply), Some(1), "{apply}");
        assert_eq!(count(team("bob@contoso.example"), apply), Some(0), "{apply}");
        assert_eq!(count(scope(crate::conformance::samples::organization(9)), apply), Some(1), "{apply}");
        assert_eq!(count(scope(crate::conformance::samples::organization(8)), apply), Some(0), "{apply}");
    }
}

#[test]
fn numbers_of_groups_by_columns_read_no_document() {
    let reader = reader(&sample());
    for (apply, reads_documents) in [
        ("groupby((status),aggregate($count as n))", false),
        ("groupby((status,direction))", false),
        ("aggregate($count as n)", false),
        ("filter(status eq 'New')/groupby((substatus),aggregate($count as n))/orderby(n)", false),
        ("groupby((customerProfile/address/country,status),aggregate($count as n))", false),
        ("filter(customerProfile/address/country eq 'DE')/groupby((id))", false),
        ("compute(year(createdDateTime) as y)/groupby((y),aggregate($count as n))", false),
        ("aggregate(createdDateTime with max as n)", false),
        ("filter(name eq 'x')/groupby((substatus),aggregate($count as n))", true),
        ("groupby((status),aggregate(details/dealValue with sum as n))", true),
        ("groupby((name),aggregate($count as n))", true),
    ] {
        let options = bind(&format!("$apply={apply}")).unwrap_or_else(|error| panic!("{apply}: {error}"));
        let aggregation = Aggregation {
            scope: scope(random::owner()),
            apply: options.apply.unwrap(),
            filter: None,
            order: Vec::new(),
            skip: 0,
            limit: 10,
        };
        let made = reader.aggregate(QueryLimits { documents: 0, ..QueryLimits::default() }, &aggregation);
        match reads_documents {
            true => assert!(matches!(made, Err(StoreError::TooCostly(_))), "{apply}: {made:?}"),
            false => assert!(made.is_ok(), "{apply}: {made:?}"),
        }
    }
}

/// Results that are referrals hold everything that the documents hold, though the steps read a part.
#[test]
fn referrals_that_are_left_are_whole() {
    let referrals = sample();
    let reader = reader(&referrals);
    let apply = "compute(details/dealValue mul 2 as twice)/topcount(1,twice)";
    let found = results(&reader, &bind(&format!("$apply={apply}")).unwrap()).unwrap();
    let mut document: Json = serde_json::from_slice(&referrals[2].document).unwrap();
    document["twice"] = serde_json::from_str("6.6").unwrap();
    assert_eq!(found, [document]);
}

#[test]
fn what_cannot_be_aggregated_is_refused_with_a_sentence() {
    let reader = reader(&[]);
    for (apply, why) in [
        ("groupby((status))/search(x)", "search"),
        ("concat(aggregate($count as n),search(x))", "search"),
        ("aggregate(links/self/uri with countdistinct as n)", "'links'"),
        ("groupby((links/self/uri))", "'links'"),
        ("filter(links/self/uri eq 'x')/aggregate($count as n)", "'links'"),
        ("groupby((status),filter(links/self/uri eq 'x')/aggregate($count as n))", "'links'"),
    ] {
        let options = bind(&format!("$apply={apply}")).unwrap_or_else(|error| panic!("{apply}: {error}"));
        match results(&reader, &options) {
            Err(StoreError::NotSupported(said)) => assert!(said.contains(why), "{apply}: {said}"),
            other => panic!("{apply}: {other:?}"),
        }
    }
    let most = vec!["compute(1 as n)/groupby((status))"; 45].join("/");
    assert!(results(&reader, &bind(&format!("$apply={most}")).unwrap()).is_ok());
}

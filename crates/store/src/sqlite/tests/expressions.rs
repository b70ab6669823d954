//! What is written for an expression answers what the evaluator answers.

use odata::{
    BindSettings, Binder, EvalError, Evaluator, Expr, Limits, ParseSettings, QueryOptions, Type, Typed,
    TypedOrder, Value,
};
use proptest::collection::vec;
use proptest::prelude::*;
use referral::{ReferralId, Timestamp};
use rusqlite::{Connection, Row, params_from_iter};
use serde_json::Value as Json;

use super::super::packing::Packing;
use super::super::{functions, referrals, rows, schema};
use super::random::{self, Choices};
use crate::sql::{Dialect, NotSupported, SortKey, Statement, Writer};
use crate::{Key, Place, StoredReferral};

pub(super) fn now() -> Timestamp {
    "2021-06-01T12:00:00.5Z".parse().unwrap()
}

fn evaluator() -> Evaluator<'static> {
    let now = odata::DateTimeOffset { ticks: now().ticks(), offset: 0 };
    Evaluator { schema: crate::schema(), now, work: None }
}

pub(super) fn database(referrals: &[StoredReferral]) -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    functions::register(&connection).unwrap();
    schema::migrate(&mut connection, schema::MIGRATIONS).unwrap();
    // One as it is, the next one compressed: both are asked alike.
    for (referral, packing) in referrals.iter().zip([Packing::Plain, Packing::Compressed].iter().cycle()) {
        let document = packing.pack(&referral.document);
        referrals::insert(&connection, referral, &document, referrals::Words::NotIndexed).unwrap();
    }
    connection
}

fn bind(text: &str) -> Result<Typed, String> {
    let expr = Expr::parse(text, &Limits::default()).map_err(|error| error.to_string())?;
    let settings = BindSettings::default();
    Binder::new(crate::schema(), "Referral", &settings).bind(&expr).map_err(|error| error.to_string())
}

fn select(typed: &Typed) -> Result<Statement, NotSupported> {
    let mut writer = Writer::new(Dialect::Sqlite, now());
    writer.push("SELECT ");
    writer.any_value(typed)?;
    writer.push(" FROM referral ORDER BY row");
    Ok(writer.finish())
}

/// The value of an expression for each referral, as SQLite has it and as the evaluator has it.
fn values(
    connection: &Connection,
    referrals: &[StoredReferral],
    typed: &Typed,
) -> Result<(Vec<Value>, Vec<Value>), NotSupported> {
    let expected: Result<Vec<Value>, EvalError> = referrals
        .iter()
        .map(|referral| {
            let document: Json = serde_json::from_slice(&referral.document).unwrap();
            evaluator().value(typed, &document).map(in_utc)
        })
        .collect();
    let expected = expected.map_err(|error| NotSupported(format!("fault: {error}")))?;
    let statement = select(typed)?;
    let ty = typed.ty.clone().unwrap_or(Type::Primitive(odata::Primitive::Int64));
    let mut prepared =
        connection.prepare(&statement.text).unwrap_or_else(|error| panic!("{error}\n{}", statement.text));
    let found: Vec<Value> = prepared
        .query_map(params_from_iter(&statement.values), |row| Ok(functions::value_of(row.get_ref(0)?, &ty)))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .map_err(|error| NotSupported(format!("fault: {error}")))?;
    Ok((found, expected))
}

/// SQL keeps the instant alone.
fn in_utc(value: Value) -> Value {
    match value {
        Value::DateTimeOffset(instant) => {
            Value::DateTimeOffset(odata::DateTimeOffset { offset: 0, ..instant })
        }
        value => value,
    }
}

/// Equal with all digits of exact numbers.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Double(one), Value::Double(other)) => one == other || (one.is_nan() && other.is_nan()),
        _ => one == other && one.to_text() == other.to_text(),
    }
}

/// Keys of an order, if they can be bound.
fn bind_order(text: &str) -> Option<Vec<TypedOrder>> {
    let query = QueryOptions::parse(&format!("$orderby={text}"), &ParseSettings::default()).ok()?;
    Some(Binder::new(crate::schema(), "Referral", &BindSettings::default()).options(&query).ok()?.orderby)
}

/// The numbers of the referrals that are shown, in order, and their places; from after a place on.
fn page(
    connection: &Connection,
    filter: &Typed,
    order: &[TypedOrder],
    after: Option<&Place>,
) -> Result<Vec<Place>, NotSupported> {
    let mut writer = Writer::new(Dialect::Sqlite, now());
    let keys = writer.keys(order)?;
    writer.push("SELECT referral.id");
    for key in &keys {
        writer.push(&format!(", {}", key.text));
    }
    writer.push(" FROM referral WHERE ");
    writer.predicate(filter)?;
    if let Some(place) = after {
        writer.push(" AND ");
        writer.after(&keys, place);
    }
    let terms: Vec<String> = keys.iter().map(SortKey::term).chain(["referral.id".to_owned()]).collect();
    writer.push(&format!(" ORDER BY {}", terms.join(", ")));
    let statement = writer.finish();
    let place = |row: &Row<'_>| {
        let values = keys.iter().enumerate();
        let values = values.map(|(at, key)| Ok(functions::key(row.get_ref(at + 1)?, key.encoding)));
        Ok(Place { id: rows::referral_id(row, 0)?, keys: values.collect::<rusqlite::Result<_>>()? })
    };
    let mut prepared =
        connection.prepare(&statement.text).unwrap_or_else(|error| panic!("{error}\n{}", statement.text));
    let places = prepared.query_map(params_from_iter(&statement.values), place).unwrap();
    places.collect::<rusqlite::Result<_>>().map_err(|error| NotSupported(format!("fault: {error}")))
}

/// Whether a text may make NaN, which SQLite has not: it takes it for NULL.
fn may_make_nan(text: &str) -> bool {
    ["INF", "NaN", "Edm.Double", "Edm.Single"].iter().any(|word| text.contains(word))
}

/// Whether a refusal is one that the two may differ in: SQL keeps no offsets, and meets faults in another order.
fn is_known(why: &str) -> bool {
    why.contains("offset") || why.starts_with("fault")
}

/// The same by the evaluator.
fn expected_page(
    referrals: &[StoredReferral],
    filter: &Typed,
    order: &[TypedOrder],
) -> Result<Vec<Place>, EvalError> {
    let evaluator = evaluator();
    let document = |referral: &StoredReferral| serde_json::from_slice::<Json>(&referral.document).unwrap();
    let mut kept: Vec<(ReferralId, Json, Vec<Key>)> = Vec::new();
    for referral in referrals {
        let document = document(referral);
        if evaluator.matches(filter, &document)? {
            let key =
                |key: &TypedOrder| Ok(Key::of(&evaluator.value(&key.expr, &document)?, key.ignore_case));
            let keys = order.iter().map(key).collect::<Result<_, EvalError>>()?;
            kept.push((referral.id, document, keys));
        }
    }
    kept.sort_by(|(one, left, _), (other, right, _)| {
        evaluator.order(order, left, right).unwrap().then(one.cmp(other))
    });
    Ok(kept.into_iter().map(|(id, _, keys)| Place { id, keys }).collect())
}

proptest! {
    #[test]
    fn every_expression_has_the_value_the_evaluator_gives_it(
        documents in vec(any::<u8>(), 0..1500),
        query in vec(any::<u8>(), 0..60),
    ) {
        let referrals = random::referrals(&mut Choices::new(&documents), 4);
        let text = random::expression(&mut Choices::new(&query));
        let Ok(typed) = bind(&text) else { return Ok(()) };
        if may_make_nan(&text) {
            return Ok(());
        }
        match values(&database(&referrals), &referrals, &typed) {
            Ok((found, expected)) => {
                let all = found.iter().zip(&expected).all(|(found, expected)| same(found, expected));
                prop_assert!(all && found.len() == expected.len(), "{}\n{:?}\n{:?}", text, found, expected);
            }
            Err(NotSupported(why)) => prop_assert!(is_known(&why), "{}: {}", text, why),
        }
    }

    #[test]
    fn every_page_has_the_rows_and_the_order_the_evaluator_gives_them(
        documents in vec(any::<u8>(), 0..2500),
        query in vec(any::<u8>(), 0..60),
        order in vec(any::<u8>(), 0..20),
    ) {
        let referrals = random::referrals(&mut Choices::new(&documents), 6);
        let (filter, order) = (random::filter(&mut Choices::new(&query)), random::order(&mut Choices::new(&order)));
        let text = format!("{filter} by {order}");
        let (Ok(filter), Some(order)) = (bind(&filter), bind_order(&order)) else { return Ok(()) };
        if may_make_nan(&text) {
            return Ok(());
        }
        let connection = database(&referrals);
        let all = match page(&connection, &filter, &order, None) {
            Ok(all) => all,
            Err(NotSupported(why)) => {
                prop_assert!(is_known(&why), "{}: {}", text, why);
                return Ok(());
            }
        };
        let Ok(expected) = expected_page(&referrals, &filter, &order) else { return Ok(()) };
        prop_assert_eq!(&all, &expected, "{}", text);
        for (at, place) in all.iter().enumerate() {
            let rest = match page(&connection, &filter, &order, Some(place)) {
                Err(NotSupported(why)) if is_known(&why) => return Ok(()),
                rest => rest.map_err(|error| TestCaseError::fail(error.0))?,
            };
            prop_assert_eq!(&rest, &all[at + 1..], "{} after {:?}", text, place);
        }
    }
}

/// As many levels as a query may have, of each form that nests.
fn nested(open: &str, inner: &str, close: &str) -> String {
    let longest = (1..odata::limits::DEPTH)
        .rev()
        .map(|levels| format!("{}{inner}{}", open.repeat(levels), close.repeat(levels)))
        .find(|text| bind(text).is_ok());
    longest.unwrap_or_else(|| panic!("{:?}", bind(&format!("{open}{inner}{close}"))))
}

/// As many terms as a query may have.
fn long(term: &str, operator: &str) -> String {
    let longest = std::iter::successors(Some(odata::limits::NODES), |terms| Some(terms * 19 / 20))
        .take_while(|terms| *terms > 0)
        .map(|terms| vec![term; terms].join(operator))
        .find(|text| text.len() < odata::limits::OPTION_LENGTH && bind(text).is_ok());
    longest.expect("one term at least")
}

#[test]
fn the_deepest_and_the_longest_queries_are_within_what_the_engine_reads() {
    let referrals = random::referrals(&mut Choices::new(&[7; 900]), 3);
    let connection = database(&referrals);
    let list: Vec<String> = (0..1000).map(|number| format!("'{number}'")).collect();
    let queries = [
        nested("not (", "favorite", ")"),
        nested("(favorite or ", "isSpam", ")"),
        nested("(favorite and not ", "isSpam", ")"),
        nested("(", "favorite", ") eq true"),
        nested("(", "name eq 'x'", ") in (true,null)"),
        nested("case(favorite:isSpam,true:", "favorite", ")"),
        format!("{}favorite{}", "team/any(t:t/email ne null and ".repeat(12), ")".repeat(12)),
        format!("{}favorite{}", "team/all(t:not ".repeat(12), ")".repeat(12)),
        "registrations/$filter(solutionDetails/any(d:d/name ne null))/any()".to_owned(),
        long("team/any(t:t/email eq 'x')", " and "),
        long("team/any(t:t/email eq 'x')", " or "),
        long("team/all(t:t/email ne null)", " and "),
        format!("{}name{} eq 'x'", "concat(name,".repeat(60), ")".repeat(60)),
        format!("{}details/dealValue{} eq 1", "-(1 add ".repeat(18), ")".repeat(18)),
        long("name eq 'x'", " or "),
        long("favorite", " and "),
        long("not isSpam", " or "),
        format!("name in ({})", list.join(",")),
        long(&format!("name in ({})", list.join(",")), " or "),
    ];
    for text in queries {
        let typed = bind(&text).unwrap();
        let found = page(&connection, &typed, &[], None).unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(
            found,
            expected_page(&referrals, &typed, &[]).unwrap(),
            "{}",
            &text[..200.min(text.len())]
        );
    }
}

#[test]
fn an_order_of_many_deep_keys_continues_where_it_was() {
    let referrals = random::referrals(&mut Choices::new(&[7; 900]), 3);
    let connection = database(&referrals);
    let deep = format!("{}name{}", "concat(name,".repeat(40), ")".repeat(40));
    let order = vec![format!("{deep} desc"); crate::sql::MOST_KEYS].join(",");
    let order = bind_order(&order).unwrap();
    let filter = bind("true").unwrap();
    let all = page(&connection, &filter, &order, None).unwrap();
    assert_eq!(all, expected_page(&referrals, &filter, &order).unwrap());
    assert_eq!(page(&connection, &filter, &order, Some(&all[0])).unwrap(), all[1..]);
}

#[test]
fn collections_without_end_inside_one_another_are_refused_with_a_sentence() {
    let connection = database(&[]);
    let mut ever = 0;
    for (open, close) in [
        ("team/any(t:t/email ne null and ", ")"),
        ("team/all(t:not ", ")"),
        ("team/any(t:", ")"),
        ("team/any(t:not (cast(length(concat(t/email,trim(name))),Edm.String) eq 'x' or ", "))"),
        ("team/any(t:1 in (1,2.5,length(t/email)) or ", ")"),
        ("length(name) in (1,2.5,INF) or team/any(t:", ")"),
        ("team/any(t:case(favorite:false,true:", "))"),
    ] {
        let mut refused = 0;
        for levels in 1..odata::limits::DEPTH {
            let Ok(typed) = bind(&format!("{}favorite{}", open.repeat(levels), close.repeat(levels))) else {
                break;
            };
            // Whatever is not refused here is read by the engine.
            if let Err(NotSupported(why)) = page(&connection, &typed, &[], None) {
                assert!(why.contains("too deep"), "{open} {levels}: {why}");
                refused += 1;
            } else {
                assert_eq!(refused, 0, "{open} {levels}");
            }
        }
        ever += refused;
    }
    assert!(ever > 0);
}

/// A referral that has something of everything.
fn sample() -> StoredReferral {
    let mut referral = random::referrals(&mut Choices::new(&[]), 1).remove(0);
    let mut document: Json = serde_json::from_slice(&referral.document).unwrap();
    let members: Json = serde_json::from_str(
        r#"{
            "name": "Ärger im Haus", "status": "Active", "createdDateTime": "2024-02-29T21:30:15.1234567Z",
            "statusReason": null, "externalReferenceId": "  a ", "campaignId": "12.50", "callToAction": "P1DT2H",
            "createdVia": "2024-02-29T00:00:00+02:00", "closedDateTime": null, "tags": ["x", "y"], "favorite": true,
            "team": [{"firstName": "Ann", "email": "Ann@Contoso.example", "contactPreference": {}},
                     {"firstName": null, "email": "bob@fabrikam.example", "contactPreference": {}}]
        }"#,
    )
    .unwrap();
    document.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    document["details"]["dealValue"] = serde_json::from_str("12.5").unwrap();
    document["customerProfile"]["address"]["country"] = "DE".into();
    document["details"]["requirements"]["solutions"] = serde_json::from_str(
        r#"[{"id": "s1", "type": "Name", "price": 1.10, "quantity": 3}, {"id": "s2", "type": null, "price": null}]"#,
    )
    .unwrap();
    let parsed: referral::Referral = serde_json::from_value(document).unwrap();
    referral.columns.status = parsed.status;
    referral.columns.created = parsed.created_date_time;
    referral.columns.country = parsed.customer_profile.address.country.clone();
    referral.document = parsed.to_document().into();
    referral
}

/// Rows of an expression and the text of its value, `null` for none.
#[test]
fn every_operator_and_function_says_in_sql_what_it_says_in_memory() {
    let referrals = [sample()];
    let connection = database(&referrals);
    for (text, expected) in [
        // Null.
        ("statusReason eq null", "true"),
        ("statusReason ne null", "false"),
        ("statusReason eq 'x'", "false"),
        ("statusReason ne 'x'", "true"),
        ("not (statusReason eq 'x')", "true"),
        ("statusReason gt 'x'", "false"),
        ("not (statusReason gt 'x')", "true"),
        ("null ge statusReason", "false"),
        ("contains(statusReason,'x')", "null"),
        ("not contains(statusReason,'x')", "null"),
        ("contains(statusReason,'x') or favorite", "true"),
        ("contains(statusReason,'x') and favorite", "null"),
        ("contains(statusReason,'x') and not favorite", "false"),
        ("statusReason in ('x',null)", "true"),
        ("statusReason in ('x')", "false"),
        ("name in ('x','Ärger im Haus')", "true"),
        ("name in ()", "false"),
        ("length(statusReason) add 1", "null"),
        ("customerProfile ne null and team ne null", "true"),
        ("isof(name,Edm.String) and not isof(name,Edm.Guid) and isof(Cosell.Referrals.Referral)", "true"),
        ("isof(statusReason,Edm.String)", "false"),
        // Numbers.
        ("details/dealValue eq 12.500", "true"),
        ("details/dealValue gt 12.4999999999999999999999", "true"),
        ("details/dealValue lt 100", "true"),
        ("details/dealValue in (1,12.5)", "true"),
        ("details/dealValue in (1,12.5,INF)", "true"),
        ("details/dealValue lt INF", "true"),
        ("details/dealValue mul 0.10", "1.250"),
        ("details/dealValue add 1", "13.5"),
        ("details/dealValue sub 12.5", "0.0"),
        ("details/dealValue div 5", "2.5"),
        ("details/dealValue div 0", "fault"),
        ("details/dealValue mod 5", "2.5"),
        ("length(name) div 2", "6"),
        ("length(name) divby 2", "6.5"),
        ("length(name) mod 5", "3"),
        ("length(name) add 9223372036854775807", "fault"),
        ("-length(name)", "-13"),
        ("length(name) mul 0.5e0", "6.5"),
        ("length(name) mul 1e300 gt 1", "true"),
        ("round(details/dealValue)", "13"),
        ("floor(-details/dealValue)", "-13"),
        ("ceiling(details/dealValue)", "13"),
        ("cast(campaignId,Edm.Decimal)", "12.50"),
        ("cast(campaignId,Edm.Int32)", "12"),
        ("cast(name,Edm.Int32)", "null"),
        ("cast(details/dealValue,Edm.String)", "12.5"),
        // Texts.
        ("length(name)", "13"),
        ("indexof(name,'im')", "6"),
        ("indexof(name,'zz')", "-1"),
        ("substring(name,6)", "im Haus"),
        ("substring(name,6,2)", "im"),
        ("substring(name,-4)", "Haus"),
        ("tolower(name)", "ärger im haus"),
        ("toupper(name)", "ÄRGER IM HAUS"),
        ("trim(externalReferenceId)", "a"),
        ("concat(name,'!')", "Ärger im Haus!"),
        ("startswith(name,'Är') and endswith(name,'Haus') and contains(name,'im')", "true"),
        ("contains(name,'IM')", "false"),
        ("matchesPattern(name,'^Ä.*s$')", "true"),
        ("name gt 'Z'", "true"),
        ("customerProfile/address/country eq 'DE'", "true"),
        // Enumerations.
        ("status eq 'active' and status gt 'New' and status lt 'Closed'", "true"),
        ("status in ('New','Active')", "true"),
        ("status has 'Active'", "true"),
        ("cast(status,Edm.String)", "Active"),
        ("registrationStatus eq 'None'", "true"),
        // Dates and times.
        ("year(createdDateTime)", "2024"),
        ("month(createdDateTime) add day(createdDateTime)", "31"),
        ("hour(createdDateTime)", "21"),
        ("minute(createdDateTime)", "30"),
        ("second(createdDateTime)", "15"),
        ("fractionalseconds(createdDateTime)", "0.1234567"),
        ("totaloffsetminutes(createdDateTime)", "0"),
        ("date(createdDateTime)", "2024-02-29"),
        ("time(createdDateTime)", "21:30:15.1234567"),
        ("createdDateTime eq 2024-02-29T23:30:15.1234567+02:00", "true"),
        ("createdDateTime gt 2024-02-29", "true"),
        ("createdDateTime lt now()", "false"),
        ("createdDateTime sub 2024-02-29T21:30:15.1234567Z", "PT0S"),
        ("createdDateTime add duration'PT30M'", "2024-02-29T22:00:15.1234567Z"),
        ("totalseconds(createdDateTime sub 2024-02-29T21:30:15Z)", "0.1234567"),
        ("cast(callToAction,Edm.Duration) mul 2", "P2DT4H"),
        ("-cast(callToAction,Edm.Duration)", "-P1DT2H"),
        ("cast(createdVia,Edm.DateTimeOffset) eq 2024-02-28T22:00:00Z", "true"),
        ("cast(createdDateTime,Edm.Date)", "2024-02-29"),
        ("closedDateTime lt 2024-01-01", "false"),
        // GUIDs.
        ("id eq 00000000-0000-0000-0000-000000000000", "true"),
        ("cast(engagementId,Edm.String)", "00000000-0000-0000-0000-000000000000"),
        ("engagementId in ('f81d4fae-7dec-11d0-a765-00a0c91e6bf6')", "false"),
        // Collections.
        ("team/any()", "true"),
        ("registrations/any()", "false"),
        ("registrations/all(r:r/id eq 'x')", "true"),
        ("team/any(m:m/email eq 'ann@contoso.EXAMPLE')", "true"),
        ("team/any(m:startswith(m/email,'BOB'))", "true"),
        ("team/all(m:m/firstName ne null)", "false"),
        ("team/$count", "2"),
        ("team/$count($filter=firstName eq 'Ann')", "1"),
        ("team/$filter(firstName eq 'Ann')/any(m:endswith(m/email,'example'))", "true"),
        ("tags/any(t:t eq 'x')", "true"),
        ("'y' in tags and not ('z' in tags)", "true"),
        ("details/requirements/solutions/any(s:s/price mul s/quantity eq 3.3)", "true"),
        ("details/requirements/solutions/any(s:s/type eq 'Name' and s/price lt details/dealValue)", "true"),
        ("team/any(m:tags/any(t:contains(m/email,t)))", "true"),
        // Choices.
        ("case(favorite:'yes',true:'no')", "yes"),
        ("case(not favorite:1,true:details/dealValue)", "12.5"),
        ("case(not favorite:'yes')", "null"),
    ] {
        let typed = match bind(text) {
            // What is constant is met when the text is bound.
            Err(_) if expected == "fault" => continue,
            bound => bound.unwrap_or_else(|error| panic!("{text}: {error}")),
        };
        let (found, evaluated) = match values(&connection, &referrals, &typed) {
            Err(NotSupported(why)) if expected == "fault" && why.starts_with("fault") => continue,
            values => values.unwrap_or_else(|error| panic!("{text}: {error:?}")),
        };
        let say = |value: &Value| value.to_text().unwrap_or_else(|| "null".to_owned());
        assert_eq!(say(&found[0]), expected, "{text}");
        assert_eq!(say(&evaluated[0]), expected, "{text}");
    }
}

#[test]
fn a_list_may_hold_members_of_the_referral_itself() {
    let referrals = [sample()];
    let connection = database(&referrals);
    for (list, found) in [
        (r#"["x",name]"#, 1),
        (r#"["x",campaignId]"#, 0),
        (r#"[statusReason,null]"#, 0),
        (r#"[statusReason,"Ärger im Haus"]"#, 1),
        (r#"["x",tolower(name)]"#, 0),
    ] {
        let query = format!("$filter=name in @l&@l={list}");
        let query = QueryOptions::parse(&query, &ParseSettings::default())
            .unwrap_or_else(|error| panic!("{list}: {error}"));
        let bound = Binder::new(crate::schema(), "Referral", &BindSettings::default()).options(&query);
        let filter = bound.unwrap_or_else(|error| panic!("{list}: {error}")).filter.unwrap();
        let page = page(&connection, &filter, &[], None).unwrap();
        assert_eq!(page, expected_page(&referrals, &filter, &[]).unwrap(), "{list}");
        assert_eq!(page.len(), found, "{list}");
    }
}

#[test]
fn what_no_row_holds_is_refused_with_a_sentence() {
    for (text, why) in [
        ("links/self/uri eq 'x'", "'links'"),
        ("links ne null", "'links'"),
        ("relatedReferrals/any(r:r/name eq 'x')", "'relatedReferrals'"),
        ("relatedReferrals/$count gt 1", "'relatedReferrals'"),
        ("details/dealValue gt NaN", "NaN"),
        ("hour(cast(name,Edm.DateTimeOffset)) eq 1", "offset"),
    ] {
        let typed = bind(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        match page(&database(&[]), &typed, &[], None) {
            Err(NotSupported(said)) => assert!(said.contains(why), "{text}: {said}"),
            Ok(found) => panic!("{text}: {found:?}"),
        }
    }
}

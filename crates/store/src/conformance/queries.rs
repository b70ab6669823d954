//! The query language over lists. What must come out is told by the evaluator, over the documents, in memory.

use bytes::Bytes;
use odata::{BindSettings, Binder, DateTimeOffset, Evaluator, Limits, ParseSettings, QueryOptions, Search};
use referral::{
    OrganizationId, ReferralDirection, ReferralQualification, ReferralStatus, ReferralSubstatus, ReferralType,
};
use serde_json::{Value as Json, json};

use super::Engine;
use super::samples::*;
use crate::{Aggregation, CountMode, Query, QueryResult, Scope, Store, StoreError, StoredReferral, matches};

/// Filters that indexes carry, and others.
const FILTERS: [&str; 30] = [
    "",
    "direction eq 'Incoming' and substatus eq 'Pending'",
    "status eq 'New'",
    "status ne 'Closed' and type eq 'Shared'",
    "status eq 'Active' or substatus eq 'Lost'",
    "not (qualification eq 'Direct')",
    "status eq null",
    "1 eq 2",
    "customerProfile/address/country eq 'DE'",
    "customerProfile/address/country eq 'DE' and status eq 'New'",
    "customerProfile/address/country eq null",
    "customerProfile/address/country eq 'DE' and customerProfile/address/country eq 'FR'",
    "createdDateTime ge 2020-09-13T12:26:43Z",
    "createdDateTime gt 2020-09-13T12:26:42Z and 2020-09-13T12:26:44Z gt createdDateTime and status eq 'New'",
    "createdDateTime lt 2020-09-13T12:26:41Z and createdDateTime gt 2020-09-13T12:26:43Z",
    "updatedDateTime ge 2020-09-13T12:26:51Z",
    "updatedDateTime eq 2020-09-13T12:26:50Z and direction eq 'Outgoing'",
    "updatedDateTime le now() and createdDateTime le 2020-09-13T12:26:42Z",
    "team/any(t:t/email eq 'A@x.example')",
    "team/any(t:t/email in ('a@x.example','B@x.example')) and status eq 'New'",
    "team/any(t:t/email eq 'a@x.example') and team/any(t:t/email eq 'b@x.example')",
    "id eq 00000000-0000-0007-a0a0-a0a0a0a0a0a0",
    "id in (00000000-0000-0007-a0a0-a0a0a0a0a0a0,00000000-0000-0001-a0a0-a0a0a0a0a0a0) and status ne 'None'",
    "id eq 00000000-0000-0007-a0a0-a0a0a0a0a0a0 and id eq 00000000-0000-0001-a0a0-a0a0a0a0a0a0",
    "engagementId eq 01010101-0101-0101-0101-010101010101",
    "contains(name,'even')",
    "name eq null and status eq 'New'",
    "details/dealValue gt 20 or externalReferenceId eq '3'",
    "startswith(name,'od') and customerProfile/address/country eq 'FR' and createdDateTime ge 2020-09-13T12:26:42Z",
    "contains(name,'e') and updatedDateTime ge 2020-09-13T12:26:51Z and team/any()",
];

/// Orders that indexes have, and others.
const ORDERS: [&str; 12] = [
    "",
    "createdDateTime",
    "createdDateTime desc,id",
    "updatedDateTime",
    "updatedDateTime desc",
    "id desc",
    "name",
    "name desc,createdDateTime",
    "customerProfile/address/country desc,status",
    "details/dealValue",
    "status desc,updatedDateTime desc",
    "length(name) desc",
];

/// Every filter in some orders and every order with some filters, page by page and at once, for everyone and for a
/// team: the same referrals in the same order as in memory, and as many.
pub async fn pages_are_what_the_evaluator_leaves(engine: &dyn Engine) {
    let store = engine.open().await;
    let kept = mixed(0..60);
    for referral in &kept {
        created(&*store, referral.clone()).await;
    }
    let mut shown = 0;
    for (number, filter) in FILTERS.iter().enumerate() {
        for (place, order) in ORDERS.iter().enumerate() {
            if number > 1 && (number + place) % 3 > 0 {
                continue;
            }
            let all = asked(&organization(1), filter, order);
            let mut query = all.clone();
            query.scope.offer_leads = (number + place) % 2 == 0;
            query.scope.team = match place % 4 {
                0 => Some(vec!["b@x.example".to_owned(), "a@x.example".to_owned()]),
                _ => None,
            };
            shown += check(&*store, &kept, &query, &format!("{filter} by {order}")).await;
        }
    }
    assert!(shown > 1000, "the samples are too thin: {shown}");
}

/// The whole, by pages of several sizes, with `skip`, and its count; how many there are.
async fn check(store: &dyn Store, kept: &[StoredReferral], query: &Query, what: &str) -> usize {
    let expected = expected(kept, query);
    for limit in [1, 4, 1000] {
        let (mut joined, mut after) = (Vec::new(), None);
        loop {
            let page = found(store, &Query { after, limit, ..query.clone() }).await;
            assert!(page.referrals.len() <= limit, "{what}");
            assert_eq!(page.count, Some(expected.len() as u64), "{what}");
            let Some((_, last)) = page.referrals.last() else { break };
            after = Some(last.clone());
            joined.extend(page.referrals.iter().map(|(referral, _)| referral.id));
        }
        assert_eq!(joined, expected, "{what}, by {limit}");
    }
    let skipped = found(store, &Query { skip: 3, limit: 2, ..query.clone() }).await;
    let skipped: Vec<_> = skipped.referrals.iter().map(|(referral, _)| referral.id).collect();
    let cut: Vec<_> = expected.iter().skip(3).take(2).copied().collect();
    assert_eq!(skipped, cut, "{what}, from the fourth");
    expected.len()
}

/// Who is there all the time is shown once, whatever comes and changes between the pages, in either direction; and
/// the referral a page ended with may have gone elsewhere meanwhile.
pub async fn pages_are_stable_while_referrals_come_and_change(engine: &dyn Engine) {
    let store = engine.open().await;
    let orders = ["", "createdDateTime", "updatedDateTime desc", "updatedDateTime", "name desc", "name"];
    for (place, order) in orders.into_iter().enumerate() {
        let (owner, base) = (organization(place as u8), place as u64 * 10_000);
        for number in 0..30 {
            let mut referral = a_referral(&owner, base + number);
            referral.columns.created = at(number as i64 / 3);
            referral.columns.updated = referral.columns.created;
            created(&*store, told(referral)).await;
        }
        let query = Query { limit: 4, ..asked(&owner, "status eq 'New'", order) };
        let (mut seen, mut after) = (Vec::new(), None);
        for round in 0..20 {
            let page = found(&*store, &Query { after, ..query.clone() }).await;
            let Some((last, place)) = page.referrals.last() else { break };
            seen.extend(page.referrals.iter().map(|(referral, _)| referral.id));
            after = Some(place.clone());
            // The last one closes, and two come: one on either side of the place.
            let mut gone = closed(next(last));
            gone.columns.updated = at(5000 + round);
            must(&*store, edit(told(gone))).await;
            for (number, seconds) in [(1000, -100), (2000, 9000)].into_iter().filter(|_| round < 8) {
                let mut new = a_referral(&owner, base + number + round as u64);
                (new.columns.created, new.columns.updated) = (at(seconds), at(seconds));
                created(&*store, told(new)).await;
            }
        }
        for number in 0..30 {
            let times = seen.iter().filter(|seen| **seen == id(base + number)).count();
            assert_eq!(times, 1, "referral {number} by '{order}'");
        }
        let once: std::collections::HashSet<_> = seen.iter().collect();
        assert_eq!(once.len(), seen.len(), "by '{order}'");
        assert!(seen.len() > 30, "none that came was seen: {order}");
    }
}

/// Counts follow every write: creations, changes of class, of country, and of whether it is an offer lead.
pub async fn kept_counts_follow_every_write(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut kept = mixed(0..40);
    for referral in &kept {
        created(&*store, referral.clone()).await;
    }
    for round in 0..4_usize {
        for (number, referral) in kept.iter_mut().enumerate().filter(|(number, _)| number % 4 == round) {
            let mut changed = next(referral);
            match (number + round) % 4 {
                0 => changed = closed(changed),
                1 => changed.columns.country = [None, Some("FR".to_owned())][number / 4 % 2].clone(),
                2 => changed.columns.offer_lead = !changed.columns.offer_lead,
                _ => changed.columns.qualification = ReferralQualification::None,
            }
            *referral = told(changed);
            must(&*store, edit(referral.clone())).await;
        }
        for owner in [1, 2].map(organization) {
            for filter in FILTERS.iter().take(12) {
                for offer_leads in [false, true] {
                    let mut query = Query { limit: 0, ..asked(&owner, filter, "") };
                    query.scope.offer_leads = offer_leads;
                    let count = found(&*store, &query).await.count;
                    assert_eq!(count, Some(expected(&kept, &query).len() as u64), "{filter}, round {round}");
                }
            }
        }
    }
}

/// [`CountMode::No`] and [`CountMode::IfCheap`]: nobody pays for a count that is not wanted.
pub async fn a_count_is_told_as_it_is_wanted(engine: &dyn Engine) {
    let store = engine.open().await;
    for referral in mixed(0..40) {
        created(&*store, referral).await;
    }
    for filter in ["", "status eq 'New'", "contains(name,'e')"] {
        let exact = asked(&organization(1), filter, "");
        let cheap = Query { count: CountMode::IfCheap, ..exact.clone() };
        let none = Query { count: CountMode::No, ..exact.clone() };
        let count = found(&*store, &exact).await.count;
        assert!(count.is_some_and(|count| count > 0), "{filter}");
        assert_eq!(found(&*store, &cheap).await.count, count, "{filter}");
        assert_eq!(found(&*store, &none).await.count, None, "{filter}");
    }
}

/// `$search`: what [`crate::matches`] says of the words of each, with filters and orders and page by page; of the words
/// as they are now, and of no other owner's.
pub async fn words_find_what_has_them_now(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut kept = mixed(0..40);
    for referral in &mut kept {
        created(&*store, referral.clone()).await;
        if referral.id.as_uuid().as_u128() >> 64 & 1 == 1 {
            *referral = renamed(told(next(referral)));
            must(&*store, edit(referral.clone())).await;
        }
    }
    if !engine.searches() {
        let search = Search::parse("even", &Limits::default()).ok();
        let refused = store.query(&Query { search, ..asked(&organization(1), "", "") }).await;
        assert!(matches!(refused, Err(StoreError::NotSupported(_))), "{refused:?}");
        return;
    }
    let mut shown = 0;
    for search in [
        "even",
        "odd",
        "renamed",
        "EVEN OR renamed",
        "renamed NOT odd",
        "NOT even",
        "\"odd 3\"",
        "\"even even\"",
        "\"3 odd\"",
        "DE AND (odd OR renamed)",
        "NOT (even OR odd)",
        "zebra",
        "\"§\"",
        "NOT \"§\"",
        "été",
        "\"new name a b x example\"",
    ] {
        for (filter, order) in [
            ("", ""),
            ("status eq 'New'", "createdDateTime"),
            ("", "updatedDateTime desc"),
            ("contains(name,'e')", "name"),
        ] {
            for owner in [1, 2].map(organization) {
                let search = Search::parse(search, &Limits::default()).expect("well-formed");
                let query = Query { search: Some(search), ..asked(&owner, filter, order) };
                shown += check(&*store, &kept, &query, &format!("{query:?}")).await;
            }
        }
    }
    assert!(shown > 300, "the samples are too thin: {shown}");
}

fn renamed(mut referral: StoredReferral) -> StoredReferral {
    let mut document: Json = serde_json::from_slice(&referral.document).expect("JSON");
    document["name"] = json!("Renamed, Été: NEW name");
    referral.document = Bytes::from(document.to_string());
    referral
}

/// A page of long documents ends before it is full, whatever leads to it, and the next one begins behind it.
pub async fn pages_of_long_documents_end_early(engine: &dyn Engine) {
    let store = engine.open().await;
    let long = "x".repeat(1 << 20);
    for number in 0..20 {
        let mut referral = told(a_referral(&organization(1), number));
        let mut document: Json = serde_json::from_slice(&referral.document).expect("JSON");
        document["details"]["notes"] = json!(long);
        referral.document = Bytes::from(document.to_string());
        created(&*store, referral).await;
    }
    for (filter, order) in [
        ("", ""),
        ("length(details/notes) gt 5", ""),
        ("", "name"),
        ("contains(details/notes,'x')", "name desc"),
    ] {
        let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page =
                found(&*store, &Query { after, limit: 20, ..asked(&organization(1), filter, order) }).await;
            seen.extend(page.referrals.iter().map(|(referral, _)| referral.id));
            pages += 1;
            if !page.cut_short {
                break;
            }
            assert!(page.referrals.len() < 12, "{filter} by {order}: {}", page.referrals.len());
            after = page.referrals.last().map(|(_, place)| place.clone());
        }
        let once: std::collections::HashSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), once.len(), pages), (20, 20, 3), "{filter} by {order}");
    }
}

/// Lists and aggregations over three referrals, of which the second is damaged: what could not be read is told, unless
/// columns tell all that is asked.
pub(crate) async fn what_cannot_be_read_is_told(store: &dyn Store) {
    for (filter, order, found_ids, left_out, unreadable, count) in [
        ("", "", vec![3, 1], 1, 0, 3),
        ("startswith(name,'Fabrikam')", "", vec![3, 1], 0, 1, 2),
        ("startswith(name,'Fabrikam')", "name", vec![1, 3], 0, 1, 2),
        ("", "name", vec![1, 3], 0, 1, 2),
        ("status eq 'New'", "status", vec![1, 3], 1, 0, 3),
    ] {
        let query = asked(&organization(1), filter, order);
        let page = found(store, &query).await;
        let ids: Vec<_> = page.referrals.iter().map(|(referral, _)| referral.id).collect();
        let expected: Vec<_> = found_ids.into_iter().map(id).collect();
        assert_eq!(ids, expected, "{filter} by {order}");
        assert_eq!((page.left_out, page.unreadable), (left_out, unreadable), "{filter} by {order}");
        assert_eq!(page.count, Some(count), "{filter} by {order}");
        let counted = found(store, &Query { limit: 0, ..query }).await;
        let plain = filter.is_empty() || filter.starts_with("status");
        assert_eq!(counted.unreadable, usize::from(!plain), "{filter}, only counted");
    }
    for (apply, left_out) in [
        ("aggregate($count as n)", 0),
        ("groupby((status),aggregate($count as n))", 0),
        ("groupby((name),aggregate($count as n))", 1),
        ("filter(startswith(name,'Fabrikam'))/aggregate($count as n)", 1),
        ("topcount(2,length(name))", 1),
        ("top(3)", 1),
    ] {
        let text = format!("$apply={apply}");
        let options = QueryOptions::parse(&text, &ParseSettings::default()).expect("well-formed");
        let settings = BindSettings::default();
        let bound =
            Binder::new(crate::schema(), "Referral", &settings).options(&options).expect("meaningful");
        let aggregation = Aggregation {
            scope: asked(&organization(1), "", "").scope,
            apply: bound.apply.expect("an $apply"),
            filter: None,
            order: Vec::new(),
            skip: 0,
            limit: 10,
        };
        let made = store.aggregate(&aggregation).await.expect("the store is well");
        assert_eq!(made.left_out, left_out, "{apply}: {made:?}");
        assert!(!made.rows.is_empty(), "{apply}");
    }
}

/// A place of another order is refused, not misread.
pub async fn a_place_of_another_order_is_refused(engine: &dyn Engine) {
    let store = engine.open().await;
    for referral in mixed(0..10) {
        created(&*store, referral).await;
    }
    let by_name = found(&*store, &asked(&organization(1), "", "name,id")).await;
    let after = by_name.referrals.first().map(|(_, place)| place.clone());
    for order in ["", "createdDateTime", "name"] {
        let query = Query { after: after.clone(), ..asked(&organization(1), "", order) };
        let refused = store.query(&query).await;
        assert!(matches!(refused, Err(StoreError::NotSupported(_))), "{order}: {refused:?}");
    }
}

/// [`crate::Store::plan`] says of the common filters that an index carries them, and of others that none does.
pub async fn a_plan_says_whether_an_index_carries_a_query(engine: &dyn Engine) {
    let store = engine.open().await;
    for (filter, order, by_index) in [
        ("", "", true),
        ("direction eq 'Incoming' and substatus eq 'Pending'", "", true),
        ("status eq 'New'", "createdDateTime", true),
        ("updatedDateTime ge 2020-01-01T00:00:00Z", "updatedDateTime", true),
        ("createdDateTime ge 2020-01-01T00:00:00Z and type eq 'Shared'", "", true),
        ("customerProfile/address/country eq 'DE'", "", true),
        ("team/any(t:t/email eq 'a@x.example')", "", true),
        ("contains(name,'x')", "", false),
        ("status eq 'New' and name eq 'x'", "", false),
        ("", "name", false),
    ] {
        let plan = store.plan(&asked(&organization(1), filter, order)).await.unwrap();
        assert_eq!(plan.by_index, by_index, "{filter} by {order}: {plan:?}");
        assert!(!plan.steps.is_empty() && !plan.count.is_empty() && !plan.statements.is_empty());
    }
}

/// [`crate::Store::engagement_members`]: everyone's, oldest first, page by page.
pub async fn the_members_of_an_engagement_come_oldest_first(engine: &dyn Engine) {
    let store = engine.open().await;
    for (number, owner, seconds, of) in
        [(4, 1, 30, 1), (3, 2, 10, 1), (2, 1, 30, 1), (1, 3, 20, 2), (5, 1, 20, 1), (6, 3, -40, 1)]
    {
        let mut referral = a_referral(&organization(owner), number);
        referral.engagement_id = engagement(of);
        referral.columns.created = at(seconds);
        created(&*store, referral).await;
    }
    let (mut told, mut after) = (Vec::new(), None);
    loop {
        let page = store.engagement_members(engagement(1), after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.columns.created, last.id));
        told.extend(page.iter().map(|referral| referral.id));
    }
    assert_eq!(told, [6, 3, 5, 2, 4].map(id));
    assert!(store.engagement_members(engagement(3), None, 10).await.unwrap().is_empty());
}

async fn found(store: &dyn Store, query: &Query) -> QueryResult {
    store.query(query).await.expect("the store is well")
}

/// What a query asks for, bound.
fn asked(owner: &OrganizationId, filter: &str, order: &str) -> Query {
    let text = format!("$filter={}&$orderby={}", filter.replace(' ', "%20"), order.replace(' ', "%20"));
    let text: Vec<&str> = text.split('&').filter(|option| !option.ends_with('=')).collect();
    let options = QueryOptions::parse(&text.join("&"), &ParseSettings::default()).expect("well-formed");
    let settings = BindSettings::default();
    let bound = Binder::new(crate::schema(), "Referral", &settings).options(&options).expect("meaningful");
    Query {
        scope: Scope { owner: owner.clone(), team: None, offer_leads: false, now: at(52) },
        filter: bound.filter,
        search: None,
        order: bound.orderby,
        after: None,
        skip: 0,
        limit: 1000,
        count: CountMode::Exact,
    }
}

/// The ids that must come out.
fn expected(kept: &[StoredReferral], query: &Query) -> Vec<referral::ReferralId> {
    let evaluator = Evaluator {
        schema: crate::schema(),
        now: DateTimeOffset { ticks: query.scope.now.ticks(), offset: 0 },
        work: None,
    };
    let scope = &query.scope;
    let on_team = |referral: &StoredReferral| match &scope.team {
        None => true,
        Some(emails) => emails.iter().any(|email| referral.columns.team.contains(email)),
    };
    let mut matching: Vec<(&StoredReferral, Json)> = kept
        .iter()
        .filter(|referral| {
            referral.owner == scope.owner && (scope.offer_leads || !referral.columns.offer_lead)
        })
        .filter(|referral| on_team(referral))
        .filter(|referral| query.search.as_ref().is_none_or(|search| matches(search, &words_of(referral))))
        .map(|referral| (referral, serde_json::from_slice(&referral.document).expect("JSON")))
        .filter(|(_, document)| {
            query.filter.as_ref().is_none_or(|filter| evaluator.matches(filter, document).expect("a value"))
        })
        .collect();
    matching.sort_by(|(left, one), (right, other)| {
        let order = match query.order.is_empty() {
            true => right.columns.created.cmp(&left.columns.created),
            false => evaluator.order(&query.order, one, other).expect("an order"),
        };
        order.then(left.id.cmp(&right.id))
    });
    matching.into_iter().map(|(referral, _)| referral.id).collect()
}

/// The same with a document that says what the columns say.
fn told(mut referral: StoredReferral) -> StoredReferral {
    let number = referral.id.as_uuid().as_u128() >> 64;
    let columns = &referral.columns;
    let team: Vec<Json> = columns.team.iter().map(|email| json!({ "email": email })).collect();
    let name = match number % 3 {
        0 => None,
        1 => Some(format!("odd {}", number % 5)),
        _ => Some("even".to_owned()),
    };
    let document = json!({
        "id": referral.id,
        "engagementId": referral.engagement_id,
        "name": name,
        "externalReferenceId": (number % 7).to_string(),
        "direction": columns.direction,
        "status": columns.status,
        "substatus": columns.substatus,
        "qualification": columns.qualification,
        "type": columns.referral_type,
        "createdDateTime": columns.created,
        "updatedDateTime": columns.updated,
        "customerProfile": { "address": { "country": columns.country } },
        "details": { "dealValue": (number % 11) * 5 },
        "team": team,
    });
    referral.document = Bytes::from(document.to_string());
    referral
}

/// Two owners, every sort of class, ties of both instants, teams, countries and leads.
fn mixed(numbers: std::ops::Range<u64>) -> Vec<StoredReferral> {
    let mixture = |number: u64| {
        let mut referral = a_referral(&organization(1 + u8::from(number % 8 == 7)), number);
        let one = |seed: u64, count: usize| (number.wrapping_mul(seed) >> 3) as usize % count;
        referral.engagement_id = engagement(1 + (number % 6) as u8);
        let columns = &mut referral.columns;
        (columns.status, columns.substatus) = [
            (ReferralStatus::New, ReferralSubstatus::Pending),
            (ReferralStatus::New, ReferralSubstatus::Received),
            (ReferralStatus::Active, ReferralSubstatus::Accepted),
            (ReferralStatus::Closed, ReferralSubstatus::Lost),
        ][one(5, 4)];
        columns.direction = ReferralDirection::ALL[one(3, 2)];
        columns.qualification = ReferralQualification::ALL[one(7, 4)];
        columns.referral_type = ReferralType::ALL[one(11, 2)];
        columns.country = [None, Some("DE"), Some("FR")][one(13, 3)].map(str::to_owned);
        columns.created = at(one(17, 5) as i64);
        columns.updated = at(10 + one(19, 4) as i64);
        columns.offer_lead = one(23, 9) == 0;
        let emails = ["a@x.example", "b@x.example"].iter().zip(0..);
        columns.team =
            emails.filter(|(_, bit)| number >> bit & 1 == 1).map(|(email, _)| (*email).to_owned()).collect();
        told(referral)
    };
    numbers.map(mixture).collect()
}

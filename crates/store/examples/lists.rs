//! How fast lists are: `cargo run --release -p store --example lists -- DIRECTORY COUNT`. A directory that holds
//! referrals already is measured as it is.

use std::time::Instant;

use bytes::Bytes;
use odata::{BindSettings, Binder, Limits, ParseSettings, QueryOptions, Search};
use referral::{
    ETag, EngagementId, OrganizationId, ReferralDirection, ReferralId, ReferralQualification, ReferralStatus,
    ReferralSubstatus, ReferralType, Timestamp,
};
use serde_json::json;
use store::sqlite::{SqliteOptions, SqliteStore};
use store::{
    Action, Aggregation, Columns, CountMode, Entry, Query, Scope, Store, StoreError, StoredReferral, Write,
};

const ROUNDS: u32 = 200;

/// A filter, an order, a place to begin as `$skip`, and whether the count is wanted.
const QUERIES: [(&str, &str, u64, CountMode); 22] = [
    ("direction eq 'Incoming' and substatus eq 'Pending'", "", 0, CountMode::No),
    ("direction eq 'Incoming' and substatus eq 'Pending'", "", 0, CountMode::Exact),
    ("", "", 0, CountMode::No),
    ("", "", 0, CountMode::Exact),
    ("status eq 'New'", "", 0, CountMode::Exact),
    ("status eq 'New'", "createdDateTime", 0, CountMode::Exact),
    ("status ne 'Closed'", "updatedDateTime", 0, CountMode::Exact),
    ("", "updatedDateTime desc", 0, CountMode::Exact),
    ("customerProfile/address/country eq 'DE'", "", 0, CountMode::Exact),
    ("customerProfile/address/country eq 'DE' and status eq 'New'", "", 0, CountMode::Exact),
    ("team/any(t:t/email eq 'user@contoso.example')", "", 0, CountMode::Exact),
    ("team/any(t:t/email eq 'user@contoso.example') and status eq 'New'", "", 0, CountMode::IfCheap),
    ("updatedDateTime ge 2023-11-14T22:13:20Z", "", 0, CountMode::No),
    ("updatedDateTime ge 2023-11-14T22:13:20Z", "", 0, CountMode::Exact),
    ("updatedDateTime ge 2023-11-26T00:00:00Z and status eq 'New'", "", 0, CountMode::IfCheap),
    ("direction eq 'Incoming' and substatus eq 'Pending'", "", 10_000, CountMode::No),
    ("", "", 90_000, CountMode::No),
    ("contains(name,'17')", "", 0, CountMode::No),
    ("contains(name,'17')", "", 0, CountMode::IfCheap),
    ("contains(name,'17')", "", 0, CountMode::Exact),
    ("details/dealValue gt 100 and status eq 'New'", "", 0, CountMode::IfCheap),
    ("status eq 'New'", "name desc", 0, CountMode::No),
];

/// What `$apply` makes.
const AGGREGATIONS: [&str; 9] = [
    "aggregate($count as n)",
    "groupby((status),aggregate($count as n))",
    "groupby((customerProfile/address/country),aggregate($count as n))",
    "groupby((customerProfile/address/country,status),aggregate($count as n))",
    "groupby((status),aggregate(details/dealValue with sum as value))",
    "filter(status eq 'New')/groupby((details/currency),aggregate(details/dealValue with average as value))",
    "compute(year(createdDateTime) as y,month(createdDateTime) as m)/groupby((y,m),aggregate($count as n))",
    "filter(status eq 'Active')/topcount(5,details/dealValue)",
    "filter(contains(name,'17'))/aggregate($count as n)",
];

fn scattered(number: u64) -> [u8; 16] {
    // SplitMix64, twice: ids as random as a client's.
    let mut bytes = [0; 16];
    for (half, chunk) in bytes.chunks_exact_mut(8).enumerate() {
        let mut z = number.wrapping_mul(2).wrapping_add(half as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&(z ^ (z >> 31)).to_be_bytes());
    }
    bytes
}

fn owner() -> OrganizationId {
    OrganizationId::from_bytes(&[7; 16]).expect("sixteen bytes are an organization")
}

fn referral(number: u64) -> Write {
    let created = Timestamp::from_unix_seconds(1_700_000_000 + number as i64);
    let random = u64::from_be_bytes(scattered(number + (1 << 41))[..8].try_into().expect("eight bytes"));
    let one = |shift: u32, count: usize| (random >> shift) as usize % count;
    let (status, substatus) = [
        (ReferralStatus::New, ReferralSubstatus::Pending),
        (ReferralStatus::New, ReferralSubstatus::Received),
        (ReferralStatus::Active, ReferralSubstatus::Accepted),
        (ReferralStatus::Closed, ReferralSubstatus::Won),
        (ReferralStatus::Closed, ReferralSubstatus::Lost),
        (ReferralStatus::Closed, ReferralSubstatus::Declined),
        (ReferralStatus::Closed, ReferralSubstatus::Expired),
        (ReferralStatus::Closed, ReferralSubstatus::Error),
    ][one(0, 8)];
    let id = ReferralId::from_bytes(scattered(number));
    let updated = created.plus_seconds(one(40, 1 << 20) as i64);
    let columns = Columns {
        status,
        substatus,
        direction: ReferralDirection::ALL[one(8, 2)],
        qualification: ReferralQualification::ALL[one(16, 4)],
        referral_type: ReferralType::ALL[one(24, 2)],
        country: Some(["US", "DE", "FR", "GB", "IN", "JP", "BR", "CA"][one(32, 8)].to_owned()),
        created,
        updated,
        expires: None,
        accepted: None,
        sender: None,
        offer_lead: false,
        shared_with_microsoft: false,
        team: if number.is_multiple_of(100) { vec!["user@contoso.example".to_owned()] } else { Vec::new() },
    };
    let document = json!({
        "id": id,
        "createdDateTime": columns.created,
        "updatedDateTime": columns.updated,
        "status": columns.status,
        "substatus": columns.substatus,
        "direction": columns.direction,
        "qualification": columns.qualification,
        "type": columns.referral_type,
        "name": format!("Deal {number}"),
        "customerProfile": { "name": "Fabrikam", "address": { "country": columns.country } },
        "details": { "dealValue": one(48, 10_000), "currency": "USD", "notes": "x".repeat(2000) },
        "team": columns.team.iter().map(|email| json!({ "email": email })).collect::<Vec<_>>(),
    });
    let stored = StoredReferral {
        owner: owner(),
        id,
        engagement_id: EngagementId::from_bytes(scattered(number + (1 << 40))),
        version: 1,
        etag: ETag::of_version(1, created),
        columns,
        document: Bytes::from(document.to_string()),
    };
    let changes = Bytes::from_static(b"{}");
    let entry = Entry { action: Action::Imported, at: created, actor: None, changes };
    Write { referral: stored, decided_on: None, entry, search: Some(words(number)) }
}

fn query(filter: &str, order: &str, skip: u64, count: CountMode) -> Query {
    let text = [("$filter", filter), ("$orderby", order)]
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={}", value.replace(' ', "%20")))
        .collect::<Vec<_>>()
        .join("&");
    let options = QueryOptions::parse(&text, &ParseSettings::default()).expect("well-formed");
    let settings = BindSettings::default();
    let bound = Binder::new(store::schema(), "Referral", &settings).options(&options).expect("meaningful");
    let scope =
        Scope { owner: owner(), team: None, offer_leads: false, now: Timestamp::from_unix_seconds(0) };
    Query {
        scope,
        filter: bound.filter,
        search: None,
        order: bound.orderby,
        after: None,
        skip,
        limit: 50,
        count,
    }
}

async fn measure(store: &SqliteStore, name: &str, query: &Query) -> Result<store::QueryResult, StoreError> {
    let found = store.query(query).await?;
    let begin = Instant::now();
    store.query(query).await?;
    let rounds = if begin.elapsed().as_millis() > 20 { 3 } else { ROUNDS };
    let (begin, worked) = (Instant::now(), worked());
    for _ in 0..rounds {
        store.query(query).await?;
    }
    let elapsed = begin.elapsed().as_nanos() as u64;
    let spent = worked.zip(self::worked()).map_or(elapsed, |(before, after)| after - before);
    let micros = spent as f64 / 1000.0 / f64::from(rounds);
    say(&format!("{micros:>10.0} us  {:>3} of {:?}  {name}", found.referrals.len(), found.count));
    Ok(found)
}

async fn aggregated(store: &SqliteStore, apply: &str) -> Result<(), StoreError> {
    let text = format!("$apply={}", apply.replace(' ', "%20"));
    let options = QueryOptions::parse(&text, &ParseSettings::default()).expect("well-formed");
    let settings = BindSettings::default();
    let bound = Binder::new(store::schema(), "Referral", &settings).options(&options).expect("meaningful");
    let aggregation = Aggregation {
        scope: query("", "", 0, CountMode::No).scope,
        apply: bound.apply.expect("an $apply"),
        filter: None,
        order: Vec::new(),
        skip: 0,
        limit: 100,
    };
    store.aggregate(&aggregation).await?;
    const TIMES: u32 = 3;
    let worked = worked();
    for _ in 0..TIMES {
        store.aggregate(&aggregation).await?;
    }
    let spent = worked.zip(self::worked()).map_or(0, |(before, after)| after - before);
    let micros = spent as f64 / 1000.0 / f64::from(TIMES);
    say(&format!("{micros:>10.0} us  $apply={apply}"));
    Ok(())
}

/// Nanoseconds that processors have worked for this process, which does not wait for others; where Linux tells it.
fn worked() -> Option<u64> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    tasks
        .map(|task| {
            let told = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            told.split(' ').next()?.parse::<u64>().ok()
        })
        .sum()
}

/// As many words as a referral has, some of them in all and some in few.
fn words(number: u64) -> String {
    let notes: Vec<String> =
        (0..40).map(|place| format!("word{}", (number * 37 + place * place) % 5000)).collect();
    let (deal, notes) = (format!("Deal {number}"), notes.join(" "));
    store::index_text([deal.as_str(), "Fabrikam Inc", "Seattle", &notes, "Ann Miller", "ann@contoso.example"])
}

#[allow(clippy::print_stdout, reason = "this is a program for a person")]
fn say(line: &str) {
    println!("{line}");
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(directory), Some(count)) = (arguments.next(), arguments.next()) else {
        return say("usage: lists DIRECTORY COUNT");
    };
    let count: u64 = count.parse().expect("COUNT is a number");
    let store =
        SqliteStore::open(directory.as_ref(), SqliteOptions::default()).expect("the directory is free");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    runtime.block_on(async {
        let everything = query("", "", 0, CountMode::Exact);
        if store.query(&everything).await.expect("the store is well").count == Some(0) {
            let batches = (0..count.div_ceil(1000)).map(move |batch| {
                (batch * 1000..((batch + 1) * 1000).min(count)).map(referral).collect::<Vec<_>>()
            });
            let begin = Instant::now();
            store.bulk_load(batches, |_| {}).await.expect("the load succeeds");
            say(&format!("{count} referrals loaded in {:.1} s", begin.elapsed().as_secs_f64()));
        }
        for (filter, order, skip, counting) in QUERIES {
            let name = format!("{filter} | {order} | skip {skip} | {counting:?}");
            if let Err(error) = measure(&store, &name, &query(filter, order, skip, counting)).await {
                say(&format!("refused: {error}  {name}"));
            }
        }
        let mut page = query("direction eq 'Incoming' and substatus eq 'Pending'", "", 0, CountMode::No);
        for _ in 0..100 {
            let found = store.query(&page).await.expect("the store is well");
            page.after = found.referrals.last().map(|(_, place)| place.clone()).or(page.after);
        }
        measure(&store, "page 101 by its place, Incoming/Pending", &page).await.expect("the store is well");
        for words in ["deal", "word17", "\"fabrikam inc\" word4999"] {
            let search = Search::parse(words, &Limits::default()).ok();
            let query = Query { search, ..query("", "", 0, CountMode::Exact) };
            measure(&store, &format!("$search={words}"), &query).await.expect("the store is well");
        }
        for apply in AGGREGATIONS {
            if let Err(error) = aggregated(&store, apply).await {
                say(&format!("refused: {error}  {apply}"));
            }
        }
        store.close().await;
    });
}

//! How fast a bulk load is: `cargo run --release -p store --example bulk_load -- DIRECTORY COUNT [unsearchable]`.

use std::time::Instant;

use bytes::Bytes;
use referral::{
    ETag, EngagementId, OrganizationId, ReferralDirection, ReferralId, ReferralQualification, ReferralStatus,
    ReferralSubstatus, ReferralType, Timestamp,
};
use store::sqlite::{SqliteOptions, SqliteStore};
use store::{Action, Columns, Entry, Store, StoredReferral, Write};

const DOCUMENT_BYTES: usize = 2600;

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

fn referral(number: u64, document: &Bytes) -> Write {
    let created = Timestamp::from_unix_seconds(1_700_000_000 + number as i64);
    let new = number.is_multiple_of(3);
    let mut owner = [7; 16];
    owner[0] = (number % 50) as u8;
    let columns = Columns {
        status: if new { ReferralStatus::New } else { ReferralStatus::Active },
        substatus: if new { ReferralSubstatus::Received } else { ReferralSubstatus::Accepted },
        direction: ReferralDirection::Incoming,
        qualification: ReferralQualification::Direct,
        referral_type: ReferralType::Independent,
        country: Some("US".to_owned()),
        created,
        updated: created,
        expires: new.then(|| created.plus_seconds(14 * 86_400)),
        accepted: (!new).then_some(created),
        sender: None,
        offer_lead: false,
        shared_with_microsoft: false,
        team: if number.is_multiple_of(10) { vec!["user@contoso.example".to_owned()] } else { Vec::new() },
    };
    let stored = StoredReferral {
        owner: OrganizationId::from_bytes(&owner).expect("sixteen bytes are an organization"),
        id: ReferralId::from_bytes(scattered(number)),
        engagement_id: EngagementId::from_bytes(scattered(number + (1 << 40))),
        version: 1,
        etag: ETag::of_version(1, created),
        columns,
        document: document.clone(),
    };
    let changes = Bytes::from_static(b"{}");
    let entry = Entry { action: Action::Imported, at: created, actor: None, changes };
    Write { referral: stored, decided_on: None, entry, search: Some(words(number)) }
}

/// As many words as a referral has, some of them in all and some in few.
fn words(number: u64) -> String {
    let notes: Vec<String> =
        (0..40).map(|place| format!("word{}", (number * 37 + place * place) % 5000)).collect();
    let (deal, notes) = (format!("Deal {number}"), notes.join(" "));
    store::index_text([deal.as_str(), "Fabrikam Inc", "Seattle", &notes, "Ann Miller", "ann@contoso.example"])
}

#[allow(clippy::print_stdout, reason = "this is a program for a person")]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(directory), Some(count)) = (arguments.next(), arguments.next()) else {
        println!("usage: bulk_load DIRECTORY COUNT [unsearchable]");
        return;
    };
    let count: u64 = count.parse().expect("COUNT is a number");
    let options = SqliteOptions { search: arguments.next().is_none(), ..SqliteOptions::default() };
    let begin = Instant::now();
    let store = SqliteStore::open(directory.as_ref(), options).expect("the directory is free");
    println!("open: {:?}", begin.elapsed());

    let document = Bytes::from(vec![b'x'; DOCUMENT_BYTES]);
    let batches = (0..count.div_ceil(1000)).map(move |batch| {
        (batch * 1000..((batch + 1) * 1000).min(count)).map(|number| referral(number, &document)).collect()
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    let begin = Instant::now();
    let progress = move |seen| {
        if seen == count {
            println!("all rows taken after {:.2} s", begin.elapsed().as_secs_f64());
        }
    };
    let report = runtime.block_on(store.bulk_load(batches, progress)).expect("the load succeeds");
    let seconds = begin.elapsed().as_secs_f64();
    println!("{report:?} in {seconds:.2} s: {:.0} referrals/s", count as f64 / seconds);
    runtime.block_on(store.close());
    drop(store);

    let begin = Instant::now();
    let store =
        SqliteStore::open(directory.as_ref(), SqliteOptions::default()).expect("the directory is free");
    println!("open again: {:?}", begin.elapsed());
    let bytes =
        std::fs::metadata(std::path::Path::new(&directory).join("cosell.db")).map_or(0, |file| file.len());
    println!("{} bytes on disk per referral", bytes / count.max(1));
    drop(store);
}

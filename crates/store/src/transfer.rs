//! Moving everything a store keeps: what is kept, record by record in the order of its keys, whatever the engine.
//!
//! Only what cannot be made again is moved; counts, teams, words and indexes are made by the engine that takes the
//! records in. [`Sum`] makes one digest of the records of a table, the same in every engine.

use std::fmt;

use async_trait::async_trait;
use aws_lc_rs::digest::{Context, SHA256};
use referral::{OrganizationId, ReferralId};

use crate::{
    Assignment, IdempotencyRecord, LogEntry, Organization, Position, Store, StoreError, StoredReferral, Write,
};

/// What is kept, in the order in which it is copied. Organizations are last: no server starts without one, and so
/// none starts on the beginning of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// Referrals, by id.
    Referrals,
    /// The change log, by organization and position.
    Log,
    /// Remembered answers, by organization and digest.
    Answers,
    /// Settings, by name.
    Settings,
    /// Roles given here, by organization and identity.
    Assignments,
    /// Organizations with their locations, by id.
    Organizations,
}

impl Table {
    /// Every table, in the order of a copy.
    pub const ALL: [Table; 6] = [
        Table::Referrals,
        Table::Log,
        Table::Answers,
        Table::Settings,
        Table::Assignments,
        Table::Organizations,
    ];

    /// Its name for a person.
    pub fn as_str(self) -> &'static str {
        match self {
            Table::Referrals => "referrals",
            Table::Log => "change log",
            Table::Answers => "answers",
            Table::Settings => "settings",
            Table::Assignments => "assignments",
            Table::Organizations => "organizations",
        }
    }
}

/// The setting that a store has while it is the target of a copy that has not come to its end. It is no record.
pub const UNFINISHED_COPY: &str = "unfinished-copy";

/// One thing that is kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A referral.
    Referral {
        /// As it is kept.
        referral: Box<StoredReferral>,
        /// The words by which `$search` finds it. Empty when it comes out of a store, for not every engine has them:
        /// to be filled in before it goes into another.
        search: String,
    },
    /// An entry of the change log.
    Entry(LogEntry),
    /// A stored response.
    Answer(IdempotencyRecord),
    /// A value under a name.
    Setting {
        /// The name.
        name: String,
        /// The value.
        value: Vec<u8>,
    },
    /// A role.
    Assignment(Assignment),
    /// An organization.
    Organization(Organization),
}

/// Where a record of one of the large tables stands in the order of its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportPosition {
    /// A referral.
    Referral(ReferralId),
    /// An entry of the change log.
    Entry(OrganizationId, Position),
    /// A stored response.
    Answer(OrganizationId, [u8; 32]),
}

impl Record {
    /// Which record it is, for a person.
    pub fn name(&self) -> String {
        match self {
            Record::Referral { referral, .. } => format!("referral {}", referral.id),
            Record::Entry(entry) => {
                format!("entry {} of organization {}", entry.position, entry.organization)
            }
            Record::Answer(given) => {
                format!("answer {} of organization {}", hex(&given.key.digest), given.key.organization)
            }
            Record::Setting { name, .. } => format!("setting {name}"),
            Record::Assignment(assignment) => {
                format!("{} of organization {}", assignment.identity, assignment.organization)
            }
            Record::Organization(organization) => format!("organization {}", organization.id),
        }
    }

    /// The bytes that stand for it in a digest: every member in its order, each with its length or of a fixed one.
    /// Never changed after a release: backups hold digests of them.
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Record::Referral { referral, .. } => write_referral(referral, out),
            Record::Entry(entry) => write_entry(entry, out),
            Record::Answer(given) => {
                bytes(given.key.organization.as_bytes(), out);
                bytes(&given.key.digest, out);
                integer(given.at.ticks(), out);
                integer(i64::from(given.answer.status), out);
                bytes(&given.answer.request_digest, out);
                bytes(&given.answer.content, out);
            }
            Record::Setting { name, value } => {
                bytes(name.as_bytes(), out);
                bytes(value, out);
            }
            Record::Assignment(assignment) => {
                bytes(assignment.organization.as_bytes(), out);
                bytes(assignment.identity.as_bytes(), out);
                integer(assignment.role as i64, out);
            }
            Record::Organization(organization) => {
                bytes(organization.id.as_bytes(), out);
                bytes(organization.name.as_bytes(), out);
                bytes(organization.issuer.as_bytes(), out);
                optional(organization.tenant.as_deref().map(str::as_bytes), out);
                optional(organization.partner_id.as_deref().map(str::as_bytes), out);
                texts(&organization.locations, out);
            }
        }
    }

    /// About how many bytes it takes in memory.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Record::Referral { referral, .. } => size_of::<StoredReferral>() + referral.document.len(),
            Record::Entry(entry) => size_of::<LogEntry>() + entry.entry.changes.len(),
            Record::Answer(given) => size_of::<IdempotencyRecord>() + given.answer.content.len(),
            Record::Setting { name, value } => name.len() + value.len(),
            Record::Assignment(_) | Record::Organization(_) => size_of::<Organization>(),
        }
    }
}

fn write_referral(referral: &StoredReferral, out: &mut Vec<u8>) {
    let columns = &referral.columns;
    bytes(referral.owner.as_bytes(), out);
    bytes(referral.id.as_bytes(), out);
    bytes(referral.engagement_id.as_bytes(), out);
    integer(whole(referral.version), out);
    bytes(referral.etag.as_bytes(), out);
    integer(columns.status as i64, out);
    integer(columns.substatus as i64, out);
    integer(columns.direction as i64, out);
    integer(columns.qualification as i64, out);
    integer(columns.referral_type as i64, out);
    optional(columns.country.as_deref().map(str::as_bytes), out);
    integer(columns.created.ticks(), out);
    integer(columns.updated.ticks(), out);
    optional(columns.expires.map(|at| at.ticks().to_le_bytes()).as_ref().map(<[u8; 8]>::as_slice), out);
    optional(columns.accepted.map(|at| at.ticks().to_le_bytes()).as_ref().map(<[u8; 8]>::as_slice), out);
    optional(columns.sender.as_ref().map(OrganizationId::as_bytes), out);
    integer(columns.offer_lead.into(), out);
    integer(columns.shared_with_microsoft.into(), out);
    texts(&columns.team, out);
    bytes(&referral.document, out);
}

fn write_entry(entry: &LogEntry, out: &mut Vec<u8>) {
    bytes(entry.organization.as_bytes(), out);
    integer(whole(entry.position), out);
    bytes(entry.referral_id.as_bytes(), out);
    bytes(entry.engagement_id.as_bytes(), out);
    integer(whole(entry.version), out);
    integer(entry.entry.action as i64, out);
    integer(entry.entry.at.ticks(), out);
    let actor = entry.entry.actor.as_ref();
    optional(actor.map(|actor| actor.organization.as_bytes()), out);
    optional(actor.map(|actor| actor.user.as_bytes()), out);
    bytes(&entry.entry.changes, out);
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn integer(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    integer(whole(bytes.len() as u64), out);
    out.extend_from_slice(bytes);
}

fn optional(value: Option<&[u8]>, out: &mut Vec<u8>) {
    out.push(value.is_some().into());
    if let Some(value) = value {
        bytes(value, out);
    }
}

fn texts(all: &[String], out: &mut Vec<u8>) {
    integer(whole(all.len() as u64), out);
    for text in all {
        bytes(text.as_bytes(), out);
    }
}

/// Bytes as a person reads them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sums records up, one table's or several's.
pub struct Sum {
    context: Context,
    records: u64,
    buffer: Vec<u8>,
}

impl Default for Sum {
    fn default() -> Sum {
        Sum { context: Context::new(&SHA256), records: 0, buffer: Vec::new() }
    }
}

impl Sum {
    /// Takes the next record, in the order of the keys.
    pub fn take(&mut self, record: &Record) {
        self.buffer.clear();
        record.write(&mut self.buffer);
        self.context.update(&(self.buffer.len() as u64).to_le_bytes());
        self.context.update(&self.buffer);
        self.records += 1;
    }

    /// What they come to.
    pub fn end(self) -> Digest {
        let digest = self.context.finish();
        let mut sha256 = [0; 32];
        for (place, byte) in sha256.iter_mut().zip(digest.as_ref()) {
            *place = *byte;
        }
        Digest { records: self.records, sha256 }
    }
}

/// What records come to: the same for the same records in the same order, whatever engine keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// How many there are.
    pub records: u64,
    /// SHA-256 of their bytes, each after its length.
    pub sha256: [u8; 32],
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.sha256))
    }
}

/// The digest of all tables, from those of each in the order of [`Table::ALL`].
pub fn digest_of_all(tables: &[Digest]) -> Digest {
    let mut context = Context::new(&SHA256);
    for table in tables {
        context.update(&table.records.to_le_bytes());
        context.update(&table.sha256);
    }
    let all = Sum { context, records: tables.iter().map(|table| table.records).sum(), buffer: Vec::new() };
    all.end()
}

/// Records of a table in the order of their keys, some at a time. Dropping it ends the reading.
pub struct Export {
    batches: flume::Receiver<ExportStep>,
    ended: bool,
}

/// What an export says next. Its end is said too: who says nothing any more has failed.
type ExportStep = Result<Option<Vec<Record>>, StoreError>;

/// How many batches wait to be taken.
const WAITING: usize = 1;
/// Number of records from which a batch is passed on.
const BATCH_RECORDS: usize = 1000;
/// Number of bytes from which a batch is passed on.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

impl Export {
    /// An export, and the end it is filled from.
    pub(crate) fn new() -> (Feed, Export) {
        let (sender, batches) = flume::bounded(WAITING);
        (Feed { sender, batch: Vec::new(), weight: 0 }, Export { batches, ended: false })
    }

    /// The next records; `None` after the last.
    ///
    /// # Errors
    /// What the store reports, and whatever it cannot read.
    pub async fn next(&mut self) -> Result<Option<Vec<Record>>, StoreError> {
        if self.ended {
            return Ok(None);
        }
        let step = self.batches.recv_async().await.map_err(|_| StoreError::Closed)?;
        self.ended = !matches!(step, Ok(Some(_)));
        step
    }
}

/// Where an engine puts what it reads.
pub(crate) struct Feed {
    sender: flume::Sender<ExportStep>,
    batch: Vec<Record>,
    weight: usize,
}

impl Feed {
    /// Takes a record; whether it is time to hand the batch on.
    pub(crate) fn take(&mut self, record: Record) -> bool {
        self.weight += record.weight();
        self.batch.push(record);
        self.batch.len() >= BATCH_RECORDS || self.weight >= BATCH_BYTES
    }

    fn batch(&mut self) -> ExportStep {
        self.weight = 0;
        Ok(Some(std::mem::take(&mut self.batch)))
    }

    /// Hands the batch on, and waits; whether somebody still wants it.
    pub(crate) fn hand_on(&mut self) -> bool {
        let batch = self.batch();
        self.sender.send(batch).is_ok()
    }

    /// As [`hand_on`](Feed::hand_on), without holding the thread.
    pub(crate) async fn hand_on_async(&mut self) -> bool {
        let batch = self.batch();
        self.sender.send_async(batch).await.is_ok()
    }

    /// The end, whatever it is.
    pub(crate) fn end(mut self, outcome: Result<(), StoreError>) {
        if !self.batch.is_empty() && outcome.is_ok() {
            self.hand_on();
        }
        let _ = self.sender.send(outcome.map(|()| None));
    }

    /// As [`end`](Feed::end), without holding the thread.
    pub(crate) async fn end_async(mut self, outcome: Result<(), StoreError>) {
        if !self.batch.is_empty() && outcome.is_ok() {
            self.hand_on_async().await;
        }
        let _ = self.sender.send_async(outcome.map(|()| None)).await;
    }
}

/// Batches of referrals that come from elsewhere.
pub type Batches = Box<dyn Iterator<Item = Vec<Write>> + Send>;

/// What a bulk load did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BulkReport {
    /// Referrals that are new in the store.
    pub loaded: u64,
    /// Referrals whose id was in the store already, or came twice: the first one stays.
    pub skipped_existing: u64,
}

impl BulkReport {
    /// Referrals that were looked at.
    pub(crate) fn seen(&self) -> u64 {
        self.loaded + self.skipped_existing
    }
}

/// Of what version the schema of some data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaVersion {
    /// That of the data; 0 where there are none.
    pub found: u32,
    /// That of this program.
    pub known: u32,
}

/// An engine that data can be moved into and out of. Nobody else may write meanwhile.
#[async_trait]
pub trait Transfer: Store {
    /// Loads referrals, each with the entry that tells of it; versions are kept as given, and `decided_on` is not
    /// looked at. The batches are drawn on a thread that may wait. Into a store without referrals all is loaded or
    /// nothing; otherwise referrals that are there stay as they are, and what was loaded before an error stays.
    ///
    /// # Errors
    /// As of every write.
    async fn load(&self, batches: Batches) -> Result<BulkReport, StoreError>;

    /// The records of a table after a mark of it, in the order of their keys; those of small tables all, whatever the
    /// mark.
    fn export(&self, table: Table, after: Option<ExportPosition>) -> Export;

    /// Adds records that are not there yet, and their news and counts nowhere: all of them or none. Settings,
    /// assignments and organizations that are there are replaced.
    ///
    /// # Errors
    /// As of every write; `Engine` too when a referral, an entry or an answer is there.
    async fn import(&self, records: Vec<Record>) -> Result<(), StoreError>;

    /// The last record of a large table in the order of its keys; `None` of a small one.
    async fn last(&self, table: Table) -> Result<Option<ExportPosition>, StoreError>;

    /// How many records a table has.
    async fn records(&self, table: Table) -> Result<u64, StoreError>;

    /// The newest position of every organization that has one, by organization: each effective write moves one.
    async fn heads(&self) -> Result<Vec<(OrganizationId, Position)>, StoreError>;

    /// Forgets the value of a name.
    async fn remove_setting(&self, name: &str) -> Result<(), StoreError>;
}

#[cfg(test)]
mod engines;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::samples::*;
    use crate::{Action, Role};

    fn records() -> Vec<Record> {
        let mut referral = a_referral(&organization(1), 1);
        referral.columns.team = vec!["a@x.example".to_owned()];
        referral.columns.sender = Some(organization(2));
        referral.columns.expires = Some(at(9));
        let entry = LogEntry {
            position: 1,
            organization: organization(1),
            referral_id: referral.id,
            engagement_id: referral.engagement_id,
            version: 1,
            entry: news(Action::Created, &referral),
        };
        vec![
            Record::Referral { referral: Box::new(referral), search: String::new() },
            Record::Entry(entry),
            Record::Answer(idempotency_record(&organization(1), 7, at(3))),
            Record::Setting { name: "a".to_owned(), value: b"b".to_vec() },
            Record::Assignment(Assignment {
                organization: organization(1),
                identity: "ann@contoso.example".to_owned(),
                role: Role::ReferralUser,
            }),
            Record::Organization(Organization {
                id: organization(1),
                name: "Contoso".to_owned(),
                issuer: "ours".to_owned(),
                tenant: None,
                partner_id: Some("1".to_owned()),
                locations: vec!["10".to_owned(), "2".to_owned()],
            }),
        ]
    }

    fn sum(records: &[Record]) -> Digest {
        let mut sum = Sum::default();
        records.iter().for_each(|record| sum.take(record));
        sum.end()
    }

    /// Backups hold digests: what is a digest today must be the same tomorrow.
    #[test]
    fn the_digest_of_a_record_never_changes() {
        let told: Vec<String> =
            records().iter().map(|record| sum(std::slice::from_ref(record)).to_string()).collect();
        assert_eq!(told, PINNED);
        assert_eq!(digest_of_all(&[sum(&records()), sum(&[])]).records, 6);
    }

    const PINNED: [&str; 6] = [
        "19c9b709e007ee00db506acb0ad100562b95344058f432d669ec7d9a6971322b",
        "abaff9026c142115567c1cf021efbb2a4cd2ba385dceab0abab99e598bfcafed",
        "b113c7d1e4ef0d0707b038c83bf20b6e0b7b644d7d5a3a714fa780004b314210",
        "2e2e8c7c15a2a716798f7e5d1aa8e94ec966ed75c98148a589cf453437733976",
        "eab59eeac5839dbc863485445b14d214113ab0bc4ce4de22b731c335742fef5d",
        "76268fa7211b492a6d5097b93d8678b72a708b6681d98ba9cb17a1ba4e2f51f7",
    ];

    #[test]
    fn every_difference_changes_the_digest() {
        let all = records();
        let whole = sum(&all);
        assert_ne!(sum(&all[1..]), whole, "one is missing");
        let mut turned = all.clone();
        turned.swap(0, 1);
        assert_ne!(sum(&turned), whole, "another order");
        let changes: [fn(&mut StoredReferral); 8] = [
            |referral| referral.version += 1,
            |referral| referral.columns.country = Some(String::new()),
            |referral| referral.columns.expires = None,
            |referral| referral.columns.accepted = Some(at(9)),
            |referral| referral.columns.sender = None,
            |referral| referral.columns.offer_lead = true,
            |referral| referral.columns.team = vec!["a".to_owned(), "@x.example".to_owned()],
            |referral| referral.document = bytes::Bytes::from_static(b"{}"),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut changed = all.clone();
            if let Some(Record::Referral { referral, .. }) = changed.first_mut() {
                change(referral);
            }
            assert_ne!(sum(&changed), whole, "change {number}");
        }
    }

    #[tokio::test]
    async fn an_export_that_breaks_off_is_no_end() {
        let (mut feed, mut export) = Export::new();
        for record in records() {
            assert!(!feed.take(record));
        }
        assert!(feed.hand_on());
        drop(feed);
        assert_eq!(export.next().await.map(|batch| batch.map(|batch| batch.len())).ok(), Some(Some(6)));
        assert!(export.next().await.is_err());

        let (feed, mut export) = Export::new();
        feed.end(Ok(()));
        assert!(matches!(export.next().await, Ok(None)) && matches!(export.next().await, Ok(None)));
    }
}

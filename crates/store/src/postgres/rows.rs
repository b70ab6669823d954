//! The border between rows and the model: what each column holds, and how it is read back.
//!
//! The numbers are those of SQLite's columns, whose tests pin them; long texts are packed as they are there.

use bytes::Bytes;
use referral::{
    ETag, EngagementId, OrganizationId, ReferralDirection, ReferralId, ReferralQualification, ReferralStatus,
    ReferralSubstatus, ReferralType, Timestamp,
};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::compression;
use crate::planner::{FacetKey, IndexedInstant};
use crate::{
    Action, Actor, Columns, Entry, FirstReferral, LogEntry, Role, StoreError, StoredReferral, StoredResponse,
};

/// What [`stored`] reads, in its order.
pub(super) const STORED: &str = "referral.owner, referral.id, referral.engagement, referral.version, referral.etag, \
     referral.class, referral.country, referral.created, referral.updated, referral.expires, referral.accepted, \
     referral.sender, referral.offer_lead, referral.shared_with_microsoft, referral.team, referral.document";

type Read<T> = Result<T, StoreError>;

/// A column holds what this program never writes.
fn unreadable(column: usize, what: &str) -> StoreError {
    StoreError::Engine(format!("column {column} is not {what}"))
}

/// Reads a column as PostgreSQL has it.
pub(super) fn get<'r, T: FromSql<'r>>(row: &'r Row, column: usize) -> Read<T> {
    row.try_get(column).map_err(|error| StoreError::Engine(error.to_string()))
}

/// Reads a number that is never negative.
pub(super) fn count(row: &Row, column: usize) -> Read<u64> {
    u64::try_from(get::<i64>(row, column)?).map_err(|_| unreadable(column, "a count"))
}

fn sixteen_bytes(row: &Row, column: usize) -> Read<[u8; 16]> {
    get::<&[u8]>(row, column)?.try_into().map_err(|_| unreadable(column, "sixteen bytes"))
}

/// Reads a text that is kept as bytes.
pub(super) fn text(row: &Row, column: usize) -> Read<Option<String>> {
    let Some(bytes) = get::<Option<&[u8]>>(row, column)? else { return Ok(None) };
    let text = std::str::from_utf8(bytes).map_err(|_| unreadable(column, "text"))?;
    Ok(Some(text.to_owned()))
}

/// Reads an [encoded](crate::compression) text.
fn encoded_text(row: &Row, column: usize) -> Read<Bytes> {
    decoded_text(get(row, column)?)
}

/// Decodes the text of a column.
pub(super) fn decoded_text(column: &[u8]) -> Read<Bytes> {
    match compression::decode(column) {
        Ok(text) => Ok(text.into_owned().into()),
        Err(damaged) => Err(StoreError::Engine(damaged.to_string())),
    }
}

/// Reads an organization's bytes.
pub(super) fn organization(row: &Row, column: usize) -> Read<OrganizationId> {
    OrganizationId::from_bytes(get(row, column)?).ok_or_else(|| unreadable(column, "an organization id"))
}

fn some_organization(row: &Row, column: usize) -> Read<Option<OrganizationId>> {
    match get::<Option<&[u8]>>(row, column)? {
        None => Ok(None),
        Some(bytes) => OrganizationId::from_bytes(bytes)
            .map(Some)
            .ok_or_else(|| unreadable(column, "an organization id")),
    }
}

/// Reads a referral's bytes.
pub(super) fn referral_id(row: &Row, column: usize) -> Read<ReferralId> {
    sixteen_bytes(row, column).map(ReferralId::from_bytes)
}

/// Reads an engagement's bytes.
pub(super) fn engagement_id(row: &Row, column: usize) -> Read<EngagementId> {
    sixteen_bytes(row, column).map(EngagementId::from_bytes)
}

/// Reads an instant.
pub(super) fn instant(row: &Row, column: usize) -> Read<Timestamp> {
    get(row, column).map(Timestamp::from_ticks)
}

fn some_instant(row: &Row, column: usize) -> Read<Option<Timestamp>> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp::from_ticks))
}

/// Reads a facet key.
pub(super) fn facet(row: &Row, column: usize) -> Read<FacetKey> {
    u16::try_from(get::<i16>(row, column)?).map(FacetKey).map_err(|_| unreadable(column, "a class"))
}

fn enum_member<T: Copy>(row: &Row, column: usize, all: &[T]) -> Read<T> {
    let place = usize::try_from(get::<i16>(row, column)?).ok();
    place.and_then(|place| all.get(place)).copied().ok_or_else(|| unreadable(column, "in the list"))
}

/// Returns a member of a facet key.
fn member<T: Copy>(facet: FacetKey, name: &str, all: &[T]) -> Option<T> {
    let (shift, mask) = FacetKey::bits(name)?;
    all.get(usize::from(facet.0 >> shift & mask)).copied()
}

/// Reads `created, id, owner, sender`.
pub(super) fn first_referral(row: &Row) -> Read<FirstReferral> {
    Ok(FirstReferral {
        created: instant(row, 0)?,
        id: referral_id(row, 1)?,
        owner: organization(row, 2)?,
        sender: some_organization(row, 3)?,
    })
}

/// Reads the columns of [`STORED`].
pub(super) fn stored(row: &Row) -> Read<StoredReferral> {
    with_document(row, encoded_text(row, DOCUMENT)?)
}

/// As [`stored`], for what is shown beside others: `None` where the document is damaged, which is logged.
pub(super) fn stored_unless_damaged(row: &Row) -> Read<Option<StoredReferral>> {
    match compression::decode(get(row, DOCUMENT)?) {
        Ok(text) => with_document(row, text.into_owned().into()).map(Some),
        Err(error) => {
            let id = referral_id(row, 1)?;
            tracing::error!(referral = %id, %error, "The document of referral {id} cannot be read, and is left out: {error}");
            Ok(None)
        }
    }
}

/// As [`stored`], with an empty document where it is damaged, which is logged.
pub(super) fn stored_or_damaged(row: &Row) -> Read<StoredReferral> {
    match stored_unless_damaged(row)? {
        Some(referral) => Ok(referral),
        None => with_document(row, Bytes::new()),
    }
}

/// When the referral of a row was created, or written last, and its id.
pub(super) fn instant_and_id(row: &Row, by: IndexedInstant) -> Read<(i64, ReferralId)> {
    let column = match by {
        IndexedInstant::Created => 7,
        IndexedInstant::Updated => 8,
    };
    Ok((instant(row, column)?.ticks(), referral_id(row, 1)?))
}

/// The place of the document among [`STORED`].
const DOCUMENT: usize = 15;

fn with_document(row: &Row, document: Bytes) -> Read<StoredReferral> {
    let facet = facet(row, 5)?;
    let no_class = || unreadable(5, "a class");
    Ok(StoredReferral {
        owner: organization(row, 0)?,
        id: referral_id(row, 1)?,
        engagement_id: engagement_id(row, 2)?,
        version: count(row, 3)?,
        etag: ETag::from_bytes(sixteen_bytes(row, 4)?),
        columns: Columns {
            status: member(facet, "status", ReferralStatus::ALL).ok_or_else(no_class)?,
            substatus: member(facet, "substatus", ReferralSubstatus::ALL).ok_or_else(no_class)?,
            direction: member(facet, "direction", ReferralDirection::ALL).ok_or_else(no_class)?,
            qualification: member(facet, "qualification", ReferralQualification::ALL).ok_or_else(no_class)?,
            referral_type: member(facet, "type", ReferralType::ALL).ok_or_else(no_class)?,
            country: text(row, 6)?,
            created: instant(row, 7)?,
            updated: instant(row, 8)?,
            expires: some_instant(row, 9)?,
            accepted: some_instant(row, 10)?,
            sender: some_organization(row, 11)?,
            offer_lead: get(row, 12)?,
            shared_with_microsoft: get(row, 13)?,
            team: team(row, 14)?,
        },
        document,
    })
}

/// The place of the words that are selected after [`STORED`].
pub(super) const WORDS_AFTER_STORED: usize = DOCUMENT + 1;

/// Reads the words of a referral.
pub(super) fn words(row: &Row, column: usize) -> Read<&str> {
    Ok(get::<Option<&str>>(row, column)?.unwrap_or_default())
}

/// A team for its column; `None` for nobody.
pub(super) fn encoded_team(team: &[String]) -> Option<Vec<u8>> {
    (!team.is_empty()).then(|| serde_json::Value::from(team).to_string().into_bytes())
}

/// Reads an encoded team.
pub(super) fn team(row: &Row, column: usize) -> Read<Vec<String>> {
    let Some(bytes) = get::<Option<&[u8]>>(row, column)? else { return Ok(Vec::new()) };
    serde_json::from_slice(bytes).map_err(|_| unreadable(column, "a team"))
}

/// Reads `position, organization, referral, engagement, version, action, at, actor_organization, actor_user,
/// changes`.
pub(super) fn log_entry(row: &Row) -> Read<LogEntry> {
    let actor = some_organization(row, 7)?.zip(text(row, 8)?);
    Ok(LogEntry {
        position: count(row, 0)?,
        organization: organization(row, 1)?,
        referral_id: referral_id(row, 2)?,
        engagement_id: engagement_id(row, 3)?,
        version: count(row, 4)?,
        entry: Entry {
            action: enum_member(row, 5, &Action::ALL)?,
            at: instant(row, 6)?,
            actor: actor.map(|(organization, user)| Actor { organization, user }),
            changes: encoded_text(row, 9)?,
        },
    })
}

/// Reads a SHA-256.
pub(super) fn digest(row: &Row, column: usize) -> Read<[u8; 32]> {
    get::<&[u8]>(row, column)?.try_into().map_err(|_| unreadable(column, "thirty-two bytes"))
}

/// Reads `request_digest, status, content` from this column on.
pub(super) fn answer(row: &Row, column: usize) -> Read<StoredResponse> {
    let answer = encoded_response(row, column)?;
    Ok(StoredResponse { content: decoded_text(&answer.content)?, ..answer })
}

/// The same with the content as its column holds it.
pub(super) fn encoded_response(row: &Row, column: usize) -> Read<StoredResponse> {
    Ok(StoredResponse {
        request_digest: digest(row, column)?,
        status: u16::try_from(get::<i32>(row, column + 1)?)
            .map_err(|_| unreadable(column + 1, "an HTTP status"))?,
        content: Bytes::copy_from_slice(get(row, column + 2)?),
    })
}

const ROLES: [Role; 2] = [Role::ReferralAdmin, Role::ReferralUser];

/// Reads a role.
pub(super) fn role(row: &Row, column: usize) -> Read<Role> {
    enum_member(row, column, &ROLES)
}

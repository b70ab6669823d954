//! The border between rows and the model: what each column holds, and how it is read back.
//!
//! A closed list is kept as its place in the reference; a test pins every number.

use std::sync::Arc;

use bytes::Bytes;
use referral::{
    ETag, EngagementId, OrganizationId, ReferralDirection, ReferralId, ReferralQualification, ReferralStatus,
    ReferralSubstatus, ReferralType, Timestamp,
};
use rusqlite::Row;
use rusqlite::types::Type;

use super::compression;
use crate::{Action, Actor, Columns, Entry, FirstReferral, LogEntry, Role, StoredReferral, StoredResponse};

/// What [`stored`] reads, in its order.
macro_rules! stored_columns {
    () => {
        "referral.owner, referral.id, referral.engagement, referral.version, referral.etag, \
         referral.status, referral.substatus, referral.direction, referral.qualification, referral.type, \
         referral.country, referral.created, referral.updated, referral.expires, referral.accepted, \
         referral.sender, referral.offer_lead, referral.shared_with_microsoft, referral.team, referral.document"
    };
}
pub(super) use stored_columns;

/// A column holds what this program never writes.
fn unreadable(column: usize, what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, format!("not {what}").into())
}

pub(super) fn sixteen_bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<[u8; 16]> {
    let bytes = row.get_ref(column)?.as_blob()?;
    bytes.try_into().map_err(|_| unreadable(column, "sixteen bytes"))
}

/// Reads a SHA-256.
pub(super) fn digest(row: &Row<'_>, column: usize) -> rusqlite::Result<[u8; 32]> {
    let bytes = row.get_ref(column)?.as_blob()?;
    bytes.try_into().map_err(|_| unreadable(column, "thirty-two bytes"))
}

/// Reads an encoded text.
fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    match compression::decode(row.get_ref(column)?.as_blob()?) {
        Ok(text) => Ok(text.into_owned().into()),
        Err(damaged) => Err(rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, damaged.into())),
    }
}

/// Reads an organization's bytes.
pub(super) fn organization(row: &Row<'_>, column: usize) -> rusqlite::Result<OrganizationId> {
    OrganizationId::from_bytes(row.get_ref(column)?.as_blob()?)
        .ok_or_else(|| unreadable(column, "an organization id"))
}

fn some_organization(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<OrganizationId>> {
    match row.get_ref(column)?.as_blob_or_null()? {
        None => Ok(None),
        Some(bytes) => OrganizationId::from_bytes(bytes)
            .map(Some)
            .ok_or_else(|| unreadable(column, "an organization id")),
    }
}

/// Reads a referral's bytes.
pub(super) fn referral_id(row: &Row<'_>, column: usize) -> rusqlite::Result<ReferralId> {
    sixteen_bytes(row, column).map(ReferralId::from_bytes)
}

/// Reads an instant.
pub(super) fn instant(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Ok(Timestamp::from_ticks(row.get(column)?))
}

fn some_instant(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_ticks))
}

fn enum_member<T: Copy>(row: &Row<'_>, column: usize, all: &[T]) -> rusqlite::Result<T> {
    let place: usize = row.get(column)?;
    all.get(place).copied().ok_or_else(|| unreadable(column, "in the list"))
}

/// Reads `created, id, owner, sender`.
pub(super) fn first_referral(row: &Row<'_>) -> rusqlite::Result<FirstReferral> {
    Ok(FirstReferral {
        created: instant(row, 0)?,
        id: referral_id(row, 1)?,
        owner: organization(row, 2)?,
        sender: some_organization(row, 3)?,
    })
}

/// Reads the columns of [`stored_columns`].
pub(super) fn stored(row: &Row<'_>) -> rusqlite::Result<StoredReferral> {
    with_document(row, text(row, 19)?)
}

fn with_document(row: &Row<'_>, document: Bytes) -> rusqlite::Result<StoredReferral> {
    Ok(StoredReferral {
        owner: organization(row, 0)?,
        id: referral_id(row, 1)?,
        engagement_id: EngagementId::from_bytes(sixteen_bytes(row, 2)?),
        version: row.get(3)?,
        etag: ETag::from_bytes(sixteen_bytes(row, 4)?),
        columns: Columns {
            status: enum_member(row, 5, ReferralStatus::ALL)?,
            substatus: enum_member(row, 6, ReferralSubstatus::ALL)?,
            direction: enum_member(row, 7, ReferralDirection::ALL)?,
            qualification: enum_member(row, 8, ReferralQualification::ALL)?,
            referral_type: enum_member(row, 9, ReferralType::ALL)?,
            country: row.get(10)?,
            created: instant(row, 11)?,
            updated: instant(row, 12)?,
            expires: some_instant(row, 13)?,
            accepted: some_instant(row, 14)?,
            sender: some_organization(row, 15)?,
            offer_lead: row.get(16)?,
            shared_with_microsoft: row.get(17)?,
            team: team(row, 18)?,
        },
        document,
    })
}

/// As [`stored`], with an empty document where it is damaged, which is logged.
pub(super) fn stored_or_damaged(row: &Row<'_>) -> rusqlite::Result<Arc<StoredReferral>> {
    match stored_unless_damaged(row)? {
        Some(referral) => Ok(referral),
        None => with_document(row, Bytes::new()).map(Arc::new),
    }
}

/// As [`stored`], for what is shown beside others: `None` where the document is damaged, which is logged.
pub(super) fn stored_unless_damaged(row: &Row<'_>) -> rusqlite::Result<Option<Arc<StoredReferral>>> {
    match stored(row) {
        Err(error) if compression::is_decode_error(&error) => {
            let id = referral_id(row, 1)?;
            tracing::error!(referral = %id, %error, "The document of referral {id} cannot be read, and is left out: {error}");
            Ok(None)
        }
        other => other.map(|referral| Some(Arc::new(referral))),
    }
}

/// Packs a team for its column: each e-mail after its length in four bytes; `None` for nobody.
pub(super) fn encoded_team(team: &[String]) -> Option<Vec<u8>> {
    if team.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(team.iter().map(|email| email.len() + 4).sum());
    for email in team {
        bytes.extend_from_slice(&(email.len() as u32).to_le_bytes());
        bytes.extend_from_slice(email.as_bytes());
    }
    Some(bytes)
}

/// Reads an encoded team.
pub(super) fn team(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<String>> {
    let Some(bytes) = row.get_ref(column)?.as_blob_or_null()? else { return Ok(Vec::new()) };
    decoded_team(bytes).ok_or_else(|| unreadable(column, "a team"))
}

fn decoded_team(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut team = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (email, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        team.push(std::str::from_utf8(email).ok()?.to_owned());
        bytes = rest;
    }
    Some(team)
}

/// Reads `position, organization, referral, engagement, version, action, at, actor_organization, actor_user,
/// changes`.
pub(super) fn log_entry(row: &Row<'_>) -> rusqlite::Result<LogEntry> {
    let user: Option<String> = row.get(8)?;
    let actor = some_organization(row, 7)?.zip(user).map(|(organization, user)| Actor { organization, user });
    Ok(LogEntry {
        position: row.get(0)?,
        organization: organization(row, 1)?,
        referral_id: referral_id(row, 2)?,
        engagement_id: EngagementId::from_bytes(sixteen_bytes(row, 3)?),
        version: row.get(4)?,
        entry: Entry {
            action: enum_member(row, 5, &Action::ALL)?,
            at: instant(row, 6)?,
            actor,
            changes: text(row, 9)?,
        },
    })
}

/// Reads `request_digest, status, content`.
pub(super) fn answer(row: &Row<'_>) -> rusqlite::Result<StoredResponse> {
    Ok(StoredResponse { request_digest: digest(row, 0)?, status: row.get(1)?, content: text(row, 2)? })
}

const ROLES: [Role; 2] = [Role::ReferralAdmin, Role::ReferralUser];

/// The number a role is kept as.
pub(super) fn role_number(role: Role) -> i64 {
    role as i64
}

/// Reads a role.
pub(super) fn role(row: &Row<'_>, column: usize) -> rusqlite::Result<Role> {
    enum_member(row, column, &ROLES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_on_disk_never_change() {
        fn check<T: Copy + std::fmt::Debug>(all: &[T], number: impl Fn(T) -> i64, names: &str) {
            let enum_member: Vec<String> =
                all.iter().map(|value| format!("{}={value:?}", number(*value))).collect();
            assert_eq!(enum_member.join(" "), names);
        }
        check(ReferralStatus::ALL, |value| value as i64, "0=None 1=New 2=Active 3=Closed");
        check(
            ReferralSubstatus::ALL,
            |value| value as i64,
            "0=None 1=Pending 2=Received 3=Accepted 4=Won 5=Lost 6=Declined 7=Expired 8=Error",
        );
        check(ReferralType::ALL, |value| value as i64, "0=Independent 1=Shared");
        check(
            ReferralQualification::ALL,
            |value| value as i64,
            "0=None 1=Direct 2=MarketingQualified 3=SalesQualified",
        );
        check(ReferralDirection::ALL, |value| value as i64, "0=Incoming 1=Outgoing");
        check(&Action::ALL, |value| value as i64, "0=Created 1=Updated 2=Expired 3=Imported");
        check(&ROLES, role_number, "0=ReferralAdmin 1=ReferralUser");
    }

    #[test]
    fn a_team_survives_packing_in_its_order() {
        for team in
            [vec![], vec!["b@x.example".to_owned(), "a\n@x.example".to_owned(), "ü@x.example".to_owned()]]
        {
            assert_eq!(decoded_team(&encoded_team(&team).unwrap_or_default()), Some(team));
        }
        assert_eq!(decoded_team(&[9, 0, 0, 0, b'a']), None);
        assert_eq!(decoded_team(&[1, 0]), None);
    }
}

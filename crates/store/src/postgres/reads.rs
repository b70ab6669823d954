//! Reads of single referrals, of engagements, of the log and of stored responses: one statement each, or one for all
//! that wait.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use referral::{EngagementId, OrganizationId, ReferralId, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::batched_lookup::{Lookup, Rows};
use super::pool::{Param, Pool};
use super::rows::{self, STORED};
use crate::{EngagementRole, IdempotencyKey, LogEntry, Position, StoreError, StoredReferral, StoredResponse};

/// Maximum number of responses that one call deletes.
const FORGET_AT_MOST: i64 = 1000;

type Referrals = Result<Vec<Arc<StoredReferral>>, StoreError>;

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn shared(row: &Row) -> Result<Arc<StoredReferral>, StoreError> {
    rows::stored(row).map(Arc::new)
}

/// Several, but for those whose document is damaged.
async fn stored_unless_damaged(pool: &Arc<Pool>, rest: &str, params: &[Param<'_>]) -> Referrals {
    let found = pool.rows(&format!("SELECT {STORED} {rest}"), params).await?;
    found
        .iter()
        .filter_map(|row| {
            rows::stored_unless_damaged(row)
                .map(|stored_unless_damaged| stored_unless_damaged.map(Arc::new))
                .transpose()
        })
        .collect()
}

/// A referral by owner and id.
pub(super) struct ReferralLookup;

static OWNED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {STORED}
         FROM unnest($1, $2) AS asked (owner, id)
         JOIN referral
           ON referral.owner = asked.owner
           AND referral.id = asked.id"
    )
});

#[async_trait]
impl Lookup for ReferralLookup {
    type Key = (OrganizationId, ReferralId);
    type Found = Arc<StoredReferral>;

    async fn find(pool: &Arc<Pool>, keys: &[Self::Key]) -> Result<Rows<Self>, StoreError> {
        let (owners, ids): (Vec<&[u8]>, Vec<&[u8]>) =
            keys.iter().map(|(owner, id)| (owner.as_bytes(), &id.as_bytes()[..])).unzip();
        let params = [(&owners as _, Type::BYTEA_ARRAY), (&ids as _, Type::BYTEA_ARRAY)];
        let found = pool.rows_prepared(&OWNED, &params).await?;
        let keyed = |row| Ok(((rows::organization(row, 0)?, rows::referral_id(row, 1)?), shared(row)));
        found.iter().map(keyed).collect()
    }
}

pub(super) async fn find(
    pool: &Arc<Pool>,
    id: ReferralId,
) -> Result<Option<Arc<StoredReferral>>, StoreError> {
    let id = &id.as_bytes()[..];
    let rest = "FROM referral_directory
         JOIN referral
           ON referral.owner = referral_directory.owner
           AND referral.id = referral_directory.id
         WHERE referral_directory.id = $1";
    let found = pool.rows(&format!("SELECT {STORED} {rest}"), &[(&id, Type::BYTEA)]).await?;
    found.first().map(shared).transpose()
}

pub(super) async fn engagement(pool: &Arc<Pool>, id: EngagementId, party: &OrganizationId) -> Referrals {
    let (id, party) = (&id.as_bytes()[..], party.as_bytes());
    let rest = "FROM referral_directory
         JOIN referral
           ON referral.owner = referral_directory.owner
           AND referral.id = referral_directory.id
         WHERE referral_directory.engagement = $1
           AND (referral.owner = $2 OR referral.sender = $2)
         ORDER BY referral.created, referral.id";
    stored_unless_damaged(pool, rest, &[(&id, Type::BYTEA), (&party, Type::BYTEA)]).await
}

pub(super) async fn engagement_members(
    pool: &Arc<Pool>,
    id: EngagementId,
    after: Option<(Timestamp, ReferralId)>,
    limit: usize,
) -> Referrals {
    let id = &id.as_bytes()[..];
    let created = after.map_or(i64::MIN, |(created, _)| created.ticks());
    let after = after.map_or(Vec::new(), |(_, id)| id.as_bytes().to_vec());
    let rest = "FROM referral_directory
         JOIN referral
           ON referral.owner = referral_directory.owner
           AND referral.id = referral_directory.id
         WHERE referral_directory.engagement = $1
           AND (referral_directory.created, referral_directory.id) > ($2, $3)
         ORDER BY referral_directory.created, referral_directory.id
         LIMIT $4";
    let params: [Param<'_>; 4] =
        [(&id, Type::BYTEA), (&created, Type::INT8), (&after, Type::BYTEA), (&whole(limit), Type::INT8)];
    let found = pool.rows(&format!("SELECT {STORED} {rest}"), &params).await?;
    found.iter().map(|row| rows::stored_or_damaged(row).map(Arc::new)).collect()
}

pub(super) async fn engagement_role(
    pool: &Arc<Pool>,
    id: EngagementId,
    party: &OrganizationId,
) -> Result<EngagementRole, StoreError> {
    let (id, party) = (&id.as_bytes()[..], party.as_bytes());
    let found = pool
        .rows(
            "SELECT first.created, first.id, first.owner, first.sender,
                    EXISTS (
                      SELECT 1
                      FROM referral_directory
                      JOIN referral
                        ON referral.owner = referral_directory.owner
                        AND referral.id = referral_directory.id
                      WHERE referral_directory.engagement = $1
                        AND referral_directory.owner = $2
                        AND referral.sender <> $2
                        AND referral.accepted IS NOT NULL
                    )
             FROM (
               SELECT referral_directory.created, referral_directory.id, referral_directory.owner, referral.sender
               FROM referral_directory
               JOIN referral
                 ON referral.owner = referral_directory.owner
                 AND referral.id = referral_directory.id
               WHERE referral_directory.engagement = $1
               ORDER BY referral_directory.created, referral_directory.id
               LIMIT 1
             ) AS first",
            &[(&id, Type::BYTEA), (&party, Type::BYTEA)],
        )
        .await?;
    let Some(row) = found.first() else { return Ok(EngagementRole::default()) };
    Ok(EngagementRole { first: Some(rows::first_referral(row)?), accepted_invitation: rows::get(row, 4)? })
}

pub(super) async fn has_open(
    pool: &Arc<Pool>,
    id: EngagementId,
    owner: &OrganizationId,
) -> Result<bool, StoreError> {
    let (id, owner) = (&id.as_bytes()[..], owner.as_bytes());
    // Status 3 is `Closed`.
    let found = pool
        .rows(
            "SELECT 1
             FROM referral_directory
             JOIN referral
               ON referral.owner = referral_directory.owner
               AND referral.id = referral_directory.id
             WHERE referral_directory.engagement = $1
               AND referral_directory.owner = $2
               AND referral.status <> 3
             LIMIT 1",
            &[(&id, Type::BYTEA), (&owner, Type::BYTEA)],
        )
        .await?;
    Ok(!found.is_empty())
}

pub(super) async fn due(pool: &Arc<Pool>, now: Timestamp, limit: usize) -> Referrals {
    // Status 1 is `New`; written out, so that the partial index serves.
    let rest = "FROM referral
         WHERE status = 1
           AND expires IS NOT NULL
           AND expires <= $1
         ORDER BY expires, id
         LIMIT $2";
    stored_unless_damaged(pool, rest, &[(&now.ticks(), Type::INT8), (&whole(limit), Type::INT8)]).await
}

pub(super) async fn next_expiry(pool: &Arc<Pool>) -> Result<Option<Timestamp>, StoreError> {
    let found = pool
        .rows(
            "SELECT expires
             FROM referral
             WHERE status = 1
               AND expires IS NOT NULL
             ORDER BY expires, id
             LIMIT 1",
            &[],
        )
        .await?;
    found.first().map(|row| rows::instant(row, 0)).transpose()
}

/// A stored response, and since when it is.
pub(super) struct StoredResponseLookup;

#[async_trait]
impl Lookup for StoredResponseLookup {
    type Key = IdempotencyKey;
    type Found = (Timestamp, StoredResponse);

    async fn find(pool: &Arc<Pool>, keys: &[Self::Key]) -> Result<Rows<Self>, StoreError> {
        let (organizations, digests): (Vec<&[u8]>, Vec<&[u8]>) =
            keys.iter().map(|key| (key.organization.as_bytes(), &key.digest[..])).unzip();
        let sql = "SELECT request_digest, status, content, answer.organization, answer.digest, remembered_at
             FROM unnest($1, $2) AS asked (organization, digest)
             JOIN answer
               ON answer.organization = asked.organization
               AND answer.digest = asked.digest";
        let params = [(&organizations as _, Type::BYTEA_ARRAY), (&digests as _, Type::BYTEA_ARRAY)];
        let found = pool.rows_prepared(sql, &params).await?;
        let answer = |row| Ok((rows::instant(row, 5)?, rows::answer(row, 0)?));
        let keyed = |row| {
            let key =
                IdempotencyKey { organization: rows::organization(row, 3)?, digest: rows::digest(row, 4)? };
            Ok((key, answer(row)))
        };
        found.iter().map(keyed).collect()
    }
}

pub(super) async fn forget_responses(pool: &Arc<Pool>, before: Timestamp) -> Result<u64, StoreError> {
    let found = pool
        .write(
            "DELETE FROM answer
             WHERE (organization, digest) IN (
               SELECT organization, digest
               FROM answer
               WHERE remembered_at < $1
               ORDER BY remembered_at, organization, digest
               LIMIT $2
             )
             RETURNING 1",
            &[(&before.ticks(), Type::INT8), (&FORGET_AT_MOST, Type::INT8)],
        )
        .await?;
    Ok(found.len() as u64)
}

pub(super) async fn log(
    pool: &Arc<Pool>,
    organization: &OrganizationId,
    after: Position,
    limit: usize,
) -> Result<Vec<LogEntry>, StoreError> {
    let organization = organization.as_bytes();
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let found = pool
        .rows(
            "SELECT position, organization, referral, engagement, version,
                    action, at, actor_organization, actor_user, changes
             FROM change_log
             WHERE organization = $1
               AND position > $2
             ORDER BY position
             LIMIT $3",
            &[(&organization, Type::BYTEA), (&after, Type::INT8), (&whole(limit), Type::INT8)],
        )
        .await?;
    found.iter().map(rows::log_entry).collect()
}

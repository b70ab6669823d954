//! Organizations with their locations, roles given here, and settings.

use std::sync::Arc;

use tokio_postgres::types::Type;

use super::pool::Pool;
use super::rows;
use crate::{Assignment, Organization, StoreError};

/// Every organization by id, each with its locations in their order.
pub(super) async fn organizations(pool: &Arc<Pool>) -> Result<Vec<Organization>, StoreError> {
    let found = pool
        .rows(
            "SELECT organization.id, name, issuer, tenant, partner_id, location
             FROM organization
             LEFT JOIN organization_location ON organization_location.organization = organization.id
             ORDER BY organization.id, place",
            &[],
        )
        .await?;
    let mut organizations: Vec<Organization> = Vec::new();
    for row in &found {
        let id = rows::organization(row, 0)?;
        if organizations.last().is_none_or(|last| last.id != id) {
            organizations.push(Organization {
                id,
                name: rows::get(row, 1)?,
                issuer: rows::get(row, 2)?,
                tenant: rows::get(row, 3)?,
                partner_id: rows::get(row, 4)?,
                locations: Vec::new(),
            });
        }
        if let (Some(organization), Some(location)) = (organizations.last_mut(), rows::get(row, 5)?) {
            organization.locations.push(location);
        }
    }
    Ok(organizations)
}

/// Adds or replaces an organization and all its locations: one statement, so that no reader sees a part.
pub(super) async fn save_organization(
    pool: &Arc<Pool>,
    organization: &Organization,
) -> Result<(), StoreError> {
    let id = organization.id.as_bytes();
    let places: Vec<i32> = (0..).take(organization.locations.len()).collect();
    pool.write(
        "WITH saved AS (
           INSERT INTO organization (id, name, issuer, tenant, partner_id)
           VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (id) DO UPDATE
           SET name = excluded.name,
               issuer = excluded.issuer,
               tenant = excluded.tenant,
               partner_id = excluded.partner_id
         ), placed AS (
           INSERT INTO organization_location (organization, place, location)
           SELECT $1, place, location
           FROM unnest($6, $7) AS given (place, location)
           ON CONFLICT (organization, place) DO UPDATE
           SET location = excluded.location
         )
         DELETE FROM organization_location
         WHERE organization = $1
           AND place >= $8",
        &[
            (&id, Type::BYTEA),
            (&organization.name, Type::TEXT),
            (&organization.issuer, Type::TEXT),
            (&organization.tenant, Type::TEXT),
            (&organization.partner_id, Type::TEXT),
            (&places, Type::INT4_ARRAY),
            (&organization.locations, Type::TEXT_ARRAY),
            (&(places.len() as i32), Type::INT4),
        ],
    )
    .await
    .map(drop)
}

/// Every assignment, by organization and identity.
pub(super) async fn assignments(pool: &Arc<Pool>) -> Result<Vec<Assignment>, StoreError> {
    let found = pool
        .rows(
            "SELECT organization, identity, role
             FROM assignment
             ORDER BY organization, identity",
            &[],
        )
        .await?;
    let assignment = |row| {
        Ok(Assignment {
            organization: rows::organization(row, 0)?,
            identity: rows::get(row, 1)?,
            role: rows::role(row, 2)?,
        })
    };
    found.iter().map(assignment).collect()
}

/// Gives or replaces a role.
pub(super) async fn save_assignment(pool: &Arc<Pool>, assignment: &Assignment) -> Result<(), StoreError> {
    pool.write(
        "INSERT INTO assignment (organization, identity, role)
         VALUES ($1, $2, $3)
         ON CONFLICT (organization, identity) DO UPDATE
         SET role = excluded.role",
        &[
            (&assignment.organization.as_bytes(), Type::BYTEA),
            (&assignment.identity, Type::TEXT),
            (&(assignment.role as i16), Type::INT2),
        ],
    )
    .await
    .map(drop)
}

/// A value by its name.
pub(super) async fn setting(pool: &Arc<Pool>, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let found = pool
        .rows(
            "SELECT value
             FROM setting
             WHERE name = $1",
            &[(&name, Type::TEXT)],
        )
        .await?;
    found.first().map(|row| rows::get(row, 0)).transpose()
}

/// Keeps a value under its name.
pub(super) async fn save_setting(pool: &Arc<Pool>, name: &str, value: &[u8]) -> Result<(), StoreError> {
    pool.write(
        "INSERT INTO setting (name, value)
         VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE
         SET value = excluded.value",
        &[(&name, Type::TEXT), (&value, Type::BYTEA)],
    )
    .await
    .map(drop)
}

/// Keeps a value under a name that has none; the value that is kept then.
pub(super) async fn keep_setting(pool: &Arc<Pool>, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
    let found = pool
        .write(
            "INSERT INTO setting (name, value)
             VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE
             SET value = setting.value
             RETURNING value",
            &[(&name, Type::TEXT), (&value, Type::BYTEA)],
        )
        .await?;
    let kept = found.first().ok_or_else(|| StoreError::Engine(format!("setting {name} was not kept")))?;
    rows::get(kept, 0)
}

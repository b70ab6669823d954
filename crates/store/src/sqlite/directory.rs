//! Organizations with their locations, roles given here, and settings.

use rusqlite::{Connection, OptionalExtension, params};

use super::rows;
use crate::{Assignment, Organization};

/// Every organization by id, each with its locations in their order.
pub(super) fn organizations(connection: &Connection) -> rusqlite::Result<Vec<Organization>> {
    let snapshot = connection.unchecked_transaction()?;
    let mut locations = snapshot.prepare_cached(
        "SELECT location
         FROM organization_location
         WHERE organization = ?1
         ORDER BY place",
    )?;
    snapshot
        .prepare_cached(
            "SELECT id, name, issuer, tenant, partner_id
             FROM organization
             ORDER BY id",
        )?
        .query_map([], |row| {
            let id = rows::organization(row, 0)?;
            let locations =
                locations.query_map([id.as_bytes()], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(Organization {
                id,
                name: row.get(1)?,
                issuer: row.get(2)?,
                tenant: row.get(3)?,
                partner_id: row.get(4)?,
                locations,
            })
        })?
        .collect()
}

/// Adds or replaces an organization and all its locations.
pub(super) fn save_organization(
    connection: &Connection,
    organization: &Organization,
) -> rusqlite::Result<u64> {
    let id = organization.id.as_bytes();
    let saved = connection
        .prepare_cached(
            "INSERT INTO organization (id, name, issuer, tenant, partner_id)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (id) DO UPDATE
             SET name = excluded.name,
                 issuer = excluded.issuer,
                 tenant = excluded.tenant,
                 partner_id = excluded.partner_id",
        )?
        .execute(params![
            id,
            organization.name,
            organization.issuer,
            organization.tenant,
            organization.partner_id
        ])?;
    connection
        .prepare_cached(
            "DELETE FROM organization_location
             WHERE organization = ?1",
        )?
        .execute([id])?;
    for (place, location) in (0_i64..).zip(&organization.locations) {
        connection
            .prepare_cached(
                "INSERT INTO organization_location (organization, place, location)
                 VALUES (?1, ?2, ?3)",
            )?
            .execute(params![id, place, location])?;
    }
    Ok(saved as u64)
}

/// Every assignment, by organization and identity.
pub(super) fn assignments(connection: &Connection) -> rusqlite::Result<Vec<Assignment>> {
    connection
        .prepare_cached(
            "SELECT organization, identity, role
             FROM assignment
             ORDER BY organization, identity",
        )?
        .query_map([], |row| {
            Ok(Assignment {
                organization: rows::organization(row, 0)?,
                identity: row.get(1)?,
                role: rows::role(row, 2)?,
            })
        })?
        .collect()
}

/// Gives or replaces a role.
pub(super) fn save_assignment(connection: &Connection, assignment: &Assignment) -> rusqlite::Result<u64> {
    let saved = connection
        .prepare_cached(
            "INSERT INTO assignment (organization, identity, role)
             VALUES (?1, ?2, ?3)
             ON CONFLICT (organization, identity) DO UPDATE
             SET role = excluded.role",
        )?
        .execute(params![
            assignment.organization.as_bytes(),
            assignment.identity,
            rows::role_number(assignment.role)
        ])?;
    Ok(saved as u64)
}

/// A value by its name.
pub(super) fn setting(connection: &Connection, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached(
            "SELECT value
             FROM setting
             WHERE name = ?1",
        )?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// Keeps a value under its name.
pub(super) fn save_setting(connection: &Connection, name: &str, value: &[u8]) -> rusqlite::Result<u64> {
    let saved = connection
        .prepare_cached(
            "INSERT INTO setting (name, value)
             VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE
             SET value = excluded.value",
        )?
        .execute(params![name, value])?;
    Ok(saved as u64)
}

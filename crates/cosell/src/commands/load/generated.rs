//! Many generated referrals, the same for the same numbers at every call.

use referral::{OrganizationId, Party, Timestamp};
use store::Organization;

use super::{Batch, parallel, row};
use crate::failure::Failure;
use crate::generate::{DealKind, LIFECYCLE_STATES, OWN_DEAL_STATES, ReferralSpec};
use crate::seed::USERS;

/// Number of referrals that are generated at once.
const CHUNK: u64 = 250;
/// The first number, above those of the sandbox data.
const FIRST_NUMBER: u64 = 1 << 32;
/// Referrals are spread evenly over three years from 2023-07-01.
const BEGIN_UNIX_SECONDS: i64 = 1_688_169_600;
const SPAN_TENTHS_OF_SECONDS: u64 = 3 * 365 * 86_400 * 10;
/// 2^64 divided by the golden ratio: its multiples are distributed evenly, however many there are.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// One in this number of referrals has a Referral User of the sandbox on the team, if the owner has one.
const USER_SHARE: u64 = 20;

/// An organization that may own generated referrals.
pub struct Owner {
    party: Party,
    location: Option<String>,
    /// The Referral User of this organization in the sandbox data.
    user: Option<&'static str>,
}

/// Returns the organizations of the store, or only the requested one.
///
/// # Errors
/// `Failed` if there is none, or the requested one does not exist.
pub fn owners(organizations: &[Organization], only: Option<&OrganizationId>) -> Result<Vec<Owner>, Failure> {
    let wanted = |organization: &&Organization| only.is_none_or(|only| *only == organization.id);
    let owners: Vec<Owner> = organizations.iter().filter(wanted).map(owner).collect();
    match (owners.is_empty(), only) {
        (false, _) => Ok(owners),
        (true, Some(only)) => Err(Failure::failed(format!("the store has no organization {only}"))),
        (true, None) => Err(Failure::failed(
            "the store has no organization to own them: run cosell sandbox with this --data once, or cosell init",
        )),
    }
}

fn owner(organization: &Organization) -> Owner {
    let is_user = |tenant: &str| {
        let mut people = USERS.iter().filter(|person| person.tenant == tenant);
        people.find(|person| person.is_referral_user()).map(|person| person.user_name)
    };
    Owner {
        party: Party {
            id: organization.id.clone(),
            name: organization.name.clone(),
            partner_id: organization.partner_id.clone(),
        },
        location: organization.locations.first().cloned(),
        user: organization.tenant.as_deref().and_then(is_user),
    }
}

/// Generates the first `count` referrals.
pub fn batches(count: u64, owners: Vec<Owner>) -> impl Iterator<Item = Batch> + Send {
    let pieces = (0..count.div_ceil(CHUNK)).map(move |piece| piece * CHUNK..((piece + 1) * CHUNK).min(count));
    parallel::map(pieces, move |numbers| Batch {
        steps: numbers.end - numbers.start,
        rows: numbers.map(|number| row::imported(&generate(number, &owners))).collect(),
        ..Batch::default()
    })
}

fn generate(number: u64, owners: &[Owner]) -> referral::Referral {
    let owner = &owners[(number % owners.len() as u64) as usize];
    // Consecutive referrals with different owners share one turn, so that each owner has every combination.
    let turn = number / owners.len() as u64;
    let (kind, state) = sort(turn);
    let team: &[&str] = match &owner.user {
        Some(user) if turn.is_multiple_of(USER_SHARE) => std::slice::from_ref(user),
        _ => &[],
    };
    let spec = ReferralSpec {
        number: FIRST_NUMBER + number,
        owner: &owner.party,
        location: owner.location.as_deref(),
        inviter: None,
        kind,
        state,
        created: created(number),
        engagement: None,
        team,
        at_length: true,
    };
    spec.build().0
}

/// Half are own deals, half came from outside. All states are equally frequent.
fn sort(turn: u64) -> (DealKind, referral::LifecycleState) {
    let pick = |count: usize, by: u64| (by % count as u64) as usize;
    let half = turn / 2;
    if turn.is_multiple_of(2) {
        let kinds = DealKind::INCOMING;
        (
            kinds[pick(kinds.len(), half)],
            LIFECYCLE_STATES[pick(LIFECYCLE_STATES.len(), half / kinds.len() as u64)],
        )
    } else {
        let kinds = DealKind::OWN;
        (
            kinds[pick(kinds.len(), half)],
            OWN_DEAL_STATES[pick(OWN_DEAL_STATES.len(), half / kinds.len() as u64)],
        )
    }
}

fn created(number: u64) -> Timestamp {
    let part = u128::from(number.wrapping_mul(GOLDEN)) * u128::from(SPAN_TENTHS_OF_SECONDS);
    let tenths = (part >> 64) as i64;
    let begin = Timestamp::from_unix_seconds(BEGIN_UNIX_SECONDS);
    Timestamp::from_ticks(begin.ticks() + tenths * 1_000_000)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn organizations() -> Vec<Organization> {
        let of = |id: &str, tenant: &str| Organization {
            id: id.parse().unwrap(),
            name: format!("Organization {id}"),
            issuer: "a".to_owned(),
            tenant: Some(tenant.to_owned()),
            partner_id: None,
            locations: Vec::new(),
        };
        let contoso = "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d";
        vec![of(contoso, contoso), of("msft", "x"), of("11111111-2222-4333-8444-555555555555", "y")]
    }

    #[test]
    fn invented_ones_are_of_every_sort_spread_over_owners_and_years_and_the_same_again() {
        let made = |count| {
            let owners = owners(&organizations(), None).unwrap();
            batches(count, owners).flat_map(|batch| batch.rows).map(|row| row.referral).collect::<Vec<_>>()
        };
        let rows = made(900);
        assert_eq!(rows, made(900));
        assert_eq!(rows[..300], made(300)[..], "the first are the same however many there are");
        let ids: BTreeSet<_> = rows.iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), 900);
        let mut of_owner: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for row in &rows {
            let sorts = of_owner.entry(row.owner.clone()).or_default();
            sorts.insert((row.columns.status.as_str(), row.columns.substatus.as_str()));
        }
        assert_eq!(of_owner.len(), 3);
        assert!(of_owner.values().all(|sorts| sorts.len() == LIFECYCLE_STATES.len()));
        let years: BTreeSet<String> =
            rows.iter().map(|row| row.columns.created.to_string()[..7].to_owned()).collect();
        assert!(years.len() >= 36, "{years:?}");
        let with_user =
            rows.iter().filter(|row| row.columns.team.contains(&"user@contoso.example".to_owned()));
        assert_eq!(with_user.count(), 300 / USER_SHARE as usize);
    }

    #[test]
    fn somebody_must_own_them() {
        assert!(owners(&[], None).is_err());
        let only = "msft".parse().unwrap();
        assert_eq!(owners(&organizations(), Some(&only)).unwrap().len(), 1);
        let other = "22222222-2222-4333-8444-555555555555".parse().unwrap();
        assert!(owners(&organizations(), Some(&other)).is_err());
    }
}

//! Organizations, their locations, and the roles assigned here. Read from the store and kept in memory.

use std::collections::HashMap;

use referral::{OrganizationId, Party};
use store::{Assignment, Organization, Store, StoreError};

use crate::caller::Role;

/// The organizations of the exchange, as they were when it opened.
#[derive(Debug, Default)]
pub struct Directory {
    organizations: HashMap<OrganizationId, Organization>,
    by_tenant: HashMap<(String, Option<String>), OrganizationId>,
    by_location: HashMap<String, OrganizationId>,
    roles: HashMap<(OrganizationId, String), Role>,
}

impl Directory {
    pub(crate) async fn load(store: &dyn Store) -> Result<Directory, StoreError> {
        Ok(Directory::new(store.organizations().await?, store.assignments().await?))
    }

    fn new(organizations: Vec<Organization>, assignments: Vec<Assignment>) -> Directory {
        let mut directory = Directory::default();
        for organization in organizations {
            let id = organization.id.clone();
            let tenant = organization.tenant.as_deref().map(str::to_lowercase);
            directory.by_tenant.insert((organization.issuer.clone(), tenant), id.clone());
            for location in &organization.locations {
                directory.by_location.insert(location.to_lowercase(), id.clone());
            }
            directory.organizations.insert(id, organization);
        }
        for assignment in assignments {
            let role = match assignment.role {
                store::Role::ReferralAdmin => Role::Admin,
                store::Role::ReferralUser => Role::User,
            };
            directory.roles.insert((assignment.organization, assignment.identity.to_lowercase()), role);
        }
        directory
    }

    /// Returns the organization whose users have tokens of this issuer and tenant.
    pub fn find_by_tenant(&self, issuer: &str, tenant: Option<&str>) -> Option<&Organization> {
        let exact = (issuer.to_owned(), tenant.map(str::to_lowercase));
        let id = self.by_tenant.get(&exact).or_else(|| self.by_tenant.get(&(exact.0, None)));
        self.organizations.get(id?)
    }

    /// Returns the organization that a `BusinessProfileLocation` target names by its id or by one of its locations.
    pub fn find_by_location(&self, target: &str) -> Option<OrganizationId> {
        if let Ok(id) = target.parse::<OrganizationId>()
            && (id.is_microsoft() || self.organizations.contains_key(&id))
        {
            return Some(id);
        }
        self.by_location.get(&target.to_lowercase()).cloned()
    }

    /// Returns an organization as referrals name it. Microsoft needs no entry.
    pub fn party(&self, id: &OrganizationId) -> Party {
        match self.organizations.get(id) {
            Some(known) => {
                Party { id: id.clone(), name: known.name.clone(), partner_id: known.partner_id.clone() }
            }
            None if id.is_microsoft() => {
                Party { id: id.clone(), name: "Microsoft".to_owned(), partner_id: None }
            }
            None => Party { id: id.clone(), name: id.to_string(), partner_id: None },
        }
    }

    pub(crate) fn assigned_role(&self, organization: &OrganizationId, identities: &[String]) -> Option<Role> {
        let roles = identities
            .iter()
            .filter_map(|identity| self.roles.get(&(organization.clone(), identity.to_lowercase())).copied());
        roles.max_by_key(|role| *role == Role::Admin)
    }
}

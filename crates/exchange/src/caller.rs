//! The caller and its role. Source: spec 3.2 and 3.3.

use referral::OrganizationId;
use store::{Actor, StoredReferral};

use crate::Exchange;

/// The claims of a verified token.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The configured name of the issuer the token came from.
    pub issuer: String,
    /// The tenant of the token, if it has one.
    pub tenant: Option<String>,
    /// The stable identifier: `oid`, else `sub`.
    pub subject: String,
    /// The names that identify the user, in lower case; compared with the e-mails of teams.
    pub identities: Vec<String>,
    /// The token's roles.
    pub roles: Vec<String>,
    /// True for an application's token, which has no user.
    pub app_only: bool,
}

/// The role of a caller in its organization (spec 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// May access every referral of the organization.
    Admin,
    /// May access the referrals whose team the caller is on.
    User,
}

/// A user that may use the API on behalf of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    pub(crate) organization: OrganizationId,
    pub(crate) user: String,
    pub(crate) identities: Vec<String>,
    pub(crate) role: Role,
}

/// The reason why a valid token gives no access: 403 `accessDenied`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// An application without a person (spec 3.4).
    #[error("application-only tokens are not accepted; sign in as a user")]
    AppOnly,
    /// No organization of this exchange has the token's tenant.
    #[error("the token's tenant is no organization of this exchange")]
    UnknownTenant,
    /// No role that gives access to referrals.
    #[error("the caller has no referral role: ReferralAdmin or ReferralUser is needed")]
    MissingRole,
}

impl Caller {
    /// Returns the organization that the caller acts for.
    pub fn organization(&self) -> &OrganizationId {
        &self.organization
    }

    /// Returns the stable identifier of the user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Returns the role of the caller.
    pub fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn actor(&self) -> Actor {
        Actor { organization: self.organization.clone(), user: self.user.clone() }
    }

    /// Returns whether one of the caller's identities is one of these lower-case e-mails (REF-030).
    pub(crate) fn is_one_of(&self, team: &[String]) -> bool {
        self.identities.iter().any(|identity| team.contains(identity))
    }

    /// Returns whether the role gives access to a referral that the caller's organization owns or sent.
    pub(crate) fn may_access(&self, referral: &StoredReferral) -> bool {
        self.role == Role::Admin || self.is_one_of(&referral.columns.team)
    }
}

impl Exchange {
    /// Returns the caller for a verified token. Issuer and tenant together determine the organization; the token or
    /// the assignments of this server determine the role.
    ///
    /// # Errors
    /// [`AdmissionError`].
    pub fn admit(&self, principal: &Principal) -> Result<Caller, AdmissionError> {
        if principal.app_only && !self.policy.app_only {
            return Err(AdmissionError::AppOnly);
        }
        let directory = self.directory();
        let organization = directory
            .find_by_tenant(&principal.issuer, principal.tenant.as_deref())
            .ok_or(AdmissionError::UnknownTenant)?;
        let says = |role: &str| principal.roles.iter().any(|name| name.eq_ignore_ascii_case(role));
        let assigned = directory.assigned_role(&organization.id, &principal.identities);
        let admin = says("ReferralAdmin")
            || (says("GlobalAdmin") && self.policy.global_admin_counts)
            || assigned == Some(Role::Admin);
        let role = match () {
            () if admin => Role::Admin,
            () if says("ReferralUser") || assigned == Some(Role::User) => Role::User,
            () => return Err(AdmissionError::MissingRole),
        };
        Ok(Caller {
            organization: organization.id.clone(),
            user: principal.subject.clone(),
            identities: principal.identities.iter().map(|identity| identity.to_lowercase()).collect(),
            role,
        })
    }
}

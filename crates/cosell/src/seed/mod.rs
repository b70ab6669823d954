//! The seeded world of the sandbox: the same organizations, people and referrals at every start.

mod world;

use bytes::Bytes;
use exchange::{search_text, to_store};
use identity::sandbox::SandboxUser;
use referral::Party;
use store::sqlite::SqliteStore;
use store::{Action, Entry, Organization, Store, StoreError, Write};

/// The issuer's name, as the organizations refer to it.
pub const ISSUER: &str = "sandbox";
/// Everybody's password.
pub const PASSWORD: &str = "cosell";
/// The lead of the published GET page.
pub const LEAD: &str = "c5fbb3b6-be74-4795-9fb5-4324c73fed37";
/// Set when the world is planted: the next start has nothing to look for.
const SEEDED_SETTING: &str = "sandbox-world";

const CONTOSO: &str = "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d";
const FABRIKAM: &str = "f0000000-0000-4000-8000-0000000000fa";
const MICROSOFT: &str = "f0000000-0000-4000-8000-00000000005f";

/// An organization of the world.
struct SeededOrganization {
    id: &'static str,
    name: &'static str,
    tenant: &'static str,
    partner_id: Option<&'static str>,
    location: Option<&'static str>,
}

const ORGANIZATIONS: [SeededOrganization; 3] = [
    SeededOrganization {
        id: CONTOSO,
        name: "Contoso Company",
        tenant: CONTOSO,
        partner_id: Some("1234567"),
        location: Some("01e2abcd-52b0-4af3-a3ae-1fd1530b3563"),
    },
    SeededOrganization {
        id: FABRIKAM,
        name: "Fabrikam",
        tenant: FABRIKAM,
        partner_id: Some("7654321"),
        location: Some("02f3bcde-63c1-4bf4-b4bf-2fe2641c4674"),
    },
    SeededOrganization { id: "msft", name: "Microsoft", tenant: MICROSOFT, partner_id: None, location: None },
];

/// The organizations of the world.
pub fn organizations() -> Vec<Organization> {
    ORGANIZATIONS.iter().map(SeededOrganization::organization).collect()
}

impl SeededOrganization {
    fn organization(&self) -> Organization {
        Organization {
            id: self.id.parse().expect("the table holds organization ids"),
            name: self.name.to_owned(),
            issuer: ISSUER.to_owned(),
            tenant: Some(self.tenant.to_owned()),
            partner_id: self.partner_id.map(str::to_owned),
            locations: self.location.map(str::to_owned).into_iter().collect(),
        }
    }

    fn party(&self) -> Party {
        let Organization { id, name, partner_id, .. } = self.organization();
        Party { id, name, partner_id }
    }
}

/// A person of the world.
pub struct SeededUser {
    /// What they sign in with.
    pub user_name: &'static str,
    display_name: &'static str,
    oid: &'static str,
    /// Their organization's tenant.
    pub tenant: &'static str,
    role: Option<&'static str>,
    /// Who they are, in words.
    pub described: &'static str,
}

/// Everybody.
pub const USERS: &[SeededUser] = &[
    SeededUser {
        user_name: "admin@contoso.example",
        display_name: "Ada Contoso",
        oid: "a0000000-0000-4000-8000-000000000c01",
        tenant: CONTOSO,
        role: Some("ReferralAdmin"),
        described: "Contoso Company, Referral Admin",
    },
    SeededUser {
        user_name: "user@contoso.example",
        display_name: "Uma Contoso",
        oid: "a0000000-0000-4000-8000-000000000c02",
        tenant: CONTOSO,
        role: Some("ReferralUser"),
        described: "Contoso Company, Referral User",
    },
    SeededUser {
        user_name: "global@contoso.example",
        display_name: "Gus Contoso",
        oid: "a0000000-0000-4000-8000-000000000c03",
        tenant: CONTOSO,
        role: Some("GlobalAdmin"),
        described: "Contoso Company, Global Admin",
    },
    SeededUser {
        user_name: "nobody@contoso.example",
        display_name: "Noa Contoso",
        oid: "a0000000-0000-4000-8000-000000000c04",
        tenant: CONTOSO,
        role: None,
        described: "Contoso Company, no role",
    },
    SeededUser {
        user_name: "admin@fabrikam.example",
        display_name: "Ben Fabrikam",
        oid: "a0000000-0000-4000-8000-000000000f01",
        tenant: FABRIKAM,
        role: Some("ReferralAdmin"),
        described: "Fabrikam, Referral Admin",
    },
    SeededUser {
        user_name: "user@fabrikam.example",
        display_name: "Fay Fabrikam",
        oid: "a0000000-0000-4000-8000-000000000f02",
        tenant: FABRIKAM,
        role: Some("ReferralUser"),
        described: "Fabrikam, Referral User",
    },
    SeededUser {
        user_name: "seller@msft.example",
        display_name: "Sam Seller",
        oid: "a0000000-0000-4000-8000-000000000501",
        tenant: MICROSOFT,
        role: Some("ReferralAdmin"),
        described: "Microsoft, Referral Admin",
    },
];

impl SeededUser {
    /// Whether they see only what they are on the team of.
    pub fn is_referral_user(&self) -> bool {
        self.role == Some("ReferralUser")
    }

    /// As the issuer knows them.
    pub fn to_sandbox_user(&self) -> SandboxUser {
        SandboxUser {
            user_name: self.user_name.to_owned(),
            password: PASSWORD.to_owned(),
            oid: self.oid.to_owned(),
            tenant: self.tenant.to_owned(),
            display_name: self.display_name.to_owned(),
            roles: self.role.iter().map(|&role| role.to_owned()).collect(),
        }
    }
}

/// Plants the world in an empty store; one that has organizations gets only those of ours that nobody can sign in to
/// yet. `referrals` off leaves the referrals out.
///
/// # Errors
/// What the store reports.
pub async fn insert(store: &SqliteStore, referrals: bool) -> Result<(), StoreError> {
    if store.setting(SEEDED_SETTING).await?.is_some() {
        return Ok(());
    }
    let there = store.organizations().await?;
    if there.is_empty() && referrals {
        // In one piece and before everything else: a start that is cut off here begins again.
        let all = world::referrals().into_iter().map(imported).collect();
        store.bulk_load(std::iter::once(all), |_| {}).await?;
    }
    for seeded in &ORGANIZATIONS {
        let organization = seeded.organization();
        let known = there.iter().find(|known| known.id == organization.id);
        if known.is_none_or(|known| known.issuer.is_empty()) {
            store.save_organization(&organization).await?;
        }
    }
    store.save_setting(SEEDED_SETTING, b"1").await
}

fn imported(planted: world::SeededReferral) -> Write {
    let at = planted.referral.updated_date_time;
    let entry = Entry { action: Action::Imported, at, actor: None, changes: Bytes::from_static(b"{}") };
    let search = search_text(&planted.referral);
    let referral = to_store(&planted.referral, planted.version, planted.sender);
    Write { referral, decided_on: None, entry, search: Some(search) }
}

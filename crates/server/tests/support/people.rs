//! Who takes part, and what they usually say.

use identity::sandbox::SandboxUser;
use serde_json::{Value, json};
use store::Organization;

use super::{Answer, REFERRALS, World};

pub const CONTOSO: &str = "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d";
pub const FABRIKAM: &str = "f0000000-0000-4000-8000-0000000000fa";
pub const NORTHWIND: &str = "f0000000-0000-4000-8000-00000000000d";
pub const MICROSOFT: &str = "msft";
/// The tenant of `msft`.
pub const MICROSOFT_TENANT: &str = "f0000000-0000-4000-8000-00000000005f";
/// A tenant that is no organization here.
pub const ELSEWHERE: &str = "f0000000-0000-4000-8000-0000000000ee";

pub const CONTOSO_LOCATION: &str = "01e2abcd-52b0-4af3-a3ae-1fd1530b3563";
pub const FABRIKAM_LOCATION: &str = "02f3bcde-63c1-4bf4-b4bf-2fe2641c4674";
pub const NORTHWIND_LOCATION: &str = "03a4cdef-74d2-4c05-85c0-3ff3752d5785";

pub const CONTOSO_ADMIN: &str = "admin@contoso.example";
pub const CONTOSO_USER: &str = "user@contoso.example";
pub const CONTOSO_GLOBAL: &str = "global@contoso.example";
pub const CONTOSO_NOBODY: &str = "nobody@contoso.example";
pub const FABRIKAM_ADMIN: &str = "admin@fabrikam.example";
pub const FABRIKAM_USER: &str = "user@fabrikam.example";
pub const NORTHWIND_ADMIN: &str = "admin@northwind.example";
pub const NORTHWIND_USER: &str = "user@northwind.example";
pub const MICROSOFT_SELLER: &str = "seller@msft.example";
/// Has a role, in a tenant that takes no part.
pub const STRANGER: &str = "admin@elsewhere.example";

pub(super) const ISSUER: &str = "sandbox";
pub(super) const PASSWORD: &str = "cosell";

pub(super) fn organizations() -> Vec<Organization> {
    let one =
        |id: &str, name: &str, tenant: &str, partner: Option<&str>, location: Option<&str>| Organization {
            id: id.parse().unwrap(),
            name: name.to_owned(),
            issuer: ISSUER.to_owned(),
            tenant: Some(tenant.to_owned()),
            partner_id: partner.map(str::to_owned),
            locations: location.map(str::to_owned).into_iter().collect(),
        };
    vec![
        one(CONTOSO, "Contoso Company", CONTOSO, Some("1234567"), Some(CONTOSO_LOCATION)),
        one(FABRIKAM, "Fabrikam", FABRIKAM, Some("7654321"), Some(FABRIKAM_LOCATION)),
        one(NORTHWIND, "Northwind Traders", NORTHWIND, Some("1112223"), Some(NORTHWIND_LOCATION)),
        one(MICROSOFT, "Microsoft", MICROSOFT_TENANT, None, None),
    ]
}

pub(super) fn users() -> Vec<SandboxUser> {
    let people = [
        (CONTOSO_ADMIN, CONTOSO, "ReferralAdmin"),
        (CONTOSO_USER, CONTOSO, "ReferralUser"),
        (CONTOSO_GLOBAL, CONTOSO, "GlobalAdmin"),
        (CONTOSO_NOBODY, CONTOSO, ""),
        (FABRIKAM_ADMIN, FABRIKAM, "ReferralAdmin"),
        (FABRIKAM_USER, FABRIKAM, "ReferralUser"),
        (NORTHWIND_ADMIN, NORTHWIND, "ReferralAdmin"),
        (NORTHWIND_USER, NORTHWIND, "ReferralUser"),
        (MICROSOFT_SELLER, MICROSOFT_TENANT, "ReferralAdmin"),
        (STRANGER, ELSEWHERE, "ReferralAdmin"),
    ];
    let user = |(at, (name, tenant, role)): (usize, (&str, &str, &str))| SandboxUser {
        user_name: name.to_owned(),
        password: PASSWORD.to_owned(),
        oid: format!("00000000-0000-4000-8000-{at:012x}"),
        tenant: tenant.to_owned(),
        display_name: name.to_owned(),
        roles: if role.is_empty() { Vec::new() } else { vec![role.to_owned()] },
    };
    people.into_iter().enumerate().map(user).collect()
}

/// The page's body of an own, private deal.
pub fn deal() -> Value {
    example("create.independent-private.request.json")
}

/// The smallest body that POST takes under the wire profile.
pub fn small_deal() -> Value {
    json!({
        "type": "Independent",
        "customerProfile": { "name": "Customer" },
        "consent": { "consentToToShareInfoWithOthers": true },
        "details": {},
    })
}

/// A body that sends a referral to the organization a location names.
pub fn invitation(location: &str) -> Value {
    let mut body = deal();
    body["type"] = "Shared".into();
    body["target"] = json!([{ "type": "BusinessProfileLocation", "id": location }]);
    body
}

/// One complete team member.
pub fn member(email: &str) -> Value {
    json!({
        "firstName": "Jo",
        "lastName": "Doe",
        "phoneNumber": "1231231234",
        "email": email,
        "contactPreference": { "locale": "en-us", "disableNotifications": false },
    })
}

/// A file of `docs/examples`.
pub fn example(name: &str) -> Value {
    let path = format!("{}/../../docs/examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}

/// A person at work.
#[derive(Clone, Copy)]
pub struct Person<'a> {
    world: &'a World,
    user: &'a str,
}

/// A referral as the answer to its creation showed it.
#[derive(Debug, Clone)]
pub struct Deal {
    pub id: String,
    pub engagement: String,
    pub etag: String,
    pub body: Value,
}

impl Deal {
    /// From an answer with a referral in it.
    pub fn of(answer: &Answer) -> Deal {
        Deal {
            id: answer.text("id"),
            engagement: answer.text("engagementId"),
            etag: answer.text("eTag"),
            body: answer.body.clone(),
        }
    }

    /// The canonical path.
    pub fn path(&self) -> String {
        path(&self.id)
    }
}

/// The canonical path of a referral.
pub fn path(id: &str) -> String {
    format!("{REFERRALS}/{id}")
}

impl World {
    pub fn contoso(&self) -> Person<'_> {
        self.person(CONTOSO_ADMIN)
    }

    pub fn fabrikam(&self) -> Person<'_> {
        self.person(FABRIKAM_ADMIN)
    }

    pub fn northwind(&self) -> Person<'_> {
        self.person(NORTHWIND_ADMIN)
    }

    pub fn microsoft(&self) -> Person<'_> {
        self.person(MICROSOFT_SELLER)
    }

    pub fn person<'a>(&'a self, user: &'a str) -> Person<'a> {
        Person { world: self, user }
    }

    /// A referral of Contoso in this standing: New ones were sent by Microsoft, the others are own deals.
    pub async fn given(&self, status: &str, substatus: &str) -> Deal {
        let deal = match status {
            "New" => {
                let sent = self.microsoft().creates(invitation(CONTOSO_LOCATION)).await;
                self.contoso().sees(&sent.id).await
            }
            _ => self.contoso().own_deal().await,
        };
        if matches!((status, substatus), ("New", "Pending") | ("Active", "Accepted")) {
            return deal;
        }
        let moves = json!([
            { "op": "replace", "path": "/status", "value": status },
            { "op": "replace", "path": "/substatus", "value": substatus },
        ]);
        self.contoso().patches(&deal.id, moves).await.expect(204);
        self.contoso().sees(&deal.id).await
    }
}

impl<'a> Person<'a> {
    /// Where the person works.
    pub fn world(self) -> &'a World {
        self.world
    }

    /// The name the person signs in with.
    pub fn user(self) -> &'a str {
        self.user
    }

    /// `POST` of any body.
    pub async fn posts(self, body: Value) -> Answer {
        self.world.call("POST", REFERRALS).as_user(self.user).json(body).send().await
    }

    /// `POST` that must succeed.
    pub async fn creates(self, body: Value) -> Deal {
        Deal::of(&self.posts(body).await.expect(201))
    }

    /// The page's private deal, created.
    pub async fn own_deal(self) -> Deal {
        self.creates(deal()).await
    }

    /// A connected referral in an engagement, for the organization that a location (or `msft`) names.
    pub async fn connects(self, engagement: &str, location: &str) -> Deal {
        let mut body = invitation(location);
        body["engagementId"] = engagement.into();
        self.creates(body).await
    }

    /// A connected referral for Microsoft.
    pub async fn connected_to_microsoft(self, engagement: &str) -> Deal {
        self.connects(engagement, MICROSOFT).await
    }

    /// `GET` by id.
    pub async fn gets(self, id: &str) -> Answer {
        self.world.call("GET", &path(id)).as_user(self.user).send().await
    }

    /// `GET` by id that must succeed.
    pub async fn sees(self, id: &str) -> Deal {
        Deal::of(&self.gets(id).await.expect(200))
    }

    /// `PATCH` without `If-Match`.
    pub async fn patches(self, id: &str, operations: Value) -> Answer {
        self.world.call("PATCH", &path(id)).as_user(self.user).json(operations).send().await
    }

    /// `PATCH` of one member by `replace`, without `If-Match`.
    pub async fn replaces(self, id: &str, at: &str, value: Value) -> Answer {
        self.patches(id, json!([{ "op": "replace", "path": at, "value": value }])).await
    }

    /// `PUT` under a tag.
    pub async fn puts(self, id: &str, etag: &str, body: Value) -> Answer {
        self.world.call("PUT", &path(id)).as_user(self.user).header("If-Match", etag).json(body).send().await
    }

    /// `GET` on the collection, with a query.
    pub async fn lists(self, query: &str) -> Answer {
        self.world.call("GET", &format!("{REFERRALS}{query}")).as_user(self.user).send().await
    }
}

//! The claims of the sandbox's tokens, as DESIGN's table of the program's contract has them.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use serde_json::{Value, json};

use super::issuer::SandboxUser;
use crate::BASE64URL;

/// Which generation of Entra's endpoints a token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntraVersion {
    V1,
    V2,
}

impl EntraVersion {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V1 => "1.0",
            Self::V2 => "2.0",
        }
    }

    /// The issuer's name for a tenant, or for `{tenantid}` as its place.
    pub(crate) fn issuer(self, base: &str, tenant: &str) -> String {
        match self {
            Self::V1 => format!("{base}/{tenant}/"),
            Self::V2 => format!("{base}/{tenant}/v2.0"),
        }
    }

    /// The claim that names the client.
    fn client_claim(self) -> &'static str {
        match self {
            Self::V1 => "appid",
            Self::V2 => "azp",
        }
    }
}

/// What every token of one answer has in common.
pub(crate) struct TokenContext<'a> {
    pub(crate) version: EntraVersion,
    pub(crate) base: &'a str,
    pub(crate) tenant: &'a str,
    pub(crate) client: &'a str,
    pub(crate) audience: &'a str,
    pub(crate) now: i64,
    pub(crate) not_before: i64,
    pub(crate) lifetime: i64,
    pub(crate) random: [u8; 16],
}

/// The type of a refresh token's header: no verifier of access tokens accepts it.
pub(crate) const REFRESH_TYPE: &str = "refresh+jwt";
/// How long a refresh token lives, in seconds: 90 days, as Entra's.
const REFRESH_LIFETIME: i64 = 90 * 24 * 3600;

impl TokenContext<'_> {
    fn claims(&self, audience: &str) -> Value {
        json!({
            "aud": audience,
            "iss": self.version.issuer(self.base, self.tenant),
            "iat": self.now,
            "nbf": self.not_before,
            "exp": self.now.saturating_add(self.lifetime),
            "tid": self.tenant,
            "ver": self.version.name(),
            "uti": BASE64URL.encode(self.random),
        })
    }

    /// A person's token for the API.
    pub(crate) fn user_token(&self, user: &SandboxUser) -> Value {
        let mut claims = self.claims(self.audience);
        claims[self.version.client_claim()] = self.client.into();
        self.name_person(&mut claims, user);
        claims["upn"] = user.user_name.as_str().into();
        claims["unique_name"] = user.user_name.as_str().into();
        claims["scp"] = "user_impersonation".into();
        claims["roles"] = user.roles.clone().into();
        claims
    }

    /// A person's token for the client itself.
    pub(crate) fn id_token(&self, user: &SandboxUser) -> Value {
        let mut claims = self.claims(self.client);
        self.name_person(&mut claims, user);
        claims
    }

    fn name_person(&self, claims: &mut Value, user: &SandboxUser) {
        claims["oid"] = user.oid.as_str().into();
        claims["sub"] = pairwise(self.client, &user.oid).into();
        claims["name"] = user.display_name.as_str().into();
        claims["preferred_username"] = user.user_name.as_str().into();
    }

    /// An application's token: no person, no `scp`, `idtyp` says so.
    pub(crate) fn application_token(&self) -> Value {
        let mut claims = self.claims(self.audience);
        let object = object_id(self.tenant, self.client);
        claims[self.version.client_claim()] = self.client.into();
        claims["idtyp"] = "app".into();
        claims["oid"] = object.as_str().into();
        claims["sub"] = object.into();
        claims
    }

    /// Whatever is needed to make the person's next token.
    pub(crate) fn refresh_token(&self, user: &SandboxUser) -> Value {
        json!({
            "iss": format!("{}/refresh", self.base),
            "oid": user.oid,
            "tid": self.tenant,
            "res": self.audience,
            "iat": self.now,
            "exp": self.now.saturating_add(REFRESH_LIFETIME),
            "uti": BASE64URL.encode(self.random),
        })
    }
}

/// A subject that differs from client to client, as Entra's does.
fn pairwise(client: &str, oid: &str) -> String {
    BASE64URL.encode(digest(&SHA256, format!("{client} {oid}").as_bytes()))
}

/// The same GUID for the same client in a tenant.
fn object_id(tenant: &str, client: &str) -> String {
    let hash = digest(&SHA256, format!("{tenant} {client}").as_bytes());
    let hex: String = hash.as_ref().iter().take(16).map(|b| format!("{b:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

//! The claims of the sandbox's tokens. Source: spec 3.1.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use serde_json::{Value, json};

use super::issuer::SandboxUser;
use crate::BASE64URL;

/// The version of Entra's endpoints that a token comes from.
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

    /// Returns the name of the issuer for a tenant, or for `{tenantid}`.
    pub(crate) fn issuer(self, base: &str, tenant: &str) -> String {
        match self {
            Self::V1 => format!("{base}/{tenant}/"),
            Self::V2 => format!("{base}/{tenant}/v2.0"),
        }
    }

    /// Returns the claim that names the client.
    fn client_claim(self) -> &'static str {
        match self {
            Self::V1 => "appid",
            Self::V2 => "azp",
        }
    }
}

/// The values that all tokens of one response share.
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

/// The type in a refresh token's header. No verifier of access tokens accepts it.
pub(crate) const REFRESH_TYPE: &str = "refresh+jwt";
/// Lifetime of a refresh token, in seconds: 90 days, as Entra's.
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

    /// Returns the claims of a person's access token.
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

    /// Returns the claims of a person's ID token, for the client itself.
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

    /// Returns the claims of an application's access token: no person, no `scp`, and `idtyp` is `app`.
    pub(crate) fn application_token(&self) -> Value {
        let mut claims = self.claims(self.audience);
        let object = object_id(self.tenant, self.client);
        claims[self.version.client_claim()] = self.client.into();
        claims["idtyp"] = "app".into();
        claims["oid"] = object.as_str().into();
        claims["sub"] = object.into();
        claims
    }

    /// Returns the claims of a refresh token: what the next token of the person needs.
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

/// Returns a subject that differs for each client, as Entra's does.
fn pairwise(client: &str, oid: &str) -> String {
    BASE64URL.encode(digest(&SHA256, format!("{client} {oid}").as_bytes()))
}

/// Returns the same GUID for the same client in a tenant.
fn object_id(tenant: &str, client: &str) -> String {
    let hash = digest(&SHA256, format!("{tenant} {client}").as_bytes());
    let hex: String = hash.as_ref().iter().take(16).map(|b| format!("{b:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

//! The verifier: from the text of a token to the caller. The signature is verified before the claims.

use std::sync::Arc;

use crate::claims::{Claims, IdentityClaim, VerifiedToken};
use crate::error::TokenError;
use crate::jwk::SignatureCheck;
use crate::jws::Jws;
use crate::keys::KeySource;

/// The placeholder of the tenant in an issuer's name, as in Entra's multi-tenant metadata.
const TENANT_PLACEHOLDER: &str = "{tenantid}";

/// An issuer whose tokens are accepted, and how its tokens are validated.
#[derive(Debug, Clone)]
pub struct IssuerSettings {
    /// The exact `iss`, or a template in which `{tenantid}` stands for the token's `tid`.
    pub issuer: String,
    /// The keys of the issuer.
    pub keys: Arc<KeySource>,
    /// The accepted audiences.
    pub audiences: Vec<String>,
    /// The claims that identify a person.
    pub identity_claims: Vec<IdentityClaim>,
    /// Whether a token without `tid` is refused. With a template it always is.
    pub requires_tenant: bool,
}

impl IssuerSettings {
    /// Creates settings with the usual identity claims: `upn`, `unique_name`, `preferred_username`.
    pub fn new(issuer: impl Into<String>, keys: Arc<KeySource>, audiences: Vec<String>) -> Self {
        Self {
            issuer: issuer.into(),
            keys,
            audiences,
            identity_claims: vec![
                IdentityClaim::Upn,
                IdentityClaim::UniqueName,
                IdentityClaim::PreferredUsername,
            ],
            requires_tenant: false,
        }
    }

    /// Returns whether a token with `iss` and `tid` is of this issuer.
    fn has_issued(&self, iss: &str, tid: Option<&str>) -> bool {
        matches_issuer(&self.issuer, iss, tid)
    }
}

/// Returns whether `iss` is the issuer's name, with the tenant in place of the placeholder.
fn matches_issuer(name: &str, iss: &str, tid: Option<&str>) -> bool {
    let Some((before, after)) = name.split_once(TENANT_PLACEHOLDER) else { return name == iss };
    let Some(tid) = tid.filter(|tid| is_tenant_name(tid)) else { return false };
    iss.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)) == Some(tid)
}

/// Returns whether a tenant is a GUID or a domain name. Other texts could change the structure of the issuer's URL.
fn is_tenant_name(tid: &str) -> bool {
    !tid.is_empty() && tid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
}

/// Verifies bearer tokens against the accepted issuers. Shared by all requests.
#[derive(Debug)]
pub struct TokenVerifier {
    issuers: Vec<IssuerSettings>,
    leeway: i64,
}

impl TokenVerifier {
    /// Creates a verifier that allows `leeway_seconds` before and after a token's validity (60 is usual, the sandbox
    /// uses 0).
    pub fn new(issuers: Vec<IssuerSettings>, leeway_seconds: i64) -> Self {
        Self { issuers, leeway: leeway_seconds }
    }

    /// Returns the accepted issuers, in the given order.
    pub fn issuers(&self) -> &[IssuerSettings] {
        &self.issuers
    }

    /// Verifies a compact token at `now` (Unix seconds). Waits only when the issuer's keys must be fetched.
    ///
    /// # Errors
    /// Every kind of [`TokenError`] except `Missing`. Claims are neither validated nor mentioned before the signature
    /// is verified.
    pub async fn verify(&self, token: &str, now: i64) -> Result<VerifiedToken, TokenError> {
        let jws = Jws::parse(token)?;
        let claims = Claims::parse(&jws.payload)?;
        let (iss, tid) = (claims.issuer()?, claims.tenant()?);
        let place = self.issuers.iter().position(|settings| settings.has_issued(iss, tid));
        let place = place.ok_or(TokenError::Invalid("the token's issuer is not accepted here"))?;
        let settings = &self.issuers[place];
        check_signature(&jws, settings, iss, tid, now).await?;
        claims.validate(settings, place, self.leeway, now)
    }
}

/// Checks the signature with the current keys. If they do not contain the token's key, fetches the keys and checks
/// again.
async fn check_signature(
    jws: &Jws<'_>,
    settings: &IssuerSettings,
    iss: &str,
    tid: Option<&str>,
    now: i64,
) -> Result<(), TokenError> {
    let ask = || settings.keys.current().map(|keys| keys.verify(jws, |name| matches_issuer(name, iss, tid)));
    let is_unknown =
        |check: &Option<SignatureCheck>| matches!(check, None | Some(SignatureCheck::UnknownKey));
    let mut check = ask();
    if is_unknown(&check) {
        settings.keys.refresh_for_token(now, || !is_unknown(&ask())).await;
        check = ask();
    }
    match check {
        Some(SignatureCheck::Valid) => Ok(()),
        Some(SignatureCheck::Invalid) => Err(TokenError::Invalid("the token's signature is invalid")),
        Some(SignatureCheck::UnknownKey) => {
            Err(TokenError::Invalid("the token is signed with a key its issuer does not publish"))
        }
        None => Err(TokenError::KeysUnavailable(settings.issuer.clone())),
    }
}

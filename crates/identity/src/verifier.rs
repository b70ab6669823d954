//! The verifier: from the text of a token to who is calling. Signature before claims.

use std::sync::Arc;

use crate::claims::{Claims, IdentityClaim, VerifiedToken};
use crate::error::TokenError;
use crate::jwk::SignatureCheck;
use crate::jws::Jws;
use crate::keys::KeySource;

/// Stands for the tenant in an issuer's name, as in Entra's multi-tenant metadata.
const TENANT_PLACEHOLDER: &str = "{tenantid}";

/// An issuer whose tokens are accepted, and how they are read.
#[derive(Debug, Clone)]
pub struct IssuerSettings {
    /// The exact `iss`, or a template in which `{tenantid}` stands for the token's `tid`.
    pub issuer: String,
    /// The issuer's keys.
    pub keys: Arc<KeySource>,
    /// The token must be for one of these.
    pub audiences: Vec<String>,
    /// Which claims identify a person.
    pub identity_claims: Vec<IdentityClaim>,
    /// Whether a token without `tid` is refused. A template always needs it.
    pub requires_tenant: bool,
}

impl IssuerSettings {
    /// Settings with the usual identity claims: `upn`, `unique_name`, `preferred_username`.
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

    /// Whether `iss` and `tid` are of this issuer.
    fn has_issued(&self, iss: &str, tid: Option<&str>) -> bool {
        matches_issuer(&self.issuer, iss, tid)
    }
}

/// Whether `iss` is the name, with the tenant in its place.
fn matches_issuer(name: &str, iss: &str, tid: Option<&str>) -> bool {
    let Some((before, after)) = name.split_once(TENANT_PLACEHOLDER) else { return name == iss };
    let Some(tid) = tid.filter(|tid| is_tenant_name(tid)) else { return false };
    iss.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)) == Some(tid)
}

/// A tenant is a GUID or a domain name; anything else could bend the issuer's URL.
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
    /// A verifier that grants `leeway_seconds` on either side of a token's time (60 is usual, the sandbox wants 0).
    pub fn new(issuers: Vec<IssuerSettings>, leeway_seconds: i64) -> Self {
        Self { issuers, leeway: leeway_seconds }
    }

    /// The accepted issuers, in the order given.
    pub fn issuers(&self) -> &[IssuerSettings] {
        &self.issuers
    }

    /// Verifies a compact token at `now` (Unix seconds). Waits only when the issuer's keys must be fetched.
    ///
    /// # Errors
    /// Every kind of [`TokenError`] but `Missing`. Claims are not judged, and not spoken of, before the signature
    /// holds.
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

/// Asks the keys at hand; when they do not know the token's key, fetches them anew and asks once more.
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
        Some(SignatureCheck::Invalid) => Err(TokenError::Invalid("the token's signature does not hold")),
        Some(SignatureCheck::UnknownKey) => {
            Err(TokenError::Invalid("the token is signed with a key its issuer does not publish"))
        }
        None => Err(TokenError::KeysUnavailable(settings.issuer.clone())),
    }
}

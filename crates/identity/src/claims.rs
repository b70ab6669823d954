//! The claims of a token: parsed once, then validated against the settings of its issuer and the time.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::error::TokenError;
use crate::verifier::IssuerSettings;

/// A claim that may identify a person. Each issuer's settings say which claims do (spec 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityClaim {
    /// `upn`
    Upn,
    /// `unique_name`
    UniqueName,
    /// `preferred_username`
    PreferredUsername,
    /// `email`: only for issuers that verify it. Ignored in a token with `email_verified: false`.
    Email,
}

impl IdentityClaim {
    fn name(self) -> &'static str {
        match self {
            Self::Upn => "upn",
            Self::UniqueName => "unique_name",
            Self::PreferredUsername => "preferred_username",
            Self::Email => "email",
        }
    }
}

/// A token with a valid signature and valid claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken {
    /// The `iss` claim, as in the token.
    pub issuer: String,
    /// The index of the issuer in the list passed to `TokenVerifier::new`.
    pub issuer_index: usize,
    /// The `tid` claim. Only together with `issuer` does it identify an organization.
    pub tenant: Option<String>,
    /// `oid`, else `sub`: the permanent id within the issuer.
    pub subject: String,
    /// The person's addresses from the identity claims, in lower case, without duplicates.
    pub identities: Vec<String>,
    /// `name`, for display only.
    pub name: Option<String>,
    /// `roles`.
    pub roles: Vec<String>,
    /// Whether an application calls without a user.
    pub app_only: bool,
    /// `exp`, in Unix seconds: the first second in which the token is not valid any more.
    pub expires: i64,
}

/// The members of the payload. Not trusted before the signature is verified.
pub(crate) struct Claims(Map<String, Value>);

impl Claims {
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, TokenError> {
        serde_json::from_slice(payload)
            .map(Self)
            .map_err(|_| TokenError::Invalid("the token's payload is not a JSON object"))
    }

    pub(crate) fn issuer(&self) -> Result<&str, TokenError> {
        self.required_text("iss", "the token's iss is not a string")?
            .ok_or(TokenError::Invalid("the token has no iss"))
    }

    pub(crate) fn tenant(&self) -> Result<Option<&str>, TokenError> {
        self.required_text("tid", "the token's tid is not a string")
    }

    /// Validates the claims at the time `now`. Call it only after the signature was verified.
    pub(crate) fn validate(
        &self,
        settings: &IssuerSettings,
        issuer_index: usize,
        leeway: i64,
        now: i64,
    ) -> Result<VerifiedToken, TokenError> {
        self.check_audience(&settings.audiences)?;
        let expires = self.date("exp")?.ok_or(TokenError::Invalid("the token has no exp"))?;
        if now >= expires.saturating_add(leeway) {
            return Err(TokenError::Expired);
        }
        if self.date("nbf")?.is_some_and(|nbf| now < nbf.saturating_sub(leeway)) {
            return Err(TokenError::NotYetValid);
        }
        let tenant = self.tenant()?;
        if settings.requires_tenant && tenant.is_none() {
            return Err(TokenError::Invalid("the token has no tid"));
        }
        let subject = self.subject()?;
        let identities = self.identities(&settings.identity_claims);
        Ok(VerifiedToken {
            issuer: self.issuer()?.to_owned(),
            issuer_index,
            tenant: tenant.map(str::to_owned),
            app_only: self.is_app_only(subject, !identities.is_empty()),
            subject: subject.to_owned(),
            identities,
            name: self.text("name").map(str::to_owned),
            roles: self.list("roles").iter().map(|role| role.as_ref().to_owned()).collect(),
            expires,
        })
    }

    fn check_audience(&self, accepted: &[String]) -> Result<(), TokenError> {
        let found = match self.0.get("aud") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => return Err(TokenError::Invalid("the token has no aud")),
        };
        if found.iter().any(|audience| accepted.iter().any(|one| one == audience)) {
            return Ok(());
        }
        Err(TokenError::InvalidAudience { found: excerpt(&found.join(", ")), accepted: accepted.join(", ") })
    }

    fn subject(&self) -> Result<&str, TokenError> {
        let oid = self.required_text("oid", "the token's oid is not a string")?;
        let sub = self.required_text("sub", "the token's sub is not a string")?;
        oid.or(sub)
            .filter(|subject| !subject.is_empty())
            .ok_or(TokenError::Invalid("the token has neither oid nor sub"))
    }

    fn identities(&self, believed: &[IdentityClaim]) -> Vec<String> {
        let mut identities = Vec::new();
        for claim in believed {
            if *claim == IdentityClaim::Email && self.says_email_is_unverified() {
                continue;
            }
            let Some(identity) = self.text(claim.name()).map(str::to_lowercase) else { continue };
            if !identity.is_empty() && !identities.contains(&identity) {
                identities.push(identity);
            }
        }
        identities
    }

    fn says_email_is_unverified(&self) -> bool {
        match self.0.get("email_verified") {
            None => false,
            Some(Value::Bool(verified)) => !verified,
            Some(Value::String(verified)) => verified != "true",
            Some(_) => true,
        }
    }

    /// Returns whether the token is an application's. In this order: `idtyp` says so (Entra, optional claim); the token
    /// names no person, and its `sub` is its client (RFC 9068, 5; Okta sets `scp` in them); the token names no person
    /// and has no `scp` (Entra: only delegated tokens have `scp`). Source: spec 3.1.
    fn is_app_only(&self, subject: &str, names_a_person: bool) -> bool {
        match self.text("idtyp") {
            Some(idtyp) if idtyp.eq_ignore_ascii_case("app") => return true,
            Some(idtyp) if idtyp.eq_ignore_ascii_case("user") => return false,
            _ => {}
        }
        let clients = ["azp", "appid", "client_id", "cid"];
        let is_its_client = clients.iter().any(|client| {
            let client = self.text(client);
            client.is_some() && (client == Some(subject) || client == self.text("sub"))
        });
        !names_a_person && (is_its_client || self.list("scp").is_empty())
    }

    /// Returns a claim that affects the decision: absent or null, or a string. Anything else is an error.
    fn required_text(&self, name: &str, otherwise: &'static str) -> Result<Option<&str>, TokenError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(TokenError::Invalid(otherwise)),
        }
    }

    /// Returns an informative claim. Anything but a string counts as absent.
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// Returns an array of strings, or the words of one string.
    fn list(&self, name: &str) -> Vec<Cow<'_, str>> {
        match self.0.get(name) {
            Some(Value::String(words)) => words.split_whitespace().map(Cow::from).collect(),
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(Cow::from).collect(),
            _ => Vec::new(),
        }
    }

    /// Returns seconds since 1970, rounded up, so that both `now < exp` and `now >= nbf` are exact for whole seconds.
    fn date(&self, name: &str) -> Result<Option<i64>, TokenError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) => number
                .as_i64()
                .or_else(|| {
                    number.as_f64().filter(|seconds| seconds.is_finite()).map(|seconds| seconds.ceil() as i64)
                })
                .map(Some)
                .ok_or(TokenError::Invalid("a date in the token is out of range")),
            Some(_) => Err(TokenError::Invalid("a date in the token is not a number")),
        }
    }
}

/// Returns the beginning of a foreign text for a message, without control characters.
fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

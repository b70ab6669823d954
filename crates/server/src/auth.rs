//! From the `Authorization` header to a caller. Source: spec 3.3; RFC 6750.

use std::sync::Arc;

use exchange::{Caller, Person};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use identity::{TokenError, VerifiedToken};
use referral::Timestamp;

use crate::Shared;
use crate::face::Face;

/// A verified token is looked at again after an hour at the latest: its key may have been withdrawn.
const REMEMBERED_SECONDS: i64 = 3600;

/// The bearer token, if there is exactly one and it looks like one.
fn bearer(headers: &HeaderMap) -> Result<&str, TokenError> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let line = lines.next().ok_or(TokenError::Missing)?;
    if lines.next().is_some() {
        return Err(TokenError::Invalid("there is more than one Authorization header"));
    }
    let line = line.to_str().map_err(|_| TokenError::Invalid("the Authorization header is no text"))?;
    let (scheme, token) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(TokenError::Missing);
    }
    match token.trim() {
        "" => Err(TokenError::Missing),
        token => Ok(token),
    }
}

impl Shared {
    /// Who is calling: 401 and 403, in this order. A verified token is remembered until it expires, for an
    /// hour at the most.
    pub(crate) async fn caller(&self, headers: &HeaderMap, now: Timestamp) -> Result<Arc<Caller>, Face> {
        let token = bearer(headers)?;
        let seconds = now.unix_seconds();
        if let Some(caller) = self.tokens.get(token, seconds) {
            return Ok(caller);
        }
        // Boxed, as every rare branch on the way of a GET: a request's future stays small and is quick to move.
        Box::pin(self.verified(token, seconds)).await
    }

    async fn verified(&self, token: &str, seconds: i64) -> Result<Arc<Caller>, Face> {
        let verified = self.verifier.verify(token, seconds).await?;
        let expires = verified.expires.min(seconds.saturating_add(REMEMBERED_SECONDS));
        let caller = Arc::new(self.exchange.admit(&self.person(verified))?);
        self.tokens.insert(token, caller.clone(), seconds..expires);
        Ok(caller)
    }

    fn person(&self, token: VerifiedToken) -> Person {
        Person {
            issuer: self.options.issuer_names.get(token.issuer_index).cloned().unwrap_or(token.issuer),
            tenant: token.tenant,
            subject: token.subject,
            identities: token.identities,
            roles: token.roles,
            app_only: token.app_only,
        }
    }
}

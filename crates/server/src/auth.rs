//! Authentication: from the `Authorization` header to a caller. Source: spec 3.3; RFC 6750.

use std::sync::Arc;

use exchange::Principal;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use identity::{TokenError, TokenHash, VerifiedToken};

use crate::RequestContext;
use crate::api_error::ApiError;
use crate::headers::RequestIds;
use crate::shares::AuthenticatedCaller;

/// Maximum time for which a verified token is cached, an hour: its key may have been withdrawn.
const MAX_CACHED_SECONDS: i64 = 3600;

/// The scheme (RFC 6750, 2.1).
const BEARER: &[u8] = b"Bearer";

/// The bearer token, if there is exactly one and it looks like one.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&[u8], TokenError> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let line = lines.next().ok_or(TokenError::Missing)?;
    if lines.next().is_some() {
        return Err(TokenError::Invalid("there is more than one Authorization header"));
    }
    let line = line.as_bytes().trim_ascii();
    let (scheme, token) = line.split_at_checked(BEARER.len()).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case(BEARER) || !token.starts_with(b" ") {
        return Err(TokenError::Missing);
    }
    match token.trim_ascii() {
        b"" => Err(TokenError::Missing),
        token => Ok(token),
    }
}

impl RequestContext {
    /// Returns the caller, or 401 or 403, in this order. A verified token is cached until it expires, for up to an
    /// hour.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        request_ids: &RequestIds,
    ) -> Result<Arc<AuthenticatedCaller>, ApiError> {
        let token = bearer(headers)?;
        let hash = request_ids.token.unwrap_or_else(|| TokenHash::sha256(token));
        let seconds = request_ids.arrived.unix_seconds();
        if let Some(caller) = self.tokens.get(&hash, seconds) {
            return Ok(caller);
        }
        // Boxed, as every rare branch on the way of a GET: a request's future stays small and is quick to move.
        Box::pin(self.verify_token(token, hash, seconds)).await
    }

    async fn verify_token(
        &self,
        token: &[u8],
        hash: TokenHash,
        seconds: i64,
    ) -> Result<Arc<AuthenticatedCaller>, ApiError> {
        let token = std::str::from_utf8(token)
            .map_err(|_| TokenError::Invalid("the Authorization header is no text"))?;
        let verified = self.verifier.verify(token, seconds).await?;
        let expires = verified.expires.min(seconds.saturating_add(MAX_CACHED_SECONDS));
        let caller =
            Arc::new(self.shares.authenticated_caller(self.exchange.admit(&self.principal(verified))?));
        self.tokens.insert(hash, caller.clone(), seconds..expires);
        Ok(caller)
    }

    fn principal(&self, token: VerifiedToken) -> Principal {
        Principal {
            issuer: self.options.issuer_names.get(token.issuer_index).cloned().unwrap_or(token.issuer),
            tenant: token.tenant,
            subject: token.subject,
            identities: token.identities,
            roles: token.roles,
            app_only: token.app_only,
        }
    }
}

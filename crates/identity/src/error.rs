//! Why a token is not accepted. The message of each error is one sentence for the client, without secrets.

/// Why a token is not accepted; the codes are those of spec 3.3.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The request has no bearer token. Returned by the server, never by the verifier.
    #[error("the request carries no bearer token")]
    Missing,
    /// The token is malformed, its issuer or kind is not accepted, or its signature is invalid.
    #[error("{0}")]
    Invalid(&'static str),
    /// The signature is valid, but the token has expired (`exp`).
    #[error("the token has expired")]
    Expired,
    /// The signature is valid, but the token is not valid yet (`nbf`).
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The signature is valid, but the token is for another audience.
    #[error("the token is for audience {found}; this server accepts {accepted}")]
    InvalidAudience {
        /// The token's `aud`.
        found: String,
        /// The audiences accepted for this issuer.
        accepted: String,
    },
    /// The issuer's keys could not be fetched yet. The request may be retried; the caller is not at fault.
    #[error("the keys of issuer {0} are not available at the moment")]
    KeysUnavailable(String),
}

impl TokenError {
    /// Returns the inner code of the 401 response; `None` if the response is a 503. Source: spec 3.3.
    pub fn inner_code(&self) -> Option<&'static str> {
        match self {
            Self::Missing => Some("tokenMissing"),
            Self::Invalid(_) => Some("tokenInvalid"),
            Self::Expired => Some("tokenExpired"),
            Self::NotYetValid => Some("tokenNotYetValid"),
            Self::InvalidAudience { .. } => Some("invalidAudience"),
            Self::KeysUnavailable(_) => None,
        }
    }
}

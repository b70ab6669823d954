//! Why a token is not accepted. The text of each is one sentence for the client, without secrets.

/// Why a token is not accepted; the codes are those of spec 3.3.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The request carries no bearer token. Said by the server, never by the verifier.
    #[error("the request carries no bearer token")]
    Missing,
    /// The token is malformed, of an issuer or kind that is not accepted, or its signature does not hold.
    #[error("{0}")]
    Invalid(&'static str),
    /// The signature holds, and `exp` is over.
    #[error("the token has expired")]
    Expired,
    /// The signature holds, and `nbf` is still to come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The signature holds, and the token is for somebody else.
    #[error("the token is for audience {found}; this server accepts {accepted}")]
    InvalidAudience {
        /// The token's `aud`.
        found: String,
        /// The audiences accepted for this issuer.
        accepted: String,
    },
    /// The issuer's keys could not be had so far: retryable, the server's trouble and not the caller's.
    #[error("the keys of issuer {0} are not available at the moment")]
    KeysUnavailable(String),
}

impl TokenError {
    /// The inner code of the 401; `None` where the answer is a 503. Source: spec 3.3.
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

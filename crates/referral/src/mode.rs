//! Strict or extended (ADR 0009).

use serde::Deserialize;

/// How much of the API a server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiMode {
    /// Only what the real service is known to offer; the rest is refused.
    #[default]
    Strict,
    /// Everything that is built. What OData has beyond that is 501.
    Extended,
}

impl ApiMode {
    /// Returns whether this is the extended mode.
    pub fn is_extended(self) -> bool {
        self == ApiMode::Extended
    }
}

//! The sandbox's issuer: shaped like Entra, for people and passwords that are known to everybody.
//!
//! Its keys are made at the first start and must never be trusted by a real server. No HTTP here: a path and a
//! form come in, a status and a JSON text go out.

mod audiences;
mod form;
mod issuer;
mod signing;
mod tokens;

pub use audiences::accepted_audiences;
pub use issuer::{Endpoint, IssuerOptions, IssuerRequest, IssuerResponse, SandboxIssuer, SandboxUser};
pub use signing::{SigningKey, SigningKeyError};

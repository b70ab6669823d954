//! The issuer of the sandbox. It resembles Entra, with persons and passwords that are public.
//!
//! Its keys are generated at the first start and must never be trusted by a real server. It knows no HTTP: it takes a
//! path and a form, and returns a status and JSON.

mod audiences;
mod form;
mod issuer;
mod signing;
mod tokens;

pub use audiences::accepted_audiences;
pub use issuer::{Endpoint, IssuerOptions, IssuerRequest, IssuerResponse, SandboxIssuer, SandboxUser};
pub use signing::{SigningKey, SigningKeyError};

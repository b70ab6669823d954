//! What the tests of the resource share: calls as a person, answers, and JSON to send and compare.
//!
//! The server itself, its clock and its people are those of `support`.
#![allow(dead_code, unused_imports, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod json;

pub use json::*;

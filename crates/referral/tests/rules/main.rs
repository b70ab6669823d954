//! The rules of the resource, over its public face: bytes and values in, documents and refusals out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod create;
mod documents;
mod lifecycle;
mod members;
mod patch;
mod program;
mod put;
mod redaction;
mod support;

//! The rules of the resource through its public API: bytes and values in, documents and errors out.

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

//! The rules of the resource, over its public face: bytes and values in, documents and refusals out.

mod create;
mod documents;
mod members;
mod patch;
mod program;
mod put;
mod standing;
mod support;
mod views;

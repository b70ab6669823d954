//! Any bytes as a bearer token, and any claims behind a good head: read or refused, never a panic.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cosell_fuzz::token(bytes));

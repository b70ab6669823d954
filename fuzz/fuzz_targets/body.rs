//! Any bytes as the body of a create, a replace and a merge.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cosell_fuzz::body(bytes));

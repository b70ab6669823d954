//! Any bytes as a JSON Patch.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cosell_fuzz::patch(bytes));

//! Any bytes as a text in a path or a header, and as the pointer of a patch.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cosell_fuzz::path(bytes));

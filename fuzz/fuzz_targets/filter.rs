//! Any bytes as a query string and as a filter: refused at a place within them, or a tree that reads back as itself,
//! binds or not, and evaluates.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cosell_fuzz::filter(bytes));

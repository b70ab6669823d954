//! Any bytes as the query string of a list, in both temperaments, over a real store: refused with a reason, or
//! answered; its continuation reads back as the same question; and no statement is made that SQLite refuses.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cosell_fuzz::list(bytes));

//! Any bytes as a batch, in JSON and in parts, through a whole server over a real store: answered, never with a 500,
//! by the batch or by any request of it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cosell_fuzz::batch(bytes));

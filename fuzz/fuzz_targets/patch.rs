//! Any bytes as a JSON Patch: refused, without effect, or a referral that keeps every rule.

#![no_main]

use cosell_fuzz::{decide, dialects};
use libfuzzer_sys::fuzz_target;
use referral::{EditRequest, PatchRequest, parse_json};

fuzz_target!(|bytes: &[u8]| {
    let Ok(body) = parse_json(bytes, true) else { return };
    for dialect in dialects() {
        if let Ok(patch) = PatchRequest::parse(&body, &dialect) {
            decide(&EditRequest::Patch(patch), &dialect);
        }
    }
});

//! Any bytes as the body of a create, a replace and a merge: refused, or a referral that keeps every rule.

#![no_main]

use cosell_fuzz::{decide, dialects, id, minted, must_hold, party};
use libfuzzer_sys::fuzz_target;
use referral::{CreateRequest, EditRequest, parse_json};

fuzz_target!(|bytes: &[u8]| {
    let Ok(body) = parse_json(bytes, true) else { return };
    for dialect in dialects() {
        if let Ok(request) = CreateRequest::parse(&body, &dialect) {
            let own = request.own_deal(minted(), &party(0), &dialect);
            let sent = request.connected(minted(), &party(1), &party(0), None, &dialect);
            for referral in own.into_iter().chain(sent) {
                must_hold(&referral);
            }
        }
        for request in [EditRequest::put(&body, id(), &dialect), EditRequest::merge(&body, &dialect)] {
            if let Ok(request) = request {
                decide(&request, &dialect);
            }
        }
    }
});

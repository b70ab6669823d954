//! The state machine over PUT and PATCH, and expiry. Spec 7.

use referral::{ClosedSubstatus, LifecycleState, NewSubstatus, Referral, ReferralStatus, ReferralSubstatus};
use serde_json::{Value, json};

use crate::support::*;

const EVERY: [LifecycleState; 8] = [
    LifecycleState::New(NewSubstatus::Pending),
    LifecycleState::New(NewSubstatus::Received),
    LifecycleState::Active,
    LifecycleState::Closed(ClosedSubstatus::Won),
    LifecycleState::Closed(ClosedSubstatus::Lost),
    LifecycleState::Closed(ClosedSubstatus::Declined),
    LifecycleState::Closed(ClosedSubstatus::Expired),
    LifecycleState::Closed(ClosedSubstatus::Error),
];

/// A referral sent to Contoso, in any state, with contacts and an expiry.
fn state(state: LifecycleState) -> Vec<u8> {
    let mut members = vec![
        ("/status", json!(state.status().as_str())),
        ("/substatus", json!(state.substatus().as_str())),
        ("/expirationDateTime", json!("2026-03-16T00:00:00Z")),
        ("/direction", json!("Incoming")),
    ];
    if state.is_new() {
        members.push(("/acceptedDateTime", Value::Null));
    }
    if state.is_closed() {
        members.push(("/closedDateTime", json!("2026-03-02T12:00:00Z")));
    }
    with(&own(&complete()), &members)
}

/// The documented table, written a second time: the legal pairs and transitions.
fn expected(from: LifecycleState, status: Option<&str>, substatus: Option<&str>) -> &'static str {
    let now = (from.status().as_str(), from.substatus().as_str());
    let asked = match (status, substatus) {
        (None, None) => now,
        (None, Some(substatus)) => (now.0, substatus),
        (Some(status), Some(substatus)) => (status, substatus),
        (Some(status), None) if status == now.0 => now,
        (Some("New"), None) => ("New", "Pending"),
        (Some("Active"), None) => ("Active", "Accepted"),
        (Some(status), None) => (status, "None"),
    };
    let legal = match asked.0 {
        "New" => matches!(asked.1, "Pending" | "Received"),
        "Active" => asked.1 == "Accepted",
        "Closed" => matches!(asked.1, "Won" | "Lost" | "Declined" | "Expired" | "Error"),
        _ => false,
    };
    match (now.0, asked.0) {
        _ if !legal => "400",
        _ if asked == now => "unchanged",
        ("New", _) | ("Active", "Closed") => "changed",
        ("Active", "New") => "409 invalidTransition",
        _ => "409 terminalState",
    }
}

#[test]
fn every_standing_meets_every_request() {
    // REF-132 REF-133 REF-134 REF-135 REF-136 REF-137 REF-138 REF-139 REF-140 REF-141 REF-143 REF-144 REF-145 REF-146
    // REF-149 REF-151
    let mut count = 0;
    let statuses: Vec<_> =
        ReferralStatus::ALL.iter().map(|value| Some(value.as_str())).chain([None]).collect();
    let substatuses: Vec<_> =
        ReferralSubstatus::ALL.iter().map(|value| Some(value.as_str())).chain([None]).collect();
    for from in EVERY {
        let document = state(from);
        for &status in &statuses {
            for &substatus in &substatuses {
                let mut body = json!({});
                // The order of the two operations must not matter (T1).
                let mut operations = Vec::new();
                for (name, text) in [("substatus", substatus), ("status", status)] {
                    if let Some(text) = text {
                        body[name] = json!(text);
                        operations
                            .push(json!({ "op": "replace", "path": format!("/{name}"), "value": text }));
                    }
                }
                let expected = expected(from, status, substatus);
                for decided in
                    [put(&document, &body), merge(&document, &body), patch(&document, &json!(operations))]
                {
                    let answer = match decided {
                        Ok(Some(edit)) => {
                            let (before, after) = (from.substatus(), edit.referral.substatus);
                            assert_ne!((from.status(), before), (edit.referral.status, after));
                            "changed".to_owned()
                        }
                        Ok(None) => "unchanged".to_owned(),
                        Err(error) => refusal(&error),
                    };
                    let answer = match answer.strip_prefix("400 invalidStatusSubstatus ") {
                        Some(_) => "400".to_owned(),
                        None => answer,
                    };
                    assert_eq!(answer, expected, "{from} {status:?}/{substatus:?}");
                    count += 1;
                }
            }
        }
    }
    assert_eq!(count, 8 * 5 * 10 * 3);
}

#[test]
fn the_error_of_a_pair_names_the_half_that_was_sent() {
    let document = own(&minimal());
    for (body, target) in [
        (json!({ "substatus": "Won" }), "substatus"),
        (json!({ "status": "Active", "substatus": "Won" }), "substatus"),
        (json!({ "status": "Closed" }), "status"),
        (json!({ "status": "None" }), "status"),
    ] {
        assert_eq!(face(put(&document, &body)), format!("400 invalidStatusSubstatus {target}"));
    }
    assert_eq!(
        face(patch(&document, &replace("/Substatus", "Won"))),
        "400 invalidStatusSubstatus /Substatus"
    );
    let published = &example("error.400.status-substatus-pair.json")["error"];
    let refused = put(&document, &json!({ "substatus": "Won" })).unwrap_err();
    let referral::DecisionError::Rejected(referral::Rejection::Invalid(invalid)) = refused else {
        panic!("{refused}")
    };
    assert_eq!(json!(invalid.message), published["message"]);
    assert_eq!(json!(invalid.detail), published["innerError"]["message"]);
}

#[test]
fn unknown_substatuses_are_refused() {
    // REF-142
    let document = own(&minimal());
    assert_eq!(face(put(&document, &json!({ "substatus": "Engaged" }))), "400 invalidValue substatus");
    assert_eq!(face(patch(&document, &replace("/substatus", "Engaged"))), "400 invalidValue /substatus");
}

#[test]
fn accepting_and_closing_leave_their_times() {
    // REF-147 REF-148
    let new = state(EVERY[0]);
    let accept = example("patch.request.accept.json");
    let accepted = patch(&new, &accept).unwrap().unwrap().referral;
    assert_eq!(accepted.accepted_date_time, Some(later()));
    assert_eq!(accepted.closed_date_time, None);
    assert_eq!(accepted.expiration_date_time, Some(instant("2026-03-16T00:00:00Z")), "kept, without effect");
    let won = patch(&accepted.to_document(), &example("patch.request.close-as-won.json"))
        .unwrap()
        .unwrap()
        .referral;
    assert_eq!(won.accepted_date_time, Some(later()), "set once");
    assert_eq!(won.closed_date_time, Some(won.updated_date_time));
    assert!(won.updated_date_time > accepted.updated_date_time);
    let declined = patch(&new, &example("patch.request.decline.json")).unwrap().unwrap().referral;
    assert_eq!((declined.accepted_date_time, declined.closed_date_time), (None, Some(later())));
    assert_eq!(declined.status_reason.as_deref(), Some("Proposed time line was too short"));
}

#[test]
fn a_closed_referral_takes_only_what_is_free_when_closed() {
    // REF-149 REF-150 REF-151
    for from in EVERY.into_iter().filter(|state| state.is_closed()) {
        let document = state(from);
        for (body, expected) in [
            (json!({ "details": { "dealValue": 7 } }), "409 terminalState"),
            (json!({ "externalReferenceId": "x", "name": "y" }), "409 terminalState"),
            (json!({ "statusReason": "other" }), "409 terminalState"),
            (json!({ "customerProfile": { "team": [] } }), "409 terminalState"),
            (json!({ "externalReferenceId": "x" }), "externalReferenceId"),
            (json!({ "externalReferenceId": null }), "externalReferenceId"),
            (json!({ "favorite": true }), "favorite"),
            (json!({ "details": { "dealValue": "50000.0" } }), "unchanged"),
            (json!({ "status": "Closed" }), "unchanged"),
            (json!({}), "unchanged"),
        ] {
            assert_eq!(face(put(&document, &body)), expected, "{from} {body}");
        }
    }
    let every = [("details/currency", json!("EUR")), ("team", json!([])), ("campaignId", json!("x"))];
    for (path, value) in every {
        assert_eq!(face(put(&state(EVERY[3]), &body_with(path, value))), "409 terminalState", "{path}");
    }
}

#[test]
fn an_expired_referral_loses_its_contacts_whoever_set_it() {
    // REF-154
    for from in [EVERY[0], EVERY[1], EVERY[2]] {
        let document = state(from);
        let after = changed(put(&document, &json!({ "status": "Closed", "substatus": "Expired" })));
        assert_eq!(after["customerProfile"]["team"], json!([]));
        assert_eq!(after["team"], value(&document)["team"], "the owner's people stay");
        let after = changed(put(&document, &json!({ "status": "Closed", "substatus": "Lost" })));
        assert_ne!(after["customerProfile"]["team"], json!([]));
    }
}

#[test]
fn an_unanswered_referral_expires_at_its_instant() {
    // REF-152 REF-153 REF-154
    for from in EVERY {
        let document = state(from);
        let edit = Referral::expire(&document, 4).unwrap();
        let Some(edit) = edit else {
            assert!(!from.is_new(), "{from}");
            continue;
        };
        assert!(from.is_new(), "{from}");
        let after = value(&edit.referral.to_document());
        assert_eq!((&after["status"], &after["substatus"]), (&json!("Closed"), &json!("Expired")));
        for name in ["updatedDateTime", "closedDateTime", "expirationDateTime"] {
            assert_eq!(after[name], "2026-03-16T00:00:00Z", "{name}");
        }
        assert_eq!(after["customerProfile"]["team"], json!([]));
        assert_eq!(after["acceptedDateTime"], Value::Null);
        assert_eq!(after["eTag"], "\"00000005-0000-0000-0000-69b748000000\"");
        let names: Vec<_> = edit.changes.as_object().unwrap().keys().cloned().collect();
        assert_eq!(
            names,
            ["status", "substatus", "closedDateTime", "customerProfile/team"].map(String::from)
        );
    }
    let endless = with(&state(EVERY[0]), &[("/expirationDateTime", Value::Null)]);
    assert_eq!(Referral::expire(&endless, 1).unwrap(), None);
    let late = with(&state(EVERY[0]), &[("/updatedDateTime", json!("2026-03-17T00:00:00Z"))]);
    let after = Referral::expire(&late, 1).unwrap().unwrap().referral;
    assert_eq!(after.updated_date_time, instant("2026-03-17T00:00:00.0000001Z"), "times increase");
    assert!(Referral::expire(b"{}", 1).is_err());
}

#[test]
fn every_new_version_has_a_later_time_and_another_tag() {
    // REF-065 REF-200
    let document = own(&minimal());
    let edit = put(&document, &json!({ "name": "x" })).unwrap().unwrap();
    assert_eq!(edit.referral.updated_date_time, later());
    assert_eq!(edit.referral.etag.to_string(), "\"00000002-0000-0000-0000-69a6b1200000\"");
    assert_eq!(edit.referral.created_date_time, new_ids().now);
    assert_eq!(edit.changes, json!({ "name": [null, "x"] }));
    assert_eq!(put(&document, &json!({ "name": null, "favorite": false })).unwrap(), None);
}

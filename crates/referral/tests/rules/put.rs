//! PUT: U4 to U12, and the members that nobody may change. Spec 5.5, 9.

use referral::{Access, EditRequest, Kind, PublicBase, Referral, RequestOptions, parse_json};
use serde_json::{Value, json};

use crate::support::*;

/// The referral of the PUT page before its request: Active/Accepted.
fn of_the_page() -> Vec<u8> {
    with(
        &stored("put.response.json"),
        &[
            ("/status", json!("Active")),
            ("/substatus", json!("Accepted")),
            ("/statusReason", Value::Null),
            ("/closedDateTime", Value::Null),
            ("/updatedDateTime", json!("2018-11-06T18:41:10.1Z")),
            ("/eTag", json!("\"2500ec59-0000-0000-0000-5be1e0460000\"")),
        ],
    )
}

#[test]
fn the_published_sample_gives_the_published_answer() {
    // REF-065 REF-095 REF-167 REF-168 REF-172 REF-173
    let sample = file("docs/examples/put.request.trailing-comma.txt");
    let body = parse_json(&sample, true).unwrap();
    let document = of_the_page();
    let id = Referral::from_document(&document).unwrap().id;
    let now = instant("2018-11-06T18:43:38.9948636Z");
    let edit = EditRequest::put(body, id, &WIRE).unwrap().decide(&document, 0x2500_ec59, now, &WIRE);
    let referral = edit.unwrap().unwrap().referral;
    let answer = PublicBase::new(HOST, false).entity(&referral.to_document(), id, referral.engagement_id);
    assert_eq!(value(&answer), example("put.response.json"));
    assert!(parse_json(&sample, false).is_err());
}

#[test]
fn the_connector_writes_its_lead_id_and_nothing_else() {
    // REF-170 REF-175
    let body = example("put.request.crm-connector-writes-lead-id.json");
    let edit = put(&of_the_page(), &body).unwrap().unwrap();
    assert_eq!(
        edit.changes,
        json!({ "externalReferenceId": [null, "b8a1c7d2-0000-4000-8000-000000000001"] })
    );
}

#[test]
fn one_call_changes_value_date_and_standing() {
    // REF-060 REF-176
    let body = json!({
        "Status": "Closed", "SubStatus": "Lost", "StatusReason": "price",
        "details": { "DealValue": 75000, "closingDateTime": "2026-12-24" },
    });
    let after = changed(put(&own(&complete()), &body));
    assert_eq!(after["details"]["dealValue"], 75000);
    assert_eq!(after["details"]["closingDateTime"], "2026-12-24T00:00:00Z");
    assert_eq!((&after["status"], &after["substatus"]), (&json!("Closed"), &json!("Lost")));
    assert_eq!(after["details"]["notes"], "Supply chain project.");
}

#[test]
fn links_are_refused_unless_the_switch_passes_them_over() {
    // REF-164
    let document = own(&minimal());
    let ignoring = RequestOptions { ignore_links: true, ..WIRE };
    for body in [json!({ "links": {} }), json!({ "LINKS": null }), json!({ "links": 1, "name": "x" })] {
        assert_eq!(face(put(&document, &body)), "400 readOnlyProperty links", "{body}");
        assert!(put_in(&document, &body, &ignoring).is_ok(), "{body}");
        assert_eq!(face(merge(&document, &body)), "400 readOnlyProperty links", "{body}");
        let merged = EditRequest::merge(&body, &ignoring).unwrap();
        assert!(merged.decide(&document, 1, later(), &ignoring).is_ok(), "{body}");
    }
}

#[test]
fn the_body_id_is_absent_or_the_paths() {
    // REF-165 REF-166
    for (body, expected) in [
        (json!({ "name": "x" }), "name"),
        (json!({ "id": "0d43414c-fb9f-4ca0-9b8d-29deb70364cf" }), "unchanged"),
        (json!({ "ID": "0D43414C-FB9F-4CA0-9B8D-29DEB70364CF", "name": "x" }), "name"),
        (json!({ "id": "0d43414c-fb9f-4ca0-9b8d-29deb70364ce" }), "400 readOnlyProperty id"),
        (
            json!({ "id": "0d43414c-fb9f-4ca0-9b8d-29deb70364cf", "Id": "00000000-fb9f-4ca0-9b8d-29deb70364cf" }),
            "400 readOnlyProperty id",
        ),
        (json!({ "id": null }), "400 readOnlyProperty id"),
        (json!({ "id": 5 }), "400 readOnlyProperty id"),
    ] {
        assert_eq!(face(put(&own(&minimal()), &body)), expected, "{body}");
    }
}

#[test]
fn the_servers_members_are_passed_over_whatever_they_hold() {
    // REF-168 REF-169
    let document = own(&complete());
    let mut count = 0;
    for (path, property) in properties(&Referral::TYPE) {
        if !matches!(property.access, Access::Server | Access::Derived)
            || path == "id"
            || path.starts_with("links")
        {
            continue;
        }
        for sent in [Value::Null, json!("x"), json!("2001-01-01T00:00:00Z"), json!(5), json!([{}]), json!({})]
        {
            let body = body_with(&path, sent);
            let inside_server = path.contains('/')
                && properties(&Referral::TYPE).iter().any(|(outer, row)| {
                    path.starts_with(&format!("{outer}/")) && row.access == Access::Server
                });
            if !inside_server {
                assert_eq!(face(put(&document, &body)), "unchanged", "{body}");
            }
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn what_is_absent_stays_at_every_depth() {
    // REF-087 REF-155 REF-170
    let mut body = example("create.independent-private.request.json");
    body["type"] = json!("Shared");
    let document = own(&body);
    let mut count = 0;
    for (path, property) in properties(&Referral::TYPE) {
        let free = !matches!(property.access, Access::Server | Access::Derived | Access::Fixed);
        let state = matches!(path.as_str(), "status" | "substatus");
        if !free || state || matches!(property.kind, Kind::Object(_)) {
            continue;
        }
        let body = body_with(&path, crate::members::another(property));
        let edit = put(&document, &body).unwrap_or_else(|error| panic!("{body}: {error}"));
        let edit = edit.unwrap_or_else(|| panic!("{body} changes nothing"));
        let names: Vec<_> = edit.changes.as_object().unwrap().keys().collect();
        assert_eq!(names, [&path], "{body}");
        count += 1;
    }
    assert_eq!(count, 47, "rows that a caller may set");
}

#[test]
fn a_list_is_replaced_as_a_whole() {
    // REF-171
    let body = json!({ "team": [{ "firstName": "Ann" }], "customerProfile": { "team": [] } });
    let after = changed(put(&own(&complete()), &body));
    assert_eq!(
        after["team"],
        json!([{
            "firstName": "Ann", "lastName": null, "phoneNumber": null, "email": null, "title": null,
            "contactPreference": { "locale": null, "disableNotifications": null },
        }])
    );
    assert_eq!(after["customerProfile"]["team"], json!([]));
    assert_eq!(after["customerProfile"]["size"], "10to50employees");
}

#[test]
fn the_engagement_and_the_inviter_are_fixed_in_both_profiles() {
    // REF-198 (PUT's half)
    for (body, expected) in [
        (json!({ "engagementId": "37EF26AA-1D15-4533-9F93-A69BD33AB1E5" }), "unchanged"),
        (
            json!({ "engagementId": "00000000-1d15-4533-9f93-a69bd33ab1e5" }),
            "400 readOnlyProperty engagementId",
        ),
        (json!({ "engagementId": null }), "400 readOnlyProperty engagementId"),
        (
            json!({ "inviteContext": { "invitedBy": { "organizationId": "7D23E5CA-19DC-4EAA-AAC8-5E6B559F0D1D" } } }),
            "unchanged",
        ),
        (json!({ "inviteContext": { "invitedBy": { "organizationName": "Other" } } }), "unchanged"),
        (json!({ "inviteContext": { "invitedBy": {} } }), "unchanged"),
        (
            json!({ "inviteContext": { "invitedBy": { "organizationId": "msft" } } }),
            "400 readOnlyProperty inviteContext/invitedBy/organizationId",
        ),
        (
            json!({ "inviteContext": { "invitedBy": { "organizationId": null } } }),
            "400 readOnlyProperty inviteContext/invitedBy/organizationId",
        ),
        (
            json!({ "inviteContext": { "invitedBy": null } }),
            "400 readOnlyProperty inviteContext/invitedBy/organizationId",
        ),
    ] {
        for options in [WIRE, PROGRAM] {
            assert_eq!(face(put_in(&own(&complete()), &body, &options)), expected, "{body}");
        }
    }
    let nobody = stored("get-by-id.response.full.json");
    let body =
        json!({ "inviteContext": { "invitedBy": { "organizationId": null, "organizationName": null } } });
    assert_eq!(face(put(&nobody, &body)), "unchanged");
    let named = with(&nobody, &[("/inviteContext/invitedBy/organizationName", json!("Somebody"))]);
    for document in [nobody, named] {
        assert_eq!(face(put(&document, &json!({ "inviteContext": { "invitedBy": null } }))), "unchanged");
    }
}

#[test]
fn visibility_for_microsoft_is_given_and_never_taken_back() {
    // REF-156 REF-157
    let member = "consent/consentToShareReferralWithMicrosoftSellers";
    let private = own(&example("create.independent-private.request.json"));
    let led = own(&complete());
    for options in [WIRE, PROGRAM] {
        let of = |document: &[u8], to: Value| face(put_in(document, &body_with(member, to), &options));
        let refused = format!("400 invalidValue {member}");
        assert_eq!(of(&led, json!(false)), refused);
        assert_eq!(of(&led, Value::Null), refused);
        assert_eq!(of(&led, json!(true)), "unchanged");
        assert_eq!(of(&private, json!(true)), member);
        let whole =
            replace("/consent", json!({ "consentToToShareInfoWithOthers": true, "consentToContact": true }));
        assert_eq!(face(patch_in(&led, &whole, &options)), "400 invalidValue /consent");
    }
    let closed = with(&private, &[("/status", json!("Closed")), ("/substatus", json!("Won"))]);
    assert_eq!(face(put(&closed, &body_with(member, json!(true)))), "409 terminalState");
}

#[test]
fn the_answer_sent_back_changes_nothing() {
    // REF-177 (the second body), REF-200
    for document in [own(&minimal()), own(&complete()), of_the_page(), stored("get-by-id.response.full.json")]
    {
        let referral = Referral::from_document(&document).unwrap();
        let answer = PublicBase::new(HOST, false).entity(&document, referral.id, referral.engagement_id);
        let mut body = value(&answer);
        body.as_object_mut().unwrap().shift_remove("links");
        for options in [WIRE, PROGRAM, RequestOptions { reject_unknown: true, ..WIRE }] {
            assert_eq!(face(put_in(&document, &body, &options)), "unchanged");
        }
    }
}

#[test]
fn times_increase_even_when_the_clock_does_not() {
    // REF-167
    let document = with(&own(&minimal()), &[("/updatedDateTime", json!("2030-01-01T00:00:00.9999999Z"))]);
    let after = changed(put(&document, &json!({ "status": "Closed", "substatus": "Won" })));
    assert_eq!(after["updatedDateTime"], "2030-01-01T00:00:01Z");
    assert_eq!(after["closedDateTime"], after["updatedDateTime"]);
    assert_eq!(after["eTag"], "\"00000002-0000-0000-0000-70dbd8810000\"");
}

#[test]
fn unknown_members_are_passed_over_or_refused_by_the_switch() {
    // REF-094
    let strict = RequestOptions { reject_unknown: true, ..WIRE };
    let document = own(&minimal());
    for (body, expected) in [
        (json!({ "closeDate": "x" }), "400 invalidValue closeDate"),
        (json!({ "referralType": "Shared" }), "400 invalidValue referralType"),
        (json!({ "team": [{ "emailAddress": "x" }] }), "400 invalidValue team/0/emailAddress"),
        (
            json!({ "consent": { "consentToShareInfoWithOthers": true } }),
            "400 invalidValue consent/consentToShareInfoWithOthers",
        ),
        (json!({ "details": { "a/b": 1 } }), "400 invalidValue details/a/b"),
        (json!({ "@odata.context": 1, "@odata.etag": null }), "unchanged"),
    ] {
        assert_eq!(face(put_in(&document, &body, &strict)), expected);
        let lenient = face(put(&document, &body));
        assert_eq!(lenient, if body.get("team").is_some() { "team" } else { "unchanged" }, "{body}");
        assert_eq!(refusal_of(create(&body, &WIRE)), "400 missingProperty type");
    }
    let mut body = minimal();
    body["colour"] = json!("red");
    assert!(create(&body, &WIRE).is_ok());
    assert_eq!(refusal_of(create(&body, &strict)), "400 invalidValue colour");
}

#[test]
fn no_object_is_no_body() {
    for body in [json!([]), json!(null), json!(5), json!("x"), json!(true)] {
        assert_eq!(face(put(&own(&minimal()), &body)), "400 invalidValue body", "{body}");
        assert_eq!(refusal_of(create(&body, &WIRE)), "400 invalidValue body", "{body}");
        assert_eq!(face(merge(&own(&minimal()), &body)), "400 invalidValue body", "{body}");
    }
}

//! PATCH: P1 to P15, the extended operations, merge patches, and the requests that T18 allows. Spec 10.

use referral::{EditRequest, PatchRequest, Referral, RequestOptions};
use serde_json::{Value, json};

use crate::support::*;

const SELLER: &str = "consentToShareReferralWithMicrosoftSellers";

#[test]
fn the_published_samples_do_what_they_say() {
    // REF-155 REF-182 REF-183 REF-184 REF-185
    let document = own(&complete());
    let jane = json!({
        "firstName": "Jane", "lastName": "Doe", "phoneNumber": "0000000001", "email": "jane.doe@contoso.com", "title": null,
        "contactPreference": { "locale": null, "disableNotifications": null },
    });
    for (sample, expected) in [
        (
            "deal-value-and-notes",
            vec![
                ("/details/notes", json!("Scope confirmed with the customer.")),
                ("/details/dealValue", json!(10000)),
            ],
        ),
        ("close-as-won", vec![("/status", json!("Closed")), ("/substatus", json!("Won"))]),
        ("add-team-member", vec![("/team/1", jane.clone())]),
        ("deal-value-and-team-member", vec![("/details/dealValue", json!(10000)), ("/team/1", jane)]),
        ("crm-id", vec![]),
        (
            "decline",
            vec![
                ("/substatus", json!("Declined")),
                ("/statusReason", json!("Proposed time line was too short")),
            ],
        ),
    ] {
        let decided = patch(&document, &example(&format!("patch.request.{sample}.json")));
        if expected.is_empty() {
            assert_eq!(face(decided), "unchanged", "{sample}");
            continue;
        }
        let after = changed(decided);
        for (pointer, value) in expected {
            assert_eq!(after.pointer(pointer), Some(&value), "{sample} {pointer}");
        }
    }
}

#[test]
fn the_sample_answer_is_the_sample_applied() {
    // REF-182 REF-183 REF-184 (the whole document)
    let answer = stored("patch.response.return-representation.json");
    let before = with(
        &answer,
        &[
            ("/details/dealValue", json!(50000)),
            ("/details/notes", json!("Supply chain project.")),
            ("/updatedDateTime", json!("2019-02-23T02:05:23.2931817Z")),
            ("/team", json!([value(&answer)["team"][0]])),
        ],
    );
    let mut operations = example("patch.request.deal-value-and-notes.json");
    let added = example("patch.request.add-team-member.json");
    operations.as_array_mut().unwrap().extend(added.as_array().unwrap().iter().cloned());
    let request = EditRequest::Patch(PatchRequest::parse(&operations, &WIRE).unwrap());
    let edit = request.decide(&before, 0x6d0f, instant("2019-02-24T10:00:00.5Z"), &WIRE).unwrap().unwrap();
    assert_eq!(value(&edit.referral.to_document()), value(&answer));
}

#[test]
fn what_is_no_patch_is_refused() {
    // REF-186 REF-187 REF-191 REF-193 REF-194 REF-201
    let document = own(&complete());
    let many = vec![json!({ "op": "add", "path": "/name", "value": "x" }); 1001];
    for (body, expected) in [
        (example("patch.request.not-json-patch.json"), "400 invalidPatch body"),
        (json!(null), "400 invalidPatch body"),
        (json!("x"), "400 invalidPatch body"),
        (json!(many), "400 invalidPatch body"),
        (json!([5]), "400 invalidPatch 0"),
        (json!([{ "path": "/name", "value": "x" }]), "400 invalidPatch 0/op"),
        (json!([{ "op": "replace", "value": "x" }]), "400 invalidPatch 0/path"),
        (json!([{ "op": 5, "path": "/name", "value": "x" }]), "400 invalidPatch 0/op"),
        (json!([{ "op": "replace", "path": ["name"], "value": "x" }]), "400 invalidPatch 0/path"),
        (
            json!([{ "op": "add", "path": "/name", "value": 1 }, { "op": "add", "path": "/name" }]),
            "400 invalidValue /name",
        ),
        (json!([{ "op": "replace", "path": "/name" }]), "400 invalidPatch /name"),
        (json!([{ "op": "add", "path": "/name" }]), "400 invalidPatch /name"),
        (example("patch.request.unsupported-remove.json"), "400 unsupportedOperation /details/notes"),
        (json!([{ "op": "test", "path": "/name", "value": null }]), "400 unsupportedOperation /name"),
        (
            json!([{ "op": "move", "from": "/name", "path": "/statusReason" }]),
            "400 unsupportedOperation /statusReason",
        ),
        (
            json!([{ "op": "copy", "from": "/name", "path": "/statusReason" }]),
            "400 unsupportedOperation /statusReason",
        ),
        (json!([{ "op": "Replace", "path": "/name", "value": "x" }]), "400 unsupportedOperation /name"),
        (json!([{ "op": "spam", "path": "/name", "value": "x" }]), "400 unsupportedOperation /name"),
        (replace("/nonsense", 1), "400 invalidPatch /nonsense"),
        (replace("/details/dealvalues", 1), "400 invalidPatch /details/dealvalues"),
        (replace("/name/first", 1), "400 invalidPatch /name/first"),
        (replace("/team/0/emails", 1), "400 invalidPatch /team/0/emails"),
        (replace("name", "x"), "400 invalidPatch name"),
        (replace("", json!({})), "400 invalidPatch "),
        (replace("/", "x"), "400 invalidPatch /"),
        (replace("/name/", "x"), "400 invalidPatch /name/"),
        (replace("/na~2me", "x"), "400 invalidPatch /na~2me"),
        (replace("/name~", "x"), "400 invalidPatch /name~"),
        (replace("/@odata.context", "x"), "400 invalidPatch /@odata.context"),
        (replace("/team/5/title", "x"), "400 invalidPatch /team/5/title"),
        (replace("/team/1", json!({})), "400 invalidPatch /team/1"),
        (replace("/team/00", json!({})), "400 invalidPatch /team/00"),
        (replace("/team/-1", json!({})), "400 invalidPatch /team/-1"),
        (replace("/team/+0", json!({})), "400 invalidPatch /team/+0"),
        (replace("/team/1e0", json!({})), "400 invalidPatch /team/1e0"),
        (replace("/team/18446744073709551616", json!({})), "400 invalidPatch /team/18446744073709551616"),
        (replace("/team/-", json!({})), "400 invalidPatch /team/-"),
        (json!([{ "op": "add", "path": "/team/-/title", "value": "x" }]), "400 invalidPatch /team/-/title"),
        (json!([{ "op": "add", "path": "/team/2", "value": {} }]), "400 invalidPatch /team/2"),
        (json!([{ "op": "add", "path": "/team/-", "value": { "email": "x" } }]), "400 invalidValue /team/-"),
        (json!([{ "op": "add", "path": "/team/-", "value": 5 }]), "400 invalidValue /team/-"),
        (
            json!([{ "op": "add", "path": "/target/-", "value": { "type": "None" } }]),
            "400 missingProperty /target/-",
        ),
        (replace("/details/dealValue", "much"), "400 invalidValue /details/dealValue"),
        (replace("/details", json!({ "currency": 5 })), "400 invalidValue /details"),
        (replace("/customerProfile", json!({})), "400 missingProperty /customerProfile"),
    ] {
        assert_eq!(face(patch(&document, &body)), expected, "{body}");
    }
}

#[test]
fn paths_find_their_members() {
    // REF-195 REF-196 REF-197
    let document = own(&complete());
    for (operation, path, sent, pointer, expected) in [
        ("replace", "/details/dealValue", json!(7), "/details/dealValue", json!(7)),
        ("add", "/details/dealValue", json!(7), "/details/dealValue", json!(7)),
        ("replace", "/Details/DEALVALUE", json!("7.50"), "/details/dealValue", json!(7.5)),
        ("replace", "/campaignId", json!("x"), "/campaignId", json!("x")),
        ("replace", "/details/notes", Value::Null, "/details/notes", Value::Null),
        ("add", "/team/0", json!({ "firstName": "A" }), "/team/0/firstName", json!("A")),
        ("add", "/team/1", json!({ "firstName": "B" }), "/team/1/firstName", json!("B")),
        ("replace", "/team/0", json!({ "FirstName": "C" }), "/team/0/firstName", json!("C")),
        ("replace", "/team/0/Title", json!("D"), "/team/0/title", json!("D")),
        (
            "replace",
            "/team/0/contactPreference/locale",
            json!("pl-PL"),
            "/team/0/contactPreference/locale",
            json!("pl-PL"),
        ),
        ("replace", "/team", Value::Null, "/team", json!([])),
        ("replace", "/customerProfile/ids", json!({ "Duns": "1" }), "/customerProfile/ids/0/id", json!("1")),
        (
            "add",
            "/details/requirements/products/-",
            json!({ "id": "Azure" }),
            "/details/requirements/products/1/id",
            json!("Azure"),
        ),
        ("replace", "/favorite", json!(true), "/favorite", json!(true)),
        ("replace", "/ta~72get", json!([]), "", Value::Null),
    ] {
        let operations = json!([{ "op": operation, "path": path, "value": sent }]);
        let decided = patch(&document, &operations);
        if pointer.is_empty() {
            assert_eq!(face(decided), format!("400 invalidPatch {path}"));
            continue;
        }
        let after = changed(decided);
        assert_eq!(after.pointer(pointer), Some(&expected), "{operations}");
    }
}

#[test]
fn other_members_of_an_operation_are_passed_over() {
    let operations = json!([{ "op": "replace", "path": "/name", "value": "x", "from": 5, "comment": [] }]);
    assert_eq!(face(patch(&own(&minimal()), &operations)), "name");
    let strict = RequestOptions { reject_unknown: true, ..WIRE };
    assert_eq!(face(patch_in(&own(&minimal()), &operations, &strict)), "name");
    let unknown = json!([{ "op": "add", "path": "/team/-", "value": { "mail": "x" } }]);
    assert_eq!(face(patch_in(&own(&minimal()), &unknown, &strict)), "400 invalidValue /team/-");
    assert_eq!(face(patch(&own(&minimal()), &unknown)), "team");
}

#[test]
fn all_operations_apply_or_none() {
    // REF-188
    let document = own(&minimal());
    let operations = json!([
        { "op": "replace", "path": "/name", "value": "x" },
        { "op": "replace", "path": "/team/3/title", "value": "y" },
    ]);
    assert_eq!(face(patch(&document, &operations)), "400 invalidPatch /team/3/title");
}

#[test]
fn a_patch_without_effect_changes_nothing() {
    // REF-199 REF-200
    let document = own(&complete());
    for operations in [
        json!([]),
        replace("/details/dealValue", "50000.00"),
        replace("/details/closingDateTime", "2026-11-14T02:00:00+02:00"),
        replace("/status", "ACTIVE"),
        json!([
            { "op": "replace", "path": "/name", "value": "x" },
            { "op": "replace", "path": "/name", "value": value(&document)["name"] },
        ]),
        replace("/customerProfile", value(&document)["customerProfile"].clone()),
        replace("/inviteContext", json!({ "invitedMpnId": "1234567" })),
    ] {
        assert_eq!(face(patch(&document, &operations)), "unchanged", "{operations}");
    }
}

#[test]
fn another_value_for_a_protected_member_is_refused_and_the_equal_one_has_no_effect() {
    // REF-198
    let document = with(
        &own(&complete()),
        &[
            ("/referralSource", json!("AppSource")),
            ("/expirationDateTime", json!("2026-03-16T00:00:00Z")),
            ("/tags", json!(["a"])),
            ("/registrationStatus", json!("Approved")),
            (
                "/registrations",
                json!([{ "id": "1", "status": "Approved", "contract": { "value": 5.50 }, "solutionDetails": [{ "name": "n" }] }]),
            ),
            ("/trackingInfo/microsoftMsxId", json!("7-ABC")),
        ],
    );
    let json = value(&document);
    let mut count = 0;
    for (path, property) in properties(&Referral::TYPE) {
        use referral::Access::{Fixed, Server};
        let fixed = path == "inviteContext/invitedBy" || path == "inviteContext/invitedBy/organizationId";
        if !(property.access == Server || property.access == Fixed) || path.starts_with("links") {
            continue;
        }
        let pointer = format!("/{path}");
        let stored = json.pointer(&pointer).unwrap().clone();
        assert_eq!(face(patch(&document, &replace(&pointer, stored))), "unchanged", "{path}");
        let others = [
            json!("2001-01-01T00:00:00Z"),
            json!([{ "id": "2" }]),
            json!("00000000-0000-4000-8000-000000000000"),
            json!(5),
        ];
        for other in others {
            let answer = face(patch(&document, &replace(&pointer, other)));
            let rules = if fixed || path == "engagementId" {
                ["readOnlyProperty", "invalidValue"]
            } else {
                ["readOnlyProperty"; 2]
            };
            assert!(rules.iter().any(|rule| answer == format!("400 {rule} {pointer}")), "{path}: {answer}");
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
    for (path, other) in [
        ("/id", json!("00000000-0000-4000-8000-000000000000")),
        ("/createdDateTime", json!("2001-01-01T00:00:00Z")),
        ("/updatedDateTime", json!("2001-01-01T00:00:00Z")),
        ("/eTag", json!("\"2500ec5a-0000-0000-0000-5bf4967d0000\"")),
        ("/eTag", Value::Null),
        ("/organizationId", json!("msft")),
        ("/organizationName", json!("Other")),
        ("/engagementId", json!("00000000-0000-4000-8000-000000000000")),
        ("/engagementId", Value::Null),
        ("/inviteContext/invitedBy", json!({ "organizationId": "msft" })),
        ("/inviteContext/invitedBy", Value::Null),
        ("/inviteContext/invitedBy/organizationId", Value::Null),
        ("/inviteContext", json!({ "invitedBy": { "organizationId": "msft" } })),
        ("/customerProfile/isMatchingComplete", json!(true)),
        ("/customerProfile", json!({ "name": "n", "isMatchingComplete": true })),
        ("/details/requirements/offers", json!([1])),
        ("/tags", json!(["a", "b"])),
        ("/registrations/0/contract/value", json!(6)),
        ("/links", json!({ "self": {} })),
        ("/expirationDateTime", Value::Null),
    ] {
        let operations = replace(path, other);
        assert_eq!(
            face(patch(&document, &operations)),
            format!("400 readOnlyProperty {path}"),
            "{operations}"
        );
    }
    for (path, equal) in [
        ("/id", json!("0D43414C-FB9F-4CA0-9B8D-29DEB70364CF")),
        ("/createdDateTime", json!("2026-03-02T10:15:00.1234567+01:00")),
        (
            "/inviteContext/invitedBy",
            json!({ "organizationId": "7D23E5CA-19DC-4EAA-AAC8-5E6B559F0D1D", "organizationName": "?" }),
        ),
        ("/inviteContext/invitedBy/organizationName", json!("?")),
        ("/inviteContext/invitedBy", json!({})),
        ("/registrations/0/contract/value", json!("5.5")),
        ("/details/requirements", json["details"]["requirements"].clone()),
    ] {
        assert_eq!(face(patch(&document, &replace(path, equal))), "unchanged", "{path}");
    }
    let register = example("patch.request.register-deal.json");
    assert_eq!(face(patch(&document, &register)), "400 readOnlyProperty /registrations/-");
    let edit = example("patch.request.update-deal-registration.json");
    assert_eq!(face(patch(&document, &edit)), "400 readOnlyProperty /registrations/0/contract/value");
}

#[test]
fn an_object_replaced_as_a_whole_keeps_the_servers_members_and_loses_the_callers() {
    // REF-077
    let document = with(&own(&complete()), &[("/customerProfile/isMatchingComplete", json!(true))]);
    let after = changed(patch(&document, &replace("/customerProfile", json!({ "name": "Other" }))));
    assert_eq!(after["customerProfile"]["isMatchingComplete"], true);
    assert_eq!(after["customerProfile"]["size"], Value::Null);
    assert_eq!(after["customerProfile"]["address"]["city"], Value::Null);
    assert_eq!(after["customerProfile"]["team"], json!([]));
    let consent = changed(patch(&document, &replace("/consent", json!({ SELLER: true }))));
    assert_eq!(consent["consent"]["consentToContact"], false);
    let merged = changed(merge(&document, &json!({ "consent": { "consentToContact": false } })));
    assert_eq!(merged["consent"]["consentToToShareInfoWithOthers"], true);
}

#[test]
fn what_the_server_knows_of_a_contact_stays_with_the_contact() {
    let mut known = value(&own(&complete()));
    known["customerProfile"]["team"] = json!([
        { "firstName": "Sue", "email": "sue@x.example", "emailValidationStatus": "Valid" },
        { "firstName": "Joe", "email": "joe@x.example" },
    ]);
    let document = Referral::from_document(&serde_json::to_vec(&known).unwrap()).unwrap().to_document();
    let team = |decided| changed(decided)["customerProfile"]["team"].clone();
    // The caller cannot write it, in whatever form it is sent.
    for sent in [json!("Spam"), json!(5), json!({})] {
        for path in
            ["/customerProfile/team/0/emailValidationStatus", "/customerProfile/team/1/emailValidationStatus"]
        {
            let answer = face(patch(&document, &replace(path, sent.clone())));
            assert_eq!(answer, format!("400 readOnlyProperty {path}"));
        }
    }
    assert_eq!(
        face(patch(&document, &replace("/customerProfile/team/0/emailValidationStatus", "Valid"))),
        "unchanged"
    );
    assert_eq!(
        face(patch(&document, &replace("/customerProfile/team/1/phoneValidationStatus", Value::Null))),
        "unchanged"
    );
    let sent =
        json!([{ "email": "JOE@x.example", "emailValidationStatus": "Valid" }, { "email": "Sue@x.example" }]);
    for decided in [
        put(&document, &json!({ "customerProfile": { "team": sent } })),
        patch(&document, &replace("/customerProfile/team", sent.clone())),
    ] {
        let team = team(decided);
        assert_eq!(
            (team[0].get("emailValidationStatus"), &team[1]["emailValidationStatus"]),
            (None, &json!("Valid"))
        );
    }
    let added = json!([{ "op": "add", "path": "/team/-", "value": { "email": "x@y", "emailValidationStatus": "Valid" } }]);
    let added = changed(patch(&document, &added));
    assert_eq!(
        (&added["team"][1]["email"], added["team"][1].get("emailValidationStatus")),
        (&json!("x@y"), None)
    );
    let renamed = team(patch(&document, &replace("/customerProfile/team/0/email", "new@x.example")));
    assert_eq!(renamed[0].get("emailValidationStatus"), None, "another address has not been checked");
}

#[test]
fn people_who_share_an_address_or_have_none_are_told_apart_by_their_place() {
    let mut known = value(&own(&complete()));
    known["customerProfile"]["team"] = json!([
        { "firstName": "A", "email": "desk@x.example" },
        { "firstName": "B", "email": "desk@x.example", "emailValidationStatus": "Valid" },
        { "firstName": "C", "phoneValidationStatus": "Invalid" },
    ]);
    let document = Referral::from_document(&serde_json::to_vec(&known).unwrap()).unwrap().to_document();
    let team = value(&document)["customerProfile"]["team"].clone();
    assert_eq!(face(put(&document, &json!({ "customerProfile": { "team": team } }))), "unchanged");
    assert_eq!(face(put(&document, &json!({ "name": "x" }))), "name");
}

#[test]
fn a_merge_patch_is_laid_over_and_null_clears() {
    let document = own(&complete());
    let body = json!({
        "details": { "notes": null, "dealValue": "7" }, "team": null, "customerProfile": { "address": { "city": "Gdynia" } },
        "colour": "red", "createdDateTime": "2026-03-02T09:15:00.1234567Z",
    });
    let edit = merge(&document, &body).unwrap().unwrap();
    let names: Vec<_> = edit.changes.as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        names,
        ["customerProfile/address/city", "details/notes", "details/dealValue", "team"].map(String::from)
    );
    assert_eq!(face(merge(&document, &json!({ "id": "msft" }))), "400 readOnlyProperty id");
    assert_eq!(face(merge(&document, &json!({ "eTag": "x" }))), "400 readOnlyProperty eTag");
    assert_eq!(
        face(merge(&document, &json!({ "customerProfile": null }))),
        "400 invalidValue customerProfile"
    );
}

#[test]
fn the_extended_operations_keep_every_rule() {
    let mut body = complete();
    body["customerProfile"]["ids"] =
        json!([{ "profileType": "Duns", "id": "1" }, { "profileType": "External", "id": "2" }]);
    let document = own(&body);
    for (operations, expected) in [
        (json!([{ "op": "remove", "path": "/details/notes" }]), "details/notes"),
        (json!([{ "op": "remove", "path": "/team/0" }]), "team"),
        (json!([{ "op": "remove", "path": "/team" }]), "team"),
        (json!([{ "op": "remove", "path": "/favorite" }]), "unchanged"),
        (json!([{ "op": "remove", "path": "/team/7" }]), "400 invalidPatch /team/7"),
        (json!([{ "op": "remove", "path": "/team/-" }]), "400 invalidPatch /team/-"),
        (json!([{ "op": "remove", "path": "/type" }]), "400 missingProperty /type"),
        (json!([{ "op": "remove", "path": "/customerProfile" }]), "400 missingProperty /customerProfile"),
        (
            json!([{ "op": "remove", "path": "/customerProfile/name" }]),
            "400 missingProperty /customerProfile/name",
        ),
        (json!([{ "op": "remove", "path": "/status" }]), "400 missingProperty /status"),
        (json!([{ "op": "remove", "path": "/qualification" }]), "400 missingProperty /qualification"),
        (json!([{ "op": "remove", "path": "/id" }]), "400 readOnlyProperty /id"),
        (json!([{ "op": "remove", "path": "/engagementId" }]), "400 readOnlyProperty /engagementId"),
        (
            json!([{ "op": "remove", "path": "/inviteContext/invitedBy" }]),
            "400 readOnlyProperty /inviteContext/invitedBy",
        ),
        (
            json!([{ "op": "remove", "path": format!("/consent/{SELLER}") }]),
            "400 invalidValue /consent/consentToShareReferralWithMicrosoftSellers",
        ),
        (json!([{ "op": "remove", "path": "/consent" }]), "400 missingProperty /consent"),
        (
            json!([{ "op": "remove", "path": "/details/requirements" }]),
            "details/requirements/industries details/requirements/products details/requirements/services details/requirements/solutions",
        ),
        (json!([{ "op": "test", "path": "/details/dealValue", "value": "50000.0" }]), "unchanged"),
        (json!([{ "op": "test", "path": "/Details/currency", "value": "usd" }]), "unchanged"),
        (json!([{ "op": "test", "path": "/name", "value": "other" }]), "400 invalidPatch /name"),
        (json!([{ "op": "test", "path": "/type", "value": "nonsense" }]), "400 invalidPatch /type"),
        (json!([{ "op": "test", "path": "/name" }]), "400 invalidPatch /name"),
        (
            json!([{ "op": "test", "path": "/status", "value": "active" }, { "op": "replace", "path": "/name", "value": "x" }]),
            "name",
        ),
        (json!([{ "op": "copy", "from": "/name", "path": "/statusReason" }]), "statusReason"),
        (json!([{ "op": "move", "from": "/name", "path": "/statusReason" }]), "name statusReason"),
        (
            json!([{ "op": "move", "from": "/team/0", "path": "/customerProfile/team/-" }]),
            "customerProfile/team team",
        ),
        (
            json!([{ "op": "move", "from": "/customerProfile/ids/1", "path": "/customerProfile/ids/0" }]),
            "customerProfile/ids",
        ),
        (json!([{ "op": "copy", "from": "/customerProfile/team", "path": "/team" }]), "team"),
        (
            json!([{ "op": "copy", "from": "/name", "path": "/details/currency" }]),
            "400 invalidValue /details/currency",
        ),
        (json!([{ "op": "copy", "from": "/name", "path": "/id" }]), "400 readOnlyProperty /id"),
        (
            json!([{ "op": "copy", "from": "/organizationId", "path": "/engagementId" }]),
            "400 readOnlyProperty /engagementId",
        ),
        (
            json!([{ "op": "copy", "from": "/name", "path": "/inviteContext/invitedBy/organizationName" }]),
            "unchanged",
        ),
        (json!([{ "op": "move", "from": "/eTag", "path": "/name" }]), "400 readOnlyProperty /eTag"),
        (json!([{ "op": "move", "from": "/type", "path": "/name" }]), "400 missingProperty /type"),
        (json!([{ "op": "copy", "path": "/name" }]), "400 invalidPatch 0/from"),
        (json!([{ "op": "copy", "from": "/nonsense", "path": "/name" }]), "400 invalidPatch /nonsense"),
        (json!([{ "op": "copy", "from": "/team", "path": "/name" }]), "400 invalidPatch /name"),
        (json!([{ "op": "copy", "from": "/name", "path": "/team/-" }]), "400 invalidPatch /team/-"),
        (
            json!([{ "op": "copy", "from": "/details/requirements/products", "path": "/team" }]),
            "400 invalidPatch /team",
        ),
        (json!([{ "op": "move", "from": "/team", "path": "/team/0" }]), "400 invalidPatch /team/0"),
        (json!([{ "op": "spam", "path": "/name" }]), "400 unsupportedOperation /name"),
    ] {
        assert_eq!(face(patch_in(&document, &operations, &EXTENDED)), expected, "{operations}");
    }
}

#[test]
fn a_patch_cannot_make_a_document_grow_by_multiples() {
    let document = own(&complete());
    let double = json!({ "op": "copy", "from": "/team", "path": "/team/0/contactPreference" });
    let operations = Value::Array(vec![double; 900]);
    assert_eq!(
        face(patch_in(&document, &operations, &EXTENDED)),
        "400 invalidPatch /team/0/contactPreference"
    );
    let append = json!({ "op": "copy", "from": "/team/0", "path": "/team/-" });
    let after = changed(patch_in(&document, &Value::Array(vec![append; 900]), &EXTENDED));
    assert_eq!(after["team"].as_array().unwrap().len(), 901);
}

#[test]
fn a_withdrawal_touches_the_standing_alone_and_ends_declined() {
    let decline = || {
        vec![
            json!({ "op": "replace", "path": "/Status", "value": "closed" }),
            json!({ "op": "replace", "path": "/substatus", "value": "declined" }),
        ]
    };
    let and = |operation: Value| {
        let mut operations = decline();
        operations.push(operation);
        json!(operations)
    };
    for (operations, expected) in [
        (json!([]), false),
        (json!(decline()), true),
        (example("patch.request.decline.json"), true),
        (example("patch.request.close-as-won.json"), false),
        (json!(decline()[..1]), false),
        (json!(decline()[1..]), false),
        (and(json!({ "op": "add", "path": "/StatusReason", "value": "x" })), true),
        (and(json!({ "op": "replace", "path": "/substatus", "value": "Won" })), false),
        (and(json!({ "op": "replace", "path": "/name", "value": "x" })), false),
        (and(json!({ "op": "add", "path": "/team/-", "value": {} })), false),
        (and(json!({ "op": "copy", "from": "/externalReferenceId", "path": "/statusReason" })), false),
        (and(json!({ "op": "move", "from": "/name", "path": "/statusReason" })), false),
        (and(json!({ "op": "test", "path": "/campaignId", "value": "x" })), false),
        (and(json!({ "op": "remove", "path": "/statusReason" })), true),
    ] {
        let request = EditRequest::Patch(PatchRequest::parse(&operations, &EXTENDED).unwrap());
        assert_eq!(request.is_withdrawal(), expected, "{operations}");
    }
    let declined = json!({ "status": "Closed", "SUBSTATUS": "Declined" });
    assert!(EditRequest::merge(&declined, &WIRE).unwrap().is_withdrawal());
    let named = json!({ "status": "Closed", "substatus": "Declined", "name": null });
    assert!(!EditRequest::merge(&named, &WIRE).unwrap().is_withdrawal());
    assert!(
        !EditRequest::put(&declined, new_ids().id, &WIRE).unwrap().is_withdrawal(),
        "a withdrawal is a PATCH"
    );
}

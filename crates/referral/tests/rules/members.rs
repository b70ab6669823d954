//! Every row of the property table: null, limits, enumerations and value lists. Spec 5, 6, 8.5, U8.

use std::collections::BTreeMap;

use referral::{
    Access, AssistanceRequestCode, CustomerProfileIdType, Kind, ObjectType, PropertyDefinition, Referral,
    ReferralDirection, ReferralQualification, ReferralStatus, ReferralSubstatus, ReferralType,
    RegistrationStatus, SolutionType, TargetType,
};
use serde_json::{Map, Value, json};

use crate::support::*;

/// Returns a value of the kind that no new referral has.
pub fn another(property: &PropertyDefinition) -> Value {
    filled(property.name, &property.kind)
}

fn filled(name: &str, kind: &Kind) -> Value {
    match kind {
        Kind::Text(_) | Kind::NonEmpty(_) => json!(format!("another {name} — ü 你好 🎉")),
        Kind::Guid => json!("0e43414c-fb9f-4ca0-9b8d-29deb70364cf"),
        Kind::Organization => json!("msft"),
        Kind::ETag => json!("\"2500ec5a-0000-0000-0000-5bf4967d0000\""),
        Kind::DateTime => json!("9999-12-31T23:59:59.9999999Z"),
        Kind::Amount => json!("12345678901234567890123.4567"),
        // The samples have two of the consents.
        Kind::Boolean | Kind::Flag => {
            json!(!["consentToToShareInfoWithOthers", "consentToContact"].contains(&name))
        }
        Kind::Enumeration(list) if list.name == "ReferralType" => json!(list.spellings[0]),
        Kind::Enumeration(list) => json!(list.spellings[2.min(list.spellings.len() - 1)]),
        Kind::Email => json!("another@contoso.example"),
        Kind::Phone => json!("+48 (22) 594-10-00"),
        Kind::Country => json!("PL"),
        Kind::Currency => json!("PLN"),
        Kind::Digits => json!("7654321"),
        Kind::SalesStage => json!("42.5"),
        Kind::Object(of) => element(of, None),
        Kind::List(of) | Kind::ProfileIds(of) => json!([element(of, None)]),
        Kind::Texts | Kind::Unknown => json!([]),
    }
}

/// Returns an object of the type with all members set. `null` names a member that is null in it.
fn element(of: &ObjectType, null: Option<&str>) -> Value {
    let members = of.properties.iter().map(|property| {
        let value = if null == Some(property.name) { Value::Null } else { another(property) };
        (property.name.to_owned(), value)
    });
    Value::Object(members.collect::<Map<_, _>>())
}

/// Returns the value that null stands for in an update (U8); `None` if null is refused.
fn cleared(property: &PropertyDefinition) -> Option<Value> {
    match property.kind {
        _ if property.nullable => Some(Value::Null),
        Kind::Flag => Some(json!(false)),
        Kind::List(_) | Kind::ProfileIds(_) | Kind::Texts => Some(json!([])),
        _ => None,
    }
}

fn is_callers(property: &PropertyDefinition) -> bool {
    !matches!(property.access, Access::Server | Access::Derived | Access::Fixed)
}

/// A referral in which every member of the caller has a value, not shared with Microsoft.
fn full() -> Vec<u8> {
    let mut body = minimal();
    for (path, property) in properties(&Referral::TYPE) {
        if is_callers(property) && !path.contains('/') && !matches!(path.as_str(), "status" | "substatus") {
            body[property.name] = another(property);
        }
    }
    body["consent"] = json!({ "consentToToShareInfoWithOthers": true, "consentToContact": true, "consentToMicrosoftToContactSpecificPartners": true });
    own(&body)
}

#[test]
fn null_clears_what_can_be_cleared_and_is_refused_elsewhere() {
    // REF-195 (PUT, merge and PATCH alike)
    let document = full();
    let before = value(&document);
    let mut counts = [0, 0];
    for (path, property) in properties(&Referral::TYPE) {
        if !is_callers(property) {
            continue;
        }
        let pointer = format!("/{path}");
        let body = body_with(&path, Value::Null);
        let tries = [
            put(&document, &body),
            merge(&document, &body),
            patch(&document, &replace(&pointer, Value::Null)),
        ];
        for (attempt, decided) in tries.into_iter().enumerate() {
            match cleared(property) {
                Some(expected) => {
                    let after = match decided.unwrap_or_else(|error| panic!("{path}: {error}")) {
                        Some(edit) => value(&edit.referral.to_document()),
                        None => before.clone(),
                    };
                    // Two members are omitted when they are null.
                    assert_eq!(after.pointer(&pointer).unwrap_or(&Value::Null), &expected, "{path}");
                    counts[0] += 1;
                }
                None => {
                    let target = if attempt == 2 { &pointer } else { &path };
                    assert_eq!(face(decided), format!("400 invalidValue {target}"));
                    counts[1] += 1;
                }
            }
        }
    }
    assert_eq!(counts, [41 * 3, 16 * 3], "rows that null clears, rows that refuse it");
}

#[test]
fn null_in_a_list_element_is_as_everywhere() {
    let document = full();
    for (path, list) in properties(&Referral::TYPE) {
        let (true, Kind::List(of) | Kind::ProfileIds(of)) = (is_callers(list), list.kind) else { continue };
        for property in of.properties {
            let body = body_with(&path, json!([element(of, Some(property.name))]));
            let decided = put(&document, &body);
            if !is_callers(property) || cleared(property).is_some() {
                assert!(decided.is_ok(), "{path}/0/{}: {decided:?}", property.name);
            } else {
                assert_eq!(face(decided), format!("400 invalidValue {path}/0/{}", property.name));
            }
        }
    }
}

#[test]
fn null_in_a_new_referral_is_absence() {
    for (path, property) in properties(&Referral::TYPE) {
        let (outer, member) =
            path.rsplit_once('/').map_or(("", path.as_str()), |(outer, name)| (outer, name));
        let mut body = json!({
            "type": "Shared", "customerProfile": { "name": "n", "address": {} }, "consent": {}, "inviteContext": { "invitedBy": {} },
            "trackingInfo": {}, "links": { "self": {}, "relatedReferrals": {} },
            "details": { "requirements": { "additionalRequirements": { "iot": {} } } },
        });
        let place = |body: &mut Value, value: Option<Value>| {
            let pointer = if outer.is_empty() { String::new() } else { format!("/{outer}") };
            let members = body.pointer_mut(&pointer).unwrap().as_object_mut().unwrap();
            match value {
                Some(value) => drop(members.insert(member.to_owned(), value)),
                None => drop(members.shift_remove(member)),
            }
        };
        place(&mut body, Some(Value::Null));
        let with_null = create(&body, &WIRE).map_err(|error| refusal(&error));
        place(&mut body, None);
        let without = create(&body, &WIRE).map_err(|error| refusal(&error));
        assert_eq!(with_null, without, "{path}");
        assert_eq!(without.is_err(), property.required, "{path}");
    }
}

#[test]
fn every_member_of_the_callers_round_trips() {
    // REF-086 REF-097 REF-131
    let after = value(&full());
    for (path, property) in properties(&Referral::TYPE) {
        let simple =
            !matches!(property.kind, Kind::Object(_) | Kind::List(_) | Kind::ProfileIds(_) | Kind::Amount);
        if is_callers(property) && simple && !path.starts_with("consent/") && !path.ends_with("tatus") {
            assert_eq!(after.pointer(&format!("/{path}")), Some(&another(property)), "{path}");
        }
    }
    assert_eq!(
        after["details"]["requirements"]["additionalRequirements"]["attributes"],
        json!([{ "type": "another type — ü 你好 🎉", "id": "another id — ü 你好 🎉" }])
    );
    assert_eq!(after["details"]["dealValue"].to_string(), "12345678901234567890123.4567");
    assert_eq!(after["team"][0]["title"], "another title — ü 你好 🎉");
}

#[test]
fn texts_are_held_to_their_length_in_characters() {
    let limits = BTreeMap::from([
        ("name", 256),
        ("externalReferenceId", 256),
        ("statusReason", 1024),
        ("details/notes", 10_000),
        ("inviteContext/notes", 10_000),
        ("customerProfile/name", 1024),
    ]);
    let document = own(&minimal());
    let mut count = 0;
    for (path, property) in properties(&Referral::TYPE) {
        let (true, Kind::Text(max) | Kind::NonEmpty(max)) = (is_callers(property), property.kind) else {
            continue;
        };
        assert_eq!(max, limits.get(path.as_str()).copied().unwrap_or(1024), "{path}");
        let of = |length: usize| face(put(&document, &body_with(&path, json!("ü".repeat(length)))));
        assert_eq!(of(max), path);
        assert_eq!(of(max + 1), format!("400 invalidValue {path}"));
        count += 1;
    }
    assert_eq!(count, 21, "texts that a caller may set");
    let phone =
        |length: usize| face(put(&document, &json!({ "team": [{ "phoneNumber": "1".repeat(length) }] })));
    assert_eq!((phone(64), phone(65)), ("team".into(), "400 invalidValue team/0/phoneNumber".into()));
    let tag = |length: usize| {
        let body = json!({ "details": { "requirements": { "products": [{ "id": "x".repeat(length) }] } } });
        face(put(&document, &body))
    };
    assert_eq!(tag(256), "details/requirements/products");
    assert_eq!(tag(257), "400 invalidValue details/requirements/products/0/id");
    assert_eq!(tag(0), "400 invalidValue details/requirements/products/0/id");
}

#[test]
fn a_value_of_the_wrong_type_is_refused_and_its_place_named() {
    // REF-117
    let document = own(&minimal());
    let mut count = 0;
    for (path, property) in properties(&Referral::TYPE) {
        if !is_callers(property) {
            continue;
        }
        for wrong in [json!(true), json!(5), json!([5]), json!({ "x": 1 }), json!("\u{0}")] {
            let fits = matches!(
                (&property.kind, &wrong),
                (Kind::Boolean | Kind::Flag, Value::Bool(_))
                    | (Kind::Amount | Kind::SalesStage, Value::Number(_))
                    | (Kind::Object(_), Value::Object(_))
            );
            if fits {
                continue;
            }
            let answer = face(put(&document, &body_with(&path, wrong.clone())));
            assert!(answer.starts_with(&format!("400 invalidValue {path}")), "{path} {wrong}: {answer}");
            let operations = replace(&format!("/{path}"), wrong);
            assert_eq!(face(patch(&document, &operations)), format!("400 invalidValue /{path}"));
            count += 1;
        }
    }
    assert!(count > 200, "{count}");
}

#[test]
fn the_closed_lists_are_the_published_ones() {
    let published = example("values.enums.json");
    for list in [
        &ReferralStatus::TABLE,
        &ReferralSubstatus::TABLE,
        &ReferralType::TABLE,
        &ReferralQualification::TABLE,
        &ReferralDirection::TABLE,
        &SolutionType::TABLE,
        &TargetType::TABLE,
        &CustomerProfileIdType::TABLE,
        &AssistanceRequestCode::TABLE,
    ] {
        assert_eq!(published[list.name], json!(list.spellings), "{}", list.name);
    }
    let states = ["None", "ReviewPending", "ActionRequired", "Approved", "Passed", "Failed", "Closed"];
    assert_eq!(RegistrationStatus::TABLE.spellings, states);
    let codes: Vec<_> = example("values.assistance-request-codes.json")
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["code"].clone())
        .collect();
    assert!(codes.iter().all(|code| AssistanceRequestCode::TABLE.spelling(code.as_str().unwrap()).is_some()));
}

#[test]
fn every_value_of_a_closed_list_matches_in_any_case_and_reads_back_as_documented() {
    // REF-116 REF-118
    for (path, list) in [
        ("/qualification", &ReferralQualification::TABLE),
        ("/type", &ReferralType::TABLE),
        ("/target/0/type", &TargetType::TABLE),
        ("/customerProfile/ids/0/profileType", &CustomerProfileIdType::TABLE),
        ("/details/requirements/solutions/0/type", &SolutionType::TABLE),
        ("/inviteContext/assistanceRequestCode", &AssistanceRequestCode::TABLE),
    ] {
        for spelling in list.spellings {
            for sent in [spelling.to_string(), spelling.to_uppercase(), spelling.to_lowercase()] {
                let mut body = json!({
                    "type": "Shared", "qualification": "None", "consent": {}, "target": [{ "type": "None", "id": "1" }],
                    "customerProfile": { "name": "n", "ids": [{ "profileType": "Duns", "id": "1" }] },
                    "details": { "requirements": { "solutions": [{ "type": "Name", "id": "1" }] } },
                    "inviteContext": { "assistanceRequestCode": "Unknown" },
                });
                *body.pointer_mut(path).unwrap() = json!(sent);
                let document = value(&own(&body));
                assert_eq!(document.pointer(path).unwrap(), spelling, "{path} {sent}");
            }
        }
        let mut body = json!({
            "type": "Shared", "qualification": "None", "consent": {}, "target": [{ "type": "None", "id": "1" }],
            "customerProfile": { "name": "n", "ids": [{ "profileType": "Duns", "id": "1" }] },
            "details": { "requirements": { "solutions": [{ "type": "Name", "id": "1" }] } },
            "inviteContext": { "assistanceRequestCode": "Unknown" },
        });
        *body.pointer_mut(path).unwrap() = json!("Other");
        assert_eq!(refusal_of(create(&body, &WIRE)), format!("400 invalidValue {}", &path[1..]));
    }
}

#[test]
fn every_documented_customer_size_is_kept() {
    // REF-088
    let sizes = example("values.customer-sizes.json");
    assert_eq!(sizes.as_array().unwrap().len(), 11);
    for size in
        sizes.as_array().unwrap().iter().chain(&[json!(""), json!("Unknown"), json!("10001+employees")])
    {
        let mut body = minimal();
        body["customerProfile"]["size"] = size.clone();
        assert_eq!(&value(&own(&body))["customerProfile"]["size"], size);
    }
    for size in sizes.as_array().unwrap() {
        let mut body = complete();
        body["customerProfile"]["size"] = size.clone();
        assert!(create(&body, &PROGRAM).is_ok(), "{size}");
    }
}

#[test]
fn every_value_of_the_requirement_lists_is_kept() {
    // REF-089
    for (list, count) in [("industries", 14), ("products", 20), ("services", 10), ("solutions", 48)] {
        let values = example(&format!("values.{list}.json"));
        let values = values.as_array().unwrap();
        assert_eq!(values.len(), count);
        let tags: Vec<_> = values
            .iter()
            .map(|id| match list {
                "solutions" => json!({ "id": id, "type": "Category" }),
                _ => json!({ "id": id }),
            })
            .collect();
        let mut body = complete();
        body["details"]["requirements"][list] = json!(tags);
        let document = value(&create(&body, &PROGRAM).unwrap().to_document());
        let kept = document["details"]["requirements"][list].as_array().unwrap().iter().map(|tag| &tag["id"]);
        assert_eq!(kept.collect::<Vec<_>>(), values.iter().collect::<Vec<_>>());
    }
}

#[test]
fn forms_of_values_are_read_as_the_contract_says() {
    // REF-067 REF-075 REF-091 REF-120 REF-121 REF-122 REF-123 REF-124 REF-125
    let of = |path: &str, sent: Value| {
        let decided = put(&full(), &body_with(path, sent));
        match decided {
            Ok(edit) => {
                let document = edit.map_or_else(full, |edit| edit.referral.to_document());
                value(&document).pointer(&format!("/{path}")).unwrap().to_string()
            }
            Err(error) => refusal(&error),
        }
    };
    for (path, sent, expected) in [
        ("details/dealValue", json!("10000"), "10000"),
        ("details/dealValue", json!("10000.50"), "10000.5"),
        ("details/dealValue", json!(0), "0"),
        ("details/dealValue", json!(-1), "400"),
        ("details/dealValue", json!("-1"), "400"),
        ("details/dealValue", json!(""), "400"),
        ("details/dealValue", json!("ten"), "400"),
        ("details/dealValue", json!(1.00001), "400"),
        ("details/dealValue", json!("1e400"), "400"),
        (
            "details/closingDateTime",
            json!("2026-03-01T01:00:00.12345678+02:00"),
            "\"2026-02-28T23:00:00.1234567Z\"",
        ),
        ("details/closingDateTime", json!("2026-03-01"), "\"2026-03-01T00:00:00Z\""),
        (
            "details/closingDateTime",
            json!("9999-12-31T23:59:59.9999999Z"),
            "\"9999-12-31T23:59:59.9999999Z\"",
        ),
        ("details/closingDateTime", json!("2016-12-31T23:59:60Z"), "\"2017-01-01T00:00:00Z\""),
        ("details/closingDateTime", json!("tomorrow"), "400"),
        ("details/closingDateTime", json!("2026-03-01T00:00:00"), "400"),
        ("details/closingDateTime", json!(""), "400"),
        ("details/closingDateTime", json!(1772409600), "400"),
        ("details/currency", json!("eur"), "\"EUR\""),
        ("details/currency", json!("EURO"), "400"),
        ("details/currency", json!("E1R"), "400"),
        ("customerProfile/address/country", json!("de"), "\"DE\""),
        ("customerProfile/address/country", json!("POL"), "\"PL\""),
        ("customerProfile/address/country", json!("Germany"), "400"),
        ("customerProfile/address/country", json!("QQQ"), "400"),
        ("customerProfile/ids", json!({}), "[]"),
        (
            "customerProfile/ids",
            json!({ "Duns": "7", "External": null }),
            r#"[{"profileType":"Duns","id":"7"}]"#,
        ),
        (
            "customerProfile/ids",
            json!({ "External": "6-EC3LOVPHK" }),
            r#"[{"profileType":"External","id":"6-EC3LOVPHK"}]"#,
        ),
        ("customerProfile/ids", json!({ "Tax": "7" }), "400 invalidValue customerProfile/ids/0/profileType"),
        ("customerProfile/ids", json!(7), "400"),
        ("salesStage", json!("100"), "\"100\""),
        ("salesStage", json!(60), "\"60\""),
        ("salesStage", json!(10.5), "\"10.5\""),
        ("salesStage", json!("propose"), "\"Propose\""),
        ("salesStage", json!("100.1"), "400"),
        ("salesStage", json!("Negotiated"), "400"),
        ("salesStage", json!(""), "400"),
        ("externalReferenceId", json!(""), "\"\""),
        ("mpnId", json!("0012"), "\"0012\""),
        ("mpnId", json!(12), "400"),
        ("mpnId", json!("12x"), "400"),
        ("team", json!([{ "email": "a@b" }]), "ok"),
        ("team", json!([{ "email": "" }]), "ok"),
        ("team", json!([{ "email": "a.b" }]), "400 invalidValue team/0/email"),
        ("team", json!([{ "email": "@b" }]), "400 invalidValue team/0/email"),
        ("team", json!([{ "email": "a@" }]), "400 invalidValue team/0/email"),
        ("team", json!([{ "email": "a@b@c" }]), "400 invalidValue team/0/email"),
        ("team", json!([{ "email": format!("{}@b", "a".repeat(318)) }]), "ok"),
        ("team", json!([{ "email": format!("{}@b", "a".repeat(319)) }]), "400 invalidValue team/0/email"),
        ("team", json!([5]), "400 invalidValue team/0"),
        ("team", json!([null]), "400 invalidValue team/0"),
    ] {
        let answer = of(path, sent.clone());
        match expected {
            "ok" => assert!(!answer.starts_with("400"), "{sent}: {answer}"),
            "400" => assert_eq!(answer, format!("400 invalidValue {path}"), "{sent}"),
            expected => assert_eq!(answer, expected, "{path} {sent}"),
        }
    }
}

#[test]
fn the_table_names_each_member_once_and_in_the_order_of_the_wire() {
    let document = value(&full());
    let names: Vec<_> = Referral::TYPE.properties.iter().map(|property| property.name).collect();
    let wire: Vec<_> = document.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, wire);
    for (path, property) in properties(&Referral::TYPE) {
        if let Some(inside) = document.pointer(&format!("/{path}")).and_then(Value::as_object) {
            let Kind::Object(of) = property.kind else { panic!("{path}") };
            for name in inside.keys() {
                assert_eq!(of.find(&name.to_uppercase()).map(|found| found.name), Some(name.as_str()));
            }
        }
    }
}

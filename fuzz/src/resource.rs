//! Any bytes as what a client sends of the resource: a stored referral to work on, and what must hold of any result.
//! `crates/referral/tests/any_bytes.rs` runs the same functions over mutated examples.

use std::sync::LazyLock;

use referral::{
    Amount, CreateRequest, DecisionError, ETag, Edit, EditRequest, EngagementId, Json, LifecycleState,
    NewIds, OrganizationId, Party, PatchRequest, Precondition, Referral, ReferralId, RequestOptions,
    Timestamp, ValidationProfile, parse_json,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// 2026-01-01T00:00:00Z
const NOW: i64 = 1_767_225_600;

const BODY: &str = r#"{
  "name": "Deal", "type": "Shared", "customerProfile": {"name": "Customer", "ids": [{"profileType": "Duns", "id": "1"}]},
  "consent": {"consentToToShareInfoWithOthers": true, "consentToContact": true},
  "details": {"notes": "n", "dealValue": 10000, "currency": "USD", "closingDateTime": "2026-02-01T00:00:00Z"},
  "team": [{"firstName": "Ann", "email": "ann@contoso.example"}]
}"#;

/// Any bytes as the body of a create, a replace and a merge: refused, or a referral that keeps every rule.
pub fn body(bytes: &[u8]) {
    let Ok(body) = parse_json(bytes, true) else { return };
    for options in dialects() {
        if let Ok(request) = CreateRequest::parse(body.clone(), &options) {
            let own = request.own_deal(new_ids(), &party(0), &options);
            let sent = request.connected_referral(new_ids(), &party(1), &party(0), None, &options);
            for referral in own.into_iter().chain(sent) {
                must_hold(&referral);
            }
        }
        let requests =
            [EditRequest::put(body.clone(), id(), &options), EditRequest::merge(body.clone(), &options)];
        for request in requests.into_iter().flatten() {
            decide(&request, &options);
        }
    }
}

/// Any bytes as a JSON Patch: refused, without effect, or a referral that keeps every rule.
pub fn patch(bytes: &[u8]) {
    let Ok(body) = parse_json(bytes, true) else { return };
    decide_patch(body);
}

fn decide_patch<'a>(operations: impl Into<Json<'a>>) {
    let operations = operations.into();
    for options in dialects() {
        if let Ok(patch) = PatchRequest::parse(operations.clone(), &options) {
            decide(&EditRequest::Patch(patch), &options);
        }
    }
}

/// Any bytes as a text in a path or a header, and as the pointer of a patch: what is read is written alike.
pub fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    reads_back::<ReferralId>(text);
    reads_back::<EngagementId>(text);
    reads_back::<OrganizationId>(text);
    reads_back::<ETag>(text);
    reads_back::<Timestamp>(text);
    reads_back::<Amount>(text);
    if let Precondition::OneOf(tags) = Precondition::parse(text) {
        assert!(tags.iter().all(|tag| Precondition::parse(&tag.to_string()).holds_for(tag)));
    }
    for value in [Value::Null, json!(text), json!(5), json!([]), json!({})] {
        for name in ["add", "replace", "test"] {
            decide_patch(&json!([{ "op": name, "path": text, "value": value }]));
        }
    }
    decide_patch(
        &json!([{ "op": "copy", "from": text, "path": "/statusReason" }, { "op": "remove", "path": text }]),
    );
}

fn reads_back<T: std::str::FromStr + std::fmt::Display + PartialEq>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        assert!(read.to_string().parse::<T>().is_ok_and(|again| again == read), "{text:?}");
    }
}

/// The id of the stored referral.
pub fn id() -> ReferralId {
    ReferralId::from_uuid(Uuid::from_u128(1))
}

/// The time of the requests.
pub fn now() -> Timestamp {
    Timestamp::from_unix_seconds(NOW)
}

/// Both temperaments under both profiles, with the switches that read more.
pub fn dialects() -> Vec<RequestOptions> {
    let mut dialects = Vec::new();
    for profile in [ValidationProfile::Wire, ValidationProfile::Program] {
        for extended in [false, true] {
            dialects.push(RequestOptions {
                reject_unknown: !extended,
                ignore_links: extended,
                mode: if extended { referral::ApiMode::Extended } else { referral::ApiMode::Strict },
                profile,
            });
        }
    }
    dialects
}

/// Who creates (0) and who is invited (1).
pub fn party(number: u128) -> Party {
    let id: OrganizationId =
        Uuid::from_u128(100 + number).to_string().parse().expect("a GUID names an organization");
    Party { id, name: format!("Organization {number}"), partner_id: Some("1234567".to_owned()) }
}

/// What identifies the new referral.
pub fn new_ids() -> NewIds {
    NewIds { id: id(), engagement_id: EngagementId::from_uuid(Uuid::from_u128(2)), now: now() }
}

/// An own deal, Active/Accepted, as the store keeps it.
pub static STORED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let body = serde_json::from_str(BODY).expect("the constant is JSON");
    let options = RequestOptions::default();
    let request = CreateRequest::parse(&body, &options).expect("the constant is a complete body");
    let referral = request.own_deal(new_ids(), &party(0), &options).expect("the constant keeps every rule");
    referral.to_document()
});

/// Decides on the stored referral and looks at the result.
pub fn decide(request: &EditRequest<'_>, options: &RequestOptions) {
    match request.decide(&STORED, 1, now(), options) {
        Ok(Some(Edit { referral, changes, .. })) => {
            assert!(
                changes.as_object().is_some_and(|changes| !changes.is_empty()),
                "a change without a change"
            );
            assert_eq!(referral.id, id(), "the id changed");
            must_hold(&referral);
        }
        Ok(None) | Err(DecisionError::Rejected(_)) => {}
        Err(DecisionError::Damaged(error)) => panic!("the stored referral reads as damaged: {error}"),
    }
}

/// What holds of every referral: a legal standing, and bytes that read back to the same.
pub fn must_hold(referral: &Referral) {
    LifecycleState::from_pair(referral.status, referral.substatus).expect("a stored standing is legal");
    let document = referral.to_document();
    let read = Referral::from_document(&document).expect("a stored document can be read");
    assert_eq!(&read, referral);
    assert_eq!(read.to_document(), document);
}

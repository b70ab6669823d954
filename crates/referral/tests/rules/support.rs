//! Shared by the tests of the resource: the published examples, the organizations, and shortcuts for changes.

use referral::{
    CreateRequest, DecisionError, Edit, EditRequest, NewIds, ObjectType, Party, PatchRequest,
    PropertyDefinition, Referral, Rejection, RequestOptions, Timestamp, ValidationProfile, parse_json,
};
use serde_json::{Map, Value, json};

pub const WIRE: RequestOptions = RequestOptions {
    reject_unknown: false,
    ignore_links: false,
    mode: referral::ApiMode::Strict,
    profile: ValidationProfile::Wire,
};
pub const PROGRAM: RequestOptions = RequestOptions { profile: ValidationProfile::Program, ..WIRE };
pub const EXTENDED: RequestOptions = RequestOptions { mode: referral::ApiMode::Extended, ..WIRE };

/// The host of the published examples.
pub const HOST: &str = "https://api.partner.microsoft.com";

pub fn file(path: &str) -> Vec<u8> {
    let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub fn example(name: &str) -> Value {
    Value::from(&parse_json(&file(&format!("docs/examples/{name}")), true).unwrap())
}

pub fn contoso() -> Party {
    Party {
        id: "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d".parse().unwrap(),
        name: "Contoso Company".into(),
        partner_id: Some("1234567".into()),
    }
}

pub fn microsoft() -> Party {
    Party { id: "msft".parse().unwrap(), name: "Microsoft".into(), partner_id: None }
}

pub fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// 2026-03-02, when the examples were created.
pub fn new_ids() -> NewIds {
    NewIds {
        id: "0d43414c-fb9f-4ca0-9b8d-29deb70364cf".parse().unwrap(),
        engagement_id: "37ef26aa-1d15-4533-9f93-a69bd33ab1e5".parse().unwrap(),
        now: instant("2026-03-02T09:15:00.1234567Z"),
    }
}

/// One day after [`new_ids`].
pub fn later() -> Timestamp {
    instant("2026-03-03T10:00:00Z")
}

/// The four required members and a customer name.
pub fn minimal() -> Value {
    json!({ "type": "Shared", "customerProfile": { "name": "Contoso Customer Inc" }, "consent": {}, "details": {} })
}

/// A body that follows every rule of the program profile.
pub fn complete() -> Value {
    let mut body = example("create.partner-led.request.json");
    body["customerMarketplaceIntent"] = json!("Yes");
    body
}

pub fn create(body: &Value, options: &RequestOptions) -> Result<Referral, DecisionError> {
    CreateRequest::parse(body, options)?.own_deal(new_ids(), &contoso(), options)
}

/// An own deal: Active/Accepted.
pub fn own(body: &Value) -> Vec<u8> {
    create(body, &WIRE).unwrap().to_document()
}

/// Returns a document with other values at some pointers, such as `/status`.
pub fn with(document: &[u8], members: &[(&str, Value)]) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(document).unwrap();
    for (pointer, member) in members {
        *value.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = member.clone();
    }
    Referral::from_document(&serde_json::to_vec(&value).unwrap()).unwrap().to_document()
}

/// Returns a published response as the store would hold it.
pub fn stored(answer: &str) -> Vec<u8> {
    let mut value = example(answer);
    value["links"] = Value::Null;
    value.as_object_mut().unwrap().shift_remove("@odata.context");
    Referral::from_document(&serde_json::to_vec(&value).unwrap()).unwrap().to_document()
}

pub fn value(document: &[u8]) -> Value {
    serde_json::from_slice(document).unwrap()
}

pub type Decided = Result<Option<Edit>, DecisionError>;

pub fn put_in(document: &[u8], body: &Value, options: &RequestOptions) -> Decided {
    let id = Referral::from_document(document).unwrap().id;
    EditRequest::put(body, id, options)?.decide(document, 1, later(), options)
}

pub fn put(document: &[u8], body: &Value) -> Decided {
    put_in(document, body, &WIRE)
}

pub fn patch_in(document: &[u8], operations: &Value, options: &RequestOptions) -> Decided {
    EditRequest::Patch(PatchRequest::parse(operations, options)?).decide(document, 1, later(), options)
}

pub fn patch(document: &[u8], operations: &Value) -> Decided {
    patch_in(document, operations, &WIRE)
}

pub fn merge(document: &[u8], body: &Value) -> Decided {
    EditRequest::merge(body, &WIRE)?.decide(document, 1, later(), &WIRE)
}

/// Returns one `replace` operation.
pub fn replace(path: &str, value: impl Into<Value>) -> Value {
    json!([{ "op": "replace", "path": path, "value": value.into() }])
}

/// Returns the next version, as JSON.
pub fn changed(decided: Decided) -> Value {
    match decided {
        Ok(Some(edit)) => value(&edit.referral.to_document()),
        Ok(None) => panic!("nothing changed"),
        Err(error) => panic!("refused: {error}"),
    }
}

/// Returns the result in short: `unchanged`, the names of the changed members, or the error.
pub fn face(decided: Decided) -> String {
    match decided {
        Ok(None) => "unchanged".into(),
        Ok(Some(edit)) => edit.changes.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" "),
        Err(error) => refusal(&error),
    }
}

/// `400 <code> <target>`, `409 terminalState` or `409 invalidTransition`.
pub fn refusal(error: &DecisionError) -> String {
    match error {
        DecisionError::Rejected(Rejection::Invalid(invalid)) => {
            assert!(!invalid.message.is_empty() && invalid.message.chars().count() <= 1024, "{invalid:?}");
            format!("400 {} {}", invalid.code.as_str(), invalid.target)
        }
        DecisionError::Rejected(Rejection::Terminal(_)) => "409 terminalState".into(),
        DecisionError::Rejected(Rejection::NotReachable { .. }) => "409 invalidTransition".into(),
        DecisionError::Damaged(damaged) => panic!("{damaged}"),
    }
}

pub fn refusal_of<T: std::fmt::Debug>(result: Result<T, DecisionError>) -> String {
    refusal(&result.unwrap_err())
}

/// Returns a body with one member, at a path such as `details/dealValue`.
pub fn body_with(path: &str, value: Value) -> Value {
    path.rsplit('/').fold(value, |inside, name| {
        let mut members = Map::new();
        members.insert(name.to_owned(), inside);
        Value::Object(members)
    })
}

/// Returns every property of a type and of its nested objects, with its path. Lists are not included.
pub fn properties(of: &'static ObjectType) -> Vec<(String, &'static PropertyDefinition)> {
    let mut found = Vec::new();
    for property in of.properties {
        found.push((property.name.to_owned(), property));
        if let referral::Kind::Object(inner) = property.kind {
            let inside = properties(inner).into_iter();
            found.extend(inside.map(|(path, row)| (format!("{}/{path}", property.name), row)));
        }
    }
    found
}

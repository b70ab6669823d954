//! Bodies that nobody should send, on POST, PUT and PATCH in both temperaments: each has its decided answer, and
//! a refused one leaves the stored bytes and the ETag as they were.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use resource::{full, sends, text};
use support::{CONTOSO, Deal, World};

/// A body of the public suite, and what a JSON reader must make of it.
struct Case {
    name: String,
    expect: String,
    bytes: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let suite = text("tests/vectors/json-parsing/cases.jsonl");
    let cases = suite.lines().map(|line| {
        let case: Value = serde_json::from_str(line).unwrap();
        let part = |name: &str| case[name].as_str().unwrap().to_owned();
        Case { name: part("name"), expect: part("expect"), bytes: STANDARD.decode(part("base64")).unwrap() }
    });
    cases.collect()
}

/// The suite speaks of JSON, not of referrals: what is no object without an id changes nothing by PUT, and only the
/// empty list is a patch. All else is 400, the rows that a tolerated trailing comma makes readable as well.
fn decided(case: &Case, method: &str) -> u16 {
    let body = match case.expect.as_str() {
        "accept" => serde_json::from_slice::<Value>(&case.bytes).unwrap(),
        _ => return 400,
    };
    match method {
        "PUT" if body.is_object() && body.get("id").is_none() => 200,
        "PATCH" if body == json!([]) => 204,
        _ => 400,
    }
}

async fn the_suite(world: World) {
    let stored = world.contoso().creates(full()).await;
    let before = world.contoso().gets(&stored.id).await.bytes;
    let cases = cases();
    assert_eq!(cases.len(), 318);
    for case in &cases {
        for method in ["POST", "PUT", "PATCH"] {
            let answer = sends(&world, method, &stored.id, Some(&stored.etag), &case.bytes).await;
            assert_eq!(answer.status, decided(case, method), "{method} {}: {}", case.name, answer.body);
            // A comma too many may be passed over; then the body is no referral.
            if case.expect == "reject" && !case.name.contains("comma") {
                answer.refused(400, "invalidRequest", "body", "malformedJson");
            }
        }
    }
    let after = world.contoso().gets(&stored.id).await;
    assert_eq!(after.bytes, before);
    assert_eq!(after.header("etag"), Some(stored.etag.as_str()));
    assert_eq!(world.log(CONTOSO).await.len(), 1, "only the creation was written");
}

#[tokio::test]
async fn every_body_of_the_public_suite_has_its_decided_answer() {
    // REF-096
    the_suite(World::new().await).await;
}

#[tokio::test]
async fn the_extended_temperament_reads_bodies_the_same_way() {
    // REF-096
    the_suite(World::extended().await).await;
}

/// Sends a body by each writing method; nothing may change.
async fn refused_everywhere(world: &World, stored: &Deal, body: &[u8], status: u16, inner: &str) {
    let before = world.contoso().gets(&stored.id).await.bytes;
    for method in ["POST", "PUT", "PATCH"] {
        let answer = sends(world, method, &stored.id, Some(&stored.etag), body).await;
        answer.refused(status, "invalidRequest", "body", inner);
    }
    assert_eq!(world.contoso().gets(&stored.id).await.bytes, before);
}

#[tokio::test]
async fn bodies_that_are_no_text_of_json_are_malformed() {
    // REF-096
    for world in [World::new().await, World::extended().await] {
        let stored = world.contoso().creates(full()).await;
        let deep = "[".repeat(100_000);
        let deep_objects = "{\"a\":".repeat(100_000);
        let closed = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for body in [
            deep.as_bytes(),
            deep_objects.as_bytes(),
            closed.as_bytes(),
            b"{\"name\":\"\xff\xfe\"}",
            b"{\"name\":\"a\0b\"}",
            b"{\"name\":\"\\ud800\"}",
            b"{\"name\":\"\\udc00\\ud800\"}",
            b"\xef\xbb\xbf{}",
            b"\0",
            b"",
            b"{\"name\":\"x\"} {}",
            b"{'name':'x'}",
            b"{name:\"x\"}",
            b"{\"name\":\"x\"/* why */}",
            b"{\"dealValue\":NaN}",
            b"{\"dealValue\":01}",
        ] {
            refused_everywhere(&world, &stored, body, 400, "malformedJson").await;
        }
    }
}

#[tokio::test]
async fn a_body_over_the_limit_answers_413_and_one_at_the_limit_is_read() {
    // REF-256
    let world = World::new().await;
    let stored = world.contoso().creates(full()).await;
    let of_length = |length: usize| format!("{{\"name\":\"{}\"}}", "x".repeat(length - 11)).into_bytes();
    assert_eq!(of_length(1 << 20).len(), 1 << 20);
    refused_everywhere(&world, &stored, &of_length((1 << 20) + 1), 413, "requestTooLarge").await;

    let answer = sends(&world, "PUT", &stored.id, Some("*"), &of_length(1 << 20)).await;
    answer.refused(400, "invalidRequest", "name", "invalidValue");
}

#[tokio::test]
async fn values_that_json_can_write_and_a_referral_cannot_hold_are_refused_by_name() {
    // REF-254
    for world in [World::new().await, World::extended().await] {
        let stored = world.contoso().creates(full()).await;
        let before = world.contoso().gets(&stored.id).await.bytes;
        let million = "x".repeat(1 << 19);
        for (member, value, target) in [
            ("\"name\"", r#""a\u0000b""#, "name"),
            ("\"name\"", &format!("\"{million}\""), "name"),
            ("\"details\"", r#"{"dealValue":1e400}"#, "details/dealValue"),
            ("\"details\"", r#"{"dealValue":-1e400}"#, "details/dealValue"),
            ("\"details\"", r#"{"dealValue":1e-400}"#, "details/dealValue"),
            ("\"details\"", r#"{"dealValue":1e99999999999999999999}"#, "details/dealValue"),
            ("\"details\"", r#"{"dealValue":"1e400"}"#, "details/dealValue"),
            ("\"details\"", r#"{"dealValue":{"$gt":0}}"#, "details/dealValue"),
            ("\"details\"", r#"{"closingDateTime":"9999-12-31T24:00:00Z"}"#, "details/closingDateTime"),
            ("\"details\"", "[]", "details"),
            ("\"team\"", "{}", "team"),
            ("\"team\"", r#"["x"]"#, "team/0"),
            ("\"team\"", r#"[{},[]]"#, "team/1"),
            ("\"consent\"", "true", "consent"),
            ("\"consent\"", r#"{"consentToContact":"true"}"#, "consent/consentToContact"),
            ("\"favorite\"", "1", "favorite"),
            ("\"status\"", "7", "status"),
            ("\"name\"", "7", "name"),
        ] {
            let body = format!("{{{member}:{value}}}");
            let answer = sends(&world, "PUT", &stored.id, Some("*"), body.as_bytes()).await;
            answer.refused(400, "invalidRequest", target, "invalidValue");

            let name = member.trim_matches('"');
            let mut rest = full();
            rest.as_object_mut().unwrap().shift_remove(name);
            let body = format!("{{{member}:{value},{}", &rest.to_string()[1..]);
            let answer = sends(&world, "POST", "", None, body.as_bytes()).await;
            answer.refused(400, "invalidRequest", target, "invalidValue");

            let body = format!(r#"[{{"op":"replace","path":"/{name}","value":{value}}}]"#);
            let answer = sends(&world, "PATCH", &stored.id, None, body.as_bytes()).await;
            answer.refused(400, "invalidRequest", &format!("/{name}"), "invalidValue");
        }
        assert_eq!(world.contoso().gets(&stored.id).await.bytes, before);
    }
}

#[tokio::test]
async fn of_members_that_come_twice_the_last_one_counts() {
    let world = World::new().await;
    let stored = world.contoso().creates(full()).await;
    for (body, name) in [
        (r#"{"name":"first","name":"second"}"#, "second"),
        (r#"{"name":"third","Name":"fourth"}"#, "fourth"),
        (r#"{"name":5,"name":"fifth"}"#, "fifth"),
    ] {
        let answer = sends(&world, "PUT", &stored.id, Some("*"), body.as_bytes()).await.expect(200);
        assert_eq!(answer.body["name"], name, "{body}");
    }
}

#[tokio::test]
async fn a_patch_of_mischief_is_refused_by_its_form() {
    // REF-193 REF-201 REF-254
    for world in [World::new().await, World::extended().await] {
        let stored = world.contoso().creates(full()).await;
        let before = world.contoso().gets(&stored.id).await.bytes;
        let long = format!("/{}", "a/".repeat(50_000));
        for patch in [
            json!([1]),
            json!([null]),
            json!([[]]),
            json!([{}]),
            json!([{ "op": 1, "path": "/name", "value": "x" }]),
            json!([{ "op": "replace", "path": 1, "value": "x" }]),
            json!([{ "op": "replace", "path": "name", "value": "x" }]),
            json!([{ "op": "replace", "path": "", "value": {} }]),
            json!([{ "op": "replace", "path": "/", "value": "x" }]),
            json!([{ "op": "replace", "path": "/name/0", "value": "x" }]),
            json!([{ "op": "replace", "path": "/na~2me", "value": "x" }]),
            json!([{ "op": "replace", "path": "/name~", "value": "x" }]),
            json!([{ "op": "replace", "path": long, "value": "x" }]),
            json!([{ "op": "add", "path": "/team/01", "value": {} }]),
            json!([{ "op": "add", "path": "/team/+1", "value": {} }]),
            json!([{ "op": "add", "path": "/team/99999999999999999999999", "value": {} }]),
            json!([{ "op": "add", "path": "/team/18446744073709551615", "value": {} }]),
            json!([{ "op": "replace", "path": "/team/-", "value": {} }]),
            json!([{ "op": "replace", "path": "/__proto__/x", "value": "x" }]),
        ] {
            let answer = world.contoso().patches(&stored.id, patch.clone()).await.expect(400);
            assert_eq!(answer.body["error"]["innerError"]["code"], "invalidPatch", "{patch}");
        }
        let many: Value = (0..1001).map(|_| json!({ "op": "add", "path": "/team/-", "value": {} })).collect();
        let answer = world.contoso().patches(&stored.id, many).await;
        answer.refused(400, "invalidRequest", "body", "invalidPatch");
        assert_eq!(world.contoso().gets(&stored.id).await.bytes, before);
    }
}

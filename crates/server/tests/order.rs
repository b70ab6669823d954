//! Which refusal wins when two apply. Source: spec 4.5.
//!
//! Each fault bends one part of a good request. Every two faults of different stages are put into one request, and
//! the earlier stage must answer; nothing may be written.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::{Map, Value, json};
use support::*;

const UNKNOWN: &str = "ffffffff-ffff-4fff-8fff-ffffffffffff";

/// A request that is good until it is bent.
#[derive(Clone)]
struct Draft {
    method: &'static str,
    path: String,
    user: Option<&'static str>,
    accept: &'static str,
    content_type: &'static str,
    content_length: Option<&'static str>,
    without_length: bool,
    if_match: Option<&'static str>,
    body: Value,
    raw: Option<&'static str>,
}

impl Draft {
    fn new(method: &'static str, path: String, body: Value) -> Draft {
        Draft {
            method,
            path,
            user: Some(CONTOSO_ADMIN),
            accept: "application/json",
            content_type: "application/json",
            content_length: None,
            without_length: false,
            if_match: Some("*"),
            body,
            raw: None,
        }
    }

    fn operation(&mut self, operation: Value) {
        self.body.as_array_mut().unwrap().push(operation);
    }

    fn members(&mut self) -> &mut Map<String, Value> {
        self.body.as_object_mut().unwrap()
    }

    async fn send(&self, world: &World) -> Answer {
        let body = self.raw.map_or_else(|| self.body.to_string(), str::to_owned);
        let mut call = world.call(self.method, &self.path).body(body);
        call = call.header("Accept", self.accept).header("Content-Type", self.content_type);
        if let Some(user) = self.user {
            call = call.as_user(user);
        }
        if let Some(tag) = self.if_match {
            call = call.header("If-Match", tag);
        }
        if self.without_length || self.content_length.is_some() {
            call = call.without("content-length");
        }
        if let Some(length) = self.content_length {
            call = call.header("Content-Length", length);
        }
        call.await
    }
}

/// What the faults need to know of the world.
struct Scene {
    /// Contoso's own, Active, the user not on its team.
    deal: Deal,
    /// Contoso's own, Closed/Lost.
    closed: Deal,
    /// Fabrikam's, sent by Contoso, accepted.
    sent: Deal,
}

struct Fault {
    /// Its place in the list of 4.5. Two faults of one stage are not compared.
    stage: u8,
    name: &'static str,
    /// The part of the request that it bends; two faults of one part do not go together.
    part: &'static str,
    answer: (u16, &'static str),
    bend: fn(&mut Draft, &Scene),
}

const fn fault(
    stage: u8,
    name: &'static str,
    part: &'static str,
    answer: (u16, &'static str),
    bend: fn(&mut Draft, &Scene),
) -> Fault {
    Fault { stage, name, part, answer, bend }
}

/// What every call may suffer from.
fn at_the_door() -> Vec<Fault> {
    vec![
        fault(0, "unknown path", "path", (404, ""), |draft, _| draft.path = "/v1.0/engagements/x".to_owned()),
        fault(1, "unknown method", "method", (405, "methodNotAllowed"), |draft, _| draft.method = "DELETE"),
        fault(2, "no token", "user", (401, "tokenMissing"), |draft, _| draft.user = None),
        fault(3, "no role", "user", (403, "missingRole"), |draft, _| draft.user = Some(CONTOSO_NOBODY)),
        fault(4, "XML wanted", "accept", (406, "notAcceptable"), |draft, _| draft.accept = "application/xml"),
        fault(5, "XML sent", "type", (415, "unsupportedMediaType"), |draft, _| {
            draft.content_type = "text/xml"
        }),
        fault(6, "no length", "length", (411, "lengthRequired"), |draft, _| draft.without_length = true),
        fault(6, "too long", "length", (413, "requestTooLarge"), |draft, _| {
            draft.content_length = Some("9999999")
        }),
        fault(7, "no JSON", "raw", (400, "malformedJson"), |draft, _| draft.raw = Some("{\"a\":")),
    ]
}

/// What a stored referral may add to it.
fn at_the_referral() -> Vec<Fault> {
    vec![
        fault(8, "unknown id", "path", (404, ""), |draft, _| draft.path = path(UNKNOWN)),
        fault(9, "not on the team", "user", (403, "notOnTeam"), |draft, _| draft.user = Some(CONTOSO_USER)),
        fault(9, "not the owner", "path", (403, "notOwner"), |draft, scene| draft.path = scene.sent.path()),
        fault(10, "stale tag", "tag", (412, "99918"), |draft, _| draft.if_match = Some("\"old\"")),
        fault(13, "closed", "path", (409, "terminalState"), |draft, scene| draft.path = scene.closed.path()),
    ]
}

async fn scene(world: &World) -> Scene {
    let deal = world.contoso().own_deal().await;
    let closed = world.given("Closed", "Lost").await;
    let sent = world.contoso().connects(&deal.engagement, FABRIKAM_LOCATION).await;
    Scene { deal, closed, sent }
}

/// Everything that is kept, to see that nothing changed.
async fn everything(world: &World, scene: &Scene) -> Vec<String> {
    let mut all = Vec::new();
    for deal in [&scene.deal, &scene.closed, &scene.sent] {
        all.push(format!("{:?}", world.stored_bytes(&deal.id).await));
    }
    all.push(format!("{} {}", world.log(CONTOSO).await.len(), world.log(FABRIKAM).await.len()));
    all
}

/// Holds every fault alone and every pair to its answer; how many pairs there were.
async fn hold(world: &World, scene: &Scene, good: &Draft, faults: &[Fault]) -> usize {
    let before = everything(world, scene).await;
    let mut pairs = 0;
    for (at, first) in faults.iter().enumerate() {
        let mut draft = good.clone();
        (first.bend)(&mut draft, scene);
        verdict(&draft.send(world).await, first, first.name);
        for second in &faults[at + 1..] {
            let body_and_raw = first.part == "raw" && second.part.starts_with("body");
            if second.stage == first.stage || second.part == first.part || body_and_raw {
                continue;
            }
            let mut draft = good.clone();
            // The order of bending must not matter: the later fault first.
            (second.bend)(&mut draft, scene);
            (first.bend)(&mut draft, scene);
            verdict(&draft.send(world).await, first, &format!("{} and {}", first.name, second.name));
            pairs += 1;
        }
    }
    assert_eq!(everything(world, scene).await, before, "a refusal changed something");
    pairs
}

fn verdict(answer: &Answer, expected: &Fault, what: &str) {
    let inner = answer.body["error"]["innerError"]["code"].as_str().unwrap_or_default();
    assert_eq!((answer.status, inner), expected.answer, "{what}: {}", answer.body);
}

#[tokio::test]
async fn of_two_faults_of_a_patch_the_earlier_answers() {
    let world = World::new().await;
    let scene = scene(&world).await;
    let good =
        Draft::new("PATCH", scene.deal.path(), json!([{ "op": "replace", "path": "/name", "value": "x" }]));
    let mut faults = at_the_door();
    faults.push(fault(7, "no array", "raw", (400, "invalidPatch"), |draft, _| draft.raw = Some("{}")));
    faults.push(fault(7, "no such operation", "body 1", (400, "unsupportedOperation"), |draft, _| {
        draft.operation(json!({ "op": "remove", "path": "/name" }));
    }));
    faults.push(fault(7, "a bad value", "body 2", (400, "invalidValue"), |draft, _| {
        draft.operation(json!({ "op": "replace", "path": "/details/dealValue", "value": -1 }));
    }));
    faults.extend(at_the_referral());
    faults.push(fault(11, "no such index", "body 3", (400, "invalidPatch"), |draft, _| {
        draft.operation(json!({ "op": "replace", "path": "/team/9/email", "value": "a@b.example" }));
    }));
    faults.push(fault(11, "fixed member", "body 4", (400, "readOnlyProperty"), |draft, _| {
        draft.operation(json!({ "op": "replace", "path": "/engagementId", "value": UNKNOWN }));
    }));
    faults.push(fault(12, "no such pair", "body 5", (400, "invalidStatusSubstatus"), |draft, _| {
        draft.operation(json!({ "op": "replace", "path": "/substatus", "value": "Pending" }));
    }));
    faults.sort_by_key(|fault| fault.stage);
    assert!(hold(&world, &scene, &good, &faults).await > 100);
    // And the request itself was good.
    good.send(&world).await.expect(204);
}

#[tokio::test]
async fn of_two_faults_of_a_put_the_earlier_answers() {
    let world = World::new().await;
    let scene = scene(&world).await;
    let good = Draft::new("PUT", scene.deal.path(), json!({ "name": "x" }));
    let mut faults = at_the_door();
    faults.push(fault(7, "no If-Match", "tag", (400, "missingHeader"), |draft, _| draft.if_match = None));
    faults.push(fault(7, "links", "body 1", (400, "readOnlyProperty"), |draft, _| {
        draft.members().insert("links".to_owned(), json!({}));
    }));
    faults.push(fault(7, "another id", "body 2", (400, "readOnlyProperty"), |draft, _| {
        draft.members().insert("id".to_owned(), "00000000-0000-4000-8000-000000000009".into());
    }));
    faults.push(fault(7, "a bad value", "body 3", (400, "invalidValue"), |draft, _| {
        draft.members().insert("details".to_owned(), json!({ "currency": "dollars" }));
    }));
    faults.extend(at_the_referral());
    faults.push(fault(11, "fixed member", "body 4", (400, "readOnlyProperty"), |draft, _| {
        draft.members().insert("engagementId".to_owned(), UNKNOWN.into());
    }));
    faults.push(fault(12, "no such pair", "body 5", (400, "invalidStatusSubstatus"), |draft, _| {
        draft.members().insert("substatus".to_owned(), "Pending".into());
    }));
    faults.sort_by_key(|fault| fault.stage);
    assert!(hold(&world, &scene, &good, &faults).await > 100);
    good.send(&world).await.expect(200);
}

#[tokio::test]
async fn of_two_faults_of_a_post_the_earlier_answers() {
    let world = World::new().await;
    let scene = scene(&world).await;
    let mut good = Draft::new("POST", REFERRALS.to_owned(), deal());
    good.if_match = None;
    let mut faults = at_the_door();
    faults.push(fault(7, "no type", "body 1", (400, "missingProperty"), |draft, _| {
        draft.members().shift_remove("type");
    }));
    faults.push(fault(7, "a bad value", "body 2", (400, "invalidValue"), |draft, _| {
        draft.members().insert("substatus".to_owned(), "Engaged".into());
    }));
    faults.push(fault(8, "unknown engagement", "body 3", (404, ""), |draft, _| {
        draft.members().insert("engagementId".to_owned(), UNKNOWN.into());
    }));
    faults.push(fault(9, "not on the team", "user", (403, "notOnTeam"), |draft, _| {
        draft.user = Some(CONTOSO_USER)
    }));
    faults.push(fault(13, "already invited", "body 3", (409, "alreadyInvited"), |draft, scene| {
        draft.members().insert("engagementId".to_owned(), scene.deal.engagement.clone().into());
        let target = json!([{ "type": "BusinessProfileLocation", "id": FABRIKAM_LOCATION }]);
        draft.members().insert("target".to_owned(), target);
    }));
    faults.push(fault(13, "engagement closed", "body 3", (409, "engagementClosed"), |draft, scene| {
        draft.members().insert("engagementId".to_owned(), scene.closed.engagement.clone().into());
        let target = json!([{ "type": "BusinessProfileLocation", "id": FABRIKAM_LOCATION }]);
        draft.members().insert("target".to_owned(), target);
    }));
    assert!(hold(&world, &scene, &good, &faults).await > 50);
    good.send(&world).await.expect(201);
}

#[tokio::test]
async fn a_remembered_answer_comes_after_what_the_request_shows_and_before_what_is_stored() {
    let world = World::new().await;
    let scene = scene(&world).await;
    let id = "9f8bed52-e4df-4d0c-9ca6-929a187b0731";
    let put = |etag: &str, body: Value| {
        let call = world.call("PUT", &scene.deal.path()).as_user(CONTOSO_ADMIN).header("request-id", id);
        call.header("If-Match", etag).json(body)
    };
    put(&scene.deal.etag, json!({ "name": "x" })).await.expect(200);
    // Reused, and malformed: the request alone shows the one.
    put(&scene.deal.etag, json!({ "links": {} })).await.refused(
        400,
        "invalidRequest",
        "links",
        "readOnlyProperty",
    );
    // Reused, and stale: the replay step comes first.
    let reused = put("\"old\"", json!({ "name": "x" })).await;
    reused.refused(409, "invalidRequest", "request-id", "requestIdReused");
    // Remembered, and by now stale: replayed.
    put(&scene.deal.etag, json!({ "name": "x" })).await.expect(200);
}

//! The OpenAPI document: valid, and true of what the server answers and takes.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use jsonschema::Validator;
use serde_json::{Value, json};
use support::*;

async fn worlds() -> [World; 3] {
    [World::new().await, World::extended().await, World::program().await]
}

async fn document(world: &World) -> Value {
    world.call("GET", "/openapi.json").await.expect(200).body
}

/// The validator of one schema of the document.
fn schema(document: &Value, name: &str) -> Validator {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": format!("#/components/schemas/{name}"),
        "components": document["components"],
    });
    jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[track_caller]
fn assert_valid(schema: &Validator, value: &Value) {
    let errors: Vec<String> =
        schema.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?} in {value:#}");
}

#[tokio::test]
async fn the_document_is_valid_by_the_schema_of_openapi() {
    let path = format!("{}/../../tests/vectors/openapi/schema.json", env!("CARGO_MANIFEST_DIR"));
    let openapi: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let openapi = jsonschema::validator_for(&openapi).unwrap();
    for world in worlds().await {
        let document = document(&world).await;
        assert_valid(&openapi, &document);
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            schema(&document, name);
        }
    }
}

#[tokio::test]
async fn the_document_is_read_without_a_token_and_kept() {
    let world = World::new().await;
    let answer = world.call("GET", "/openapi.json").await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.body["servers"][0]["url"], BASE);
    let tag = answer.header("etag").unwrap().to_owned();
    world.call("GET", "/openapi.json").header("If-None-Match", &tag).await.expect(304);
    world.call("HEAD", "/openapi.json").await.expect(200);
    let html = world.call("GET", "/openapi.json").header("Accept", "text/html").await;
    html.refused(406, "invalidRequest", "Accept", "notAcceptable");
}

#[tokio::test]
async fn without_a_token_only_the_open_operations_give_anything() {
    for world in worlds().await {
        let document = document(&world).await;
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in ["get", "head", "post", "put", "patch", "options"] {
                let Some(operation) = item.get(method) else { continue };
                let target = path
                    .replace("{id}", "c5fbb3b6-be74-4795-9fb5-4324c73fed37")
                    .replace("{path}", "details/notes")
                    .replace("{predicate}", "favorite")
                    .replace("{tenant}", "common");
                let answer = world.call(&method.to_uppercase(), &target).await;
                let open = operation.get("security") == Some(&json!([]));
                let given = if open { answer.status != 401 } else { answer.status < 400 };
                assert_eq!(given, open, "{method} {path}: {}", answer.status);
            }
        }
    }
}

#[tokio::test]
async fn answers_of_the_server_are_as_described() {
    for world in [World::new().await, World::extended().await] {
        let document = document(&world).await;
        let (one, list) = (schema(&document, "ReferralAnswer"), schema(&document, "ReferralList"));
        let body = example("create.services-cosell.request.json");
        let created = world.contoso().posts(body).await.expect(201);
        assert_valid(&one, &created.body);
        let deal = Deal::of(&created);
        assert_valid(&one, &world.contoso().gets(&deal.id).await.expect(200).body);
        let put = world.contoso().puts(&deal.id, &deal.etag, json!({ "favorite": true })).await.expect(200);
        assert_valid(&one, &put.body);
        let patch = json!([{ "op": "replace", "path": "/statusReason", "value": "A reason" }]);
        let call = world.call("PATCH", &deal.path()).as_user(CONTOSO_ADMIN);
        let patched = call.header("Prefer", "return=representation").json(patch).await.expect(200);
        assert_valid(&one, &patched.body);

        let sent = world.contoso().posts(full_invitation()).await.expect(201);
        assert_valid(&one, &sent.body); // redacted: what Contoso sees of Fabrikam's
        assert_valid(&one, &world.fabrikam().gets(&Deal::of(&sent).id).await.expect(200).body);

        let referral = schema(&document, "Referral");
        for query in ["", "?$count=false", "?$select=id,eTag", "?$top=0"] {
            let page = world.contoso().lists(query).await.expect(200);
            assert_valid(&list, &page.body);
            for item in page.body["value"].as_array().unwrap() {
                assert_eq!(referral.is_valid(item), !query.contains("$select"), "{query}");
            }
        }
    }
}

/// The complete deal of the program profile, sent to Fabrikam.
fn full_invitation() -> Value {
    let mut body = example("create.services-cosell.request.json");
    body["type"] = "Shared".into();
    body["target"] = json!([{ "type": "BusinessProfileLocation", "id": FABRIKAM_LOCATION }]);
    body
}

/// What the document says of an operation's refusals.
fn refusal<'a>(document: &'a Value, path: &str, method: &str, status: u16) -> &'a Value {
    let responses = &document["paths"][path][method.to_lowercase()]["responses"];
    let answer = responses.get(status.to_string()).unwrap_or_else(|| panic!("{method} {path}: no {status}"));
    let target = answer["$ref"].as_str().unwrap_or_else(|| panic!("{method} {path} {status}"));
    document.pointer(target.strip_prefix('#').unwrap()).unwrap()
}

#[tokio::test]
async fn refusals_of_the_server_are_as_described() {
    const ONE: &str = "/v1.0/engagements/referrals/{id}";
    let world = World::new().await;
    let document = document(&world).await;
    let error = schema(&document, "Error");
    let deal = world.contoso().own_deal().await;
    let closed = world.given("Closed", "Won").await;
    let foreign = world.fabrikam().own_deal().await;
    let name = json!([{ "op": "replace", "path": "/name", "value": "N" }]);
    let mine = |method: &str, path: String| world.call(method, &path).as_user(CONTOSO_ADMIN);
    let listed = |query: &str| mine("GET", format!("{REFERRALS}{query}"));
    for (path, method, status, call) in [
        (REFERRALS, "GET", 400, listed("?$top=x")),
        (REFERRALS, "GET", 401, world.call("GET", REFERRALS)),
        (REFERRALS, "GET", 403, world.call("GET", REFERRALS).as_user(CONTOSO_NOBODY)),
        (REFERRALS, "GET", 406, listed("").header("Accept", "text/html")),
        (REFERRALS, "POST", 400, mine("POST", REFERRALS.into()).json(json!({}))),
        (REFERRALS, "POST", 415, mine("POST", REFERRALS.into()).body("{}")),
        (ONE, "GET", 404, mine("GET", foreign.path())),
        (ONE, "PUT", 400, mine("PUT", deal.path()).json(json!({}))),
        (ONE, "PUT", 412, mine("PUT", deal.path()).header("If-Match", "\"x\"").json(json!({ "name": "N" }))),
        (ONE, "PATCH", 400, mine("PATCH", deal.path()).json(json!({}))),
        (ONE, "PATCH", 404, mine("PATCH", foreign.path()).json(name.clone())),
        (ONE, "PATCH", 409, mine("PATCH", closed.path()).json(name.clone())),
        (ONE, "PATCH", 412, mine("PATCH", deal.path()).header("If-Match", "\"x\"").json(name.clone())),
        (ONE, "PATCH", 413, mine("PATCH", deal.path()).json(" ".repeat(2 << 20).into())),
    ] {
        let answer = call.await.expect(status);
        assert_valid(&error, &answer.body);
        let described = refusal(&document, path, method, status);
        for header in described["headers"].as_object().unwrap().keys() {
            assert!(answer.header(header).is_some(), "{method} {path} {status}: {header}");
        }
    }
    let deleted = mine("DELETE", deal.path()).await.expect(405);
    assert_valid(&error, &deleted.body);
}

/// What the document says of a status of an operation.
fn answer_of<'a>(document: &'a Value, path: &str, method: &str, status: u16) -> &'a Value {
    let responses = &document["paths"][path][method.to_lowercase()]["responses"];
    let answer = responses.get(status.to_string()).unwrap_or_else(|| panic!("{method} {path}: no {status}"));
    match answer["$ref"].as_str() {
        Some(target) => document.pointer(target.strip_prefix('#').unwrap()).unwrap(),
        None => answer,
    }
}

#[tokio::test]
async fn conditional_answers_and_failed_expectations_are_as_described() {
    const ONE: &str = "/v1.0/engagements/referrals/{id}";
    const STALE: (&str, &str) = ("If-Match", "\"x\"");
    for extended in [false, true] {
        let world = if extended { World::extended().await } else { World::new().await };
        let document = document(&world).await;
        let deal = world.contoso().own_deal().await;
        let part = format!("{}/name", deal.path());
        let metadata = world.call("GET", "/v1.0/$metadata").await.header("etag").unwrap().to_owned();
        let mut asked = vec![
            (REFERRALS, "GET", REFERRALS, ("Accept", "application/json"), 200),
            (ONE, "GET", &*deal.path(), ("Accept", "application/json"), 200),
            (ONE, "PATCH", &deal.path(), STALE, 412),
            ("/v1.0/$metadata", "GET", "/v1.0/$metadata", ("If-None-Match", &*metadata), 304),
            (REFERRALS, "GET", REFERRALS, ("Expect", "miracles"), 417),
            (ONE, "PATCH", &deal.path(), ("Expect", "miracles"), 417),
            ("/livez", "GET", "/livez", ("Expect", "miracles"), 417),
            ("/v1.0/", "OPTIONS", "/v1.0/", ("Expect", "miracles"), 417),
        ]
        .into_iter()
        .map(|(path, method, target, header, status)| (path, method, target.to_owned(), header, status))
        .collect::<Vec<_>>();
        if extended {
            asked.extend([
                (ONE, "GET", deal.path(), STALE, 412),
                (ONE, "GET", deal.path(), ("If-None-Match", &*deal.etag), 304),
                (ONE, "HEAD", deal.path(), ("If-None-Match", &*deal.etag), 304),
                (REFERRALS, "GET", REFERRALS.to_owned(), STALE, 412),
                (REFERRALS, "POST", REFERRALS.to_owned(), STALE, 412),
                ("/v1.0/$metadata", "GET", "/v1.0/$metadata".to_owned(), STALE, 412),
                ("/v1.0/engagements/referrals/{id}/{path}", "GET", part.clone(), STALE, 412),
            ]);
        } else {
            // What the strict mode ignores is not offered.
            let get = &document["paths"][ONE]["get"];
            assert!(get["responses"].get("304").is_none() && get["responses"].get("412").is_none());
        }
        for (path, method, target, (name, value), status) in asked {
            let call = world.call(method, &target).as_user(CONTOSO_ADMIN).header(name, value);
            let call = match method {
                "POST" => call.json(support::deal()),
                "PATCH" => call.json(json!([{ "op": "replace", "path": "/name", "value": "N" }])),
                _ => call,
            };
            let answer = call.await;
            assert_eq!(answer.status, status, "{method} {target} {name}: {}", answer.body);
            let described = answer_of(&document, path, method, status);
            for header in described["headers"].as_object().into_iter().flatten().map(|(name, _)| name) {
                assert!(answer.header(header).is_some(), "{method} {target} {status}: {header}");
            }
        }
    }
}

#[tokio::test]
async fn published_bodies_are_as_described() {
    let world = World::new().await;
    let document = document(&world).await;
    for (name, file) in [
        ("NewReferral", "create.connected-microsoft.request.json"),
        ("NewReferral", "create.independent-private.request.json"),
        ("NewReferral", "create.partner-led.request.json"),
        ("NewReferral", "create.services-cosell.request.json"),
        ("NewReferral", "create.shared.request.json"),
        ("ReferralReplacement", "put.request.json"),
        ("ReferralReplacement", "put.request.crm-connector-writes-lead-id.json"),
        ("JsonPatch", "patch.request.accept.json"),
        ("JsonPatch", "patch.request.add-team-member.json"),
        ("JsonPatch", "patch.request.close-as-won.json"),
        ("JsonPatch", "patch.request.crm-id.json"),
        ("JsonPatch", "patch.request.deal-value-and-notes.json"),
        ("JsonPatch", "patch.request.deal-value-and-team-member.json"),
        ("JsonPatch", "patch.request.decline.json"),
        ("ReferralAnswer", "get-by-id.response.full.json"),
        ("ReferralAnswer", "put.response.json"),
        ("ReferralList", "list.response.page-with-next-link.json"),
        ("ReferralList", "list.response.last-page.json"),
        ("ReferralList", "list.response.empty.json"),
        ("ReferralList", "list.response.select.json"),
        ("Error", "error.400.malformed-json.json"),
        ("Error", "error.412.etag-mismatch.json"),
    ] {
        assert_valid(&schema(&document, name), &example(file));
    }
    for (name, file) in [
        ("NewReferral", "create.missing-required.request.json"),
        ("JsonPatch", "patch.request.unsupported-remove.json"),
        ("JsonPatch", "patch.request.not-json-patch.json"),
        ("ReferralAnswer", "get-by-id.response.as-documented.json"),
    ] {
        assert!(!schema(&document, name).is_valid(&example(file)), "{file} is a {name}");
    }
}

#[tokio::test]
async fn what_the_schemas_of_requests_refuse_is_refused() {
    let world = World::new().await;
    let document = document(&world).await;
    let new = schema(&document, "NewReferral");
    for (pointer, value) in [
        ("/type", json!("Other")),
        ("/consent", json!(true)),
        ("/customerProfile/name", json!("")),
        ("/customerProfile/address/country", json!("Germany")),
        ("/customerProfile/team/0/email", json!(1)),
        ("/details/currency", json!("EURO")),
        ("/details/dealValue", json!(-1)),
        ("/details/dealValue", json!("much")),
        ("/details/closingDateTime", json!("tomorrow")),
        ("/details/notes", json!("n".repeat(10_001))),
        ("/mpnId", json!("12a")),
        ("/engagementId", json!("x")),
        ("/team/0", json!("somebody")),
    ] {
        let mut body = deal();
        body["mpnId"] = json!("1");
        body["engagementId"] = json!("c5fbb3b6-be74-4795-9fb5-4324c73fed37");
        *body.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value.clone();
        assert!(!new.is_valid(&body), "{pointer} {value}");
        world.contoso().posts(body).await.expect(400);
    }
}

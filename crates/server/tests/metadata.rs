//! `$metadata` and the service document: their forms, who may read them, and that they tell the truth.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::*;

/// Both context roots of spec 5.6, and the aliases of spec 2.3.
const PLACES: [&str; 6] = [
    "/v1.0/$metadata",
    "/v1.0/engagements/referrals/$metadata",
    "/v1.0/engagments/referrals/$metadata",
    "/v1.0/referrals/$metadata",
    "/engagements/v1/referrals/$metadata",
    "/referrals/v1.0/engagements/referrals/$metadata",
];

async fn worlds() -> [World; 3] {
    [World::new().await, World::extended().await, World::program().await]
}

async fn metadata(world: &World, form: &str) -> Answer {
    world.call("GET", &format!("/v1.0/$metadata?$format={form}")).await.expect(200)
}

#[tokio::test]
async fn every_context_root_serves_the_same_bytes_to_anybody() {
    for world in worlds().await {
        for form in ["xml", "json"] {
            let first = metadata(&world, form).await;
            for place in PLACES {
                let answer = world.call("GET", &format!("{place}?$format={form}")).await.expect(200);
                assert_eq!(answer.bytes, first.bytes, "{place}");
                assert_eq!(answer.header("etag"), first.header("etag"), "{place}");
                assert_eq!(answer.header("odata-version"), Some("4.0"), "{place}");
            }
        }
    }
}

#[tokio::test]
async fn the_context_of_every_answer_leads_to_the_metadata() {
    // REF-205
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    let contexts = [
        world.contoso().gets(&deal.id).await.text("@odata.context"),
        world.contoso().lists("").await.text("@odata.context"),
        world.call("GET", "/v1.0/").await.text("@odata.context"),
    ];
    for context in contexts {
        let path = context.strip_prefix(BASE).unwrap().split('#').next().unwrap().to_owned();
        let answer = world.call("GET", &path).await.expect(200);
        assert!(answer.bytes.starts_with(b"<?xml"), "{context}");
    }
}

#[tokio::test]
async fn the_form_follows_accept_unless_format_names_it() {
    let world = World::new().await;
    let (xml, json) = ("application/xml", "application/json");
    for (accept, query, form) in [
        (None, "", xml),
        (Some("*/*"), "", xml),
        (Some(xml), "", xml),
        (Some(json), "", json),
        (Some("text/html,application/xml;q=0.9,*/*;q=0.8"), "", xml),
        (Some(xml), "?$format=json", json),
        (Some("text/html"), "?$format=application/json;odata.metadata=minimal", json),
        (Some(json), "?%24format=xml", xml),
        (Some(json), "?$FORMAT=application%2Fxml", xml),
        (None, "?unknown=1", xml),
    ] {
        let call = world.call("GET", &format!("/v1.0/$metadata{query}"));
        let answer =
            accept.into_iter().fold(call, |call, accept| call.header("Accept", accept)).await.expect(200);
        assert_eq!(answer.header("content-type"), Some(form), "{accept:?} {query}");
        assert_eq!(answer.body.is_object(), form == json, "{accept:?} {query}");
    }
}

#[tokio::test]
async fn a_client_of_the_first_version_gets_xml_where_it_takes_it() {
    let world = World::new().await;
    let both = "application/json;odata.metadata=minimal;q=1.0,application/xml;q=0.7";
    for (version, accept, form) in [
        (Some("4.0"), both, "application/xml"),
        (Some("4.01"), both, "application/json;odata.metadata=minimal"),
        (None, both, "application/json;odata.metadata=minimal"),
        (Some("4.0"), "application/json", "application/json"),
    ] {
        let call = world.call("GET", "/v1.0/$metadata").header("Accept", accept);
        let call = version.into_iter().fold(call, |call, version| call.header("OData-MaxVersion", version));
        let answer = call.await.expect(200);
        assert_eq!(answer.header("content-type"), Some(form), "{version:?} {accept}");
    }
}

#[tokio::test]
async fn the_document_is_of_the_version_that_its_header_names() {
    let world = World::new().await;
    for (wish, version) in [(None, "4.0"), (Some("4.0"), "4.0"), (Some("4.01"), "4.01")] {
        for form in ["xml", "json"] {
            let call = world.call("GET", &format!("/v1.0/$metadata?$format={form}"));
            let call = wish.into_iter().fold(call, |call, wish| call.header("OData-MaxVersion", wish));
            let answer = call.await.expect(200);
            assert_eq!(answer.header("odata-version"), Some(version), "{wish:?}");
            let said = match form {
                "json" => answer.text("$Version"),
                _ => {
                    let text = String::from_utf8(answer.bytes.to_vec()).unwrap();
                    text.split("Version=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
                }
            };
            assert_eq!(said, version, "{wish:?} {form}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_produced_is_refused_in_the_houses_face() {
    let world = World::new().await;
    for place in ["/v1.0/$metadata", "/v1.0/engagements/referrals/$metadata", "/v1.0/"] {
        let call = |query: &str| world.call("GET", &format!("{place}{query}"));
        call("").header("Accept", "text/html").await.refused(
            406,
            "invalidRequest",
            "Accept",
            "notAcceptable",
        );
        call("?$format=atom").await.refused(406, "invalidRequest", "$format", "notAcceptable");
        call("?$filter=1").await.refused(400, "invalidRequest", "$filter", "unsupportedQuery");
        call("?$format=%zz").await.refused(400, "invalidRequest", "$format", "unsupportedQuery");
        let post = world.call("POST", place).json(json!({})).await;
        let post = post.refused(405, "invalidRequest", "method", "methodNotAllowed");
        assert_eq!(post.header("allow"), Some("GET, HEAD, OPTIONS"));
    }
    world.call("GET", "/v1.0/?$format=xml").await.refused(406, "invalidRequest", "$format", "notAcceptable");
}

#[tokio::test]
async fn a_client_that_has_the_document_is_told_so() {
    let world = World::new().await;
    for place in ["/v1.0/$metadata", "/v1.0/$metadata?$format=json", "/v1.0/"] {
        let first = world.call("GET", place).await.expect(200);
        let tag = first.header("etag").unwrap().to_owned();
        assert!(first.header("cache-control").is_some_and(|line| line.contains("max-age=")), "{place}");
        assert_eq!(first.header("vary"), Some("accept, odata-maxversion"), "{place}");
        let known = world.call("GET", place).header("If-None-Match", &tag).await.expect(304);
        assert_eq!(known.header("etag"), Some(&*tag), "{place}");
        world.call("GET", place).header("If-None-Match", "\"other\"").await.expect(200);
        let head = world.call("HEAD", place).await.expect(200);
        assert_eq!(head.header("content-length"), Some(&*first.bytes.len().to_string()), "{place}");
    }
    let [xml, json] = [metadata(&world, "xml").await, metadata(&world, "json").await];
    assert_ne!(xml.header("etag"), json.header("etag"));
}

#[tokio::test]
async fn the_service_document_names_the_referrals_and_where_they_are() {
    let world = World::new().await;
    let document = world.call("GET", "/v1.0/").await.expect(200);
    let set = json!({ "name": "Referrals", "kind": "EntitySet", "url": "engagements/referrals" });
    assert_eq!(document.body, json!({ "@odata.context": format!("{BASE}/v1.0/$metadata"), "value": [set] }));
    assert_eq!(document.header("odata-version"), Some("4.0"));
    assert_eq!(world.call("GET", "/v1.0").await.expect(200).bytes, document.bytes);
    let url = document.body["value"][0]["url"].as_str().unwrap();
    world.call("GET", &format!("/v1.0/{url}")).as_user(CONTOSO_ADMIN).await.expect(200);
}

fn vector(name: &str) -> String {
    format!("{}/../../tests/vectors/odata-csdl/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test]
async fn the_xml_is_valid_by_the_schema_of_csdl() {
    for world in worlds().await {
        let answer = metadata(&world, "xml").await;
        let mut xmllint = Command::new("xmllint")
            .args(["--noout", "--nonet", "--schema", &vector("edmx.xsd"), "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("xmllint, of the package libxml2-utils; ./check installs it");
        std::io::Write::write_all(&mut xmllint.stdin.take().unwrap(), &answer.bytes).unwrap();
        let judged = xmllint.wait_with_output().unwrap();
        assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
    }
}

#[tokio::test]
async fn the_json_is_valid_by_the_schema_of_csdl() {
    // DIFFERENCE: a name may be longer than 128 characters here. With that limit the pattern is too large to compile.
    let text = std::fs::read_to_string(vector("csdl.schema.json")).unwrap().replace("{0,127}", "*");
    let schema: Value = serde_json::from_str(&text).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for world in worlds().await {
        let answer = metadata(&world, "json").await;
        let errors: Vec<String> = schema
            .iter_errors(&answer.body)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}

#[tokio::test]
async fn a_client_that_goes_by_the_entity_sets_name_finds_the_referrals_when_extended() {
    for (world, status) in [(World::new().await, 404), (World::extended().await, 200)] {
        let deal = world.contoso().own_deal().await;
        for path in [
            "/v1.0/Referrals".to_owned(),
            format!("/v1.0/Referrals/{}", deal.id),
            format!("/v1.0/Referrals({})", deal.id),
        ] {
            world.call("GET", &path).as_user(CONTOSO_ADMIN).await.expect(status);
        }
    }
}

#[tokio::test]
async fn no_two_names_of_a_type_differ_by_case_alone() {
    let document = metadata(&World::extended().await, "json").await.body;
    let namespace =
        document.as_object().unwrap().iter().find(|(name, _)| name.starts_with("Cosell")).unwrap().1;
    let names = |of: &Value| -> Vec<String> {
        of.as_object().into_iter().flatten().map(|(name, _)| name.to_lowercase()).collect()
    };
    for (name, of) in std::iter::once(("", namespace))
        .chain(namespace.as_object().unwrap().iter().map(|(name, of)| (name.as_str(), of)))
    {
        let all = names(of);
        let mut once = all.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), all.len(), "{name}");
    }
}

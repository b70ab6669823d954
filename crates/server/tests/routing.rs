//! Which paths and methods there are, and what the others answer. Source: spec 2.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::{Value, json};
use support::*;

/// The collection by every name it has (spec 2.2, 2.3).
const COLLECTIONS: [&str; 5] = [
    "/v1.0/engagements/referrals",
    "/v1.0/engagments/referrals",
    "/v1.0/referrals",
    "/engagements/v1/referrals",
    "/referrals/v1.0/engagements/referrals",
];

#[tokio::test]
async fn the_five_calls_answer_as_documented() {
    let world = World::new().await;
    let created = world.contoso().posts(deal()).await.expect(201); // REF-003
    assert_eq!(created.body["organizationId"], CONTOSO);
    let deal = Deal::of(&created);
    let list = world.contoso().lists("").await.expect(200); // REF-001
    assert_eq!(list.body["value"][0]["id"], *deal.id);
    let got = world.contoso().gets(&deal.id).await.expect(200); // REF-002
    assert_eq!(got.body, created.body);
    let put = world.contoso().puts(&deal.id, &deal.etag, json!({ "name": "Second" })).await.expect(200); // REF-004
    assert_eq!((&put.body["name"], &put.body["id"]), (&json!("Second"), &json!(deal.id)));
    assert_eq!(put.body["customerProfile"], created.body["customerProfile"]);
    let patched = world.contoso().replaces(&deal.id, "/name", json!("Third")).await.expect(204); // REF-005
    assert!(patched.bytes.is_empty());
    assert_eq!(world.contoso().sees(&deal.id).await.body["name"], "Third");
}

#[tokio::test]
async fn every_alias_serves_every_call() {
    // REF-008 REF-009 REF-010
    let world = World::new().await;
    let mut expected = 0;
    for collection in COLLECTIONS {
        let call = |method: &str, path: String| world.call(method, &path).as_user(CONTOSO_ADMIN);
        let created = call("POST", collection.to_owned()).json(small_deal()).send().await.expect(201);
        expected += 1;
        let deal = Deal::of(&created);
        let alias = format!("{collection}/{}", deal.id);
        // Whatever the name it was asked by, the answer speaks of the canonical one.
        assert_eq!(created.header("location"), Some(&*format!("{BASE}{}", deal.path())), "{collection}");
        assert_eq!(created.body["links"]["self"]["uri"], format!("{BASE}{}", deal.path()), "{collection}");

        let canonical = world.contoso().gets(&deal.id).await.expect(200);
        let aliased = call("GET", alias.clone()).send().await.expect(200);
        assert_eq!(aliased.bytes, canonical.bytes, "{alias}");
        let put = call("PUT", alias.clone()).header("If-Match", &deal.etag).json(json!({ "name": "A" }));
        put.send().await.expect(200);
        let patch = json!([{ "op": "replace", "path": "/name", "value": "B" }]);
        call("PATCH", alias).json(patch).send().await.expect(204);

        let list = call("GET", collection.to_owned()).send().await.expect(200);
        assert_eq!(list.body["@odata.count"], expected, "{collection}");
        assert_eq!(list.bytes, world.contoso().lists("").await.bytes, "{collection}");
    }
}

#[tokio::test]
async fn a_next_link_may_be_followed_on_the_shortened_path() {
    // REF-009
    let world = World::new().await;
    for _ in 0..101 {
        world.contoso().creates(small_deal()).await;
    }
    let first = world.contoso().lists("").await.expect(200);
    let link = first.text("@odata.nextLink");
    let query = link.split_once('?').unwrap().1;
    let canonical = world.contoso().lists(&format!("?{query}")).await.expect(200);
    let shortened =
        world.call("GET", &format!("/v1.0/referrals?{query}")).as_user(CONTOSO_ADMIN).await.expect(200);
    assert_eq!(shortened.bytes, canonical.bytes);
    assert_eq!(shortened.body["value"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn slashes_case_and_percent_signs_name_the_same_referral() {
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    let upper = deal.id.to_uppercase();
    assert_ne!(upper, deal.id);
    let escaped: String = deal.id.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let canonical = world.contoso().gets(&deal.id).await.expect(200);
    for (path, what) in [
        (format!("{REFERRALS}/{}/", deal.id), "REF-011 one slash"),
        (format!("{REFERRALS}/{}//", deal.id), "REF-011 two slashes"),
        (format!("{REFERRALS}/{upper}"), "REF-013 upper case"),
        (format!("{REFERRALS}/{escaped}"), "encoded letters"),
        (format!("/v1%2E0/engagements/%72eferrals/{}", deal.id), "encoded names"),
        (format!("{REFERRALS}/{}?api-version=1", deal.id), "a query that means nothing"),
    ] {
        let answer = world.call("GET", &path).as_user(CONTOSO_ADMIN).await.expect(200);
        assert_eq!(answer.bytes, canonical.bytes, "{what}");
    }
    // The connector's slashes on a write, and an upper-case id, too.
    for (path, name) in [(format!("{}//", deal.path()), "One"), (format!("{REFERRALS}/{upper}/"), "Two")] {
        let patch = json!([{ "op": "replace", "path": "/name", "value": name }]);
        world.call("PATCH", &path).as_user(CONTOSO_ADMIN).json(patch).await.expect(204);
        assert_eq!(world.contoso().sees(&deal.id).await.body["name"], name);
    }
    assert_eq!(world.call("GET", &format!("{REFERRALS}/")).as_user(CONTOSO_ADMIN).await.status, 200);
}

#[tokio::test]
async fn unknown_paths_answer_404_before_anything_else() {
    // REF-012
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    for path in [
        "/".to_owned(),
        "/v1".to_owned(),
        "/v1.0/engagements".to_owned(),
        "/v1.0/$metadata/more".to_owned(),
        "/v1.0/engagements/referral".to_owned(),
        "/v1.0/engagements/referralsX".to_owned(),
        "/v2.0/engagements/referrals".to_owned(),
        format!("{REFERRALS}/{}/team", deal.id),
        format!("{REFERRALS}//{}", deal.id),
        format!("{REFERRALS}%2F{}", deal.id),
        format!("{REFERRALS}/{}%2f", deal.id),
        format!("{REFERRALS}/$count"),
        format!("{REFERRALS}({})", deal.id),
        "/v1.0/engagements/%ff".to_owned(),
        "/v1.0/engagements/referrals/%zz".to_owned(),
        "/v1/referrals".to_owned(),
        "/v1.0/$batch".to_owned(),
    ] {
        for method in ["GET", "POST", "DELETE", "BREW"] {
            let answer = world.call(method, &path).header("Accept", "application/xml").await;
            // `$count` looks like an id; an id needs a token to be looked for.
            if path.ends_with("$count") {
                assert_ne!(answer.status, 200);
                continue;
            }
            let answer = answer.refused(404, "itemNotFound", "path", "");
            assert!(answer.header("x-cosell-hint").is_some_and(|hint| hint.contains(REFERRALS)), "{path}");
        }
    }
    world.contoso().lists("/$count").await.refused(404, "itemNotFound", "referral", "");
}

#[tokio::test]
async fn ids_that_are_no_guids_name_nothing() {
    let world = World::new().await;
    for id in [
        "1",
        "c5fbb3b6be7447959fb55324c73fed37",
        "{c5fbb3b6-be74-4795-9fb5-4324c73fed37}",
        "a%20b",
        "%00",
        "ü",
    ] {
        let path =
            format!("{REFERRALS}/{}", id.replace('{', "%7B").replace('}', "%7D").replace('ü', "%C3%BC"));
        world.call("GET", &path).as_user(CONTOSO_ADMIN).await.refused(404, "itemNotFound", "referral", "");
        let put = world.call("PUT", &path).as_user(CONTOSO_ADMIN).header("If-Match", "*").json(json!({}));
        put.await.refused(404, "itemNotFound", "referral", "");
        let patch = world.call("PATCH", &path).as_user(CONTOSO_ADMIN).json(json!([]));
        patch.await.refused(404, "itemNotFound", "referral", "");
        // What the body alone shows comes first.
        let links = world
            .call("PUT", &path)
            .as_user(CONTOSO_ADMIN)
            .header("If-Match", "*")
            .json(json!({ "links": {} }));
        links.await.refused(400, "invalidRequest", "links", "readOnlyProperty");
    }
    // A body that was decoded wrongly is no way to another id.
    world.contoso().gets("ffffffff-ffff-4fff-8fff-ffffffffffff").await.refused(
        404,
        "itemNotFound",
        "referral",
        "",
    );
}

#[tokio::test]
async fn other_methods_answer_405_with_what_there_is() {
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    let kept = world.stored_bytes(&deal.id).await;
    for (method, path, allow) in [
        ("DELETE", deal.path(), "GET, HEAD, PUT, PATCH, OPTIONS"), // REF-006
        ("POST", deal.path(), "GET, HEAD, PUT, PATCH, OPTIONS"),
        ("TRACE", deal.path(), "GET, HEAD, PUT, PATCH, OPTIONS"),
        ("BREW", deal.path(), "GET, HEAD, PUT, PATCH, OPTIONS"),
        ("get", deal.path(), "GET, HEAD, PUT, PATCH, OPTIONS"),
        ("PUT", REFERRALS.to_owned(), "GET, HEAD, POST, OPTIONS"), // REF-007
        ("PATCH", REFERRALS.to_owned(), "GET, HEAD, POST, OPTIONS"),
        ("DELETE", REFERRALS.to_owned(), "GET, HEAD, POST, OPTIONS"),
        ("POST", "/livez".to_owned(), "GET, HEAD, OPTIONS"),
        ("DELETE", "/docs/patch".to_owned(), "GET, HEAD, OPTIONS"),
        ("GET", "/common/oauth2/token".to_owned(), "POST, OPTIONS"),
        ("POST", "/common/discovery/v2.0/keys".to_owned(), "GET, HEAD, OPTIONS"),
    ] {
        // Neither a token nor a readable body is needed to learn it.
        let answer = world.call(method, &path).body("[").await;
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        if path != "/livez" && !path.contains("oauth2") {
            answer.refused(405, "invalidRequest", "method", "methodNotAllowed");
        }
    }
    let answer = world.call("DELETE", &deal.path()).as_user(CONTOSO_ADMIN).await;
    assert_eq!(answer.body, example("error.405.method-not-allowed.json"));
    assert_eq!(world.stored_bytes(&deal.id).await, kept);
}

#[tokio::test]
async fn a_very_long_method_is_cut_in_the_answer() {
    let world = World::new().await;
    let answer = world.call(&"M".repeat(4000), REFERRALS).await;
    let answer = answer.refused(405, "invalidRequest", "method", "methodNotAllowed");
    assert!(answer.body["error"]["innerError"]["message"].as_str().unwrap().chars().count() <= 40);
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    for (path, user) in [
        (deal.path(), CONTOSO_ADMIN),
        (REFERRALS.to_owned(), CONTOSO_ADMIN),
        (path("ffffffff-ffff-4fff-8fff-ffffffffffff"), CONTOSO_ADMIN),
        (deal.path(), CONTOSO_NOBODY),
        ("/livez".to_owned(), CONTOSO_ADMIN),
        ("/nowhere".to_owned(), CONTOSO_ADMIN),
    ] {
        let get = world.call("GET", &path).as_user(user).await;
        let head = world.call("HEAD", &path).as_user(user).await;
        assert_eq!(head.status, get.status, "{path}");
        assert!(head.bytes.is_empty());
        assert_eq!(head.header("content-length"), Some(&*get.bytes.len().to_string()), "{path}");
        for name in ["content-type", "etag", "odata-version"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
}

#[tokio::test]
async fn options_says_what_a_path_offers() {
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    for (path, allow, accept_patch) in [
        (REFERRALS.to_owned(), "GET, HEAD, POST, OPTIONS", None),
        (
            deal.path(),
            "GET, HEAD, PUT, PATCH, OPTIONS",
            Some("application/json-patch+json, application/json"),
        ),
        (
            format!("/engagements/v1/referrals/{}", deal.id),
            "GET, HEAD, PUT, PATCH, OPTIONS",
            Some("application/json-patch+json, application/json"),
        ),
        ("/livez".to_owned(), "GET, HEAD, OPTIONS", None),
        ("/common/oauth2/v2.0/token".to_owned(), "POST, OPTIONS", None),
    ] {
        let answer = world.call("OPTIONS", &path).await.expect(204);
        assert_eq!(
            (answer.header("allow"), answer.header("accept-patch")),
            (Some(allow), accept_patch),
            "{path}"
        );
    }
    world.call("OPTIONS", "*").await.expect(204);
    world.call("OPTIONS", "/nowhere").await.refused(404, "itemNotFound", "path", "");
}

#[tokio::test]
async fn get_needs_no_body_and_passes_over_its_content_type() {
    // REF-014
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    let plain = world.contoso().gets(&deal.id).await.expect(200);
    for content_type in ["application/json", "text/plain", "no type at all"] {
        let call =
            world.call("GET", &deal.path()).as_user(CONTOSO_ADMIN).header("Content-Type", content_type);
        assert_eq!(call.await.expect(200).bytes, plain.bytes);
    }
    let with_body = world.call("GET", &deal.path()).as_user(CONTOSO_ADMIN).json(json!({ "name": "x" }));
    assert_eq!(with_body.await.expect(200).bytes, plain.bytes);
}

#[tokio::test]
async fn the_issuer_is_there_only_when_it_is_given() {
    let world = World::new().await;
    let metadata =
        world.call("GET", &format!("/{CONTOSO}/v2.0/.well-known/openid-configuration")).await.expect(200);
    assert_eq!(metadata.text("issuer"), format!("{BASE}/{CONTOSO}/v2.0"));
    assert_eq!(metadata.header("cache-control"), Some("no-store"));
    let keys = world.call("GET", "/common/discovery/v2.0/keys").await.expect(200);
    assert_eq!(keys.body["keys"].as_array().unwrap().len(), 1);

    let form = format!(
        "grant_type=password&username={CONTOSO_ADMIN}&password=cosell&scope={BASE}/.default&client_id=x"
    );
    let token = world.call("POST", "/organizations/oauth2/v2.0/token").body(form).await.expect(200);
    let bearer = token.text("access_token");
    world.call("GET", REFERRALS).bearer(&bearer).await.expect(200);
    let wrong = "grant_type=password&username=x&password=y&scope=a/.default";
    let refused = world.call("POST", "/common/oauth2/v2.0/token").body(wrong).await.expect(400);
    assert_eq!(refused.body["error"], Value::from("invalid_grant"));

    let bare = server::App::new(
        world.exchange.clone(),
        identity::TokenVerifier::new(Vec::new(), 0),
        None,
        std::sync::Arc::new(Chance::default()),
        server::ServerOptions::new(BASE),
    );
    let request =
        http::Request::get("/common/discovery/v2.0/keys").header("host", "a").body(String::new()).unwrap();
    assert_eq!(bare.handle(request).await.status(), 404);
}

//! Who is calling, and what they may do. Source: spec 3.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::{Value, json};
use store::{Assignment, Store};
use support::*;

/// A token of the claims, bent.
fn bent(world: &World, bend: impl FnOnce(&mut Value)) -> String {
    let mut claims = world.claims();
    bend(&mut claims);
    signed(&claims)
}

async fn lists_with(world: &World, authorization: &str) -> Answer {
    world.call("GET", REFERRALS).header("Authorization", authorization).await
}

#[tokio::test]
async fn no_bearer_token_is_token_missing() {
    // REF-015 REF-016 (the harness holds every 401 to WWW-Authenticate)
    let world = World::new().await;
    let answer =
        world.call("GET", REFERRALS).await.refused(401, "unauthenticated", "Authorization", "tokenMissing");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"referrals\""));
    let token = world.token(CONTOSO_ADMIN).await;
    for line in ["", "Basic YWRtaW46Y29zZWxs", "Bearer", "Bearer ", &token, &format!("Token {token}")] {
        lists_with(&world, line).await.refused(401, "unauthenticated", "Authorization", "tokenMissing");
    }
    // Every call of the API asks for it.
    let id = "ffffffff-ffff-4fff-8fff-ffffffffffff";
    for (method, path) in [
        ("GET", path(id)),
        ("PUT", path(id)),
        ("PATCH", path(id)),
        ("POST", REFERRALS.to_owned()),
        ("HEAD", path(id)),
    ] {
        assert_eq!(world.call(method, &path).await.status, 401, "{method}");
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_believed_is_token_invalid() {
    let world = World::new().await;
    let good = signed(&world.claims());
    lists_with(&world, &format!("Bearer {good}")).await.expect(200);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let other = signed(&json!({ "other": true }));
    let foreign = other.rsplit_once('.').unwrap().1;
    for (what, token) in [
        ("no token", "abc".to_owned()),
        ("three words", "a b c".to_owned()),
        ("a foreign signature", format!("{head}.{foreign}")),
        ("no signature", format!("{head}.")),
        ("a claim changed", {
            let payload = bent(&world, |claims| claims["roles"] = json!(["ReferralUser"]));
            let mut parts: Vec<&str> = payload.split('.').collect();
            parts[2] = signature;
            parts.join(".")
        }),
        ("another issuer", bent(&world, |claims| claims["iss"] = "https://elsewhere.example/".into())),
        ("issuer and tenant that disagree", bent(&world, |claims| claims["tid"] = FABRIKAM.into())),
        ("no expiry", bent(&world, |claims| drop(claims.as_object_mut().unwrap().shift_remove("exp")))),
        ("no audience", bent(&world, |claims| drop(claims.as_object_mut().unwrap().shift_remove("aud")))),
        (
            "no subject",
            bent(&world, |claims| {
                claims.as_object_mut().unwrap().shift_remove("oid");
                claims.as_object_mut().unwrap().shift_remove("sub");
            }),
        ),
    ] {
        let answer = lists_with(&world, &format!("Bearer {token}")).await;
        assert_eq!(answer.status, 401, "{what}");
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer realm=\"referrals\", error=\"invalid_token\""),
            "{what}"
        );
        answer.refused(401, "unauthenticated", "Authorization", "tokenInvalid");
    }
    let twice = world.call("GET", REFERRALS).bearer(&good).bearer(&good).await;
    twice.refused(401, "unauthenticated", "Authorization", "tokenInvalid");
}

#[tokio::test]
async fn a_refresh_token_opens_nothing() {
    let world = World::new().await;
    let form = format!(
        "grant_type=password&username={CONTOSO_ADMIN}&password=cosell&resource=https%3A%2F%2Fapi.partner.microsoft.com"
    );
    let answer = world.call("POST", "/common/oauth2/token").body(form).await.expect(200);
    let refresh = answer.text("refresh_token");
    let answer = lists_with(&world, &format!("Bearer {refresh}")).await;
    answer.refused(401, "unauthenticated", "Authorization", "tokenInvalid");
}

#[tokio::test]
async fn times_and_audience_are_judged_after_the_signature() {
    let world = World::new().await;
    let now = world.clock.seconds();
    for (inner, bend) in [
        ("tokenExpired", json!({ "exp": now })), // REF-017
        ("tokenExpired", json!({ "exp": now - 1 })),
        ("tokenNotYetValid", json!({ "nbf": now + 1 })),
        ("invalidAudience", json!({ "aud": "https://graph.microsoft.com" })), // REF-018
        ("invalidAudience", json!({ "aud": ["https://graph.microsoft.com", "x"] })),
        ("invalidAudience", json!({ "aud": "https://api.partner.microsoft.com/x" })),
    ] {
        let token = bent(&world, |claims| {
            for (name, value) in bend.as_object().unwrap() {
                claims[name] = value.clone();
            }
        });
        let answer = lists_with(&world, &format!("Bearer {token}")).await;
        let answer = answer.refused(401, "unauthenticated", "Authorization", inner);
        let mut expected = example("error.401.unauthenticated.json");
        expected["error"]["innerError"] = answer.body["error"]["innerError"].clone();
        assert_eq!(answer.body, expected);
    }
    for good in [json!({ "exp": now + 1 }), json!({ "nbf": now }), json!({ "aud": ["x", BASE] })] {
        let token = bent(&world, |claims| {
            for (name, value) in good.as_object().unwrap() {
                claims[name] = value.clone();
            }
        });
        lists_with(&world, &format!("Bearer {token}")).await.expect(200);
    }
    let without_nbf = bent(&world, |claims| drop(claims.as_object_mut().unwrap().shift_remove("nbf")));
    lists_with(&world, &format!("Bearer {without_nbf}")).await.expect(200);
    lists_with(&world, &format!("bearer  {without_nbf} ")).await.expect(200);
}

#[tokio::test]
async fn the_published_audiences_and_the_public_url_are_accepted() {
    let world = World::new().await;
    for audience in [
        "https://api.partner.microsoft.com", // REF-019
        "https://api.partner.microsoft.com/",
        "4990cffe-04e8-4e8b-808a-1175604b879f",
        BASE, // REF-020
        "https://127.0.0.1:8080",
        "https://127.0.0.1",
    ] {
        let token = world.token_for(CONTOSO_ADMIN, audience).await;
        world.call("GET", REFERRALS).bearer(&token).await.expect(200);
    }
}

#[tokio::test]
async fn a_server_accepts_the_published_audience_only_when_it_is_told_to() {
    // REF-019
    let world = World::new().await;
    let token = world.token(CONTOSO_ADMIN).await;
    let own = world.token_for(CONTOSO_ADMIN, BASE).await;
    for (audiences, published) in [(vec![BASE], 401), (vec![BASE, "https://api.partner.microsoft.com"], 200)]
    {
        let audiences: Vec<String> = audiences.into_iter().map(str::to_owned).collect();
        let verifier = identity::TokenVerifier::new(world.issuer.verifier_issuers(&audiences), 0);
        let mut options = server::ServerOptions::new(BASE);
        options.issuer_names = vec!["sandbox".to_owned(); 2];
        let chance = std::sync::Arc::new(Chance::default());
        let app = server::App::new(world.exchange.clone(), verifier, None, chance, options);
        for (token, status) in [(&token, published), (&own, 200)] {
            let request = http::Request::get(REFERRALS)
                .header("host", "a")
                .header("authorization", format!("Bearer {token}"))
                .body(String::new())
                .unwrap();
            assert_eq!(app.handle(request).await.status(), status, "{audiences:?}");
        }
    }
}

#[tokio::test]
async fn a_remembered_token_expires_all_the_same() {
    // REF-017
    let world = World::new().await;
    let token = world.token(CONTOSO_ADMIN).await;
    let get = || world.call("GET", REFERRALS).bearer(&token);
    get().await.expect(200);
    get().await.expect(200);
    world.clock.advance(TOKEN_LIFETIME - 1);
    get().await.expect(200);
    world.clock.advance(1);
    get().await.refused(401, "unauthenticated", "Authorization", "tokenExpired");
    world.clock.advance(-1);
    get().await.expect(200);
}

#[tokio::test]
async fn without_a_role_or_an_organization_there_is_no_access() {
    let world = World::new().await;
    // REF-021
    let answer = world.person(CONTOSO_NOBODY).lists("").await;
    let answer = answer.refused(403, "accessDenied", "referral", "missingRole");
    assert_eq!(answer.body, example("error.403.access-denied.json"));
    // A role of a tenant that takes no part.
    world.person(STRANGER).lists("").await.refused(403, "accessDenied", "referral", "missingRole");
    for (roles, status) in [
        (json!([]), 403),
        (json!(["BusinessProfileAdmin", "CosellSolutionAdmin", "Admin"]), 403),
        (json!("ReferralAdmin"), 200),
        (json!(["other", "referraladmin"]), 200),
    ] {
        let token = bent(&world, |claims| claims["roles"] = roles.clone());
        assert_eq!(world.call("GET", REFERRALS).bearer(&token).await.status, status, "{roles}");
    }
}

#[tokio::test]
async fn a_role_may_be_given_by_the_server() {
    let mut world = World::new().await;
    let assign = |identity: &str, role| Assignment {
        organization: CONTOSO.parse().unwrap(),
        identity: identity.to_owned(),
        role,
    };
    world.store.save_assignment(&assign(CONTOSO_NOBODY, store::Role::ReferralAdmin)).await.unwrap();
    world.restart().await;
    let deal = world.contoso().own_deal().await;
    assert_eq!(world.person(CONTOSO_NOBODY).sees(&deal.id).await.body, deal.body);
    world.store.save_assignment(&assign(CONTOSO_NOBODY, store::Role::ReferralUser)).await.unwrap();
    world.restart().await;
    world.person(CONTOSO_NOBODY).gets(&deal.id).await.refused(403, "accessDenied", "referral", "notOnTeam");
    // The same name in another organization has no such role.
    let token = bent(&world, |claims| {
        claims["iss"] = format!("{BASE}/{FABRIKAM}/").into();
        claims["tid"] = FABRIKAM.into();
        claims["upn"] = CONTOSO_NOBODY.into();
        claims["roles"] = json!([]);
    });
    world.call("GET", REFERRALS).bearer(&token).await.refused(403, "accessDenied", "referral", "missingRole");
}

#[tokio::test]
async fn applications_are_refused_unless_the_switch_is_on() {
    // REF-022
    let mut world = World::new().await;
    let token = world.application_token(CONTOSO).await;
    world.call("GET", REFERRALS).bearer(&token).await.refused(403, "accessDenied", "referral", "appOnly");
    let with_role = bent(&world, |claims| {
        for person in ["upn", "scp"] {
            claims.as_object_mut().unwrap().shift_remove(person);
        }
        claims["idtyp"] = "app".into();
    });
    world.call("GET", REFERRALS).bearer(&with_role).await.refused(403, "accessDenied", "referral", "appOnly");
    world.restart_with(|_, policy| policy.app_only = true).await;
    world.call("GET", REFERRALS).bearer(&token).await.refused(403, "accessDenied", "referral", "missingRole");
    let created = world.call("POST", REFERRALS).bearer(&with_role).json(deal()).await.expect(201);
    assert_eq!(created.body["organizationId"], CONTOSO);
}

#[tokio::test]
async fn a_referral_admin_reaches_every_referral_of_the_organization() {
    // REF-023
    let world = World::new().await;
    let mut of_the_user = deal();
    of_the_user["team"] = json!([member(CONTOSO_USER)]);
    let deal = world.person(CONTOSO_USER).creates(of_the_user).await;
    let admin = world.contoso();
    assert_eq!(admin.sees(&deal.id).await.body, deal.body);
    assert_eq!(admin.lists("").await.body["value"][0]["id"], *deal.id);
    admin.replaces(&deal.id, "/name", json!("Of the admin")).await.expect(204);
    let etag = admin.sees(&deal.id).await.etag;
    admin.puts(&deal.id, &etag, json!({ "name": "Of the admin again" })).await.expect(200);
    // Sent from outside: the organization's, too.
    let sent = world.microsoft().creates(invitation(CONTOSO_LOCATION)).await;
    admin.replaces(&sent.id, "/status", json!("Active")).await.expect(204);
}

#[tokio::test]
async fn a_global_admin_counts_as_referral_admin_while_the_switch_is_on() {
    // REF-024
    let mut world = World::new().await;
    let deal = world.contoso().own_deal().await;
    let global = world.person(CONTOSO_GLOBAL);
    assert_eq!(global.sees(&deal.id).await.body, deal.body);
    global.replaces(&deal.id, "/name", json!("Global")).await.expect(204);
    global.own_deal().await;
    world.restart_with(|_, policy| policy.global_admin_counts = false).await;
    let global = world.person(CONTOSO_GLOBAL);
    global.gets(&deal.id).await.refused(403, "accessDenied", "referral", "missingRole");
}

#[tokio::test]
async fn a_referral_user_works_on_referrals_with_itself_on_the_team() {
    // REF-025 REF-030
    let world = World::new().await;
    let user = world.person(CONTOSO_USER);
    for email in [CONTOSO_USER, "User@Contoso.EXAMPLE"] {
        let mut body = deal();
        body["team"] = json!([member("someone@contoso.example"), member(email)]);
        let deal = world.contoso().creates(body).await;
        assert_eq!(user.sees(&deal.id).await.body, deal.body);
        user.replaces(&deal.id, "/name", json!("Mine")).await.expect(204);
        let etag = user.sees(&deal.id).await.etag;
        user.puts(&deal.id, &etag, json!({ "name": "Mine again" })).await.expect(200);
    }
}

#[tokio::test]
async fn a_referral_user_does_not_reach_the_others() {
    // REF-026
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    let kept = world.stored_bytes(&deal.id).await;
    let user = world.person(CONTOSO_USER);
    user.gets(&deal.id).await.refused(403, "accessDenied", "referral", "notOnTeam");
    user.replaces(&deal.id, "/name", json!("x")).await.refused(403, "accessDenied", "referral", "notOnTeam");
    user.puts(&deal.id, &deal.etag, json!({ "name": "x" })).await.refused(
        403,
        "accessDenied",
        "referral",
        "notOnTeam",
    );
    // No way in by joining the team.
    let join = json!([{ "op": "add", "path": "/team/-", "value": member(CONTOSO_USER) }]);
    user.patches(&deal.id, join).await.refused(403, "accessDenied", "referral", "notOnTeam");
    assert_eq!(world.stored_bytes(&deal.id).await, kept);
    assert_eq!(world.log(CONTOSO).await.len(), 1);
    // Off the team again: out.
    let mut with_user = support::deal();
    with_user["team"] = json!([member(CONTOSO_USER)]);
    let deal = world.contoso().creates(with_user).await;
    user.replaces(&deal.id, "/team", json!([])).await.expect(204);
    user.gets(&deal.id).await.refused(403, "accessDenied", "referral", "notOnTeam");
}

#[tokio::test]
async fn a_referral_user_creates_only_with_itself_on_the_team() {
    // REF-028
    let world = World::new().await;
    let user = world.person(CONTOSO_USER);
    user.posts(deal()).await.refused(403, "accessDenied", "referral", "notOnTeam");
    assert_eq!((world.count(CONTOSO).await, world.log(CONTOSO).await.len()), (0, 0));
    let mut body = deal();
    body["team"] = json!([member("USER@contoso.example")]);
    let created = user.creates(body).await;
    assert_eq!(created.body["team"][0]["email"], "USER@contoso.example");
}

#[tokio::test]
async fn another_organizations_referral_is_not_there_outside_a_common_engagement() {
    // REF-029 (no part in the engagement)
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    let kept = world.stored_bytes(&deal.id).await;
    for person in [FABRIKAM_ADMIN, FABRIKAM_USER, NORTHWIND_ADMIN, MICROSOFT_SELLER] {
        let other = world.person(person);
        let get = other.gets(&deal.id).await.refused(404, "itemNotFound", "referral", "");
        // Exactly what an id that nobody has answers.
        let unknown = other.gets("ffffffff-ffff-4fff-8fff-ffffffffffff").await;
        assert_eq!((get.bytes, get.status), (unknown.bytes, unknown.status));
        other.replaces(&deal.id, "/name", json!("x")).await.refused(404, "itemNotFound", "referral", "");
        other.puts(&deal.id, "*", json!({ "name": "x" })).await.refused(404, "itemNotFound", "referral", "");
        assert_eq!(other.lists("").await.body["@odata.count"], 0);
    }
    assert_eq!(world.stored_bytes(&deal.id).await, kept);
}

#[tokio::test]
async fn another_organizations_referral_of_a_common_engagement_is_seen_and_not_written() {
    // REF-029 (a part in the engagement)
    let world = World::new().await;
    let own = world.contoso().own_deal().await;
    let sent = world.contoso().connects(&own.engagement, FABRIKAM_LOCATION).await;
    let kept = (world.stored_bytes(&own.id).await, world.stored_bytes(&sent.id).await);
    // Each side sees the other's, and writes its own alone.
    for (person, foreign) in [(CONTOSO_ADMIN, &sent), (FABRIKAM_ADMIN, &own)] {
        let person = world.person(person);
        person.gets(&foreign.id).await.expect(200);
        person.replaces(&foreign.id, "/name", json!("x")).await.refused(
            403,
            "accessDenied",
            "referral",
            "notOwner",
        );
        let put = person.puts(&foreign.id, "*", json!({ "name": "x" })).await;
        put.refused(403, "accessDenied", "referral", "notOwner");
    }
    // Not on any team of the engagement: not there. A third organization: not there.
    for person in [FABRIKAM_USER, NORTHWIND_ADMIN] {
        world.person(person).gets(&own.id).await.refused(404, "itemNotFound", "referral", "");
    }
    assert_eq!((world.stored_bytes(&own.id).await, world.stored_bytes(&sent.id).await), kept);
    // The one exception: who sent it takes it back while it is New (T18).
    let withdrawal = json!([
        { "op": "replace", "path": "/status", "value": "Closed" },
        { "op": "replace", "path": "/substatus", "value": "Declined" },
    ]);
    world.fabrikam().patches(&own.id, withdrawal.clone()).await.refused(
        403,
        "accessDenied",
        "referral",
        "notOwner",
    );
    world.contoso().patches(&sent.id, withdrawal).await.expect(204);
    assert_eq!(world.fabrikam().sees(&sent.id).await.body["substatus"], "Declined");
}

#[tokio::test]
async fn the_tenant_alone_never_opens_an_organization() {
    let mut world = World::new().await;
    let token = world.token(CONTOSO_ADMIN).await;
    world.call("GET", REFERRALS).bearer(&token).await.expect(200);
    // The same tenant id from an issuer that the organization does not name.
    world.restart_with(|options, _| options.issuer_names = vec!["https://other.example".to_owned(); 2]).await;
    world.call("GET", REFERRALS).bearer(&token).await.refused(403, "accessDenied", "referral", "missingRole");
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_the_servers_trouble() {
    let world = World::new().await;
    let token = world.token(CONTOSO_ADMIN).await;
    // An issuer of the same name that never got its key.
    let keyless = identity::sandbox::SandboxIssuer::new(identity::sandbox::IssuerOptions {
        base_url: BASE.to_owned(),
        lifetime_seconds: TOKEN_LIFETIME,
        users: Vec::new(),
    });
    let audiences = identity::sandbox::accepted_audiences(BASE);
    let verifier = identity::TokenVerifier::new(keyless.verifier_issuers(&audiences), 0);
    let chance = std::sync::Arc::new(Chance::default());
    let options = server::ServerOptions::new(BASE);
    let app = server::App::new(world.exchange.clone(), verifier, None, chance, options);
    let request = http::Request::get(REFERRALS)
        .header("host", "a")
        .header("authorization", format!("Bearer {token}"))
        .body(String::new())
        .unwrap();
    let answer = app.handle(request).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "5");
}

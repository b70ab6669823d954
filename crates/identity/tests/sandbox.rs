//! The issuer of the sandbox: its tokens, and that its own verifier accepts them.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use identity::sandbox::{
    Endpoint, IssuerOptions, IssuerRequest, IssuerResponse, SandboxIssuer, SandboxUser, SigningKey,
    accepted_audiences,
};
use identity::{TokenError, TokenVerifier, VerifiedToken};
use serde_json::{Value, json};

const BASE: &str = "http://127.0.0.1:8080";
const NOW: i64 = 1_767_225_600;
const CONTOSO: &str = "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d";
const FABRIKAM: &str = "f0000000-0000-4000-8000-0000000000fa";
const RESOURCE: &str = "https://api.partner.microsoft.com";

/// Generating a key is slow, so all tests share one.
static KEY: LazyLock<Vec<u8>> = LazyLock::new(|| SigningKey::generate().unwrap().to_pkcs8());

fn key() -> SigningKey {
    SigningKey::from_pkcs8(&KEY).unwrap()
}

fn user(name: &str, tenant: &str, oid: &str, role: &str) -> SandboxUser {
    SandboxUser {
        user_name: name.to_owned(),
        password: "cosell".to_owned(),
        oid: oid.to_owned(),
        tenant: tenant.to_owned(),
        display_name: format!("The {name}"),
        roles: vec![role.to_owned()],
    }
}

fn issuer_without_key() -> SandboxIssuer {
    let users = vec![
        user("admin@contoso.example", CONTOSO, "11111111-0000-4000-8000-000000000001", "ReferralAdmin"),
        user("user@fabrikam.example", FABRIKAM, "11111111-0000-4000-8000-000000000002", "ReferralUser"),
    ];
    SandboxIssuer::new(IssuerOptions { base_url: format!("{BASE}/"), lifetime_seconds: 3600, users })
}

fn issuer() -> SandboxIssuer {
    let issuer = issuer_without_key();
    issuer.set_key(key());
    issuer
}

fn verifier(issuer: &SandboxIssuer) -> TokenVerifier {
    TokenVerifier::new(issuer.verifier_issuers(&accepted_audiences(BASE)), 0)
}

async fn ask(issuer: &SandboxIssuer, path: &str, form: &str, now: i64) -> (u16, Value) {
    let request = IssuerRequest::parse(path).unwrap_or_else(|| panic!("{path} is not the issuer's"));
    let IssuerResponse { status, body } = issuer.respond(&request, form.as_bytes(), now, [7; 16]).await;
    (status, serde_json::from_str(&body).unwrap())
}

async fn granted(issuer: &SandboxIssuer, path: &str, form: &str) -> Value {
    let (status, answer) = ask(issuer, path, form, NOW).await;
    assert_eq!(status, 200, "{path} {form}: {answer}");
    answer
}

fn v1_form(user: &str) -> String {
    format!(
        "resource={RESOURCE}&grant_type=password&scope=openid&client_id=c&client_secret=s&username={user}&password=cosell"
    )
}

fn opened(token: &Value) -> Value {
    let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&B64.decode(payload).unwrap()).unwrap()
}

async fn verified(issuer: &SandboxIssuer, answer: &Value) -> VerifiedToken {
    verifier(issuer).verify(answer["access_token"].as_str().unwrap(), NOW).await.unwrap()
}

#[tokio::test]
async fn the_v1_password_grant_answers_as_the_published_sample() {
    let issuer = issuer();
    let answer = granted(&issuer, "/common/oauth2/token", &v1_form("Admin%40Contoso.example")).await;
    for (member, value) in [
        ("token_type", "Bearer"),
        ("scope", "user_impersonation"),
        ("expires_in", "3600"),
        ("ext_expires_in", "3600"),
        ("expires_on", "1767229200"),
        ("not_before", "1767225300"),
        ("resource", RESOURCE),
    ] {
        assert_eq!(answer[member], value, "{member}");
    }
    let token = opened(&answer["access_token"]);
    let uti = B64.encode([7; 16]);
    let expected = json!({
        "aud": RESOURCE, "iss": format!("{BASE}/{CONTOSO}/"), "iat": NOW, "nbf": NOW - 300, "exp": NOW + 3600,
        "tid": CONTOSO, "ver": "1.0", "uti": uti, "appid": "c", "oid": "11111111-0000-4000-8000-000000000001",
        "sub": token["sub"], "name": "The admin@contoso.example", "preferred_username": "admin@contoso.example",
        "upn": "admin@contoso.example", "unique_name": "admin@contoso.example", "scp": "user_impersonation",
        "roles": ["ReferralAdmin"],
    });
    assert_eq!(token, expected);
    let caller = verified(&issuer, &answer).await;
    assert_eq!(
        (caller.tenant.as_deref(), caller.identities, caller.roles, caller.app_only, caller.expires),
        (
            Some(CONTOSO),
            vec!["admin@contoso.example".to_owned()],
            vec!["ReferralAdmin".to_owned()],
            false,
            NOW + 3600
        )
    );
}

#[tokio::test]
async fn the_published_flows_token_call_gets_an_answer_of_its_schema() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/referrals-flow/flow.json");
    let flow: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let call = &flow["token_request"];
    let values = |field: &str| match field {
        "client_id" => "any".to_owned(),
        "resource" => "https%3A%2F%2F127.0.0.1".to_owned(),
        "username" => "user%40fabrikam.example".to_owned(),
        "password" => "cosell".to_owned(),
        other => panic!("the flow sends {other}"),
    };
    let fields = call["fields"].as_array().unwrap().iter().map(|field| field.as_str().unwrap());
    let form: Vec<String> =
        fields.map(|f| if f.contains('=') { f.to_owned() } else { format!("{f}={}", values(f)) }).collect();
    let issuer = issuer();
    let answer = granted(&issuer, "/common/oauth2/token", &form.join("&")).await;
    let schema = call["response_schema"]["properties"].as_object().unwrap();
    assert_eq!(schema.len(), 10);
    for (member, rule) in schema {
        assert_eq!(rule["type"], "string");
        assert!(answer[member].is_string(), "{member}: {}", answer[member]);
    }
    assert_eq!(verified(&issuer, &answer).await.tenant.as_deref(), Some(FABRIKAM));
}

#[tokio::test]
async fn the_v2_password_grant_prints_numbers_and_gives_what_the_scopes_ask_for() {
    let issuer = issuer();
    let form = |scope: &str| {
        format!("grant_type=password&scope={scope}&username=user@fabrikam.example&password=cosell")
    };
    let api = "https://api.partner.microsoft.com/.default";
    let path = format!("/{FABRIKAM}/oauth2/v2.0/token");
    let bare = granted(&issuer, &path, &form(api)).await;
    assert_eq!((&bare["expires_in"], &bare["ext_expires_in"]), (&json!(3600), &json!(3600)));
    assert!(
        bare.get("refresh_token").is_none()
            && bare.get("id_token").is_none()
            && bare.get("resource").is_none()
    );
    let token = opened(&bare["access_token"]);
    assert_eq!(token["iss"], format!("{BASE}/{FABRIKAM}/v2.0"));
    assert_eq!(
        (&token["aud"], &token["ver"], &token["scp"]),
        (&json!(RESOURCE), &json!("2.0"), &json!("user_impersonation"))
    );
    assert_eq!(verified(&issuer, &bare).await.issuer_index, 1);
    let full = granted(&issuer, &path, &form(&format!("openid+profile+offline_access+{api}"))).await;
    assert!(full["refresh_token"].is_string());
    let id_token = opened(&full["id_token"]);
    assert_eq!(
        (&id_token["aud"], &id_token["oid"]),
        (&json!("00000000-0000-0000-0000-000000000000"), &token["oid"])
    );
    assert!(id_token.get("roles").is_none() && id_token.get("scp").is_none());
}

#[tokio::test]
async fn the_audience_is_the_resource_or_the_scope_without_its_last_part() {
    let issuer = issuer();
    for (scope, audience) in [
        ("https://api.partner.microsoft.com/.default", Some("https://api.partner.microsoft.com")),
        ("https://api.partner.microsoft.com//.default", Some("https://api.partner.microsoft.com/")),
        ("https://api.partner.microsoft.com/user_impersonation", Some("https://api.partner.microsoft.com")),
        ("4990cffe-04e8-4e8b-808a-1175604b879f/.default", Some("4990cffe-04e8-4e8b-808a-1175604b879f")),
        ("openid http://127.0.0.1:8080/.default", Some("http://127.0.0.1:8080")),
        ("https://api.partner.microsoft.com", None),
        ("openid", None),
        ("/.default", None),
        ("user_impersonation", None),
    ] {
        let form =
            format!("grant_type=password&username=admin@contoso.example&password=cosell&scope={scope}");
        let (status, answer) = ask(&issuer, "/organizations/oauth2/v2.0/token", &form, NOW).await;
        match audience {
            Some(audience) => assert_eq!(opened(&answer["access_token"])["aud"], audience, "{scope}"),
            None => assert_eq!((status, &answer["error"]), (400, &json!("invalid_scope")), "{scope}"),
        }
    }
}

#[tokio::test]
async fn a_refresh_token_makes_new_tokens_and_is_no_access_token() {
    let issuer = issuer();
    let first = granted(&issuer, "/common/oauth2/token", &v1_form("admin@contoso.example")).await;
    let refresh = first["refresh_token"].as_str().unwrap();
    let form = format!("grant_type=refresh_token&client_id=c&refresh_token={refresh}");
    let later = NOW + 89 * 24 * 3600;
    // With the same key after a restart, the token is still valid.
    let restarted = self::issuer();
    let (status, answer) = ask(&restarted, "/common/oauth2/token", &form, later).await;
    assert_eq!(status, 200, "{answer}");
    let token = opened(&answer["access_token"]);
    assert_eq!(
        (&token["upn"], &token["aud"], &token["iat"]),
        (&json!("admin@contoso.example"), &json!(RESOURCE), &json!(later))
    );
    let (status, answer) =
        ask(&issuer, "/common/oauth2/token", &format!("{form}&resource={BASE}"), NOW).await;
    assert_eq!((status, &opened(&answer["access_token"])["aud"]), (200, &json!(BASE)));
    let (status, answer) = ask(&issuer, &format!("/{CONTOSO}/oauth2/v2.0/token"), &form, NOW).await;
    assert_eq!((status, &opened(&answer["access_token"])["ver"]), (200, &json!("2.0")));
    let as_access = verifier(&issuer).verify(refresh, NOW).await.unwrap_err();
    assert!(matches!(as_access, TokenError::Invalid(_)), "{as_access}");
    let access = first["access_token"].as_str().unwrap();
    for (path, form, now) in [
        ("/common/oauth2/token", form.clone(), NOW + 90 * 24 * 3600),
        (&*format!("/{FABRIKAM}/oauth2/token"), form.clone(), NOW),
        ("/common/oauth2/token", form.replace(refresh, access), NOW),
        ("/common/oauth2/token", form.replace(refresh, &refresh[..refresh.len() - 4]), NOW),
        ("/common/oauth2/token", form.replace(refresh, "x"), NOW),
    ] {
        let (status, answer) = ask(&issuer, path, &form, now).await;
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")), "{path} {form}");
    }
}

#[tokio::test]
async fn an_applications_token_has_no_person_and_is_told_as_such() {
    let issuer = issuer();
    for (path, scope, app_claim) in [
        ("oauth2/token", format!("resource={RESOURCE}"), "appid"),
        ("oauth2/v2.0/token", format!("scope={RESOURCE}/.default"), "azp"),
    ] {
        let form = format!("grant_type=client_credentials&client_id=app&client_secret=s&{scope}");
        let answer = granted(&issuer, &format!("/{CONTOSO}/{path}"), &form).await;
        assert!(answer.get("refresh_token").is_none() && answer.get("scope").is_none());
        let token = opened(&answer["access_token"]);
        assert_eq!(
            (&token["idtyp"], &token[app_claim], &token["oid"]),
            (&json!("app"), &json!("app"), &token["sub"])
        );
        for absent in ["scp", "upn", "unique_name", "preferred_username", "roles", "name"] {
            assert!(token.get(absent).is_none(), "{absent}");
        }
        let caller = verified(&issuer, &answer).await;
        assert_eq!(
            (caller.app_only, caller.identities.len(), caller.tenant.as_deref()),
            (true, 0, Some(CONTOSO))
        );
        let (status, answer) = ask(&issuer, &format!("/common/{path}"), &form, NOW).await;
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_request")));
    }
}

#[tokio::test]
async fn refusals_are_those_of_the_token_endpoint() {
    let issuer = issuer();
    let good = v1_form("admin@contoso.example");
    for (path, form, error, number) in [
        ("/common/oauth2/token", good.replace("cosell", "wrong"), "invalid_grant", 50_126),
        ("/common/oauth2/token", good.replace("cosell", "cosell2"), "invalid_grant", 50_126),
        ("/common/oauth2/token", good.replace("contoso", "nobody"), "invalid_grant", 50_034),
        (&*format!("/{FABRIKAM}/oauth2/token"), good.clone(), "invalid_grant", 50_034),
        (
            "/common/oauth2/token",
            good.replace("grant_type=password", "grant_type=magic"),
            "unsupported_grant_type",
            70_003,
        ),
        ("/common/oauth2/token", good.replace("grant_type=password", ""), "invalid_request", 900_144),
        ("/common/oauth2/token", good.replace("username", "user"), "invalid_request", 900_144),
        ("/common/oauth2/token", good.replace("password=cosell", "password="), "invalid_request", 900_144),
        ("/common/oauth2/token", good.replace("resource", "res"), "invalid_request", 900_144),
        ("/common/oauth2/v2.0/token", good.replace("scope=openid", ""), "invalid_request", 900_144),
        ("/common/oauth2/token", format!("{good}&username=a"), "invalid_request", 900_144),
        ("/common/oauth2/token", "%ff=%ff".to_owned(), "invalid_request", 900_144),
        ("/common/oauth2/token", String::new(), "invalid_request", 900_144),
        ("/f0000000-0000-4000-8000-000000000000/oauth2/token", good.clone(), "invalid_request", 90_002),
        ("/consumers/v2.0/.well-known/openid-configuration", String::new(), "invalid_request", 90_002),
    ] {
        let (status, answer) = ask(&issuer, path, &form, NOW).await;
        assert_eq!(
            (status, &answer["error"], &answer["error_codes"]),
            (400, &json!(error), &json!([number])),
            "{path} {form}"
        );
        assert!(
            answer["error_description"].as_str().unwrap().starts_with(&format!("AADSTS{number}: ")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn discovery_and_keys_lead_to_each_other_in_both_generations() {
    let issuer = issuer();
    for (tenant, issued_by) in [("common", "{tenantid}"), ("organizations", "{tenantid}"), (CONTOSO, CONTOSO)]
    {
        for (middle, tail) in [("", "/"), ("v2.0/", "/v2.0")] {
            let path = format!("/{tenant}/{middle}.well-known/openid-configuration");
            let document = granted(&issuer, &path, "").await;
            assert_eq!(document["issuer"], format!("{BASE}/{issued_by}{tail}"));
            let place =
                |member: &str| document[member].as_str().unwrap().strip_prefix(BASE).unwrap().to_owned();
            assert_eq!(place("token_endpoint"), format!("/{tenant}/oauth2/{middle}token"));
            let keys = granted(&issuer, &place("jwks_uri"), "").await;
            assert_eq!(keys, serde_json::from_str::<Value>(&key().public_jwks()).unwrap());
        }
    }
}

#[test]
fn paths_are_the_issuers_or_not() {
    for (path, found) in [
        ("/common/oauth2/token", Some((Endpoint::TokenV1, "POST"))),
        ("/t/oauth2/v2.0/token", Some((Endpoint::TokenV2, "POST"))),
        ("/t/.well-known/openid-configuration", Some((Endpoint::DiscoveryV1, "GET"))),
        ("/t/v2.0/.well-known/openid-configuration", Some((Endpoint::DiscoveryV2, "GET"))),
        ("/t/discovery/keys", Some((Endpoint::Keys, "GET"))),
        ("/t/discovery/v2.0/keys", Some((Endpoint::Keys, "GET"))),
        ("//oauth2/token", None),
        ("/oauth2/token", None),
        ("/t/oauth2/token/", None),
        ("/a/t/oauth2/token", None),
        ("/v1.0/engagements/referrals", None),
        ("", None),
        ("/", None),
    ] {
        let request = IssuerRequest::parse(path);
        assert_eq!(request.as_ref().map(|r| (r.endpoint, r.endpoint.method())), found, "{path}");
    }
}

#[tokio::test]
async fn what_needs_the_key_waits_for_it() {
    let issuer = Arc::new(issuer_without_key());
    granted(&issuer, "/common/.well-known/openid-configuration", "").await;
    let waiting = Arc::clone(&issuer);
    let asked = tokio::spawn(async move {
        granted(&waiting, "/common/oauth2/token", &v1_form("admin@contoso.example")).await
    });
    tokio::task::yield_now().await;
    assert!(!asked.is_finished());
    issuer.set_key(key());
    let answer = asked.await.unwrap();
    assert!(!verified(&issuer, &answer).await.app_only);
}

#[tokio::test]
async fn another_sandboxs_token_is_refused() {
    let (ours, theirs) = (issuer(), issuer_without_key());
    theirs.set_key(SigningKey::generate().unwrap());
    let answer = granted(&theirs, "/common/oauth2/token", &v1_form("admin@contoso.example")).await;
    let refused = verifier(&ours).verify(answer["access_token"].as_str().unwrap(), NOW).await.unwrap_err();
    assert_eq!(refused.inner_code(), Some("tokenInvalid"));
}

#[test]
fn a_key_survives_its_file_and_is_named_by_its_thumbprint() {
    let key = key();
    let again = SigningKey::from_pkcs8(&key.to_pkcs8()).unwrap();
    assert_eq!((again.kid(), again.public_jwks()), (key.kid(), key.public_jwks()));
    let published: Value = serde_json::from_str(&key.public_jwks()).unwrap();
    let public = &published["keys"][0];
    assert_eq!(
        (&public["kty"], &public["alg"], &public["use"], &public["e"]),
        (&json!("RSA"), &json!("RS256"), &json!("sig"), &json!("AQAB"))
    );
    assert_eq!(B64.decode(public["n"].as_str().unwrap()).unwrap().len(), 256);
    assert_eq!(public["kid"], key.kid());
    assert!(!key.public_jwks().contains("\"d\""));
    assert!(SigningKey::from_pkcs8(b"").is_err());
    assert!(SigningKey::from_pkcs8(&key.to_pkcs8()[..100]).is_err());
    assert!(!format!("{key:?}").contains("pkcs8"));
}

//! Any bytes as a batch, in JSON and in parts, through a whole server over a real store: answered, never with a 500,
//! by the batch or by any request of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use exchange::{Exchange, Ids, Policy};
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use identity::TokenVerifier;
use identity::sandbox::{self, IssuerOptions, SandboxIssuer, SandboxUser, SigningKey, accepted_audiences};
use referral::Timestamp;
use server::{App, Random, ServerOptions};
use uuid::Uuid;

use super::world::{NOW, Still, store_of};

const BASE: &str = "http://127.0.0.1:8080";
const TENANT: &str = "f0000000-0000-4000-8000-00000000005f";

/// Identifiers in the order they are asked for.
struct Counted(AtomicU64);

impl Ids for Counted {
    fn next(&self, _: Timestamp) -> Uuid {
        Uuid::from_u128(u128::from(self.0.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Random for Still {
    fn bytes(&self) -> [u8; 16] {
        [7; 16]
    }
}

struct World {
    app: App,
    authorization: HeaderValue,
    runtime: tokio::runtime::Runtime,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (app, authorization) = runtime.block_on(server());
    World { app, authorization, runtime }
});

async fn server() -> (App, HeaderValue) {
    let store = store_of(Some(TENANT)).await;
    let ids = Arc::new(Counted(AtomicU64::new(1)));
    let exchange = Exchange::open(store, Arc::new(Still), ids, Policy::default());
    let exchange = Arc::new(exchange.await.expect("an exchange"));
    let seller = SandboxUser {
        user_name: "seller@msft.example".to_owned(),
        password: "cosell".to_owned(),
        oid: "00000000-0000-4000-8000-000000000001".to_owned(),
        tenant: TENANT.to_owned(),
        display_name: "Seller".to_owned(),
        roles: vec!["ReferralAdmin".to_owned()],
    };
    let options = IssuerOptions { base_url: BASE.to_owned(), lifetime_seconds: 3600, users: vec![seller] };
    let issuer = Arc::new(SandboxIssuer::new(options));
    issuer.set_key(SigningKey::generate().expect("a key"));
    let verifier = TokenVerifier::new(issuer.verifier_issuers(&accepted_audiences(BASE)), 0);
    let path = sandbox::IssuerRequest::parse("/common/oauth2/token").expect("a path of the issuer");
    let form = b"grant_type=password&username=seller%40msft.example&password=cosell\
        &resource=https%3A%2F%2Fapi.partner.microsoft.com";
    let granted = issuer.respond(&path, form, NOW, [7; 16]).await;
    let granted: serde_json::Value = serde_json::from_str(&granted.body).expect("a token");
    let token = granted["access_token"].as_str().expect("a token");
    let authorization = format!("Bearer {token}").parse().expect("a header");
    let mut options = ServerOptions::new(BASE);
    options.mode = referral::ApiMode::Extended;
    options.issuer_names = vec!["issuer".to_owned(); 2];
    (App::new(exchange, verifier, Some(issuer), Arc::new(Still), options), authorization)
}

/// Any bytes as the body of a batch: 200, 400 or 413, and no request of it 500.
pub fn batch(bytes: &[u8]) {
    let World { app, authorization, runtime } = &*WORLD;
    for content_type in ["application/json", "multipart/mixed; boundary=b"] {
        let mut request = Request::new(Full::new(bytes::Bytes::copy_from_slice(bytes)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static("/v1.0/$batch");
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:8080"));
        headers.insert(header::AUTHORIZATION, authorization.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let (status, body) = runtime.block_on(async {
            let (head, body) = app.handle(request).await.into_parts();
            (head.status, body.collect().await.expect("it cannot fail").to_bytes())
        });
        assert!(
            matches!(status, StatusCode::OK | StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE),
            "{status}"
        );
        if status == StatusCode::OK {
            let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            for response in body["responses"].as_array().expect("responses") {
                assert_ne!(response["status"], 500, "{response}");
            }
        }
    }
}

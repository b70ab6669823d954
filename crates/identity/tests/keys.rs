//! Keys found by discovery, over real HTTP on the loopback.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use identity::{Discovery, IssuerSettings, KeySource, KeySourceError, TokenError, TokenVerifier};
use net::{AddressPolicy, ClientOptions, HttpClient, ServeOptions};
use serde_json::{Value, json};
use support::*;
use tokio::sync::oneshot;

/// The documents and the request counts of an issuer's server. Tests change them while it runs.
#[derive(Default)]
struct Site {
    pages: Mutex<HashMap<String, Value>>,
    seen: Mutex<Vec<String>>,
}

impl Site {
    fn set(&self, path: &str, page: Value) {
        self.pages.lock().unwrap().insert(path.to_owned(), page);
    }

    fn answer(&self, path: &str) -> Response<Full<Bytes>> {
        self.seen.lock().unwrap().push(path.to_owned());
        match self.pages.lock().unwrap().get(path) {
            Some(page) => Response::new(Full::new(page.to_string().into())),
            None => Response::builder().status(StatusCode::NOT_FOUND).body(Full::default()).unwrap(),
        }
    }

    fn seen(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

struct IssuerServer {
    base: String,
    site: Arc<Site>,
    stop: oneshot::Sender<()>,
    running: tokio::task::JoinHandle<net::ServeOutcome>,
}

impl IssuerServer {
    /// Starts an issuer that publishes key `r`.
    async fn start() -> Self {
        let listener = net::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let site = Arc::new(Site::default());
        site.set(
            "/.well-known/openid-configuration",
            json!({ "issuer": base, "jwks_uri": format!("{base}/keys") }),
        );
        site.set("/keys", json!({ "keys": [RSA.jwk("r")] }));
        let (stop, stopped) = oneshot::channel::<()>();
        let served = Arc::clone(&site);
        let service_for = move |_| {
            let site = Arc::clone(&served);
            service_fn(move |request: Request<Incoming>| {
                let answer = site.answer(request.uri().path());
                async move { Ok::<_, Infallible>(answer) }
            })
        };
        let running = tokio::spawn(async move {
            net::serve(listener, service_for, ServeOptions::default(), async {
                let _ = stopped.await;
            })
            .await
        });
        Self { base, site, stop, running }
    }

    fn source(&self) -> Arc<KeySource> {
        let discovery = Discovery { issuer: self.base.clone(), metadata_url: None };
        Arc::new(KeySource::discovery(discovery, client()))
    }

    fn verifier(&self, source: &Arc<KeySource>) -> TokenVerifier {
        let settings = IssuerSettings::new(self.base.clone(), Arc::clone(source), vec![AUDIENCE.to_owned()]);
        TokenVerifier::new(vec![settings], 0)
    }

    /// Returns a token of this issuer that never expires, signed by `key` with the key id `kid`.
    fn token(&self, key: &Rsa, kid: &str) -> String {
        let claims = claims_with(json!({ "iss": self.base, "exp": NOW + 1_000_000 }));
        token(&json!({ "alg": "RS256", "kid": kid }), &claims, |input| key.sign(input))
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        assert_eq!(self.running.await.unwrap().cut, 0);
    }
}

fn client() -> HttpClient {
    let policy = AddressPolicy { allow_loopback: true, allow_private: false };
    HttpClient::new(ClientOptions { policy, plain_http: true, ..ClientOptions::default() }).unwrap()
}

#[tokio::test]
async fn the_first_token_fetches_the_keys_and_the_next_ones_do_not() {
    let issuer = IssuerServer::start().await;
    let verifier = issuer.verifier(&issuer.source());
    for _ in 0..3 {
        assert!(verifier.verify(&issuer.token(&RSA, "r"), NOW).await.is_ok());
    }
    assert_eq!(*issuer.site.seen.lock().unwrap(), ["/.well-known/openid-configuration", "/keys"]);
    issuer.stop().await;
}

#[tokio::test]
async fn tokens_that_come_together_fetch_the_keys_once() {
    let issuer = IssuerServer::start().await;
    let verifier = Arc::new(issuer.verifier(&issuer.source()));
    let token = issuer.token(&RSA, "r");
    let all: Vec<_> = (0..20)
        .map(|_| {
            let (verifier, token) = (Arc::clone(&verifier), token.clone());
            tokio::spawn(async move { verifier.verify(&token, NOW).await })
        })
        .collect();
    for one in all {
        assert!(one.await.unwrap().is_ok());
    }
    assert_eq!(issuer.site.seen(), 2);
    issuer.stop().await;
}

#[tokio::test]
async fn no_request_fails_while_keys_are_rotated_one_soon_after_the_other() {
    let issuer = IssuerServer::start().await;
    let source = issuer.source();
    let verifier = Arc::new(issuer.verifier(&source));
    source.refresh(NOW).await.unwrap();
    // One second after the last fetch, and each second after that.
    for (step, key) in [&*OTHER_RSA, &*RSA, &*OTHER_RSA, &*RSA, &*OTHER_RSA].into_iter().enumerate() {
        let kid = format!("rotated-{step}");
        issuer.site.set("/keys", json!({ "keys": [key.jwk(&kid)] }));
        let (token, now) = (issuer.token(key, &kid), NOW + 1 + step as i64);
        let all: Vec<_> = (0..20)
            .map(|_| {
                let (verifier, token) = (Arc::clone(&verifier), token.clone());
                tokio::spawn(async move { verifier.verify(&token, now).await })
            })
            .collect();
        for one in all {
            assert!(one.await.unwrap().is_ok(), "rotation {step}");
        }
        assert_eq!(issuer.site.seen(), 2 * (step + 2), "once for each rotation");
    }
    issuer.stop().await;
}

#[tokio::test]
async fn made_up_kids_make_us_ask_a_few_times_and_then_once_in_five_seconds() {
    let issuer = IssuerServer::start().await;
    let source = issuer.source();
    let verifier = issuer.verifier(&source);
    source.refresh(NOW).await.unwrap();
    for made_up in 0..100 {
        let refused =
            verifier.verify(&issuer.token(&OTHER_RSA, &format!("{made_up}")), NOW).await.unwrap_err();
        assert_eq!(
            refused,
            TokenError::Invalid("the token is signed with a key its issuer does not publish")
        );
    }
    assert_eq!(issuer.site.seen(), 2 + 2 * 6, "a burst of six");
    let stranger = issuer.token(&OTHER_RSA, "unknown");
    for (now, more) in [(4, 0), (5, 1), (6, 0), (9, 0), (10, 1), (25, 1), (25, 1), (25, 1), (25, 0), (0, 1)] {
        let before = issuer.site.seen();
        assert!(verifier.verify(&stranger, NOW + now).await.is_err());
        assert_eq!(issuer.site.seen() - before, 2 * more, "after {now} s");
    }
    // A wrong signature with a known kid triggers no fetch.
    let before = issuer.site.seen();
    assert!(verifier.verify(&issuer.token(&OTHER_RSA, "r"), NOW + 1000).await.is_err());
    assert_eq!(issuer.site.seen(), before);
    issuer.stop().await;
}

#[tokio::test]
async fn a_withdrawn_key_stops_counting_at_the_next_refresh() {
    let issuer = IssuerServer::start().await;
    let source = issuer.source();
    let verifier = issuer.verifier(&source);
    source.refresh(NOW).await.unwrap();
    assert!(verifier.verify(&issuer.token(&RSA, "r"), NOW).await.is_ok());
    issuer.site.set("/keys", json!({ "keys": [OTHER_RSA.jwk("new")] }));
    source.refresh(NOW + 3600).await.unwrap();
    assert!(verifier.verify(&issuer.token(&RSA, "r"), NOW + 3600).await.is_err());
    issuer.stop().await;
}

#[tokio::test]
async fn metadata_of_another_issuer_are_refused() {
    let issuer = IssuerServer::start().await;
    let source = issuer.source();
    for named in ["https://evil.example".to_owned(), format!("{}/", issuer.base), issuer.base.to_uppercase()]
    {
        let metadata = json!({ "issuer": named, "jwks_uri": format!("{}/keys", issuer.base) });
        issuer.site.set("/.well-known/openid-configuration", metadata);
        let refused = source.refresh(NOW).await.unwrap_err();
        assert!(
            matches!(&refused, KeySourceError::WrongIssuer { found, .. } if *found == named),
            "{refused}"
        );
    }
    let refused = issuer.verifier(&source).verify(&issuer.token(&RSA, "r"), NOW + 10).await.unwrap_err();
    assert_eq!(refused, TokenError::KeysUnavailable(issuer.base.clone()));
    issuer.stop().await;
}

#[tokio::test]
async fn an_issuer_in_trouble_leaves_the_old_keys_in_force() {
    let issuer = IssuerServer::start().await;
    let source = issuer.source();
    let verifier = issuer.verifier(&source);
    source.refresh(NOW).await.unwrap();
    let discovery = "/.well-known/openid-configuration";
    let good = json!({ "issuer": issuer.base, "jwks_uri": format!("{}/keys", issuer.base) });
    let lost = json!({ "issuer": issuer.base, "jwks_uri": format!("{}/lost", issuer.base) });
    let inward = json!({ "issuer": issuer.base, "jwks_uri": "http://169.254.169.254/keys" });
    for (metadata, keys, trouble) in [
        (json!([]), json!({ "keys": [RSA.jwk("r")] }), "is not an OpenID configuration"),
        (lost, json!({ "keys": [RSA.jwk("r")] }), "answered 404"),
        (inward, json!({ "keys": [RSA.jwk("r")] }), "must not connect"),
        (good.clone(), json!({ "keys": [] }), "has no key"),
        (good.clone(), json!({ "keys": [EC.jwk("e")["x"]] }), "has no key"),
        (good, json!([]), "not a JSON Web Key set"),
    ] {
        issuer.site.set(discovery, metadata);
        issuer.site.set("/keys", keys);
        let refused = source.refresh(NOW).await.unwrap_err().to_string();
        assert!(refused.contains(trouble), "{refused}");
        assert!(verifier.verify(&issuer.token(&RSA, "r"), NOW).await.is_ok(), "after: {refused}");
    }
    issuer.stop().await;
}

#[tokio::test]
async fn an_unreachable_issuer_is_asked_again_after_five_seconds_while_there_are_no_keys() {
    let issuer = IssuerServer::start().await;
    let good = issuer.site.pages.lock().unwrap().remove("/keys").unwrap();
    let verifier = issuer.verifier(&issuer.source());
    let token = issuer.token(&RSA, "r");
    let unavailable = Err(TokenError::KeysUnavailable(issuer.base.clone()));
    assert_eq!(verifier.verify(&token, NOW).await, unavailable);
    issuer.site.set("/keys", good);
    assert_eq!(verifier.verify(&token, NOW + 4).await, unavailable);
    assert_eq!(issuer.site.seen(), 2);
    assert!(verifier.verify(&token, NOW + 5).await.is_ok());
    issuer.stop().await;
}

#[tokio::test]
async fn a_template_is_discovered_where_its_metadata_are_said_to_lie() {
    let issuer = IssuerServer::start().await;
    let template = format!("{}/{{tenantid}}/v2.0", issuer.base);
    let metadata = json!({ "issuer": template, "jwks_uri": format!("{}/keys", issuer.base) });
    issuer.site.set("/organizations/v2.0/.well-known/openid-configuration", metadata.clone());
    issuer.site.set("/elsewhere", metadata);
    for metadata_url in [None, Some(format!("{}/elsewhere", issuer.base))] {
        let source = KeySource::discovery(Discovery { issuer: template.clone(), metadata_url }, client());
        source.refresh(NOW).await.unwrap();
        let settings = IssuerSettings::new(template.clone(), Arc::new(source), vec![AUDIENCE.to_owned()]);
        let claims = claims_with(json!({ "iss": format!("{}/t/v2.0", issuer.base) }));
        assert!(TokenVerifier::new(vec![settings], 0).verify(&rs256(&claims), NOW).await.is_ok());
    }
    issuer.stop().await;
}

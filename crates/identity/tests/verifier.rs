//! Valid and invalid tokens with fixed keys.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::sync::Arc;

use identity::{
    IdentityClaim, IssuerSettings, KeySource, TokenError, TokenVerifier, VerifiedToken, has_token_form,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::*;

async fn verify(token: &str) -> Result<VerifiedToken, TokenError> {
    usual_verifier().verify(token, NOW).await
}

async fn verify_claims(changes: Value) -> Result<VerifiedToken, TokenError> {
    verify(&rs256(&claims_with(changes))).await
}

fn is_invalid(outcome: &Result<VerifiedToken, TokenError>) -> bool {
    matches!(outcome, Err(TokenError::Invalid(_)))
}

#[tokio::test]
async fn a_good_rs256_token_tells_who_is_calling() {
    let changes = json!({ "unique_name": "ann@contoso.example", "preferred_username": "ANN@fabrikam.example",
                          "email": "else@contoso.example", "name": "Ann" });
    let expected = VerifiedToken {
        issuer: ISSUER.to_owned(),
        issuer_index: 0,
        tenant: Some("t".to_owned()),
        subject: "o".to_owned(),
        identities: vec!["ann@contoso.example".to_owned(), "ann@fabrikam.example".to_owned()],
        name: Some("Ann".to_owned()),
        roles: vec!["ReferralAdmin".to_owned()],
        app_only: false,
        expires: NOW + 3600,
    };
    assert_eq!(verify_claims(changes).await, Ok(expected));
}

#[tokio::test]
async fn an_es256_token_and_every_accepted_type_verify() {
    for typ in [
        json!("JWT"),
        json!("jwt"),
        json!("at+jwt"),
        json!("AT+JWT"),
        json!("application/at+jwt"),
        Value::Null,
    ] {
        let mut header = json!({ "alg": "ES256", "kid": "e", "typ": typ });
        if typ.is_null() {
            header.as_object_mut().unwrap().shift_remove("typ");
        }
        let signed = token(&header, &claims(), |input| EC.sign(input));
        assert!(verify(&signed).await.is_ok(), "{header}");
    }
}

#[tokio::test]
async fn a_public_key_is_never_taken_for_a_shared_secret() {
    let jwk = RSA.jwk("r");
    let secrets: Vec<(&str, Vec<u8>)> = vec![
        ("PEM", pem(&RSA.der()).into_bytes()),
        ("PEM without its last newline", pem(&RSA.der()).trim_end().as_bytes().to_vec()),
        ("DER", RSA.der()),
        ("JWK", jwk.to_string().into_bytes()),
        ("n as text", jwk["n"].as_str().unwrap().as_bytes().to_vec()),
        ("EC point", EC.point()),
        ("EC JWK", EC.jwk("e").to_string().into_bytes()),
        ("nothing", Vec::new()),
    ];
    for (name, secret) in secrets {
        for (algorithm, kid) in [("HS256", "r"), ("HS256", "e"), ("RS256", "r"), ("ES256", "e")] {
            let header = json!({ "alg": algorithm, "kid": kid });
            let signed = token(&header, &claims(), |input| hmac_sha256(&secret, input));
            assert!(is_invalid(&verify(&signed).await), "{name} as {algorithm} under {kid}");
        }
    }
}

#[tokio::test]
async fn the_algorithm_is_the_keys_and_not_the_headers() {
    let confused: Vec<(&str, String)> = vec![
        ("none", token(&json!({ "alg": "none" }), &claims(), |_| Vec::new())),
        ("no signature", token(&json!({ "alg": "RS256", "kid": "r" }), &claims(), |_| Vec::new())),
        ("RSA signature as ES256", {
            token(&json!({ "alg": "ES256", "kid": "r" }), &claims(), |input| RSA.sign(input))
        }),
        ("EC signature as RS256", {
            token(&json!({ "alg": "RS256", "kid": "e" }), &claims(), |input| EC.sign(input))
        }),
        ("EC kid with RSA signature", {
            token(&json!({ "alg": "RS256", "kid": "e" }), &claims(), |input| RSA.sign(input))
        }),
        ("PSS as PS256", {
            token(&json!({ "alg": "PS256", "kid": "r" }), &claims(), |input| RSA.sign_pss(input))
        }),
        ("PSS as RS256", {
            token(&json!({ "alg": "RS256", "kid": "r" }), &claims(), |input| RSA.sign_pss(input))
        }),
        ("another key under our kid", {
            token(&json!({ "alg": "RS256", "kid": "r" }), &claims(), |input| OTHER_RSA.sign(input))
        }),
        ("another key in the token", {
            let header = json!({ "alg": "RS256", "kid": "r", "jwk": OTHER_RSA.jwk("r") });
            token(&header, &claims(), |input| OTHER_RSA.sign(input))
        }),
    ];
    for (name, signed) in confused {
        assert!(is_invalid(&verify(&signed).await), "{name}");
    }
}

#[tokio::test]
async fn keys_of_a_swapped_kind_or_for_other_uses_verify_nothing() {
    let changed = |mut jwk: Value, name: &str, value: Value| {
        jwk[name] = value;
        jwk
    };
    let rsa = token(&json!({ "alg": "RS256", "kid": "r" }), &claims(), |input| RSA.sign(input));
    let ec = token(&json!({ "alg": "ES256", "kid": "e" }), &claims(), |input| EC.sign(input));
    for (signed, key, good) in [
        (&rsa, RSA.jwk("r"), true),
        (&rsa, changed(RSA.jwk("r"), "alg", json!("RS256")), true),
        (&rsa, changed(RSA.jwk("r"), "key_ops", json!(["verify"])), true),
        (&rsa, changed(RSA.jwk("r"), "kty", json!("EC")), false),
        (&rsa, changed(RSA.jwk("r"), "kty", json!("oct")), false),
        (&rsa, changed(RSA.jwk("r"), "alg", json!("RS512")), false),
        (&rsa, changed(RSA.jwk("r"), "alg", json!("PS256")), false),
        (&rsa, changed(RSA.jwk("r"), "use", json!("enc")), false),
        (&rsa, changed(RSA.jwk("r"), "key_ops", json!(["encrypt"])), false),
        (&rsa, changed(RSA.jwk("r"), "key_ops", json!([])), false),
        (&rsa, changed(RSA.jwk("r"), "d", json!("AQAB")), false),
        (&rsa, changed(RSA.jwk("r"), "kid", json!("x")), false),
        (&rsa, changed(RSA.jwk("r"), "kid", Value::Null), true),
        (&rsa, changed(RSA.jwk("r"), "issuer", json!(ISSUER)), true),
        (&rsa, changed(RSA.jwk("r"), "issuer", json!("https://login.example/{tenantid}/v2.0")), true),
        (&rsa, changed(RSA.jwk("r"), "issuer", json!("https://login.example/other/v2.0")), false),
        (&ec, EC.jwk("e"), true),
        (&ec, changed(EC.jwk("e"), "kty", json!("RSA")), false),
        (&ec, changed(EC.jwk("e"), "crv", json!("P-384")), false),
        (&ec, changed(EC.jwk("e"), "crv", json!("secp256k1")), false),
        (&ec, changed(EC.jwk("e"), "alg", json!("ES384")), false),
        (&ec, changed(EC.jwk("e"), "y", EC.jwk("e")["x"].clone()), false),
    ] {
        let verifier = TokenVerifier::new(vec![settings(fixed(std::slice::from_ref(&key)))], 0);
        let outcome = verifier.verify(signed, NOW).await;
        assert_eq!(outcome.is_ok(), good, "{key}: {outcome:?}");
        assert!(good || is_invalid(&outcome), "{key}: {outcome:?}");
    }
}

#[tokio::test]
async fn without_a_kid_every_key_of_the_kind_is_tried() {
    let keys = fixed(&[OTHER_RSA.jwk("a"), EC.jwk("b"), RSA.jwk("c")]);
    let verifier = TokenVerifier::new(vec![settings(keys)], 0);
    let nameless = token(&json!({ "alg": "RS256" }), &claims(), |input| RSA.sign(input));
    assert!(verifier.verify(&nameless, NOW).await.is_ok());
    let misnamed = token(&json!({ "alg": "RS256", "kid": "a" }), &claims(), |input| RSA.sign(input));
    assert!(is_invalid(&verifier.verify(&misnamed, NOW).await));
}

#[tokio::test]
async fn nothing_is_said_of_claims_before_the_signature_holds() {
    for changes in [
        json!({ "exp": NOW - 1 }),
        json!({ "nbf": NOW + 100 }),
        json!({ "aud": "other" }),
        json!({ "exp": null }),
    ] {
        let forged = token(&json!({ "alg": "RS256", "kid": "r" }), &claims_with(changes.clone()), |input| {
            OTHER_RSA.sign(input)
        });
        let expected = TokenError::Invalid("the token's signature is invalid");
        assert_eq!(verify(&forged).await, Err(expected), "{changes}");
    }
}

#[tokio::test]
async fn a_token_counts_from_its_nbf_to_the_second_before_its_exp() {
    let signed = rs256(&claims_with(json!({ "nbf": NOW, "exp": NOW + 10 })));
    for (leeway, now, expected) in [
        (0, NOW - 1, Err(TokenError::NotYetValid)),
        (0, NOW, Ok(())),
        (0, NOW + 9, Ok(())),
        (0, NOW + 10, Err(TokenError::Expired)),
        (60, NOW - 61, Err(TokenError::NotYetValid)),
        (60, NOW - 60, Ok(())),
        (60, NOW + 69, Ok(())),
        (60, NOW + 70, Err(TokenError::Expired)),
        (0, i64::MAX, Err(TokenError::Expired)),
        (0, i64::MIN, Err(TokenError::NotYetValid)),
    ] {
        let verifier = TokenVerifier::new(vec![settings(usual_keys())], leeway);
        let outcome = verifier.verify(&signed, now).await.map(|_| ());
        assert_eq!(outcome, expected, "leeway {leeway}, {} s after nbf", now.saturating_sub(NOW));
    }
}

#[tokio::test]
async fn dates_are_numbers_and_exp_is_required() {
    assert!(verify_claims(json!({ "nbf": null, "iat": null })).await.is_ok());
    assert!(verify_claims(json!({ "exp": NOW as f64 + 0.5 })).await.is_ok());
    assert_eq!(verify_claims(json!({ "nbf": NOW as f64 + 0.5 })).await, Err(TokenError::NotYetValid));
    assert_eq!(verify_claims(json!({ "exp": NOW as f64 - 0.5 })).await, Err(TokenError::Expired));
    for changes in
        [json!({ "exp": null }), json!({ "exp": "soon" }), json!({ "exp": [] }), json!({ "nbf": "now" })]
    {
        assert!(is_invalid(&verify_claims(changes.clone()).await), "{changes}");
    }
    for number in ["1e400", "-1e400", "1e30", "99999999999999999999"] {
        let text =
            claims().to_string().replace(&format!("\"exp\":{}", NOW + 3600), &format!("\"exp\":{number}"));
        let outcome = verify(&rs256(&serde_json::from_str(&text).unwrap())).await;
        assert_eq!(outcome.is_ok(), !number.contains("400"), "{number}: {outcome:?}");
    }
}

#[tokio::test]
async fn the_audience_is_one_of_the_accepted_ones() {
    for audience in [json!(AUDIENCE), json!("api-guid"), json!(["other", AUDIENCE])] {
        assert!(verify_claims(json!({ "aud": audience })).await.is_ok(), "{audience}");
    }
    for audience in
        [json!("https://api.example/"), json!("HTTPS://api.example"), json!(""), json!([]), json!(["x", 5])]
    {
        let outcome = verify_claims(json!({ "aud": audience })).await;
        assert!(matches!(outcome, Err(TokenError::InvalidAudience { .. })), "{audience}: {outcome:?}");
    }
    for audience in [Value::Null, json!(5), json!({ "a": AUDIENCE })] {
        assert!(is_invalid(&verify_claims(json!({ "aud": audience })).await), "{audience}");
    }
    let told = verify_claims(json!({ "aud": "https://other.example\n" })).await.unwrap_err();
    let sentence =
        "the token is for audience https://other.example; this server accepts https://api.example, api-guid";
    assert_eq!((told.to_string().as_str(), told.inner_code()), (sentence, Some("invalidAudience")));
}

#[tokio::test]
async fn issuer_and_tenant_cannot_be_mixed() {
    let template = |name: &str, keys| IssuerSettings::new(name, keys, vec![AUDIENCE.to_owned()]);
    // Two issuers with different keys: a token of one is not accepted as the other's.
    let verifier = TokenVerifier::new(
        vec![
            template("https://one.example/{tenantid}/", fixed(&[RSA.jwk("r")])),
            template("https://two.example/{tenantid}/v2.0", fixed(&[OTHER_RSA.jwk("r")])),
            template("https://three.example", fixed(&[RSA.jwk("r")])),
        ],
        0,
    );
    for (iss, tid, place) in [
        ("https://one.example/t1/", Some("t1"), Some(0)),
        ("https://one.example/t1/", Some("t2"), None),
        ("https://one.example/t1/", None, None),
        ("https://one.example/t1", Some("t1"), None),
        ("https://one.example//", Some(""), None),
        ("https://one.example/a/b/", Some("a/b"), None),
        ("https://one.example/{tenantid}/", Some("{tenantid}"), None),
        ("https://two.example/t1/v2.0", Some("t1"), None), // signed by one's key
        ("https://three.example", None, Some(2)),
        ("https://three.example", Some("t9"), Some(2)),
        ("https://three.example/", None, None),
        ("https://four.example", None, None),
        ("", None, None),
    ] {
        let signed = rs256(&claims_with(json!({ "iss": iss, "tid": tid })));
        let outcome = verifier.verify(&signed, NOW).await;
        assert_eq!(
            outcome.as_ref().ok().map(|token| token.issuer_index),
            place,
            "{iss} {tid:?}: {outcome:?}"
        );
        assert!(outcome.is_ok() || is_invalid(&outcome), "{iss} {tid:?}: {outcome:?}");
    }
    for changes in
        [json!({ "iss": null }), json!({ "iss": 5 }), json!({ "iss": [ISSUER] }), json!({ "tid": 5 })]
    {
        assert!(is_invalid(&verify_claims(changes.clone()).await), "{changes}");
    }
}

#[tokio::test]
async fn an_issuer_may_require_a_tenant() {
    let demanding = IssuerSettings { requires_tenant: true, ..settings(usual_keys()) };
    let verifier = TokenVerifier::new(vec![demanding], 0);
    assert!(verifier.verify(&rs256(&claims()), NOW).await.is_ok());
    assert!(is_invalid(&verifier.verify(&rs256(&claims_with(json!({ "tid": null }))), NOW).await));
}

#[tokio::test]
async fn the_subject_is_oid_else_sub() {
    for (changes, subject) in [
        (json!({}), Some("o")),
        (json!({ "oid": null }), Some("s")),
        (json!({ "oid": null, "sub": null }), None),
        (json!({ "oid": "" }), None),
        (json!({ "oid": 5 }), None),
    ] {
        let outcome = verify_claims(changes.clone()).await;
        assert_eq!(outcome.ok().map(|token| token.subject).as_deref(), subject, "{changes}");
    }
}

#[tokio::test]
async fn only_the_issuers_identity_claims_identify_and_only_verified_mail() {
    let with_email = IssuerSettings {
        identity_claims: vec![IdentityClaim::Email, IdentityClaim::PreferredUsername],
        ..settings(usual_keys())
    };
    let verifier = TokenVerifier::new(vec![with_email], 0);
    for (verified, identities) in [
        (Value::Null, &["ann@mail.example", "äpfel"][..]),
        (json!(true), &["ann@mail.example", "äpfel"]),
        (json!("true"), &["ann@mail.example", "äpfel"]),
        (json!(false), &["äpfel"]),
        (json!("false"), &["äpfel"]),
        (json!(0), &["äpfel"]),
    ] {
        let changes =
            json!({ "email": "Ann@Mail.example", "email_verified": verified, "preferred_username": "ÄPFEL" });
        let found = verifier.verify(&rs256(&claims_with(changes)), NOW).await.unwrap();
        assert_eq!(found.identities, identities, "{verified}");
    }
    let odd =
        verify_claims(json!({ "upn": 5, "unique_name": "", "preferred_username": ["a"] })).await.unwrap();
    assert_eq!(odd.identities, Vec::<String>::new());
}

#[tokio::test]
async fn roles_come_as_an_array_or_as_words() {
    for (roles, expected) in [
        (json!(["ReferralAdmin", "GlobalAdmin"]), &["ReferralAdmin", "GlobalAdmin"][..]),
        (json!("ReferralUser"), &["ReferralUser"]),
        (json!("ReferralUser GlobalAdmin"), &["ReferralUser", "GlobalAdmin"]),
        (json!([]), &[]),
        (json!(["ReferralUser", 5, null]), &["ReferralUser"]),
        (json!({ "ReferralUser": true }), &[]),
        (Value::Null, &[]),
    ] {
        let found = verify_claims(json!({ "roles": roles })).await.unwrap();
        assert_eq!(found.roles, expected, "{roles}");
    }
}

#[tokio::test]
async fn applications_are_told_from_users() {
    for (changes, app_only) in [
        (json!({}), false),
        (json!({ "idtyp": "app" }), true),
        (json!({ "idtyp": "APP", "scp": null, "upn": null }), true),
        (json!({ "idtyp": "user", "scp": null, "upn": null }), false),
        (json!({ "scp": null }), false),
        (json!({ "upn": null }), false),
        (json!({ "scp": null, "upn": null }), true),
        (json!({ "scp": "", "upn": null }), true),
        (json!({ "scp": ["api.read"], "upn": null }), false),
        (json!({ "scp": ["api.read"], "upn": null, "oid": null, "sub": "app", "cid": "app" }), true),
        (json!({ "scp": ["api.read"], "upn": null, "oid": null, "sub": "app", "client_id": "app" }), true),
        (json!({ "scp": ["api.read"], "upn": null, "oid": null, "sub": "app", "azp": "other" }), false),
    ] {
        assert_eq!(verify_claims(changes.clone()).await.unwrap().app_only, app_only, "{changes}");
    }
}

#[tokio::test]
async fn keys_that_have_not_come_yet_are_the_servers_trouble() {
    let source = Arc::new(KeySource::pending());
    let verifier = TokenVerifier::new(vec![settings(Arc::clone(&source))], 0);
    let refused = verifier.verify(&rs256(&claims()), NOW).await.unwrap_err();
    assert_eq!(
        (refused.clone(), refused.inner_code()),
        (TokenError::KeysUnavailable(ISSUER.to_owned()), None)
    );
    source.set(key_set(&[RSA.jwk("r")]));
    assert!(verifier.verify(&rs256(&claims()), NOW).await.is_ok());
}

#[test]
fn every_refusal_has_its_inner_code() {
    // The codes of spec 3.3.
    let audience = TokenError::InvalidAudience { found: String::new(), accepted: String::new() };
    for (refusal, code) in [
        (TokenError::Missing, "tokenMissing"),
        (TokenError::Invalid("x"), "tokenInvalid"),
        (TokenError::Expired, "tokenExpired"),
        (TokenError::NotYetValid, "tokenNotYetValid"),
        (audience, "invalidAudience"),
    ] {
        assert_eq!(refusal.inner_code(), Some(code));
    }
}

/// Verifies without waiting: fixed keys are never fetched.
fn verify_now(token: &str) -> Result<VerifiedToken, TokenError> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(verify(token))
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        has_token_form(&bytes);
    }

    #[test]
    fn any_text_of_three_parts_is_refused(header in ".{0,80}", payload in ".{0,80}", signature in "[A-Za-z0-9_.-]{0,80}") {
        use base64::Engine;
        let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        let encoded = format!("{}.{}.{signature}", encode(&header), encode(&payload));
        prop_assert!(verify_now(&encoded).is_err());
        let raw = format!("{header}.{payload}.{signature}");
        prop_assert!(verify_now(&raw).is_err());
    }

    #[test]
    fn any_change_of_one_character_breaks_a_token(place in 0usize..1000, character in "[ -~]") {
        let good = rs256(&claims());
        let place = place % good.len();
        let changed = format!("{}{character}{}", &good[..place], &good[place + 1..]);
        prop_assume!(changed != good);
        prop_assert!(verify_now(&changed).is_err(), "{changed}");
    }
}

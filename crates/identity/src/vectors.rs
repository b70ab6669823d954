//! Signatures of other projects: the JOSE vectors of Wycheproof and the examples of RFC 7520, checked at the signature
//! layer, because their payloads are not claims. Sources and licences: `tests/vectors/*/SOURCE.md`.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::jwk::{KeySet, SignatureCheck};
use crate::jws::Jws;

fn vectors(path: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(path);
    serde_json::from_slice(&fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .unwrap()
}

/// Parses a single key or a set of keys as a set.
fn key_set(jwk: &Value) -> KeySet {
    let set = if jwk.get("keys").is_some() { jwk.clone() } else { json!({ "keys": [jwk] }) };
    KeySet::parse(set.to_string().as_bytes()).unwrap()
}

fn holds(keys: &KeySet, token: &Value) -> bool {
    let text = token.as_str().map_or_else(|| token.to_string(), str::to_owned);
    Jws::parse(&text).is_ok_and(|jws| keys.verify(&jws, |_| true) == SignatureCheck::Valid)
}

/// The results of the cases of one file.
#[derive(Debug, Default, PartialEq)]
struct CaseCounts {
    valid_and_accepted: Vec<u64>,
    /// Valid, with an algorithm or a serialization that is not accepted here.
    valid_and_refused: usize,
    invalid_and_refused: usize,
}

/// Runs a file of Wycheproof. An invalid case that is accepted fails immediately.
fn wycheproof(file: &str) -> CaseCounts {
    let mut tally = CaseCounts::default();
    let file = vectors(&format!("wycheproof-jose/{file}"));
    for group in file["testGroups"].as_array().unwrap() {
        let keys = key_set(group.get("public").unwrap_or(&group["private"]));
        for case in group["tests"].as_array().unwrap() {
            let token = case.get("jws").or(case.get("jwe")).unwrap();
            match (case["result"].as_str().unwrap(), holds(&keys, token)) {
                ("valid", true) => tally.valid_and_accepted.push(case["tcId"].as_u64().unwrap()),
                ("valid", false) => tally.valid_and_refused += 1,
                ("invalid", false) => tally.invalid_and_refused += 1,
                (result, accepted) => panic!("{result}, accepted: {accepted}: {case}"),
            }
        }
    }
    tally
}

#[test]
fn wycheproof_signatures_hold_for_rs256_and_es256_and_nothing_else() {
    // Accepted: RS256 33, 259 to 263, 345, 349; ES256 18, 378. The other 36 valid cases are HS256 (10; two of them, 372
    // and 373, have characters outside base64url: DIFFERENCE, refused for that too), RS384, RS512, PS256, PS384, PS512
    // and ES512.
    let expected = CaseCounts {
        valid_and_accepted: vec![18, 33, 259, 260, 261, 262, 263, 345, 349, 378],
        valid_and_refused: 36,
        invalid_and_refused: 355,
    };
    assert_eq!(wycheproof("json_web_signature_test.json"), expected);
}

#[test]
fn wycheproof_keys_that_are_weak_misused_or_mixed_verify_nothing() {
    // Refused, among others: a ROCA key, 1024 bits, exponent 1, use and alg of encryption, points off the curve. The
    // four other valid cases are HS256, HS384 and HS512.
    let expected = CaseCounts { valid_and_accepted: vec![5], valid_and_refused: 4, invalid_and_refused: 21 };
    assert_eq!(wycheproof("json_web_key_test.json"), expected);
}

#[test]
fn wycheproof_jose_objects_that_are_no_accepted_signature_are_refused() {
    // The four other valid cases are HS256 (2) and JWE (2).
    let expected =
        CaseCounts { valid_and_accepted: vec![18, 33], valid_and_refused: 4, invalid_and_refused: 77 };
    assert_eq!(wycheproof("json_web_crypto_test.json"), expected);
}

#[test]
fn of_the_jose_cookbook_only_the_rs256_signature_holds() {
    for (file, accepted) in [
        ("4_1.rsa_v15_signature", true),
        ("4_2.rsa-pss_signature", false),
        ("4_3.ecdsa_signature", false),
        ("4_4.hmac-sha2_integrity_protection", false),
        ("4_5.signature_with_detached_content", false),
        ("4_6.protecting_specific_header_fields", false),
        ("4_7.protecting_content_only", false),
        ("4_8.multiple_signatures", false),
    ] {
        let example = vectors(&format!("jose-cookbook/{file}.json"));
        let mut keys: Vec<Value> = match &example["input"]["key"] {
            Value::Array(many) => many.clone(),
            one => vec![one.clone()],
        };
        for key in &mut keys {
            // The examples contain private keys; a set has public keys only.
            key.as_object_mut()
                .unwrap()
                .retain(|name, _| !["d", "p", "q", "dp", "dq", "qi"].contains(&name.as_str()));
        }
        let keys = key_set(&json!({ "keys": keys }));
        let forms = ["compact", "json", "json_flat"].map(|form| &example["output"][form]);
        assert_eq!(holds(&keys, forms[0]), accepted, "{file}, compact");
        assert!(!holds(&keys, forms[1]) && !holds(&keys, forms[2]), "{file}, JSON");
    }
}

#[test]
fn keys_of_the_cookbook_are_used_as_far_as_they_fit() {
    for (file, usable) in [
        ("3_1.ec_public_key", 0),  // P-521
        ("3_2.ec_private_key", 0), // private part published
        ("3_3.rsa_public_key", 1),
        ("3_4.rsa_private_key", 0),
        ("3_5.symmetric_key_mac_computation", 0),
        ("3_6.symmetric_key_encryption", 0),
    ] {
        assert_eq!(key_set(&vectors(&format!("jose-cookbook/{file}.json"))).len(), usable, "{file}");
    }
}

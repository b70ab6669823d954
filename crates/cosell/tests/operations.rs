//! Running it: what the log may hold, what the clock does, what the two temperaments show on the wire.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};
use support::{Sandbox, call, cosell};
use tempfile::TempDir;

const PATH: &str = "/v1.0/engagements/referrals";
const LEAD: &str = "/v1.0/engagements/referrals/c5fbb3b6-be74-4795-9fb5-4324c73fed37";
const OPPORTUNITY: &str = "/v1.0/engagements/referrals/49d90c72-3326-4f61-aacc-2cb57970448c";
const CONTOSO_ADMIN: &str = "admin@contoso.example";
const FABRIKAM_ADMIN: &str = "admin@fabrikam.example";
const PEOPLE: [&str; 7] = [
    CONTOSO_ADMIN,
    "user@contoso.example",
    "global@contoso.example",
    "nobody@contoso.example",
    FABRIKAM_ADMIN,
    "user@fabrikam.example",
    "seller@msft.example",
];

fn a_connected_referral() -> Value {
    json!({
        "name": "Fourth floor",
        "type": "Shared",
        "target": [{ "type": "BusinessProfileLocation", "id": "02f3bcde-63c1-4bf4-b4bf-2fe2641c4674" }],
        "customerProfile": { "name": "Wingtip Toys", "team": [
            { "firstName": "Zebulon", "lastName": "Quirke", "phoneNumber": "5550142", "email": "zq@wingtip.example" },
        ]},
        "consent": { "consentToToShareInfoWithOthers": true },
        "details": { "notes": "Ask for the blue folder" },
    })
}

/// Everything personal in an answer: people's members, names of customers, free texts.
fn personal(value: &Value, found: &mut BTreeSet<String>) {
    const MEMBERS: [&str; 6] = ["email", "phoneNumber", "firstName", "lastName", "notes", "statusReason"];
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                match inner.as_str() {
                    Some(text) if MEMBERS.contains(&name.as_str()) => drop(found.insert(text.to_owned())),
                    _ => personal(inner, found),
                }
            }
            if let Some(customer) = value["customerProfile"]["name"].as_str() {
                found.insert(customer.to_owned());
            }
        }
        Value::Array(items) => items.iter().for_each(|item| personal(item, found)),
        _ => {}
    }
}

/// Whether a text has these words, not as a part of others.
fn has_words(text: &str, words: &str) -> bool {
    let is_edge = |at: Option<char>| at.is_none_or(|letter| !letter.is_alphanumeric());
    text.match_indices(words).any(|(at, _)| {
        is_edge(text[..at].chars().next_back()) && is_edge(text[at + words.len()..].chars().next())
    })
}

/// A session with every kind of answer, good and bad; what it showed, and the tokens it used.
fn session(sandbox: &Sandbox) -> (BTreeSet<String>, Vec<String>) {
    let tokens: Vec<String> = PEOPLE.iter().map(|person| sandbox.token(person)).collect();
    let (admin, fabrikam) = (&tokens[0], &tokens[4]);
    let mut found: BTreeSet<String> = PEOPLE.iter().map(|person| (*person).to_owned()).collect();
    for token in &tokens {
        let list = call(sandbox, token, "GET", PATH, &[], "");
        if list.status == 200 {
            personal(&list.json(), &mut found);
        }
    }
    let mut statuses = BTreeSet::new();
    let mut ask = |token: &str, method: &str, path: &str, more: &[(&str, &str)], body: &str| {
        let answer = call(sandbox, token, method, path, more, body);
        statuses.insert(answer.status);
        answer
    };
    let connected = a_connected_referral();
    personal(&connected, &mut found);
    let sent = ask(admin, "POST", PATH, &[], &connected.to_string());
    let sent_path = format!("{PATH}/{}", sent.json()["id"].as_str().unwrap());
    ask(fabrikam, "GET", &sent_path, &[], "");
    ask(admin, "PUT", &sent_path, &[("If-Match", "*")], r#"{"name":"mine?"}"#);
    ask(admin, "GET", LEAD, &[], "");
    ask(&tokens[3], "GET", LEAD, &[], "");
    ask(admin, "GET", &format!("{PATH}/zq@wingtip.example"), &[], "");
    ask(admin, "GET", "/people/zq@wingtip.example?phone=5550142", &[], "");
    ask(admin, "GET", &format!("{PATH}?$filter=email%20eq%20'zq@wingtip.example'&who=Zebulon"), &[], "");
    ask(admin, "PATCH", LEAD, &[], r#"[{"op":"add","path":"/team/-","value":{"email":"Zebulon Quirke"}}]"#);
    ask(
        admin,
        "PATCH",
        LEAD,
        &[],
        r#"[{"op":"replace","path":"/details/notes","value":"Ask for the blue folder"}]"#,
    );
    ask(admin, "POST", PATH, &[], r#"{"name":"zq@wingtip.example" "Zebulon Quirke" 5550142"#);
    ask(admin, "POST", PATH, &[("Content-Type", "zq@wingtip.example")], "zq@wingtip.example");
    ask(
        admin,
        "POST",
        PATH,
        &[],
        r#"{"type":"Zebulon","customerProfile":{"name":"Quirke"},"consent":{},"details":{}}"#,
    );
    let stale = [("If-Match", "\"2500ec5b-0000-0000-0000-5bf4967d0000\"")];
    ask(admin, "PUT", OPPORTUNITY, &stale, r#"{"details":{"notes":"Ask for the blue folder"}}"#);
    let once = [("request-id", "0c1d1a2e-7c2b-4a8a-9a55-1c1f2f9f0a01"), ("If-Match", "*")];
    ask(admin, "PATCH", OPPORTUNITY, &once, r#"[{"op":"replace","path":"/name","value":"Zebulon"}]"#);
    ask(admin, "PATCH", OPPORTUNITY, &once, r#"[{"op":"replace","path":"/name","value":"Quirke"}]"#);
    ask(&format!("{admin}x"), "GET", LEAD, &[], "");
    ask("zq@wingtip.example", "GET", LEAD, &[], "");
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let body = "grant_type=password&client_id=any&resource=x&username=zq@wingtip.example&password=5550142";
    ask(admin, "POST", "/common/oauth2/token", &form, body);
    for status in [200, 201, 204, 400, 401, 403, 404, 409, 412, 415] {
        assert!(statuses.contains(&status), "the session had no {status}, but {statuses:?}");
    }
    (found, tokens)
}

#[test]
fn no_log_holds_tokens_addresses_names_or_texts() {
    for format in ["text", "json"] {
        let options = ["--log-level", "trace", "--log-requests", "--log-format", format];
        let mut sandbox = Sandbox::start(&options);
        let (found, tokens) = session(&sandbox);
        sandbox.signal("TERM");
        assert_eq!(sandbox.wait(), 0);
        let log = sandbox.log();
        assert!(log.lines().count() > 30, "it tells what happens: {log}");
        assert!(found.len() > 30, "the session showed many people");
        let told: Vec<&String> = found.iter().filter(|words| has_words(&log, words)).collect();
        assert!(told.is_empty(), "the log tells {told:?}:\n{log}");
        assert!(!log.contains('@'), "an address in the log:\n{log}");
        for token in &tokens {
            for part in token.split('.') {
                assert!(!log.contains(part), "a part of a token in the log:\n{log}");
            }
        }
    }
}

#[test]
fn the_search_for_words_finds_them() {
    for (text, words, is_there) in [
        ("request refused for Ann: 400", "Ann", true),
        ("Annual", "Ann", false),
        ("\"email\":\"zq@wingtip.example\"", "zq@wingtip.example", true),
        ("", "Ann", false),
    ] {
        assert_eq!(has_words(text, words), is_there, "{text}");
    }
}

#[test]
fn only_the_ready_line_and_hints_are_on_standard_output() {
    let mut sandbox = Sandbox::start(&["--log-level", "debug", "--log-requests"]);
    let token = sandbox.token(CONTOSO_ADMIN);
    sandbox.wait_for_output("Ctrl-C");
    let before = sandbox.output();
    assert_eq!(before.lines().next().unwrap(), format!("cosell: listening on {}", sandbox.url()));
    assert_eq!(call(&sandbox, &token, "GET", LEAD, &[], "").status, 200);
    assert_eq!(call(&sandbox, &token, "GET", &format!("{PATH}/x"), &[], "").status, 404);
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(), 0);
    assert_eq!(sandbox.output(), before);
    assert!(sandbox.log().contains("GET"), "requests are logged on standard error: {}", sandbox.log());
}

#[test]
fn an_unanswered_referral_has_expired_after_a_start_with_a_later_clock() {
    // REF-152 REF-153 REF-154
    let directory = TempDir::new().unwrap();
    let at = |time: &str| Sandbox::start_with_data(directory.path(), &["--clock", time]);
    let sandbox = at("2026-03-01T10:00:00Z");
    let contoso = sandbox.token(CONTOSO_ADMIN);
    let sent = call(&sandbox, &contoso, "POST", PATH, &[], &a_connected_referral().to_string());
    assert_eq!(sent.status, 201, "{}", sent.text());
    let path = format!("{PATH}/{}", sent.json()["id"].as_str().unwrap());
    let get = |sandbox: &Sandbox| call(sandbox, &sandbox.token(FABRIKAM_ADMIN), "GET", &path, &[], "").json();
    let new = get(&sandbox);
    assert_eq!((&new["status"], &new["substatus"]), (&json!("New"), &json!("Pending")));
    assert_eq!(new["expirationDateTime"], "2026-03-15T00:00:00Z");
    assert_eq!(new["customerProfile"]["team"].as_array().unwrap().len(), 1);
    assert_eq!(sandbox.stop(), 0);

    // Up to the last minute it stays open.
    let sandbox = at("2026-03-14T23:50:00Z");
    assert_eq!(get(&sandbox)["eTag"], new["eTag"]);
    assert_eq!(sandbox.stop(), 0);

    let sandbox = at("2026-03-15T00:00:00Z");
    let expired = get(&sandbox);
    assert_eq!((&expired["status"], &expired["substatus"]), (&json!("Closed"), &json!("Expired")));
    assert_eq!(expired["customerProfile"]["team"], json!([]));
    assert_ne!(expired["eTag"], new["eTag"]);
    let change = r#"[{"op":"replace","path":"/status","value":"Active"}]"#;
    let late = call(&sandbox, &sandbox.token(FABRIKAM_ADMIN), "PATCH", &path, &[], change);
    assert_eq!(late.status, 409, "{}", late.text());
    assert_eq!(sandbox.stop(), 0);
}

#[test]
fn a_token_is_good_for_its_time_by_the_set_clock_and_over_a_restart() {
    // REF-017
    let directory = TempDir::new().unwrap();
    let at = |time: &str| {
        let options = ["--public-url", "http://referrals.example", "--clock", time];
        Sandbox::start_with_data(directory.path(), &options)
    };
    let sandbox = at("2026-03-01T10:00:00Z");
    let token = sandbox.token(CONTOSO_ADMIN);
    assert_eq!(call(&sandbox, &token, "GET", LEAD, &[], "").status, 200);
    assert_eq!(sandbox.stop(), 0);
    for (time, status) in [("2026-03-01T10:50:00Z", 200), ("2026-03-01T11:30:00Z", 401)] {
        let sandbox = at(time);
        let answer = call(&sandbox, &token, "GET", LEAD, &[], "");
        assert_eq!(answer.status, status, "at {time}: {}", answer.text());
        if status == 401 {
            assert_eq!(answer.json()["error"]["innerError"]["code"], "tokenExpired", "{}", answer.text());
        }
        assert_eq!(sandbox.stop(), 0);
    }
}

/// What the extended temperament adds: how to ask for it, and the status in strict and in extended.
#[test]
fn each_temperament_shows_its_face_on_the_wire() {
    // REF-186 REF-187
    const MERGE: &str = "application/merge-patch+json";
    let (strict, extended) = (Sandbox::start(&[]), Sandbox::start(&["--extended"]));
    for (sandbox, is_strict) in [(&strict, true), (&extended, false)] {
        let token = sandbox.token(CONTOSO_ADMIN);
        let etag = call(sandbox, &token, "GET", LEAD, &[], "").header("ETag").unwrap().to_owned();
        let known = call(sandbox, &token, "GET", LEAD, &[("If-None-Match", &etag)], "");
        assert_eq!(known.status, if is_strict { 200 } else { 304 });
        assert_eq!(known.body.is_empty(), !is_strict);
        let merge = call(sandbox, &token, "PATCH", LEAD, &[("Content-Type", MERGE)], r#"{"name":"merged"}"#);
        assert_eq!(merge.status, if is_strict { 415 } else { 204 }, "{}", merge.text());
        for operations in [
            r#"[{"op":"test","path":"/details/currency","value":"USD"}]"#,
            r#"[{"op":"remove","path":"/externalReferenceId"}]"#,
            r#"[{"op":"copy","from":"/details/notes","path":"/statusReason"}]"#,
        ] {
            let answer = call(sandbox, &token, "PATCH", LEAD, &[], operations);
            assert_eq!(answer.status, if is_strict { 400 } else { 204 }, "{operations}: {}", answer.text());
            if is_strict {
                assert_eq!(answer.json()["error"]["innerError"]["code"], "unsupportedOperation");
                assert!(answer.header("x-cosell-hint").is_some(), "strict explains itself in a header");
            }
        }
        let name = call(sandbox, &token, "GET", LEAD, &[], "").json()["name"].clone();
        assert_eq!(name, if is_strict { Value::Null } else { json!("merged") });
        // The wire contract is the same: no face of extended changes what a client of the real service sees.
        let odd = call(sandbox, &token, "PATCH", LEAD, &[], r#"{"name":"object"}"#);
        assert_eq!(odd.status, 400, "{}", odd.text());
        assert_eq!(call(sandbox, &token, "DELETE", LEAD, &[], "").status, 405);
    }
}

#[test]
fn a_second_start_finds_everything_it_kept() {
    let directory = TempDir::new().unwrap();
    let public = ["--public-url", "http://referrals.example"];
    let sandbox = Sandbox::start_with_data(directory.path(), &public);
    let token = sandbox.token(CONTOSO_ADMIN);
    let body =
        json!({ "type": "Independent", "customerProfile": { "name": "A" }, "consent": {}, "details": {} })
            .to_string();
    let once = [("request-id", "0c1d1a2e-7c2b-4a8a-9a55-1c1f2f9f0a02")];
    let created = call(&sandbox, &token, "POST", PATH, &once, &body);
    assert_eq!(created.status, 201, "{}", created.text());
    let change = r#"[{"op":"replace","path":"/details/dealValue","value":"12500"}]"#;
    assert_eq!(call(&sandbox, &token, "PATCH", LEAD, &[], change).status, 204);
    let list = |sandbox: &Sandbox| {
        let mut all = Vec::new();
        let mut path = PATH.to_owned();
        loop {
            let page = call(sandbox, &token, "GET", &path, &[], "").json();
            all.extend(page["value"].as_array().unwrap().iter().cloned());
            let Some(next) = page["@odata.nextLink"].as_str() else { return all };
            path = next.strip_prefix("http://referrals.example").unwrap().to_owned();
        }
    };
    let before = list(&sandbox);
    assert!(before.len() > 100);
    assert_eq!(sandbox.stop(), 0);

    let sandbox = Sandbox::start_with_data(directory.path(), &public);
    assert_eq!(list(&sandbox), before, "the same referrals, to the byte, in the same order");
    let again = call(&sandbox, &token, "POST", PATH, &once, &body);
    assert_eq!((again.status, again.text()), (201, created.text()), "the answer is remembered");
    assert_eq!(list(&sandbox).len(), before.len());
}

#[test]
fn a_taken_address_is_one_clear_line_and_a_free_one_is_served() {
    let sandbox = Sandbox::start(&[]);
    let address = sandbox.address().to_string();
    let ran = support::run(&["sandbox", "--listen", &address]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    assert!(ran.stderr.contains(&address) && ran.stderr.contains("in use"), "{ran:?}");
    assert_eq!(sandbox.stop(), 0);
    // The address is free at once: connections of before do not hold it.
    let mut command = cosell(&["sandbox", "--listen", &address]);
    command.arg("--strict");
    let again = Sandbox::start_command(command);
    assert_eq!(again.address().to_string(), address);
}

/// How long it takes is printed for whoever runs this with `--nocapture`; nothing depends on it.
#[test]
fn the_first_answer_comes_after_the_ready_line() {
    let directory = TempDir::new().unwrap();
    for which in ["first", "second"] {
        let begun = Instant::now();
        let sandbox = Sandbox::start_with_data(directory.path(), &[]);
        let ready = begun.elapsed();
        assert_eq!(sandbox.request("GET", "/readyz", &[], b"").status, 200);
        println!("{which} start: ready line after {ready:?}, answer after {:?}", begun.elapsed());
        assert_eq!(sandbox.stop(), 0);
    }
}

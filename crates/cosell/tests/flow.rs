//! The published Power Automate flow against the real binary: its token call, its schemas, its PUT. And the README's
//! five minutes, command by command. Source of the flow: tests/vectors/referrals-flow/SOURCE.md.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::{Answer, Sandbox};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn flow() -> Value {
    let text = std::fs::read(root().join("tests/vectors/referrals-flow/flow.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

const LEAD: &str = "/v1.0/engagements/referrals/c5fbb3b6-be74-4795-9fb5-4324c73fed37";

fn encoded(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The token call with exactly the fields that the flow sends, in its order; the audience as the flow derives it.
fn token_call(sandbox: &Sandbox, flow: &Value) -> Answer {
    let host = sandbox.address().to_string();
    let audience = format!("https://{host}");
    let fields: Vec<String> = flow["token_request"]["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| {
            let field = field.as_str().unwrap();
            let (name, value) = field.split_once('=').unwrap_or_else(|| {
                (
                    field,
                    match field {
                        "client_id" => "00001111-aaaa-2222-bbbb-3333cccc4444",
                        "resource" => &audience,
                        "username" => "admin@contoso.example",
                        "password" => "cosell",
                        other => panic!("a field that this test does not know: {other}"),
                    },
                )
            });
            format!("{name}={}", encoded(value))
        })
        .collect();
    let content_type = flow["token_request"]["content_type"].as_str().unwrap();
    sandbox.request(
        "POST",
        "/common/oauth2/token",
        &[("Content-Type", content_type)],
        fields.join("&").as_bytes(),
    )
}

#[track_caller]
fn assert_fits(schema: &Value, answer: &Value) {
    let validator = jsonschema::validator_for(schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{answer:#}");
}

/// Every property of the schema must be in the answer: a schema without `required` is satisfied by `{}`.
#[track_caller]
fn assert_has_all(schema: &Value, answer: &Value, at: &str) {
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let name = name.replace("@@", "@"); // the flow's escape
        let value = answer.get(&name).unwrap_or_else(|| panic!("{at}/{name} is missing"));
        if value.is_object() {
            assert_has_all(inner, value, &format!("{at}/{name}"));
        }
    }
}

#[test]
fn the_flows_token_call_is_answered_by_its_schema() {
    let (sandbox, flow) = (Sandbox::start(&[]), flow());
    let answer = token_call(&sandbox, &flow);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let schema = &flow["token_request"]["response_schema"];
    assert_fits(schema, &answer.json());
    assert_has_all(schema, &answer.json(), "");
    assert_eq!(answer.json()["token_type"], "Bearer");
    assert_eq!(answer.json()["resource"], format!("https://{}", sandbox.address()));
    let seconds = |name: &str| answer.json()[name].as_str().unwrap().parse::<i64>().unwrap();
    assert!(seconds("expires_in") > 0 && seconds("expires_on") > seconds("not_before"));
}

#[test]
fn every_answer_fits_the_schema_that_the_flow_holds_it_to() {
    // REF-069 REF-070 REF-071 REF-073: every list and object of the schema is there and of its type.
    let (sandbox, flow) = (Sandbox::start(&[]), flow());
    let token = token_call(&sandbox, &flow).json()["access_token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let schema = &flow["get_referral"]["response_schema"];
    let mut connection = sandbox.connect();
    let list = connection.request("GET", "/v1.0/engagements/referrals", &headers, b"").json();
    let referrals = list["value"].as_array().unwrap();
    assert_eq!(referrals.len(), 100);
    for referral in referrals {
        let path = format!("/v1.0/engagements/referrals/{}", referral["id"].as_str().unwrap());
        let answer = connection.request("GET", &path, &headers, b"");
        assert_eq!(answer.status, 200);
        assert_fits(schema, &answer.json());
        assert_has_all(schema, &answer.json(), &path);
    }
    let lead = connection.request("GET", LEAD, &headers, b"").json();
    assert_fits(schema, &lead);
    assert_has_all(schema, &lead, LEAD);
    // Would a schema that says nothing be noticed? It says enough to refuse a missing list.
    let mut poor = lead;
    poor["team"] = Value::Null;
    assert!(!jsonschema::is_valid(schema, &poor));
}

/// A value of the flow's template, with its expressions worked out.
fn worked_out(template: &Value, referral: &Value, lead_id: &str) -> Value {
    match template {
        Value::Object(members) => {
            members.iter().map(|(name, inner)| (name.clone(), worked_out(inner, referral, lead_id))).collect()
        }
        Value::String(text) => expression(text, referral, lead_id),
        other => other.clone(),
    }
}

/// `@body('…')?['a']?['b']`, the same within `@{…}` (then a text), or `@variables('LeadId')`.
fn expression(text: &str, referral: &Value, lead_id: &str) -> Value {
    let inside = text.strip_prefix("@{").and_then(|rest| rest.strip_suffix('}'));
    let path = inside.or_else(|| text.strip_prefix('@')).unwrap_or_else(|| panic!("no expression: {text}"));
    if path == "variables('LeadId')" {
        return json!(lead_id);
    }
    let (_, path) = path.split_once("')").unwrap_or_else(|| panic!("no body: {text}"));
    let names = path.split("?['").skip(1).map(|name| name.trim_end_matches("']"));
    let value = names.fold(referral, |value, name| &value[name]);
    match (inside, value) {
        (Some(_), Value::Null) => json!(""),
        _ => value.clone(),
    }
}

#[test]
fn the_flows_put_writes_its_own_id_and_nothing_else() {
    // REF-173 REF-177
    let (sandbox, flow) = (Sandbox::start(&[]), flow());
    let token = token_call(&sandbox, &flow).json()["access_token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let mut connection = sandbox.connect();
    let mut before = connection.request("GET", LEAD, &headers, b"").json();
    assert_ne!(before["status"], "Closed", "the flow's condition");
    for lead_id in ["b8a1c7d2-0000-4000-8000-000000000001", "b8a1c7d2-0000-4000-8000-000000000002"] {
        let body = worked_out(&flow["put_referral"]["body_template"], &before, lead_id).to_string();
        let etag =
            expression(flow["put_referral"]["headers"]["If-Match"].as_str().unwrap(), &before, lead_id);
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
            ("If-Match", etag.as_str().unwrap()),
        ];
        let put = connection.request("PUT", LEAD, &headers, body.as_bytes());
        assert_eq!(put.status, 200, "{}", put.text());
        assert_fits(&flow["get_referral"]["response_schema"], &put.json());
        let after = connection.request("GET", LEAD, &headers[..2], b"").json();
        assert_eq!(put.json(), after, "PUT answers what GET shows");
        let mut expected = before.clone();
        expected["externalReferenceId"] = json!(lead_id);
        for name in ["eTag", "updatedDateTime"] {
            assert_ne!(after[name], before[name], "{name}");
            expected[name] = after[name].clone();
        }
        assert_eq!(after, expected);
        before = after;
    }
}

/// The fenced blocks under a heading of the README.
fn blocks(page: &str, heading: &str) -> Vec<String> {
    let (_, section) = page.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
    let section = section.split("\n## ").next().unwrap();
    section.split("```").skip(1).step_by(2).map(|block| block.trim().to_owned()).collect()
}

/// Runs commands as a person would, in the README's folder, with the address and the program of this test.
fn shell(sandbox: &Sandbox, commands: &str) -> String {
    let commands = commands.replace("http://127.0.0.1:8080", sandbox.url()).replace(
        "./target/release/cosell token",
        &format!("'{}' token --server {}", env!("CARGO_BIN_EXE_cosell"), sandbox.url()),
    );
    assert!(!commands.contains(":8080") && !commands.contains("target/release"), "{commands}");
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &commands])
        .current_dir(root())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{commands}\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// What `curl -i` printed: the status line, the head in lower case, the JSON body.
fn printed(said: &str) -> (u16, String, Value) {
    let (head, body) = said.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {said}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (
        status,
        head.to_lowercase(),
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {said}")),
    )
}

#[test]
fn the_five_minutes_of_the_readme_happen_as_it_says() {
    // REF-002 REF-004 REF-095 REF-160 REF-172 REF-179
    let version = Command::new("curl").arg("--version").output();
    assert!(version.is_ok_and(|ran| ran.status.success()), "curl is missing: apt-get install curl");
    let sandbox = Sandbox::start(&[]);
    let page = std::fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = blocks(&page, "\n## Five minutes with curl\n");
    let [token, token_call, read, change, close, list, refused] = blocks.as_slice() else {
        panic!("the README has other steps than this test: {blocks:#?}");
    };
    let with_token = |command: &str| shell(&sandbox, &format!("{token}\n{command}"));

    assert_eq!(with_token("echo $API").trim(), format!("{}/v1.0/engagements/referrals", sandbox.url()));
    let given: Value = serde_json::from_str(&shell(&sandbox, token_call)).unwrap();
    assert_eq!(given["access_token"].as_str().unwrap().split('.').count(), 3);

    assert!(read.starts_with("curl -i"));
    let (status, head, lead) = printed(&with_token(read));
    assert_eq!(
        (status, lead["name"].is_null(), lead["details"]["dealValue"].clone()),
        (200, true, json!(10000))
    );
    assert!(head.contains("etag: ") && head.contains("request-id: "), "{head}");

    assert!(change.contains("-X PATCH"));
    let (status, head, changed) = printed(&with_token(change));
    assert_eq!((status, &changed["details"]["dealValue"]), (200, &json!(12500)));
    assert!(head.contains("preference-applied: return=representation"), "{head}");
    assert_ne!(changed["eTag"], lead["eTag"]);

    assert!(close.contains("-X PUT"));
    let (status, head, closed) = printed(&with_token(close));
    assert_eq!(status, 200, "{closed:#}");
    assert_eq!((&closed["status"], &closed["substatus"]), (&json!("Closed"), &json!("Won")));
    assert_ne!(closed["eTag"], json!("\"2500ec5a-0000-0000-0000-5bf4967d0000\""));
    assert!(head.contains("\r\ndeprecation: ") && head.contains("\r\nlink: "), "{head}");

    let listed = with_token(list);
    let (list, schema) = listed.split_once("<?xml").unwrap_or_else(|| panic!("no schema: {listed}"));
    let list: Value = serde_json::from_str(list.trim()).unwrap();
    assert_eq!(list["value"].as_array().unwrap().len() as u64, list["@odata.count"].as_u64().unwrap());
    let members: Vec<&String> = list["value"][0].as_object().unwrap().keys().collect();
    assert_eq!(members, ["id", "name", "expirationDateTime"]);
    assert!(schema.contains("expirationDateTime"), "{schema}");

    // The same PUT again; the README prints the answer with its messages left out.
    let (status, _, mut refusal) = printed(&with_token(close));
    assert_eq!(status, 412);
    let (shown_head, shown) = refused.split_once("\n\n").unwrap();
    assert_eq!(shown_head, "HTTP/1.1 412 Precondition Failed");
    shorten(&mut refusal);
    assert_eq!(refusal, serde_json::from_str::<Value>(shown).unwrap());
    assert_eq!(sandbox.stop(), 0);
}

/// Messages as the README prints them.
fn shorten(error: &mut Value) {
    match error {
        Value::Object(members) => {
            for (name, value) in members {
                if name == "message" { *value = json!("…") } else { shorten(value) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(shorten),
        _ => {}
    }
}

#[test]
fn the_curl_line_that_the_sandbox_prints_works_as_printed() {
    let sandbox = Sandbox::start(&[]);
    let output = wait_for_greeting(&sandbox);
    let (_, line) = output.split_once("    curl ").unwrap_or_else(|| panic!("no curl line: {output}"));
    let (line, _) = line.split_once("\n\n").unwrap();
    let commands = format!("curl -s -i {line}");
    let ran = Command::new("bash")
        .env("no_proxy", "*")
        .args(["-euo", "pipefail", "-c", &commands])
        .output()
        .unwrap();
    let (status, _, lead) = printed(&String::from_utf8(ran.stdout).unwrap());
    assert_eq!((status, lead["organizationName"].as_str()), (200, Some("Contoso Company")));
}

/// The hints follow the ready line in one piece, but the reader may be given them in two.
fn wait_for_greeting(sandbox: &Sandbox) -> String {
    sandbox.wait_for_output("Ctrl-C");
    sandbox.output()
}

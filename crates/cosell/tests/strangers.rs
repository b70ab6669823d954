//! The requests of the seed pages, byte for byte, against the seeded world of the real binary: the absolute target
//! and the foreign `Host`, the trailing comma and all. Put in: the token, the ETag the page says to send, the length.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::path::Path;

use referral::Timestamp;
use serde_json::{Value, json};
use support::Sandbox;

const PUT_PAGES: [&str; 4] =
    ["000_9d50cd3788129946", "001_2d65cee5c0c83549", "002_948892352e02220b", "003_321d766fd8638376"];
const GET_PAGE: &str = "004_dd8fcf3f825218b6";
const LEAD: &str = "c5fbb3b6-be74-4795-9fb5-4324c73fed37";
const OPPORTUNITY: &str = "49d90c72-3326-4f61-aacc-2cb57970448c";
const ETAG: &str = "\"2500ec5a-0000-0000-0000-5bf4967d0000\"";

/// The two fenced blocks of a page: its request and its response, without the lines of the fences.
fn page(name: &str) -> (String, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/seeds/{name}.txt"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut blocks =
        text.split("```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap().1.to_owned());
    let (request, response) = (blocks.next().unwrap(), blocks.next().unwrap());
    assert_eq!(blocks.next(), None);
    (request, response)
}

/// The page's head lines as they go over the wire, and its body with not a byte changed.
fn on_the_wire(request: &str, token: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let (head, body) = request.split_once("\n\n").unwrap_or((request.trim_end(), ""));
    let mut head = head.replace("<token>", token).replace('\n', "\r\n");
    for (name, value) in more {
        head.push_str(&format!("\r\n{name}: {value}"));
    }
    if !body.is_empty() {
        head.push_str(&format!("\r\nContent-Length: {}", body.len()));
    }
    format!("{head}\r\n\r\n{body}").into_bytes()
}

struct Said {
    status: u16,
    head: String,
    body: Value,
}

fn say(sandbox: &Sandbox, bytes: &[u8]) -> Said {
    let said = String::from_utf8(sandbox.raw(bytes)).unwrap();
    let (head, body) = said.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {said}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {said}"));
    Said { status, head: head.to_lowercase(), body }
}

/// Every member of the page is in the answer with the page's value; times count as instants. `except` is corrected.
fn assert_shows(page: &Value, ours: &Value, at: &str, except: &[&str]) {
    match (page, ours) {
        (Value::Object(page), Value::Object(ours)) => {
            for (name, value) in page.iter().filter(|(name, _)| !except.contains(&name.as_str())) {
                let ours = ours.get(name).unwrap_or_else(|| panic!("{at}/{name} is missing"));
                assert_shows(value, ours, &format!("{at}/{name}"), except);
            }
        }
        (Value::Array(page), Value::Array(ours)) => {
            assert_eq!(page.len(), ours.len(), "{at}");
            page.iter().zip(ours).for_each(|(page, ours)| assert_shows(page, ours, at, except));
        }
        (Value::String(page), Value::String(ours)) if at.ends_with("DateTime") => {
            assert_eq!(page.parse::<Timestamp>().unwrap(), ours.parse::<Timestamp>().unwrap(), "{at}");
        }
        _ => assert_eq!(page, ours, "{at}"),
    }
}

fn assert_links(base: &str, referral: &Value) {
    let (id, engagement) = (referral["id"].as_str().unwrap(), referral["engagementId"].as_str().unwrap());
    let expected = json!({
        "relatedReferrals": {
            "uri": format!("{base}/v1.0/engagements/referrals?$filter=engagementId eq '{engagement}'"),
            "method": "GET",
        },
        "self": { "uri": format!("{base}/v1.0/engagements/referrals/{id}"), "method": "GET" },
    });
    assert_eq!(referral["links"], expected);
    let context = format!("{base}/v1.0/engagements/referrals/$metadata#Referrals/$entity");
    assert_eq!(referral["@odata.context"], context);
}

#[test]
fn the_get_page_gets_what_it_prints() {
    // REF-002 REF-014 REF-039 REF-063 REF-068 REF-082 REF-084
    let (request, response) = page(GET_PAGE);
    assert!(
        request
            .starts_with("GET https://api.partner.microsoft.com/v1.0/engagements/referrals/{Id} HTTP/1.1\n")
    );
    assert!(request.contains("\nContent-Type: application/json"), "the page sends it without a body");
    let sandbox = Sandbox::start(&[]);
    let token = sandbox.token("admin@contoso.example");
    // The page prints no Host, which every HTTP/1.1 client sends.
    let bytes = on_the_wire(&request.replace("{Id}", LEAD), &token, &[("Host", "api.partner.microsoft.com")]);
    let said = say(&sandbox, &bytes);
    assert_eq!(said.status, 200, "{:#}", said.body);
    let (_, printed) = response.split_once("\n\n").unwrap();
    let printed: Value = serde_json::from_str(printed).unwrap();
    assert_eq!(printed.as_object().unwrap().len(), 16, "the whole page was read");
    assert_shows(&printed, &said.body, "", &["links", "@odata.context"]);
    assert_links(sandbox.url(), &said.body);
    assert!(said.head.contains("\r\ncontent-type: application/json"), "{}", said.head);
    assert!(said.head.contains("\r\nrequest-id: "), "{}", said.head);
    assert!(said.head.contains(&format!("\r\netag: {ETAG}")), "{}", said.head);
}

#[test]
fn the_put_pages_close_as_won_once_and_are_stale_then() {
    // REF-004 REF-095 REF-159 REF-160 REF-167 REF-168 REF-172 REF-173
    for name in PUT_PAGES {
        let (request, response) = page(name);
        let line = format!(
            "PUT https://api.partner.microsoft.com/v1.0/engagements/referrals/{OPPORTUNITY} HTTP/1.1\n"
        );
        assert!(request.starts_with(&line), "{name}");
        assert!(request.contains(&format!("\"eTag\": {},\n", json!(ETAG))), "{name}: the trailing comma");
        let sandbox = Sandbox::start(&[]);
        let token = sandbox.token("admin@contoso.example");
        let bytes = on_the_wire(&request, &token, &[("If-Match", ETAG)]);

        let said = say(&sandbox, &bytes);
        assert_eq!(said.status, 200, "{name}: {:#}", said.body);
        assert_eq!(
            (&said.body["status"], &said.body["substatus"]),
            (&json!("Closed"), &json!("Won")),
            "{name}"
        );
        assert_ne!(said.body["eTag"], ETAG, "{name}: a new version has a new tag");
        assert!(said.head.contains("\r\ndeprecation: ") && said.head.contains("\r\nlink: "), "{}", said.head);
        // The page's answer is of another referral and repeats the tag; everything else of it is what we answer.
        let printed: Value = serde_json::from_str(&response).unwrap();
        assert_eq!(printed["eTag"], ETAG, "{name}: the whole page was read");
        assert_shows(&printed, &said.body, "", &["id", "eTag", "updatedDateTime", "links"]);
        let instant = |value: &Value| value.as_str().unwrap().parse::<Timestamp>().unwrap();
        assert!(instant(&said.body["updatedDateTime"]) > instant(&printed["updatedDateTime"]), "{name}");
        assert_links(sandbox.url(), &said.body);

        let get = format!(
            "GET /v1.0/engagements/referrals/{OPPORTUNITY} HTTP/1.1\nAuthorization: Bearer <token>\nHost: a"
        );
        let kept = say(&sandbox, &on_the_wire(&get, &token, &[]));
        assert_eq!(kept.body, said.body, "{name}: what it answered is what it keeps");

        let again = say(&sandbox, &bytes);
        assert_eq!(again.status, 412, "{name}");
        let captured = json!({ "error": {
            "code": "preconditionFailed",
            "message": "A precondition provided in the request (such as an if-match header) does not match the resource's current state.",
            "target": "ETag",
            "innerError": {
                "code": "99918",
                "message": "One of the specified pre-condition is not met. Etag value did not Match",
                "details": null,
                "innerError": again.body["error"]["innerError"]["innerError"],
            },
        }});
        assert_eq!(again.body, captured, "{name}");
        assert_eq!(again.body["error"]["innerError"]["innerError"]["code"], "resourceModified", "{name}");
        assert_eq!(
            say(&sandbox, &on_the_wire(&get, &token, &[])).body,
            kept.body,
            "{name}: nothing has changed"
        );
    }
}

#[test]
fn the_put_page_as_printed_lacks_if_match_and_is_told_so() {
    // REF-158: the page's request has no If-Match, though its text asks for it.
    let (request, _) = page(PUT_PAGES[1]);
    let sandbox = Sandbox::start(&[]);
    let token = sandbox.token("admin@contoso.example");
    let said = say(&sandbox, &on_the_wire(&request, &token, &[]));
    assert_eq!(said.status, 400, "{:#}", said.body);
    assert_eq!(said.body["error"]["target"], "If-Match", "{:#}", said.body);
}

#[test]
fn without_the_switch_the_trailing_comma_is_malformed() {
    let (request, _) = page(PUT_PAGES[0]);
    let sandbox = Sandbox::start(&["--tolerant-json", "off"]);
    let token = sandbox.token("admin@contoso.example");
    let said = say(&sandbox, &on_the_wire(&request, &token, &[("If-Match", ETAG)]));
    assert_eq!(said.status, 400);
    assert_eq!(said.body["error"]["innerError"]["code"], "malformedJson", "{:#}", said.body);
}

//! `docs/options.md` is true: every option and header is tried on every resource, over HTTP, in both modes.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

#[path = "../support/mod.rs"]
mod support;
mod table;
#[path = "../wire/mod.rs"]
mod wire;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use net::ServeOptions;
use serde_json::{Value, json};
use support::*;
use table::{Cell, Resource, Row, Table};
use wire::{Connection, Reply, Server};

/// A tag that no referral has.
const STALE: &str = "\"00000000-0000-4000-8000-000000000000\"";

/// Headers beyond those that the server reads, on which the table must have a word too.
const HEADERS: [&str; 21] = [
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "expect",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "isolation",
    "ms-continuationtoken",
    "ms-contract-version",
    "ms-partnercenter-application",
    "odata-isolation",
    "odata-maxversion",
    "odata-version",
    "range",
    "te",
    "upgrade",
    "x-caller-id",
    "x-http-method-override",
    "x-locale",
];

/// The preferences of OData and of RFC 7240.
const PREFERENCES: [&str; 12] = [
    "allow-entityreferences",
    "callback",
    "continue-on-error",
    "handling",
    "include-annotations",
    "maxpagesize",
    "omit-values",
    "respond-async",
    "return",
    "track-changes",
    "unknown",
    "wait",
];

/// An answer without what differs from one time to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plain {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Plain {
    /// Ids that the request did not name are numbered in the order in which they appear.
    fn of(reply: &Reply, sent: &str) -> Plain {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut plain = |text: &str| numbered(&without_tokens(text), sent, &mut seen);
        let mut headers = BTreeMap::new();
        for line in reply.head.lines().skip(1) {
            let Some((name, value)) = line.split_once(':') else { continue };
            let name = name.to_ascii_lowercase();
            if name != "date" {
                headers.insert(name, value.trim().to_owned());
            }
        }
        // The headers first, so that HEAD and GET number alike.
        let headers = headers.into_iter().map(|(name, value)| (name, plain(&value))).collect();
        let body = plain(&String::from_utf8_lossy(&reply.body));
        Plain { status: reply.status, headers, body }
    }

    fn target(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["error"]["target"].as_str().unwrap_or_default().to_owned()
    }
}

/// Access tokens differ in their signatures.
fn without_tokens(text: &str) -> String {
    match text.split_once("\"access_token\":\"") {
        Some((before, rest)) => {
            format!("{before}{}", rest.split_once('"').map_or("", |(_, after)| after))
        }
        None => text.to_owned(),
    }
}

fn numbered(text: &str, sent: &str, seen: &mut HashMap<String, usize>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        match rest.get(..36).filter(|id| is_guid(id)) {
            Some(id) if sent.contains(id) => {
                out.push_str(id);
                rest = &rest[36..];
            }
            Some(id) => {
                let next = seen.len();
                let number = *seen.entry(id.to_owned()).or_insert(next);
                let _ = write!(out, "guid-{number}");
                rest = &rest[36..];
            }
            None => {
                let next = rest.chars().next().map_or(0, char::len_utf8);
                out.push_str(&rest[..next]);
                rest = &rest[next..];
            }
        }
    }
    out
}

fn is_guid(text: &str) -> bool {
    text.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}

/// A mode of the server, and what requests need to know of it.
struct Trial {
    world: World,
    server: Server,
    connection: Connection,
    token: String,
    extended: bool,
    /// The referral that is read.
    deal: Deal,
    /// The last answer that was as it should be, and to what.
    last: Option<(String, Plain)>,
    /// Answers without the option, by method and address.
    plain: HashMap<(String, String), Plain>,
}

impl Trial {
    async fn begin(extended: bool) -> Trial {
        let world = if extended { World::extended().await } else { World::new().await };
        let mut first = None;
        for (name, value) in [("Third", 3), ("Second", 2), ("First", 1)] {
            world.clock.set(&format!("2026-03-0{value}T09:30:00Z"));
            let mut body = support::deal();
            body["name"] = name.into();
            body["details"]["dealValue"] = value.into();
            // Two members, so that an order of them shows.
            let mut second = body["team"][0].clone();
            second["email"] = "ann.doe@fabrikam.com".into();
            body["team"].as_array_mut().unwrap().push(second);
            first = Some(world.contoso().creates(body).await);
        }
        let deal = first.unwrap();
        // Somebody else in its engagement, later.
        world.clock.set("2026-03-04T09:30:00Z");
        world.contoso().connects(&deal.engagement, FABRIKAM_LOCATION).await;
        let server = Server::start(&world, ServeOptions::default()).await;
        let connection = server.connect().await;
        let token = world.token(CONTOSO_ADMIN).await;
        Trial { world, server, connection, token, extended, deal, last: None, plain: HashMap::new() }
    }

    /// Sends a request with the row's option or header, or without.
    async fn ask(&mut self, method: &str, path: &str, deal: &Deal, row: Option<&Row>) -> Plain {
        let mut headers = vec![
            ("Host".to_owned(), "127.0.0.1:8080".to_owned()),
            ("Authorization".to_owned(), format!("Bearer {}", self.token)),
        ];
        let (content_type, body) = body_of(method, path, deal);
        if let Some(content_type) = content_type {
            headers.push(("Content-Type".to_owned(), content_type.to_owned()));
            headers.push(("Content-Length".to_owned(), body.len().to_string()));
        }
        if method == "PUT" {
            headers.push(("If-Match".to_owned(), deal.etag.clone()));
        }
        let mut target = path.replace("{id}", &deal.id);
        match row.and_then(Row::header) {
            Some((name, value)) => {
                let value = value.replace("{etag}", &deal.etag).replace("{stale}", STALE);
                headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
                headers.push((name.to_owned(), value));
            }
            None => {
                if let Some(row) = row {
                    target.push(if target.contains('?') { '&' } else { '?' });
                    target.push_str(&row.sent);
                }
            }
        }
        let mut request = format!("{method} {} HTTP/1.1\r\n", encoded(&target));
        for (name, value) in headers {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        let _ = write!(request, "\r\n{body}");
        self.connection.send(&request).await;
        let reply = match self.connection.reply(method).await {
            Some(reply) => reply,
            None => {
                self.connection = self.server.connect().await;
                self.connection.send(&request).await;
                self.connection.reply(method).await.unwrap_or_else(|| panic!("no answer: {request}"))
            }
        };
        if reply.header("connection") == Some("close") {
            self.connection = self.server.connect().await;
        }
        Plain::of(&reply, row.map_or("", |row| &row.sent))
    }

    /// The answer without the option.
    async fn without(&mut self, method: &str, path: &str, deal: &Deal) -> Plain {
        let writes = matches!(method, "POST" | "PUT" | "PATCH");
        let key = (method.to_owned(), path.to_owned());
        if let Some(plain) = self.plain.get(&key).filter(|_| !writes) {
            return plain.clone();
        }
        let plain = self.ask(method, path, deal, None).await;
        self.plain.insert(key, plain.clone());
        plain
    }

    /// Tries one cell; what is not as the table says.
    async fn cell(&mut self, resource: &Resource, path: &str, method: &str, row: &Row) -> Option<String> {
        let expected = match () {
            () if resource.extended_only && !self.extended => &Cell::Absent,
            () if self.extended => &row.extended,
            () => &row.strict,
        };
        let edits = matches!(method, "PUT" | "PATCH");
        let mut deal = self.deal.clone();
        if edits {
            deal = self.world.contoso().own_deal().await;
        }
        let without = match expected {
            Cell::Refused(..) | Cell::Absent => None,
            _ if method == "HEAD" => None,
            _ => {
                let plain = self.without(method, path, &deal).await;
                if edits {
                    deal = self.world.contoso().own_deal().await;
                }
                Some(plain)
            }
        };
        let before = self.world.count(CONTOSO).await;
        let found = self.ask(method, path, &deal, Some(row)).await;
        let same = without.as_ref() == Some(&found);
        let success = (200..300).contains(&found.status);
        let holds = match expected {
            // Another route of the strict mode may refuse it sooner, or offer OPTIONS.
            Cell::Absent => found.status >= 400 || method == "OPTIONS",
            Cell::Refused(status, target) => {
                found.status == *status && (method == "HEAD" || found.target() == *target)
            }
            Cell::Executed(Some(status)) => !same && found.status == *status,
            Cell::Executed(None) => !same && success,
            // Of HEAD, only that it answers as GET does.
            Cell::Same => same || (method == "HEAD" && success),
        };
        let mode = if self.extended { "extended" } else { "strict" };
        let place = format!("line {} ({mode}): {method} {path} `{}`", row.line, row.sent);
        if !holds {
            let told = format!("{} {} {:?}", found.status, found.target(), found.headers);
            return Some(format!("{place}: {expected:?}, but {}", if same { "the same" } else { &told }));
        }
        if method == "HEAD" {
            let mut get = match self.last.take().filter(|(asked, _)| *asked == place.replace("HEAD", "GET")) {
                Some((_, get)) => get,
                None => self.ask("GET", path, &deal, Some(row)).await,
            };
            get.body.clear();
            if get != found {
                return Some(format!("{place}: HEAD {found:?} is not GET {get:?}"));
            }
        }
        self.last = Some((place.clone(), found.clone()));
        if found.status >= 400 && (edits || method == "POST") {
            let kept = self.world.kept(&deal.id).await.map(|kept| kept.etag.to_string());
            if kept.as_deref() != Some(&*deal.etag) || self.world.count(CONTOSO).await != before {
                return Some(format!("{place}: refused, and changed something"));
            }
        }
        None
    }
}

/// The body that a request has without any option, with its type.
fn body_of(method: &str, path: &str, deal: &Deal) -> (Option<&'static str>, String) {
    match method {
        "POST" if path.contains("oauth2") => (
            Some("application/x-www-form-urlencoded"),
            "grant_type=client_credentials&client_id=0a0b0c0d-0000-4000-8000-000000000001\
             &client_secret=any&resource=https%3A%2F%2Fapi.partner.microsoft.com\
             &scope=https%3A%2F%2Fapi.partner.microsoft.com%2F.default"
                .to_owned(),
        ),
        "POST" if path.ends_with("$batch") => {
            let get = |id: &str, url: &str| json!({ "id": id, "method": "get", "url": url });
            let url = format!("{REFERRALS}/{}", deal.id);
            let requests = json!({ "requests": [get("1", "/v1.0/nowhere"), get("2", &url)] });
            (Some("application/json"), requests.to_string())
        }
        "POST" => (Some("application/json"), support::deal().to_string()),
        "PUT" => (Some("application/json"), json!({ "name": "Changed" }).to_string()),
        "PATCH" => {
            let body = json!([{ "op": "replace", "path": "/name", "value": "Changed" }]);
            (Some("application/json"), body.to_string())
        }
        _ => (None, String::new()),
    }
}

/// Tries every cell of a mode.
async fn every_cell(extended: bool) {
    let table = Table::read();
    let mut trial = Trial::begin(extended).await;
    let mut faults: Vec<Vec<String>> = vec![Vec::new(); table.rows.len()];
    let mut tried = 0;
    // Writes come last, so that what is read stays the same.
    for writes in [false, true] {
        let mut aliases = BTreeSet::new();
        for (row, faults) in table.rows.iter().zip(&mut faults) {
            for resource in row.resources.iter().map(|name| table.resource(name)) {
                for (at, path) in resource.paths.iter().enumerate() {
                    for method in table.methods(row, resource) {
                        let write = matches!(method, "POST" | "PUT" | "PATCH");
                        // An alias is tried with one value of each option, the canonical path with all.
                        let known = at > 0 && !aliases.insert((path, method, row.key()));
                        if write == writes && !known {
                            tried += 1;
                            faults.extend(trial.cell(resource, path, method, row).await);
                        }
                    }
                }
            }
        }
    }
    for (row, faults) in table.rows.iter().zip(&mut faults) {
        let to_do = if extended { row.extended_to_do } else { row.strict_to_do };
        if to_do && faults.is_empty() {
            faults.push(format!("line {}: is done, take \"to do\" away", row.line));
        } else if to_do {
            faults.clear();
        }
    }
    let faults = faults.concat();
    assert!(faults.is_empty(), "{} of {tried}:\n{}", faults.len(), faults.join("\n"));
    assert!(tried > 5000, "{tried}");
    trial.server.stop().await;
}

#[tokio::test]
async fn every_cell_of_the_strict_mode_is_true() {
    every_cell(false).await;
}

#[tokio::test]
async fn every_cell_of_the_extended_mode_is_true() {
    every_cell(true).await;
}

#[test]
fn every_option_and_header_has_a_row_for_every_resource_and_method() {
    let table = Table::read();
    let mut needed: BTreeSet<String> = odata::SystemOption::ALL.iter().map(|o| o.name().to_owned()).collect();
    needed.extend(["$foo", "foo", "pagesize"].map(str::to_owned));
    needed.extend(HEADERS.map(str::to_owned));
    needed.extend(PREFERENCES.map(|preference| format!("prefer {preference}")));
    needed.extend(read_by_the_server().into_iter().filter(|name| !table.named_beside.contains(name)));
    needed.remove("prefer");
    let mut missing = Vec::new();
    for resource in &table.resources {
        for method in &resource.methods {
            let rows = table.rows.iter().filter(|row| {
                row.resources.contains(&resource.name) && table.methods(row, resource).contains(&&**method)
            });
            let found: BTreeSet<String> = rows.map(Row::key).collect();
            for key in needed.difference(&found) {
                missing.push(format!("{} {method} {key}", resource.name));
            }
        }
    }
    assert!(missing.is_empty(), "{} cells are missing:\n{}", missing.len(), missing.join("\n"));
}

/// The header names that the source of the server knows, in lower case: each has a row, or is named beside the table.
fn read_by_the_server() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            names.extend(names_in(&source));
        }
    }
    names
}

/// Constants of `http::header`, and names that are spelt out.
fn names_in(source: &str) -> BTreeSet<String> {
    let is_constant =
        |word: &str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let mut names = BTreeSet::new();
    for (_, after) in source.match_indices("header::").map(|(at, found)| (at, &source[at + found.len()..])) {
        let inside = match after.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default(),
            None => {
                after.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default()
            }
        };
        let words = inside.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        names.extend(
            words.filter(|word| is_constant(word)).map(|word| word.to_ascii_lowercase().replace('_', "-")),
        );
    }
    for call in ["HeaderName::from_static(\"", ".get(\"", ".insert(\"", "contains_key(\""] {
        for (at, found) in source.match_indices(call) {
            let name = source[at + found.len()..].split('"').next().unwrap_or_default();
            if source[..at].ends_with("headers_mut()")
                || source[..at].ends_with("headers")
                || call.starts_with('H')
            {
                names.insert(name.to_ascii_lowercase());
            }
        }
    }
    names
}

#[test]
fn the_source_is_searched_for_every_form_of_a_header_name() {
    let source = r#"
        use http::header::{ACCEPT, HeaderName, IF_MATCH};
        let x = http::header::CONTENT_TYPE;
        const PREFER: HeaderName = HeaderName::from_static("prefer");
        headers.get("te");
    "#;
    let expected = ["accept", "content-type", "if-match", "prefer", "te"];
    assert_eq!(names_in(source).into_iter().collect::<Vec<_>>(), expected);
}

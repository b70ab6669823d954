//! Sixty-four connections at one referral: each version has exactly one winner, and the log has each of them.

mod support;

use std::collections::BTreeMap;
use std::sync::Barrier;

use referral::OrganizationId;
use serde_json::{Value, json};
use store::Action;
use support::kept::Kept;
use support::{Answer, Connection, Sandbox};
use tempfile::TempDir;

const CLIENTS: usize = 64;
const ROUNDS: usize = 8;
const CONTOSO: &str = "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d";
const PATH: &str = "/v1.0/engagements/referrals";

fn call(
    connection: &mut Connection,
    token: &str,
    method: &str,
    path: &str,
    if_match: &str,
    body: &Value,
) -> Answer {
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    if !if_match.is_empty() {
        headers.push(("If-Match", if_match));
    }
    let body = if method == "GET" { String::new() } else { body.to_string() };
    connection.request(method, path, &headers, body.as_bytes())
}

fn tag(answer: &Answer) -> String {
    let tag = answer.header("ETag").expect("every answer with a referral has its tag").to_owned();
    assert_eq!(answer.json()["eTag"], tag);
    tag
}

/// A win: the tag that was sent, the tag that was answered, and the client's mark.
type Win = (String, String, String);

/// One client's rounds: read, and write under what was read.
fn contend(
    mut connection: Connection,
    token: &str,
    path: &str,
    number: usize,
    all_begin: &Barrier,
) -> Vec<Win> {
    let mut won = Vec::new();
    all_begin.wait();
    for round in 0..ROUNDS {
        let seen = tag(&call(&mut connection, token, "GET", path, "", &Value::Null));
        let mark = format!("{number} in round {round}");
        let answer =
            call(&mut connection, token, "PUT", path, &seen, &json!({ "externalReferenceId": mark }));
        match answer.status {
            200 => {
                assert_eq!(answer.json()["externalReferenceId"], mark);
                won.push((seen, tag(&answer), mark));
            }
            412 => assert_eq!(answer.json()["error"]["code"], "preconditionFailed"),
            status => panic!("{status}: {}", answer.text()),
        }
    }
    won
}

#[test]
fn sixty_four_clients_at_one_referral_have_one_winner_per_version() {
    // REF-159
    let directory = TempDir::new().unwrap();
    let sandbox = Sandbox::start_with_data(directory.path(), &[]);
    let token = sandbox.token("admin@contoso.example");
    let referral = json!({
        "type": "Independent",
        "customerProfile": { "name": "Tailwind Traders" },
        "consent": { "consentToToShareInfoWithOthers": true },
        "details": {},
    });
    let created = call(&mut sandbox.connect(), &token, "POST", PATH, "", &referral);
    assert_eq!(created.status, 201, "{}", created.text());
    let id = created.json()["id"].as_str().unwrap().to_owned();
    let path = format!("{PATH}/{id}");

    let connections: Vec<Connection> = (0..CLIENTS).map(|_| sandbox.connect()).collect();
    let all_begin = Barrier::new(CLIENTS);
    let won: Vec<Win> = std::thread::scope(|scope| {
        let (token, path, all_begin) = (&token, &path, &all_begin);
        let clients: Vec<_> = connections
            .into_iter()
            .enumerate()
            .map(|(number, connection)| {
                scope.spawn(move || contend(connection, token, path, number, all_begin))
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    // Each of a client's rounds is won, by itself or by whoever was faster.
    assert!(won.len() >= ROUNDS, "{} won", won.len());
    assert!(won.len() < CLIENTS * ROUNDS, "nobody was refused: this was no contest");
    let mut winner_of: BTreeMap<&str, &Win> = BTreeMap::new();
    for win in &won {
        let other = winner_of.insert(&win.0, win);
        assert_eq!(other, None, "two won version {}: {win:?}", win.0);
    }
    // The wins are one chain from the first version to the last.
    let (mut at, mut marks) = (tag(&created), Vec::new());
    while let Some((_, next, mark)) = winner_of.remove(at.as_str()) {
        at.clone_from(next);
        marks.push(mark.clone());
    }
    assert_eq!(winner_of, BTreeMap::new(), "wins that no chain holds");
    let last = call(&mut sandbox.connect(), &token, "GET", &path, "", &Value::Null);
    assert_eq!(tag(&last), at);
    assert_eq!(last.json()["externalReferenceId"], *marks.last().unwrap());
    assert_eq!(sandbox.stop(), 0);

    // The change log: one entry for the creation and one for each win, in the order of the chain.
    let owner: OrganizationId = CONTOSO.parse().unwrap();
    let log = Kept::open(directory.path()).log(&owner, 0);
    let ours: Vec<_> = log.iter().filter(|entry| entry.referral_id.to_string() == id).collect();
    assert_eq!(ours[0].entry.action, Action::Created);
    let logged: Vec<String> = ours[1..]
        .iter()
        .map(|entry| {
            assert_eq!(entry.entry.action, Action::Updated);
            let changes: Value = serde_json::from_slice(&entry.entry.changes).unwrap();
            changes["externalReferenceId"][1].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(logged, marks);
    assert!(ours.iter().zip(1..).all(|(entry, version)| entry.version == version), "a version is missing");
    assert!(log.iter().zip(1..).all(|(entry, position)| entry.position == position), "a position is missing");
}

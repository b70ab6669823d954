//! The end of the process: asked by a signal, it finishes what runs, takes nothing new, and loses nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use referral::OrganizationId;
use serde_json::{Value, json};
use support::kept::Kept;
use support::{Connection, PATIENCE, Sandbox, is_no_answer};
use tempfile::TempDir;

const PATH: &str = "/v1.0/engagements/referrals";
const CONTOSO: &str = "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d";
const CLIENTS: usize = 12;
/// Answers that each client has before the signal comes.
const ANSWERED_BEFORE: usize = 5;
/// The contract: asked to end, the process ends within this.
const END: Duration = Duration::from_secs(10);

fn a_referral(name: &str) -> String {
    json!({
        "name": name,
        "type": "Independent",
        "customerProfile": { "name": "Tailwind Traders" },
        "consent": { "consentToToShareInfoWithOthers": true },
        "details": {},
    })
    .to_string()
}

/// What one client was told.
#[derive(Default)]
struct Told {
    /// Names of referrals whose creation was acknowledged.
    created: BTreeSet<String>,
    /// The request that got no answer, if it was a creation.
    unanswered: Option<String>,
}

/// Reads and creates until the connection ends, which it must do between two answers, never within one.
fn use_it(mut connection: Connection, token: &str, number: usize, tell: &Sender<()>) -> Told {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let mut told = Told::default();
    for count in 0.. {
        if count == ANSWERED_BEFORE {
            tell.send(()).unwrap();
        }
        let name = format!("{number}-{count}");
        let (method, body) =
            if count % 2 == 0 { ("POST", a_referral(&name)) } else { ("GET", String::new()) };
        match connection.try_request(method, PATH, &headers, body.as_bytes()) {
            Ok(answer) if method == "POST" => {
                assert_eq!(answer.status, 201, "{}", answer.text());
                assert_eq!(answer.json()["name"], name);
                told.created.insert(name);
            }
            Ok(answer) => assert_eq!(answer.json()["value"].as_array().unwrap().len(), 100),
            Err(error) => {
                assert!(is_no_answer(&error), "cut within an answer: {error}");
                told.unanswered = (method == "POST").then_some(name);
                break;
            }
        }
    }
    told
}

#[test]
fn a_signal_under_load_cuts_no_answer_and_loses_no_write() {
    let directory = TempDir::new().unwrap();
    let mut sandbox = Sandbox::start_with_data(directory.path(), &[]);
    let token = sandbox.token("admin@contoso.example");
    let connections: Vec<Connection> = (0..CLIENTS).map(|_| sandbox.connect()).collect();
    let (tell, busy) = mpsc::channel();
    let told: Vec<Told> = std::thread::scope(|scope| {
        let (token, sandbox) = (&token, &mut sandbox);
        let clients: Vec<_> = connections
            .into_iter()
            .enumerate()
            .map(|(number, connection)| {
                let tell = tell.clone();
                scope.spawn(move || use_it(connection, token, number, &tell))
            })
            .collect();
        let all_are_busy = (0..CLIENTS).all(|_| busy.recv_timeout(PATIENCE).is_ok());
        let asked = Instant::now();
        sandbox.signal("TERM"); // in any case, so that the clients end
        assert!(all_are_busy);
        assert_eq!(sandbox.wait(), 0, "{}", sandbox.log());
        assert!(asked.elapsed() < END, "it took {:?}", asked.elapsed());
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert!(!sandbox.log().contains("ERROR") && !sandbox.log().contains("were cut"), "{}", sandbox.log());

    // Acknowledged: kept. Not answered: not begun, as the connection ended before the request was taken.
    let kept = Kept::open(directory.path());
    let owner: OrganizationId = CONTOSO.parse().unwrap();
    let names: BTreeSet<String> = kept
        .log(&owner, 0)
        .iter()
        .filter_map(|entry| {
            let stored = kept.referral(&owner, entry.referral_id).unwrap();
            let document: Value = serde_json::from_slice(&stored.document).unwrap();
            document["name"].as_str().map(str::to_owned)
        })
        .collect();
    for told in told {
        let lost: Vec<&String> = told.created.difference(&names).collect();
        assert!(lost.is_empty(), "acknowledged, and not there: {lost:?}");
        assert!(told.unanswered.is_none_or(|name| !names.contains(&name)), "done, and not answered");
    }
}

/// A request whose body is not sent yet; the server has asked for it, so it is running.
struct Waiting(TcpStream);

impl Waiting {
    fn begin(sandbox: &Sandbox, token: &str, length: usize) -> Waiting {
        let mut stream = TcpStream::connect(sandbox.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        Waiting(stream)
    }

    fn finish(mut self, body: &str) -> String {
        self.0.write_all(body.as_bytes()).unwrap();
        let mut said = String::new();
        self.0.read_to_string(&mut said).unwrap();
        said
    }
}

#[test]
fn a_running_request_is_finished_while_draining_and_nothing_new_is_taken() {
    let mut sandbox = Sandbox::start(&[]);
    let token = sandbox.token("admin@contoso.example");
    let body = a_referral("the last one");
    let waiting = Waiting::begin(&sandbox, &token, body.len());
    // A health check whose head is half sent when the signal comes.
    let mut check = TcpStream::connect(sandbox.address()).unwrap();
    check.set_read_timeout(Some(PATIENCE)).unwrap();
    check.write_all(b"GET /readyz HTTP/1.1\r\nHost: a\r\n").unwrap();
    let mut resting = TcpStream::connect(sandbox.address()).unwrap();
    resting.set_read_timeout(Some(PATIENCE)).unwrap();
    resting.write_all(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = vec![0; 12];
    resting.read_exact(&mut answer).unwrap();

    sandbox.signal("TERM");
    sandbox.wait_for_log("SIGTERM");
    resting.read_to_end(&mut answer).unwrap(); // a resting connection is closed
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(r#"{"status":"ready"}"#), "{answer}");
    check.write_all(b"\r\n").unwrap();
    let mut said = String::new();
    check.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 503 ") && said.ends_with(r#"{"status":"draining"}"#), "{said}");
    assert!(TcpStream::connect(sandbox.address()).is_err(), "nothing new is accepted");

    let said = waiting.finish(&body);
    assert!(said.starts_with("HTTP/1.1 201 "), "{said}");
    assert!(said.contains("the last one") && said.to_lowercase().contains("connection: close"), "{said}");
    assert_eq!(sandbox.wait(), 0, "{}", sandbox.log());
}

/// Asks for more than the system buffers, and reads nothing.
fn read_nothing(sandbox: &Sandbox, token: &str) -> TcpStream {
    let stream = TcpStream::connect(sandbox.address()).unwrap();
    stream.set_nonblocking(true).unwrap();
    let get = format!("GET {PATH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n").repeat(100);
    // Until the server takes no more requests, for it cannot send its answers.
    let mut refused = 0;
    while refused < 20 {
        match (&stream).write(get.as_bytes()) {
            Ok(written) if written > 0 => refused = 0,
            _ => {
                refused += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
    stream
}

#[test]
fn a_request_that_never_ends_is_cut_when_the_grace_is_over() {
    let directory = TempDir::new().unwrap();
    let mut sandbox = Sandbox::start_with_data(directory.path(), &[]);
    let token = sandbox.token("admin@contoso.example");
    let _unread = read_nothing(&sandbox, &token);
    let asked = Instant::now();
    sandbox.signal("INT");
    assert_eq!(sandbox.wait(), 0, "{}", sandbox.log());
    assert!(asked.elapsed() < END, "it took {:?}", asked.elapsed());
    assert!(sandbox.log().contains("1 connections were cut"), "{}", sandbox.log());
    assert_eq!(Sandbox::start_with_data(directory.path(), &[]).stop(), 0, "the directory is free and whole");
}

#[test]
fn whatever_runs_the_process_ends_in_time() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().display().to_string();
    let ran = support::run(&["load", "--generate", "3000", "--data", &data]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut sandbox = Sandbox::start_with_data(directory.path(), &["--extended"]);
    let token = sandbox.token("admin@contoso.example");
    let people = vec![json!({ "firstName": "A".repeat(1000), "lastName": "B".repeat(1000) }); 300];
    let mut large: Value = serde_json::from_str(&a_referral("large")).unwrap();
    large["team"] = people.into();
    let made = support::call(&sandbox, &token, "POST", PATH, &[], &large.to_string());
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    // Bodies that do not come, answers that are not read, change sets of a large referral, and lists of every row.
    let _bodies: Vec<Waiting> = (0..20).map(|_| Waiting::begin(&sandbox, &token, 100_000)).collect();
    let _unread = read_nothing(&sandbox, &token);
    let patch = |number: usize| {
        let body = json!([{ "op": "replace", "path": "/name", "value": format!("{number}") }]);
        let url = format!("engagements/referrals/{id}");
        json!({ "id": format!("{number}"), "atomicityGroup": "g", "method": "patch", "url": url, "body": body })
    };
    let batch = json!({ "requests": (0..1000).map(patch).collect::<Vec<_>>() }).to_string();
    let pattern = "$count=true&$filter=matchesPattern(details/notes,'(a%7Cb)*c.*d')%20or%20contains(tolower(name),'zzz')";
    let send = |method: &str, path: &str, body: &str| {
        let mut stream = TcpStream::connect(sandbox.address()).unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let _batches: Vec<_> = (0..3).map(|_| send("POST", "/v1.0/$batch", &batch)).collect();
    let _lists: Vec<_> = (0..10).map(|_| send("GET", &format!("{PATH}?{pattern}"), "")).collect();
    let asked = Instant::now();
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(), 0, "{}", sandbox.log());
    assert!(asked.elapsed() < END, "it took {:?}", asked.elapsed());
}

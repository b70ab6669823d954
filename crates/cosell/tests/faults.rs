//! Bad days of the disk: a failed fsync or a full disk stops writes, and the server says so.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::path::Path;
use std::sync::mpsc;

use serde_json::json;
use support::bad_disk::{BadDisk, Fault};
use support::{Answer, Connection, PATIENCE, Sandbox, cosell, run_command};
use tempfile::TempDir;

const PATH: &str = "/v1.0/engagements/referrals";
const CLIENTS: usize = 8;
/// Every client has so many writes acknowledged before the disk fails.
const GOOD_WRITES: u64 = 5;
/// The public address is the same at both starts, so that the token stays good.
const OPTIONS: [&str; 2] = ["--public-url", "http://referrals.example"];

fn sandbox_on(disk: &BadDisk, directory: &Path) -> Sandbox {
    let mut command = cosell(&["sandbox", "--listen", "127.0.0.1:0", "--data"]);
    command.arg(directory).args(OPTIONS);
    Sandbox::start_command(disk.under(command))
}

fn call(connection: &mut Connection, token: &str, method: &str, path: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    connection.request(method, path, &headers, body.as_bytes())
}

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

/// One client's referral: how often it was changed as far as the client knows.
struct Counted {
    id: String,
    acknowledged: u64,
    sent: u64,
}

impl Counted {
    fn create(sandbox: &Sandbox, token: &str, number: usize) -> Counted {
        let answer =
            call(&mut sandbox.connect(), token, "POST", PATH, &a_referral(&format!("number {number}")));
        assert_eq!(answer.status, 201, "{}", answer.text());
        Counted { id: answer.json()["id"].as_str().unwrap().to_owned(), acknowledged: 0, sent: 0 }
    }

    fn path(&self) -> String {
        format!("{PATH}/{}", self.id)
    }

    fn change(&mut self, connection: &mut Connection, token: &str) -> Answer {
        self.sent += 1;
        let body =
            json!([{ "op": "replace", "path": "/externalReferenceId", "value": self.sent.to_string() }]);
        let answer = call(connection, token, "PATCH", &self.path(), &body.to_string());
        if answer.status == 204 {
            self.acknowledged = self.sent;
        }
        answer
    }

    /// What a read shows: the last acknowledged change, or one that was sent later.
    #[track_caller]
    fn assert_kept(&self, sandbox: &Sandbox, token: &str) {
        let answer = call(&mut sandbox.connect(), token, "GET", &self.path(), "");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let shown: u64 = answer.json()["externalReferenceId"].as_str().unwrap().parse().unwrap();
        assert!(shown >= self.acknowledged, "{} was acknowledged, {shown} is there", self.acknowledged);
        assert!(shown <= self.sent, "{shown} was never sent");
    }
}

#[track_caller]
fn assert_not_available(answer: &Answer) {
    // REF-259
    assert_eq!(answer.status, 503, "{}", answer.text());
    let error = &answer.json()["error"];
    assert_eq!(error["code"], "serviceNotAvailable");
    assert!(!error["message"].as_str().unwrap().is_empty());
    for inside in ["sqlite", "SQLite", "fsync", "disk I/O", "database"] {
        assert!(!answer.text().contains(inside), "internals are told: {}", answer.text());
    }
}

fn writes_stop_and_reads_go_on(fault: Fault) {
    let (disk, directory) = (BadDisk::new(), TempDir::new().unwrap());
    let sandbox = sandbox_on(&disk, directory.path());
    let token = sandbox.token("admin@contoso.example");
    let mut counted: Vec<Counted> =
        (0..CLIENTS).map(|number| Counted::create(&sandbox, &token, number)).collect();
    assert_eq!(sandbox.request("GET", "/readyz", &[], b"").status, 200);

    // Every client writes until it is refused. The disk fails when all of them have been acknowledged often enough.
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        for one in &mut counted {
            let mut connection = sandbox.connect();
            let (token, tell) = (&token, tell.clone());
            scope.spawn(move || {
                loop {
                    let answer = one.change(&mut connection, token);
                    if answer.status != 204 {
                        assert_not_available(&answer);
                        return;
                    }
                    if one.acknowledged == GOOD_WRITES {
                        tell.send(()).unwrap();
                    }
                }
            });
        }
        let all_are_writing = (0..CLIENTS).all(|_| told.recv_timeout(PATIENCE).is_ok());
        disk.fail(fault); // in any case, so that the clients end
        assert!(all_are_writing);
    });

    // From here on the disk is well, and yet nobody knows what it holds: writes stay off, of whatever kind.
    disk.mend(fault);
    let mut connection = sandbox.connect();
    for one in &mut counted {
        assert_not_available(&one.change(&mut connection, &token));
    }
    assert_not_available(&call(&mut connection, &token, "POST", PATH, &a_referral("one more")));
    let etag = call(&mut connection, &token, "GET", &counted[0].path(), "").json()["eTag"]
        .as_str()
        .unwrap()
        .to_owned();
    let bearer = format!("Bearer {token}");
    let headers =
        [("Authorization", bearer.as_str()), ("Content-Type", "application/json"), ("If-Match", &etag)];
    let put = connection.request("PUT", &counted[0].path(), &headers, br#"{"name":"other"}"#);
    assert_not_available(&put);

    // Reads go on, cached or not, and show what was acknowledged.
    for one in &counted {
        assert!(one.acknowledged >= GOOD_WRITES);
        one.assert_kept(&sandbox, &token);
    }
    let list = call(&mut connection, &token, "GET", PATH, "");
    assert_eq!(list.status, 200);
    assert!(list.json()["@odata.count"].as_u64().unwrap() > 100, "the seeded world and ours");

    let ready = sandbox.request("GET", "/readyz", &[], b"");
    assert_eq!(
        (ready.status, ready.json()["status"].as_str()),
        (503, Some("unavailable")),
        "{}",
        ready.text()
    );
    assert_eq!(sandbox.request("GET", "/livez", &[], b"").status, 200);
    let metrics = sandbox.request("GET", "/metrics", &[], b"").text();
    assert!(metrics.contains("cosell_store_accepts_writes 0"), "{metrics}");

    let log = sandbox.log();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(errors.len(), 1, "one clear line, not {errors:#?}");
    assert!(errors[0].contains("stops writing") && errors[0].contains("Reads go on"), "{}", errors[0]);
    assert_eq!(sandbox.stop(), 0, "it still ends in an orderly way");

    let after = sandbox_on(&disk, directory.path());
    for one in &mut counted {
        one.assert_kept(&after, &token);
        assert_eq!(one.change(&mut after.connect(), &token).status, 204, "it writes again");
        one.assert_kept(&after, &token);
    }
    assert_eq!(after.request("GET", "/readyz", &[], b"").status, 200);
    assert_eq!(after.stop(), 0);
}

#[test]
fn a_failed_fsync_stops_writes_and_reads_go_on() {
    writes_stop_and_reads_go_on(Fault::Sync);
}

#[test]
fn a_full_disk_stops_writes_and_reads_go_on() {
    writes_stop_and_reads_go_on(Fault::Full);
}

#[test]
fn a_start_on_a_failing_disk_ends_with_one_clear_line() {
    for fault in [Fault::Sync, Fault::Full] {
        let (disk, directory) = (BadDisk::new(), TempDir::new().unwrap());
        disk.fail(fault);
        let mut command = cosell(&["sandbox", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(directory.path());
        let ran = run_command(disk.under(command));
        assert_eq!(ran.code, 1, "{fault:?}: {ran:?}");
        assert_eq!(ran.stdout, "", "{fault:?}: not ready, so no ready line");
        let complaints: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("cosell: ")).collect();
        assert_eq!(complaints.len(), 1, "{fault:?}: {ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{fault:?}: {ran:?}");
    }
}

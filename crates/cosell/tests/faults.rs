//! Bad days of the disk and of the clock: a failed fsync or write, or a full disk, stops writes, and the server says so; a
//! clock that jumps leaves everything in its order.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use referral::{ETag, OrganizationId, ReferralId, Timestamp};
use serde_json::{Value, json};
use store::{Action, LogEntry};
use support::bad_disk::{BadDisk, Fault};
use support::kept::Kept;
use support::{Answer, Connection, PATIENCE, Sandbox, cosell, run, run_command};
use tempfile::TempDir;

const PATH: &str = "/v1.0/engagements/referrals";
const CONTOSO: &str = "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d";
const ADMIN: &str = "admin@contoso.example";
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
    assert!(answer.header("Retry-After").is_some_and(|wait| wait.parse::<u64>().is_ok_and(|wait| wait > 0)));
    for inside in ["sqlite", "SQLite", "fsync", "disk I/O", "database"] {
        assert!(!answer.text().contains(inside), "internals are told: {}", answer.text());
    }
}

fn writes_stop_and_reads_go_on(fault: Fault) {
    let (disk, directory) = (BadDisk::new(), TempDir::new().unwrap());
    let sandbox = sandbox_on(&disk, directory.path());
    let token = sandbox.token(ADMIN);
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
    let health = run(&["health", "--server", sandbox.url()]);
    assert_eq!((health.code, health.stdout.as_str()), (1, ""), "{health:?}");
    let why = "is not ready: the store accepts no writes; see the log\n";
    assert!(health.stderr.ends_with(why), "{health:?}");
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
fn a_failed_write_stops_writes_and_reads_go_on() {
    writes_stop_and_reads_go_on(Fault::Write);
}

#[test]
fn writes_that_take_only_a_half_at_a_time_change_nothing() {
    let (disk, directory) = (BadDisk::new(), TempDir::new().unwrap());
    disk.fail(Fault::Short);
    let sandbox = sandbox_on(&disk, directory.path());
    let token = sandbox.token(ADMIN);
    let mut connection = sandbox.connect();
    let mut counted = Counted::create(&sandbox, &token, 0);
    for _ in 0..20 {
        assert_eq!(counted.change(&mut connection, &token).status, 204);
    }
    counted.assert_kept(&sandbox, &token);
    assert_eq!(sandbox.stop(), 0);
    disk.mend(Fault::Short);
    let after = sandbox_on(&disk, directory.path());
    counted.assert_kept(&after, &token);
}

#[test]
fn a_load_onto_a_disk_that_is_full_loads_nothing_and_says_so() {
    let (disk, directory) = (BadDisk::new(), TempDir::new().unwrap());
    let mut command = cosell(&["sandbox", "--listen", "127.0.0.1:0", "--no-seed", "--data"]);
    command.arg(directory.path()).args(OPTIONS);
    assert_eq!(Sandbox::start_command(command).stop(), 0);
    let load = || {
        let mut command = cosell(&["load", "--generate", "90", "--data"]);
        command.arg(directory.path());
        run_command(disk.under(command))
    };
    disk.fail(Fault::Full);
    let ran = load();
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert!(ran.stderr.starts_with("cosell: ") && ran.stderr.lines().count() == 1, "{ran:?}");
    disk.mend(Fault::Full);
    let kept = Kept::open(directory.path());
    assert_eq!(kept.log(&CONTOSO.parse().unwrap(), 0).len(), 0);
    let ran = load();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.starts_with("loaded 90 referrals"), "all of it, and not what the first left: {ran:?}");
}

#[test]
fn a_start_on_a_failing_disk_ends_with_one_clear_line() {
    for fault in [Fault::Sync, Fault::Full, Fault::Write] {
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

const DAY: i64 = 24 * 3600;

/// A referral as a read shows it, after this look and the ones before.
struct Observed {
    path: String,
    shown: Vec<Value>,
}

impl Observed {
    fn create(sandbox: &Sandbox) -> Observed {
        let answer = as_admin(sandbox, "POST", PATH, &[], &a_referral("observed"));
        assert_eq!(answer.status, 201, "{}", answer.text());
        let path = format!("{PATH}/{}", answer.json()["id"].as_str().unwrap());
        Observed { path, shown: vec![answer.json()] }
    }

    /// Changes it under its tag; each change is later than the one before and has the next tag, whatever the clock shows.
    fn change(&mut self, sandbox: &Sandbox) {
        let before = self.shown.last().unwrap();
        let body = json!([{ "op": "replace", "path": "/externalReferenceId", "value": self.shown.len().to_string() }]);
        let etag = before["eTag"].as_str().unwrap();
        let changed = as_admin(sandbox, "PATCH", &self.path, &[("If-Match", etag)], &body.to_string());
        assert_eq!(changed.status, 204, "{}", changed.text());
        let after = as_admin(sandbox, "GET", &self.path, &[], "").json();
        assert!(instant(&after["updatedDateTime"]) > instant(&before["updatedDateTime"]), "{before} {after}");
        assert_eq!(tag(&after).counter(), tag(before).counter() + 1);
        assert_eq!(after["createdDateTime"], before["createdDateTime"]);
        let stale = as_admin(sandbox, "PATCH", &self.path, &[("If-Match", etag)], &body.to_string());
        assert_eq!(stale.status, 412, "{}", stale.text());
        self.shown.push(after);
    }
}

fn instant(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

fn tag(referral: &Value) -> ETag {
    referral["eTag"].as_str().unwrap().parse().unwrap()
}

/// With a fresh token: what the clock makes of old ones is another question.
fn as_admin(sandbox: &Sandbox, method: &str, path: &str, more: &[(&str, &str)], body: &str) -> Answer {
    let bearer = format!("Bearer {}", sandbox.token(ADMIN));
    let mut headers = vec![("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    headers.extend(more);
    sandbox.request(method, path, &headers, body.as_bytes())
}

/// The log of Contoso that a stopped server left: without gaps, and for each referral later and later.
fn log_in_order(directory: &Path) -> Vec<LogEntry> {
    let owner: OrganizationId = CONTOSO.parse().unwrap();
    let log = Kept::open(directory).log(&owner, 0);
    let mut latest = std::collections::BTreeMap::<ReferralId, (u64, Timestamp)>::new();
    for (position, entry) in (1..).zip(&log) {
        assert_eq!(entry.position, position);
        let news = (entry.version, entry.entry.at);
        if let Some(before) = latest.insert(entry.referral_id, news) {
            assert!(news.0 == before.0 + 1 && news.1 > before.1, "{before:?}, then {news:?}");
        }
    }
    log
}

#[test]
fn a_clock_that_jumps_leaves_versions_times_and_the_log_in_their_order() {
    let (disk, directory) = (BadDisk::new(), TempDir::new().unwrap());
    let mut sandbox = sandbox_on(&disk, directory.path());
    let mut observed = Observed::create(&sandbox);
    let before = listed(&sandbox);
    // Back, further back, ahead, and right again; and all of it once more over a restart at the wrong time.
    for (jump, restarts) in [(-2, false), (-400, false), (3000, false), (0, false), (-400, true), (0, true)] {
        disk.shift_clock(jump * DAY);
        if restarts {
            assert_eq!(sandbox.stop(), 0);
            sandbox = sandbox_on(&disk, directory.path());
        }
        observed.change(&sandbox);
        observed.change(&sandbox);
        let created = as_admin(&sandbox, "POST", PATH, &[], &a_referral("by this clock"));
        assert_eq!(created.status, 201, "{}", created.text());
        assert_eq!(created.json()["createdDateTime"], created.json()["updatedDateTime"]);
        assert_eq!(sandbox.request("GET", "/readyz", &[], b"").status, 200);
    }
    assert_eq!(listed(&sandbox), before + 6);
    assert_eq!(sandbox.stop(), 0);
    let id: ReferralId = observed.shown[0]["id"].as_str().unwrap().parse().unwrap();
    let told = log_in_order(directory.path()).into_iter().filter(|entry| entry.referral_id == id).count();
    assert_eq!(told, observed.shown.len());
}

/// How many referrals a list shows, page by page: each once.
fn listed(sandbox: &Sandbox) -> usize {
    let mut seen = std::collections::BTreeSet::new();
    let mut next = Some(PATH.to_owned());
    while let Some(path) = next {
        let page = as_admin(sandbox, "GET", &path, &[], "");
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        for referral in page["value"].as_array().unwrap() {
            assert!(seen.insert(referral["id"].as_str().unwrap().to_owned()), "{referral} is listed twice");
        }
        next = page["@odata.nextLink"]
            .as_str()
            .map(|link| link.strip_prefix("http://referrals.example").unwrap().to_owned());
    }
    seen.len()
}

#[test]
fn a_clock_that_jumps_expires_what_is_due_by_it_once_and_reopens_nothing() {
    let (disk, directory) = (BadDisk::new(), TempDir::new().unwrap());
    let sandbox = sandbox_on(&disk, directory.path());
    let sent = as_admin(&sandbox, "POST", PATH, &[], &an_invitation().to_string());
    assert_eq!(sent.status, 201, "{}", sent.text());
    let path = format!("{PATH}/{}", sent.json()["id"].as_str().unwrap());
    let show = || {
        let bearer = format!("Bearer {}", sandbox.token("admin@fabrikam.example"));
        sandbox.request("GET", &path, &[("Authorization", &bearer)], b"").json()
    };
    let new = show();
    assert_eq!((&new["status"], &new["substatus"]), (&json!("New"), &json!("Pending")));

    disk.shift_clock(-400 * DAY);
    std::thread::sleep(Duration::from_millis(1500)); // the job looks every second
    assert_eq!(show(), new, "it is not due by this clock either");
    disk.shift_clock(20 * DAY);
    let expired = show();
    assert_eq!((&expired["status"], &expired["substatus"]), (&json!("Closed"), &json!("Expired")));
    assert_eq!(tag(&expired).counter(), tag(&new).counter() + 1);
    let worked = processor_time(sandbox.pid());
    for jump in [0, 20, -400, 0] {
        disk.shift_clock(jump * DAY);
        std::thread::sleep(Duration::from_millis(600));
        assert_eq!(show(), expired, "closed is the end");
    }
    // Four looks, each with a token whose signing takes an unoptimized program some time: no endless loop, though.
    let worked = processor_time(sandbox.pid()) - worked;
    assert!(worked < Duration::from_secs(1), "{worked:?} of work in idle seconds");
    assert_eq!(sandbox.stop(), 0);
    let fabrikam: OrganizationId = "f0000000-0000-4000-8000-0000000000fa".parse().unwrap();
    let log = Kept::open(directory.path()).log(&fabrikam, 0);
    assert_eq!(log.iter().filter(|entry| entry.entry.action == Action::Expired).count(), 1);
}

/// What a process has worked so far.
fn processor_time(pid: u32) -> Duration {
    let about = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, after_name) = about.rsplit_once(')').unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10) // of a hundredth of a second each, on Linux
}

/// By Contoso to Fabrikam, open for two weeks.
fn an_invitation() -> Value {
    json!({
        "name": "Fourth floor",
        "type": "Shared",
        "target": [{ "type": "BusinessProfileLocation", "id": "02f3bcde-63c1-4bf4-b4bf-2fe2641c4674" }],
        "customerProfile": { "name": "Wingtip Toys" },
        "consent": { "consentToToShareInfoWithOthers": true },
        "details": {},
    })
}

#[test]
fn a_clock_that_jumps_keeps_answers_and_tokens_for_their_time_alone() {
    let (disk, directory) = (BadDisk::new(), TempDir::new().unwrap());
    let sandbox = sandbox_on(&disk, directory.path());
    let token = sandbox.token(ADMIN);
    let read = |token: &str| call(&mut sandbox.connect(), token, "GET", PATH, "").status;
    assert_eq!(read(&token), 200);
    let once = [("request-id", "00000000-0000-4000-8000-0000000000aa")];
    let create = || as_admin(&sandbox, "POST", PATH, &once, &a_referral("once"));
    let first = create();
    assert_eq!(first.status, 201, "{}", first.text());

    disk.shift_clock(-400 * DAY);
    assert_eq!(create().text(), first.text(), "an answer of a later day is remembered all the same");
    assert_eq!(read(&token), 401, "a token is not good before its time, not even one that was good before");
    let early = sandbox.token(ADMIN);
    assert_eq!(read(&early), 200);

    disk.shift_clock(0);
    assert_eq!(create().text(), first.text());
    assert_eq!((read(&token), read(&early)), (200, 401));

    disk.shift_clock(2 * DAY);
    assert_eq!(read(&token), 401, "it has expired");
    let again = create();
    assert_eq!(again.status, 201, "{}", again.text());
    assert_ne!(again.json()["id"], first.json()["id"], "answers are remembered for a day");

    disk.shift_clock(0);
    assert_eq!(create().text(), again.text(), "the later answer stays");
}

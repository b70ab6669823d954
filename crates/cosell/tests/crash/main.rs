//! The process is killed again and again under write load: what it acknowledged is there, once, with its entry in the
//! change log, and its answer can be had again. In [`power`] the machine goes with it, and takes along what was not
//! synced; in [`loading`] that happens to a bulk load.
//!
//! `COSELL_TEST_KILLS` says how often (50); `COSELL_TEST_SEED` repeats a run.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod clients;
mod ledger;
#[cfg(target_os = "linux")]
mod loading;
#[cfg(target_os = "linux")]
mod power;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use referral::OrganizationId;
use serde_json::Value;
use support::chance::{Chance, number_from_environment, seed};
use support::kept::Kept;
use support::{Connection, Sandbox, cosell};
use tempfile::TempDir;

use crate::clients::{Call, Client, PATH, post};
use crate::ledger::{Attempt, Ledger, Line, Outcome, State};

/// How often the process is killed, unless the environment says otherwise.
const KILLS: u64 = 50;
/// After so many kills a new directory begins, so that looking at one stays cheap.
const KILLS_OF_ONE_DIRECTORY: u64 = 25;
/// Clients at once, half of them of each organization.
const CLIENTS: usize = 16;
/// The kill comes at most so long after the load began.
const LONGEST_LOAD: Duration = Duration::from_millis(120);
/// How many answers are asked for again after each restart, beside those that nobody received.
const REPEATED: usize = 24;

const ORGANIZATIONS: [(&str, &str); 2] = [
    ("7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d", "admin@contoso.example"),
    ("f0000000-0000-4000-8000-0000000000fa", "admin@fabrikam.example"),
];

/// The public address stays the same at every start, so that tokens stay good: the issuer's key has to be kept too.
const OPTIONS: [&str; 3] = ["--no-seed", "--public-url", "http://referrals.example"];

/// What happened in all.
#[derive(Debug, Default)]
struct Tally {
    acknowledged: usize,
    unanswered: usize,
    unanswered_but_done: usize,
    repeated: usize,
}

#[test]
fn every_acknowledged_write_survives_kills_under_load_exactly_once() {
    let mut chance = Chance::from_seed(seed());
    let kills = number_from_environment("COSELL_TEST_KILLS").unwrap_or(KILLS);
    let mut tally = Tally::default();
    let mut left = kills;
    while left > 0 {
        let now = left.min(KILLS_OF_ONE_DIRECTORY);
        let mut life = Life::begin(&mut chance);
        for _ in 0..now {
            life.kill_once(&mut chance, &mut tally);
        }
        life.look_at_all_of_it();
        left -= now;
    }
    println!("{kills} kills: {tally:?}");
    // A load that did nothing, or that was never hit, would prove nothing.
    assert!(tally.acknowledged as u64 > 10 * kills, "{tally:?}");
    assert!(tally.unanswered as u64 > kills && tally.repeated as u64 > kills, "{tally:?}");
}

/// One data directory, from its first start on.
struct Life {
    directory: TempDir,
    tokens: Vec<String>,
    clients: Vec<Client>,
    ledger: Ledger,
    /// What was called since the last look at the disk.
    calls: Vec<Call>,
    /// What may be asked for again: calls with a `request-id`, of the last load.
    repeatable: Vec<(usize, Call)>,
}

fn command_on(directory: &Path) -> Command {
    let mut command = cosell(&["sandbox", "--listen", "127.0.0.1:0", "--data"]);
    command.arg(directory).args(OPTIONS);
    command
}

fn start(directory: &Path) -> Sandbox {
    Sandbox::start_command(command_on(directory))
}

fn organization_of(client: usize) -> usize {
    client % ORGANIZATIONS.len()
}

impl Life {
    fn begin(chance: &mut Chance) -> Life {
        let directory = TempDir::new().unwrap();
        let mut sandbox = start(directory.path());
        let tokens: Vec<String> = ORGANIZATIONS.iter().map(|(_, user)| sandbox.token(user)).collect();
        let mut clients: Vec<Client> =
            (0..CLIENTS).map(|number| Client::new(format!("c{number}"), chance.branch())).collect();
        let mut calls = Vec::new();
        for (organization, token) in tokens.iter().enumerate() {
            let (mark, request) = (format!("shared-{organization}"), post(&format!("shared-{organization}")));
            let answer = request.send(&mut sandbox.connect(), token).unwrap();
            let id = answer.json()["id"].as_str().unwrap().to_owned();
            for client in clients.iter_mut().skip(organization).step_by(ORGANIZATIONS.len()) {
                client.shared = Some(id.clone());
            }
            calls.push(Call { mark, request, answer: Some(answer) });
        }
        sandbox.kill();
        Life { directory, tokens, clients, ledger: Ledger::default(), calls, repeatable: Vec::new() }
    }

    /// Start, look, repeat, load, kill, look at the disk.
    fn kill_once(&mut self, chance: &mut Chance, tally: &mut Tally) {
        if chance.percent(12) {
            self.kill_a_start(chance);
        }
        let mut sandbox = start(self.directory.path());
        self.repeat(&sandbox, chance, tally);
        self.find_own(&sandbox);
        let moment = Duration::from_micros(chance.below(LONGEST_LOAD.as_micros() as u64));
        self.load(&mut sandbox, tally, |sandbox| {
            std::thread::sleep(moment); // the random point
            sandbox.kill();
        });
        self.look_at_the_disk(tally);
    }

    /// A process that is killed before anybody has heard of it.
    fn kill_a_start(&self, chance: &mut Chance) {
        let mut command = command_on(self.directory.path());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_micros(chance.below(40_000))); // the random point
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks again for answers that were given, and for those that nobody received.
    fn repeat(&mut self, sandbox: &Sandbox, chance: &mut Chance, tally: &mut Tally) {
        let mut connection = sandbox.connect();
        let (unknown, mut known): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.repeatable).into_iter().partition(|(_, call)| call.is_unknown());
        while known.len() > REPEATED {
            known.swap_remove(chance.below(known.len() as u64) as usize);
        }
        for (client, mut call) in unknown {
            let token = &self.tokens[organization_of(client)];
            let first = call.request.send(&mut connection, token).unwrap();
            let second = call.request.send(&mut connection, token).unwrap();
            call.assert_same_answer(&first, &second);
            self.clients[client].learn(&call.request, &first);
            call.answer = Some(first);
            self.calls.push(call);
            tally.repeated += 1;
        }
        for (client, call) in known {
            let Some(first) = call.answer.as_ref().filter(|answer| answer.status < 300) else { continue };
            let again = call.request.send(&mut connection, &self.tokens[organization_of(client)]).unwrap();
            call.assert_same_answer(first, &again);
            tally.repeated += 1;
        }
    }

    /// The clients read their referrals: each shows the last version that was acknowledged, or a later one that was
    /// asked for. Which of the two, the look at the disk has said already.
    fn find_own(&mut self, sandbox: &Sandbox) {
        let mut connection = sandbox.connect();
        for (number, client) in self.clients.iter_mut().enumerate() {
            let bearer = format!("Bearer {}", self.tokens[organization_of(number)]);
            for (id, etag) in client.own.iter_mut().rev().take(8) {
                let answer =
                    connection.request("GET", &format!("{PATH}/{id}"), &[("Authorization", &bearer)], b"");
                assert_eq!(answer.status, 200, "{id}, acknowledged with {etag}: {}", answer.text());
                let found = answer.header("ETag").unwrap();
                assert_eq!(answer.json()["eTag"], found);
                let counter = |tag: &str| tag.parse::<referral::ETag>().unwrap().counter();
                assert!(counter(found) >= counter(etag), "{id} is at {found}, but {etag} was acknowledged");
                *etag = found.to_owned();
            }
        }
    }

    /// All clients write at once, until whatever `end` does ends them.
    fn load(&mut self, sandbox: &mut Sandbox, tally: &mut Tally, end: impl FnOnce(&mut Sandbox)) {
        let begin = Arc::new(Barrier::new(CLIENTS + 1));
        let tokens = &self.tokens;
        let connections: Vec<Connection> = (0..CLIENTS).map(|_| sandbox.connect()).collect();
        let calls: Vec<(usize, Call)> = std::thread::scope(|scope| {
            let mut writing = Vec::new();
            for ((number, client), connection) in self.clients.iter_mut().enumerate().zip(connections) {
                let begin = Arc::clone(&begin);
                writing.push(scope.spawn(move || {
                    begin.wait();
                    client.write(connection, &tokens[organization_of(number)])
                }));
            }
            begin.wait();
            end(sandbox);
            let calls = writing.into_iter().enumerate();
            calls
                .flat_map(|(number, client)| {
                    client.join().unwrap().into_iter().map(move |call| (number, call))
                })
                .collect()
        });
        self.repeatable = calls.iter().filter(|(_, call)| call.request.is_repeatable()).cloned().collect();
        tally.unanswered += calls.iter().filter(|(_, call)| call.is_unknown()).count();
        tally.acknowledged += calls.iter().filter(|(_, call)| call.is_acknowledged()).count();
        self.calls.extend(calls.into_iter().map(|(_, call)| call));
    }

    /// Judges what is new on the disk.
    fn look_at_the_disk(&mut self, tally: &mut Tally) {
        let attempts = self.take_attempts();
        let (wrong, lines) = self.judge(&attempts);
        self.complain(&wrong);
        let unknown: BTreeSet<&str> = attempts
            .iter()
            .filter(|attempt| attempt.outcome == Outcome::Unknown)
            .map(|attempt| attempt.mark.as_str())
            .collect();
        tally.unanswered_but_done += lines.iter().filter(|line| unknown.contains(line.mark.as_str())).count();
    }

    /// What is wrong on the disk, and what is new in the log.
    fn judge(&mut self, attempts: &[Attempt]) -> (Vec<String>, Vec<Line>) {
        let (lines, states) = self.read(&self.ledger);
        (self.ledger.judge(attempts, &lines, &states), lines)
    }

    /// The whole log from its first entry on, once more: nothing that was there is gone.
    fn look_at_all_of_it(&mut self) {
        let mut afresh = self.ledger.emptied();
        let (lines, states) = self.read(&afresh);
        let wrong = afresh.judge(&[], &lines, &states);
        self.complain(&wrong);
        assert_eq!(afresh, self.ledger, "the log tells another story than while it was written");
    }

    fn take_attempts(&mut self) -> Vec<Attempt> {
        std::mem::take(&mut self.calls)
            .iter()
            .map(|call| {
                call.attempt().unwrap_or_else(|fault| panic!("an answer that nobody asked for: {fault}"))
            })
            .collect()
    }

    fn complain(&self, wrong: &[String]) {
        assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong.join("\n"));
    }

    /// The log beyond what the ledger knows, and every referral that it speaks of.
    fn read(&self, known: &Ledger) -> (Vec<Line>, BTreeMap<String, State>) {
        let kept = Kept::open(self.directory.path());
        let (mut lines, mut states) = (Vec::new(), BTreeMap::new());
        for (organization, _) in ORGANIZATIONS {
            let owner: OrganizationId = organization.parse().unwrap();
            for entry in kept.log(&owner, known.position(organization)) {
                let Some(stored) = kept.referral(&owner, entry.referral_id) else {
                    panic!("the log speaks of {}, which is not there", entry.referral_id);
                };
                let document: Value = serde_json::from_slice(&stored.document).unwrap();
                assert_eq!(document["eTag"], stored.etag.to_string());
                lines.push(Line::of(organization, &entry, &document));
                let mark = document["externalReferenceId"].as_str().map(str::to_owned);
                let state = State { version: stored.version, etag: stored.etag.to_string(), mark };
                states.insert(entry.referral_id.to_string(), state);
            }
        }
        (lines, states)
    }
}

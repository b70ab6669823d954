//! Histories of concurrent reads and conditional writes over HTTP, with servers killed meanwhile, are linearizable: on
//! SQLite, and on PostgreSQL with two nodes. Each referral is a register; what a list shows counts as reads.
//!
//! `COSELL_TEST_KILLS` makes the run as long as that of the kills; `COSELL_TEST_SEED` repeats its choices, though not
//! the times of threads and servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod checker;
mod clients;
#[path = "../../../store/tests/support/postgres.rs"]
mod database;
mod gateway;
mod servers;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use checker::{Call, Timed};
use clients::{Client, Node, PATH, Seen, Stage};
use gateway::Gateway;
use serde_json::json;
use servers::{OnPostgres, OnSqlite, Servers};
use support::PATIENCE;
use support::chance::{Chance, number_from_environment, seed};

/// Clients at once.
const CLIENTS: usize = 6;
/// Referrals of one history: few, so that the clients meet.
const REFERRALS: usize = 3;
/// Kills within one history. Each leaves writes that nobody knows the end of, which the checker tries everywhere.
const KILLS_OF_ONE_HISTORY: u64 = 4;
/// Between two kills there are at least so many moments, each call having two, and at most so many more.
const MOMENTS: u64 = 80;
const MORE_MOMENTS: u64 = 240;

/// Each mark is given once, in whatever history.
static MARKS: AtomicU64 = AtomicU64::new(1);

/// Kills in all: so many, or the long run's number over this divisor.
fn kills(usually: u64, divisor: u64) -> u64 {
    number_from_environment("COSELL_TEST_KILLS").map_or(usually, |kills| (kills / divisor).max(usually))
}

/// One history: its calls by referral, and how many of each kind there were.
struct History {
    calls: Vec<Vec<Timed>>,
    seen: Vec<Seen>,
}

/// Makes referrals, lets clients at them, kills servers meanwhile.
fn record(servers: &mut dyn Servers, gateway: &Gateway, kills: u64, chance: &mut Chance) -> History {
    let nodes: Vec<Node> = (0..servers.count()).map(|_| Node::default()).collect();
    for (number, node) in nodes.iter().enumerate() {
        node.set(Some(servers.start(number)));
    }
    let token = servers.token();
    let referrals: Vec<String> = (0..REFERRALS).map(|_| make(servers, &token)).collect();
    let (moments, over) = (AtomicU64::new(1), AtomicBool::new(false));
    let stage = Stage {
        nodes: &nodes,
        gateway,
        token: &token,
        referrals: &referrals,
        moments: &moments,
        marks: &MARKS,
        over: &over,
    };
    let seen: Vec<Seen> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let client = Client::new(&stage, number, chance.branch());
                scope.spawn(move || client.run())
            })
            .collect();
        let ending = Ending(&over);
        for _ in 0..kills {
            pass(&moments, MOMENTS + chance.below(MORE_MOMENTS));
            std::thread::sleep(Duration::from_micros(chance.below(2000))); // the random point
            let number = chance.below(nodes.len() as u64) as usize;
            nodes[number].set(None);
            servers.kill(number);
            nodes[number].set(Some(servers.start(number)));
        }
        pass(&moments, MOMENTS);
        drop(ending);
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for number in 0..nodes.len() {
        servers.kill(number);
    }
    let mut calls = vec![Vec::new(); REFERRALS];
    for (referral, timed) in seen.iter().flat_map(|seen| &seen.calls) {
        calls[*referral].push(timed.clone());
    }
    History { calls, seen }
}

/// Waits until so many moments have passed.
fn pass(moments: &AtomicU64, count: u64) {
    let (begun, until) = (Instant::now(), moments.load(Ordering::SeqCst) + count);
    while moments.load(Ordering::SeqCst) < until {
        assert!(begun.elapsed() < PATIENCE, "nobody asks anything any more");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Tells the clients to end, also when the one who kills has failed.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn make(servers: &dyn Servers, token: &str) -> String {
    let body = json!({
        "type": "Independent",
        "customerProfile": { "name": "Tailwind Traders" },
        "consent": { "consentToToShareInfoWithOthers": true },
        "details": {},
    });
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let made = servers.server(0).request("POST", PATH, &headers, body.to_string().as_bytes());
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()["id"].as_str().unwrap().to_owned()
}

impl History {
    /// What is wrong with it.
    fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> =
            self.calls.iter().filter_map(|calls| checker::check(calls).err()).collect();
        // The register knows versions alone: each has one tag.
        let mut tags: BTreeMap<(usize, u64), &str> = BTreeMap::new();
        for (referral, tag) in self.seen.iter().flat_map(|seen| &seen.tags) {
            let first = tags.entry((*referral, clients::version_of(tag))).or_insert(tag);
            if *first != tag {
                faults.push(format!("one version has the tags {first} and {tag}"));
            }
        }
        faults
    }

    fn count(&self, kind: impl Fn(&Call) -> bool) -> usize {
        self.calls.iter().flatten().filter(|timed| kind(&timed.call)).count()
    }
}

/// Records until so many kills are done, and judges each history.
#[expect(clippy::print_stdout, reason = "the test harness shows it when the test fails")]
fn hold(servers: &mut dyn Servers, kills: u64) {
    let mut chance = Chance::from_seed(seed());
    let (mut written, mut refused, mut shown, mut unanswered) = (0, 0, 0, 0);
    for _ in 0..kills.div_ceil(KILLS_OF_ONE_HISTORY) {
        let history = record(servers, &Gateway::Plain, KILLS_OF_ONE_HISTORY, &mut chance);
        let faults = history.faults();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        written += history.count(|call| matches!(call, Call::Written { .. }));
        refused += history.count(|call| matches!(call, Call::Refused { .. }));
        shown += history.count(|call| matches!(call, Call::Shown(_) | Call::Without(_)));
        unanswered += history.count(|call| matches!(call, Call::Unanswered { .. }));
    }
    let tally = format!("{written} written, {refused} refused, {shown} shown, {unanswered} unanswered");
    println!("{kills} kills: {tally}");
    // Histories in which nobody met anybody, or that no kill hit, would prove nothing.
    let enough = |count: usize, each_kill: u64| count as u64 >= kills * each_kill;
    assert!(enough(written, 2) && enough(refused, 1) && enough(shown, 4) && unanswered > 0, "{tally}");
}

#[test]
fn histories_on_sqlite_with_kills_are_linearizable() {
    hold(&mut OnSqlite::new(), kills(12, 5));
}

#[test]
fn histories_of_two_nodes_on_postgresql_with_kills_are_linearizable() {
    hold(&mut OnPostgres::new(2), kills(8, 20));
}

#[test]
fn a_planted_stale_read_is_found() {
    let gateway = Gateway::Caching(Default::default());
    let history = record(&mut OnSqlite::new(), &gateway, 1, &mut Chance::from_seed(seed()));
    let faults = history.faults();
    assert!(!faults.is_empty(), "{} calls", history.count(|_| true));
}

#[test]
fn a_planted_lost_update_is_found() {
    let history = record(&mut OnSqlite::new(), &Gateway::Unconditional, 1, &mut Chance::from_seed(seed()));
    let faults = history.faults();
    assert!(!faults.is_empty(), "{} calls", history.count(|_| true));
}

/// A disk that a restart finds as it was at the beginning: what was acknowledged in between is lost.
#[test]
fn a_planted_loss_of_acknowledged_writes_is_found() {
    let mut servers = OnSqlite::new();
    servers.forget_writes_at_second_kill();
    let history = record(&mut servers, &Gateway::Plain, 2, &mut Chance::from_seed(seed()));
    let faults = history.faults();
    assert!(!faults.is_empty(), "{} calls", history.count(|_| true));
}

//! The network between a node and its database is cut, silent or slow.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::json;

use super::clients::{PATH, post};
use super::database::Database;
use super::life::{CLIENTS, Life};
use super::place::Place;
use super::proxy::{Network, Proxy};
use super::support::chance::{Chance, seed};
use super::support::{Answer, Sandbox};
use super::{addresses, call, psql, times, wait_for_readiness};

/// What the nodes of these tests may use.
const CONNECTIONS: u64 = 4;
/// One statement may take a second here, its answer two more, and a connection is waited for five: with some room for a
/// busy machine.
const LONGEST: Duration = Duration::from_secs(15);

struct Stage {
    database: Database,
    proxy: Proxy,
    place: Place,
    address: String,
}

fn stage() -> Stage {
    let database = Database::new();
    let proxy = Proxy::before(database.socket());
    let port = proxy.address().port();
    let address = format!("host=127.0.0.1 port={port} user=cosell dbname={}", database.name());
    let mut place = Place::in_database(&database.address());
    place.store = format!("connections = {CONNECTIONS}\nstatement_timeout_seconds = 1");
    Stage { database, proxy, place, address }
}

fn create(node: &Sandbox, token: &str) -> (String, String) {
    let made = call(node, token, "POST", PATH, &[], &post("made").body);
    assert_eq!(made.status, 201, "{}", made.text());
    (format!("{PATH}/{}", made.json()["id"].as_str().unwrap()), made.header("ETag").unwrap().to_owned())
}

#[track_caller]
fn is_told_to_come_again(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("Retry-After").is_some(), "{:?}", answer.headers);
}

#[test]
fn a_write_whose_commit_is_cut_off_is_not_taken_for_done_unless_it_is_and_done_once_when_repeated() {
    let Stage { database, proxy, place, address } = stage();
    let node = place.serve(&address);
    let token = place.token(0);
    for (number, cut) in [Network::CutWithinStatements, Network::CutBeforeCommit, Network::CutAfterCommit]
        .into_iter()
        .enumerate()
    {
        let (path, etag) = create(&node, &token);
        let id = format!("0f8fad5b-d9cb-469f-a165-70867728950{number}");
        let headers = [("If-Match", etag.as_str()), ("request-id", id.as_str())];
        let body = json!([{ "op": "replace", "path": "/externalReferenceId", "value": "once" }]).to_string();
        let change = || call(&node, &token, "PATCH", &path, &headers, &body);
        proxy.becomes(cut);
        let told = change();
        assert_eq!(proxy.cuts(), number + 1, "{cut:?}");
        // A commit that arrived may have left its answer by the time the node looks for one: then it gives that.
        if cut != Network::CutAfterCommit || told.status >= 300 {
            is_told_to_come_again(&told);
        }
        assert!(
            node.log().matches("the connection was lost during a commit").count() == number + 1,
            "{cut:?}"
        );
        // Whether it arrives is settled, when is not.
        let versions = "SELECT string_agg(position::text || ':' || version::text, ' ' ORDER BY position)
             FROM (SELECT * FROM change_log ORDER BY position DESC LIMIT 2) AS newest";
        let expected = format!("{}:1 {}:2", 2 * number + 1, 2 * number + 2);
        let begun = Instant::now();
        while cut == Network::CutAfterCommit && psql(&database, versions) != expected {
            assert!(begun.elapsed() < LONGEST, "the commit did not arrive");
        }
        let read = call(&node, &token, "GET", &path, &[], "");
        assert_eq!(read.status, 200, "{cut:?}: {}", read.text());
        let is_done = read.json()["externalReferenceId"] == "once";
        assert_eq!(is_done, cut == Network::CutAfterCommit, "{cut:?}");
        let first = change();
        assert!(first.status < 300, "{cut:?}: {}", first.text());
        let again = change();
        assert_eq!((again.status, again.header("ETag")), (first.status, first.header("ETag")), "{cut:?}");
        assert_eq!(psql(&database, versions), expected, "{cut:?}");
    }
    wait_for_readiness(&node, 200);
}

#[test]
fn a_silent_network_refuses_everybody_in_bounded_time_and_is_forgotten_when_it_speaks_again() {
    let mut chance = Chance::from_seed(seed());
    let Stage { database, proxy, place, address } = stage();
    let nodes = [place.serve(&address)];
    let mut life = Life::begin(&place, nodes[0].address(), &mut chance);
    let at = Mutex::new(addresses(&nodes));
    life.load(&at, |gauge| {
        gauge.wait_for_writes(30);
        proxy.becomes(Network::Silent);
        gauge.wait_for_a_refusal();
        wait_for_readiness(&nodes[0], 503);
        // Whoever comes now is refused at once, and nothing piles up.
        let begun = Instant::now();
        for _ in 0..20 {
            is_told_to_come_again(&call(
                &nodes[0],
                &place.token(0),
                "GET",
                &format!("{PATH}?$top=1"),
                &[],
                "",
            ));
        }
        assert!(begun.elapsed() < Duration::from_secs(3), "20 refusals took {:?}", begun.elapsed());
        proxy.becomes(Network::Good);
        gauge.wait_for_writes(30);
        wait_for_readiness(&nodes[0], 200);
    });
    assert!(life.slowest < LONGEST, "somebody waited {:?}", life.slowest);
    assert!(life.tally.refused > CLIENTS / 2 && life.tally.unanswered == 0, "{:?}", life.tally);
    life.ask_again(nodes[0].address(), &mut chance);
    life.judge(&database.address());
    life.judge_all(&database.address());
}

#[test]
fn a_database_that_is_gone_and_back_is_found_again_without_a_restart() {
    let Stage { database: _database, proxy, place, address } = stage();
    let node = place.serve(&address);
    let token = place.token(0);
    let (path, _) = create(&node, &token);
    for _ in 0..3 {
        proxy.becomes(Network::Gone);
        is_told_to_come_again(&call(&node, &token, "GET", &path, &[], ""));
        is_told_to_come_again(&call(&node, &token, "POST", PATH, &[], &post("made").body));
        wait_for_readiness(&node, 503);
        proxy.becomes(Network::Good);
        wait_for_readiness(&node, 200);
        assert_eq!(call(&node, &token, "GET", &path, &[], "").status, 200);
        create(&node, &token);
    }
}

#[test]
fn a_slow_network_makes_answers_slow_and_wrong_for_nobody() {
    let mut chance = Chance::from_seed(seed());
    let Stage { database, proxy, place, address } = stage();
    let nodes = [place.serve(&address), place.serve(&address)];
    let mut life = Life::begin(&place, nodes[0].address(), &mut chance);
    let at = Mutex::new(addresses(&nodes));
    proxy.becomes(Network::Slow(Duration::from_millis(20)));
    life.load(&at, |gauge| gauge.wait_for_writes(60));
    proxy.becomes(Network::Good);
    assert_eq!((life.tally.refused, life.tally.unanswered), (0, 0), "{:?}", life.tally);
    life.ask_again(nodes[1].address(), &mut chance);
    life.judge(&database.address());
}

#[test]
fn a_lock_that_is_held_too_long_refuses_writes_in_time_and_nobody_elses_reads() {
    let Stage { database, place, .. } = stage();
    let node = place.serve(&database.address());
    let tokens = [place.token(0), place.token(1)];
    let (path, _) = create(&node, &tokens[0]);
    create(&node, &tokens[1]);
    let name = database.name().to_owned();
    let holding = psql_in_background(
        &database,
        "BEGIN; SELECT 1 FROM log_head ORDER BY organization LIMIT 1 FOR UPDATE; SELECT pg_sleep(4); COMMIT",
    );
    let held =
        format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND wait_event = 'PgSleep'");
    while psql(&database, &held) != "1" {
        std::thread::sleep(Duration::from_millis(5));
    }
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let writing: Vec<_> = (0..24)
            .map(|_| scope.spawn(|| call(&node, &tokens[0], "POST", PATH, &[], &post("made").body)))
            .collect();
        // Reads, and the writes of others, do not wait.
        while begun.elapsed() < Duration::from_millis(800) {
            assert_eq!(call(&node, &tokens[0], "GET", &path, &[], "").status, 200);
            create(&node, &tokens[1]);
        }
        let backends = format!(
            "SELECT count(*) <= {CONNECTIONS} FROM pg_stat_activity
             WHERE datname = '{name}' AND application_name = 'cosell'"
        );
        assert_eq!(psql(&database, &backends), "t");
        let answers: Vec<Answer> = writing.into_iter().map(|one| one.join().unwrap()).collect();
        let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status != 201).collect();
        assert!(!refused.is_empty(), "the lock was in nobody's way");
        refused.into_iter().for_each(is_told_to_come_again);
    });
    assert!(begun.elapsed() < LONGEST, "{:?}", begun.elapsed());
    wait_for_readiness(&node, 200);
    assert!(holding.wait_with_output().unwrap().status.success());
    create(&node, &tokens[0]);
}

#[test]
fn random_cuts_and_silences_under_load_lose_nothing() {
    let mut chance = Chance::from_seed(seed());
    let Stage { database, proxy, place, address } = stage();
    let nodes = [place.serve(&address), place.serve(&database.address())];
    let mut life = Life::begin(&place, nodes[0].address(), &mut chance);
    let at = Mutex::new(addresses(&nodes));
    for _ in 0..times(6) {
        let kind = chance.below(6);
        let moment = Duration::from_millis(chance.below(60));
        life.load(&at, |gauge| {
            gauge.wait_for_writes(5);
            std::thread::sleep(moment); // the random point
            match kind {
                0 => proxy.becomes(Network::CutWithinStatements),
                1 => proxy.becomes(Network::CutBeforeCommit),
                2 => proxy.becomes(Network::CutAfterCommit),
                3 => proxy.becomes(Network::Gone),
                4 => proxy.becomes(Network::Silent),
                _ => proxy.cut(),
            }
            std::thread::sleep(Duration::from_millis(200)); // for as long as the network is bad
            proxy.becomes(Network::Good);
            gauge.wait_for_writes(20);
        });
        for node in &nodes {
            wait_for_readiness(node, 200);
        }
        life.ask_again(nodes[chance.below(2) as usize].address(), &mut chance);
        life.judge(&database.address());
    }
    life.judge_all(&database.address());
    println!("{:?}", life.tally);
}

fn psql_in_background(database: &Database, sql: &str) -> std::process::Child {
    let mut command = super::psql_command(database);
    command.args(["-c", sql]).stdout(std::process::Stdio::null()).spawn().unwrap()
}

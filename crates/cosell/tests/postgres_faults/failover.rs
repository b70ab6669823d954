//! The primary is lost under load, and its synchronous standby takes over: nodes whose address names both go on by
//! themselves, and nothing that was acknowledged is lost.

use std::sync::Mutex;

use super::life::{Gauge, Life, Tally};
use super::place::Place;
use super::proxy::{Network, Proxy};
use super::server::{Killed, Server};
use super::support::Sandbox;
use super::support::chance::{Chance, seed};
use super::{addresses, times, wait_for_readiness};

/// So many writes are acknowledged before and after.
const WRITES: u64 = 60;

/// A primary, and the standby without which it acknowledges nothing.
fn pair() -> (Server, Server) {
    let primary = Server::new(&[]);
    primary.sql("postgres", "CREATE DATABASE cosell");
    let standby = Server::standby_of(&primary, "standby");
    // Only now: without its standby it would acknowledge nothing. The standby itself has none.
    primary.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'standby'");
    primary.sql("postgres", "SELECT pg_reload_conf()");
    primary.wait_for("postgres", "SELECT sync_state FROM pg_stat_replication", "sync");
    (primary, standby)
}

/// Clients write through two nodes at this address while `lose` takes the primary away, and then its standby takes over:
/// they go on, and the standby has all that was acknowledged before and after.
fn take_over(
    place: &Place,
    address: &str,
    standby: &Server,
    chance: &mut Chance,
    lose: impl FnOnce(&Gauge, &[Sandbox]),
) -> Tally {
    let nodes = [place.serve(address), place.serve(address)];
    let mut life = Life::begin(place, nodes[0].address(), chance);
    let at = Mutex::new(addresses(&nodes));
    life.load(&at, |gauge| {
        gauge.wait_for_writes(WRITES);
        lose(gauge, &nodes);
        standby.promote();
        gauge.wait_for_writes(WRITES);
        for node in &nodes {
            wait_for_readiness(node, 200);
        }
    });
    assert!(life.tally.refused > 0, "{:?}", life.tally);
    life.ask_again(nodes[1].address(), chance);
    life.judge(&standby.address("cosell"));
    life.judge_all(&standby.address("cosell"));
    life.tally
}

#[test]
fn a_synchronous_standby_that_is_promoted_has_everything_that_was_acknowledged() {
    let mut chance = Chance::from_seed(seed());
    for _ in 0..times(1) {
        let (mut primary, standby) = pair();
        let hosts = format!("{},{}", primary.path().display(), standby.path().display());
        let address = format!("host={hosts} user=cosell dbname=cosell target_session_attrs=read-write");
        let place = Place::in_database(&address);
        let tally = take_over(&place, &address, &standby, &mut chance, |gauge, nodes| {
            primary.kill(Killed::Everything);
            gauge.wait_for_a_refusal();
            for node in nodes {
                wait_for_readiness(node, 503);
            }
        });
        println!("{tally:?}");
    }
}

#[test]
fn a_primary_that_falls_silent_is_left_for_the_standby_that_takes_over() {
    let mut chance = Chance::from_seed(seed());
    let (primary, standby) = pair();
    let (before, behind) = (Proxy::before(primary.socket()), Proxy::before(standby.socket()));
    let address = format!(
        "host=127.0.0.1,127.0.0.1 port={},{} user=cosell dbname=cosell",
        before.address().port(),
        behind.address().port()
    );
    let mut place = Place::in_database(&address);
    place.store = "connections = 6\nstatement_timeout_seconds = 1".to_owned();
    take_over(&place, &address, &standby, &mut chance, |_, _| before.becomes(Network::Silent));
}

//! SIGKILL of nodes, of the server as a whole, of its postmaster and of single backends, under load.

use std::sync::Mutex;
use std::time::Duration;

use super::life::{Life, Tally};
use super::place::Place;
use super::server::{Killed, Server};
use super::support::chance::{Chance, seed};
use super::{addresses, times};

/// After so many kills a new database begins, so that looking at one stays cheap.
const KILLS_OF_ONE_DATABASE: u64 = 25;
/// The kill comes at most so long after the load began.
const LONGEST_LOAD: Duration = Duration::from_millis(120);
/// So many writes are acknowledged after it before the next.
const WRITES_AFTER: u64 = 20;

#[test]
fn every_acknowledged_write_survives_kills_of_nodes_and_of_the_server_exactly_once() {
    let mut chance = Chance::from_seed(seed());
    let kills = times(10);
    let mut left = kills;
    // What the kernel has outlives every process: a kill needs no fsync, and recovery is faster without. A long run has
    // every second server with it, for the moments are others then.
    let mut settings = ["fsync=off", "fsync=on"].iter().cycle();
    let (mut acknowledged, mut unknown, mut repeated) = (0, 0, 0);
    while left > 0 {
        let now = left.min(KILLS_OF_ONE_DATABASE);
        let tally = one_database(now, settings.next().unwrap(), &mut chance);
        acknowledged += tally.acknowledged;
        unknown += tally.unanswered + tally.refused;
        repeated += tally.repeated;
        left -= now;
    }
    println!("{kills} kills: {acknowledged} acknowledged, {unknown} unknown, {repeated} repeated");
    // A load that did nothing, or that was never hit, would prove nothing.
    assert!(acknowledged as u64 > 20 * kills && unknown as u64 > kills && repeated as u64 > kills);
}

fn one_database(kills: u64, setting: &str, chance: &mut Chance) -> Tally {
    let mut server = Server::new(&[setting]);
    server.sql("postgres", "CREATE DATABASE cosell");
    let address = server.address("cosell");
    let place = Place::in_database(&address);
    let mut nodes = vec![place.serve(&address), place.serve(&address)];
    let mut life = Life::begin(&place, nodes[0].address(), chance);
    for kill in 0..kills {
        let moment = Duration::from_micros(chance.below(LONGEST_LOAD.as_micros() as u64));
        // Each kind in turn: a short run has them all.
        let what = [None, Some(Killed::Everything), Some(Killed::Backend), Some(Killed::Postmaster)];
        let what = what[kill as usize % what.len()];
        let at = Mutex::new(addresses(&nodes));
        life.load(&at, |gauge| {
            gauge.wait_for_writes(5);
            std::thread::sleep(moment); // the random point
            match what {
                None => {
                    let number = chance.below(nodes.len() as u64) as usize;
                    nodes[number].kill();
                    nodes[number] = place.serve(&address);
                    *at.lock().unwrap() = addresses(&nodes);
                }
                Some(what) => {
                    server.kill(what);
                    gauge.wait_for_a_refusal();
                    if what != Killed::Backend {
                        server.start();
                    }
                }
            }
            gauge.wait_for_writes(WRITES_AFTER);
        });
        let asked = nodes[chance.below(nodes.len() as u64) as usize].address();
        life.ask_again(asked, chance);
        life.judge(&address);
    }
    life.judge_all(&address);
    for node in nodes {
        assert_eq!(node.stop(), 0);
    }
    life.tally
}

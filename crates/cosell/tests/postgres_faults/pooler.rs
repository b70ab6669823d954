//! Nodes behind PgBouncer, which lends its connections for a transaction each.

use std::sync::Mutex;

use super::database::Database;
use super::life::Life;
use super::pgbouncer::Pooler;
use super::place::Place;
use super::support::chance::{Chance, seed};
use super::{addresses, psql, times};

#[test]
fn nodes_share_few_connections_through_a_pooler_and_outlive_it() {
    let mut chance = Chance::from_seed(seed());
    let database = Database::new();
    // Fewer than the lanes of one node: transactions of both take turns on each.
    let mut pooler = Pooler::before(database.server(), 3);
    let address = pooler.address(database.name());
    let place = Place::in_database(&address);
    let nodes = [place.serve(&address), place.serve(&address)];
    let mut life = Life::begin(&place, nodes[0].address(), &mut chance);
    let at = Mutex::new(addresses(&nodes));
    life.load(&at, |gauge| gauge.wait_for_writes(200));
    assert_eq!((life.tally.refused, life.tally.unanswered), (0, 0), "{:?}", life.tally);
    let backends = "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'cosell'";
    let backends: u64 = psql(&database, backends).parse().unwrap();
    assert!((1..=3).contains(&backends), "{backends} connections");
    for _ in 0..times(2) {
        life.load(&at, |gauge| {
            gauge.wait_for_writes(20);
            pooler.kill();
            gauge.wait_for_a_refusal();
            pooler.start();
            gauge.wait_for_writes(20);
        });
        life.ask_again(nodes[1].address(), &mut chance);
        life.judge(&database.address());
    }
    life.judge_all(&database.address());
}

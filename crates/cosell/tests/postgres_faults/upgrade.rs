//! A rolling upgrade: nodes of one version go on while the next one migrates the database under load.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::database::Database;
use super::life::Life;
use super::place::Place;
use super::support::chance::{Chance, seed};
use super::{addresses, psql, wait_for_readiness};

/// What a later version may do: it adds (docs/adr/0025-neighbouring-versions.md). In one transaction, under the row that
/// counts the migrations, as the engine does it.
const LATER: &str = "BEGIN;
     SELECT version FROM schema_version WHERE one = 1 FOR UPDATE;
     ALTER TABLE referral ADD COLUMN later bigint;
     ALTER TABLE change_log ADD COLUMN later bigint NOT NULL DEFAULT 0;
     CREATE TABLE later (owner bytea NOT NULL, id bytea NOT NULL, PRIMARY KEY (owner, id));
     CREATE INDEX referral_later ON referral (owner, later, id);
     UPDATE schema_version SET version = version + 1;
     COMMIT";

#[test]
fn nodes_go_on_while_a_later_version_migrates_and_none_of_theirs_starts_any_more() {
    let mut chance = Chance::from_seed(seed());
    let database = Database::new();
    let address = database.address();
    let place = Place::in_database(&address);
    let mut nodes = vec![place.serve(&address), place.serve(&address)];
    let mut life = Life::begin(&place, nodes[0].address(), &mut chance);
    let at = Mutex::new(addresses(&nodes));
    life.load(&at, |gauge| {
        gauge.wait_for_writes(100);
        psql(&database, LATER);
        gauge.wait_for_writes(100);
        for node in &nodes {
            wait_for_readiness(node, 200);
        }
        assert_eq!(gauge.refused.load(Ordering::SeqCst), 0, "somebody was refused for the migration");
        // A node that goes is missed by nobody.
        let gone = nodes.remove(0);
        *at.lock().unwrap() = addresses(&nodes);
        assert_eq!(gone.stop(), 0);
        gauge.wait_for_writes(50);
    });
    life.ask_again(nodes[0].address(), &mut chance);

    let refused = place.is_refused(&address);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("use a newer cosell"), "{}", refused.stderr);
    // The ledger's reader is of this version too: it is shown the database as that knows it.
    psql(&database, "UPDATE schema_version SET version = version - 1");
    life.judge(&address);
    life.judge_all(&address);
}

#[test]
fn the_newer_program_takes_over_from_the_older_one_by_one_under_load() {
    let mut chance = Chance::from_seed(seed());
    let database = Database::new();
    let address = database.address();
    let mut place = Place::in_database(&address);
    let older = std::env::vars_os().find(|(name, _)| name == "COSELL_TEST_OLDER");
    place.program = older.map(|(_, program)| program.into_string().unwrap());
    if place.program.is_some() {
        // As the older program leaves it: that makes the schema, and the newer one migrates it.
        psql(&database, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
        place.init_again(&address);
    }
    let mut nodes = vec![place.serve(&address), place.serve(&address)];
    let mut life = Life::begin(&place, nodes[0].address(), &mut chance);
    let at = Mutex::new(addresses(&nodes));
    life.load(&at, |gauge| {
        for number in 0..2 {
            gauge.wait_for_writes(50);
            place.program = None;
            let newer = place.serve(&address);
            let older = std::mem::replace(&mut nodes[number], newer);
            *at.lock().unwrap() = [addresses(&nodes), vec![older.address()]].concat();
            gauge.wait_for_writes(50);
            *at.lock().unwrap() = addresses(&nodes);
            assert_eq!(older.stop(), 0);
        }
        gauge.wait_for_writes(50);
    });
    println!("{:?}", life.tally);
    life.ask_again(nodes[0].address(), &mut chance);
    life.judge(&address);
    life.judge_all(&address);
}

//! `cosell serve` on PostgreSQL when things break: nodes, servers, poolers and networks are killed, cut, slow and replaced
//! under load. Nothing that was acknowledged is lost, nothing is seen by half, clients are told to come again, and all goes
//! on without a restart.
//!
//! `COSELL_TEST_POSTGRES_KILLS` says how often something is killed (10); failovers and cuts follow from it.
//! `COSELL_TEST_SEED` repeats a run's choices. `COSELL_TEST_OLDER` names the program of an earlier version for the nodes
//! that are upgraded.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

#[allow(dead_code, reason = "clients here go on after a refusal, in a loop of their own")]
#[path = "../crash/clients.rs"]
mod clients;
#[path = "../../../store/tests/support/postgres.rs"]
mod database;
mod failover;
mod jobs;
mod kills;
#[path = "../crash/ledger.rs"]
mod ledger;
mod life;
mod network;
#[path = "../../../store/tests/support/pgbouncer.rs"]
mod pgbouncer;
mod place;
mod pooler;
mod proxy;
mod reads;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod upgrade;

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use database::Database;
use support::chance::number_from_environment;
use support::{Sandbox, call};

/// How often something is killed, unless the environment says otherwise.
const KILLS: u64 = 10;

/// So many times in a run of [`KILLS`], and in proportion in a longer one.
fn times(usually: u64) -> u64 {
    let kills = number_from_environment("COSELL_TEST_POSTGRES_KILLS").unwrap_or(KILLS);
    (usually * kills).div_ceil(KILLS)
}

fn addresses(nodes: &[Sandbox]) -> Vec<SocketAddr> {
    nodes.iter().map(Sandbox::address).collect()
}

/// Waits until a node says that it is ready, or that it is not.
fn wait_for_readiness(node: &Sandbox, status: u16) {
    let begun = Instant::now();
    while node.request("GET", "/readyz", &[], b"").status != status {
        assert!(begun.elapsed() < Duration::from_secs(30), "/readyz does not become {status}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A session of psql on a test's database.
fn psql_command(database: &Database) -> Command {
    let mut command = Command::new(database::programs().join("psql"));
    command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-U", "cosell", "-d", database.name()]);
    command.arg("-h").arg(database.server()).stdin(Stdio::null());
    command
}

/// What a statement prints.
fn psql(database: &Database, sql: &str) -> String {
    let output = psql_command(database).args(["-c", sql]).output().unwrap();
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

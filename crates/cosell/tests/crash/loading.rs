//! A bulk load whose machine fails: into a store without referrals all is loaded or nothing, and what was reported as
//! loaded is there.

use std::path::Path;
use std::process::Command;

use referral::OrganizationId;
use store::Action;
use tempfile::TempDir;

use super::support::bad_disk::{BadDisk, Call, Moment, Then};
use super::support::chance::{Chance, number_from_environment, seed};
use super::support::journal::{Journal, Rest, Word};
use super::support::kept::Kept;
use super::support::run_command;
use super::{ORGANIZATIONS, cosell, start};
use crate::clients::{patch, post};

/// How many referrals are loaded.
const LOADED: usize = 90;
/// Moments at writes, beside those at everything else, unless the environment says otherwise.
const WRITES: u64 = 20;
/// States of the disk that are looked at for each moment.
const LOOKS: u64 = 2;
/// The same in the long run, where it is not at a write but at one of the borders between them.
const LOOKS_AT_A_BORDER: u64 = 12;

fn load(directory: &Path) -> Command {
    let mut command = cosell(&["load", "--generate", &LOADED.to_string(), "--data"]);
    command.arg(directory);
    command
}

fn copy(from: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    super::support::journal::Files::read(from).write(copy.path());
    copy
}

/// How many referrals a directory holds, all of them whole and told of in a log without gaps.
fn count(directory: &Path) -> usize {
    let kept = Kept::open(directory);
    let mut referrals = 0;
    for organization in ORGANIZATIONS.map(|(id, _)| id).into_iter().chain(["msft"]) {
        let owner: OrganizationId = organization.parse().unwrap();
        for (position, entry) in (1..).zip(kept.log(&owner, 0)) {
            assert_eq!(entry.position, position);
            assert!([Action::Created, Action::Imported].contains(&entry.entry.action));
            let stored = kept.referral(&owner, entry.referral_id).expect("the log speaks of what is there");
            assert_eq!(stored.version, entry.version);
            serde_json::from_slice::<serde_json::Value>(&stored.document).unwrap();
            referrals += 1;
        }
    }
    referrals
}

#[expect(clippy::print_stdout, reason = "the test harness shows it when the test fails")]
fn all_or_nothing(base: &Path, before: usize) {
    let (disk, mut chance) = (BadDisk::new(), Chance::from_seed(seed()));
    let at = |directory: &Path, moment: Option<Moment>| {
        let (command, watched) = disk.watched(load(directory), directory);
        if let Some(moment) = moment {
            disk.strike_at(moment);
        }
        let ran = run_command(command);
        (ran, watched.journal())
    };

    // Undisturbed, to know the calls; and with the power failing right after the end.
    let directory = copy(base);
    let (ran, calm) = at(directory.path(), None);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with(&format!("loaded {LOADED} referrals")), "{}", ran.stdout);
    for rest in [Rest::All, Rest::Nothing, Rest::First(50), Rest::Any] {
        assert_eq!(look(&calm, rest, &mut chance), before + LOADED, "{rest:?}: what was reported is there");
    }

    let long = number_from_environment("COSELL_TEST_KILLS");
    let (writes, looks_at_a_border) = long.map_or((WRITES, LOOKS), |writes| (writes, LOOKS_AT_A_BORDER));
    let any = [Then::DiesBefore, Then::DiesAmid, Then::DiesAfter, Then::Fails, Then::RunsFull];
    let mut moments: Vec<(u64, Then, u64)> = (0..writes)
        .map(|_| (1 + chance.below(calm.calls()), any[chance.below(any.len() as u64) as usize], LOOKS))
        .collect();
    for number in calm.borders() {
        moments.extend([Then::DiesAfter, Then::Fails].map(|then| (number, then, looks_at_a_border)));
    }
    let (mut loaded, mut not) = (0, 0);
    for (number, then, looks) in moments {
        let moment = Moment { call: Call::Any, number, then };
        let directory = copy(base);
        let (ran, journal) = at(directory.path(), Some(moment));
        let what = format!("{moment}, which was {:?}: {ran:?}", journal.struck);
        println!("{what}"); // for a failure to show the last of them
        for _ in 0..looks {
            let found = look(&journal, Rest::Any, &mut chance);
            let expected: &[usize] = match ran.code {
                0 => &[before + LOADED],
                _ => &[before, before + LOADED],
            };
            assert!(expected.contains(&found), "{found} are there, not one of {expected:?}: {what}");
            if found == before { not += 1 } else { loaded += 1 }
        }
    }
    println!("{loaded} times all, {not} times nothing");
    assert!(loaded > 0 && not > 0);
}

/// What is there after the power failed, and that a server starts on it and a load can be made again.
fn look(journal: &Journal, rest: Rest, chance: &mut Chance) -> usize {
    let directory = TempDir::new().unwrap();
    journal.after_power_loss(Word::Kept, rest, chance).write(directory.path());
    let found = count(directory.path());
    if chance.percent(5) {
        let ran = run_command(load(directory.path()));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(count(directory.path()) >= LOADED);
    }
    found
}

/// A data directory with so many referrals, of a server that was stopped once and killed later: parts of the database,
/// and not all of it, are in SQLite's log.
fn world(referrals: usize) -> TempDir {
    let directory = TempDir::new().unwrap();
    let sandbox = start(directory.path());
    let token = sandbox.token(ORGANIZATIONS[0].1);
    assert_eq!(sandbox.stop(), 0);
    let mut sandbox = start(directory.path());
    let mut connection = sandbox.connect();
    for number in 0..referrals {
        let answer = post(&format!("there before {number}")).send(&mut connection, &token).unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    // A refusal is remembered, and makes no referral.
    let mut refused = patch("00000000-0000-4000-8000-000000000000", "refused");
    refused.headers.push(("request-id", "00000000-0000-4000-8000-000000000001".to_owned()));
    assert_eq!(refused.send(&mut connection, &token).unwrap().status, 404);
    sandbox.kill();
    directory
}

#[test]
fn a_load_into_an_empty_store_survives_power_losses_whole_or_not_at_all() {
    all_or_nothing(world(0).path(), 0);
}

/// One transaction takes this many.
#[test]
fn a_load_into_a_store_in_use_survives_power_losses_whole_or_not_at_all() {
    all_or_nothing(world(3).path(), 3);
}

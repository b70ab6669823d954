//! `cosell copy` and `cosell migrate`, and `cosell load` and `cosell explain` on PostgreSQL: with the real binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

#[path = "../../store/tests/support/postgres.rs"]
mod database;
mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use database::{Database, programs};
use serde_json::{Value, json};
use support::{Ran, Sandbox, call, cosell, run};
use tempfile::TempDir;

const PATH: &str = "/v1.0/engagements/referrals";
const CONTOSO: &str = "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d";
const ADMIN: &str = "admin@contoso.example";
const PUBLIC: [&str; 3] = ["--public-url", "http://referrals.example", "--extended"];

/// A database, as the command line of `copy` names it.
fn postgres(database: &Database) -> String {
    format!("postgres:{}", database.address())
}

/// Runs SQL in a database; what it prints.
fn psql(database: &Database, sql: &str) -> String {
    try_psql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn try_psql(database: &Database, sql: &str) -> Result<String, String> {
    let output = std::process::Command::new(programs().join("psql"))
        .args(["-q", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &database.address(), "-c", sql])
        .output()
        .unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
}

/// The seeded world after some writes, at rest, and what it answered.
struct World {
    folder: TempDir,
    token: String,
    list: Value,
    created: String,
}

const ONCE: [(&str, &str); 1] = [("request-id", "0c1d1a2e-7c2b-4a8a-9a55-1c1f2f9f0a07")];

fn new_referral() -> String {
    json!({ "type": "Independent", "customerProfile": { "name": "Trey Research" }, "consent": {}, "details": {} })
        .to_string()
}

fn list(sandbox: &Sandbox, token: &str) -> Value {
    let answer = call(sandbox, token, "GET", &format!("{PATH}?$count=true"), &[], "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

impl World {
    fn new() -> World {
        let folder = TempDir::new().unwrap();
        let sandbox = Sandbox::start_with_data(&folder.path().join("world"), &PUBLIC);
        let token = sandbox.token(ADMIN);
        let created = call(&sandbox, &token, "POST", PATH, &ONCE, &new_referral());
        assert_eq!(created.status, 201, "{}", created.text());
        let change = r#"[{"op":"replace","path":"/details/dealValue","value":"12500"}]"#;
        let path = format!("{PATH}/{}", created.json()["id"].as_str().unwrap());
        assert_eq!(call(&sandbox, &token, "PATCH", &path, &[], change).status, 204);
        let list = list(&sandbox, &token);
        assert_eq!(sandbox.stop(), 0);
        World { folder, token, list, created: created.text() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn directory(&self) -> String {
        self.path("world").display().to_string()
    }

    /// Whether a directory holds what this world did: the same lists, the same people and keys, the same answers.
    fn is_in(&self, directory: &Path) {
        let sandbox = Sandbox::start_with_data(directory, &PUBLIC);
        assert_eq!(list(&sandbox, &self.token), self.list, "the token is good: the issuer's key came along");
        let again = call(&sandbox, &self.token, "POST", PATH, &ONCE, &new_referral());
        assert_eq!((again.status, again.text()), (201, self.created.clone()), "the answer is remembered");
        let user = sandbox.token("user@contoso.example");
        assert!(list(&sandbox, &user)["@odata.count"].as_u64() > Some(0), "the team's list is there");
        let found = format!("{PATH}?$search=trey&$count=true");
        let found = call(&sandbox, &self.token, "GET", &found, &[], "").json();
        assert_eq!(found["@odata.count"], 1, "its words find it");
        assert_eq!(sandbox.stop(), 0);
    }
}

fn copy(from: &str, to: &str) -> Ran {
    run(&["copy", "--from", from, "--to", to])
}

/// The lines with digests.
fn digests(ran: &Ran) -> Vec<String> {
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.starts_with("copied and verified"), "{}", ran.stdout);
    ran.stdout.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn a_world_goes_to_postgresql_and_back_and_is_the_same() {
    let (world, one, other) = (World::new(), Database::new(), Database::new());
    let there = copy(&world.directory(), &postgres(&one));
    let told = digests(&there);
    assert_eq!(told.len(), 7, "{told:?}");
    let across = copy(&postgres(&one), &postgres(&other));
    assert_eq!(digests(&across), told);
    let back = world.path("back");
    let back_again = copy(&postgres(&other), &format!("sqlite:{}", back.display()));
    assert_eq!(digests(&back_again), told);
    world.is_in(&back);
    let beside = world.path("beside");
    assert_eq!(digests(&copy(&world.directory(), &beside.display().to_string())), told);
    world.is_in(&beside);
}

#[test]
fn a_place_that_is_not_given_is_that_of_the_settings() {
    let (world, database) = (World::new(), Database::new());
    let mut command = cosell(&["copy", "--from", &world.directory()]);
    command.env("COSELL_STORE_DATABASE", database.address());
    assert_eq!(digests(&support::run_command(command)).len(), 7);
    let nowhere = run(&["copy"]);
    assert_eq!((nowhere.code, nowhere.stdout.as_str()), (2, ""));
}

#[test]
fn a_copy_needs_an_empty_target_and_a_source_that_nobody_has() {
    let (world, database) = (World::new(), Database::new());
    digests(&copy(&world.directory(), &postgres(&database)));
    let again = copy(&world.directory(), &postgres(&database));
    assert!(again.code == 1 && again.stderr.contains("not empty: referrals"), "{again:?}");

    let empty = world.path("empty").display().to_string();
    let none = copy(&world.path("nowhere").display().to_string(), &empty);
    assert!(none.code == 1 && none.stderr.contains("holds no data"), "{none:?}");
    assert!(!world.path("nowhere").exists() && !world.path("empty").exists(), "nothing was made");

    let sandbox = Sandbox::start_with_data(&world.path("world"), &PUBLIC);
    let busy = copy(&world.directory(), &empty);
    assert!(busy.code == 1 && busy.stderr.contains("in use"), "{busy:?}");
    assert_eq!(sandbox.stop(), 0);
    let onto_itself = copy(&world.directory(), &world.directory());
    assert!(onto_itself.code == 1 && onto_itself.stderr.contains("in use"), "{onto_itself:?}");
}

/// A world with so many referrals that a copy takes some time.
fn many(count: u64) -> World {
    let world = World::new();
    let loaded = run(&["load", "--generate", &count.to_string(), "--data", &world.directory()]);
    assert_eq!(loaded.code, 0, "{loaded:?}");
    world
}

/// Starts a copy into a database and kills it when it has copied some referrals, though not all.
fn break_off(world: &World, database: &Database) {
    let mut child = cosell(&["copy", "--from", &world.directory(), "--to", &postgres(database)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(50);
    let begun =
        || try_psql(database, "SELECT count(*) FROM referral_directory").is_ok_and(|count| count != "0");
    while !begun() {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "it copies");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_copy_that_was_killed_goes_on_and_ends_right() {
    let world = many(2500);
    let (database, whole) = (Database::new(), world.path("whole").display().to_string());
    break_off(&world, &database);
    assert_eq!(psql(&database, "SELECT count(*) FROM setting WHERE name = 'unfinished-copy'"), "1");
    assert_eq!(psql(&database, "SELECT count(*) FROM organization"), "0");

    // Nobody takes it for a store, and nobody else continues it.
    let address = database.address();
    for arguments in [
        vec!["init", "--database", &address, "--organization", "A", "--issuer", "x", "--admin", ADMIN],
        vec!["load", "--generate", "1", "--database", &address],
    ] {
        let refused = run(&arguments);
        assert!(refused.code == 1 && refused.stderr.contains("has not come to its end"), "{refused:?}");
    }
    let from = copy(&postgres(&database), &world.path("elsewhere").display().to_string());
    assert!(from.code == 1 && from.stderr.contains("has not come to its end"), "{from:?}");
    let other = World::new();
    let foreign = copy(&other.directory(), &postgres(&database));
    assert!(foreign.code == 1 && foreign.stderr.contains("another source"), "{foreign:?}");

    let told = digests(&copy(&world.directory(), &postgres(&database)));
    assert_eq!(told, digests(&copy(&world.directory(), &whole)));
    assert_eq!(psql(&database, "SELECT count(*) FROM setting WHERE name = 'unfinished-copy'"), "0");
    let sums = "SELECT (SELECT sum(n) FROM tally) = (SELECT count(*) FROM referral)";
    assert_eq!(psql(&database, sums), "t");
}

#[test]
fn a_source_that_was_written_to_is_not_continued_and_a_difference_is_named() {
    let world = many(1500);
    let database = Database::new();
    break_off(&world, &database);
    let id = psql(&database, "SELECT encode(id, 'hex') FROM referral_directory ORDER BY id LIMIT 1");
    psql(&database, &format!("UPDATE referral SET document = '{{}}' WHERE id = decode('{id}', 'hex')"));
    let differs = copy(&world.directory(), &postgres(&database));
    let told = differs.stderr.replace('-', "");
    assert!(differs.code == 1 && differs.stderr.contains("the referrals differ"), "{differs:?}");
    assert!(told.contains(&id), "{id} is named: {}", differs.stderr);

    let loaded = run(&["load", "--generate", "1501", "--data", &world.directory()]);
    assert!(loaded.stdout.starts_with("loaded 1 "), "{loaded:?}");
    let changed = copy(&world.directory(), &postgres(&database));
    assert!(changed.code == 1 && changed.stderr.contains("as it was before"), "{changed:?}");
}

#[test]
fn a_file_is_loaded_into_postgresql_whole_or_not_at_all() {
    let (world, database) = (World::new(), Database::new());
    digests(&copy(&world.directory(), &postgres(&database)));
    let empty = Database::new();
    let address = empty.address();
    let made = run(&[
        "init",
        "--database",
        &address,
        "--organization",
        "Contoso Company",
        "--issuer",
        "x",
        "--tenant",
        CONTOSO,
        "--admin",
        ADMIN,
    ]);
    assert_eq!(made.code, 0, "{made:?}");
    let sandbox = Sandbox::start_with_data(&world.path("world"), &PUBLIC);
    let shown = call(&sandbox, &sandbox.token(ADMIN), "GET", &format!("{PATH}?$top=100"), &[], "").json();
    assert_eq!(sandbox.stop(), 0);
    let referrals: Vec<String> = shown["value"].as_array().unwrap().iter().map(Value::to_string).collect();
    assert_eq!(referrals.len(), 100);
    let file = world.path("referrals.jsonl").display().to_string();
    std::fs::write(&file, referrals.join("\n")).unwrap();
    for (loaded, there) in [("loaded 100 ", ""), ("loaded 0 ", "100 were there already")] {
        let ran = run(&["load", &file, "--database", &address]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
        assert!(ran.stdout.starts_with(loaded) && ran.stdout.contains(there), "{}", ran.stdout);
    }
    assert_eq!(psql(&empty, "SELECT count(*), sum(version) > 0 FROM change_log"), "100|t");
    let generated = run(&["load", "--generate", "700", "--database", &address]);
    assert!(generated.code == 0 && generated.stdout.starts_with("loaded 700 "), "{generated:?}");
    assert_eq!(psql(&empty, "SELECT position FROM log_head"), "800");
    assert_eq!(psql(&empty, "SELECT sum(n) FROM tally"), "800");
}

#[test]
fn explain_shows_which_index_postgresql_would_take() {
    let (world, database) = (World::new(), Database::new());
    let loaded = run(&["load", "--generate", "3000", "--data", &world.directory()]);
    assert_eq!(loaded.code, 0, "{loaded:?}");
    digests(&copy(&world.directory(), &postgres(&database)));
    psql(&database, "ANALYZE");
    let address = database.address();
    let explain = |query: &str, more: &[&str]| {
        let ran = run(&[&["explain", query, "--database", &address], more].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    };
    let newest = explain("$orderby=createdDateTime desc&$top=10", &["--organization", CONTOSO]);
    assert!(newest.contains("planner   Index Scan using referral_newest_first on referral"), "{newest}");
    let pending = explain("$filter=status eq 'New'&$top=10", &["--statements"]);
    assert!(pending.contains("referral_by_class") && pending.contains("cost="), "{pending}");
    let nobody = explain("$top=10", &["--organization", "11111111-2222-4333-8444-555555555555"]);
    assert!(!nobody.contains("planner"), "who has nothing has no plan: {nobody}");
    let untouched = Database::new();
    let too_old = run(&["explain", "$top=10", "--database", &untouched.address()]);
    assert!(too_old.code == 1 && too_old.stderr.contains("run cosell migrate first"), "{too_old:?}");
    let check = run(&["migrate", "--check", "--database", &untouched.address()]);
    assert!(check.stderr.contains("the schema is of version 0"), "explaining migrates nothing: {check:?}");
    let wrong = run(&["explain", "$top=10", "--organization", CONTOSO]);
    assert_eq!((wrong.code, wrong.stdout.as_str()), (2, ""));
}

#[test]
fn migrate_says_what_it_does_and_checks_without_doing_it() {
    let database = Database::new();
    let address = database.address();
    let check = || run(&["migrate", "--check", "--database", &address]);
    let to_do = check();
    assert!(to_do.code == 1 && to_do.stderr.contains("version 0, this program's is"), "{to_do:?}");
    assert_eq!(psql(&database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
    let done = run(&["migrate", "--database", &address]);
    assert!(
        done.code == 0 && done.stdout.starts_with("the schema was of version 0 and is of version"),
        "{done:?}"
    );
    let nothing = check();
    assert!(nothing.code == 0 && nothing.stdout.contains("nothing to do"), "{nothing:?}");
    psql(&database, "UPDATE schema_version SET version = 999");
    for arguments in [vec!["migrate", "--check"], vec!["migrate"]] {
        let newer = run(&[&arguments[..], &["--database", &address]].concat());
        assert!(newer.code == 1 && newer.stderr.contains("999"), "{newer:?}");
    }

    let folder = TempDir::new().unwrap();
    let directory = folder.path().join("world").display().to_string();
    let missing = run(&["migrate", "--data", &directory]);
    assert!(missing.code == 1 && missing.stderr.contains("holds no data"), "{missing:?}");
    assert!(!folder.path().join("world").exists());
    let sandbox = Sandbox::start_with_data(directory.as_ref(), &["--no-seed"]);
    let beside = run(&["migrate", "--check", "--data", &directory]);
    assert_eq!(beside.code, 0, "it only looks, beside a server too: {beside:?}");
    assert_eq!(sandbox.stop(), 0);
}

#[test]
fn a_role_that_may_only_read_and_write_is_enough_once_somebody_has_migrated() {
    let database = Database::new();
    let role = format!("writer_of_{}", database.name());
    psql(&database, &format!("CREATE ROLE {role} LOGIN"));
    psql(&database, "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let address = database.address().replace("user=cosell", &format!("user={role}"));
    let init =
        || run(&["init", "--database", &address, "--organization", "A", "--issuer", "x", "--admin", ADMIN]);
    let refused = init();
    let migrated = run(&["migrate", "--database", &database.address()]);
    let rights = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}");
    psql(&database, &rights);
    let made = init();
    let loaded = run(&["load", "--generate", "20", "--database", &address]);
    psql(&database, &format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    assert!(refused.code == 1 && refused.stderr.contains("permission denied"), "{refused:?}");
    assert_eq!(migrated.code, 0, "{migrated:?}");
    assert_eq!(made.code, 0, "{made:?}");
    assert!(loaded.code == 0 && loaded.stdout.starts_with("loaded 20 "), "{loaded:?}");
}

/// The commands of docs/operations.md.
#[test]
fn a_dump_of_a_database_is_restored_into_another() {
    let (world, database, other) = (World::new(), Database::new(), Database::new());
    let told = digests(&copy(&world.directory(), &postgres(&database)));
    let file = world.path("cosell.dump");
    let dump = std::process::Command::new(programs().join("pg_dump"))
        .args(["--format=custom", "--no-owner", "--no-privileges", "-d", &database.address(), "-f"])
        .arg(&file)
        .status();
    assert!(dump.unwrap().success());
    let restore = std::process::Command::new(programs().join("pg_restore"))
        .args(["--no-owner", "--exit-on-error", "--single-transaction", "-d", &other.address()])
        .arg(&file)
        .status();
    assert!(restore.unwrap().success());
    assert_eq!(run(&["migrate", "--check", "--database", &other.address()]).code, 0);
    let back = world.path("back");
    assert_eq!(digests(&copy(&postgres(&other), &back.display().to_string())), told);
    world.is_in(&back);
}

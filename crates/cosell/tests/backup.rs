//! `cosell backup` and `cosell restore`, with the real binary, beside a server under load.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use referral::OrganizationId;
use serde_json::json;
use support::kept::Kept;
use support::{Answer, Ran, Sandbox, cosell, run};
use tempfile::TempDir;

const PATH: &str = "/v1.0/engagements/referrals";
const CONTOSO: &str = "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d";
const ADMIN: &str = "admin@contoso.example";
const PUBLIC: [&str; 2] = ["--public-url", "http://referrals.example"];

fn backup(data: &Path, to: &Path) -> Ran {
    run(&["backup", "--data", &data.display().to_string(), "--to", &to.display().to_string()])
}

fn restore(from: &Path, data: &Path) -> Ran {
    run(&["restore", "--from", &from.display().to_string(), "--data", &data.display().to_string()])
}

fn digest(ran: &Ran) -> &str {
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    assert!(ran.stdout.contains("verified"), "{}", ran.stdout);
    ran.stdout.lines().nth(1).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn post(sandbox: &Sandbox, token: &str, request: &str) -> Answer {
    let body = json!({
        "type": "Independent", "customerProfile": { "name": "Fourth Coffee" }, "consent": {},
        "details": { "notes": request },
    });
    let bearer = format!("Bearer {token}");
    let headers =
        [("Authorization", &*bearer), ("Content-Type", "application/json"), ("request-id", request)];
    sandbox.request("POST", PATH, &headers, body.to_string().as_bytes())
}

/// What a client was told: the request's id, and the answer.
type Told = (String, Answer);

/// Posts from several clients until told to stop, while `meanwhile` runs; what was acknowledged before it began.
fn under_load<T>(sandbox: &Sandbox, token: &str, meanwhile: impl FnOnce() -> T) -> (Vec<Told>, T) {
    let (told, stop): (Mutex<Vec<Told>>, AtomicBool) = (Mutex::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (told, stop) = (&told, &stop);
            scope.spawn(move || {
                for number in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let request = format!("0c1d1a2e-7c2b-4a8a-{client:04}-{number:012}");
                    let answer = post(sandbox, token, &request);
                    assert_eq!(answer.status, 201, "{}", answer.text());
                    told.lock().unwrap().push((request, answer));
                }
            });
        }
        while told.lock().unwrap().len() < 40 {
            std::thread::yield_now();
        }
        let before = told.lock().unwrap().clone();
        let outcome = meanwhile();
        let during = told.lock().unwrap().len();
        stop.store(true, Ordering::SeqCst);
        assert!(during > before.len(), "writes go on beside a backup");
        (before, outcome)
    })
}

/// Every version of the log is that of the state, or one before it; positions have no gaps.
fn check_agreement(kept: &Kept) -> usize {
    let owner: OrganizationId = CONTOSO.parse().unwrap();
    let log = kept.log(&owner, 0);
    for (place, entry) in log.iter().enumerate() {
        assert_eq!(entry.position, place as u64 + 1);
        let newest = log.iter().rev().find(|later| later.referral_id == entry.referral_id).unwrap();
        let referral = kept.referral(&owner, entry.referral_id).unwrap();
        assert_eq!(referral.version, newest.version, "{}", entry.referral_id);
    }
    log.len()
}

#[test]
fn a_backup_beside_a_server_under_load_has_all_that_was_acknowledged_before_it() {
    let folder = TempDir::new().unwrap();
    let (data, file, new) =
        (folder.path().join("world"), folder.path().join("monday.backup"), folder.path().join("new"));
    let sandbox = Sandbox::start_with_data(&data, &PUBLIC);
    let token = sandbox.token(ADMIN);
    let (before, ran) = under_load(&sandbox, &token, || backup(&data, &file));
    let said = digest(&ran).to_owned();
    assert_eq!(sandbox.stop(), 0);
    assert_eq!(names(folder.path()), ["monday.backup", "world"], "one file, and nothing beside it");

    let restored = restore(&file, &new);
    assert_eq!(digest(&restored), said);
    assert_eq!(names(&new), ["cosell.db", "lock"]);
    let kept = Kept::open(&new);
    assert!(check_agreement(&kept) >= before.len());
    drop(kept);
    let sandbox = Sandbox::start_with_data(&new, &PUBLIC);
    for (request, answer) in &before {
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        let bearer = format!("Bearer {token}");
        let found = sandbox.request("GET", &format!("{PATH}/{id}"), &[("Authorization", &bearer)], b"");
        assert_eq!((found.status, found.json()), (200, answer.json()), "{request}");
    }
    let (request, answer) = &before[7];
    let again = post(&sandbox, &token, request);
    assert_eq!(
        (again.status, again.text()),
        (201, answer.text()),
        "the answer is remembered, the token good"
    );
    assert_eq!(sandbox.stop(), 0);
}

/// A small world at rest with a backup of it.
fn backed_up() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("world");
    assert_eq!(Sandbox::start_with_data(&data, &[]).stop(), 0);
    let file = folder.path().join("world.backup");
    digest(&backup(&data, &file));
    (folder, file)
}

#[test]
fn a_damaged_file_is_refused_and_nothing_is_put_in_place() {
    let (folder, file) = backed_up();
    let whole = std::fs::read(&file).unwrap();
    // A bit in every page but the first ones: some of them are in documents.
    let mut in_documents = whole.clone();
    for page in in_documents.chunks_mut(4096).skip(4) {
        page[2000] ^= 1;
    }
    let mut a_page = whole.clone();
    a_page[20 * 4096..21 * 4096].fill(0x5a);
    let half = whole[..whole.len() / 2].to_vec();
    let damaged: [(&str, Vec<u8>); 5] = [
        ("documents", in_documents),
        ("a page", a_page),
        ("the second half", half),
        ("everything", b"not a database at all, and long enough to be looked at".repeat(100)),
        ("all bytes", Vec::new()),
    ];
    for (what, bytes) in damaged {
        let bad = folder.path().join("bad.backup");
        std::fs::write(&bad, bytes).unwrap();
        let data = folder.path().join("new");
        let ran = restore(&bad, &data);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{what}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("no whole backup") && ran.stderr.lines().count() == 1,
            "{what}: {}",
            ran.stderr
        );
        assert_eq!(names(&data), ["lock"], "{what}");
    }
    let data = folder.path().join("new");
    digest(&restore(&file, &data));
    assert_eq!(names(&data), ["cosell.db", "lock"], "the good one is taken after bad ones");
}

#[test]
fn nothing_is_overwritten_and_a_directory_in_use_is_not_restored_into() {
    let (folder, file) = backed_up();
    let data = folder.path().join("world");
    let before = std::fs::read(&file).unwrap();
    let again = backup(&data, &file);
    assert!(again.code == 1 && again.stderr.contains("is there already"), "{again:?}");
    assert_eq!(std::fs::read(&file).unwrap(), before);

    let full = restore(&file, &data);
    assert!(full.code == 1 && full.stderr.contains("is not empty"), "{full:?}");
    let sandbox = Sandbox::start_with_data(&data, &[]);
    let busy = restore(&file, &data);
    assert!(busy.code == 1 && busy.stderr.contains("in use"), "{busy:?}");
    let token = sandbox.token(ADMIN);
    assert_eq!(post(&sandbox, &token, "0c1d1a2e-7c2b-4a8a-9a55-1c1f2f9f0a08").status, 201);
    let live = restore(&data.join("cosell.db"), &folder.path().join("new"));
    assert!(live.code == 1 && live.stderr.contains("database in use"), "{live:?}");
    assert_eq!(sandbox.stop(), 0);

    let nothing = backup(&folder.path().join("nowhere"), &folder.path().join("x.backup"));
    assert!(nothing.code == 1 && nothing.stderr.contains("holds no data"), "{nothing:?}");
    let plain = restore(&data.join("cosell.db"), &folder.path().join("new"));
    assert!(plain.code == 1 && plain.stderr.contains("no whole backup"), "{plain:?}");
    let no_folder = backup(&data, &folder.path().join("a/b/c.backup"));
    assert!(no_folder.code == 1 && no_folder.stderr.lines().count() == 1, "{no_folder:?}");
    assert_eq!(names(folder.path()), ["new", "world", "world.backup"]);
}

#[test]
fn in_a_folder_a_backup_is_named_by_the_time_and_for_its_owner_alone() {
    let (folder, _) = backed_up();
    let backups = folder.path().join("backups");
    std::fs::create_dir(&backups).unwrap();
    // What a killed one left.
    std::fs::write(backups.join("mine.backup.part"), "a beginning").unwrap();
    let ran = backup(&folder.path().join("world"), &backups.join("mine.backup"));
    digest(&ran);
    let ran = backup(&folder.path().join("world"), &backups);
    digest(&ran);
    let found = names(&backups);
    assert_eq!(found.len(), 2, "{found:?}");
    let digits = found[0].strip_prefix("cosell-").and_then(|name| name.strip_suffix(".backup")).unwrap();
    assert!(digits.len() == 15 && digits.as_bytes()[8] == b'T', "{digits}");
    #[cfg(unix)]
    for name in &found {
        use std::os::unix::fs::PermissionsExt;
        let mode = backups.join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_backup_of_what_a_killed_server_left_is_whole_and_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("world");
    let mut sandbox = Sandbox::start_with_data(&data, &PUBLIC);
    let token = sandbox.token(ADMIN);
    let request = "0c1d1a2e-7c2b-4a8a-9a55-1c1f2f9f0a09";
    let answer = post(&sandbox, &token, request);
    assert_eq!(answer.status, 201);
    sandbox.kill();
    let file = folder.path().join("after.backup");
    let said = backup(&data, &file);
    let new = folder.path().join("new");
    assert_eq!(digest(&restore(&file, &new)), digest(&said));
    for directory in [&new, &data] {
        let sandbox = Sandbox::start_with_data(directory, &PUBLIC);
        let again = post(&sandbox, &token, request);
        assert_eq!((again.status, again.text()), (201, answer.text()));
        assert_eq!(sandbox.stop(), 0);
    }
}

#[test]
fn a_backup_that_is_killed_leaves_nothing_under_its_name() {
    let (folder, _) = backed_up();
    let data = folder.path().join("world");
    let loaded = run(&["load", "--generate", "1500", "--data", &data.display().to_string()]);
    assert_eq!(loaded.code, 0, "{loaded:?}");
    let file = folder.path().join("killed.backup");
    let part = folder.path().join("killed.backup.part");
    let mut child = cosell(&["backup", "--data", &data.display().to_string(), "--to"])
        .arg(&file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while part.metadata().map_or(0, |about| about.len()) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it takes its time");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(part.exists() && !file.exists());
    digest(&backup(&data, &file));
    assert!(file.exists() && names(folder.path()).iter().all(|name| !name.contains(".part")));
    let new = folder.path().join("new");
    digest(&restore(&file, &new));
    assert_eq!(check_agreement(&Kept::open(&new)), check_agreement(&Kept::open(&data)));
}

#[test]
fn a_file_that_is_no_database_is_named() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("cosell.db"), "a letter to Ann, and no database at all").unwrap();
    let data = folder.path().display().to_string();
    for refused in [
        backup(folder.path(), &folder.path().join("x.backup")),
        run(&["migrate", "--data", &data]),
        run(&["load", "--generate", "1", "--data", &data]),
        run(&["sandbox", "--listen", "127.0.0.1:0", "--data", &data]),
    ] {
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{refused:?}");
        let last = refused.stderr.lines().last().unwrap();
        assert_eq!(last, format!("cosell: {data}/cosell.db: file is not a database"), "{refused:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn data_of_another_user_are_one_clear_line() {
    let folder = TempDir::new().unwrap();
    // A file that even root may not write, as those of another user are for everybody else.
    std::os::unix::fs::symlink("/sys/kernel/uevent_seqnum", folder.path().join("cosell.db")).unwrap();
    let data = folder.path().display().to_string();
    for refused in [
        backup(folder.path(), &folder.path().join("x.backup")),
        run(&["migrate", "--check", "--data", &data]),
        run(&["copy", "--from", &data, "--to", &format!("{data}/new")]),
    ] {
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{refused:?}");
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
        let words = ["cannot write ", "Run it as the user whom the data belong to\n"];
        assert!(words.iter().all(|words| refused.stderr.contains(words)), "{refused:?}");
    }
    assert_eq!(names(folder.path()), ["cosell.db"], "nothing was made");
}

#[test]
fn a_restore_that_was_cut_off_is_done_again() {
    let (folder, file) = backed_up();
    let data = folder.path().join("new");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("cosell.db.restoring"), "a beginning, longer than the rest".repeat(100_000))
        .unwrap();
    digest(&restore(&file, &data));
    assert_eq!(names(&data), ["cosell.db", "lock"]);
}

//! Backups: one file that holds everything, made beside a running server, and put back into an empty directory.
//!
//! A backup is a SQLite database with the same tables and one more, `backup`, which holds the digest of every record
//! in it: what a bad disk changed later is found when it is restored. It is read from one snapshot, page by page, so
//! writes go on; only the write-ahead log grows meanwhile, because it cannot restart.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OptionalExtension, params};

use super::files::{self, Files};
use super::{engine_error, schema, transfer};
use crate::transfer::hex;
use crate::{Digest, StoreError, Sum, Table, digest_of_all};

/// Pages that are copied between two looks at the progress.
const STEP_PAGES: i32 = 1024;
/// Bytes that are copied between two looks at the progress.
const STEP_BYTES: usize = 4 * 1024 * 1024;
/// How long to wait for a lock that a server holds for moments.
const BUSY: Duration = Duration::from_secs(5);
/// Between two tries to read a page that is locked.
const PAUSE: Duration = Duration::from_millis(10);
/// How the digest is made. Another program may do it otherwise: then it says so, and only the rest is checked.
const FORMAT: i64 = 1;

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupReport {
    /// How long the file is.
    pub bytes: u64,
    /// How many referrals are in it.
    pub referrals: u64,
    /// What all its records come to.
    pub digest: Digest,
}

/// What a backup or a restore is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Bytes are copied.
    Copying,
    /// Records are read again.
    Checking,
}

/// Hears what is done, how much of it, and of how much.
pub type Progress<'p> = &'p mut dyn FnMut(Stage, u64, u64);

/// Writes everything of a data directory into a new file, which has its name only when it is whole, checked and on the
/// disk. A server may be running on the directory; no bulk load may. Blocks.
///
/// # Errors
/// `Engine` when there are no data, the file is there already, the schema is not this program's, or something cannot be
/// read or written; nothing has the file's name then. `TooNew` as of opening.
pub fn back_up(directory: &Path, to: &Path, progress: Progress<'_>) -> Result<BackupReport, StoreError> {
    let source = Files::new(directory, None, BUSY);
    let database = source.database();
    if !database.is_file() {
        return Err(failed(format!(
            "{} holds no data: there is no {}",
            directory.display(),
            database.display()
        )));
    }
    if source.loading().exists() {
        return Err(failed(format!("a bulk load is at work in {}, or was cut off", directory.display())));
    }
    refuse_existing(to)?;
    let part = PartialFile::begin(to)?;
    let copied = copy_pages(&source, &part, progress).and_then(|()| {
        let connection = part.files.connect(&part.path)?;
        // One file, which can be looked at without making others beside it.
        connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).map_err(engine_error)?;
        let digest = digest(&connection, progress)?;
        seal(&connection, &digest).map_err(engine_error)?;
        check_structure(&connection)?;
        check_agreement(&connection)?;
        let referrals = count(&connection)?;
        close(connection)?;
        Ok((referrals, digest))
    });
    let finished = copied.and_then(|(referrals, digest)| {
        let bytes = part.sync()?;
        part.put_in_place(to)?;
        Ok(BackupReport { bytes, referrals, digest })
    });
    if finished.is_err() {
        part.remove();
    }
    finished
}

/// Puts a backup into a directory that is empty or missing, and there only when it is whole, checked and on the disk.
/// Blocks.
///
/// # Errors
/// `InUse` when a server has the directory; `Engine` when it is not empty, when the file is no backup or is damaged, or
/// when something cannot be read or written; `TooNew` when a newer program made it. The directory holds no data then.
pub fn restore(from: &Path, directory: &Path, progress: Progress<'_>) -> Result<BackupReport, StoreError> {
    refuse_live(from)?;
    // Before the directory is made: a name that was mistyped leaves nothing behind.
    let backup = Input::open(from)?;
    let target = Files::new(directory, None, BUSY);
    let _lock = target.take()?;
    let restoring = target.restoring();
    refuse_full(directory, &restoring)?;
    let _ = std::fs::remove_file(&restoring);
    let restored = backup.copy(&restoring, progress).and_then(|()| take_over(&target, &restoring, progress));
    let finished = restored.and_then(|report| {
        std::fs::rename(&restoring, target.database())
            .and_then(|()| target.sync_directory())
            .map_err(|error| failed(format!("cannot put the data into {}: {error}", directory.display())))?;
        Ok(report)
    });
    if finished.is_err() {
        let _ = std::fs::remove_file(&restoring);
    }
    finished
}

fn failed(what: impl Into<String>) -> StoreError {
    StoreError::Engine(what.into())
}

/// A temporary file, locked by its writer, that will be renamed into place.
struct PartialFile {
    files: Files,
    path: PathBuf,
    file: File,
}

impl PartialFile {
    fn begin(to: &Path) -> Result<PartialFile, StoreError> {
        let mut name =
            to.file_name().ok_or_else(|| failed(format!("{} is no file", to.display())))?.to_owned();
        name.push(".part");
        let path = to.with_file_name(name);
        let cannot = |error: io::Error| failed(format!("cannot write {}: {error}", path.display()));
        let file = files::own_file(&path).map_err(cannot)?;
        if file.try_lock().is_err() {
            return Err(failed(format!("{} is being written by another process", path.display())));
        }
        // What another left that did not come to its end.
        file.set_len(0).map_err(cannot)?;
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .map_err(cannot)?;
        let folder = to.parent().unwrap_or(Path::new(""));
        Ok(PartialFile { files: Files::new(folder, None, BUSY), path, file })
    }

    /// Its length, once all of it is on the disk.
    fn sync(&self) -> Result<u64, StoreError> {
        self.file
            .sync_all()
            .and_then(|()| self.file.metadata())
            .map(|about| about.len())
            .map_err(|error| failed(format!("cannot sync {}: {error}", self.path.display())))
    }

    /// Gives it its name, unless something else has it.
    fn put_in_place(&self, to: &Path) -> Result<(), StoreError> {
        let linked = match std::fs::hard_link(&self.path, to) {
            Ok(()) => std::fs::remove_file(&self.path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // A file system without hard links.
            Err(_) => refuse_existing(to)
                .map_err(|error| io::Error::other(error.to_string()))
                .and_then(|()| std::fs::rename(&self.path, to)),
        };
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        linked
            .and_then(|()| files::sync_directory(folder))
            .map_err(|error| failed(format!("cannot put {} in place: {error}", to.display())))
    }

    fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn refuse_existing(to: &Path) -> Result<(), StoreError> {
    match to.symlink_metadata() {
        Ok(_) => Err(failed(format!("{} is there already; a backup overwrites nothing", to.display()))),
        Err(_) => Ok(()),
    }
}

/// A database that a server writes is not all in its file.
fn refuse_live(from: &Path) -> Result<(), StoreError> {
    let mut log = from.as_os_str().to_owned();
    log.push("-wal");
    match std::fs::metadata(&log) {
        Ok(log) if log.len() > 0 => Err(failed(format!(
            "{} is no backup but a database in use: make one of it with cosell backup",
            from.display()
        ))),
        _ => Ok(()),
    }
}

/// Nothing may be there but the lock and what a restore left that was cut off.
fn refuse_full(directory: &Path, restoring: &Path) -> Result<(), StoreError> {
    let cannot = |error: io::Error| failed(format!("cannot read {}: {error}", directory.display()));
    for entry in std::fs::read_dir(directory).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        if entry.file_name() != "lock" && entry.path() != restoring {
            return Err(failed(format!(
                "{} is not empty: there is {}. Restore into a new directory",
                directory.display(),
                entry.file_name().display()
            )));
        }
    }
    Ok(())
}

/// Copies the database as of one moment.
fn copy_pages(source: &Files, part: &PartialFile, progress: Progress<'_>) -> Result<(), StoreError> {
    let from = source.connect_beside()?;
    schema::check_current(&from)?;
    let mut to = part.files.connect(&part.path)?;
    to.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF").map_err(engine_error)?;
    let copied = (|| {
        let page: u64 = from.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        // A moment is held by a transaction that has read; without it, every write of the server would have the
        // copying begin anew.
        from.execute_batch("BEGIN")?;
        let _: i64 = from.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let backup = Backup::new(&from, &mut to)?;
        loop {
            let step = backup.step(STEP_PAGES)?;
            let now = backup.progress();
            let pages = u64::try_from(now.pagecount).unwrap_or(0);
            let left = u64::try_from(now.remaining).unwrap_or(0);
            progress(Stage::Copying, pages.saturating_sub(left) * page, pages * page);
            match step {
                StepResult::Done => return Ok(()),
                StepResult::Busy | StepResult::Locked => std::thread::sleep(PAUSE),
                _ => {}
            }
        }
    })();
    copied.map_err(|error: rusqlite::Error| failed(format!("the copying failed: {error}")))?;
    let _ = from.execute_batch("COMMIT");
    close(to)
}

/// Sums every record up.
fn digest(connection: &Connection, progress: Progress<'_>) -> Result<Digest, StoreError> {
    let of = count(connection)?;
    let mut tables = Vec::with_capacity(Table::ALL.len());
    let mut done = 0;
    for table in Table::ALL {
        let mut sum = Sum::default();
        let mut take = |record| {
            sum.take(&record);
            done += 1;
            if table == Table::Referrals && done % 1000 == 0 {
                progress(Stage::Checking, done, of);
            }
            true
        };
        transfer::visit(connection, table, None, &mut take)
            .map_err(|error| failed(format!("the {} cannot be read: {error}", table.as_str())))?;
        tables.push(sum.end());
    }
    Ok(digest_of_all(&tables))
}

/// Writes the digest into the file it is of.
fn seal(connection: &Connection, digest: &Digest) -> rusqlite::Result<()> {
    connection.execute_batch(
        "BEGIN IMMEDIATE;
         DROP TABLE IF EXISTS backup;
         CREATE TABLE backup (
           one INTEGER PRIMARY KEY,
           format INTEGER NOT NULL,
           records INTEGER NOT NULL,
           digest BLOB NOT NULL
         ) STRICT",
    )?;
    connection.execute(
        "INSERT INTO backup (one, format, records, digest) VALUES (1, ?1, ?2, ?3)",
        params![FORMAT, digest.records, digest.sha256],
    )?;
    connection.execute_batch("COMMIT")
}

/// The format and the digest that a file holds of itself.
fn sealed(connection: &Connection) -> Result<(i64, Digest), StoreError> {
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'backup' AND type = 'table'";
    if connection.query_row(tables, [], |row| row.get(0)) == Ok(0) {
        return Err(failed("cosell backup did not make it"));
    }
    let found = connection
        .query_row("SELECT format, records, digest FROM backup WHERE one = 1", [], |row| {
            Ok((row.get(0)?, Digest { records: row.get(1)?, sha256: super::rows::digest(row, 2)? }))
        })
        .optional();
    match found {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(failed("it does not say what it holds")),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Checks a copied backup, and makes it the database it was made of.
fn take_over(target: &Files, restoring: &Path, progress: Progress<'_>) -> Result<BackupReport, StoreError> {
    let mut connection = target.connect(restoring)?;
    let damaged = |what: StoreError| match what {
        StoreError::TooNew { .. } => what,
        what => failed(format!("this is no whole backup of Cosell: {what}")),
    };
    check_structure(&connection).map_err(damaged)?;
    let (format, expected) = sealed(&connection).map_err(damaged)?;
    schema::migrate(&mut connection, schema::MIGRATIONS)?;
    let digest = digest(&connection, progress).map_err(damaged)?;
    if format == FORMAT && digest != expected {
        let what = format!(
            "its {} records come to {}, and it was made of {} that come to {}",
            digest.records,
            hex(&digest.sha256),
            expected.records,
            hex(&expected.sha256)
        );
        return Err(damaged(failed(what)));
    }
    check_agreement(&connection).map_err(damaged)?;
    connection.execute_batch("DROP TABLE backup").map_err(engine_error)?;
    let referrals = count(&connection)?;
    close(connection)?;
    let bytes = File::open(restoring)
        .and_then(|file| file.sync_all().and_then(|()| file.metadata()))
        .map(|about| about.len())
        .map_err(|error| failed(format!("cannot sync {}: {error}", restoring.display())))?;
    Ok(BackupReport { bytes, referrals, digest })
}

fn count(connection: &Connection) -> Result<u64, StoreError> {
    connection.query_row("SELECT count(*) FROM referral", [], |row| row.get(0)).map_err(engine_error)
}

fn close(connection: Connection) -> Result<(), StoreError> {
    connection.close().map_err(|(_, error)| engine_error(error))
}

/// Whether every page is what it should be, and every index has what its table has.
fn check_structure(connection: &Connection) -> Result<(), StoreError> {
    let found: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| failed(error.to_string()))?;
    if found == "ok" { Ok(()) } else { Err(failed(found.lines().collect::<Vec<_>>().join("; "))) }
}

/// What must hold between tables: what is said when it does not, and a statement that finds a key of it. Both sides are
/// laid together and sorted, on the disk where they are many; a join without an index would take their product.
const AGREEMENT: [(&str, &str); 3] = [
    (
        "the news of a referral's version is not in the log, or the version of the news is not there",
        "SELECT hex(id)
         FROM (
           SELECT id, version FROM referral
           UNION ALL
           SELECT referral, -max(version) FROM change_log GROUP BY referral
         )
         GROUP BY id
         HAVING count(*) <> 2 OR sum(version) <> 0
         LIMIT 1",
    ),
    (
        "positions of the log have gaps",
        "SELECT hex(organization)
         FROM change_log
         GROUP BY organization
         HAVING min(position) <> 1 OR max(position) <> count(*)
         LIMIT 1",
    ),
    (
        "the kept counts are not those of the referrals",
        "SELECT hex(owner)
         FROM (
           SELECT owner, n FROM tally
           UNION ALL
           SELECT owner, -count(*) FROM referral GROUP BY owner
         )
         GROUP BY owner
         HAVING sum(n) <> 0
         LIMIT 1",
    ),
];

/// Whether log and state agree.
fn check_agreement(connection: &Connection) -> Result<(), StoreError> {
    for (what, sql) in AGREEMENT {
        let found: Option<String> =
            connection.query_row(sql, [], |row| row.get(0)).optional().map_err(engine_error)?;
        if let Some(key) = found {
            return Err(failed(format!("{what}: {key}")));
        }
    }
    Ok(())
}

/// A file that is no database in use.
struct Input<'p> {
    path: &'p Path,
    file: File,
    length: u64,
}

impl Input<'_> {
    fn open(path: &Path) -> Result<Input<'_>, StoreError> {
        let cannot = |error: io::Error| failed(format!("cannot read {}: {error}", path.display()));
        let file = File::open(path).map_err(cannot)?;
        let about = file.metadata().map_err(cannot)?;
        if about.is_dir() {
            return Err(cannot(io::ErrorKind::IsADirectory.into()));
        }
        Ok(Input { path, file, length: about.len() })
    }

    fn copy(mut self, to: &Path, progress: Progress<'_>) -> Result<(), StoreError> {
        let cannot_write = |error: io::Error| failed(format!("cannot write {}: {error}", to.display()));
        let mut output = files::own_file(to).map_err(cannot_write)?;
        let mut buffer = vec![0; STEP_BYTES];
        let mut done = 0;
        loop {
            let read = match self.file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(format!("cannot read {}: {error}", self.path.display()))),
            };
            output.write_all(buffer.get(..read).unwrap_or_default()).map_err(cannot_write)?;
            done += read as u64;
            progress(Stage::Copying, done, self.length);
        }
    }
}

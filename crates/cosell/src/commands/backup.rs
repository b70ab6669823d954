//! `cosell backup`: everything of a data directory in one file.

use std::path::{Path, PathBuf};

use store::sqlite;

use super::progress::Bar;
use crate::clock::SystemClock;
use crate::config::DatabaseLocation;
use crate::failure::Failure;
use crate::options::{BackupOptions, DatabaseOptions};
use crate::terminal;
use exchange::Clock;

/// Writes the backup.
///
/// # Errors
/// `Usage` without a directory; `Failed` when there are no data, the file is there, or something cannot be read, written
/// or verified.
pub fn run(options: BackupOptions) -> Result<(), Failure> {
    let location = DatabaseOptions { data: options.data, config: options.config, database: None };
    let directory = match super::location(&location)? {
        DatabaseLocation::Directory(directory, _) => directory,
        DatabaseLocation::Database(..) => {
            return Err(Failure::usage(
                "a PostgreSQL database is backed up with its own tools (pg_dump, pg_basebackup): see docs/operations.md",
            ));
        }
    };
    super::check_permission(&directory)?;
    let file = file(&options.to);
    let mut bar = Bar::new();
    let outcome = sqlite::back_up(&directory, &file, &mut |stage, done, of| bar.show(stage, done, of));
    bar.end();
    let report = outcome?;
    terminal::print_line(&format!(
        "{} holds {} referrals in {} bytes; verified\ndigest {} of {} records",
        file.display(),
        report.referrals,
        report.bytes,
        report.digest,
        report.digest.records
    ));
    Ok(())
}

/// The file that is meant: in a folder, one named by the time.
fn file(to: &Path) -> PathBuf {
    if !to.is_dir() {
        return to.to_owned();
    }
    let now = SystemClock.now().to_string();
    let digits = now.split('.').next().unwrap_or_default().replace(['-', ':'], "");
    to.join(format!("cosell-{}.backup", digits.trim_end_matches('Z')))
}

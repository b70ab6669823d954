//! `cosell restore`: a backup becomes a data directory.

use store::sqlite;

use super::progress::Bar;
use crate::failure::Failure;
use crate::options::RestoreOptions;
use crate::terminal;

/// Restores.
///
/// # Errors
/// `Failed` when the directory is in use or not empty, and when the file is no whole backup; the directory holds no data
/// then.
pub fn run(options: RestoreOptions) -> Result<(), Failure> {
    let mut bar = Bar::new();
    let outcome =
        sqlite::restore(&options.from, &options.data, &mut |stage, done, of| bar.show(stage, done, of));
    bar.end();
    let report = outcome?;
    terminal::print_line(&format!(
        "{} holds {} referrals now; verified\ndigest {} of {} records",
        options.data.display(),
        report.referrals,
        report.digest,
        report.digest.records
    ));
    Ok(())
}

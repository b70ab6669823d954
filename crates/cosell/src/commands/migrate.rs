//! `cosell migrate`: the schema of the data becomes this program's.

use store::SchemaVersion;
use store::sqlite::SqliteStore;

use crate::config::DatabaseLocation;
use crate::failure::Failure;
use crate::options::MigrateOptions;
use crate::{serving, terminal};

/// Migrates, or only tells whether there is something to do.
///
/// # Errors
/// `Failed` when it cannot be done; with `--check` when it is to be done.
pub fn run(options: MigrateOptions) -> Result<(), Failure> {
    let location = super::location(&options.place)?;
    serving::run(async {
        let before = version(&location).await?;
        let SchemaVersion { found, known } = before;
        if found == known {
            terminal::print_line(&format!("the schema is of version {known}: nothing to do"));
            return Ok(());
        }
        if options.check {
            return Err(Failure::failed(match found < known {
                true => {
                    format!("the schema is of version {found}, this program's is {known}: run cosell migrate")
                }
                false => {
                    format!("the schema is of version {found}, newer than this program's, which is {known}")
                }
            }));
        }
        // Opening does it, whoever opens.
        super::open_for_transfer(&location).await?.close().await;
        terminal::print_line(&format!("the schema was of version {found} and is of version {known} now"));
        Ok(())
    })
}

/// Of what version the data are. A directory must have some.
///
/// # Errors
/// `Failed` when that cannot be read, or there are none.
pub async fn version(location: &DatabaseLocation) -> Result<SchemaVersion, Failure> {
    match location {
        DatabaseLocation::Directory(directory, _) => {
            super::check_permission(directory)?;
            let version = SqliteStore::schema_version(directory)?;
            match version.found {
                0 => Err(Failure::failed(format!("{} holds no data", directory.display()))),
                _ => Ok(version),
            }
        }
        DatabaseLocation::Database(address, options) => {
            Ok(store::postgres::schema_version(address, (**options).clone()).await?)
        }
    }
}

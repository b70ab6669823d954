//! The commands, one file each.

pub mod backup;
pub mod copy;
pub mod explain;
pub mod health;
pub mod init;
pub mod load;
pub mod migrate;
mod progress;
pub mod restore;
pub mod sandbox;
pub mod serve;
pub mod token;

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use store::postgres::PostgresStore;
use store::sqlite::{SqliteOptions, SqliteStore};
use store::{Store, Transfer, UNFINISHED_COPY};

use crate::config::{Config, DatabaseLocation, public_url};
use crate::failure::Failure;
use crate::options::DatabaseOptions;

/// The environment, as far as it is text.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Where the data are: on the command line, or in the settings.
fn location(options: &DatabaseOptions) -> Result<DatabaseLocation, Failure> {
    let mut config = Config::load(options.config.as_deref(), environment())?;
    if options.data.is_some() || options.database.is_some() {
        config.store.directory.clone_from(&options.data);
        config.store.database.clone_from(&options.database);
    }
    config.store.location()
}

/// The base of a running server, as `--server` names it.
fn server_url(text: &str) -> Result<String, Failure> {
    public_url(text)
        .map_err(|_| Failure::usage(format!("--server {text} must be http:// or https:// and a host")))
}

/// That this user may work on a data directory: SQLite writes beside the database even where it only reads.
fn check_permission(directory: &Path) -> Result<(), Failure> {
    let file = directory.join("cosell.db");
    match OpenOptions::new().read(true).write(true).open(&file) {
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            Err(Failure::failed(format!(
                "cannot write {}: {error}. Run it as the user whom the data belong to",
                file.display()
            )))
        }
        _ => Ok(()),
    }
}

/// Opens the store of a place.
async fn open(location: DatabaseLocation) -> Result<Arc<dyn Store>, Failure> {
    Ok(open_and_check(&location).await?)
}

/// Opens the store of a place, unless it is the beginning of a copy.
async fn open_and_check(location: &DatabaseLocation) -> Result<Arc<dyn Transfer>, Failure> {
    let store = open_for_transfer(location).await?;
    match check_complete(store.as_ref()).await {
        Ok(()) => Ok(store),
        Err(failure) => {
            store.close().await;
            Err(failure)
        }
    }
}

/// Opens the store of a place, whatever it holds.
async fn open_for_transfer(location: &DatabaseLocation) -> Result<Arc<dyn Transfer>, Failure> {
    match location {
        DatabaseLocation::Directory(directory, options) => {
            Ok(open_directory(directory, options.clone()).await?)
        }
        DatabaseLocation::Database(address, options) => {
            Ok(Arc::new(PostgresStore::open(address, (**options).clone()).await?))
        }
    }
}

async fn check_complete(store: &dyn Store) -> Result<(), Failure> {
    match store.setting(UNFINISHED_COPY).await? {
        None => Ok(()),
        Some(_) => Err(Failure::failed(
            "a copy into this store has not come to its end: run cosell copy again as before",
        )),
    }
}

/// Opens the store of a data directory, unless it is the beginning of a copy.
async fn open_store(directory: &Path, options: SqliteOptions) -> Result<Arc<SqliteStore>, Failure> {
    let store = open_directory(directory, options).await?;
    check_complete(store.as_ref()).await?;
    Ok(store)
}

/// Opens the store of a data directory, off the runtime's threads.
async fn open_directory(directory: &Path, options: SqliteOptions) -> Result<Arc<SqliteStore>, Failure> {
    let directory = directory.to_owned();
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&directory, options)).await;
    match opened {
        Ok(store) => Ok(Arc::new(store?)),
        Err(error) => Err(Failure::failed(format!("the store could not be opened: {error}"))),
    }
}

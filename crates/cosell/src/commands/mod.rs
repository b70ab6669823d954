//! The commands, one file each.

pub mod explain;
pub mod init;
pub mod load;
pub mod sandbox;
pub mod serve;
pub mod token;

use std::path::Path;
use std::sync::Arc;

use store::Store;
use store::postgres::PostgresStore;
use store::sqlite::{SqliteOptions, SqliteStore};

use crate::config::Place;
use crate::failure::Failure;

/// The environment, as far as it is text.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Opens the store of a place.
async fn open(place: Place) -> Result<Arc<dyn Store>, Failure> {
    match place {
        Place::Directory(directory, options) => Ok(open_store(&directory, options).await?),
        Place::Database(address, options) => Ok(Arc::new(PostgresStore::open(&address, *options).await?)),
    }
}

/// Opens the store of a data directory, off the runtime's threads.
async fn open_store(directory: &Path, options: SqliteOptions) -> Result<Arc<SqliteStore>, Failure> {
    let directory = directory.to_owned();
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&directory, options)).await;
    match opened {
        Ok(store) => Ok(Arc::new(store?)),
        Err(error) => Err(Failure::failed(format!("the store could not be opened: {error}"))),
    }
}

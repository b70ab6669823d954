//! The commands, one file each.

pub mod explain;
pub mod init;
pub mod load;
pub mod sandbox;
pub mod serve;
pub mod token;

use std::path::Path;
use std::sync::Arc;

use store::sqlite::{SqliteOptions, SqliteStore};

use crate::failure::Failure;

/// Opens the store of a data directory, off the runtime's threads.
async fn open_store(directory: &Path, options: SqliteOptions) -> Result<Arc<SqliteStore>, Failure> {
    let directory = directory.to_owned();
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&directory, options)).await;
    match opened {
        Ok(store) => Ok(Arc::new(store?)),
        Err(error) => Err(Failure::failed(format!("the store could not be opened: {error}"))),
    }
}

//! What the benchmark programs share: the dataset, the SQLite tables of the limits, HTTP connections, the command line,
//! the summary of measured times.

pub mod arguments;
pub mod dataset;
pub mod http;
pub mod lists;
pub mod prose;
pub mod rows;
pub mod table;
pub mod timing;

/// How the programs fail: with a line for a person.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

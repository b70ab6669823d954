//! The targets as functions of any bytes. Each file of `fuzz_targets/` calls one of them, and so do the ordinary tests:
//! `crates/cosell/tests/fuzzing.rs`.

mod batch;
mod filter;
mod list;
mod resource;
mod token;
mod world;

pub use batch::batch;
pub use filter::filter;
pub use list::list;
pub use resource::{body, patch, path};
pub use token::token;

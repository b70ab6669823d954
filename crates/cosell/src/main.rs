//! The program: commands, configuration, and the one place that picks concrete parts.
//!
//! Only here are the environment, the clock and the source of chance read; every other room gets them as arguments.

mod clock;
mod commands;
mod config;
mod failure;
mod generate;
mod jobs;
mod logging;
mod options;
mod process;
mod random;
mod resources;
mod seed;
mod serving;
mod signals;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use crate::options::{Command, Options};

/// A write makes and frees some hundred small values; see docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match Options::parse().command {
        Command::Sandbox(options) => commands::sandbox::run(options),
        Command::Serve(options) => commands::serve::run(options),
        Command::Init(options) => commands::init::run(options),
        Command::Token(options) => commands::token::run(options),
        Command::Load(options) => commands::load::run(options),
        Command::Explain(options) => commands::explain::run(options),
        Command::Backup(options) => commands::backup::run(options),
        Command::Restore(options) => commands::restore::run(options),
        Command::Copy(options) => commands::copy::run(options),
        Command::Migrate(options) => commands::migrate::run(options),
        Command::Health(options) => commands::health::run(options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::print_error(&failure.to_string());
            failure.exit_code()
        }
    }
}

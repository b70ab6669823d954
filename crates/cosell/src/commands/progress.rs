//! How far a command is, for who watches.

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use store::sqlite::Stage;

use crate::terminal;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things.
    Each,
}

/// A bar of this length; it shows itself on a terminal alone.
pub fn bar(length: u64, unit: Unit) -> ProgressBar {
    if !terminal::is_interactive() {
        return ProgressBar::hidden();
    }
    let template = match unit {
        Unit::Bytes => "{msg}{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        Unit::Each => "{msg}{bar:40} {human_pos} of {human_len}, {rate}, {eta} left",
    };
    let bar = ProgressBar::new(length);
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{:.0} a second", state.per_sec());
    }));
    bar
}

/// The bar of a backup or a restore: one for each stage.
pub struct Bar {
    stage: Option<Stage>,
    bar: ProgressBar,
}

impl Bar {
    /// Nothing yet.
    pub fn new() -> Bar {
        Bar { stage: None, bar: ProgressBar::hidden() }
    }

    /// So much of it is done.
    pub fn show(&mut self, stage: Stage, done: u64, of: u64) {
        if self.stage != Some(stage) {
            self.bar.finish_and_clear();
            self.stage = Some(stage);
            let (words, unit) = match stage {
                Stage::Copying => ("copying  ", Unit::Bytes),
                Stage::Checking => ("checking ", Unit::Each),
            };
            self.bar = bar(of, unit);
            self.bar.set_message(words);
        }
        self.bar.set_length(of);
        self.bar.set_position(done);
    }

    /// It is over.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

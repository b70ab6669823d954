//! Logs: to standard error, as text or as JSON lines.

use std::fmt::{self, Debug, Write};

use clap::ValueEnum;
use serde::Deserialize;
use tracing::Dispatch;
use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::terminal;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing.
    Off,
    /// What a person must look at.
    Error,
    /// What may need a look.
    Warn,
    /// What happens.
    Info,
    /// What happens inside.
    Debug,
    /// Everything.
    Trace,
}

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people; with colours where a terminal shows them.
    Text,
    /// One JSON object a line.
    Json,
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> LevelFilter {
        match level {
            Level::Off => LevelFilter::OFF,
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        }
    }
}

/// Sends everything that is logged from now on to standard error. Called once.
pub fn begin(level: Level, format: Format) {
    let log = log(level, format, terminal::supports_colours(), std::io::stderr);
    // Fails only when a log was begun before, which then goes on.
    let _ = tracing::dispatcher::set_global_default(log);
}

/// A log. As text it is the messages alone, which say everything; as JSON the fields stand beside them.
fn log<W>(level: Level, format: Format, colours: bool, writer: W) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let log = tracing_subscriber::fmt().with_max_level(LevelFilter::from(level)).with_writer(writer);
    match format {
        Format::Text => {
            log.with_target(false).with_ansi(colours).fmt_fields(debug_fn(write_message_only)).finish().into()
        }
        Format::Json => {
            log.with_ansi(false).json().flatten_event(true).with_current_span(false).finish().into()
        }
    }
}

fn write_message_only(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    if field.name() == "message" { write!(SingleLineWriter(writer), "{value:?}") } else { Ok(()) }
}

/// Writes control characters escaped: a message may quote what strangers sent, and must not steer a terminal.
struct SingleLineWriter<'a, 'w>(&'a mut Writer<'w>);

impl Write for SingleLineWriter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c.is_control() {
            true => write!(self.0, "{}", c.escape_default()),
            false => self.0.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: Format, colours: bool) -> String {
        let page = Page::default();
        let writer = page.clone();
        let log = log(Level::Info, format, colours, move || writer.clone());
        tracing::dispatcher::with_default(&log, || {
            tracing::debug!("not told");
            tracing::warn!(issuer = "entra", "Keys of entra: \u{1b}[31m\nno");
        });
        let bytes = page.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_is_the_message_on_one_line_and_steers_no_terminal() {
        let line = written(Format::Text, false);
        assert!(line.ends_with("  WARN Keys of entra: \\u{1b}[31m\\nno\n"), "{line}");
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn a_terminal_gets_colours() {
        let line = written(Format::Text, true);
        assert!(line.contains("\u{1b}[") && line.ends_with("Keys of entra: \\u{1b}[31m\\nno\n"), "{line}");
    }

    #[test]
    fn json_has_the_fields_as_well() {
        let line: serde_json::Value = serde_json::from_str(&written(Format::Json, true)).unwrap();
        assert_eq!((&line["level"], &line["issuer"]), (&"WARN".into(), &"entra".into()));
        assert_eq!(line["message"], "Keys of entra: \u{1b}[31m\nno");
    }
}

//! The two streams a person sees: answers on standard output, everything else on standard error.

use std::io::{IsTerminal, Write};

/// Prints an answer and flushes it. Whoever reads may have gone; that is no failure of ours.
pub fn print_line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

/// Prints one line of complaint or warning.
pub fn print_error(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "cosell: {text}").and_then(|()| err.flush());
}

/// Whether somebody watches standard error.
pub fn is_interactive() -> bool {
    std::io::stderr().is_terminal()
}

/// Whether text for standard error may be coloured: somebody watches, and has not set `NO_COLOR` (no-color.org).
pub fn supports_colours() -> bool {
    is_interactive() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

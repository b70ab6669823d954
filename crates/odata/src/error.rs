//! Errors in the text of a query, with their position and what was expected there.

use std::fmt;

/// Why a text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseErrorKind {
    /// The text does not follow the grammar.
    Syntax,
    /// Invalid percent-encoding or UTF-8.
    Encoding,
    /// A function that OData does not have.
    UnknownFunction,
    /// A name with `$` that is not a system query option, or is not allowed here.
    UnknownOption,
    /// One option is given twice.
    Repeated,
    /// A limit of [`Limits`](crate::Limits) is exceeded.
    Limit,
    /// Part of the standard, but not supported by this library.
    Unsupported,
    /// A literal in the right form without a value: 31 February, or a number outside the range of all types.
    Value,
}

/// An error: position, kind, and what was expected. Displayed as `at 9: expected a value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Byte offset in the decoded text.
    pub at: usize,
    /// The kind of error.
    pub kind: ParseErrorKind,
    /// What was expected, or what is wrong; lower case, no full stop.
    pub message: String,
}

impl ParseError {
    pub(crate) fn new(at: usize, kind: ParseErrorKind, message: impl Into<String>) -> ParseError {
        ParseError { at, kind, message: message.into() }
    }

    pub(crate) fn expected(at: usize, what: impl fmt::Display) -> ParseError {
        ParseError::new(at, ParseErrorKind::Syntax, format!("expected {what}"))
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}: {}", self.at, self.message)
    }
}

impl std::error::Error for ParseError {}

/// An error in one option of a query string. Displayed as `$filter, at 9: expected a value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// The option as named in the grammar (`$filter`, `@p`), or as sent if the grammar has no such name.
    pub option: String,
    /// Byte offset of the error in the query string as sent, before decoding.
    pub raw_at: usize,
    /// The error, with its position in the decoded text of the option.
    pub error: ParseError,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.option, self.error)
    }
}

impl std::error::Error for QueryError {}

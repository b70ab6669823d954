//! What can be wrong with the text of a query: one error type, with the place and what was expected there.

use std::fmt;

/// Why a text was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseErrorKind {
    /// The text does not follow the grammar.
    Syntax,
    /// Percent-encoding or UTF-8 is broken.
    Encoding,
    /// A function is called that OData does not have.
    UnknownFunction,
    /// A name with `$` that is no system query option, or one that has no business here.
    UnknownOption,
    /// One option is given twice.
    Repeated,
    /// A bound of [`Limits`](crate::Limits) is passed.
    Limit,
    /// The standard has it, this library does not.
    Unsupported,
    /// A literal has the right form and stands for nothing: 31 February, a number beyond all types.
    Value,
}

/// A refusal: where, why, and what was expected there. Reads `at 9: expected a value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Byte offset in the decoded text.
    pub at: usize,
    /// What sort of refusal it is.
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

/// A refusal of one option of a query string. Reads `$filter, at 9: expected a value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// The option as named in the grammar (`$filter`, `@p`), or as sent where it has no such name.
    pub option: String,
    /// Byte offset of the fault in the query string as sent, before decoding.
    pub raw_at: usize,
    /// The fault, with its place in the option's decoded text.
    pub error: ParseError,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.option, self.error)
    }
}

impl std::error::Error for QueryError {}

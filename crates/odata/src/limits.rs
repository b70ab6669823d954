//! What one query may cost at most. Every limit has a name, a default with its reason, and an error that says it.

/// Longest text of one option after decoding, in bytes. A thousand quoted GUIDs in an `in` list are 39,000.
pub const OPTION_LENGTH: usize = 65_536;

/// Deepest nesting of an expression, of nested options and of a JSON literal. The parser, the binder and the
/// evaluator recurse this deep and no deeper.
pub const DEPTH: usize = 64;

/// Most nodes (operators, literals, path segments, items) of all options of one query together.
pub const NODES: usize = 10_000;

/// Most members of one list: `in (…)`, arrays, objects, `$select`, `$orderby` and the like.
pub const LIST: usize = 1_000;

/// Most options in one query string.
pub const OPTIONS: usize = 100;

/// Most types that the steps of one `$apply` may make: each grouping, aggregation or computation makes one, which
/// repeats what it keeps of the one before.
pub const DERIVED_TYPES: usize = 100;

/// Longest identifier in characters. Source: ABNF `odataIdentifier`.
pub const IDENTIFIER: usize = 128;

/// The bounds of one parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// See [`OPTION_LENGTH`].
    pub option_length: usize,
    /// See [`DEPTH`].
    pub depth: usize,
    /// See [`NODES`].
    pub nodes: usize,
    /// See [`LIST`].
    pub list: usize,
    /// See [`OPTIONS`].
    pub options: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { option_length: OPTION_LENGTH, depth: DEPTH, nodes: NODES, list: LIST, options: OPTIONS }
    }
}

//! Limits of one query. Each has a name, a default with its reason, and an error that states it.

/// Maximum length of the text of one option after decoding, in bytes. A thousand quoted GUIDs in an `in` list take
/// 39,000.
pub const OPTION_LENGTH: usize = 65_536;

/// Maximum nesting of an expression, of nested options and of a JSON literal. Parser, binder and evaluator recurse up
/// to this depth.
pub const DEPTH: usize = 64;

/// Maximum number of nodes (operators, literals, path segments, items) of all options of one query together.
pub const NODES: usize = 10_000;

/// Maximum number of members of one list: `in (…)`, arrays, objects, `$select`, `$orderby` and the like.
pub const LIST: usize = 1_000;

/// Maximum number of options in one query string.
pub const OPTIONS: usize = 100;

/// Maximum number of types that one `$apply` may create. Each grouping, aggregation or computation creates one, which
/// repeats the members that it keeps.
pub const DERIVED_TYPES: usize = 100;

/// Maximum length of an identifier, in characters. Source: ABNF `odataIdentifier`.
pub const IDENTIFIER: usize = 128;

/// The limits of parsing and binding.
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

//! OData query options: text to tree to typed tree, with positions and limits.
//!
//! Four steps with separate errors: the query string is split and decoded ([`QueryOptions::parse`]), each option
//! parsed into a tree of names ([`Expr`] and its fellows), the tree bound against a schema, and the bound tree
//! evaluated over a document or handed to whoever writes SQL. This room knows no resource: the schema is a value
//! passed in.
//!
//! The grammar is the ABNF of OData 4.01 (OASIS), `tests/vectors/odata-abnf/odata-abnf-construction-rules.txt`;
//! every function of the parser names the production it reads. What is read goes further than what is bound:
//! the whole grammar of query options is understood, so that an option the service does not have is told from one
//! that is misspelled.
//!
//! Everything is bounded ([`Limits`]), nothing recurses deeper than [`limits::DEPTH`], and no text makes it panic.

mod ast;
mod bind;
mod context;
mod error;
mod eval;
mod function;
mod headers;
pub mod limits;
mod literal;
mod parse;
mod pipeline;
mod primitive;
mod print;
mod print_options;
mod query;
mod resource;
mod schema;
mod source;
mod suggestion;
pub mod tokenizer;
mod typed;
mod typed_options;
mod value;
mod walk;

pub use ast::{
    Argument, Arithmetic, Comparison, Compute, ExpandItem, Expr, ExprKind, ItemSegment, ItemSegmentKind,
    Lambda, OrderBy, Path, Position, Root, Search, SearchKind, Segment, SegmentKind, SelectItem, TypeName,
};
pub use bind::{BindSettings, Binder};
pub use context::{Context, ContextItem, ContextSegment};
pub use error::{ParseError, ParseErrorKind, QueryError};
pub use eval::{EvalError, Evaluator, Pattern, PatternError, SearchMatcher, SumAccumulator, Work};
pub use function::Function;
pub use headers::{AnnotationPattern, Header, ODataVersion, OmitValues, Preference, Return};
pub use limits::Limits;
pub use literal::{EnumLiteral, EnumMember, GeoLiteral, Literal, Number};
pub use pipeline::{Aggregate, Grouping, Method, RankMethod, Transformation, TransformationKind};
pub use primitive::{DAY, Date, DateTimeOffset, Duration, Guid, Primitive, SECOND, TimeOfDay};
pub use query::{Levels, ParseSettings, QueryOptions, SystemOption};
pub use resource::{Resource, ResourcePath, ResourceSegment, ResourceSegmentKind, ResourceUri};
pub use schema::{EnumType, Property, Schema, Structured, Type};
pub use suggestion::nearest_name;
pub use typed::{BindError, BindErrorKind, Collection, PathBase, Predicate, Typed, TypedKind, TypedPath};
pub use typed_options::{
    ExpandKind, TypedAggregate, TypedApply, TypedCompute, TypedExpand, TypedOptions, TypedOrder, TypedSelect,
    TypedTransformation,
};
pub use value::{Value, fold};

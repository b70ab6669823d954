//! OData query options: from text to tree to typed tree, with positions and limits.
//!
//! There are four steps with separate errors: the query string is split and decoded ([`QueryOptions::parse`]), each
//! option is parsed into a tree of names ([`Expr`] and others), the tree is bound against a schema, and the typed tree
//! is evaluated over a document or translated to SQL. This crate knows no resource: the schema is an argument.
//!
//! The grammar is the ABNF of OData 4.01 (OASIS), `tests/vectors/odata-abnf/odata-abnf-construction-rules.txt`. Every
//! function of the parser names its production. More is parsed than can be bound: the whole grammar of query options,
//! so that an unsupported option is distinguished from a misspelled one.
//!
//! Everything is bounded ([`Limits`]), nothing recurses deeper than [`limits::DEPTH`], and no text causes a panic.

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
pub use eval::{EvalError, Evaluator, Groups, Pattern, PatternError, SearchMatcher, Work};
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

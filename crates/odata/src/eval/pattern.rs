//! Patterns of `matchesPattern`: the part of ECMAScript's syntax that needs no backtracking. `.` and classes match
//! characters; `\d`, `\w`, `\s` and `\b` are those of ASCII.
//!
//! A pattern is compiled to an automaton of bounded size, and a text is matched against all its states at once. Each
//! visited state is charged, so a match cannot exceed the budget, and can be interrupted like any other evaluation.

use std::fmt;
use std::sync::Arc;

use regex_automata::nfa::thompson::{BuildError, Compiler, Config, NFA, State, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_syntax::ast::{
    self, Ast, ClassAscii, ClassAsciiKind, ClassPerl, ClassPerlKind, ClassSet, ClassSetItem,
};
use regex_syntax::hir::translate::TranslatorBuilder;

use super::{EvalError, Work};
use crate::typed::BindErrorKind;

/// Maximum length of a pattern, in bytes.
const LENGTH: usize = 4096;
/// Maximum size of an automaton, in bytes: one or two thousand states. Compiling it takes less than a millisecond.
const SIZE: usize = 1 << 16;
/// Maximum nesting of groups.
const NEST: u32 = 32;
/// Cost of compiling a pattern, in nodes: the minimum, and for each state.
const COMPILE: u64 = 200;
const COMPILE_STATE: u64 = 4;
/// Number of visited states that cost one node.
const STATES: u64 = 4;
/// Number of visited states after which the budget is charged.
const ASK: u64 = 1024;

/// A compiled pattern.
#[derive(Clone)]
pub struct Pattern {
    text: Arc<str>,
    nfa: NFA,
}

/// Why a text is not a valid pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// Malformed, not supported, or too large.
    pub kind: BindErrorKind,
    /// What is wrong; lower case, no full stop.
    pub message: String,
}

impl PatternError {
    fn new(kind: BindErrorKind, message: impl Into<String>) -> PatternError {
        PatternError { kind, message: message.into() }
    }

    fn unsupported(what: &str) -> PatternError {
        PatternError::new(BindErrorKind::Unsupported, format!("{what} in a pattern is not supported"))
    }

    fn too_large() -> PatternError {
        PatternError::new(BindErrorKind::Limit, "the pattern is too large: counted repetitions are expanded")
    }
}

impl From<PatternError> for EvalError {
    fn from(error: PatternError) -> EvalError {
        EvalError::fault(error.message)
    }
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`PatternError`] if it is malformed, too large, or needs backtracking.
    pub fn parse(pattern: &str) -> Result<Pattern, PatternError> {
        if pattern.len() > LENGTH {
            let message = format!("a pattern of more than {LENGTH} bytes");
            return Err(PatternError::new(BindErrorKind::Limit, message));
        }
        let mut ast =
            ast::parse::ParserBuilder::new().nest_limit(NEST).build().parse(pattern).map_err(refused)?;
        plain(&mut ast)?;
        let hir = TranslatorBuilder::new().build().translate(pattern, &ast).map_err(|error| {
            PatternError::new(BindErrorKind::Value, format!("the pattern is malformed: {}", error.kind()))
        })?;
        let config = Config::new().nfa_size_limit(Some(SIZE)).which_captures(WhichCaptures::None);
        let nfa = Compiler::new()
            .configure(config)
            .build_from_hir(&hir)
            .map_err(|_: BuildError| PatternError::too_large())?;
        Ok(Pattern { text: pattern.into(), nfa })
    }

    /// Returns the cost of compiling a pattern, before its size is known.
    pub(super) fn min_cost(text: &str) -> u64 {
        COMPILE + text.len() as u64
    }

    /// Returns the additional cost of compiling it.
    pub(super) fn cost(&self) -> u64 {
        self.nfa.states().len() as u64 * COMPILE_STATE
    }

    /// Returns the text of the pattern.
    pub(super) fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Returns its size in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.nfa.memory_usage() + self.text.len()
    }

    /// Returns whether the pattern matches somewhere in a text.
    ///
    /// # Errors
    /// As for [`Work::take`].
    pub fn matches(&self, text: &str, work: Option<&Work>) -> Result<bool, EvalError> {
        let states = self.nfa.states().len();
        let mut search =
            PatternSearch { nfa: &self.nfa, text: text.as_bytes(), work, looked_at: 0, stack: Vec::new() };
        search.look(states as u64 / 8)?;
        let (mut here, mut next) = (States::new(states), States::new(states));
        let anchored = self.nfa.is_always_start_anchored();
        for at in 0..=text.len() {
            let may_begin = text.is_char_boundary(at) && (at == 0 || !anchored);
            if may_begin && search.enter(&mut here, self.nfa.start_anchored(), at)? {
                return Ok(true);
            }
            let Some(byte) = text.as_bytes().get(at) else { break };
            if here.members.is_empty() && anchored {
                break;
            }
            next.clear();
            for id in &here.members {
                if let Some(then) = step(self.nfa.state(*id), *byte)
                    && search.enter(&mut next, then, at + 1)?
                {
                    return Ok(true);
                }
            }
            search.look(here.members.len() as u64 + 1)?;
            std::mem::swap(&mut here, &mut next);
        }
        Ok(false)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}

/// Returns the state that a byte leads to.
fn step(state: &State, byte: u8) -> Option<StateID> {
    match state {
        State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
        State::Sparse(sparse) => sparse.matches_byte(byte),
        State::Dense(dense) => dense.matches_byte(byte),
        State::Look { .. }
        | State::Union { .. }
        | State::BinaryUnion { .. }
        | State::Capture { .. }
        | State::Fail
        | State::Match { .. } => None,
    }
}

/// A set of states.
struct States {
    members: Vec<StateID>,
    /// The index of each state among the members.
    place: Vec<u32>,
}

impl States {
    fn new(states: usize) -> States {
        States { members: Vec::with_capacity(states), place: vec![0; states] }
    }

    fn clear(&mut self) {
        self.members.clear();
    }

    /// Adds a state. Returns `false` if it is a member already.
    fn insert(&mut self, id: StateID) -> bool {
        let Some(place) = self.place.get_mut(id.as_usize()) else { return false };
        if self.members.get(*place as usize) == Some(&id) {
            return false;
        }
        *place = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        self.members.push(id);
        true
    }
}

/// One search, with the visited states that are not charged yet.
struct PatternSearch<'s> {
    nfa: &'s NFA,
    text: &'s [u8],
    work: Option<&'s Work>,
    looked_at: u64,
    stack: Vec<StateID>,
}

impl PatternSearch<'_> {
    fn look(&mut self, states: u64) -> Result<(), EvalError> {
        self.looked_at += states;
        if self.looked_at < ASK {
            return Ok(());
        }
        let nodes = self.looked_at / STATES;
        self.looked_at = 0;
        self.work.map_or(Ok(()), |work| work.take(nodes))
    }

    /// Adds a state and all states reachable without a byte. Returns `true` if one of them matches.
    fn enter(&mut self, states: &mut States, id: StateID, at: usize) -> Result<bool, EvalError> {
        self.stack.push(id);
        while let Some(id) = self.stack.pop() {
            if !states.insert(id) {
                continue;
            }
            let mut looked_at = 1;
            match self.nfa.state(id) {
                State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) | State::Fail => {}
                State::Look { look, next } => {
                    if self.nfa.look_matcher().matches(*look, self.text, at) {
                        self.stack.push(*next);
                    }
                }
                State::Union { alternates } => {
                    looked_at += alternates.len() as u64;
                    self.stack.extend(alternates.iter().rev());
                }
                State::BinaryUnion { alt1, alt2 } => self.stack.extend([*alt2, *alt1]),
                State::Capture { next, .. } => self.stack.push(*next),
                State::Match { .. } => return Ok(true),
            }
            self.look(looked_at)?;
        }
        Ok(false)
    }
}

fn refused(error: ast::Error) -> PatternError {
    match error.kind() {
        ast::ErrorKind::UnsupportedBackreference => PatternError::unsupported("a backreference"),
        ast::ErrorKind::UnsupportedLookAround => PatternError::unsupported("lookahead or lookbehind"),
        ast::ErrorKind::NestLimitExceeded(_) => {
            PatternError::new(BindErrorKind::Limit, format!("a pattern nested more than {NEST} deep"))
        }
        kind => PatternError::new(BindErrorKind::Value, format!("the pattern is malformed: {kind}")),
    }
}

/// Limits the classes of letters to ASCII, as in ECMAScript, and refuses syntax that ECMAScript does not have.
fn plain(ast: &mut Ast) -> Result<(), PatternError> {
    match ast {
        Ast::Empty(_) | Ast::Literal(_) | Ast::Dot(_) => {}
        Ast::Flags(set) => flags(&set.flags)?,
        Ast::ClassUnicode(_) => return Err(PatternError::unsupported("a property of Unicode")),
        Ast::ClassPerl(class) => {
            let span = class.span;
            let item = ClassSetItem::Ascii(ascii(class));
            let kind = ClassSet::Item(item);
            *ast = Ast::class_bracketed(ast::ClassBracketed { span, negated: false, kind });
        }
        Ast::ClassBracketed(class) => class_set(&mut class.kind)?,
        Ast::Assertion(assertion) => {
            use ast::AssertionKind::{EndLine, EndText, StartLine, StartText};
            if !matches!(assertion.kind, EndLine | EndText | StartLine | StartText) {
                let span = assertion.span;
                let item = |kind| ast::FlagsItem { span, kind };
                let items = vec![
                    item(ast::FlagsItemKind::Negation),
                    item(ast::FlagsItemKind::Flag(ast::Flag::Unicode)),
                ];
                let kind = ast::GroupKind::NonCapturing(ast::Flags { span, items });
                let inner = std::mem::replace(ast, Ast::empty(span));
                *ast = Ast::group(ast::Group { span, kind, ast: Box::new(inner) });
            }
        }
        Ast::Repetition(repetition) => plain(&mut repetition.ast)?,
        Ast::Group(group) => {
            if let ast::GroupKind::NonCapturing(set) = &group.kind {
                flags(set)?;
            }
            plain(&mut group.ast)?;
        }
        Ast::Alternation(alternation) => alternation.asts.iter_mut().try_for_each(plain)?,
        Ast::Concat(concat) => concat.asts.iter_mut().try_for_each(plain)?,
    }
    Ok(())
}

fn flags(flags: &ast::Flags) -> Result<(), PatternError> {
    use ast::Flag::{DotMatchesNewLine, IgnoreWhitespace, MultiLine, SwapGreed};
    for item in &flags.items {
        match &item.kind {
            ast::FlagsItemKind::Negation
            | ast::FlagsItemKind::Flag(DotMatchesNewLine | IgnoreWhitespace | MultiLine | SwapGreed) => {}
            ast::FlagsItemKind::Flag(ast::Flag::CaseInsensitive) => {
                return Err(PatternError::unsupported("a flag that ignores case (use tolower)"));
            }
            ast::FlagsItemKind::Flag(_) => return Err(PatternError::unsupported("this flag")),
        }
    }
    Ok(())
}

fn class_set(set: &mut ClassSet) -> Result<(), PatternError> {
    match set {
        ClassSet::Item(item) => class_item(item),
        ClassSet::BinaryOp(operation) => {
            class_set(&mut operation.lhs)?;
            class_set(&mut operation.rhs)
        }
    }
}

fn class_item(item: &mut ClassSetItem) -> Result<(), PatternError> {
    match item {
        ClassSetItem::Empty(_)
        | ClassSetItem::Literal(_)
        | ClassSetItem::Range(_)
        | ClassSetItem::Ascii(_) => Ok(()),
        ClassSetItem::Unicode(_) => Err(PatternError::unsupported("a property of Unicode")),
        ClassSetItem::Perl(class) => {
            *item = ClassSetItem::Ascii(ascii(class));
            Ok(())
        }
        ClassSetItem::Bracketed(class) => class_set(&mut class.kind),
        ClassSetItem::Union(union) => union.items.iter_mut().try_for_each(class_item),
    }
}

fn ascii(class: &ClassPerl) -> ClassAscii {
    let kind = match class.kind {
        ClassPerlKind::Digit => ClassAsciiKind::Digit,
        ClassPerlKind::Space => ClassAsciiKind::Space,
        ClassPerlKind::Word => ClassAsciiKind::Word,
    };
    ClassAscii { span: class.span, kind, negated: class.negated }
}

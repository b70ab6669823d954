//! Questions to the collection: the query options of a list request, understood and permitted.
//!
//! [`Question::read`] takes the text of a query string to bound options: parsed and bound by `odata`, held against
//! what the temperament offers ([`strict`]), and marked with the engagement it asks for (spec 11.3). [`page`] answers
//! it.

pub(crate) mod page;
mod strict;
mod together;

use std::sync::OnceLock;

use odata::{
    BindErrorKind, BindSettings, Binder, Comparison, ErrorKind, Expr, ExprKind, Lambda, Limits, Path,
    Position, QueryOptions, Root, Segment, SegmentKind, Settings, SystemOption, TypedOptions, Value,
};
use referral::EngagementId;
use store::schema;

/// The type that questions are about.
pub(crate) const ITEM: &str = "Referral";

/// The most referrals of one page (REF-207).
pub const PAGE: usize = 100;

/// How much of the query language is offered (ADR 0009).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temperament {
    /// What spec 11.1 and 11.2 name; the rest is refused.
    Strict,
    /// All that is built; what OData has beyond that is told apart from what it has not.
    Extended,
}

/// What a list request asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    asked: QueryOptions,
    bound: TypedOptions,
    page_size: usize,
    engagement: Option<EngagementId>,
    /// [`Question::fingerprint`] and the options of [`Question::continued`], once they were asked for.
    bound_to: OnceLock<String>,
    rest: OnceLock<String>,
}

/// Why a question is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option}, at {at}: {message}")]
pub struct QuestionError {
    /// The option at fault, such as `$filter`, or the name as sent.
    pub option: String,
    /// The byte offset of the fault in the option's decoded text.
    pub at: usize,
    /// What is wrong or was expected.
    pub message: String,
    /// Whether there is a server that answers it.
    pub kind: QuestionErrorKind,
}

/// Whether there is a server that answers what this one does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuestionErrorKind {
    /// It means nothing.
    Wrong,
    /// The strict temperament refuses what the extended one answers.
    OnlyExtended,
    /// OData has it and this server has not (extended alone).
    NotImplemented,
}

impl QuestionErrorKind {
    /// What is well-formed and lacking is wrong to the strict temperament, like all that it does not offer.
    fn lacking(lacking: bool, temperament: Temperament) -> QuestionErrorKind {
        match temperament {
            Temperament::Extended if lacking => QuestionErrorKind::NotImplemented,
            _ => QuestionErrorKind::Wrong,
        }
    }
}

impl Question {
    /// Reads a query string, without its `?`.
    ///
    /// # Errors
    /// [`QuestionError`]: the first fault.
    pub fn read(query: &str, temperament: Temperament) -> Result<Question, QuestionError> {
        Question::of(parse(query, temperament)?, temperament)
    }

    /// Understands options that were read elsewhere.
    ///
    /// # Errors
    /// [`QuestionError`]: the first fault.
    pub fn of(asked: QueryOptions, temperament: Temperament) -> Result<Question, QuestionError> {
        let page_size = page_size(&asked)?;
        let aliased = with_email_alias(&asked);
        let bound = bind(&aliased, temperament)?;
        if temperament == Temperament::Strict {
            strict::allow(&bound)?;
        }
        let engagement = bound.filter.as_ref().filter(|_| bound.apply.is_none()).and_then(|filter| {
            match filter.pinned("engagementId") {
                Some(Value::Guid(id)) => Some(EngagementId::from_bytes(id.0.to_be_bytes())),
                _ => None,
            }
        });
        let (bound_to, rest) = Default::default();
        Ok(Question { asked, bound, page_size, engagement, bound_to, rest })
    }

    /// The option that a refusal of the store is about, where there is but one that gives it work.
    pub fn only_option(&self) -> Option<&'static str> {
        use SystemOption::{Apply, Expand, Filter, OrderBy, Search};
        let mut working = self
            .asked
            .given
            .iter()
            .filter(|option| matches!(option, Apply | Expand | Filter | OrderBy | Search));
        match (working.next(), working.next()) {
            (Some(only), None) => Some(only.name()),
            _ => None,
        }
    }

    /// The options as sent.
    pub fn asked(&self) -> &QueryOptions {
        &self.asked
    }

    /// The options, bound.
    pub fn options(&self) -> &TypedOptions {
        &self.bound
    }

    /// The engagement that the outermost `and` chain of the filter asks for: the list then shows what the caller may
    /// see of it, not only its own (spec 11.3).
    pub fn engagement(&self) -> Option<EngagementId> {
        self.engagement
    }

    /// At most so many to a page; of several wishes the smallest holds.
    pub fn page_size(&self) -> usize {
        self.page_size
    }

    /// With a wish for smaller pages (`Prefer: odata.maxpagesize`).
    pub fn with_page_size(mut self, wish: u64) -> Question {
        self.page_size = self.page_size.min(usize::try_from(wish).unwrap_or(usize::MAX)).max(1);
        self
    }

    /// What a continuation is bound to: every option but `$skiptoken`, in canonical form and order.
    pub fn fingerprint(&self) -> &str {
        self.bound_to.get_or_init(|| {
            let mut options = self.without_token();
            options.custom.retain(|(name, _)| name.eq_ignore_ascii_case(PAGE_SIZE));
            let text = options.to_query();
            let mut pieces: Vec<&str> = text.split('&').collect();
            pieces.sort_unstable();
            pieces.join("&")
        })
    }

    /// Whether the answer depends on the referrals of the caller's organization alone: not on those of others, which
    /// an engagement or an expansion shows, nor on the time.
    pub fn is_of_own_alone(&self) -> bool {
        // More may be called so than the function; nothing is lost then.
        self.engagement.is_none() && self.bound.expand.is_empty() && !self.fingerprint().contains("now")
    }

    /// Every option but `$skiptoken`, as the address of a further page has them.
    pub fn rest(&self) -> &str {
        self.rest.get_or_init(|| self.without_token().to_query())
    }

    /// The query string of a request that goes on with this question; the token needs no encoding.
    pub fn continued(&self, token: &str) -> String {
        let rest = self.rest();
        let and = if rest.is_empty() { "" } else { "&" };
        format!("{rest}{and}$skiptoken={token}")
    }

    fn without_token(&self) -> QueryOptions {
        let mut options = self.asked.clone();
        options.skiptoken = None;
        options.given.retain(|option| *option != SystemOption::SkipToken);
        options
    }
}

/// The alias of the page size, in any case (spec 11.1).
const PAGE_SIZE: &str = "pagesize";

fn parse(query: &str, temperament: Temperament) -> Result<QueryOptions, QuestionError> {
    let settings = Settings {
        limits: Limits::default(),
        plus_is_blank: true,
        bare_names: temperament == Temperament::Extended,
        repeatable: false,
        empty_is_absent: vec![SystemOption::Expand],
    };
    let options = QueryOptions::parse(query, &settings).map_err(|fault| QuestionError {
        kind: QuestionErrorKind::lacking(fault.error.kind == ErrorKind::Unsupported, temperament),
        // What is wrong with the query string as a whole is the fault of no option.
        option: if fault.option.is_empty() { "query".to_owned() } else { fault.option },
        at: fault.error.at,
        message: fault.error.message,
    })?;
    strict::options(&options, temperament)?;
    Ok(options)
}

/// Binds the options against the schema of a referral.
fn bind(options: &QueryOptions, temperament: Temperament) -> Result<TypedOptions, QuestionError> {
    let extended = temperament == Temperament::Extended;
    let settings = BindSettings { ignore_property_case: extended, ..BindSettings::default() };
    Binder::new(schema(), ITEM, &settings).options(options).map_err(|fault| QuestionError {
        option: fault.option.map_or("query", SystemOption::name).to_owned(),
        at: fault.at,
        message: fault.message,
        kind: QuestionErrorKind::lacking(fault.kind == BindErrorKind::Unsupported, temperament),
    })
}

fn page_size(options: &QueryOptions) -> Result<usize, QuestionError> {
    let asked = options.custom.iter().find(|(name, _)| name.eq_ignore_ascii_case(PAGE_SIZE));
    let Some((_, text)) = asked else { return Ok(PAGE) };
    let text = text.as_deref().unwrap_or_default();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<usize>() {
        _ if !digits => {}
        Ok(0) => {}
        Ok(size) => return Ok(size.min(PAGE)),
        Err(_) => return Ok(PAGE), // more digits than a number holds
    }
    Err(QuestionError {
        option: PAGE_SIZE.to_owned(),
        at: 0,
        message: "expected a whole number from 1 on".to_owned(),
        kind: QuestionErrorKind::Wrong,
    })
}

/// The options with `email eq …` written out (REF-238), those of expansions too.
fn with_email_alias(options: &QueryOptions) -> QueryOptions {
    let mut options = options.clone();
    options.filter = options.filter.map(email_of_team);
    for expand in options.expand.iter_mut().flatten() {
        if let Some(nested) = &mut expand.options {
            **nested = with_email_alias(nested);
        }
    }
    // An alias that a selection may use can be about members of a list.
    if !options.select.iter().flatten().any(|item| item.options.is_some()) {
        let aliases = std::mem::take(&mut options.aliases);
        options.aliases = aliases.into_iter().map(|(name, value)| (name, email_of_team(value))).collect();
    }
    options
}

/// `email eq 'x'` says `team/any(t:t/email eq 'x')`. Source: spec 11.2. It stands for itself where a name is one of an
/// element: in the filters of collections, and where a variable is called so.
fn email_of_team(expr: Expr) -> Expr {
    let Expr { at, kind } = expr;
    let is_email = |side: &Expr| side.as_members().is_some_and(|members| members == ["email"]);
    let all = |terms: Vec<Expr>| terms.into_iter().map(email_of_team).collect();
    let one = |operand: Box<Expr>| Box::new(email_of_team(*operand));
    let kind = match kind {
        ExprKind::Compare(Comparison::Eq, left, right) if is_email(&left) => return on_team(at, right),
        ExprKind::Compare(Comparison::Eq, left, right) if is_email(&right) => return on_team(at, left),
        ExprKind::Compare(comparison, left, right) => ExprKind::Compare(comparison, one(left), one(right)),
        ExprKind::And(terms) => ExprKind::And(all(terms)),
        ExprKind::Or(terms) => ExprKind::Or(all(terms)),
        ExprKind::Not(operand) => ExprKind::Not(one(operand)),
        ExprKind::Path(Path { root, segments }) => {
            let segments = segments.into_iter().map(email_in_lambda).collect();
            ExprKind::Path(Path { root, segments })
        }
        kind => kind,
    };
    Expr { at, kind }
}

fn email_in_lambda(segment: Segment) -> Segment {
    let Segment { at, kind } = segment;
    let inside = |lambda: Lambda| match lambda.variable.as_str() {
        "email" => lambda,
        _ => Lambda { predicate: Box::new(email_of_team(*lambda.predicate)), ..lambda },
    };
    let kind = match kind {
        SegmentKind::Any(lambda) => SegmentKind::Any(lambda.map(inside)),
        SegmentKind::All(lambda) => SegmentKind::All(inside(lambda)),
        kind => kind,
    };
    Segment { at, kind }
}

fn on_team(at: Position, email: Box<Expr>) -> Expr {
    const MEMBER: &str = "member_of_the_team";
    let name = |name: &str| Segment { at, kind: SegmentKind::Name(name.to_owned()) };
    let path = |segments| ExprKind::Path(Path { root: Root::Implicit, segments });
    let of_member = Expr { at, kind: path(vec![name(MEMBER), name("email")]) };
    let asks = Expr { at, kind: ExprKind::Compare(Comparison::Eq, Box::new(of_member), email) };
    let lambda = Lambda { at, variable: MEMBER.to_owned(), predicate: Box::new(asks) };
    let any = Segment { at, kind: SegmentKind::Any(Some(lambda)) };
    Expr { at, kind: path(vec![name("team"), any]) }
}

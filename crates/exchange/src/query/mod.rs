//! List requests: the query options, parsed, bound, and checked against what the mode offers.
//!
//! [`ListRequest::from_query`] parses and binds a query string with `odata`, checks it for the mode ([`strict`],
//! [`extended`]), and finds the engagement that it asks for (spec 11.3). [`page`] executes it.

mod engagement_list;
mod extended;
pub(crate) mod page;
mod strict;

use std::sync::OnceLock;

use odata::{
    BindError, BindErrorKind, BindSettings, Binder, Comparison, Expr, ExprKind, Lambda, Limits,
    ParseErrorKind, ParseSettings, Path, Position, Primitive, QueryOptions, Root, Segment, SegmentKind,
    SystemOption, Type, Typed, TypedKind, TypedOptions, TypedTransformation, Value,
};
use referral::{ApiMode, EngagementId};
use store::schema;

/// The entity type of lists.
pub(crate) const ENTITY_TYPE: &str = "Referral";

/// The most referrals of one page (REF-207).
pub const MAX_PAGE_SIZE: usize = 100;

/// A list request: query options, bound and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ListRequest {
    /// The conditions of `$filter` segments in the path, which come before all options.
    path: Vec<Expr>,
    raw: QueryOptions,
    bound: TypedOptions,
    page_size: usize,
    engagement: Option<EngagementId>,
    /// Returns the approximate memory of the bound options, in bytes.
    bytes: usize,
    /// [`ListRequest::fingerprint`] and the options of [`ListRequest::continuation_query`], once they were asked for.
    fingerprint: OnceLock<String>,
    rest: OnceLock<String>,
}

/// The error of a list request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option}, at {at}: {message}")]
pub struct ListRequestError {
    /// The option at fault, such as `$filter`, or the name as sent.
    pub option: String,
    /// The byte offset of the fault in the option's decoded text.
    pub at: usize,
    /// The description of the error.
    pub message: String,
    /// The kind of error.
    pub kind: ListRequestErrorKind,
}

/// The kind of an error of a list request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListRequestErrorKind {
    /// The request is invalid.
    Invalid,
    /// Only the extended mode supports it.
    ExtendedOnly,
    /// OData has it, but this server does not support it (only in extended mode).
    NotImplemented,
}

impl ListRequestErrorKind {
    /// Returns the kind for an error of the parser. In strict mode, unsupported syntax is invalid.
    fn for_unsupported(unsupported: bool, mode: ApiMode) -> ListRequestErrorKind {
        match mode {
            ApiMode::Extended if unsupported => ListRequestErrorKind::NotImplemented,
            _ => ListRequestErrorKind::Invalid,
        }
    }
}

impl ListRequest {
    /// Reads a query string, without its `?`.
    ///
    /// # Errors
    /// [`ListRequestError`]: the first fault.
    pub fn from_query(query: &str, mode: ApiMode) -> Result<ListRequest, ListRequestError> {
        ListRequest::from_options(ListRequest::parse_options(query, mode)?, mode)
    }

    /// Reads the options of a query string, without its `?`, whatever the resource is that they are sent to.
    ///
    /// # Errors
    /// [`ListRequestError`]: the first fault.
    pub fn parse_options(query: &str, mode: ApiMode) -> Result<QueryOptions, ListRequestError> {
        let settings = ParseSettings {
            limits: Limits::default(),
            plus_is_blank: true,
            bare_names: mode == ApiMode::Extended,
            repeatable: false,
            empty_is_absent: vec![SystemOption::Expand],
        };
        QueryOptions::parse(query, &settings).map_err(|fault| ListRequestError {
            kind: ListRequestErrorKind::for_unsupported(
                fault.error.kind == ParseErrorKind::Unsupported,
                mode,
            ),
            // An error of the query string as a whole has no option.
            option: if fault.option.is_empty() { "query".to_owned() } else { fault.option },
            at: fault.error.at,
            message: fault.error.message,
        })
    }

    /// Understands options that were read elsewhere.
    ///
    /// # Errors
    /// [`ListRequestError`]: the first fault.
    pub fn from_options(raw: QueryOptions, mode: ApiMode) -> Result<ListRequest, ListRequestError> {
        ListRequest::with_path_filters(Vec::new(), raw, mode)
    }

    /// Understands options of a collection that `$filter` segments of the path have narrowed. The path comes first:
    /// its conditions speak of referrals, whatever the options make of them. Source: OData 4.01 URL Conventions,
    /// section 4.12.
    ///
    /// # Errors
    /// [`ListRequestError`]: the first fault.
    pub fn with_path_filters(
        path: Vec<Expr>,
        raw: QueryOptions,
        mode: ApiMode,
    ) -> Result<ListRequest, ListRequestError> {
        strict::check_options(&raw, mode)?;
        let page_size = page_size(&raw)?;
        let aliased = with_email_alias(&raw);
        let conditions: Vec<Expr> = path.iter().cloned().map(email_of_team).collect();
        let (mut bound, bytes) = bind(&conditions, &aliased, mode)?;
        match mode {
            ApiMode::Strict => strict::check_supported(&bound)?,
            ApiMode::Extended => extended::prepare(&mut bound)?,
        }
        let engagement = bound.filter.as_ref().filter(|_| bound.apply.is_none()).and_then(|filter| {
            match filter.equality_value("engagementId") {
                Some(Value::Guid(id)) => Some(EngagementId::from_bytes(id.0.to_be_bytes())),
                _ => None,
            }
        });
        let (fingerprint, rest) = Default::default();
        Ok(ListRequest { path, raw, bound, page_size, engagement, bytes, fingerprint, rest })
    }

    /// Binds the options of a request for a property of a referral, with the conditions of `$filter` segments before
    /// them.
    ///
    /// # Errors
    /// [`ListRequestError`]: the first fault.
    pub fn property_options(
        property: &Type,
        path: Vec<Expr>,
        mut options: QueryOptions,
        mode: ApiMode,
    ) -> Result<TypedOptions, ListRequestError> {
        // $format does not affect the members.
        options.given.retain(|option| *option != SystemOption::Format);
        strict::check_options(&options, mode)?;
        let conditions = QueryOptions {
            given: if path.is_empty() { Vec::new() } else { vec![SystemOption::Filter] },
            filter: match path.len() {
                0 | 1 => path.into_iter().next(),
                _ => Some(Expr::new(ExprKind::And(path))),
            },
            aliases: options.aliases.clone(),
            ..QueryOptions::default()
        };
        let settings = settings(mode);
        let bind = |options| {
            let bound = Binder::new(schema(), ENTITY_TYPE, &settings).options_for_type(property, options);
            bound.map_err(|fault| bind_error(fault, mode))
        };
        let conditions = bind(&conditions)?;
        let mut bound = bind(&options)?;
        extended::check_property(&bound)?;
        bound.filter = conjunction(conditions.filter.into_iter().chain(bound.filter.take()).collect());
        Ok(bound)
    }

    /// The option that a refusal of the store is about, where there is but one that gives it work.
    pub fn only_option(&self) -> Option<&'static str> {
        use SystemOption::{Apply, Expand, Filter, OrderBy, Search};
        let given = self.raw.given.iter().copied();
        let mut working: Vec<SystemOption> = given
            .filter(|option| matches!(option, Apply | Expand | Filter | OrderBy | Search))
            .chain((!self.path.is_empty()).then_some(Filter))
            .collect();
        working.dedup();
        match working.as_slice() {
            [only] => Some(only.name()),
            _ => None,
        }
    }

    /// The `$filter` segments of the path, as an address has them: `/$filter(status%20eq%20'New')`.
    pub fn path(&self) -> String {
        self.path.iter().map(segment).collect()
    }

    /// Returns the approximate memory of the bound options, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the options as sent.
    pub fn raw_options(&self) -> &QueryOptions {
        &self.raw
    }

    /// Returns the bound options.
    pub fn options(&self) -> &TypedOptions {
        &self.bound
    }

    /// The engagement that the outermost `and` chain of the filter asks for: the list then shows what the caller may
    /// see of it, not only its own (spec 11.3).
    pub fn engagement(&self) -> Option<EngagementId> {
        self.engagement
    }

    /// Returns the page size: the smallest one that was requested.
    pub fn page_size(&self) -> usize {
        self.page_size
    }

    /// Limits the page size (`Prefer: odata.maxpagesize`).
    pub fn with_page_size(mut self, wanted: u64) -> ListRequest {
        self.page_size = self.page_size.min(usize::try_from(wanted).unwrap_or(usize::MAX)).max(1);
        self
    }

    /// What a continuation is bound to: every option but `$skiptoken`, in canonical form and order.
    pub fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| {
            let mut options = self.without_token();
            options.custom.retain(|(name, _)| name.eq_ignore_ascii_case(PAGE_SIZE_OPTION));
            let text = options.to_query();
            let mut pieces: Vec<&str> = text.split('&').collect();
            pieces.sort_unstable();
            format!("{}{}", self.path(), pieces.join("&"))
        })
    }

    /// Whether the answer depends on the referrals of the caller's organization alone: not on those of others, which
    /// an engagement or an expansion shows, nor on the time.
    pub fn depends_only_on_own(&self) -> bool {
        // More may be called so than the function; nothing is lost then.
        self.engagement.is_none()
            && self.bound.expand.is_empty()
            && self.path.is_empty()
            && !self.fingerprint().contains("now")
    }

    /// Every option but `$skiptoken`, as the address of a further page has them.
    pub fn query_without_token(&self) -> &str {
        self.rest.get_or_init(|| self.without_token().to_query())
    }

    /// Returns the query string of the next page; the token needs no encoding.
    pub fn continuation_query(&self, token: &str) -> String {
        let rest = self.query_without_token();
        let and = if rest.is_empty() { "" } else { "&" };
        format!("{rest}{and}$skiptoken={token}")
    }

    fn without_token(&self) -> QueryOptions {
        let mut options = self.raw.clone();
        options.skiptoken = None;
        options.given.retain(|option| *option != SystemOption::SkipToken);
        options
    }
}

/// The alias of the page size, in any case (spec 11.1).
pub const PAGE_SIZE_OPTION: &str = "pagesize";

/// A condition as a segment of a path.
fn segment(condition: &Expr) -> String {
    let options = QueryOptions {
        filter: Some(condition.clone()),
        given: vec![SystemOption::Filter],
        ..QueryOptions::default()
    };
    let text = options.to_query();
    // What is literal in a query and ends a path.
    let condition = text.strip_prefix("$filter=").unwrap_or(&text).replace('?', "%3F");
    format!("/$filter({condition})")
}

fn settings(mode: ApiMode) -> BindSettings {
    let extended = mode == ApiMode::Extended;
    // Strict mode checks names as they were sent; the contract does not mention repeated names.
    BindSettings {
        ignore_property_case: extended,
        fold_constants: extended,
        selected_twice: !extended,
        ..BindSettings::default()
    }
}

fn bind_error(fault: BindError, mode: ApiMode) -> ListRequestError {
    ListRequestError {
        option: fault.option.map_or("query", SystemOption::name).to_owned(),
        at: fault.at,
        message: fault.message,
        kind: ListRequestErrorKind::for_unsupported(fault.kind == BindErrorKind::Unsupported, mode),
    }
}

/// Binds the options against the schema of a referral, and puts the conditions of the path before them.
fn bind(
    conditions: &[Expr],
    options: &QueryOptions,
    mode: ApiMode,
) -> Result<(TypedOptions, usize), ListRequestError> {
    let settings = settings(mode);
    let mut binder = Binder::new(schema(), ENTITY_TYPE, &settings).with_aliases(&options.aliases);
    let mut terms = Vec::with_capacity(conditions.len());
    for condition in conditions {
        let term = binder
            .filter(condition)
            .map_err(|fault| BindError { option: Some(SystemOption::Filter), ..fault });
        let term = term.map_err(|fault| bind_error(fault, mode))?;
        extended::check_condition(&term)?;
        terms.push(term);
    }
    let mut bound = binder.options(options).map_err(|fault| bind_error(fault, mode))?;
    match &mut bound.apply {
        Some(apply) => {
            let steps = conjunction(terms).map(TypedTransformation::Filter);
            apply.steps.splice(0..0, steps);
        }
        None => {
            terms.extend(bound.filter.take());
            bound.filter = conjunction(terms);
        }
    }
    Ok((bound, binder.bytes()))
}

/// Conditions side by side: one inside the other, they would be as deep as a path is long.
fn conjunction(mut terms: Vec<Typed>) -> Option<Typed> {
    if terms.len() < 2 {
        return terms.pop();
    }
    let ty = Some(Primitive::Boolean.into());
    Some(Typed { at: Position::default(), ty, kind: TypedKind::And(terms) })
}

fn page_size(options: &QueryOptions) -> Result<usize, ListRequestError> {
    let mut raw = options.custom.iter().filter(|(name, _)| name.eq_ignore_ascii_case(PAGE_SIZE_OPTION));
    let Some((_, text)) = raw.next() else { return Ok(MAX_PAGE_SIZE) };
    if raw.next().is_some() {
        return Err(wrong_page_size("given twice"));
    }
    let text = text.as_deref().unwrap_or_default();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<usize>() {
        _ if !digits => {}
        Ok(0) => {}
        Ok(size) => return Ok(size.min(MAX_PAGE_SIZE)),
        Err(_) => return Ok(MAX_PAGE_SIZE), // more digits than a number holds
    }
    Err(wrong_page_size("expected a whole number from 1 on"))
}

fn wrong_page_size(message: &str) -> ListRequestError {
    let kind = ListRequestErrorKind::Invalid;
    ListRequestError { option: PAGE_SIZE_OPTION.to_owned(), at: 0, message: message.to_owned(), kind }
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
        ExprKind::Compare(Comparison::Eq, left, right) if is_email(&left) => {
            return any_team_member(at, right);
        }
        ExprKind::Compare(Comparison::Eq, left, right) if is_email(&right) => {
            return any_team_member(at, left);
        }
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

fn any_team_member(at: Position, email: Box<Expr>) -> Expr {
    const MEMBER: &str = "member_of_the_team";
    let name = |name: &str| Segment { at, kind: SegmentKind::Name(name.to_owned()) };
    let path = |segments| ExprKind::Path(Path { root: Root::Implicit, segments });
    let of_member = Expr { at, kind: path(vec![name(MEMBER), name("email")]) };
    let asks = Expr { at, kind: ExprKind::Compare(Comparison::Eq, Box::new(of_member), email) };
    let lambda = Lambda { at, variable: MEMBER.to_owned(), predicate: Box::new(asks) };
    let any = Segment { at, kind: SegmentKind::Any(Some(lambda)) };
    Expr { at, kind: path(vec![name("team"), any]) }
}

//! Execution of list requests: pages, counts, aggregations and expansions. Source: spec 8.6, 11.3.

use std::sync::Arc;

use bytes::Bytes;
use odata::{
    ExpandKind, Primitive, SystemOption, TypedAggregate, TypedExpand, TypedOptions, TypedTransformation,
};
use referral::EngagementId;
use serde_json::Value as Json;
use store::{
    Aggregation, AggregationResult, CountMode, Cursor, Query, QueryResult, Scope, StoreError, StoredReferral,
};

use super::ListRequest;
use crate::caller::{Caller, Role};
use crate::error::ReadError;
use crate::evaluation::EvaluationBudget;
use crate::visibility::unredacted;
use crate::{Exchange, VisibleReferral};

/// Pages of nothing but damaged documents that one answer passes over.
const MAX_DAMAGED_PAGES: u64 = 8;

/// The most results that the expansions of one answer may bring together.
const MAX_EXPANDED: usize = 10_000;

/// Number of bytes that are written before the task yields.
const TURN: usize = 64 << 10;

/// The name of the number in the row that counts the results of an aggregation.
const COUNT_MEMBER: &str = "count";

/// The start of a page, and what `$top` still allows: the content of a next link.
#[derive(Debug, Clone, PartialEq)]
pub enum Continuation {
    /// After a position in the order, with the rest of `$top`.
    After(Cursor, Option<u64>),
    /// After a number of results. Those of an aggregation have no position of their own.
    Offset(u64),
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Its items, in order.
    pub items: Vec<ListItem>,
    /// How many there are in all, whatever the paging; `None` where it was not wanted.
    pub count: Option<u64>,
    /// The start of the next page; `None` on the last one.
    pub next: Option<Continuation>,
    /// Number of referrals that could not be looked at because they are damaged.
    pub left_out: usize,
}

impl Page {
    /// The same number, with those of everything that is expanded.
    pub fn total_left_out(&self) -> usize {
        self.left_out + self.items.iter().map(ListItem::left_out).sum::<usize>()
    }
}

/// A number of referrals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReferralCount {
    /// How many match.
    pub number: u64,
    /// How many could not be looked at because they are damaged.
    pub left_out: usize,
}

/// A referral of a page, with a page for each thing that is expanded.
#[derive(Debug, Clone, PartialEq)]
pub struct ListItem {
    /// The referral.
    pub visible: VisibleReferral,
    /// In the order of the requested expansions.
    pub related: Vec<Page>,
}

impl ListItem {
    /// Number of damaged referrals that are left out of everything that is expanded.
    pub fn left_out(&self) -> usize {
        self.related.iter().map(Page::total_left_out).sum()
    }
}

/// The result of `$apply`.
#[derive(Debug, Clone, PartialEq)]
pub enum ApplyResult {
    /// Referrals as they were, perhaps fewer and with more members.
    Referrals(Page),
    /// Something else of them.
    Rows {
        /// Objects with the members of the result's type.
        rows: Vec<Json>,
        /// How many there are in all, where that was asked for.
        count: Option<u64>,
        /// The start of the next page; `None` on the last one.
        next: Option<Continuation>,
        /// Number of referrals that could not be looked at because they are damaged.
        left_out: usize,
    },
}

/// Which part of the matches is wanted.
#[derive(Clone, Copy)]
pub(super) struct PageWindow<'a> {
    pub after: Option<&'a Cursor>,
    pub skip: u64,
    /// Maximum number of matches.
    pub limit: usize,
    pub count: CountMode,
}

/// Matches in order, one more than shown where there are more.
pub(super) struct Matches {
    pub found: Vec<(VisibleReferral, Cursor)>,
    pub count: Option<u64>,
    /// How many could not be shown because they are damaged.
    pub left_out: usize,
    /// Number of other referrals that could not be evaluated because they are damaged.
    pub unreadable: usize,
    /// Whether the page ends early because its documents are long.
    pub cut_short: bool,
}

impl Exchange {
    /// Returns one page of a list. A Referral User sees the referrals whose team it is on.
    /// `uncounted` allows leaving the count out where it would cost more than a bounded scan (spec 11.3).
    ///
    /// # Errors
    /// [`ReadError`]; [`ReadError::Forged`] for a continuation of another list request.
    pub async fn page(
        &self,
        caller: &Caller,
        list_request: &ListRequest,
        from: Option<&Continuation>,
        uncounted: bool,
    ) -> Result<Page, ReadError> {
        let options = list_request.options();
        let (after, left) = match from {
            None => (None, options.top),
            Some(Continuation::After(place, left)) => (Some(place), *left),
            Some(Continuation::Offset(_)) => return Err(ReadError::Forged),
        };
        let count = match options.count {
            Some(false) => CountMode::No,
            None if uncounted => CountMode::IfCheap,
            _ => CountMode::Exact,
        };
        let skip = if after.is_some() { 0 } else { options.skip.unwrap_or(0) };
        let window = PageWindow { after, skip, limit: list_request.page_size(), count };
        self.expire_due_for_list().await?;
        let mut budget = PageBudget::new();
        let mut page = self
            .load_page(caller, list_request.engagement(), options, window, left, &mut budget.evaluation)
            .await?;
        self.expand(caller, &options.expand, &mut page, &mut budget).await?;
        Ok(page)
    }

    /// Returns the number of referrals that match `$filter` and `$search`; other options are ignored.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn count(
        &self,
        caller: &Caller,
        list_request: &ListRequest,
    ) -> Result<ReferralCount, ReadError> {
        self.expire_due_for_list().await?;
        let window = PageWindow { after: None, skip: 0, limit: 0, count: CountMode::Exact };
        let options = list_request.options();
        let matches = self
            .find_matches(
                caller,
                list_request.engagement(),
                options,
                window,
                &mut EvaluationBudget::default(),
            )
            .await?;
        let left_out = matches.left_out + matches.unreadable;
        Ok(ReferralCount { number: matches.count.unwrap_or_default(), left_out })
    }

    /// Every referral of an engagement that the caller may see, as the options want them: the navigation
    /// `relatedReferrals`.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn related(
        &self,
        caller: &Caller,
        engagement: EngagementId,
        list_request: &ListRequest,
        from: Option<&Continuation>,
    ) -> Result<Page, ReadError> {
        let widened = ListRequest { engagement: Some(engagement), ..list_request.clone() };
        self.page(caller, &widened, from, false).await
    }

    /// How many referrals of an engagement the caller may see, as filter and search leave them.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn count_related(
        &self,
        caller: &Caller,
        engagement: EngagementId,
        list_request: &ListRequest,
    ) -> Result<ReferralCount, ReadError> {
        let widened = ListRequest { engagement: Some(engagement), ..list_request.clone() };
        self.count(caller, &widened).await
    }

    /// Returns a referral with its expansions.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn expand_item(
        &self,
        caller: &Caller,
        visible: VisibleReferral,
        expand: &[TypedExpand],
    ) -> Result<ListItem, ReadError> {
        let items = vec![ListItem { visible, related: Vec::new() }];
        let mut page = Page { items, count: None, next: None, left_out: 0 };
        self.expand(caller, expand, &mut page, &mut PageBudget::new()).await?;
        page.items.pop().ok_or(ReadError::NotFound)
    }

    /// What `$apply` makes of the caller's own organization's referrals, with what the other options make of that.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn aggregate(
        &self,
        caller: &Caller,
        list_request: &ListRequest,
        from: Option<&Continuation>,
    ) -> Result<ApplyResult, ReadError> {
        let options = list_request.options();
        let Some(apply) = &options.apply else { return Err(ReadError::Forged) };
        let done = match from {
            None => 0,
            Some(Continuation::Offset(done)) => *done,
            Some(Continuation::After(..)) => return Err(ReadError::Forged),
        };
        let left = options.top.unwrap_or(u64::MAX).saturating_sub(done);
        let limit = list_request.page_size().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.expire_due_for_list().await?;
        let aggregation = Aggregation {
            scope: self.query_scope(caller),
            apply: apply.clone(),
            filter: options.filter.clone(),
            order: options.orderby.clone(),
            skip: options.skip.unwrap_or(0).saturating_add(done),
            limit: limit + 1,
        };
        let AggregationResult { mut rows, left_out } = match limit {
            0 => AggregationResult::default(),
            _ => self.store.aggregate(&aggregation).await?,
        };
        let more = rows.len() > limit && left > limit as u64;
        rows.truncate(limit);
        let next = more.then_some(Continuation::Offset(done + limit as u64));
        let count = match options.count {
            Some(true) => Some(self.count_of_results(aggregation).await?),
            _ => None,
        };
        if !apply.keeps_items() {
            return Ok(ApplyResult::Rows { rows, count, next, left_out });
        }
        let mut items = Vec::with_capacity(rows.len());
        let mut written = 0;
        for row in &rows {
            let item = item_from_row(row)?;
            written += item.visible.document.len();
            items.push(item);
            // Long documents are written one by one, with other tasks between them.
            if written > TURN {
                written = 0;
                tokio::task::yield_now().await;
            }
        }
        let mut page = Page { items, count, left_out, next };
        self.expand(caller, &options.expand, &mut page, &mut PageBudget::new()).await?;
        Ok(ApplyResult::Referrals(page))
    }

    /// How many results an aggregation has, whatever the paging.
    async fn count_of_results(&self, mut aggregation: Aggregation) -> Result<u64, ReadError> {
        let Aggregation { apply, filter, order, skip, limit, .. } = &mut aggregation;
        apply.steps.extend(filter.take().map(TypedTransformation::Filter));
        apply.steps.push(TypedTransformation::Aggregate(vec![TypedAggregate {
            name: COUNT_MEMBER.into(),
            ty: Primitive::Int64.into(),
            of: None,
            ignore_case: false,
        }]));
        order.clear();
        (*skip, *limit) = (0, 1);
        let AggregationResult { rows, .. } = self.store.aggregate(&aggregation).await?;
        Ok(rows.first().and_then(|row| row[COUNT_MEMBER].as_u64()).unwrap_or_default())
    }

    /// The option that the store cannot carry out, where one of several is to blame for
    /// [`StoreError::NotSupported`]: each option is tried alone, without a result.
    pub async fn unsupported_option(
        &self,
        caller: &Caller,
        list_request: &ListRequest,
    ) -> Option<&'static str> {
        let options = list_request.options();
        let scope = || self.query_scope(caller);
        if let Some(apply) = &options.apply {
            let alone = Aggregation {
                scope: scope(),
                apply: apply.clone(),
                filter: None,
                order: Vec::new(),
                skip: 0,
                limit: 0,
            };
            let filtered = Aggregation { filter: options.filter.clone(), ..alone.clone() };
            let ordered = Aggregation { order: options.orderby.clone(), ..alone.clone() };
            for (aggregation, option) in [
                (alone, SystemOption::Apply),
                (filtered, SystemOption::Filter),
                (ordered, SystemOption::OrderBy),
            ] {
                if let Err(StoreError::NotSupported(_)) = self.store.aggregate(&aggregation).await {
                    return Some(option.name());
                }
            }
            return None;
        }
        let none = TypedOptions::default;
        let window = PageWindow { after: None, skip: 0, limit: 0, count: CountMode::No };
        for (alone, option) in [
            (TypedOptions { filter: options.filter.clone(), ..none() }, SystemOption::Filter),
            (TypedOptions { search: options.search.clone(), ..none() }, SystemOption::Search),
            (TypedOptions { orderby: options.orderby.clone(), ..none() }, SystemOption::OrderBy),
        ] {
            if let Err(StoreError::NotSupported(_)) =
                self.store.plan(&store_query(scope(), &alone, &window)).await
            {
                return Some(option.name());
            }
        }
        None
    }

    /// A number that stays the same while the answers to those questions stay the same that
    /// [`depend on nothing else`](ListRequest::depends_only_on_own); `None` while that cannot be known.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn change_token(&self, caller: &Caller) -> Result<Option<u64>, ReadError> {
        self.expire_due_for_list().await?;
        Ok(self.store.change_token(&caller.organization))
    }

    /// Returns the plan of a list for an administrator of an organization.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn explain(
        &self,
        owner: referral::OrganizationId,
        list_request: &ListRequest,
    ) -> Result<store::QueryPlan, ReadError> {
        let scope = Scope { owner, team: None, offer_leads: self.policy.offer_leads, now: self.now() };
        let options = list_request.options();
        let window = PageWindow {
            after: None,
            skip: options.skip.unwrap_or(0),
            limit: list_request.page_size(),
            count: if options.count == Some(false) { CountMode::No } else { CountMode::Exact },
        };
        Ok(self.store.plan(&store_query(scope, options, &window)).await?)
    }

    /// Closes due referrals. A damaged document is logged for the operator and does not fail the list.
    async fn expire_due_for_list(&self) -> Result<(), ReadError> {
        match self.expire_due().await {
            Err(ReadError::Damaged(id, error)) => {
                tracing::error!(referral.id = %id, "Referral {id} is due and cannot be closed: {error}");
                Ok(())
            }
            outcome => outcome.map(|_| ()),
        }
    }

    /// Cuts a page out of the matches; `left` is what `$top` still allows.
    async fn load_page(
        &self,
        caller: &Caller,
        engagement: Option<EngagementId>,
        options: &TypedOptions,
        window: PageWindow<'_>,
        left: Option<u64>,
        budget: &mut EvaluationBudget,
    ) -> Result<Page, ReadError> {
        let limit = window.limit.min(usize::try_from(left.unwrap_or(u64::MAX)).unwrap_or(usize::MAX));
        // One more than needed shows whether another page follows.
        let wanted = if limit == 0 { 0 } else { limit + 1 };
        let window = PageWindow { limit: wanted, ..window };
        let mut matches = self.find_matches(caller, engagement, options, window, budget).await?;
        // A whole page of damaged documents has no place to go on from: the list goes on behind them.
        let mut left_out = matches.left_out;
        for round in 1..=MAX_DAMAGED_PAGES {
            if wanted == 0 || !matches.found.is_empty() || matches.left_out == 0 {
                break;
            }
            let skip = window.skip.saturating_add(wanted as u64 * round);
            let behind =
                self.find_matches(caller, engagement, options, PageWindow { skip, ..window }, budget).await?;
            if !behind.found.is_empty() {
                left_out += behind.left_out;
            }
            matches = Matches { count: matches.count, ..behind };
        }
        left_out += matches.unreadable;
        let more = matches.cut_short || matches.found.len() + matches.left_out > limit;
        matches.found.truncate(limit);
        let used = if matches.cut_short { matches.found.len() + matches.left_out } else { limit };
        let left = left.map(|left| left.saturating_sub(used as u64));
        let next = match matches.found.last() {
            Some((_, place)) if more && left != Some(0) => Some(Continuation::After(place.clone(), left)),
            _ => None,
        };
        let items =
            matches.found.into_iter().map(|(visible, _)| ListItem { visible, related: Vec::new() }).collect();
        Ok(Page { items, count: matches.count, next, left_out })
    }

    async fn find_matches(
        &self,
        caller: &Caller,
        engagement: Option<EngagementId>,
        options: &TypedOptions,
        window: PageWindow<'_>,
        budget: &mut EvaluationBudget,
    ) -> Result<Matches, ReadError> {
        if let Some(engagement) = engagement {
            return self.engagement_matches(caller, engagement, options, window, budget).await;
        }
        let found = self.store.query(&store_query(self.query_scope(caller), options, &window)).await?;
        let visible = |(referral, place): (Arc<StoredReferral>, Cursor)| (unredacted(&referral), place);
        let QueryResult { referrals, count, left_out, unreadable, cut_short } = found;
        let found = referrals.into_iter().map(visible).collect();
        Ok(Matches { found, count, left_out, unreadable, cut_short })
    }

    /// The caller's own organization's referrals, as far as the role reaches.
    fn query_scope(&self, caller: &Caller) -> Scope {
        Scope {
            owner: caller.organization.clone(),
            team: (caller.role == Role::User).then(|| caller.identities.clone()),
            offer_leads: self.policy.offer_leads,
            now: self.now(),
        }
    }

    async fn expand(
        &self,
        caller: &Caller,
        expand: &[TypedExpand],
        page: &mut Page,
        budget: &mut PageBudget,
    ) -> Result<(), ReadError> {
        if expand.is_empty() {
            return Ok(());
        }
        for item in &mut page.items {
            for one in expand {
                let mut related =
                    self.expansion(caller, item.visible.engagement_id, one, &mut budget.evaluation).await?;
                budget.results =
                    budget.results.checked_sub(related.items.len()).ok_or_else(too_many_expanded)?;
                Box::pin(self.expand(caller, &one.options.expand, &mut related, budget)).await?;
                item.related.push(related);
            }
        }
        Ok(())
    }

    async fn expansion(
        &self,
        caller: &Caller,
        engagement: EngagementId,
        expand: &TypedExpand,
        budget: &mut EvaluationBudget,
    ) -> Result<Page, ReadError> {
        let options = &expand.options;
        let counted = expand.what == ExpandKind::Count || options.count == Some(true);
        let window = PageWindow {
            after: None,
            skip: options.skip.unwrap_or(0),
            limit: if expand.what == ExpandKind::Count { 0 } else { super::MAX_PAGE_SIZE },
            count: if counted { CountMode::Exact } else { CountMode::No },
        };
        self.load_page(caller, Some(engagement), options, window, options.top, budget).await
    }
}

/// The rest of the budget of one response, with its expansions.
struct PageBudget {
    /// Results of expansions.
    results: usize,
    evaluation: EvaluationBudget,
}

impl PageBudget {
    fn new() -> PageBudget {
        PageBudget { results: MAX_EXPANDED, evaluation: EvaluationBudget::default() }
    }
}

/// A referral among the results of an aggregation.
fn item_from_row(row: &Json) -> Result<ListItem, StoreError> {
    let member = |name: &str| row[name].as_str().unwrap_or_default();
    let (id, engagement_id) = (member("id").parse(), member("engagementId").parse());
    let (Ok(id), Ok(engagement_id), Ok(etag)) = (id, engagement_id, member("eTag").parse()) else {
        return Err(StoreError::Engine("a result of $apply is no referral".to_owned()));
    };
    let document = Bytes::from(row.to_string());
    Ok(ListItem {
        visible: VisibleReferral { id, engagement_id, etag, document, visibility_may_change: false },
        related: Vec::new(),
    })
}

fn too_many_expanded() -> ReadError {
    StoreError::TooCostly(format!(
        "$expand would bring more than {MAX_EXPANDED} referrals; ask for smaller pages, or narrow it with $filter and $top"
    ))
    .into()
}

fn store_query(scope: Scope, options: &TypedOptions, window: &PageWindow<'_>) -> Query {
    Query {
        scope,
        filter: options.filter.clone(),
        search: options.search.clone(),
        order: options.orderby.clone(),
        after: window.after.cloned(),
        skip: window.skip,
        limit: window.limit,
        count: window.count,
    }
}

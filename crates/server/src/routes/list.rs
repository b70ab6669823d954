//! `GET /v1.0/engagements/referrals`: pages of referrals, counts, aggregations. Source: spec 11.1 to 11.3.

use std::sync::Arc;

use bytes::Bytes;
use exchange::{
    ApiMode, ApplyResult, Caller, Continuation, DetachedEvaluation, EvaluationBudget, ListItem, ListRequest,
    MAX_PAGE_SIZE, Page, RELATED_REFERRALS, StoreError,
};
use http::header::{CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use odata::{
    ExpandKind, Expr, Limits, SystemOption, Type, TypedApply, TypedOptions, TypedSelect, TypedTransformation,
    Work,
};
use referral::{EngagementId, ReferralId};
use serde_json::{Value as Json, json};

use crate::RequestContext;
use crate::api_error::{ApiError, sentence};
use crate::headers::{name, value};
use crate::item_writer::{ItemWriter, annotated, write_items, writing_cost};
use crate::list_cache::ListCacheQuery;
use crate::negotiation::{MetadataLevel, has_parameters, preferred_page_size};
use crate::numbers::BodyContent;
use crate::query::{refuse_options, refuse_others};
use crate::response::{ApiResponse, add_odata_version, odata_response};
use crate::routes::PathSuffix;

/// Maximum length of a query string whose list request is cached, and maximum size of that list request, in bytes.
const MAX_CACHED_QUERY_BYTES: usize = 1024;
const MAX_CACHED_REQUEST_BYTES: usize = 64 << 10;

/// Parsing a byte of a query takes about as long as parsing this number of bytes of JSON.
pub(super) const COST_PER_QUERY_BYTE: usize = 8;

/// Number of bytes after which the task yields to other requests: a millisecond of copying.
const YIELD_AFTER_BYTES: usize = 1 << 20;

/// Approximate lengths of an item's links and of a next link, in bytes.
const ITEM_LINKS_BYTES: usize = 384;
const NEXT_LINK_BYTES: usize = 1024;

/// The annotation of an answer that lacks damaged referrals: how many.
pub(crate) const LEFT_OUT: &str = "cosell.leftOut";

/// The body of a list.
struct ListBody {
    body: Bytes,
    /// Number of damaged referrals that it lacks.
    left_out: usize,
}

/// The subject of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListSubject {
    /// `relatedReferrals` of this referral in this engagement; `None`: the collection.
    related: Option<(ReferralId, EngagementId)>,
    /// References to them are wanted, not they.
    references: bool,
}

impl ListSubject {
    /// The collection.
    pub(super) const REFERRALS: ListSubject = ListSubject { related: None, references: false };

    /// The `relatedReferrals` of a referral.
    pub(super) fn related(id: ReferralId, engagement: EngagementId) -> ListSubject {
        ListSubject { related: Some((id, engagement)), references: false }
    }

    /// Returns the name that next links are bound to.
    fn name(self) -> String {
        let of = self.related.map(|(id, _)| id.to_string()).unwrap_or_default();
        if self.references { of + "/$ref" } else { of }
    }
}

impl RequestContext {
    /// Strict or extended.
    pub(crate) fn mode(&self) -> ApiMode {
        self.options.mode
    }

    /// Returns the list request of a query string. It is cached, because clients that poll repeat it.
    pub(crate) async fn list_request(
        &self,
        caller: &Caller,
        query: &str,
    ) -> Result<Arc<ListRequest>, ApiError> {
        if let Some(known) = self.list_requests.get(query) {
            return Ok(known);
        }
        let read = || ListRequest::from_query(query, self.mode());
        let list_request = self.read_query(caller, query.len(), read).await??;
        // A short text may stand for much: aliases of aliases.
        if query.len() <= MAX_CACHED_QUERY_BYTES && list_request.bytes() <= MAX_CACHED_REQUEST_BYTES {
            self.list_requests.insert(query.to_owned(), Arc::clone(&list_request));
        }
        Ok(list_request)
    }

    /// Parses a query of this length. A long one is parsed in a slot of the caller, with the texts that are needed later.
    async fn read_query<E>(
        &self,
        caller: &Caller,
        length: usize,
        read: impl FnOnce() -> Result<ListRequest, E>,
    ) -> Result<Result<Arc<ListRequest>, E>, ApiError> {
        let cost = length.saturating_mul(COST_PER_QUERY_BYTE);
        let read = || {
            let list_request = read()?;
            if length > MAX_CACHED_QUERY_BYTES {
                list_request.query_without_token();
                list_request.fingerprint();
            }
            Ok(Arc::new(list_request))
        };
        Ok(self.exchange.run_large(caller, cost, read).await?)
    }

    /// Returns the list request for a collection that `$filter` segments of the path restrict.
    pub(super) async fn filtered_list_request(
        &self,
        caller: &Caller,
        predicates: &[impl AsRef<str> + Sync],
        query: &str,
    ) -> Result<Arc<ListRequest>, ApiError> {
        if predicates.is_empty() {
            return self.list_request(caller, query).await;
        }
        let length = query.len() + predicates.iter().map(|predicate| predicate.as_ref().len()).sum::<usize>();
        let read = || -> Result<ListRequest, ApiError> {
            let options = ListRequest::parse_options(query, self.mode())?;
            Ok(ListRequest::with_path_filters(conditions(predicates)?, options, self.mode())?)
        };
        self.read_query(caller, length, read).await?
    }

    /// `GET` on a collection, however the path ends.
    pub(super) async fn collection(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        list_request: Arc<ListRequest>,
        subject: ListSubject,
        end: PathSuffix,
    ) -> Result<ApiResponse, ApiError> {
        use SystemOption::{Count, Filter, Format, OrderBy, Search, Skip, SkipToken, Top};
        match end {
            PathSuffix::Itself => self.list(caller, headers, list_request, subject).await,
            PathSuffix::Count => {
                refuse_others(list_request.raw_options(), &[Filter, Search], "a count")?;
                self.count(caller, &list_request, subject).await
            }
            PathSuffix::Reference => {
                let allowed = [Count, Filter, Format, OrderBy, Search, Skip, SkipToken, Top];
                refuse_options(list_request.raw_options(), &allowed, "references")?;
                let references = ListSubject { references: true, ..subject };
                self.list(caller, headers, list_request, references).await
            }
            PathSuffix::Value => Err(ApiError::no_such_path()),
        }
    }

    /// `GET` on the collection, or on a navigation.
    pub(super) async fn list(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        mut list_request: Arc<ListRequest>,
        subject: ListSubject,
    ) -> Result<ApiResponse, ApiError> {
        let metadata =
            MetadataLevel::from_request(headers, list_request.raw_options().format.as_deref(), self.mode())?;
        let preferred = preferred_page_size(headers);
        if let Some(size) = preferred {
            list_request = Arc::new(ListRequest::clone(&list_request).with_page_size(size));
        }
        let uncounted = self.options.mode.is_extended() && preferred.is_some();
        let cache_query = match subject {
            ListSubject { related: None, references: false } => {
                ListCacheQuery::for_request(caller, &list_request, metadata, uncounted)
            }
            _ => None,
        };
        let change_token = match cache_query {
            Some(_) => self.exchange.change_token(caller).await?,
            None => None,
        };
        let cached = cache_query
            .as_ref()
            .zip(change_token)
            .and_then(|(cache_query, change_token)| self.list_cache.get(cache_query, change_token));
        let mut left_out = 0;
        let body = match cached {
            Some(body) => body,
            None => {
                let reading = self.lists.begin(self.exchange.now());
                let listed = self.read_list(caller, &list_request, metadata, uncounted, subject).await;
                if listed.as_ref().map_or_else(|api_error| !api_error.status.is_server_error(), |_| true) {
                    reading.finish(self.exchange.now());
                }
                let listed = match listed {
                    Ok(listed) => listed,
                    Err(api_error) => {
                        return Err(self.name_option_at_fault(caller, &list_request, api_error).await);
                    }
                };
                left_out = listed.left_out;
                let body = listed.body;
                // The change token is the same: nothing changed during the read. Lists that lack referrals are not cached.
                if let (Some(cache_query), Some(change_token)) = (&cache_query, change_token)
                    && left_out == 0
                    && self.exchange.change_token(caller).await.is_ok_and(|now| now == Some(change_token))
                {
                    self.list_cache.insert(cache_query, change_token, body.clone());
                }
                body
            }
        };
        let mut response = odata_response(StatusCode::OK, body);
        self.add_left_out_header(&mut response, left_out);
        response.headers_mut().insert(VARY, HeaderValue::from_static("Accept, Prefer"));
        if has_parameters(headers) || list_request.raw_options().format.is_some() {
            response.extensions_mut().insert(BodyContent::List(Arc::clone(&list_request)));
        }
        if let Some(size) = preferred {
            let applied = value(&format!("odata.maxpagesize={}", size.min(MAX_PAGE_SIZE as u64)));
            response.headers_mut().insert(name::PREFERENCE_APPLIED, applied);
        }
        Ok(response)
    }

    /// The body of a list, read now.
    async fn read_list(
        &self,
        caller: &Caller,
        list_request: &ListRequest,
        metadata: MetadataLevel,
        uncounted: bool,
        subject: ListSubject,
    ) -> Result<ListBody, ApiError> {
        let from = self.continuation(caller, list_request, subject)?;
        if list_request.options().apply.is_some() {
            return self.aggregation(caller, list_request, from.as_ref(), metadata, subject).await;
        }
        let page = match subject.related {
            None => self.exchange.page(caller, list_request, from.as_ref(), uncounted).await,
            Some((_, engagement)) => {
                self.exchange.related(caller, engagement, list_request, from.as_ref()).await
            }
        }?;
        self.page_body(caller, list_request, page, metadata, subject).await
    }

    /// The body of a page of referrals, or of references to them.
    async fn page_body(
        &self,
        caller: &Caller,
        list_request: &ListRequest,
        page: Page,
        metadata: MetadataLevel,
        subject: ListSubject,
    ) -> Result<ListBody, ApiError> {
        // References are counted where that is asked for; the contract knows none.
        let count = page.count.filter(|_| !subject.references || list_request.options().count == Some(true));
        let mut out = self.envelope_begin(list_request, metadata, count, subject);
        if !subject.references && !ItemWriter::copies(list_request, metadata) {
            let total_left_out = page.total_left_out();
            let items = self.rebuilt_items(caller, list_request, metadata, Arc::from(page.items)).await?;
            out.extend_from_slice(&items);
            let body =
                self.envelope_end(caller, list_request, page.next.as_ref(), page.left_out, subject, out);
            return Ok(ListBody { body, left_out: total_left_out });
        }
        let work = Work::new(0, 0); // what is copied evaluates nothing
        let writer = ItemWriter::new(&self.base, list_request, metadata, self.exchange.now(), &work);
        let bytes: usize = page.items.iter().map(|item| item.visible.document.len() + ITEM_LINKS_BYTES).sum();
        out.reserve(
            if subject.references { page.items.len() * ITEM_LINKS_BYTES } else { bytes } + NEXT_LINK_BYTES,
        );
        let mut turn = YIELD_AFTER_BYTES;
        for (at, item) in page.items.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            if subject.references {
                let reference = json!({ "@odata.id": self.base.referral(item.visible.id) });
                out.extend_from_slice(reference.to_string().as_bytes());
                continue;
            }
            if out.len() >= turn {
                tokio::task::yield_now().await;
                turn = out.len() + YIELD_AFTER_BYTES;
            }
            writer.item(item, &mut out)?;
        }
        let body = self.envelope_end(caller, list_request, page.next.as_ref(), page.left_out, subject, out);
        Ok(ListBody { body, left_out: page.total_left_out() })
    }

    /// The items of an answer, rebuilt: here or apart, as long as it takes.
    async fn rebuilt_items(
        &self,
        caller: &Caller,
        list_request: &ListRequest,
        metadata: MetadataLevel,
        items: Arc<[ListItem]>,
    ) -> Result<Vec<u8>, StoreError> {
        let now = self.exchange.now();
        let inline = |work: &Work| write_items(&self.base, list_request, metadata, now, &items, work);
        let detached = || -> DetachedEvaluation<Vec<u8>, StoreError> {
            let (state, list_request, items) =
                (Arc::clone(&self.state), list_request.clone(), Arc::clone(&items));
            Box::new(move |work| write_items(&state.base, &list_request, metadata, now, &items, work))
        };
        self.exchange
            .evaluate(caller, &mut EvaluationBudget::default(), writing_cost(&items), inline, detached)
            .await
    }

    /// `GET …/$count`: only the number, as text.
    async fn count(
        &self,
        caller: &Caller,
        list_request: &ListRequest,
        subject: ListSubject,
    ) -> Result<ApiResponse, ApiError> {
        let count = match subject.related {
            None => self.exchange.count(caller, list_request).await,
            Some((_, engagement)) => self.exchange.count_related(caller, engagement, list_request).await,
        };
        let count = match count {
            Ok(count) => count,
            Err(error) => return Err(self.name_option_at_fault(caller, list_request, error.into()).await),
        };
        let mut response = plain_text_response(count.number.to_string());
        self.add_left_out_header(&mut response, count.left_out);
        Ok(response)
    }

    /// A refusal that is about the query as a whole, with the option that it is about.
    async fn name_option_at_fault(
        &self,
        caller: &Caller,
        list_request: &ListRequest,
        api_error: ApiError,
    ) -> ApiError {
        let api_error = with_only_option(list_request, api_error);
        if api_error.status != StatusCode::NOT_IMPLEMENTED || api_error.target.as_deref() != Some("query") {
            return api_error;
        }
        match self.exchange.unsupported_option(caller, list_request).await {
            Some(option) => api_error.about_option(option),
            None => api_error,
        }
    }

    /// Adds the number of damaged referrals that a response lacks to its headers and to the metrics.
    pub(super) fn add_left_out_header(&self, response: &mut ApiResponse, left_out: usize) {
        if left_out > 0 {
            self.metrics.left_out(left_out);
            response.headers_mut().insert(name::LEFT_OUT, HeaderValue::from(left_out));
        }
    }

    async fn aggregation(
        &self,
        caller: &Caller,
        list_request: &ListRequest,
        from: Option<&Continuation>,
        metadata: MetadataLevel,
        subject: ListSubject,
    ) -> Result<ListBody, ApiError> {
        if subject.related.is_some() {
            return Err(ApiError::not_implemented("$apply", "$apply is offered on the collection alone."));
        }
        let (rows, count, next, left_out) = match self.exchange.aggregate(caller, list_request, from).await? {
            ApplyResult::Referrals(page) => {
                return self.page_body(caller, list_request, page, metadata, subject).await;
            }
            ApplyResult::Rows { rows, count, next, left_out } => (rows, count, next, left_out),
        };
        let now = odata::DateTimeOffset { ticks: self.exchange.now().ticks(), offset: 0 };
        let full = metadata == MetadataLevel::Full;
        let rows: Arc<[Json]> = Arc::from(rows);
        let inline = |work: &Work| write_rows(list_request.options(), &rows, full, now, work);
        let detached = || -> DetachedEvaluation<Vec<u8>, StoreError> {
            let (options, rows) = (list_request.options().clone(), Arc::clone(&rows));
            Box::new(move |work| write_rows(&options, &rows, full, now, work))
        };
        let written =
            self.exchange.evaluate(caller, &mut EvaluationBudget::default(), 1, inline, detached).await?;
        let mut out = self.envelope_begin(list_request, metadata, count, subject);
        out.extend_from_slice(&written);
        let body = self.envelope_end(caller, list_request, next.as_ref(), left_out, subject, out);
        Ok(ListBody { body, left_out })
    }

    /// Returns the start of the page from `$skiptoken`.
    fn continuation(
        &self,
        caller: &Caller,
        list_request: &ListRequest,
        subject: ListSubject,
    ) -> Result<Option<Continuation>, ApiError> {
        let Some(token) = &list_request.raw_options().skiptoken else { return Ok(None) };
        match self.page_tokens.open(caller, &subject.name(), list_request, token) {
            Some(from) => Ok(Some(from)),
            None => Err(ApiError::invalid_continuation()),
        }
    }

    /// The members before `value`, in the order of spec 11.3.
    fn envelope_begin(
        &self,
        list_request: &ListRequest,
        metadata: MetadataLevel,
        count: Option<u64>,
        subject: ListSubject,
    ) -> Vec<u8> {
        let mut out = b"{".to_vec();
        if metadata != MetadataLevel::None {
            let context = match subject.references {
                true => format!("{}/v1.0/$metadata#Collection($ref)", self.base.url()),
                false => format!("{}{}", self.base.list_context(), projection(list_request.options())),
            };
            out.extend_from_slice(format!("\"@odata.context\":{},", Json::String(context)).as_bytes());
        }
        if let Some(count) = count {
            out.extend_from_slice(format!("\"@odata.count\":{count},").as_bytes());
        }
        out.extend_from_slice(b"\"value\":[");
        out
    }

    fn envelope_end(
        &self,
        caller: &Caller,
        list_request: &ListRequest,
        next: Option<&Continuation>,
        left_out: usize,
        subject: ListSubject,
        mut out: Vec<u8>,
    ) -> Bytes {
        out.push(b']');
        if left_out > 0 {
            out.extend_from_slice(format!(",\"@{LEFT_OUT}\":{left_out}").as_bytes());
        }
        if let Some(next) = next {
            let token = self.page_tokens.seal(caller, &subject.name(), list_request, next);
            let path = match subject.related {
                None => self.base.referrals(),
                Some((id, _)) => format!("{}/{RELATED_REFERRALS}", self.base.referral(id)),
            };
            let end = if subject.references { "/$ref" } else { "" };
            let link =
                format!("{path}{}{end}?{}", list_request.path(), list_request.continuation_query(&token));
            out.extend_from_slice(format!(",\"@odata.nextLink\":{}", Json::String(link)).as_bytes());
        }
        out.push(b'}');
        out.into()
    }
}

/// A refusal that is about the query as a whole, with the option that it can only be about.
pub(super) fn with_only_option(list_request: &ListRequest, api_error: ApiError) -> ApiError {
    match list_request.only_option() {
        Some(option) if api_error.target.as_deref() == Some("query") => api_error.about_option(option),
        _ => api_error,
    }
}

/// The results of an aggregation one after the other, as the options show them, with commas between.
fn write_rows(
    options: &TypedOptions,
    rows: &[Json],
    full: bool,
    now: odata::DateTimeOffset,
    work: &Work,
) -> Result<Vec<u8>, StoreError> {
    let schema = options.apply.as_ref().map_or(exchange::schema(), |apply| &*apply.schema);
    let result = options.apply.as_ref().map_or("", |apply| &*apply.result);
    let evaluator = odata::Evaluator { schema, now, work: Some(work) };
    let mut out = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let (held, before) = (work.held(), out.len());
        let shown = evaluator.project(options, row)?;
        let shown = if full { annotated(shown, result, schema) } else { shown };
        out.extend_from_slice(shown.to_string().as_bytes());
        // The tree is gone, its text stays.
        work.release(usize::try_from(work.held() - held).unwrap_or(usize::MAX));
        work.hold(out.len() - before)?;
        work.take_text(16 * (out.len() - before))?;
    }
    Ok(out)
}

/// The conditions of `$filter` segments.
pub(super) fn conditions(predicates: &[impl AsRef<str>]) -> Result<Vec<Expr>, ApiError> {
    let limits = Limits::default();
    let read = |text: &str| {
        Expr::parse(text, &limits)
            .map_err(|fault| ApiError::unsupported_query("$filter", sentence(format!("$filter, {fault}"))))
    };
    predicates.iter().map(|text| read(text.as_ref())).collect()
}

/// What the context says of a selection: `(id,relatedReferrals(status))`. Source: OData 4.01 Protocol, sections 10.7
/// to 10.10; OData Data Aggregation 4.0, section 3 (its examples).
pub(super) fn projection(options: &TypedOptions) -> String {
    let items = select_list(options);
    if items.is_empty() { String::new() } else { format!("({})", items.join(",")) }
}

/// What is selected, whatever it was called in the query, and then what is expanded.
fn select_list(options: &TypedOptions) -> Vec<String> {
    let mut items = Vec::new();
    let computed = options.compute.iter().map(|one| identifier(&one.name));
    match (&options.select, &options.apply) {
        (Some(select), _) => select.iter().for_each(|one| selected(one, &mut items)),
        (None, Some(apply)) if !apply.keeps_items() => {
            result_members(apply, &apply.result, "", &mut items);
            items.extend(computed);
        }
        (None, apply) => {
            let steps = apply.iter().flat_map(|apply| &apply.steps);
            let in_steps = steps.filter_map(|step| match step {
                TypedTransformation::Compute(computed) => Some(computed),
                _ => None,
            });
            items.extend(in_steps.flatten().map(|one| identifier(&one.name)));
            items.extend(computed);
            // All that there was, and these besides.
            if !items.is_empty() {
                items.insert(0, "*".to_owned());
            }
        }
    }
    for expand in options.expand.iter().filter(|expand| expand.what != ExpandKind::Count) {
        let name = expand.steps.last().map_or(RELATED_REFERRALS, |step| &step.name);
        let inside = match expand.what {
            ExpandKind::Entities => select_list(&expand.options).join(","),
            ExpandKind::References | ExpandKind::Count => String::new(),
        };
        items.push(format!("{name}({inside})"));
    }
    items
}

fn selected(one: &TypedSelect, items: &mut Vec<String>) {
    match one {
        TypedSelect::All => items.push("*".to_owned()),
        TypedSelect::Computed(name) => items.push(identifier(name)),
        TypedSelect::Property { steps, options } => {
            let names: Vec<String> = steps.iter().map(|step| identifier(&step.name)).collect();
            let path = names.join("/");
            let inner = options.as_deref().map(select_list).unwrap_or_default();
            match inner.as_slice() {
                [] => items.push(path),
                inner => items.extend(inner.iter().map(|inner| format!("{path}/{inner}"))),
            }
        }
    }
}

/// The members of a type that `$apply` made, those of the objects it made too.
fn result_members(apply: &TypedApply, of: &str, before: &str, items: &mut Vec<String>) {
    for property in apply.schema.properties(of) {
        let path = format!("{before}{}", identifier(&property.name));
        match &property.ty {
            Type::Structured(inner) if exchange::schema().properties(inner).next().is_none() => {
                result_members(apply, inner, &format!("{path}/"), items);
            }
            _ => items.push(path),
        }
    }
}

/// A name as an address has it.
fn identifier(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte.is_ascii() {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A value as plain text (`$count`, `$value`).
pub(super) fn plain_text_response(text: String) -> ApiResponse {
    let mut response = crate::response::json_response(StatusCode::OK, text);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=utf-8"));
    add_odata_version(&mut response);
    response
}

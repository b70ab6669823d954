//! Paths into a referral, in the extended temperament: `/{id}/name`, `/{id}/name/$value`, `/{id}/team/$count`,
//! `/{id}/relatedReferrals`, `/{id}/$ref`. Source: OData 4.01 URL Conventions, sections 4.3 to 4.8.

use std::sync::Arc;

use exchange::{
    Caller, DetachedEvaluation, EvaluationBudget, ListRequest, RELATED_REFERRALS, StoreError,
    VisibleReferral, reading_cost, schema,
};
use http::{HeaderMap, StatusCode};
use odata::{Property, QueryOptions, SystemOption, Type, TypedOptions, TypedSelect, Work};
use referral::{Referral, ReferralId};
use serde_json::{Map, Value as Json};

use super::list::{
    COST_PER_QUERY_BYTE, ListSubject, conditions, plain_text_response, projection, with_only_option,
};
use super::{PathSuffix, is_own_type, predicate, segments, unserved};
use crate::RequestContext;
use crate::api_error::ApiError;
use crate::item_writer::{ItemWriter, writing_cost};
use crate::negotiation::{MetadataLevel, has_parameters};
use crate::numbers::BodyContent;
use crate::preconditions::BodyMayDiffer;
use crate::query::{refuse_others, refuse_unbuilt};
use crate::response::{ApiResponse, ResponseKind, add_odata_version, empty_response, odata_response};

/// A property of a referral, as a path names it.
struct MemberPath<'p> {
    /// From the referral inwards.
    steps: Vec<Property>,
    ty: Type,
    /// What the `$filter` segments behind it say.
    predicates: Vec<&'p str>,
}

impl RequestContext {
    /// `GET …/{id}` with query options.
    pub(super) async fn projected_referral(
        &self,
        caller: &Caller,
        visible: VisibleReferral,
        headers: &HeaderMap,
        query: &str,
    ) -> Result<ApiResponse, ApiError> {
        use SystemOption::{Compute, Expand, Format, Select};
        let list_request = self.list_request(caller, query).await?;
        refuse_others(list_request.raw_options(), &[Compute, Expand, Format, Select], "one referral")?;
        let metadata =
            MetadataLevel::from_request(headers, list_request.raw_options().format.as_deref(), self.mode())?;
        let plain_answer =
            list_request.raw_options().given.iter().all(|option| *option == SystemOption::Format);
        if plain_answer && metadata == MetadataLevel::Minimal {
            return Ok(self.referral_response(ResponseKind::Full, &visible, metadata));
        }
        let (etag, may_differ) = (visible.etag, visible.visibility_may_change);
        let item = self.exchange.expand_item(caller, visible, &list_request.options().expand).await;
        let item = item.map_err(|error| with_only_option(&list_request, error.into()))?;
        let left_out = item.left_out();
        let context = (metadata != MetadataLevel::None)
            .then(|| self.base.entity_context(&projection(list_request.options())));
        let item = Arc::new(item);
        let now = self.exchange.now();
        let inline = |work: &Work| {
            ItemWriter::new(&self.base, &list_request, metadata, now, work).entity(&item, context.clone())
        };
        let detached = || -> DetachedEvaluation<Vec<u8>, StoreError> {
            let (state, list_request) = (Arc::clone(&self.state), Arc::clone(&list_request));
            let (item, context) = (Arc::clone(&item), context.clone());
            Box::new(move |work| {
                ItemWriter::new(&state.base, &list_request, metadata, now, work).entity(&item, context)
            })
        };
        let price = writing_cost(std::slice::from_ref(&*item));
        let body =
            self.exchange.evaluate(caller, &mut EvaluationBudget::default(), price, inline, detached).await?;
        let mut response = odata_response(StatusCode::OK, body);
        response.headers_mut().insert(http::header::ETAG, crate::headers::short_value(etag));
        self.add_left_out_header(&mut response, left_out);
        if may_differ || !list_request.depends_only_on_own() {
            response.extensions_mut().insert(BodyMayDiffer);
        }
        if has_parameters(headers) || list_request.raw_options().format.is_some() {
            response.extensions_mut().insert(BodyContent::Referral(Some(list_request)));
        }
        Ok(response)
    }

    /// `GET …/{id}/{path}`.
    pub(super) async fn member(
        &self,
        caller: &Caller,
        id: ReferralId,
        path: &str,
        headers: &HeaderMap,
        query: &str,
    ) -> Result<ApiResponse, ApiError> {
        let visible = self.exchange.referral(caller, id).await?;
        // A cast to the type it has says nothing new.
        let mut parts: Vec<&str> = segments(path).into_iter().filter(|part| !is_own_type(part)).collect();
        let end = match parts.last() {
            Some(&"$count") => PathSuffix::Count,
            Some(&"$value") => PathSuffix::Value,
            Some(&"$ref") => PathSuffix::Reference,
            _ => PathSuffix::Itself,
        };
        if end != PathSuffix::Itself {
            parts.pop();
        }
        match (parts.as_slice(), end) {
            ([], PathSuffix::Itself) => self.projected_referral(caller, visible, headers, query).await,
            ([], PathSuffix::Reference) => self.reference(id, headers, query),
            ([], PathSuffix::Value) => Err(not_offered("$value")),
            ([], PathSuffix::Count) => Err(ApiError::no_such_path()),
            ([name, rest @ ..], end) if name.split('(').next() == Some(RELATED_REFERRALS) => {
                let predicates = related_path(name, rest)?;
                let subject = ListSubject::related(id, visible.engagement_id);
                let list_request = self.filtered_list_request(caller, &predicates, query).await?;
                self.collection(caller, headers, list_request, subject, end).await
            }
            (_, PathSuffix::Reference) => Err(ApiError::no_such_path()),
            (parts, end) => self.property(caller, &visible, &member_at(parts)?, end, headers, query).await,
        }
    }

    /// `GET …/{id}/$ref`
    fn reference(&self, id: ReferralId, headers: &HeaderMap, query: &str) -> Result<ApiResponse, ApiError> {
        let options = self.parse_allowed(query, &[SystemOption::Format], "a reference")?;
        let metadata = MetadataLevel::from_request(headers, options.format.as_deref(), self.mode())?;
        let reference = Json::String(self.base.referral(id));
        let mut body = Json::Object(Map::from_iter([("@odata.id".to_owned(), reference)]));
        if metadata != MetadataLevel::None {
            body = with_context(format!("{}/v1.0/$metadata#$ref", self.base.url()), body);
        }
        Ok(odata_response(StatusCode::OK, body.to_string()))
    }

    /// A property, by its path. The options are those of a collection, where it is one.
    async fn property(
        &self,
        caller: &Caller,
        visible: &VisibleReferral,
        member: &MemberPath<'_>,
        end: PathSuffix,
        headers: &HeaderMap,
        query: &str,
    ) -> Result<ApiResponse, ApiError> {
        let (allowed, what) = offered(&member.ty, end).ok_or_else(ApiError::no_such_path)?;
        let read = || -> Result<_, ApiError> {
            let options = self.parse_allowed(query, allowed, what)?;
            let format = options.format.clone();
            if let (PathSuffix::Value, Some(format)) = (end, &format) {
                let essence = format.split(';').next().unwrap_or_default().trim();
                if !essence.eq_ignore_ascii_case("text/plain") {
                    return Err(ApiError::not_acceptable(format).target("$format"));
                }
            }
            Ok((self.selection(member, options, end)?, format))
        };
        let length = query.len() + member.predicates.iter().map(|predicate| predicate.len()).sum::<usize>();
        let cost = length.saturating_mul(COST_PER_QUERY_BYTE);
        let (selection, format) = self.exchange.run_large(caller, cost, read).await??;
        let names: Vec<&str> = member.steps.iter().map(|step| &*step.name).collect();
        let context = match end {
            PathSuffix::Itself => match MetadataLevel::from_request(headers, format.as_deref(), self.mode())?
            {
                MetadataLevel::None => None,
                _ => {
                    let (base, id) = (self.base.list_context(), visible.id);
                    Some(format!("{base}({id})/{}{}", names.join("/"), inner_projection(&selection)))
                }
            },
            _ => None,
        };
        let content = BodyContent::property(member.ty.clone(), &selection);
        let mut document = Vec::new();
        self.base.item(&visible.document, visible.id, visible.engagement_id, &mut document);
        let shown = Arc::new(VisibleProperty {
            id: visible.id,
            document,
            names: names.into_iter().map(str::to_owned).collect(),
            selection,
            end,
            context,
            now: odata::DateTimeOffset { ticks: self.exchange.now().ticks(), offset: 0 },
        });
        let inline = |work: &Work| shown.text(work);
        let detached = || -> DetachedEvaluation<Option<String>, StoreError> {
            let shown = Arc::clone(&shown);
            Box::new(move |work| shown.text(work))
        };
        let price = reading_cost(shown.document.len());
        let text =
            self.exchange.evaluate(caller, &mut EvaluationBudget::default(), price, inline, detached).await?;
        Ok(match (text, end) {
            (None, _) => no_content_response(),
            (Some(text), PathSuffix::Itself) => {
                let mut response = odata_response(StatusCode::OK, text);
                response.extensions_mut().insert(content);
                response
            }
            (Some(text), _) => plain_text_response(text),
        })
    }

    /// The options of a part of a referral that takes only `allowed`.
    fn parse_allowed(
        &self,
        query: &str,
        allowed: &[SystemOption],
        of: &str,
    ) -> Result<QueryOptions, ApiError> {
        let options = ListRequest::parse_options(query, self.mode())?;
        refuse_unbuilt(&options)?;
        refuse_others(&options, allowed, of)?;
        Ok(options)
    }

    /// The options as those of the property alone, in a selection of it.
    fn selection(
        &self,
        member: &MemberPath<'_>,
        options: QueryOptions,
        end: PathSuffix,
    ) -> Result<TypedOptions, ApiError> {
        let path = conditions(&member.predicates)?;
        let mut inner = ListRequest::property_options(&member.ty, path, options, self.mode())?;
        if end == PathSuffix::Count {
            inner.count = Some(true);
        }
        let selected = TypedSelect::Property { steps: member.steps.clone(), options: Some(Box::new(inner)) };
        Ok(TypedOptions { select: Some(vec![selected]), ..TypedOptions::default() })
    }
}

/// A property that is to be shown.
struct VisibleProperty {
    id: ReferralId,
    /// The referral's document, with links.
    document: Vec<u8>,
    /// The names on the way to it.
    names: Vec<String>,
    selection: TypedOptions,
    end: PathSuffix,
    context: Option<String>,
    now: odata::DateTimeOffset,
}

impl VisibleProperty {
    /// The body of the answer; `None` for a property without a value.
    fn text(&self, work: &Work) -> Result<Option<String>, StoreError> {
        work.take(reading_cost(self.document.len()))?;
        let document: Json = serde_json::from_slice(&self.document)
            .map_err(|error| StoreError::Engine(format!("referral {} is not JSON: {error}", self.id)))?;
        let evaluator = odata::Evaluator { schema: schema(), now: self.now, work: Some(work) };
        let mut projected_referral = evaluator.project(&self.selection, &document)?;
        let Some((name, before)) = self.names.split_last() else { return Ok(None) };
        let parent = before.iter().try_fold(&mut projected_referral, |json, segment| json.get_mut(segment));
        let Some(Json::Object(parent)) = parent else { return Ok(None) };
        let count = parent.remove(&format!("{name}@odata.count"));
        let value = parent.remove(name).unwrap_or_default();
        let text = match (self.end, value) {
            (PathSuffix::Count, _) => count.map_or_else(|| "0".to_owned(), |count| count.to_string()),
            (_, Json::Null) => return Ok(None),
            (PathSuffix::Value, Json::String(text)) => text,
            (PathSuffix::Value, other) => other.to_string(),
            (_, value) => self.body(value, count),
        };
        work.take(reading_cost(text.len()))?;
        Ok(Some(text))
    }

    fn body(&self, value: Json, count: Option<Json>) -> String {
        let mut body = Map::new();
        if let Some(count) = count {
            body.insert("@odata.count".to_owned(), count);
        }
        match value {
            Json::Object(members) => body.extend(members),
            value => {
                body.insert("value".to_owned(), value);
            }
        }
        let body = Json::Object(body);
        match &self.context {
            Some(context) => with_context(context.clone(), body).to_string(),
            None => body.to_string(),
        }
    }
}

/// The type that a path of property names leads to.
pub(crate) fn type_at(path: &[&str]) -> Option<Type> {
    member_at(path).ok().map(|member| member.ty)
}

/// The options that a property of this type takes where the path ends so, and what it is called; `None` where a path
/// to it cannot end so.
fn offered(ty: &Type, end: PathSuffix) -> Option<(&'static [SystemOption], &'static str)> {
    use SystemOption::{Apply, Compute, Count, Filter, Format, OrderBy, Search, Select, Skip, Top};
    Some(match (ty, end) {
        (Type::Collection(_), PathSuffix::Itself) => (
            // The last two are refused as what is not built.
            &[Compute, Count, Filter, Format, OrderBy, Select, Skip, Top, Apply, Search],
            "this collection",
        ),
        (Type::Collection(_), PathSuffix::Count) => (&[Filter, Search], "a count"),
        (Type::Structured(_), PathSuffix::Itself) => (&[Compute, Format, Select], "one object"),
        (Type::Primitive(_) | Type::Enum(_), PathSuffix::Itself) => (&[Format], "one value"),
        (Type::Primitive(_) | Type::Enum(_), PathSuffix::Value) => (&[Format], "a raw value"),
        _ => return None,
    })
}

fn not_offered(what: &str) -> ApiError {
    ApiError::not_implemented(what, format!("{what} is not offered here."))
}

/// The conditions of the segments behind `relatedReferrals`.
fn related_path<'p>(name: &str, rest: &[&'p str]) -> Result<Vec<&'p str>, ApiError> {
    if name != RELATED_REFERRALS {
        return Err(not_offered("a key behind relatedReferrals"));
    }
    let condition = |segment: &&'p str| match predicate(segment) {
        Some(predicate) => Ok(predicate),
        None if segment.parse::<ReferralId>().is_ok() => Err(not_offered("a key behind relatedReferrals")),
        None => Err(unserved(segment).map_or_else(ApiError::no_such_path, not_offered)),
    };
    rest.iter().map(condition).collect()
}

/// The property that a path leads to, and the conditions that `$filter` segments put on its members.
fn member_at<'p>(path: &[&'p str]) -> Result<MemberPath<'p>, ApiError> {
    let mut member = MemberPath {
        steps: Vec::new(),
        ty: Type::Structured(Referral::TYPE.name.into()),
        predicates: Vec::new(),
    };
    for segment in path {
        let collection = matches!(member.ty, Type::Collection(_));
        if let (true, Some(predicate)) = (collection, predicate(segment)) {
            member.predicates.push(predicate);
            continue;
        }
        let property = match &member.ty {
            Type::Structured(of) => schema().property(of, segment, false),
            _ => None,
        };
        let Some(property) = property.filter(|property| !property.navigation) else {
            let at = segment.strip_prefix('-').unwrap_or(segment);
            let index = collection && !at.is_empty() && at.bytes().all(|byte| byte.is_ascii_digit());
            let what = if index { Some("a member by its index") } else { unserved(segment) };
            return Err(what.map_or_else(ApiError::no_such_path, not_offered));
        };
        member.ty = property.ty.clone();
        member.steps.push(property.clone());
    }
    Ok(member)
}

/// What the context says of the property that a selection holds alone.
fn inner_projection(selection: &TypedOptions) -> String {
    match selection.select.as_deref() {
        Some([TypedSelect::Property { options: Some(options), .. }]) => projection(options),
        _ => String::new(),
    }
}

pub(crate) fn with_context(context: String, body: Json) -> Json {
    let mut all = Map::from_iter([("@odata.context".to_owned(), Json::String(context))]);
    if let Json::Object(members) = body {
        all.extend(members);
    }
    Json::Object(all)
}

/// A property without value. Source: OData 4.01 Protocol, 11.2.3.
fn no_content_response() -> ApiResponse {
    let mut response = empty_response(StatusCode::NO_CONTENT);
    add_odata_version(&mut response);
    response
}

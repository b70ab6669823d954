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

use super::list::{QUERY_COST, Subject, conditions, naming_option, plain, projection};
use super::{End, is_own_type, predicate, segments, unserved};
use crate::Shared;
use crate::answer::{Answer, Reply, empty, mark_odata, odata};
use crate::face::Face;
use crate::negotiation::{Metadata, has_parameters};
use crate::numbers::Content;
use crate::preconditions::MayDiffer;
use crate::query::{refuse_others, refuse_unbuilt};
use crate::shape::{Shape, price_of};

/// A property of a referral, as a path names it.
struct Member<'p> {
    /// From the referral inwards.
    steps: Vec<Property>,
    ty: Type,
    /// What the `$filter` segments behind it say.
    predicates: Vec<&'p str>,
}

impl Shared {
    /// `GET …/{id}` with query options.
    pub(super) async fn projected(
        &self,
        caller: &Caller,
        visible: VisibleReferral,
        headers: &HeaderMap,
        query: &str,
    ) -> Result<Answer, Face> {
        use SystemOption::{Compute, Expand, Format, Select};
        let list_request = self.list_request(caller, query).await?;
        refuse_others(list_request.raw_options(), &[Compute, Expand, Format, Select], "one referral")?;
        let metadata = Metadata::asked(headers, list_request.raw_options().format.as_deref(), self.mode())?;
        let plain_answer =
            list_request.raw_options().given.iter().all(|option| *option == SystemOption::Format);
        if plain_answer && metadata == Metadata::Minimal {
            return Ok(self.referral_answer(Reply::Whole, &visible, metadata));
        }
        let (etag, may_differ) = (visible.etag, visible.visibility_may_change);
        let item = self.exchange.expand_item(caller, visible, &list_request.options().expand).await;
        let item = item.map_err(|error| naming_option(&list_request, error.into()))?;
        let left_out = item.left_out();
        let context = (metadata != Metadata::None)
            .then(|| self.base.entity_context(&projection(list_request.options())));
        let item = Arc::new(item);
        let now = self.exchange.now();
        let here = |work: &Work| {
            Shape::new(&self.base, &list_request, metadata, now, work).entity(&item, context.clone())
        };
        let apart = || -> DetachedEvaluation<Vec<u8>, StoreError> {
            let (parts, list_request) = (Arc::clone(&self.parts), Arc::clone(&list_request));
            let (item, context) = (Arc::clone(&item), context.clone());
            Box::new(move |work| {
                Shape::new(&parts.base, &list_request, metadata, now, work).entity(&item, context)
            })
        };
        let price = price_of(std::slice::from_ref(&*item));
        let body =
            self.exchange.evaluate(caller, &mut EvaluationBudget::default(), price, here, apart).await?;
        let mut answer = odata(StatusCode::OK, body);
        answer.headers_mut().insert(http::header::ETAG, crate::headers::shown(etag));
        self.tell_left_out(&mut answer, left_out);
        if may_differ || !list_request.depends_only_on_own() {
            answer.extensions_mut().insert(MayDiffer);
        }
        if has_parameters(headers) || list_request.raw_options().format.is_some() {
            answer.extensions_mut().insert(Content::Referral(Some(list_request)));
        }
        Ok(answer)
    }

    /// `GET …/{id}/{path}`.
    pub(super) async fn member(
        &self,
        caller: &Caller,
        id: ReferralId,
        path: &str,
        headers: &HeaderMap,
        query: &str,
    ) -> Result<Answer, Face> {
        let visible = self.exchange.referral(caller, id).await?;
        // A cast to the type it has says nothing new.
        let mut parts: Vec<&str> = segments(path).into_iter().filter(|part| !is_own_type(part)).collect();
        let end = match parts.last() {
            Some(&"$count") => End::Count,
            Some(&"$value") => End::Value,
            Some(&"$ref") => End::Reference,
            _ => End::Itself,
        };
        if end != End::Itself {
            parts.pop();
        }
        match (parts.as_slice(), end) {
            ([], End::Itself) => self.projected(caller, visible, headers, query).await,
            ([], End::Reference) => self.reference(id, headers, query),
            ([], End::Value) => Err(not_offered("$value")),
            ([], End::Count) => Err(Face::no_such_path()),
            ([name, rest @ ..], end) if name.split('(').next() == Some(RELATED_REFERRALS) => {
                let predicates = related_path(name, rest)?;
                let subject = Subject::related(id, visible.engagement_id);
                let list_request = self.narrowed(caller, &predicates, query).await?;
                self.collection(caller, headers, list_request, subject, end).await
            }
            (_, End::Reference) => Err(Face::no_such_path()),
            (parts, end) => self.property(caller, &visible, &member_at(parts)?, end, headers, query).await,
        }
    }

    /// `GET …/{id}/$ref`
    fn reference(&self, id: ReferralId, headers: &HeaderMap, query: &str) -> Result<Answer, Face> {
        let options = self.taken(query, &[SystemOption::Format], "a reference")?;
        let metadata = Metadata::asked(headers, options.format.as_deref(), self.mode())?;
        let reference = Json::String(self.base.referral(id));
        let mut body = Json::Object(Map::from_iter([("@odata.id".to_owned(), reference)]));
        if metadata != Metadata::None {
            body = with_context(format!("{}/v1.0/$metadata#$ref", self.base.url()), body);
        }
        Ok(odata(StatusCode::OK, body.to_string()))
    }

    /// A property, by its path. The options are those of a collection, where it is one.
    async fn property(
        &self,
        caller: &Caller,
        visible: &VisibleReferral,
        member: &Member<'_>,
        end: End,
        headers: &HeaderMap,
        query: &str,
    ) -> Result<Answer, Face> {
        let (allowed, what) = offered(&member.ty, end).ok_or_else(Face::no_such_path)?;
        let read = || -> Result<_, Face> {
            let options = self.taken(query, allowed, what)?;
            let format = options.format.clone();
            if let (End::Value, Some(format)) = (end, &format) {
                let essence = format.split(';').next().unwrap_or_default().trim();
                if !essence.eq_ignore_ascii_case("text/plain") {
                    return Err(Face::not_acceptable(format).target("$format"));
                }
            }
            Ok((self.selection(member, options, end)?, format))
        };
        let length = query.len() + member.predicates.iter().map(|predicate| predicate.len()).sum::<usize>();
        let cost = length.saturating_mul(QUERY_COST);
        let (selection, format) = self.exchange.run_large(caller, cost, read).await??;
        let names: Vec<&str> = member.steps.iter().map(|step| &*step.name).collect();
        let context = match end {
            End::Itself => match Metadata::asked(headers, format.as_deref(), self.mode())? {
                Metadata::None => None,
                _ => {
                    let (base, id) = (self.base.list_context(), visible.id);
                    Some(format!("{base}({id})/{}{}", names.join("/"), inner_projection(&selection)))
                }
            },
            _ => None,
        };
        let content = Content::property(member.ty.clone(), &selection);
        let mut document = Vec::new();
        self.base.item(&visible.document, visible.id, visible.engagement_id, &mut document);
        let shown = Arc::new(ShownProperty {
            id: visible.id,
            document,
            names: names.into_iter().map(str::to_owned).collect(),
            selection,
            end,
            context,
            now: odata::DateTimeOffset { ticks: self.exchange.now().ticks(), offset: 0 },
        });
        let here = |work: &Work| shown.text(work);
        let apart = || -> DetachedEvaluation<Option<String>, StoreError> {
            let shown = Arc::clone(&shown);
            Box::new(move |work| shown.text(work))
        };
        let price = reading_cost(shown.document.len());
        let text =
            self.exchange.evaluate(caller, &mut EvaluationBudget::default(), price, here, apart).await?;
        Ok(match (text, end) {
            (None, _) => no_content(),
            (Some(text), End::Itself) => {
                let mut answer = odata(StatusCode::OK, text);
                answer.extensions_mut().insert(content);
                answer
            }
            (Some(text), _) => plain(text),
        })
    }

    /// The options of a part of a referral that takes only `allowed`.
    fn taken(&self, query: &str, allowed: &[SystemOption], of: &str) -> Result<QueryOptions, Face> {
        let options = ListRequest::parse_options(query, self.mode())?;
        refuse_unbuilt(&options)?;
        refuse_others(&options, allowed, of)?;
        Ok(options)
    }

    /// The options as those of the property alone, in a selection of it.
    fn selection(&self, member: &Member<'_>, options: QueryOptions, end: End) -> Result<TypedOptions, Face> {
        let path = conditions(&member.predicates)?;
        let mut inner = ListRequest::property_options(&member.ty, path, options, self.mode())?;
        if end == End::Count {
            inner.count = Some(true);
        }
        let selected = TypedSelect::Property { steps: member.steps.clone(), options: Some(Box::new(inner)) };
        Ok(TypedOptions { select: Some(vec![selected]), ..TypedOptions::default() })
    }
}

/// A property that is to be shown.
struct ShownProperty {
    id: ReferralId,
    /// The referral's document, with links.
    document: Vec<u8>,
    /// The names on the way to it.
    names: Vec<String>,
    selection: TypedOptions,
    end: End,
    context: Option<String>,
    now: odata::DateTimeOffset,
}

impl ShownProperty {
    /// The body of the answer; `None` for a property without a value.
    fn text(&self, work: &Work) -> Result<Option<String>, StoreError> {
        work.take(reading_cost(self.document.len()))?;
        let document: Json = serde_json::from_slice(&self.document)
            .map_err(|error| StoreError::Engine(format!("referral {} is not JSON: {error}", self.id)))?;
        let evaluator = odata::Evaluator { schema: schema(), now: self.now, work: Some(work) };
        let mut projected = evaluator.project(&self.selection, &document)?;
        let Some((name, before)) = self.names.split_last() else { return Ok(None) };
        let parent = before.iter().try_fold(&mut projected, |json, segment| json.get_mut(segment));
        let Some(Json::Object(parent)) = parent else { return Ok(None) };
        let count = parent.remove(&format!("{name}@odata.count"));
        let value = parent.remove(name).unwrap_or_default();
        let text = match (self.end, value) {
            (End::Count, _) => count.map_or_else(|| "0".to_owned(), |count| count.to_string()),
            (_, Json::Null) => return Ok(None),
            (End::Value, Json::String(text)) => text,
            (End::Value, other) => other.to_string(),
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
fn offered(ty: &Type, end: End) -> Option<(&'static [SystemOption], &'static str)> {
    use SystemOption::{Apply, Compute, Count, Filter, Format, OrderBy, Search, Select, Skip, Top};
    Some(match (ty, end) {
        (Type::Collection(_), End::Itself) => (
            // The last two are refused as what is not built.
            &[Compute, Count, Filter, Format, OrderBy, Select, Skip, Top, Apply, Search],
            "this collection",
        ),
        (Type::Collection(_), End::Count) => (&[Filter, Search], "a count"),
        (Type::Structured(_), End::Itself) => (&[Compute, Format, Select], "one object"),
        (Type::Primitive(_) | Type::Enum(_), End::Itself) => (&[Format], "one value"),
        (Type::Primitive(_) | Type::Enum(_), End::Value) => (&[Format], "a raw value"),
        _ => return None,
    })
}

fn not_offered(what: &str) -> Face {
    Face::not_implemented(what, format!("{what} is not offered here."))
}

/// The conditions of the segments behind `relatedReferrals`.
fn related_path<'p>(name: &str, rest: &[&'p str]) -> Result<Vec<&'p str>, Face> {
    if name != RELATED_REFERRALS {
        return Err(not_offered("a key behind relatedReferrals"));
    }
    let condition = |segment: &&'p str| match predicate(segment) {
        Some(predicate) => Ok(predicate),
        None if segment.parse::<ReferralId>().is_ok() => Err(not_offered("a key behind relatedReferrals")),
        None => Err(unserved(segment).map_or_else(Face::no_such_path, not_offered)),
    };
    rest.iter().map(condition).collect()
}

/// The property that a path leads to, and the conditions that `$filter` segments put on its members.
fn member_at<'p>(path: &[&'p str]) -> Result<Member<'p>, Face> {
    let mut member = Member {
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
            return Err(what.map_or_else(Face::no_such_path, not_offered));
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
fn no_content() -> Answer {
    let mut answer = empty(StatusCode::NO_CONTENT);
    mark_odata(&mut answer);
    answer
}

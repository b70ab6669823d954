//! Paths into a referral, in the extended temperament: `/{id}/name`, `/{id}/name/$value`, `/{id}/team/$count`,
//! `/{id}/relatedReferrals`, `/{id}/$ref`. Source: OData 4.01 URL Conventions, sections 4.3 to 4.8.

use std::sync::Arc;

use exchange::{
    Apart, Budget, Caller, Question, RELATED_REFERRALS, StoreError, VisibleReferral, price_of_reading, schema,
};
use http::{HeaderMap, StatusCode};
use odata::{Property, QueryOptions, SystemOption, Type, TypedOptions, TypedSelect, Work};
use referral::{Referral, ReferralId};
use serde_json::{Map, Value as Json};

use super::list::{Subject, conditions, naming_option, plain, projection};
use super::{End, is_own_type, predicate, segments, unserved};
use crate::Shared;
use crate::answer::{Answer, Reply, empty, mark_odata, odata};
use crate::face::Face;
use crate::negotiation::{Metadata, has_parameters};
use crate::numbers::Content;
use crate::preconditions::MayDiffer;
use crate::query::{refuse_others, refuse_unbuilt};

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
        let question = self.question(query)?;
        refuse_others(question.asked(), &[Compute, Expand, Format, Select], "one referral")?;
        let metadata = Metadata::asked(headers, question.asked().format.as_deref(), self.temperament())?;
        let plain_answer = question.asked().given.iter().all(|option| *option == SystemOption::Format);
        if plain_answer && metadata == Metadata::Minimal {
            return Ok(self.referral_answer(Reply::Whole, &visible, metadata));
        }
        let (etag, may_differ) = (visible.etag, visible.visibility_may_change);
        let item = self.exchange.expanded(caller, visible, &question.options().expand).await;
        let item = item.map_err(|error| naming_option(&question, error.into()))?;
        let left_out = item.left_out();
        let text = self.rebuilt_items(caller, &question, metadata, Arc::from([item])).await?;
        let mut tree: Json = serde_json::from_slice(&text).unwrap_or_default();
        if metadata != Metadata::None {
            tree = with_context(self.base.entity_context(&projection(question.options())), tree);
        }
        let mut answer = odata(StatusCode::OK, tree.to_string());
        answer.headers_mut().insert(http::header::ETAG, crate::headers::shown(etag));
        self.tell_left_out(&mut answer, left_out);
        if may_differ || !question.is_of_own_alone() {
            answer.extensions_mut().insert(MayDiffer);
        }
        if has_parameters(headers) || question.asked().format.is_some() {
            answer.extensions_mut().insert(Content::Referral(Some(question)));
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
                self.collection(caller, headers, self.narrowed(&predicates, query)?, subject, end).await
            }
            (_, End::Reference) => Err(Face::no_such_path()),
            (parts, end) => self.property(caller, &visible, &member_at(parts)?, end, headers, query).await,
        }
    }

    /// `GET …/{id}/$ref`
    fn reference(&self, id: ReferralId, headers: &HeaderMap, query: &str) -> Result<Answer, Face> {
        let options = self.taken(query, &[SystemOption::Format], "a reference")?;
        let metadata = Metadata::asked(headers, options.format.as_deref(), self.temperament())?;
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
        let options = self.taken(query, allowed, what)?;
        let format = options.format.clone();
        if let (End::Value, Some(format)) = (end, &format) {
            let essence = format.split(';').next().unwrap_or_default().trim();
            if !essence.eq_ignore_ascii_case("text/plain") {
                return Err(Face::not_acceptable(format).target("$format"));
            }
        }
        let selection = self.selection(member, options, end)?;
        let mut document = Vec::new();
        self.base.item(&visible.document, visible.id, visible.engagement_id, &mut document);
        let document = Arc::new(document);
        let now = odata::DateTimeOffset { ticks: self.exchange.now().ticks(), offset: 0 };
        let here = |work: &Work| project(&selection, &document, now, work);
        let apart = || -> Apart<Json, StoreError> {
            let (selection, document) = (selection.clone(), Arc::clone(&document));
            Box::new(move |work| project(&selection, &document, now, work))
        };
        let price = price_of_reading(document.len());
        let projected = self.exchange.evaluate(caller, &mut Budget::default(), price, here, apart).await?;
        let names: Vec<&str> = member.steps.iter().map(|step| &*step.name).collect();
        let (parent, name) = (parent_of(&projected, &names), names.last().copied().unwrap_or_default());
        let value = parent.and_then(|parent| parent.get(name)).unwrap_or(&Json::Null);
        let count = parent.and_then(|parent| parent.get(format!("{name}@odata.count")));
        match end {
            End::Count => Ok(plain(count.map_or_else(|| "0".to_owned(), Json::to_string))),
            End::Value => Ok(match value {
                Json::Null => no_content(),
                Json::String(text) => plain(text.clone()),
                other => plain(other.to_string()),
            }),
            _ if value.is_null() => Ok(no_content()),
            _ => {
                let metadata = Metadata::asked(headers, format.as_deref(), self.temperament())?;
                let path = format!("{}{}", names.join("/"), inner_projection(&selection));
                let mut answer = self.value_answer(visible.id, &path, value, count, metadata);
                answer.extensions_mut().insert(Content::property(member.ty.clone(), &selection));
                Ok(answer)
            }
        }
    }

    /// The options of a part of a referral that takes only `allowed`.
    fn taken(&self, query: &str, allowed: &[SystemOption], of: &str) -> Result<QueryOptions, Face> {
        let options = Question::parse(query, self.temperament())?;
        refuse_unbuilt(&options)?;
        refuse_others(&options, allowed, of)?;
        Ok(options)
    }

    fn value_answer(
        &self,
        id: ReferralId,
        path: &str,
        value: &Json,
        count: Option<&Json>,
        metadata: Metadata,
    ) -> Answer {
        let mut body = Map::new();
        if let Some(count) = count {
            body.insert("@odata.count".to_owned(), count.clone());
        }
        match value {
            Json::Object(members) => body.extend(members.clone()),
            value => {
                body.insert("value".to_owned(), value.clone());
            }
        }
        let mut body = Json::Object(body);
        if metadata != Metadata::None {
            body = with_context(format!("{}({id})/{path}", self.base.list_context()), body);
        }
        odata(StatusCode::OK, body.to_string())
    }

    /// The options as those of the property alone, in a selection of it.
    fn selection(&self, member: &Member<'_>, options: QueryOptions, end: End) -> Result<TypedOptions, Face> {
        let path = conditions(&member.predicates)?;
        let mut inner = Question::options_of(&member.ty, path, options, self.temperament())?;
        if end == End::Count {
            inner.count = Some(true);
        }
        let selected = TypedSelect::Property { steps: member.steps.clone(), options: Some(Box::new(inner)) };
        Ok(TypedOptions { select: Some(vec![selected]), ..TypedOptions::default() })
    }
}

/// What a selection makes of a document.
fn project(
    selection: &TypedOptions,
    document: &[u8],
    now: odata::DateTimeOffset,
    work: &Work,
) -> Result<Json, StoreError> {
    work.take(price_of_reading(document.len()))?;
    let document: Json = serde_json::from_slice(document).unwrap_or_default();
    let evaluator = odata::Evaluator { schema: schema(), now, work: Some(work) };
    Ok(evaluator.project(selection, &document)?)
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

/// The object that holds the last of these members.
fn parent_of<'j>(document: &'j Json, segments: &[&str]) -> Option<&'j Json> {
    let (_, before) = segments.split_last()?;
    before.iter().try_fold(document, |json, segment| json.get(segment))
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

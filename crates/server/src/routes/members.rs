//! Paths into a referral, in the extended temperament: `/{id}/name`, `/{id}/name/$value`, `/{id}/team/$count`,
//! `/{id}/relatedReferrals`, `/{id}/$ref`. Source: OData 4.01 URL Conventions, sections 4.3 to 4.8.

use exchange::{Caller, NAMESPACE, Question, RELATED_REFERRALS, Shown, schema};
use http::{HeaderMap, StatusCode};
use odata::{ItemSegment, ItemSegmentKind, Position, QueryOptions, SelectItem, SystemOption, Type};
use referral::{Referral, ReferralId};
use serde_json::{Map, Value as Json};

use super::list::{Subject, naming_option, plain, projection};
use crate::Shared;
use crate::answer::{Answer, Reply, empty, mark_odata, odata};
use crate::face::{Face, sentence};
use crate::negotiation::{Metadata, has_parameters};
use crate::numbers::Content;
use crate::preconditions::MayDiffer;
use crate::shape::Shape;

/// How a path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With the thing itself.
    Itself,
    /// `$count`
    Count,
    /// `$value`
    Value,
    /// `$ref`
    Reference,
}

impl Shared {
    /// `GET …/{id}` with query options.
    pub(super) async fn projected(
        &self,
        caller: &Caller,
        shown: Shown,
        headers: &HeaderMap,
        query: &str,
    ) -> Result<Answer, Face> {
        let question = self.question(query)?;
        for option in &question.asked().given {
            use SystemOption::{Compute, Expand, Format, Select};
            if !matches!(option, Compute | Expand | Format | Select) {
                let message =
                    format!("{} is an option of the collection, not of one referral.", option.name());
                return Err(Face::unsupported_query(option.name(), message));
            }
        }
        let metadata = Metadata::asked(headers, question.asked().format.as_deref(), self.temperament())?;
        let plain_answer = question.asked().given.iter().all(|option| *option == SystemOption::Format);
        if plain_answer && metadata == Metadata::Minimal {
            return Ok(self.referral_answer(Reply::Whole, &shown, metadata));
        }
        let etag = shown.etag;
        let item = self.exchange.expanded(caller, shown, &question.options().expand).await;
        let item = item.map_err(|error| naming_option(&question, error.into()))?;
        let work = exchange::work();
        let mut tree = Shape::new(&self.base, &question, metadata, self.exchange.now(), &work).tree(&item);
        exchange::within(&work)?;
        if metadata != Metadata::None {
            tree = with_context(self.base.entity_context(&projection(&question)), tree);
        }
        let mut answer = odata(StatusCode::OK, tree.to_string());
        answer.headers_mut().insert(http::header::ETAG, crate::headers::shown(etag));
        self.tell_left_out(&mut answer, item.left_out());
        if !question.is_of_own_alone() {
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
        let shown = self.exchange.referral(caller, id).await?;
        let mut segments: Vec<&str> = path.split('/').collect();
        // A cast to the type it has says nothing new.
        segments.retain(|segment| *segment != format!("{NAMESPACE}.{}", Referral::TYPE.name));
        let end = match segments.last() {
            Some(&"$count") => End::Count,
            Some(&"$value") => End::Value,
            Some(&"$ref") => End::Reference,
            _ => End::Itself,
        };
        if end != End::Itself {
            segments.pop();
        }
        match (segments.as_slice(), end) {
            ([], End::Itself) => self.projected(caller, shown, headers, query).await,
            ([], End::Reference) => Ok(self.reference(id)),
            ([name], end) if *name == RELATED_REFERRALS => {
                let subject = Subject::Related(id, shown.engagement_id);
                match end {
                    End::Itself => self.list(caller, headers, self.question(query)?, subject).await,
                    End::Count => self.count(caller, &*self.question(query)?, subject).await,
                    End::Reference => self.references(caller, id, &shown, query).await,
                    End::Value => Err(Face::no_such_path()),
                }
            }
            (_, End::Reference) | ([], _) => Err(Face::no_such_path()),
            (segments, end) => self.property(&shown, segments, end, headers, query),
        }
    }

    fn reference(&self, id: ReferralId) -> Answer {
        let context = format!("{}/v1.0/$metadata#$ref", self.base.url());
        let id = Json::String(self.base.referral(id));
        let body = with_context(context, Json::Object(Map::from_iter([("@odata.id".to_owned(), id)])));
        odata(StatusCode::OK, body.to_string())
    }

    async fn references(
        &self,
        caller: &Caller,
        id: ReferralId,
        shown: &Shown,
        query: &str,
    ) -> Result<Answer, Face> {
        let question = self.question(query)?;
        let page = self.exchange.related(caller, shown.engagement_id, &question, None).await?;
        if page.next.is_some() {
            let message =
                format!("More references than one page holds: read them with $select=id of {id} instead.");
            return Err(Face::not_implemented("$ref", message));
        }
        let context = format!("{}/v1.0/$metadata#Collection($ref)", self.base.url());
        let reference = |item: &exchange::Item| {
            let uri = Json::String(self.base.referral(item.shown.id));
            Json::Object(Map::from_iter([("@odata.id".to_owned(), uri)]))
        };
        let value: Json = page.items.iter().map(reference).collect();
        let body = with_context(context, Json::Object(Map::from_iter([("value".to_owned(), value)])));
        let mut answer = odata(StatusCode::OK, body.to_string());
        self.tell_left_out(&mut answer, page.left_out);
        Ok(answer)
    }

    /// A property, by its path. The options are those of a collection, where it is one.
    fn property(
        &self,
        shown: &Shown,
        segments: &[&str],
        end: End,
        headers: &HeaderMap,
        query: &str,
    ) -> Result<Answer, Face> {
        let ty = type_at(segments).ok_or_else(Face::no_such_path)?;
        let options = self.question_options(query)?;
        let format = options.format.clone();
        let collection = matches!(ty, Type::Collection(_));
        if !collection
            && options
                .given
                .iter()
                .any(|option| !matches!(option, SystemOption::Format | SystemOption::Select))
        {
            return Err(Face::unsupported_query(
                "query",
                "This property is no collection: it takes $select alone.",
            ));
        }
        let question = self.selection(segments, options, end)?;
        let mut document = Vec::new();
        self.base.item(&shown.document, shown.id, shown.engagement_id, &mut document);
        let document: Json = serde_json::from_slice(&document).unwrap_or_default();
        let now = odata::DateTimeOffset { ticks: self.exchange.now().ticks(), offset: 0 };
        let work = exchange::work();
        let evaluator = odata::Evaluator { schema: schema(), now, work: Some(&work) };
        let projected = evaluator.project(question.options(), &document);
        exchange::within(&work)?;
        let (parent, name) = (parent_of(&projected, segments), segments.last().copied().unwrap_or_default());
        let value = parent.and_then(|parent| parent.get(name)).unwrap_or(&Json::Null);
        let count = parent.and_then(|parent| parent.get(format!("{name}@odata.count")));
        match end {
            End::Count if collection => Ok(plain(count.map_or_else(|| "0".to_owned(), Json::to_string))),
            End::Value if matches!(ty, Type::Primitive(_) | Type::Enum(_)) => Ok(match value {
                Json::Null => no_content(),
                Json::String(text) => plain(text.clone()),
                other => plain(other.to_string()),
            }),
            End::Itself if value.is_null() => Ok(no_content()),
            End::Itself => {
                let metadata = Metadata::asked(headers, format.as_deref(), self.temperament())?;
                let mut answer = self.value_answer(shown.id, segments, value, count, metadata);
                answer.extensions_mut().insert(Content::property(ty, &question));
                Ok(answer)
            }
            _ => Err(Face::no_such_path()),
        }
    }

    fn value_answer(
        &self,
        id: ReferralId,
        segments: &[&str],
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
            let context = format!("{}({id})/{}", self.base.list_context(), segments.join("/"));
            body = with_context(context, body);
        }
        odata(StatusCode::OK, body.to_string())
    }

    /// The options of a query string, read and not yet bound.
    pub(super) fn question_options(&self, query: &str) -> Result<QueryOptions, Face> {
        // Only the text is read here: what it speaks of is known when it is bound.
        let settings = odata::Settings { empty_is_absent: vec![SystemOption::Expand], ..Default::default() };
        QueryOptions::parse(query, &settings).map_err(|fault| {
            let text = sentence(fault.to_string());
            match fault.error.kind {
                odata::ErrorKind::Unsupported => Face::not_implemented(&fault.option, text),
                _ => Face::unsupported_query(&fault.option, text),
            }
        })
    }

    /// The options as those of the property alone, in a question that selects it.
    fn selection(&self, segments: &[&str], mut options: QueryOptions, end: End) -> Result<Question, Face> {
        options.format = None;
        options.custom.clear();
        options.given.retain(|option| *option != SystemOption::Format);
        if end == End::Count {
            options.count = Some(true);
            options.given.push(SystemOption::Count);
        }
        let segment = |name: &&str| ItemSegment {
            at: Position::default(),
            kind: ItemSegmentKind::Name((*name).to_owned()),
        };
        let aliases = std::mem::take(&mut options.aliases);
        let nested = if options.given.is_empty() { None } else { Some(Box::new(options)) };
        let item = SelectItem {
            at: Position::default(),
            path: segments.iter().map(segment).collect(),
            parameters: None,
            options: nested,
        };
        let asked = QueryOptions {
            select: Some(vec![item]),
            given: vec![SystemOption::Select],
            aliases,
            ..QueryOptions::default()
        };
        Ok(Question::of(asked, self.temperament())?)
    }
}

/// The type that a path of property names leads to. Collections have no members of their own.
pub(crate) fn type_at(segments: &[&str]) -> Option<Type> {
    let mut ty = Type::Structured(Referral::TYPE.name.into());
    for segment in segments {
        let Type::Structured(of) = &ty else { return None };
        let property = schema().property(of, segment, false).filter(|property| !property.navigation)?;
        ty = property.ty.clone();
    }
    Some(ty)
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

//! `GET /v1.0/engagements/referrals`: pages of referrals, counts, aggregations. Source: spec 11.1 to 11.3.

use std::sync::Arc;

use bytes::Bytes;
use exchange::{Caller, Continuation, PAGE, Question, RELATED_REFERRALS, Temperament};
use http::header::{CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use odata::{Expr, ExprKind, Limits, QueryOptions, SystemOption, TypedOptions};
use referral::EngagementId;
use serde_json::Value as Json;

use crate::Shared;
use crate::answer::{Answer, mark_odata, odata};
use crate::face::{Face, sentence};
use crate::headers::{name, value};
use crate::kept::Asked;
use crate::negotiation::{Metadata, has_parameters, preferred_page_size};
use crate::numbers::Content;
use crate::shape::Shape;

/// The longest query string whose question is remembered, in bytes.
const LONGEST_REMEMBERED: usize = 1024;

/// After so many items other requests have their turn.
const TURN: usize = 10;

/// About what an item's links and a next link take, in bytes.
const ITEM: usize = 384;
const NEXT_LINK: usize = 1024;

/// The annotation of an answer that lacks damaged referrals: how many.
pub(crate) const LEFT_OUT: &str = "cosell.leftOut";

/// The body of a list.
struct Listed {
    body: Bytes,
    /// Number of damaged referrals that it lacks.
    left_out: usize,
}

/// What a list is of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject {
    /// The collection.
    Referrals,
    /// What `relatedReferrals` of one referral leads to.
    Related(referral::ReferralId, EngagementId),
}

impl Subject {
    /// What a next link is bound to.
    fn name(self) -> String {
        match self {
            Subject::Referrals => String::new(),
            Subject::Related(id, _) => id.to_string(),
        }
    }
}

impl Shared {
    /// How much of the query language is offered.
    pub(crate) fn temperament(&self) -> Temperament {
        if self.options.extended { Temperament::Extended } else { Temperament::Strict }
    }

    /// The question of a query string: clients that poll send the same one again and again.
    pub(crate) fn question(&self, query: &str) -> Result<Arc<Question>, Face> {
        if let Some(known) = self.questions.get(query) {
            return Ok(known);
        }
        let question = Arc::new(Question::read(query, self.temperament())?);
        if query.len() <= LONGEST_REMEMBERED {
            self.questions.insert(query.to_owned(), Arc::clone(&question));
        }
        Ok(question)
    }

    /// The question of a query string to a collection that `$filter` segments of the path have narrowed. Source:
    /// OData 4.01 URL Conventions, section 4.12.
    pub(super) fn narrowed(&self, predicates: &[String], query: &str) -> Result<Arc<Question>, Face> {
        let mut options = self.question_options(query)?;
        // Side by side, however many there are: one inside the other, they would be as deep as the path is long.
        let mut terms: Vec<Expr> = options.filter.take().into_iter().collect();
        for text in predicates {
            let predicate = Expr::parse(text, &Limits::default())
                .map_err(|fault| Face::unsupported_query("$filter", sentence(format!("$filter, {fault}"))))?;
            terms.push(predicate);
        }
        options.filter = match terms.len() {
            0 | 1 => terms.pop(),
            _ => Some(Expr::new(ExprKind::And(terms))),
        };
        if !options.given.contains(&SystemOption::Filter) {
            options.given.push(SystemOption::Filter);
        }
        Ok(Arc::new(Question::of(options, self.temperament())?))
    }

    /// `GET` on the collection, or on a navigation.
    pub(super) async fn list(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        mut question: Arc<Question>,
        subject: Subject,
    ) -> Result<Answer, Face> {
        let metadata = Metadata::asked(headers, question.asked().format.as_deref(), self.temperament())?;
        let preferred = preferred_page_size(headers);
        if let Some(size) = preferred {
            question = Arc::new(Question::clone(&question).with_page_size(size));
        }
        let uncounted = self.options.extended && preferred.is_some();
        let asked = match subject {
            Subject::Referrals => Asked::of(caller, &question, metadata, uncounted),
            Subject::Related(..) => None,
        };
        let blamed = |face: Face| naming_option(&question, face);
        let moment = match asked {
            Some(_) => self.exchange.moment(caller).await.map_err(|error| blamed(error.into()))?,
            None => None,
        };
        let kept = asked.as_ref().zip(moment).and_then(|(asked, moment)| self.kept.get(asked, moment));
        let mut left_out = 0;
        let body = match kept {
            Some(body) => body,
            None => {
                let reading = self.lists.begin(self.exchange.now());
                let listed =
                    self.listed(caller, &question, metadata, uncounted, subject).await.map_err(blamed);
                if listed.as_ref().map_or_else(|face| !face.status.is_server_error(), |_| true) {
                    reading.came_through(self.exchange.now());
                }
                let listed = listed?;
                left_out = listed.left_out;
                let body = listed.body;
                // Still the same moment: nothing has changed while it was read. One that lacks something is read anew.
                if let (Some(asked), Some(moment)) = (&asked, moment)
                    && left_out == 0
                    && self.exchange.moment(caller).await.is_ok_and(|now| now == Some(moment))
                {
                    self.kept.keep(asked, moment, body.clone());
                }
                body
            }
        };
        let mut answer = odata(StatusCode::OK, body);
        self.tell_left_out(&mut answer, left_out);
        answer.headers_mut().insert(VARY, HeaderValue::from_static("Accept, Prefer"));
        if has_parameters(headers) || question.asked().format.is_some() {
            answer.extensions_mut().insert(Content::List(Arc::clone(&question)));
        }
        if let Some(size) = preferred {
            let applied = value(&format!("odata.maxpagesize={}", size.min(PAGE as u64)));
            answer.headers_mut().insert(name::PREFERENCE_APPLIED, applied);
        }
        Ok(answer)
    }

    /// The body of a list, read now.
    async fn listed(
        &self,
        caller: &Caller,
        question: &Question,
        metadata: Metadata,
        uncounted: bool,
        subject: Subject,
    ) -> Result<Listed, Face> {
        let from = self.continuation(caller, question, subject)?;
        if question.options().apply.is_some() {
            return self.aggregation(caller, question, from.as_ref(), metadata, subject).await;
        }
        let page = match subject {
            Subject::Referrals => self.exchange.page(caller, question, from.as_ref(), uncounted).await,
            Subject::Related(_, engagement) => {
                self.exchange.related(caller, engagement, question, from.as_ref()).await
            }
        }?;
        let work = exchange::work();
        let shape = Shape::new(&self.base, question, metadata, self.exchange.now(), &work);
        let mut out = self.envelope_begin(question, metadata, page.count);
        let bytes: usize = page.items.iter().map(|item| item.shown.document.len() + ITEM).sum();
        out.reserve(bytes + NEXT_LINK);
        for (at, item) in page.items.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            if at % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            shape.item(item, &mut out);
            exchange::within(&work)?;
        }
        let body = self.envelope_end(caller, question, page.next.as_ref(), page.left_out, subject, out);
        Ok(Listed { body, left_out: page.all_left_out() })
    }

    /// `GET …/$count`: the number alone, as text.
    pub(super) async fn count(
        &self,
        caller: &Caller,
        question: &Question,
        subject: Subject,
    ) -> Result<Answer, Face> {
        if question.options().apply.is_some() {
            return Err(Face::unsupported_query(
                "$apply",
                "$count counts referrals: it does not take $apply.",
            ));
        }
        let count = match subject {
            Subject::Referrals => self.exchange.count(caller, question).await,
            Subject::Related(_, engagement) => {
                self.exchange.count_related(caller, engagement, question).await
            }
        };
        let count = count.map_err(|error| naming_option(question, error.into()))?;
        let mut answer = plain(count.number.to_string());
        self.tell_left_out(&mut answer, count.left_out);
        Ok(answer)
    }

    /// Tells the client, and whoever watches the figures, of damaged referrals that an answer lacks.
    pub(super) fn tell_left_out(&self, answer: &mut Answer, left_out: usize) {
        if left_out > 0 {
            self.metrics.left_out(left_out);
            answer.headers_mut().insert(name::LEFT_OUT, HeaderValue::from(left_out));
        }
    }

    async fn aggregation(
        &self,
        caller: &Caller,
        question: &Question,
        from: Option<&Continuation>,
        metadata: Metadata,
        subject: Subject,
    ) -> Result<Listed, Face> {
        if matches!(subject, Subject::Related(..)) {
            return Err(Face::not_implemented("$apply", "$apply is offered on the collection alone."));
        }
        let results = self.exchange.aggregate(caller, question, from).await?;
        let mut out = self.envelope_begin(question, metadata, None);
        for (at, item) in results.items.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(item.to_string().as_bytes());
        }
        let body = self.envelope_end(caller, question, results.next.as_ref(), results.left_out, subject, out);
        Ok(Listed { body, left_out: results.left_out })
    }

    /// Where the question goes on, when it does.
    fn continuation(
        &self,
        caller: &Caller,
        question: &Question,
        subject: Subject,
    ) -> Result<Option<Continuation>, Face> {
        let Some(token) = &question.asked().skiptoken else { return Ok(None) };
        match self.tokens_of_pages.open(caller, &subject.name(), question, token) {
            Some(from) => Ok(Some(from)),
            None => Err(Face::foreign_continuation()),
        }
    }

    /// The members before `value`, in the order of spec 11.3.
    fn envelope_begin(&self, question: &Question, metadata: Metadata, count: Option<u64>) -> Vec<u8> {
        let mut out = b"{".to_vec();
        if metadata != Metadata::None {
            let context = format!("{}{}", self.base.list_context(), projection(question));
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
        question: &Question,
        next: Option<&Continuation>,
        left_out: usize,
        subject: Subject,
        mut out: Vec<u8>,
    ) -> Bytes {
        out.push(b']');
        if left_out > 0 {
            out.extend_from_slice(format!(",\"@{LEFT_OUT}\":{left_out}").as_bytes());
        }
        if let Some(next) = next {
            let token = self.tokens_of_pages.seal(caller, &subject.name(), question, next);
            let path = match subject {
                Subject::Referrals => self.base.referrals(),
                Subject::Related(id, _) => format!("{}/{RELATED_REFERRALS}", self.base.referral(id)),
            };
            let link = format!("{path}?{}", question.continued(&token));
            out.extend_from_slice(format!(",\"@odata.nextLink\":{}", Json::String(link)).as_bytes());
        }
        out.push(b'}');
        out.into()
    }
}

/// A refusal that is about the query as a whole, with the option that it can only be about.
pub(super) fn naming_option(question: &Question, face: Face) -> Face {
    match question.only_option() {
        Some(option) if face.target.as_deref() == Some("query") => face.about(option),
        _ => face,
    }
}

/// What the context says of a selection: `(id,status)`. Source: OData 4.01 Protocol, section 10.7 and 10.8.
pub(super) fn projection(question: &Question) -> String {
    fn of(asked: &QueryOptions, bound: &TypedOptions) -> String {
        if let Some(apply) = &bound.apply {
            let names = apply.schema.properties(&apply.result).map(|property| property.name.to_string());
            return names.collect::<Vec<_>>().join(",");
        }
        let mut parts: Vec<String> = Vec::new();
        for item in asked.select.iter().flatten() {
            let text = item.to_string();
            let path = text.split('(').next().unwrap_or_default();
            parts.push(path.to_owned());
        }
        for (item, typed) in asked.expand.iter().flatten().zip(&bound.expand) {
            let text = item.to_string();
            let path = text.split(['(', '/']).next().unwrap_or_default();
            let none = QueryOptions::default();
            let inner = of(item.options.as_deref().unwrap_or(&none), &typed.options);
            parts.push(format!("{path}({inner})"));
        }
        parts.join(",")
    }
    let inside = of(question.asked(), question.options());
    if inside.is_empty() { inside } else { format!("({inside})") }
}

/// A value as text alone (`$count`, `$value`).
pub(super) fn plain(text: String) -> Answer {
    let mut answer = crate::answer::json(StatusCode::OK, text);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=utf-8"));
    mark_odata(&mut answer);
    answer
}

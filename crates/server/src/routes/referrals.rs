//! `/v1.0/engagements/referrals`: the resource's calls. The order of checks is spec 4.5.

use std::sync::Arc;

use bytes::Bytes;
use exchange::{Caller, IdempotentRequest, ListRequest, VisibleReferral, WriteResult};
use http::header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, Method, Request};
use hyper::body::Body;
use odata::Literal;
use referral::{
    CreateRequest, EditRequest, PatchRequest, Precondition, Preconditions, ReferralId, UnknownMembers,
};

use crate::Shared;
use crate::answer::{Answer, Reply};
use crate::body::{Received, RequestMemory, Sent, known_length};
use crate::face::Face;
use crate::headers::{Trace, joined, name, value};
use crate::negotiation::{
    MediaType, Metadata, accepts_coding, accepts_json, accepts_text, not_encoded, prefers_representation,
    version_is_known,
};
use crate::query::only;
use crate::record;
use crate::routes::list::Subject;
use crate::routes::{Below, End, Route};
use crate::shares::{Account, KnownCaller};

/// The canonical path of the collection, for the idempotency key (4.3.3).
const COLLECTION: &str = "/v1.0/engagements/referrals";

/// Stands for a path that is no GUID, where a body is held against it.
const NAMELESS: ReferralId = ReferralId::from_bytes([0; 16]);

impl Shared {
    /// The collection: list and create.
    pub(crate) async fn referrals<B>(&self, request: Request<B>, trace: Trace) -> Result<Answer, Face>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let caller = self.known_caller(&head.headers, &trace).await?;
        accepts_json(&head.headers, self.mode())?;
        if head.method == Method::POST {
            self.refuse_options(&head.uri, "a write")?;
            let sent = self.body(&caller.account, &head.headers, body, &[MediaType::Json]).await?;
            let _permit = caller.permit()?;
            let answer = self.create(&caller, &head.headers, &sent, &trace).await?;
            return Ok(caller.holding_anyway(answer));
        }
        let _permit = caller.permit()?;
        let list_request = self.list_request(&caller, head.uri.query().unwrap_or_default()).await?;
        let answer = self.list(&caller, &head.headers, list_request, Subject::REFERRALS).await?;
        Ok(caller.holding(answer)?)
    }

    /// One referral: get, replace, patch.
    pub(crate) async fn referral<B>(
        &self,
        id: &str,
        request: Request<B>,
        trace: Trace,
    ) -> Result<Answer, Face>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let caller = self.known_caller(&head.headers, &trace).await?;
        accepts_json(&head.headers, self.mode())?;
        // The id is opaque to callers; what is no GUID names nothing here.
        let known = self.key(id, &head.uri);
        match head.method {
            Method::PUT | Method::PATCH => {
                self.refuse_options(&head.uri, "a write")?;
                Box::pin(self.change(&caller, known, &head.method, &head.headers, body, &trace)).await
            }
            _ => {
                // What names nothing has no options either.
                let id = known?;
                let query = match self.options.mode.is_extended() {
                    true => head.uri.query().unwrap_or_default(),
                    false => {
                        self.refuse_options(&head.uri, "one referral")?;
                        ""
                    }
                };
                let _permit = caller.permit()?;
                let answer = self.get(&caller, id, &head.headers, query).await?;
                Ok(caller.holding(answer)?)
            }
        }
    }

    /// What lies below the collection and below a referral, in the extended temperament.
    pub(crate) async fn below<B>(
        &self,
        below: &Below,
        request: Request<B>,
        trace: Trace,
    ) -> Result<Answer, Face>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let caller = self.known_caller(&head.headers, &trace).await?;
        // What the body takes is held as long as the request.
        let posted = match below {
            Below::Query => Some(self.posted_options(&caller.account, &head.headers, body).await?),
            _ => None,
        };
        let _permit = caller.permit()?;
        let options = posted.as_ref().map_or("", |(options, _)| options);
        let answer = self.found_below(&caller, below, &head, options).await?;
        Ok(caller.holding(answer)?)
    }

    async fn found_below(
        &self,
        caller: &Caller,
        below: &Below,
        head: &Parts,
        posted: &str,
    ) -> Result<Answer, Face> {
        let query = head.uri.query().unwrap_or_default();
        self.accepts(below, &head.headers)?;
        match below {
            Below::Collection { predicates, end } => {
                let list_request = self.narrowed(caller, predicates, query).await?;
                self.collection(caller, &head.headers, list_request, Subject::REFERRALS, *end).await
            }
            Below::Query => {
                let list_request = match query.is_empty() {
                    true => self.list_request(caller, posted).await?,
                    false => self.list_request(caller, &format!("{query}&{posted}")).await?,
                };
                self.list(caller, &head.headers, list_request, Subject::REFERRALS).await
            }
            Below::Entity => {
                let mut options = ListRequest::parse_options(query, self.mode())?;
                let id = options.id.take().and_then(|id| self.named_by(&id));
                let id = id.ok_or_else(|| {
                    Face::unsupported_query("$id", "The $id names no referral of this service.")
                })?;
                options.given.retain(|option| *option != odata::SystemOption::Id);
                self.get(caller, id, &head.headers, &options.to_query()).await
            }
            Below::Unserved(what) => {
                Err(Face::not_implemented(what, format!("{what} is not offered by this service.")))
            }
            Below::Member(id, path) => {
                let id = self.key(id, &head.uri)?;
                self.member(caller, id, path, &head.headers, query).await
            }
        }
    }

    /// 406 when the headers exclude what lies there.
    fn accepts(&self, below: &Below, headers: &HeaderMap) -> Result<(), Face> {
        let mode = self.mode();
        match below {
            // Protocol 4.01, 11.2.10: nothing is negotiated with the segment `$count`.
            Below::Collection { end: End::Count, .. } => accepts_coding(headers, mode),
            Below::Member(_, path) if path.ends_with("/$count") => accepts_coding(headers, mode),
            Below::Member(_, path) if path.ends_with("/$value") => accepts_text(headers, mode),
            Below::Collection { .. } | Below::Query | Below::Entity | Below::Member(..) => {
                accepts_json(headers, mode)
            }
            Below::Unserved(_) => Ok(()),
        }
    }

    /// The options in the body of `POST …/$query`. Source: OData 4.01 URL Conventions, section 4.17.
    async fn posted_options<B>(
        &self,
        account: &Arc<Account>,
        headers: &HeaderMap,
        body: B,
    ) -> Result<(String, RequestMemory), Face>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let sent_as = joined(headers, &CONTENT_TYPE).unwrap_or_default();
        let essence = sent_as.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("text/plain") {
            return Err(Face::unsupported_media_type(&sent_as, "send Content-Type: text/plain"));
        }
        not_encoded(headers)?;
        known_length(headers)?;
        let Received { bytes, memory } = self.bytes(account, headers, body, self.options.body_limit).await?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Face::unsupported_query("query", "The body is not UTF-8."))?;
        Ok((text.trim_end_matches(['\r', '\n']).to_owned(), memory))
    }

    /// Refuses OData's options where none means anything.
    fn refuse_options(&self, uri: &http::Uri, of: &str) -> Result<(), Face> {
        match uri.query() {
            Some(query) if !query.is_empty() => only(query, self.mode(), &[], of).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// The referral that a key in a path names; in the extended temperament, also by an alias: `(@id)?@id='…'`. Source:
    /// OData 4.01 URL Conventions, section 5.3.1.1.
    fn key(&self, key: &str, uri: &http::Uri) -> Result<ReferralId, Face> {
        let Some(name) = key.strip_prefix('@').filter(|_| self.options.mode.is_extended()) else {
            return key.parse().map_err(|_| exchange::ReadError::NotFound.into());
        };
        let options = ListRequest::parse_options(uri.query().unwrap_or_default(), self.mode())?;
        let text = match options.alias(name).and_then(odata::Expr::as_literal) {
            Some(Literal::Guid(id)) => id.to_string(),
            Some(Literal::String(id)) => id.clone(),
            _ => return Err(Face::unsupported_query(key, format!("No value of a key is given for {key}."))),
        };
        text.parse().map_err(|_| exchange::ReadError::NotFound.into())
    }

    /// The referral that an entity-id names: its address, absolute or from the service's root.
    fn named_by(&self, entity_id: &str) -> Option<ReferralId> {
        let path = entity_id.strip_prefix(self.base.url()).unwrap_or(entity_id);
        let path = path.strip_prefix("/v1.0/").unwrap_or(path);
        match Route::find_path(&format!("/v1.0/{path}"), self.offers())? {
            Route::Referral(id) => id.parse().ok(),
            _ => None,
        }
    }

    /// `PUT …/{id}`, under `If-Match`, and `PATCH …/{id}`: an edit from a body.
    async fn change<B>(
        &self,
        caller: &KnownCaller,
        id: Result<ReferralId, Face>,
        method: &Method,
        headers: &HeaderMap,
        body: B,
        trace: &Trace,
    ) -> Result<Answer, Face>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let replaces = *method == Method::PUT;
        let taken: &[MediaType] = match (replaces, self.options.mode.is_extended()) {
            (true, _) => &[MediaType::Json],
            (false, true) => &[MediaType::Json, MediaType::JsonPatch, MediaType::MergePatch],
            (false, false) => &[MediaType::Json, MediaType::JsonPatch],
        };
        let sent = self.body(&caller.account, headers, body, taken).await?;
        version_is_known(headers)?;
        let _permit = caller.permit()?;
        let preconditions = self.preconditions(headers);
        // What the request alone shows comes before the 404 of a path that names nothing.
        let named = id.as_ref().copied().unwrap_or(NAMELESS);
        let read = || match replaces {
            true => self.replacement(&sent, named, &preconditions),
            false => self.patch_request(&sent),
        };
        let request = self.exchange.run_large(caller, sent.bytes.len(), read).await??;
        let reply = match replaces {
            true => Reply::Whole,
            false if prefers_representation(headers) => Reply::Preferred,
            false => Reply::Empty,
        };
        let id = id?;
        let path = format!("{COLLECTION}/{id}");
        let method = if replaces { "PUT" } else { "PATCH" };
        let once = self.once(caller, method, &path, headers, &sent, trace);
        let remember = |outcome: Result<&VisibleReferral, &exchange::EditError>| match outcome {
            Ok(visible) => record::success(reply, visible),
            Err(error) => record::failure(&Face::from(error)),
        };
        let written = self
            .exchange
            .edit(caller, id, &preconditions, &request, sent.cost(), once.as_ref(), &remember)
            .await;
        let metadata = Metadata::asked(headers, None, self.mode())?;
        let answer = match written {
            Ok(WriteResult::Done(visible)) => {
                Ok(caller.holding_anyway(self.referral_answer(reply, &visible, metadata)))
            }
            Ok(WriteResult::Replayed(answer)) => Ok(caller.holding_anyway(self.replay(&answer, metadata))),
            Err(error) => Err(Face::from(error).naming(trace.request_id)),
        };
        telling(answer, request.unknown_members())
    }

    /// What a write holds against the stored version. The strict mode ignores `If-None-Match` (spec 4.1).
    fn preconditions(&self, headers: &HeaderMap) -> Preconditions {
        let read = |name| joined(headers, name).map(|value| Precondition::parse(&value));
        let if_none_match = if self.options.mode.is_extended() { read(&IF_NONE_MATCH) } else { None };
        Preconditions { if_match: read(&IF_MATCH), if_none_match }
    }

    /// Reads the body of a PUT.
    fn replacement<'a>(
        &self,
        sent: &'a Sent,
        id: ReferralId,
        preconditions: &Preconditions,
    ) -> Result<EditRequest<'a>, Face> {
        let body = self.parse(&sent.bytes)?;
        if preconditions.if_match.is_none() {
            return Err(Face::if_match_missing());
        }
        Ok(EditRequest::put(body, id, &self.exchange.policy().request_options)?)
    }

    /// Reads the body of a PATCH.
    fn patch_request<'a>(&self, sent: &'a Sent) -> Result<EditRequest<'a>, Face> {
        let body = self.parse(&sent.bytes)?;
        let request_options = &self.exchange.policy().request_options;
        let merges = match sent.media_type {
            MediaType::MergePatch => true,
            MediaType::Json => self.options.object_patch && body.is_object(),
            MediaType::JsonPatch => false,
        };
        if merges {
            return Ok(EditRequest::merge(body, request_options)?);
        }
        Ok(EditRequest::Patch(PatchRequest::parse(body, request_options)?))
    }

    /// 401, 403 for the role, 429.
    pub(crate) async fn known_caller(
        &self,
        headers: &HeaderMap,
        trace: &Trace,
    ) -> Result<std::sync::Arc<KnownCaller>, Face> {
        let caller = self.caller(headers, trace).await?;
        if let Some(throttle) = &self.throttle {
            throttle.take(&caller, trace.arrived).map_err(Face::throttled)?;
        }
        Ok(caller)
    }

    /// `GET …/{id}`: the stored bytes with links and context put in.
    async fn get(
        &self,
        caller: &Caller,
        id: ReferralId,
        headers: &HeaderMap,
        query: &str,
    ) -> Result<Answer, Face> {
        let visible = self.exchange.referral(caller, id).await?;
        if query.is_empty() && Metadata::asked(headers, None, self.mode())? == Metadata::Minimal {
            return Ok(self.referral_answer(Reply::Whole, &visible, Metadata::Minimal));
        }
        Box::pin(self.projected(caller, visible, headers, query)).await
    }

    /// `POST` on the collection.
    async fn create(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        sent: &Sent,
        trace: &Trace,
    ) -> Result<Answer, Face> {
        version_is_known(headers)?;
        let read = || -> Result<CreateRequest<'_>, Face> {
            Ok(CreateRequest::parse(self.parse(&sent.bytes)?, &self.exchange.policy().request_options)?)
        };
        let request = self.exchange.run_large(caller, sent.bytes.len(), read).await??;
        self.collection_preconditions(headers)?;
        let once = self.once(caller, "POST", COLLECTION, headers, sent, trace);
        let remember = |outcome: Result<&VisibleReferral, &exchange::CreateError>| match outcome {
            Ok(visible) => record::success(Reply::Created, visible),
            Err(error) => record::failure(&Face::from(error)),
        };
        let metadata = Metadata::asked(headers, None, self.mode())?;
        let made = self.exchange.create(caller, &request, sent.cost(), once.as_ref(), &remember).await;
        let answer = match made {
            Ok(WriteResult::Done(visible)) => Ok(self.referral_answer(Reply::Created, &visible, metadata)),
            Ok(WriteResult::Replayed(answer)) => Ok(self.replay(&answer, metadata)),
            Err(error) => Err(Face::from(error).naming(trace.request_id)),
        };
        telling(answer, request.unknown_members())
    }

    /// 412 for what does not hold of the collection: it exists, and has no tag. The strict mode ignores both headers on
    /// POST (spec 4.1).
    fn collection_preconditions(&self, headers: &HeaderMap) -> Result<(), Face> {
        let preconditions = self.preconditions(headers);
        let names = |precondition: &Option<Precondition>| *precondition == Some(Precondition::Any);
        let fails = preconditions.if_match.is_some() && !names(&preconditions.if_match);
        if self.options.mode.is_extended() && (fails || names(&preconditions.if_none_match)) {
            return Err(Face::precondition_of_collection_failed());
        }
        Ok(())
    }

    fn once(
        &self,
        caller: &Caller,
        method: &str,
        path: &str,
        headers: &HeaderMap,
        sent: &Sent,
        trace: &Trace,
    ) -> Option<IdempotentRequest> {
        let id = trace.once?;
        let if_match = joined(headers, &IF_MATCH).unwrap_or_default();
        Some(IdempotentRequest::new(caller, method, path, id, &sent.bytes, &if_match))
    }
}

/// The answer to a write, telling the caller of members that were passed over (spec 5.1).
fn telling(answer: Result<Answer, Face>, unknown: &UnknownMembers) -> Result<Answer, Face> {
    if unknown.is_empty() {
        return answer;
    }
    let told = unknown.to_string();
    match answer {
        Ok(mut answer) => {
            let hint = match answer.headers().get(name::HINT).and_then(|line| line.to_str().ok()) {
                Some(other) => format!("{told}; {other}"),
                None => told,
            };
            answer.headers_mut().insert(name::HINT, value(&hint));
            Ok(answer)
        }
        Err(face) => Err(face.hint_first(told)),
    }
}

/// The face of a borrowed failure, for remembering it: only those that are remembered (4.3.3) need their own; the
/// others are decided anew each time.
impl From<&exchange::EditError> for Face {
    fn from(error: &exchange::EditError) -> Face {
        use exchange::{EditError, ReadError};
        match error {
            EditError::Rejected(refusal) => refusal.clone().into(),
            EditError::Read(ReadError::NotFound) => ReadError::NotFound.into(),
            other => Face::internal(other),
        }
    }
}

impl From<&exchange::CreateError> for Face {
    fn from(error: &exchange::CreateError) -> Face {
        use exchange::CreateError;
        match error {
            CreateError::Invalid(invalid) => invalid.clone().into(),
            CreateError::EngagementNotFound => CreateError::EngagementNotFound.into(),
            CreateError::EngagementClosed => CreateError::EngagementClosed.into(),
            CreateError::AlreadyInvited => CreateError::AlreadyInvited.into(),
            other => Face::internal(other),
        }
    }
}

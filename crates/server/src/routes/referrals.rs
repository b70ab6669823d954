//! `/v1.0/engagements/referrals`: the operations on referrals. The order of checks is spec 4.5.

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

use crate::RequestContext;
use crate::api_error::ApiError;
use crate::body::{RawBody, RequestBody, RequestMemory, require_length};
use crate::headers::{RequestIds, joined_lines, name, value};
use crate::negotiation::{
    MediaType, MetadataLevel, accepts_coding, accepts_json, accepts_text, check_version,
    prefers_representation, refuse_encoded,
};
use crate::query::parse_allowed_options;
use crate::response::{ApiResponse, ResponseKind};
use crate::routes::list::ListSubject;
use crate::routes::{PathSuffix, Route, SubResource};
use crate::shares::{Account, AuthenticatedCaller};
use crate::stored_response;

/// The canonical path of the collection, for the idempotency key (4.3.3).
const COLLECTION: &str = "/v1.0/engagements/referrals";

/// The id for a path that is not a GUID, when a body is checked against it.
const NIL_ID: ReferralId = ReferralId::from_bytes([0; 16]);

impl RequestContext {
    /// The collection: list and create.
    pub(crate) async fn referrals<B>(
        &self,
        request: Request<B>,
        request_ids: RequestIds,
    ) -> Result<ApiResponse, ApiError>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let caller = self.authenticate_and_throttle(&head.headers, &request_ids).await?;
        accepts_json(&head.headers, self.mode())?;
        if head.method == Method::POST {
            self.refuse_options(&head.uri, "a write")?;
            let sent = self.body(&caller.account, &head.headers, body, &[MediaType::Json]).await?;
            let _permit = caller.permit()?;
            let response = self.create(&caller, &head.headers, &sent, &request_ids).await?;
            return Ok(caller.count_written_response(response));
        }
        let _permit = caller.permit()?;
        let list_request = self.list_request(&caller, head.uri.query().unwrap_or_default()).await?;
        let response = self.list(&caller, &head.headers, list_request, ListSubject::REFERRALS).await?;
        Ok(caller.count_response(response)?)
    }

    /// One referral: get, replace, patch.
    pub(crate) async fn referral<B>(
        &self,
        id: &str,
        request: Request<B>,
        request_ids: RequestIds,
    ) -> Result<ApiResponse, ApiError>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let caller = self.authenticate_and_throttle(&head.headers, &request_ids).await?;
        accepts_json(&head.headers, self.mode())?;
        // The id is opaque to callers. A text that is not a GUID identifies no referral.
        let known = self.resolve_key(id, &head.uri);
        match head.method {
            Method::PUT | Method::PATCH => {
                self.refuse_options(&head.uri, "a write")?;
                Box::pin(self.edit(&caller, known, &head.method, &head.headers, body, &request_ids)).await
            }
            _ => {
                // The 404 comes before errors of the options.
                let id = known?;
                let query = match self.options.mode.is_extended() {
                    true => head.uri.query().unwrap_or_default(),
                    false => {
                        self.refuse_options(&head.uri, "one referral")?;
                        ""
                    }
                };
                let _permit = caller.permit()?;
                let response = self.get(&caller, id, &head.headers, query).await?;
                Ok(caller.count_response(response)?)
            }
        }
    }

    /// Resources below the collection and below a referral, in extended mode.
    pub(crate) async fn sub_resource<B>(
        &self,
        sub_resource: &SubResource,
        request: Request<B>,
        request_ids: RequestIds,
    ) -> Result<ApiResponse, ApiError>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let caller = self.authenticate_and_throttle(&head.headers, &request_ids).await?;
        // The memory of the body is held until the request ends.
        let posted = match sub_resource {
            SubResource::Query => Some(self.posted_options(&caller.account, &head.headers, body).await?),
            _ => None,
        };
        let _permit = caller.permit()?;
        let options = posted.as_ref().map_or("", |(options, _)| options);
        let response = self.get_sub_resource(&caller, sub_resource, &head, options).await?;
        Ok(caller.count_response(response)?)
    }

    async fn get_sub_resource(
        &self,
        caller: &Caller,
        sub_resource: &SubResource,
        head: &Parts,
        posted: &str,
    ) -> Result<ApiResponse, ApiError> {
        let query = head.uri.query().unwrap_or_default();
        self.accepts(sub_resource, &head.headers)?;
        match sub_resource {
            SubResource::Collection { predicates, end } => {
                let list_request = self.filtered_list_request(caller, predicates, query).await?;
                self.collection(caller, &head.headers, list_request, ListSubject::REFERRALS, *end).await
            }
            SubResource::Query => {
                let list_request = match query.is_empty() {
                    true => self.list_request(caller, posted).await?,
                    false => self.list_request(caller, &format!("{query}&{posted}")).await?,
                };
                self.list(caller, &head.headers, list_request, ListSubject::REFERRALS).await
            }
            SubResource::Entity => {
                let mut options = ListRequest::parse_options(query, self.mode())?;
                let id = options.id.take().and_then(|id| self.resolve_entity_id(&id));
                let id = id.ok_or_else(|| {
                    ApiError::unsupported_query("$id", "The $id names no referral of this service.")
                })?;
                options.given.retain(|option| *option != odata::SystemOption::Id);
                self.get(caller, id, &head.headers, &options.to_query()).await
            }
            SubResource::Unserved(what) => {
                Err(ApiError::not_implemented(what, format!("{what} is not offered by this service.")))
            }
            SubResource::Member(id, path) => {
                let id = self.resolve_key(id, &head.uri)?;
                self.member(caller, id, path, &head.headers, query).await
            }
        }
    }

    /// Returns 406 if the headers exclude the media type of the resource.
    fn accepts(&self, sub_resource: &SubResource, headers: &HeaderMap) -> Result<(), ApiError> {
        let mode = self.mode();
        match sub_resource {
            // Protocol 4.01, 11.2.10: nothing is negotiated with the segment `$count`.
            SubResource::Collection { end: PathSuffix::Count, .. } => accepts_coding(headers, mode),
            SubResource::Member(_, path) if path.ends_with("/$count") => accepts_coding(headers, mode),
            SubResource::Member(_, path) if path.ends_with("/$value") => accepts_text(headers, mode),
            SubResource::Collection { .. }
            | SubResource::Query
            | SubResource::Entity
            | SubResource::Member(..) => accepts_json(headers, mode),
            SubResource::Unserved(_) => Ok(()),
        }
    }

    /// The options in the body of `POST …/$query`. Source: OData 4.01 URL Conventions, section 4.17.
    async fn posted_options<B>(
        &self,
        account: &Arc<Account>,
        headers: &HeaderMap,
        body: B,
    ) -> Result<(String, RequestMemory), ApiError>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let sent_as = joined_lines(headers, &CONTENT_TYPE).unwrap_or_default();
        let essence = sent_as.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("text/plain") {
            return Err(ApiError::unsupported_media_type(&sent_as, "send Content-Type: text/plain"));
        }
        refuse_encoded(headers)?;
        require_length(headers)?;
        let RawBody { bytes, memory } = self.bytes(account, headers, body, self.options.body_limit).await?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| ApiError::unsupported_query("query", "The body is not UTF-8."))?;
        Ok((text.trim_end_matches(['\r', '\n']).to_owned(), memory))
    }

    /// Rejects query options of OData on resources without any.
    fn refuse_options(&self, uri: &http::Uri, of: &str) -> Result<(), ApiError> {
        match uri.query() {
            Some(query) if !query.is_empty() => {
                parse_allowed_options(query, self.mode(), &[], of).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// The referral that a key in a path names; in the extended temperament, also by an alias: `(@id)?@id='…'`. Source:
    /// OData 4.01 URL Conventions, section 5.3.1.1.
    fn resolve_key(&self, key: &str, uri: &http::Uri) -> Result<ReferralId, ApiError> {
        let Some(name) = key.strip_prefix('@').filter(|_| self.options.mode.is_extended()) else {
            return key.parse().map_err(|_| exchange::ReadError::NotFound.into());
        };
        let options = ListRequest::parse_options(uri.query().unwrap_or_default(), self.mode())?;
        let text = match options.alias(name).and_then(odata::Expr::as_literal) {
            Some(Literal::Guid(id)) => id.to_string(),
            Some(Literal::String(id)) => id.clone(),
            _ => {
                return Err(ApiError::unsupported_query(
                    key,
                    format!("No value of a key is given for {key}."),
                ));
            }
        };
        text.parse().map_err(|_| exchange::ReadError::NotFound.into())
    }

    /// The referral that an entity-id names: its address, absolute or from the service's root.
    fn resolve_entity_id(&self, entity_id: &str) -> Option<ReferralId> {
        let path = entity_id.strip_prefix(self.base.url()).unwrap_or(entity_id);
        let path = path.strip_prefix("/v1.0/").unwrap_or(path);
        match Route::find_path(&format!("/v1.0/{path}"), self.offered_routes())? {
            Route::Referral(id) => id.parse().ok(),
            _ => None,
        }
    }

    /// `PUT …/{id}`, under `If-Match`, and `PATCH …/{id}`: an edit from a body.
    async fn edit<B>(
        &self,
        caller: &AuthenticatedCaller,
        id: Result<ReferralId, ApiError>,
        method: &Method,
        headers: &HeaderMap,
        body: B,
        request_ids: &RequestIds,
    ) -> Result<ApiResponse, ApiError>
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
        check_version(headers)?;
        let _permit = caller.permit()?;
        let preconditions = self.preconditions(headers);
        // Errors of the request itself come before the 404 of a path that identifies nothing.
        let named = id.as_ref().copied().unwrap_or(NIL_ID);
        let read = || match replaces {
            true => self.replacement(&sent, named, &preconditions),
            false => self.patch_request(&sent),
        };
        let request = self.exchange.run_large(caller, sent.bytes.len(), read).await??;
        let kind = match replaces {
            true => ResponseKind::Full,
            false if prefers_representation(headers) => ResponseKind::Preferred,
            false => ResponseKind::Empty,
        };
        let id = id?;
        let path = format!("{COLLECTION}/{id}");
        let method = if replaces { "PUT" } else { "PATCH" };
        let idempotent = self.idempotent_request(caller, method, &path, headers, &sent, request_ids);
        let recorder = |outcome: Result<&VisibleReferral, &exchange::EditError>| match outcome {
            Ok(visible) => stored_response::record_success(kind, visible),
            Err(error) => stored_response::record_failure(&ApiError::from(error)),
        };
        let written = self
            .exchange
            .edit(caller, id, &preconditions, &request, sent.cost(), idempotent.as_ref(), &recorder)
            .await;
        let metadata = MetadataLevel::from_request(headers, None, self.mode())?;
        let response = match written {
            Ok(WriteResult::Done(visible)) => {
                Ok(caller.count_written_response(self.referral_response(kind, &visible, metadata)))
            }
            Ok(WriteResult::Replayed(response)) => {
                Ok(caller.count_written_response(self.replay(&response, metadata)))
            }
            Err(error) => Err(ApiError::from(error).with_request_id(request_ids.request_id)),
        };
        with_unknown_members_hint(response, request.unknown_members())
    }

    /// Returns the preconditions of a write. The strict mode ignores `If-None-Match` (spec 4.1).
    fn preconditions(&self, headers: &HeaderMap) -> Preconditions {
        let read = |name| joined_lines(headers, name).map(|value| Precondition::parse(&value));
        let if_none_match = if self.options.mode.is_extended() { read(&IF_NONE_MATCH) } else { None };
        Preconditions { if_match: read(&IF_MATCH), if_none_match }
    }

    /// Reads the body of a PUT.
    fn replacement<'a>(
        &self,
        sent: &'a RequestBody,
        id: ReferralId,
        preconditions: &Preconditions,
    ) -> Result<EditRequest<'a>, ApiError> {
        let body = self.parse(&sent.bytes)?;
        if preconditions.if_match.is_none() {
            return Err(ApiError::if_match_missing());
        }
        Ok(EditRequest::put(body, id, &self.exchange.policy().request_options)?)
    }

    /// Reads the body of a PATCH.
    fn patch_request<'a>(&self, sent: &'a RequestBody) -> Result<EditRequest<'a>, ApiError> {
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
    pub(crate) async fn authenticate_and_throttle(
        &self,
        headers: &HeaderMap,
        request_ids: &RequestIds,
    ) -> Result<std::sync::Arc<AuthenticatedCaller>, ApiError> {
        let caller = self.authenticate(headers, request_ids).await?;
        if let Some(throttle) = &self.throttle {
            throttle.take(&caller, request_ids.arrived).map_err(ApiError::throttled)?;
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
    ) -> Result<ApiResponse, ApiError> {
        let visible = self.exchange.referral(caller, id).await?;
        if query.is_empty()
            && MetadataLevel::from_request(headers, None, self.mode())? == MetadataLevel::Minimal
        {
            return Ok(self.referral_response(ResponseKind::Full, &visible, MetadataLevel::Minimal));
        }
        Box::pin(self.projected_referral(caller, visible, headers, query)).await
    }

    /// `POST` on the collection.
    async fn create(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        sent: &RequestBody,
        request_ids: &RequestIds,
    ) -> Result<ApiResponse, ApiError> {
        check_version(headers)?;
        let read = || -> Result<CreateRequest<'_>, ApiError> {
            Ok(CreateRequest::parse(self.parse(&sent.bytes)?, &self.exchange.policy().request_options)?)
        };
        let request = self.exchange.run_large(caller, sent.bytes.len(), read).await??;
        self.collection_preconditions(headers)?;
        let idempotent = self.idempotent_request(caller, "POST", COLLECTION, headers, sent, request_ids);
        let recorder = |outcome: Result<&VisibleReferral, &exchange::CreateError>| match outcome {
            Ok(visible) => stored_response::record_success(ResponseKind::Created, visible),
            Err(error) => stored_response::record_failure(&ApiError::from(error)),
        };
        let metadata = MetadataLevel::from_request(headers, None, self.mode())?;
        let made = self.exchange.create(caller, &request, sent.cost(), idempotent.as_ref(), &recorder).await;
        let response = match made {
            Ok(WriteResult::Done(visible)) => {
                Ok(self.referral_response(ResponseKind::Created, &visible, metadata))
            }
            Ok(WriteResult::Replayed(response)) => Ok(self.replay(&response, metadata)),
            Err(error) => Err(ApiError::from(error).with_request_id(request_ids.request_id)),
        };
        with_unknown_members_hint(response, request.unknown_members())
    }

    /// 412 for what does not hold of the collection: it exists, and has no tag. The strict mode ignores both headers on
    /// POST (spec 4.1).
    fn collection_preconditions(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let preconditions = self.preconditions(headers);
        let names = |precondition: &Option<Precondition>| *precondition == Some(Precondition::Any);
        let fails = preconditions.if_match.is_some() && !names(&preconditions.if_match);
        if self.options.mode.is_extended() && (fails || names(&preconditions.if_none_match)) {
            return Err(ApiError::precondition_of_collection_failed());
        }
        Ok(())
    }

    fn idempotent_request(
        &self,
        caller: &Caller,
        method: &str,
        path: &str,
        headers: &HeaderMap,
        sent: &RequestBody,
        request_ids: &RequestIds,
    ) -> Option<IdempotentRequest> {
        let id = request_ids.idempotency_id?;
        let if_match = joined_lines(headers, &IF_MATCH).unwrap_or_default();
        Some(IdempotentRequest::new(caller, method, path, id, &sent.bytes, &if_match))
    }
}

/// Adds a hint about unknown members that were ignored to the response to a write (spec 5.1).
fn with_unknown_members_hint(
    response: Result<ApiResponse, ApiError>,
    unknown: &UnknownMembers,
) -> Result<ApiResponse, ApiError> {
    if unknown.is_empty() {
        return response;
    }
    let told = unknown.to_string();
    match response {
        Ok(mut response) => {
            let hint = match response.headers().get(name::HINT).and_then(|line| line.to_str().ok()) {
                Some(other) => format!("{told}; {other}"),
                None => told,
            };
            response.headers_mut().insert(name::HINT, value(&hint));
            Ok(response)
        }
        Err(api_error) => Err(api_error.hint_first(told)),
    }
}

/// Conversion of a borrowed error, for storing it. Only the errors that are stored (4.3.3) need their own response; the
/// others are decided again each time.
impl From<&exchange::EditError> for ApiError {
    fn from(error: &exchange::EditError) -> ApiError {
        use exchange::{EditError, ReadError};
        match error {
            EditError::Rejected(refusal) => refusal.clone().into(),
            EditError::Read(ReadError::NotFound) => ReadError::NotFound.into(),
            other => ApiError::internal(other),
        }
    }
}

impl From<&exchange::CreateError> for ApiError {
    fn from(error: &exchange::CreateError) -> ApiError {
        use exchange::CreateError;
        match error {
            CreateError::Invalid(invalid) => invalid.clone().into(),
            CreateError::EngagementNotFound => CreateError::EngagementNotFound.into(),
            CreateError::EngagementClosed => CreateError::EngagementClosed.into(),
            CreateError::AlreadyInvited => CreateError::AlreadyInvited.into(),
            other => ApiError::internal(other),
        }
    }
}

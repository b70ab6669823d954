//! `/v1.0/engagements/referrals`: the resource's calls. The order of checks is spec 4.5.

use bytes::Bytes;
use exchange::{Caller, Cursor, Once, PageRequest, Shown, Written};
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Body;
use referral::{CreateRequest, EditRequest, PatchRequest, Precondition, ReferralId, Timestamp};
use serde_json::Value;

use crate::Shared;
use crate::answer::{Answer, Reply, empty, odata};
use crate::body::Sent;
use crate::face::Face;
use crate::headers::{Trace, joined, value};
use crate::negotiation::{MediaType, accepts_json, prefers_representation};
use crate::query::pairs;
use crate::record;

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
        accepts_json(&head.headers)?;
        if head.method == Method::POST {
            let sent = self.body(&head.headers, body, &[MediaType::Json]).await?;
            let _permit = self.permit()?;
            return self.create(&caller, &head.headers, &sent, &trace).await;
        }
        self.list(&caller, head.uri.query().unwrap_or_default()).await
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
        accepts_json(&head.headers)?;
        // The id is opaque to callers; what is no GUID names nothing here.
        let known: Result<ReferralId, Face> = id.parse().map_err(|_| exchange::ReadError::NotFound.into());
        match head.method {
            Method::PUT | Method::PATCH => {
                Box::pin(self.change(&caller, known, &head.method, &head.headers, body, &trace)).await
            }
            _ => self.get(&caller, known?, &head.headers).await,
        }
    }

    /// `PUT` and `PATCH`: what they have in common is a body.
    async fn change<B>(
        &self,
        caller: &Caller,
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
        if *method == Method::PUT {
            let sent = self.body(headers, body, &[MediaType::Json]).await?;
            let _permit = self.permit()?;
            return self.put(caller, id, headers, &sent, trace).await;
        }
        let taken: &[MediaType] = match self.options.extended {
            true => &[MediaType::Json, MediaType::JsonPatch, MediaType::MergePatch],
            false => &[MediaType::Json, MediaType::JsonPatch],
        };
        let sent = self.body(headers, body, taken).await?;
        let _permit = self.permit()?;
        self.patch(caller, id, headers, &sent, trace).await
    }

    /// 401, 403 for the role, 429.
    async fn known_caller(&self, headers: &HeaderMap, trace: &Trace) -> Result<std::sync::Arc<Caller>, Face> {
        let caller = self.caller(headers, trace.arrived).await?;
        if let Some(throttle) = &self.throttle {
            throttle.take(&caller, trace.arrived).map_err(Face::throttled)?;
        }
        Ok(caller)
    }

    /// `GET …/{id}`: the stored bytes with links and context put in.
    async fn get(&self, caller: &Caller, id: ReferralId, headers: &HeaderMap) -> Result<Answer, Face> {
        let _permit = self.permit()?;
        let shown = self.exchange.referral(caller, id).await?;
        if self.options.extended
            && let Some(known) = joined(headers, &IF_NONE_MATCH)
            && Precondition::parse(&known).holds_for(&shown.etag)
        {
            let mut answer = empty(StatusCode::NOT_MODIFIED);
            answer.headers_mut().insert(ETAG, value(&shown.etag.to_string()));
            return Ok(answer);
        }
        Ok(self.referral_answer(Reply::Whole, &shown))
    }

    /// `POST` on the collection.
    async fn create(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        sent: &Sent,
        trace: &Trace,
    ) -> Result<Answer, Face> {
        // The parsed body, many times as large as its bytes, is gone before anything is waited for.
        let request = CreateRequest::parse(&self.parse(&sent.bytes)?, &self.exchange.policy().dialect)?;
        let once = self.once(caller, "POST", COLLECTION, headers, sent, trace);
        let remember = |outcome: Result<&Shown, &exchange::CreateError>| match outcome {
            Ok(shown) => record::success(Reply::Created, shown),
            Err(error) => record::failure(&Face::from(error)),
        };
        let made = self.exchange.create(caller, &request, once.as_ref(), &remember).await;
        Ok(match made.map_err(|error| Face::from(error).naming(trace.request_id))? {
            Written::Now(shown) => self.referral_answer(Reply::Created, &shown),
            Written::Before(answer) => self.replay(&answer),
        })
    }

    /// `PUT …/{id}`, under `If-Match`.
    async fn put(
        &self,
        caller: &Caller,
        id: Result<ReferralId, Face>,
        headers: &HeaderMap,
        sent: &Sent,
        trace: &Trace,
    ) -> Result<Answer, Face> {
        let body = self.parse(&sent.bytes)?;
        let expected = joined(headers, &IF_MATCH).ok_or_else(Face::if_match_missing)?;
        // What the request alone shows comes before the 404 of a path that names nothing.
        let named = id.as_ref().copied().unwrap_or(NAMELESS);
        let request = EditRequest::put(&body, named, &self.exchange.policy().dialect)?;
        drop(body);
        self.write(
            caller,
            id?,
            Some(&expected),
            &request,
            Reply::Whole,
            Writing { method: "PUT", headers, sent, trace },
        )
        .await
    }

    /// `PATCH …/{id}`.
    async fn patch(
        &self,
        caller: &Caller,
        id: Result<ReferralId, Face>,
        headers: &HeaderMap,
        sent: &Sent,
        trace: &Trace,
    ) -> Result<Answer, Face> {
        let body = self.parse(&sent.bytes)?;
        let request = self.patch_request(&body, sent.media_type)?;
        drop(body);
        let expected = joined(headers, &IF_MATCH);
        let reply = if prefers_representation(headers) { Reply::Preferred } else { Reply::Empty };
        let writing = Writing { method: "PATCH", headers, sent, trace };
        self.write(caller, id?, expected.as_deref(), &request, reply, writing).await
    }

    fn patch_request(&self, body: &Value, media_type: MediaType) -> Result<EditRequest, Face> {
        let dialect = &self.exchange.policy().dialect;
        let merges = match media_type {
            MediaType::MergePatch => true,
            MediaType::Json => self.options.object_patch && body.is_object(),
            MediaType::JsonPatch => false,
        };
        if merges {
            return Ok(EditRequest::merge(body, dialect)?);
        }
        Ok(EditRequest::Patch(PatchRequest::parse(body, dialect)?))
    }

    async fn write(
        &self,
        caller: &Caller,
        id: ReferralId,
        expected: Option<&str>,
        request: &EditRequest,
        reply: Reply,
        writing: Writing<'_>,
    ) -> Result<Answer, Face> {
        let expected = expected.map(Precondition::parse);
        let path = format!("{COLLECTION}/{id}");
        let once = self.once(caller, writing.method, &path, writing.headers, writing.sent, writing.trace);
        let remember = |outcome: Result<&Shown, &exchange::EditError>| match outcome {
            Ok(shown) => record::success(reply, shown),
            Err(error) => record::failure(&Face::from(error)),
        };
        let written =
            self.exchange.edit(caller, id, expected.as_ref(), request, once.as_ref(), &remember).await;
        Ok(match written.map_err(|error| Face::from(error).naming(writing.trace.request_id))? {
            Written::Now(shown) => self.referral_answer(reply, &shown),
            Written::Before(answer) => self.replay(&answer),
        })
    }

    fn once(
        &self,
        caller: &Caller,
        method: &str,
        path: &str,
        headers: &HeaderMap,
        sent: &Sent,
        trace: &Trace,
    ) -> Option<Once> {
        let if_match = joined(headers, &IF_MATCH).unwrap_or_default();
        trace.once.map(|id| Once::new(caller, method, path, id, &sent.bytes, &if_match))
    }

    /// `GET` on the collection: newest first, by pages.
    async fn list(&self, caller: &Caller, query: &str) -> Result<Answer, Face> {
        let _permit = self.permit()?;
        let wanted = ListOptions::read(query)?;
        let page = self.exchange.referrals(caller, wanted.page).await?;
        let text = |text: String| Value::String(text).to_string();
        let mut out = format!("{{\"@odata.context\":{}", text(self.base.list_context())).into_bytes();
        if wanted.count {
            out.extend_from_slice(format!(",\"@odata.count\":{}", page.count).as_bytes());
        }
        out.extend_from_slice(b",\"value\":[");
        for (at, shown) in page.referrals.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            self.base.item(&shown.document, shown.id, shown.engagement_id, &mut out);
        }
        out.push(b']');
        if let Some(next) = page.next {
            let link = wanted.next_link(&self.base.referrals(), &next);
            out.extend_from_slice(format!(",\"@odata.nextLink\":{}", text(link)).as_bytes());
        }
        out.push(b'}');
        Ok(odata(StatusCode::OK, out))
    }
}

/// What a write needs of its request besides the command.
struct Writing<'a> {
    method: &'static str,
    headers: &'a HeaderMap,
    sent: &'a Sent,
    trace: &'a Trace,
}

/// The face of a borrowed failure, for remembering it: only those that are remembered (4.3.3) need their own; the
/// others are decided anew each time.
impl From<&exchange::EditError> for Face {
    fn from(error: &exchange::EditError) -> Face {
        use exchange::{EditError, ReadError};
        match error {
            EditError::Refused(refusal) => refusal.clone().into(),
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

/// The query options of a plain list. The query language proper is its own capability; until then what it needs is
/// refused, never passed over.
struct ListOptions {
    page: PageRequest,
    count: bool,
}

impl ListOptions {
    fn read(query: &str) -> Result<ListOptions, Face> {
        let mut options = ListOptions { page: PageRequest::default(), count: true };
        for (name, text) in pairs(query)? {
            match name.to_ascii_lowercase().as_str() {
                "$top" => options.page.top = Some(number("$top", &text)?),
                "$count" => options.count = !text.eq_ignore_ascii_case("false"),
                "$skiptoken" => options.continue_after(&text)?,
                "$expand" if text.trim().is_empty() => {}
                other if other.starts_with('$') => {
                    let message = format!("The query option {name} is not supported.");
                    return Err(Face::unsupported_query(&name, message));
                }
                _ => {}
            }
        }
        Ok(options)
    }

    /// Takes up where a next link left off: creation time, id, and how many may still come.
    fn continue_after(&mut self, token: &str) -> Result<(), Face> {
        let refused = || Face::unsupported_query("$skiptoken", "The $skiptoken was not made by this server.");
        let bytes = unhex(token).ok_or_else(refused)?;
        let (created, rest) = bytes.split_first_chunk::<8>().ok_or_else(refused)?;
        let (id, left) = rest.split_first_chunk::<16>().ok_or_else(refused)?;
        self.page.after = Some(Cursor {
            created: Timestamp::from_ticks(i64::from_be_bytes(*created)),
            id: ReferralId::from_bytes(*id),
        });
        self.page.top = match left {
            [] => None,
            left => Some(u64::from_be_bytes(left.try_into().map_err(|_| refused())?)),
        };
        Ok(())
    }

    fn next_link(&self, collection: &str, next: &PageRequest) -> String {
        let mut token = String::new();
        if let Some(after) = next.after {
            token.push_str(&hex(&after.created.ticks().to_be_bytes()));
            token.push_str(&hex(after.id.as_bytes()));
        }
        if let Some(left) = next.top {
            token.push_str(&hex(&left.to_be_bytes()));
        }
        let count = if self.count { "" } else { "$count=false&" };
        format!("{collection}?{count}$skiptoken={token}")
    }
}

fn number(option: &'static str, text: &str) -> Result<u64, Face> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = if digits { Some(text.parse().unwrap_or(u64::MAX)) } else { None };
    parsed.ok_or_else(|| Face::unsupported_query(option, format!("{option} must be a non-negative integer.")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

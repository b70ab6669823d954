//! The faces of failure: one JSON error body for every refusal, one table from failures to status and code.
//! Source: spec 11.4 and 11.5.

use std::borrow::Cow;

use exchange::{
    AdmissionError, CreateError, EditError, ListRequestError, ListRequestErrorKind, MemoryLimitError,
    ReadError, StoreError,
};
use http::{HeaderName, HeaderValue, StatusCode};
use identity::TokenError;
use referral::{InnerCode, Rejection, ValidationError};
use serde_json::{Value, json};

use crate::shares::{NoRoom, Place};

/// The longest message, in characters (REF-252).
const LONGEST: usize = 1024;

/// A refusal as the client sees it. Boxed: it is the rare half of every result.
#[derive(Debug, Clone)]
pub(crate) struct Face(Box<Refused>);

/// What a refusal says.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: Cow<'static, str>,
    pub target: Option<Cow<'static, str>>,
    pub inner: Option<Inner>,
    /// Seconds after which to try again.
    pub retry_after: Option<u64>,
    /// The methods that are offered, for 405.
    pub allow: Option<&'static str>,
    /// One more header, which says what would be taken.
    pub header: Option<(HeaderName, HeaderValue)>,
    /// One line of help in a header that a real client ignores (`x-cosell-hint`).
    pub hint: Option<Cow<'static, str>>,
    /// For the log alone: what really happened behind a 5xx.
    pub cause: Option<String>,
    /// The body was not read: the connection cannot go on.
    pub close: bool,
    /// It was refused for what it would cost.
    pub costly: bool,
    /// It was refused because this has no room, by its name in the figures.
    pub capacity: Option<&'static str>,
}

/// The more specific error.
#[derive(Debug, Clone)]
pub(crate) struct Inner {
    pub code: &'static str,
    pub message: Cow<'static, str>,
}

impl std::ops::Deref for Face {
    type Target = Refused;

    fn deref(&self) -> &Refused {
        &self.0
    }
}

impl std::ops::DerefMut for Face {
    fn deref_mut(&mut self) -> &mut Refused {
        &mut self.0
    }
}

impl Face {
    fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Face {
        Face(Box::new(Refused {
            status,
            code,
            message: message.into(),
            target: None,
            inner: None,
            retry_after: None,
            allow: None,
            header: None,
            hint: None,
            cause: None,
            close: false,
            costly: false,
            capacity: None,
        }))
    }

    fn costly(mut self) -> Face {
        self.costly = true;
        self
    }

    /// Counts the refusal as one for lack of room there.
    pub(crate) fn for_capacity(mut self, of: &'static str) -> Face {
        self.capacity = Some(of);
        self
    }

    pub(crate) fn target(mut self, target: impl Into<Cow<'static, str>>) -> Face {
        self.target = Some(target.into());
        self
    }

    /// Names the option that the refusal is about.
    pub(crate) fn about(mut self, option: &'static str) -> Face {
        if let Some(inner) = &mut self.inner {
            inner.message = option.into();
        }
        self.target(option)
    }

    fn inner(mut self, code: &'static str, message: impl Into<Cow<'static, str>>) -> Face {
        self.inner = Some(Inner { code, message: message.into() });
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Face {
        self.hint = Some(hint.into());
        self
    }

    /// Puts a hint before the one that is there.
    pub(crate) fn hint_first(mut self, hint: String) -> Face {
        self.hint = Some(match self.hint.take() {
            Some(other) => format!("{hint}; {other}").into(),
            None => hint.into(),
        });
        self
    }

    fn retry_after(mut self, seconds: u64) -> Face {
        self.retry_after = Some(seconds);
        self
    }

    pub(crate) fn closing(mut self) -> Face {
        self.close = true;
        self
    }

    /// Names the request id where the refusal is about it.
    pub(crate) fn naming(mut self, request_id: uuid::Uuid) -> Face {
        if self.target.as_deref() == Some("request-id")
            && let Some(inner) = &mut self.inner
        {
            inner.message = request_id.to_string().into();
        }
        self
    }

    fn bad_request(
        inner: &'static str,
        target: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Face {
        let target = target.into();
        Face::new(StatusCode::BAD_REQUEST, "invalidRequest", message)
            .inner(inner, target.clone())
            .target(target)
    }

    /// The JSON error body.
    pub(crate) fn body(&self) -> String {
        let mut error = json!({ "code": self.code, "message": cut(&self.message) });
        if let Some(target) = &self.target {
            error["target"] = Value::String(cut(target));
        }
        if let Some(inner) = &self.inner {
            error["innerError"] = json!({ "code": inner.code, "message": cut(&inner.message) });
        }
        if self.status == StatusCode::PRECONDITION_FAILED && self.target.as_deref() == Some("ETag") {
            // As captured from the real service, with the documented code below it (spec 11.5).
            error["innerError"]["details"] = Value::Null;
            error["innerError"]["innerError"] = json!({ "code": "resourceModified", "message": "The referral has changed since it was read." });
        }
        json!({ "error": error }).to_string()
    }

    // ---- what the edge and the routes refuse ----

    pub(crate) fn no_such_path() -> Face {
        Face::new(StatusCode::NOT_FOUND, "itemNotFound", "There is no resource at this path.")
            .target("path")
            .hint(
                "the collection is /v1.0/engagements/referrals, a referral /v1.0/engagements/referrals/{id}",
            )
    }

    pub(crate) fn method_not_allowed(method: &str, of: &str, allow: &'static str) -> Face {
        let method = cut_to(method, 40);
        let mut face = Face::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "invalidRequest",
            format!("{method} is not supported on {of}."),
        )
        .target("method")
        .inner("methodNotAllowed", method);
        face.allow = Some(allow);
        face
    }

    pub(crate) fn malformed_request(target: &'static str, message: &'static str) -> Face {
        Face::bad_request("invalidValue", target, message).closing()
    }

    pub(crate) fn not_acceptable(accept: &str) -> Face {
        Face::new(StatusCode::NOT_ACCEPTABLE, "invalidRequest", "Only application/json can be produced.")
            .target("Accept")
            .inner("notAcceptable", cut_to(accept, 120))
            .hint("send Accept: application/json, or leave it out")
    }

    pub(crate) fn unsupported_media_type(content_type: &str, hint: &'static str) -> Face {
        Face::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "invalidRequest",
            "The content type of the request is not supported.",
        )
        .target("Content-Type")
        .inner("unsupportedMediaType", cut_to(content_type, 120))
        .hint(hint)
        .closing()
    }

    /// 415 for a coding of the body, with the one that is taken (RFC 9110, 15.5.16).
    pub(crate) fn unsupported_encoding(encoding: &str) -> Face {
        let mut face = Face::unsupported_media_type(encoding, "send the body without Content-Encoding");
        face.header = Some((http::header::ACCEPT_ENCODING, HeaderValue::from_static("identity")));
        face
    }

    /// RFC 9110, 10.1.1: an expectation other than `100-continue`.
    pub(crate) fn expectation_failed(expected: &str) -> Face {
        Face::new(
            StatusCode::EXPECTATION_FAILED,
            "invalidRequest",
            "The only expectation that is met is 100-continue.",
        )
        .target("Expect")
        .inner("expectationFailed", cut_to(expected, 120))
        .closing()
    }

    /// 412: what would be read has none of the tags in `If-Match`.
    pub(crate) fn precondition_of_read_failed() -> Face {
        precondition_failed("what is read now has another ETag; send the request without If-Match to get it")
    }

    /// 412: the collection has no tag, and it exists.
    pub(crate) fn precondition_of_collection_failed() -> Face {
        precondition_failed(
            "the collection exists and has no ETag; create without If-Match and If-None-Match",
        )
    }

    /// 412: snapshot isolation is not offered. Source: OData 4.01 Protocol, section 8.2.6.
    pub(crate) fn no_isolation() -> Face {
        let message = "Snapshot isolation is not supported.";
        Face::new(StatusCode::PRECONDITION_FAILED, "preconditionFailed", message)
            .target("OData-Isolation")
            .inner("isolationNotSupported", "OData-Isolation")
    }

    /// 400: a header that a batch must not have, because it speaks of one resource.
    pub(crate) fn not_of_a_batch(header: &'static str) -> Face {
        let message = format!("{header} belongs to a request within the batch, not to the batch.");
        Face::bad_request("invalidValue", header, message)
    }

    pub(crate) fn length_required() -> Face {
        Face::new(
            StatusCode::LENGTH_REQUIRED,
            "invalidRequest",
            "The request needs a body with a known length.",
        )
        .target("Content-Length")
        .inner("lengthRequired", "Content-Length")
        .hint("send Content-Length, or Transfer-Encoding: chunked")
    }

    pub(crate) fn too_large(limit: usize) -> Face {
        Face::new(StatusCode::PAYLOAD_TOO_LARGE, "invalidRequest", "The request body exceeds the size limit.")
            .target("body")
            .inner("requestTooLarge", limit.to_string())
            .closing()
    }

    /// 413 for a body that is short as text and huge in memory.
    pub(crate) fn too_many_values(limit: usize) -> Face {
        let message = format!("The request body holds more than {limit} JSON values.");
        Face::new(StatusCode::PAYLOAD_TOO_LARGE, "invalidRequest", message)
            .target("body")
            .inner("requestTooLarge", limit.to_string())
    }

    pub(crate) fn broken_body() -> Face {
        Face::bad_request("malformedJson", "body", "The request body ended before it was complete.").closing()
    }

    /// RFC 9110, 15.5.9: the request did not come in time.
    pub(crate) fn slow_body() -> Face {
        Face::new(StatusCode::REQUEST_TIMEOUT, "invalidRequest", "The request body did not come in time.")
            .target("body")
            .inner("requestTimeout", "body")
            .closing()
    }

    pub(crate) fn if_match_missing() -> Face {
        Face::new(StatusCode::BAD_REQUEST, "invalidRequest", "The If-Match header is required for PUT.")
            .target("If-Match")
            .inner("missingHeader", "If-Match")
            .hint("GET the referral and send its eTag as If-Match; a body eTag is no substitute")
    }

    pub(crate) fn unsupported_query(option: &str, message: impl Into<Cow<'static, str>>) -> Face {
        let option = cut_to(option, 120);
        Face::new(StatusCode::BAD_REQUEST, "invalidRequest", message)
            .target(option.clone())
            .inner("unsupportedQuery", option)
    }

    /// 400 for `OData-Version` or `OData-MaxVersion`.
    pub(crate) fn unknown_version(header: &'static str) -> Face {
        Face::new(StatusCode::BAD_REQUEST, "invalidRequest", "This service speaks OData 4.0 and 4.01 alone.")
            .target(header)
            .inner("unsupportedQuery", header)
    }

    pub(crate) fn foreign_continuation() -> Face {
        Face::unsupported_query(
            "$skiptoken",
            "The $skiptoken was not made for this caller and these options.",
        )
        .hint("follow @odata.nextLink as it is; to change options, begin again without $skiptoken")
    }

    /// 501: OData has it, this server does not.
    pub(crate) fn not_implemented(option: &str, message: impl Into<Cow<'static, str>>) -> Face {
        let option = cut_to(option, 120);
        Face::new(StatusCode::NOT_IMPLEMENTED, "invalidRequest", message)
            .target(option.clone())
            .inner("notImplemented", option)
    }

    /// 400: a batch, or one request of it, that cannot be understood.
    pub(crate) fn malformed_batch(
        target: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Face {
        Face::bad_request("malformedBatch", target, message)
    }

    /// 424: a request of a batch that is not tried, because of another. Source: OData Protocol 4.01, 9.3.
    pub(crate) fn failed_dependency(target: &str, message: &'static str) -> Face {
        let target = target.to_owned();
        Face::new(StatusCode::FAILED_DEPENDENCY, "invalidRequest", message)
            .inner("failedDependency", target.clone())
            .target(target)
    }

    pub(crate) fn batch_too_long(limit: usize) -> Face {
        let message = "The answers of this batch have grown too long. Send fewer requests at once.";
        Face::new(StatusCode::PAYLOAD_TOO_LARGE, "invalidRequest", message)
            .target("batch")
            .inner("answerTooLarge", limit.to_string())
    }

    /// 413: the writes of a group would hold too much memory until they are committed.
    pub(crate) fn group_too_large(limit: usize) -> Face {
        let message = format!(
            "The writes of this group take more than {limit} bytes together. Send fewer or smaller ones at once."
        );
        Face::new(StatusCode::PAYLOAD_TOO_LARGE, "invalidRequest", message)
            .target("atomicityGroup")
            .inner("requestTooLarge", limit.to_string())
            .for_capacity("batch")
    }

    /// 413: the requests of a batch have taken more work than one batch may.
    pub(crate) fn batch_too_costly() -> Face {
        let message = "The requests of this batch take too much work. Send fewer at once.";
        Face::new(StatusCode::PAYLOAD_TOO_LARGE, "invalidRequest", message)
            .target("batch")
            .inner("requestTooLarge", "batch")
            .for_capacity("batch")
    }

    pub(crate) fn no_batch_acceptable(accept: &str) -> Face {
        let message = "Only application/json and multipart/mixed can be produced.";
        Face::new(StatusCode::NOT_ACCEPTABLE, "invalidRequest", message)
            .target("Accept")
            .inner("notAcceptable", cut_to(accept, 120))
    }

    pub(crate) fn throttled(seconds: u64) -> Face {
        Face::new(
            StatusCode::TOO_MANY_REQUESTS,
            "serviceNotAvailable",
            "Too many requests. Wait for the time given in Retry-After.",
        )
        .target("rate")
        .inner("tooManyRequests", seconds.to_string())
        .retry_after(seconds)
        .for_capacity("rate")
    }

    /// 429 for a caller that holds its share of a place, and for nobody else.
    fn over_share(place: &'static str) -> Face {
        let message = match place {
            "requests" => "Too many requests of this caller or its organization are running at once.",
            "bodies" => {
                "Too many request bodies of this caller or its organization are on their way at once."
            }
            "answers" => "This caller or its organization has too many answers that it has not read yet.",
            _ => "The requests of this caller or its organization take too much memory at once.",
        };
        Face::new(StatusCode::TOO_MANY_REQUESTS, "serviceNotAvailable", message)
            .target(place)
            .inner("tooManyRequests", "1")
            .retry_after(1)
            .for_capacity(place)
    }

    pub(crate) fn unavailable(cause: &str) -> Face {
        let mut face = Face::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "serviceNotAvailable",
            "The service is temporarily unavailable.",
        )
        .retry_after(1);
        face.cause = Some(cause.to_owned());
        face
    }

    pub(crate) fn internal(cause: impl ToString) -> Face {
        let mut face = Face::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "generalException",
            "The request could not be completed.",
        );
        face.cause = Some(cause.to_string());
        face
    }
}

/// At most [`LONGEST`] characters.
fn cut(text: &str) -> String {
    cut_to(text, LONGEST)
}

fn cut_to(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some(_) => text.chars().take(longest - 1).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// What was said as a sentence: with its end, of which a question has its own.
pub(crate) fn sentence(said: String) -> String {
    if said.ends_with('?') { said } else { said + "." }
}

// ---- the table: what inner rooms say, and the face it gets; no `_` arm, so that a new failure must choose ----

impl From<TokenError> for Face {
    fn from(error: TokenError) -> Face {
        let Some(code) = error.inner_code() else {
            return Face::unavailable(&error.to_string()).retry_after(5);
        };
        let detail = match error {
            TokenError::Expired => Cow::Borrowed("The token lifetime has ended."),
            _ => error.to_string().into(),
        };
        Face::new(StatusCode::UNAUTHORIZED, "unauthenticated", "A valid bearer token is required.")
            .target("Authorization")
            .inner(code, detail)
    }
}

impl From<NoRoom> for Face {
    fn from(no_room: NoRoom) -> Face {
        match no_room {
            NoRoom::Share(place) => Face::over_share(place.name()),
            NoRoom::Full(place) => {
                Face::unavailable(&format!("the server has no room for more {}", place.name()))
                    .for_capacity(place.name())
            }
        }
    }
}

impl From<MemoryLimitError> for Face {
    fn from(no_memory: MemoryLimitError) -> Face {
        match no_memory {
            MemoryLimitError::Share => NoRoom::Share(Place::Memory).into(),
            MemoryLimitError::Full => NoRoom::Full(Place::Memory).into(),
        }
    }
}

impl From<AdmissionError> for Face {
    fn from(error: AdmissionError) -> Face {
        let (code, detail) = match error {
            AdmissionError::AppOnly => ("appOnly", error.to_string()),
            AdmissionError::UnknownTenant => ("missingRole", error.to_string()),
            AdmissionError::MissingRole => ("missingRole", "ReferralAdmin or ReferralUser".to_owned()),
        };
        Face::new(StatusCode::FORBIDDEN, "accessDenied", "The caller has no referral role for this resource.")
            .target("referral")
            .inner(code, detail)
    }
}

impl From<StoreError> for Face {
    fn from(error: StoreError) -> Face {
        match error {
            StoreError::WritesStopped(_) | StoreError::Closed | StoreError::Unavailable(_) => {
                Face::unavailable(&error.to_string())
            }
            StoreError::Interrupted => Face::unavailable(&error.to_string()),
            StoreError::Fault(what) => Face::unsupported_query("query", sentence(what)),
            StoreError::TooCostly(what) => Face::unsupported_query("query", what).costly(),
            StoreError::NotSupported(what) => Face::not_implemented("query", what),
            StoreError::TooNew { .. } | StoreError::InUse(_) | StoreError::Engine(_) => Face::internal(error),
        }
    }
}

impl From<ListRequestError> for Face {
    fn from(error: ListRequestError) -> Face {
        let ListRequestError { option, at, message, kind } = error;
        let text = sentence(format!("{option}, at {at}: {message}"));
        if kind == ListRequestErrorKind::NotImplemented {
            return Face::not_implemented(&option, text);
        }
        let inner = if option == "$filter" { "unsupportedFilter" } else { "unsupportedQuery" };
        let face = Face::unsupported_query(&option, text).inner(inner, cut_to(&option, 120));
        match kind {
            ListRequestErrorKind::ExtendedOnly => face.hint("the extended temperament answers this"),
            _ => face,
        }
    }
}

impl From<ValidationError> for Face {
    fn from(invalid: ValidationError) -> Face {
        // The empty path of a patch names the whole document.
        let named = |text: String| if text.is_empty() { "body".to_owned() } else { text };
        let face = Face::new(StatusCode::BAD_REQUEST, "invalidRequest", invalid.message)
            .target(named(invalid.target))
            .inner(invalid.code.as_str(), named(invalid.detail));
        let face = match hint_of(invalid.code) {
            Some(hint) => face.hint(hint),
            None => face,
        };
        match invalid.unknown {
            Some(unknown) => face.hint_first(unknown.to_string()),
            None => face,
        }
    }
}

/// What helps most people who break this rule.
fn hint_of(code: InnerCode) -> Option<&'static str> {
    match code {
        InnerCode::UnsupportedOperation => Some(
            "the service documents replace and add only; the extended temperament serves all of RFC 6902",
        ),
        InnerCode::InvalidPatch => Some(
            "PATCH takes a JSON Patch array (RFC 6902) whose paths name existing members, such as /details/dealValue",
        ),
        InnerCode::InvalidStatusSubstatus => {
            Some("New: Pending, Received; Active: Accepted; Closed: Won, Lost, Declined, Expired, Error")
        }
        InnerCode::MissingProperty => {
            Some("POST needs type, customerProfile with a name, consent and details")
        }
        InnerCode::ReadOnlyProperty | InnerCode::InvalidValue | InnerCode::MalformedJson => None,
    }
}

impl From<Rejection> for Face {
    fn from(refusal: Rejection) -> Face {
        match refusal {
            Rejection::Invalid(invalid) => invalid.into(),
            Rejection::Terminal(was) => conflict("A closed referral cannot be changed.")
                .target("status")
                .inner("terminalState", format!("Closed/{was:?}"))
                .hint("a closed referral takes changes of favorite and externalReferenceId alone"),
            Rejection::NotReachable { from, to } => {
                conflict(format!("A referral cannot go from {} back to {}.", from.status(), to.status()))
                    .target("status")
                    .inner("invalidTransition", format!("{from} to {to}"))
            }
        }
    }
}

fn conflict(message: impl Into<Cow<'static, str>>) -> Face {
    Face::new(StatusCode::CONFLICT, "invalidRequest", message)
}

fn not_found() -> Face {
    Face::new(
        StatusCode::NOT_FOUND,
        "itemNotFound",
        "No referral with this identifier is visible to the caller.",
    )
    .target("referral")
}

fn forbidden(code: &'static str, message: &'static str, detail: &'static str) -> Face {
    Face::new(StatusCode::FORBIDDEN, "accessDenied", message).target("referral").inner(code, detail)
}

fn request_id_reused() -> Face {
    conflict("The request identifier was already used with a different body.")
        .target("request-id")
        .inner("requestIdReused", "request-id")
        .hint("a new operation takes a new request-id; a retry repeats body and If-Match as well")
}

fn request_in_progress() -> Face {
    conflict("The first request with this identifier is still running.")
        .target("request-id")
        .inner("requestInProgress", "request-id")
        .retry_after(1)
}

impl From<ReadError> for Face {
    fn from(error: ReadError) -> Face {
        match error {
            ReadError::NotFound => not_found(),
            ReadError::NotOnTeam => forbidden(
                "notOnTeam",
                "The caller is not on the team of this referral.",
                "a Referral User reaches only referrals whose team holds its e-mail",
            ),
            ReadError::Forged => Face::foreign_continuation(),
            ReadError::Store(error) => error.into(),
            ReadError::Damaged(..) => Face::internal(error),
        }
    }
}

impl From<EditError> for Face {
    fn from(error: EditError) -> Face {
        match error {
            EditError::Read(error) => error.into(),
            EditError::NotOwner => forbidden(
                "notOwner",
                "The referral belongs to another organization.",
                "only the owner changes a referral; who sent it may withdraw it while it is New",
            ),
            EditError::Stale => {
                precondition_failed("GET the referral again and repeat the change with its new eTag")
            }
            EditError::Excluded => precondition_failed(
                "If-None-Match excludes the stored version, and * every one; to change it, send If-Match with its eTag",
            ),
            EditError::Rejected(refusal) => refusal.into(),
            EditError::RequestIdReused => request_id_reused(),
            EditError::RequestInProgress => request_in_progress(),
            EditError::NoMemory(no_memory) => no_memory.into(),
            EditError::Contended => Face::unavailable(&error.to_string()),
        }
    }
}

/// 412, with what to do about it.
fn precondition_failed(hint: &'static str) -> Face {
    Face::new(
        StatusCode::PRECONDITION_FAILED,
        "preconditionFailed",
        "A precondition provided in the request (such as an if-match header) does not match the resource's current state.",
    )
    .target("ETag")
    .inner("99918", "One of the specified pre-condition is not met. Etag value did not Match")
    .hint(hint)
}

impl From<CreateError> for Face {
    fn from(error: CreateError) -> Face {
        match error {
            CreateError::Invalid(invalid) => invalid.into(),
            CreateError::EngagementNotFound => Face::new(
                StatusCode::NOT_FOUND,
                "itemNotFound",
                "No engagement with this identifier holds a referral of the caller's organization.",
            )
            .target("engagementId"),
            CreateError::NotOnTeam => forbidden(
                "notOnTeam",
                "A Referral User must be on the team of a referral it creates.",
                "add a team member with the caller's e-mail",
            ),
            CreateError::EngagementClosed => conflict("The caller has no open referral in this engagement.")
                .target("engagementId")
                .inner("engagementClosed", "no open referral"),
            CreateError::AlreadyInvited => {
                conflict("The invited organization already has an open referral in this engagement.")
                    .target("engagementId")
                    .inner("alreadyInvited", "open referral")
            }
            CreateError::RequestIdReused => request_id_reused(),
            CreateError::RequestInProgress => request_in_progress(),
            CreateError::NoMemory(no_memory) => no_memory.into(),
            CreateError::Contended => Face::unavailable(&error.to_string()),
            CreateError::Store(error) => error.into(),
            CreateError::Damaged(error) => Face::internal(error),
        }
    }
}

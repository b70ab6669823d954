//! API errors: one JSON body for every error, and one table from errors to status and code.
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

use crate::shares::{Capacity, CapacityError};

/// Maximum length of a message, in characters (REF-252).
const MAX_MESSAGE_CHARS: usize = 1024;

/// An error as the client sees it. Boxed, because it is the rare variant of every result.
#[derive(Debug, Clone)]
pub(crate) struct ApiError(Box<ErrorDetails>);

/// The content of an error response.
#[derive(Debug, Clone)]
pub(crate) struct ErrorDetails {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: Cow<'static, str>,
    pub target: Option<Cow<'static, str>>,
    pub inner: Option<InnerError>,
    /// Seconds after which to try again.
    pub retry_after: Option<u64>,
    /// The methods that are offered, for 405.
    pub allow: Option<&'static str>,
    /// One more header that names what is accepted.
    pub header: Option<(HeaderName, HeaderValue)>,
    /// One line of help in a header that a real client ignores (`x-cosell-hint`).
    pub hint: Option<Cow<'static, str>>,
    /// The cause of a 5xx, only for the log.
    pub cause: Option<String>,
    /// The body was not read: the connection cannot go on.
    pub close: bool,
    /// The request was refused because of its cost.
    pub costly: bool,
    /// The capacity that was used up, by its name in the metrics.
    pub capacity: Option<&'static str>,
}

/// The more specific error.
#[derive(Debug, Clone)]
pub(crate) struct InnerError {
    pub code: &'static str,
    pub message: Cow<'static, str>,
}

impl std::ops::Deref for ApiError {
    type Target = ErrorDetails;

    fn deref(&self) -> &ErrorDetails {
        &self.0
    }
}

impl std::ops::DerefMut for ApiError {
    fn deref_mut(&mut self) -> &mut ErrorDetails {
        &mut self.0
    }
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError(Box::new(ErrorDetails {
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

    fn costly(mut self) -> ApiError {
        self.costly = true;
        self
    }

    /// Counts the error as a refusal because of this capacity.
    pub(crate) fn for_capacity(mut self, of: &'static str) -> ApiError {
        self.capacity = Some(of);
        self
    }

    pub(crate) fn target(mut self, target: impl Into<Cow<'static, str>>) -> ApiError {
        self.target = Some(target.into());
        self
    }

    /// Names the query option at fault.
    pub(crate) fn about_option(mut self, option: &'static str) -> ApiError {
        if let Some(inner) = &mut self.inner {
            inner.message = option.into();
        }
        self.target(option)
    }

    fn inner(mut self, code: &'static str, message: impl Into<Cow<'static, str>>) -> ApiError {
        self.inner = Some(InnerError { code, message: message.into() });
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> ApiError {
        self.hint = Some(hint.into());
        self
    }

    /// Puts a hint before the one that is there.
    pub(crate) fn hint_first(mut self, hint: String) -> ApiError {
        self.hint = Some(match self.hint.take() {
            Some(other) => format!("{hint}; {other}").into(),
            None => hint.into(),
        });
        self
    }

    fn retry_after(mut self, seconds: u64) -> ApiError {
        self.retry_after = Some(seconds);
        self
    }

    pub(crate) fn closing_connection(mut self) -> ApiError {
        self.close = true;
        self
    }

    /// Names the request id if it is at fault.
    pub(crate) fn with_request_id(mut self, request_id: uuid::Uuid) -> ApiError {
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
    ) -> ApiError {
        let target = target.into();
        ApiError::new(StatusCode::BAD_REQUEST, "invalidRequest", message)
            .inner(inner, target.clone())
            .target(target)
    }

    /// The JSON error body.
    pub(crate) fn body(&self) -> String {
        let mut error = json!({ "code": self.code, "message": truncate(&self.message) });
        if let Some(target) = &self.target {
            error["target"] = Value::String(truncate(target));
        }
        if let Some(inner) = &self.inner {
            error["innerError"] = json!({ "code": inner.code, "message": truncate(&inner.message) });
        }
        if self.status == StatusCode::PRECONDITION_FAILED && self.target.as_deref() == Some("ETag") {
            // As captured from the real service, with the documented code below it (spec 11.5).
            error["innerError"]["details"] = Value::Null;
            error["innerError"]["innerError"] = json!({ "code": "resourceModified", "message": "The referral has changed since it was read." });
        }
        json!({ "error": error }).to_string()
    }

    // ---- errors of the edge and of the routes ----

    pub(crate) fn no_such_path() -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "itemNotFound", "There is no resource at this path.")
            .target("path")
            .hint(
                "the collection is /v1.0/engagements/referrals, a referral /v1.0/engagements/referrals/{id}",
            )
    }

    pub(crate) fn method_not_allowed(method: &str, of: &str, allow: &'static str) -> ApiError {
        let method = truncate_to(method, 40);
        let mut api_error = ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "invalidRequest",
            format!("{method} is not supported on {of}."),
        )
        .target("method")
        .inner("methodNotAllowed", method);
        api_error.allow = Some(allow);
        api_error
    }

    pub(crate) fn malformed_request(target: &'static str, message: &'static str) -> ApiError {
        ApiError::bad_request("invalidValue", target, message).closing_connection()
    }

    pub(crate) fn not_acceptable(accept: &str) -> ApiError {
        ApiError::new(StatusCode::NOT_ACCEPTABLE, "invalidRequest", "Only application/json can be produced.")
            .target("Accept")
            .inner("notAcceptable", truncate_to(accept, 120))
            .hint("send Accept: application/json, or leave it out")
    }

    pub(crate) fn unsupported_media_type(content_type: &str, hint: &'static str) -> ApiError {
        ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "invalidRequest",
            "The content type of the request is not supported.",
        )
        .target("Content-Type")
        .inner("unsupportedMediaType", truncate_to(content_type, 120))
        .hint(hint)
        .closing_connection()
    }

    /// 415 for a coding of the body, with the one that is taken (RFC 9110, 15.5.16).
    pub(crate) fn unsupported_encoding(encoding: &str) -> ApiError {
        let mut api_error =
            ApiError::unsupported_media_type(encoding, "send the body without Content-Encoding");
        api_error.header = Some((http::header::ACCEPT_ENCODING, HeaderValue::from_static("identity")));
        api_error
    }

    /// RFC 9110, 10.1.1: an expectation other than `100-continue`.
    pub(crate) fn expectation_failed(expected: &str) -> ApiError {
        ApiError::new(
            StatusCode::EXPECTATION_FAILED,
            "invalidRequest",
            "The only expectation that is met is 100-continue.",
        )
        .target("Expect")
        .inner("expectationFailed", truncate_to(expected, 120))
        .closing_connection()
    }

    /// 412: the resource has none of the entity tags in `If-Match`.
    pub(crate) fn precondition_of_read_failed() -> ApiError {
        precondition_failed("what is read now has another ETag; send the request without If-Match to get it")
    }

    /// 412: the collection has no tag, and it exists.
    pub(crate) fn precondition_of_collection_failed() -> ApiError {
        precondition_failed(
            "the collection exists and has no ETag; create without If-Match and If-None-Match",
        )
    }

    /// 412: snapshot isolation is not supported. Source: OData 4.01 Protocol, section 8.2.6.
    pub(crate) fn no_isolation() -> ApiError {
        let message = "Snapshot isolation is not supported.";
        ApiError::new(StatusCode::PRECONDITION_FAILED, "preconditionFailed", message)
            .target("OData-Isolation")
            .inner("isolationNotSupported", "OData-Isolation")
    }

    /// 400: a header that a batch must not have, because it speaks of one resource.
    pub(crate) fn not_of_a_batch(header: &'static str) -> ApiError {
        let message = format!("{header} belongs to a request within the batch, not to the batch.");
        ApiError::bad_request("invalidValue", header, message)
    }

    pub(crate) fn length_required() -> ApiError {
        ApiError::new(
            StatusCode::LENGTH_REQUIRED,
            "invalidRequest",
            "The request needs a body with a known length.",
        )
        .target("Content-Length")
        .inner("lengthRequired", "Content-Length")
        .hint("send Content-Length, or Transfer-Encoding: chunked")
    }

    pub(crate) fn too_large(limit: usize) -> ApiError {
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "invalidRequest",
            "The request body exceeds the size limit.",
        )
        .target("body")
        .inner("requestTooLarge", limit.to_string())
        .closing_connection()
    }

    /// 413 for a body that is short as text and huge in memory.
    pub(crate) fn too_many_values(limit: usize) -> ApiError {
        let message = format!("The request body holds more than {limit} JSON values.");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "invalidRequest", message)
            .target("body")
            .inner("requestTooLarge", limit.to_string())
    }

    pub(crate) fn broken_body() -> ApiError {
        ApiError::bad_request("malformedJson", "body", "The request body ended before it was complete.")
            .closing_connection()
    }

    /// RFC 9110, 15.5.9: the request did not come in time.
    pub(crate) fn slow_body() -> ApiError {
        ApiError::new(StatusCode::REQUEST_TIMEOUT, "invalidRequest", "The request body did not come in time.")
            .target("body")
            .inner("requestTimeout", "body")
            .closing_connection()
    }

    pub(crate) fn if_match_missing() -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "invalidRequest", "The If-Match header is required for PUT.")
            .target("If-Match")
            .inner("missingHeader", "If-Match")
            .hint("GET the referral and send its eTag as If-Match; a body eTag is no substitute")
    }

    pub(crate) fn unsupported_query(option: &str, message: impl Into<Cow<'static, str>>) -> ApiError {
        let option = truncate_to(option, 120);
        ApiError::new(StatusCode::BAD_REQUEST, "invalidRequest", message)
            .target(option.clone())
            .inner("unsupportedQuery", option)
    }

    /// 400 for `OData-Version` or `OData-MaxVersion`.
    pub(crate) fn unknown_version(header: &'static str) -> ApiError {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalidRequest",
            "This service speaks OData 4.0 and 4.01 alone.",
        )
        .target(header)
        .inner("unsupportedQuery", header)
    }

    pub(crate) fn invalid_continuation() -> ApiError {
        ApiError::unsupported_query(
            "$skiptoken",
            "The $skiptoken was not made for this caller and these options.",
        )
        .hint("follow @odata.nextLink as it is; to change options, begin again without $skiptoken")
    }

    /// 501: OData has it, this server does not.
    pub(crate) fn not_implemented(option: &str, message: impl Into<Cow<'static, str>>) -> ApiError {
        let option = truncate_to(option, 120);
        ApiError::new(StatusCode::NOT_IMPLEMENTED, "invalidRequest", message)
            .target(option.clone())
            .inner("notImplemented", option)
    }

    /// 400: a batch, or one request of it, that cannot be understood.
    pub(crate) fn malformed_batch(
        target: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> ApiError {
        ApiError::bad_request("malformedBatch", target, message)
    }

    /// 424: a request of a batch that is not executed because another one failed. Source: OData Protocol 4.01, 9.3.
    pub(crate) fn failed_dependency(target: &str, message: &'static str) -> ApiError {
        let target = target.to_owned();
        ApiError::new(StatusCode::FAILED_DEPENDENCY, "invalidRequest", message)
            .inner("failedDependency", target.clone())
            .target(target)
    }

    pub(crate) fn batch_too_long(limit: usize) -> ApiError {
        let message = "The answers of this batch have grown too long. Send fewer requests at once.";
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "invalidRequest", message)
            .target("batch")
            .inner("answerTooLarge", limit.to_string())
    }

    /// 413: the writes of a group would hold too much memory until they are committed.
    pub(crate) fn group_too_large(limit: usize) -> ApiError {
        let message = format!(
            "The writes of this group take more than {limit} bytes together. Send fewer or smaller ones at once."
        );
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "invalidRequest", message)
            .target("atomicityGroup")
            .inner("requestTooLarge", limit.to_string())
            .for_capacity("batch")
    }

    /// 413: the requests of a batch have taken more work than one batch may.
    pub(crate) fn batch_too_costly() -> ApiError {
        let message = "The requests of this batch take too much work. Send fewer at once.";
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "invalidRequest", message)
            .target("batch")
            .inner("requestTooLarge", "batch")
            .for_capacity("batch")
    }

    pub(crate) fn no_batch_acceptable(accept: &str) -> ApiError {
        let message = "Only application/json and multipart/mixed can be produced.";
        ApiError::new(StatusCode::NOT_ACCEPTABLE, "invalidRequest", message)
            .target("Accept")
            .inner("notAcceptable", truncate_to(accept, 120))
    }

    pub(crate) fn throttled(seconds: u64) -> ApiError {
        ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "serviceNotAvailable",
            "Too many requests. Wait for the time given in Retry-After.",
        )
        .target("rate")
        .inner("tooManyRequests", seconds.to_string())
        .retry_after(seconds)
        .for_capacity("rate")
    }

    /// 429 for a caller that has used up its share of a capacity.
    fn over_share(place: &'static str) -> ApiError {
        let message = match place {
            "requests" => "Too many requests of this caller or its organization are running at once.",
            "bodies" => {
                "Too many request bodies of this caller or its organization are on their way at once."
            }
            "answers" => "This caller or its organization has too many answers that it has not read yet.",
            "lists" => "Too many lists of this organization are waiting.",
            _ => "The requests of this caller or its organization take too much memory at once.",
        };
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "serviceNotAvailable", message)
            .target(place)
            .inner("tooManyRequests", "1")
            .retry_after(1)
            .for_capacity(place)
    }

    pub(crate) fn unavailable(cause: &str) -> ApiError {
        let mut api_error = ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "serviceNotAvailable",
            "The service is temporarily unavailable.",
        )
        .retry_after(1);
        api_error.cause = Some(cause.to_owned());
        api_error
    }

    pub(crate) fn internal(cause: impl ToString) -> ApiError {
        let mut api_error = ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "generalException",
            "The request could not be completed.",
        );
        api_error.cause = Some(cause.to_string());
        api_error
    }
}

/// At most [`LONGEST`] characters.
fn truncate(text: &str) -> String {
    truncate_to(text, MAX_MESSAGE_CHARS)
}

fn truncate_to(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some(_) => text.chars().take(max_chars - 1).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// Ends a message with a full stop, unless it ends with a question mark.
pub(crate) fn sentence(said: String) -> String {
    if said.ends_with('?') { said } else { said + "." }
}

// ---- the table from errors of other crates to API errors; without a `_` arm, so that each new error is mapped ----

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> ApiError {
        let Some(code) = error.inner_code() else {
            return ApiError::unavailable(&error.to_string()).retry_after(5);
        };
        let detail = match error {
            TokenError::Expired => Cow::Borrowed("The token lifetime has ended."),
            _ => error.to_string().into(),
        };
        ApiError::new(StatusCode::UNAUTHORIZED, "unauthenticated", "A valid bearer token is required.")
            .target("Authorization")
            .inner(code, detail)
    }
}

impl From<CapacityError> for ApiError {
    fn from(capacity_error: CapacityError) -> ApiError {
        match capacity_error {
            CapacityError::Share(place) => ApiError::over_share(place.name()),
            CapacityError::Full(place) => {
                ApiError::unavailable(&format!("the server has no room for more {}", place.name()))
                    .for_capacity(place.name())
            }
        }
    }
}

impl From<MemoryLimitError> for ApiError {
    fn from(no_memory: MemoryLimitError) -> ApiError {
        match no_memory {
            MemoryLimitError::Share => CapacityError::Share(Capacity::Memory).into(),
            MemoryLimitError::Full => CapacityError::Full(Capacity::Memory).into(),
        }
    }
}

impl From<AdmissionError> for ApiError {
    fn from(error: AdmissionError) -> ApiError {
        let (code, detail) = match error {
            AdmissionError::AppOnly => ("appOnly", error.to_string()),
            AdmissionError::UnknownTenant => ("missingRole", error.to_string()),
            AdmissionError::MissingRole => ("missingRole", "ReferralAdmin or ReferralUser".to_owned()),
        };
        ApiError::new(
            StatusCode::FORBIDDEN,
            "accessDenied",
            "The caller has no referral role for this resource.",
        )
        .target("referral")
        .inner(code, detail)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        match error {
            StoreError::WritesStopped(_) | StoreError::Closed | StoreError::Unavailable(_) => {
                ApiError::unavailable(&error.to_string())
            }
            StoreError::Interrupted => ApiError::unavailable(&error.to_string()),
            StoreError::Busy => ApiError::over_share("lists"),
            StoreError::Fault(what) => ApiError::unsupported_query("query", sentence(what)),
            StoreError::TooCostly(what) => ApiError::unsupported_query("query", what).costly(),
            StoreError::NotSupported(what) => ApiError::not_implemented("query", sentence(what)),
            StoreError::TooNew { .. } | StoreError::InUse(_) | StoreError::Engine(_) => {
                ApiError::internal(error)
            }
        }
    }
}

impl From<ListRequestError> for ApiError {
    fn from(error: ListRequestError) -> ApiError {
        let ListRequestError { option, at, message, kind } = error;
        let text = sentence(format!("{option}, at {at}: {message}"));
        if kind == ListRequestErrorKind::NotImplemented {
            return ApiError::not_implemented(&option, text);
        }
        let inner = if option == "$filter" { "unsupportedFilter" } else { "unsupportedQuery" };
        let api_error = ApiError::unsupported_query(&option, text).inner(inner, truncate_to(&option, 120));
        match kind {
            ListRequestErrorKind::ExtendedOnly => api_error.hint("the extended temperament answers this"),
            _ => api_error,
        }
    }
}

impl From<ValidationError> for ApiError {
    fn from(invalid: ValidationError) -> ApiError {
        // The empty path of a patch names the whole document.
        let named = |text: String| if text.is_empty() { "body".to_owned() } else { text };
        let api_error = ApiError::new(StatusCode::BAD_REQUEST, "invalidRequest", invalid.message)
            .target(named(invalid.target))
            .inner(invalid.code.as_str(), named(invalid.detail));
        let api_error = match hint_of(invalid.code) {
            Some(hint) => api_error.hint(hint),
            None => api_error,
        };
        match invalid.unknown {
            Some(unknown) => api_error.hint_first(unknown.to_string()),
            None => api_error,
        }
    }
}

/// Returns the hint that helps most clients that break this rule.
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

impl From<Rejection> for ApiError {
    fn from(refusal: Rejection) -> ApiError {
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

fn conflict(message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "invalidRequest", message)
}

fn not_found() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "itemNotFound",
        "No referral with this identifier is visible to the caller.",
    )
    .target("referral")
}

fn forbidden(code: &'static str, message: &'static str, detail: &'static str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "accessDenied", message).target("referral").inner(code, detail)
}

fn request_id_reused() -> ApiError {
    conflict("The request identifier was already used with a different body.")
        .target("request-id")
        .inner("requestIdReused", "request-id")
        .hint("a new operation takes a new request-id; a retry repeats body and If-Match as well")
}

fn request_in_progress() -> ApiError {
    conflict("The first request with this identifier is still running.")
        .target("request-id")
        .inner("requestInProgress", "request-id")
        .retry_after(1)
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> ApiError {
        match error {
            ReadError::NotFound => not_found(),
            ReadError::NotOnTeam => forbidden(
                "notOnTeam",
                "The caller is not on the team of this referral.",
                "a Referral User reaches only referrals whose team holds its e-mail",
            ),
            ReadError::Forged => ApiError::invalid_continuation(),
            ReadError::Store(error) => error.into(),
            ReadError::Damaged(..) => ApiError::internal(error),
        }
    }
}

impl From<EditError> for ApiError {
    fn from(error: EditError) -> ApiError {
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
            EditError::Contended => ApiError::unavailable(&error.to_string()),
        }
    }
}

/// 412, with a hint.
fn precondition_failed(hint: &'static str) -> ApiError {
    ApiError::new(
        StatusCode::PRECONDITION_FAILED,
        "preconditionFailed",
        "A precondition provided in the request (such as an if-match header) does not match the resource's current state.",
    )
    .target("ETag")
    .inner("99918", "One of the specified pre-condition is not met. Etag value did not Match")
    .hint(hint)
}

impl From<CreateError> for ApiError {
    fn from(error: CreateError) -> ApiError {
        match error {
            CreateError::Invalid(invalid) => invalid.into(),
            CreateError::EngagementNotFound => ApiError::new(
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
            CreateError::Contended => ApiError::unavailable(&error.to_string()),
            CreateError::Store(error) => error.into(),
            CreateError::Damaged(error) => ApiError::internal(error),
        }
    }
}

//! Requests and answers, and what every answer owes.

use std::convert::Infallible;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use uuid::Uuid;

use super::World;

/// How long an answer may take before a test fails.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The documented codes (spec 11.5).
const CODES: [&str; 8] = [
    "accessDenied",
    "generalException",
    "invalidRequest",
    "itemNotFound",
    "preconditionFailed",
    "resourceModified",
    "serviceNotAvailable",
    "unauthenticated",
];

/// A request in the making. `Host` is there, and `Content-Length` as soon as there is a body.
pub struct Call<'a> {
    world: &'a World,
    app: &'a server::App,
    method: String,
    target: String,
    headers: HeaderMap,
    user: Option<String>,
    body: Bytes,
}

impl<'a> Call<'a> {
    pub(super) fn new(world: &'a World, method: &str, target: &str) -> Call<'a> {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("127.0.0.1:8080"));
        let (method, target) = (method.to_owned(), target.to_owned());
        Call { world, app: &world.app, method, target, headers, user: None, body: Bytes::new() }
    }

    /// With this person's token.
    #[allow(clippy::wrong_self_convention, reason = "as in: asked as this user")]
    pub fn as_user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    /// To another server than the world's own.
    pub fn at(mut self, app: &'a server::App) -> Self {
        self.app = app;
        self
    }

    /// With this token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// With one more header line.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().unwrap();
        self.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        self
    }

    /// Without this header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// With a body of JSON, and its content type unless another one is set.
    pub fn json(mut self, body: Value) -> Self {
        self.headers.entry("content-type").or_insert(HeaderValue::from_static("application/json"));
        self.body(body.to_string())
    }

    /// With these bytes as the body, without a content type.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.headers.insert("content-length", HeaderValue::from(self.body.len()));
        self
    }

    /// Sends it, and holds the answer to what every answer owes.
    pub async fn send(mut self) -> Answer {
        if let Some(user) = self.user.take() {
            let token = self.world.token(&user).await;
            self = self.bearer(&token);
        }
        let mut request = Request::builder()
            .method(self.method.as_str())
            .uri(self.target.as_str())
            .body(Full::new(self.body))
            .unwrap();
        *request.headers_mut() = self.headers;
        let answer = tokio::time::timeout(DEADLINE, self.app.handle(request))
            .await
            .unwrap_or_else(|_| panic!("no answer to {} {}", self.method, self.target));
        let (head, body) = answer.into_parts();
        let Ok::<_, Infallible>(body) = body.collect().await;
        let answer = Answer::new(head.status.as_u16(), head.headers, body.to_bytes());
        answer.check(&self.method, &self.target);
        answer
    }
}

impl<'a> IntoFuture for Call<'a> {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// The body as it came.
    pub bytes: Bytes,
    /// The body as JSON; null when it is none.
    pub body: Value,
}

impl Answer {
    pub fn new(status: u16, headers: HeaderMap, bytes: Bytes) -> Answer {
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Answer { status, headers, bytes, body }
    }

    /// The one line of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.get_all(name).iter();
        let line = lines.next()?;
        assert!(lines.next().is_none(), "{name} more than once: {:?}", self.headers);
        Some(line.to_str().unwrap())
    }

    /// A member that is a string.
    pub fn text(&self, member: &str) -> String {
        self.body[member].as_str().unwrap_or_else(|| panic!("no text {member} in {}", self.body)).to_owned()
    }

    /// Passes on an answer with this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        self
    }

    /// Passes on a refusal with this status, code, target and inner code (`""`: none).
    #[track_caller]
    pub fn refused(self, status: u16, code: &str, target: &str, inner: &str) -> Answer {
        let error = &self.body["error"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let found =
            (self.status, text(&error["code"]), text(&error["target"]), text(&error["innerError"]["code"]));
        assert_eq!(found, (status, code.to_owned(), target.to_owned(), inner.to_owned()), "{}", self.body);
        self
    }

    /// What every answer owes: spec 4.2, 11.4, REF-031, 037, 038, 042, 049, 250 to 253.
    pub fn check(&self, method: &str, target: &str) {
        let context = || format!("{method} {target}: {} {:?} {}", self.status, self.headers, self.body);
        for name in ["request-id", "client-request-id"] {
            let id = self.header(name).unwrap_or_else(|| panic!("no {name}: {}", context()));
            assert_eq!(id.len(), 36, "{name}: {}", context());
            assert!(Uuid::try_parse(id).is_ok(), "{name}: {}", context());
        }
        let time = self.header("timestamp").unwrap_or_else(|| panic!("no timestamp: {}", context()));
        assert!(time.ends_with('Z') && time.parse::<referral::Timestamp>().is_ok(), "{}", context());
        let diagnostic = self.header("x-ms-ags-diagnostic").unwrap_or_else(|| panic!("{}", context()));
        assert!(
            serde_json::from_str::<Value>(diagnostic).is_ok_and(|text| text.is_object()),
            "{}",
            context()
        );
        assert!(!self.headers.contains_key("accept"), "{}", context());

        let path = target.split('?').next().unwrap_or_default();
        let page = matches!(path, "/metrics" | "/docs/patch") || path.ends_with("/$metadata");
        let text = ["/$count", "/$value"].iter().any(|end| path.ends_with(end));
        let page = (page || text) && self.status == 200;
        if text && self.status == 200 {
            let plain = self.header("content-type").is_some_and(|kind| kind.starts_with("text/plain"));
            assert!(plain, "{}", context());
        }
        let batch = self.header("content-type").is_some_and(|text| text.starts_with("multipart/mixed"));
        if !self.bytes.is_empty() && !page && !batch {
            let kind = self.header("content-type").unwrap_or_default();
            let levels =
                ["none", "minimal", "full"].map(|level| format!("application/json;odata.metadata={level}"));
            let kind = kind.trim_end_matches(";IEEE754Compatible=true");
            assert!(kind == "application/json" || levels.iter().any(|named| named == kind), "{}", context());
            assert!(serde_json::from_slice::<Value>(&self.bytes).is_ok(), "{}", context());
        }
        if matches!(self.status, 204 | 304) || method == "HEAD" {
            assert!(self.bytes.is_empty(), "{}", context());
        }
        let own_form = matches!(path, "/livez" | "/readyz" | "/metrics") || path.contains("/oauth2/");
        let api = path.contains("/referrals") && self.status != 404;
        if (200..300).contains(&self.status) && api {
            let version = self.header("odata-version");
            assert!(matches!(version, Some("4.0" | "4.01")), "{}", context());
        }
        match self.status {
            // REF-016
            401 => assert!(
                self.header("www-authenticate").is_some_and(|line| line.starts_with("Bearer")),
                "{}",
                context()
            ),
            405 => assert!(self.header("allow").is_some_and(|line| !line.is_empty()), "{}", context()),
            429 => assert!(
                self.header("retry-after").is_some_and(|line| line.parse::<u64>().is_ok()),
                "{}",
                context()
            ),
            _ => {}
        }
        if self.status >= 400 && method != "HEAD" && !own_form {
            self.check_error(&context);
        }
    }

    fn check_error(&self, context: &dyn Fn() -> String) {
        let body = self.body.as_object().unwrap_or_else(|| panic!("no object: {}", context()));
        assert_eq!(body.keys().collect::<Vec<_>>(), ["error"], "{}", context());
        let error = self.body["error"].as_object().unwrap_or_else(|| panic!("{}", context()));
        for name in error.keys() {
            assert!(["code", "message", "target", "innerError"].contains(&name.as_str()), "{}", context());
        }
        let code = error["code"].as_str().unwrap_or_else(|| panic!("{}", context()));
        assert!(CODES.contains(&code), "{}", context());
        let message = error["message"].as_str().unwrap_or_else(|| panic!("{}", context()));
        assert!((1..=1024).contains(&message.chars().count()), "{}", context());
        let ends = |end: char| ".?!".contains(end);
        let before = message.chars().rev().nth(1);
        assert!(!(message.ends_with(ends) && before.is_some_and(ends)), "{}", context());
        if let Some(target) = error.get("target") {
            assert!(target.as_str().is_some_and(|target| !target.is_empty()), "{}", context());
        }
        let mut inner = error.get("innerError");
        while let Some(one) = inner {
            assert!(one["code"].as_str().is_some_and(|code| !code.is_empty()), "{}", context());
            inner = one.get("innerError");
        }
    }
}

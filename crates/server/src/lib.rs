//! HTTP: routes, headers and errors. The only crate that knows status codes.
//!
//! [`App::handle`] identifies, limits, routes, authorises and answers a request. This crate has no SQL, no rule of the
//! resource, no clock and no randomness of its own.

mod api_error;
mod auth;
mod batch;
mod body;
mod continuation;
mod description;
mod edge;
mod headers;
mod item_writer;
mod list_cache;
mod media_range;
mod metrics;
mod negotiation;
mod numbers;
mod preconditions;
mod progress;
mod query;
mod response;
mod routes;
mod scrape;
mod shares;
mod stored_response;
mod throttle;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use exchange::{ApiMode, Exchange};
use identity::{TokenCache, TokenVerifier, sandbox::SandboxIssuer};
use referral::PublicBase;
use shares::{AuthenticatedCaller, CapacityLimits, FairShares};

pub use body::BodyPace;
pub use edge::Service;
pub use scrape::{ProcessMetrics, ProcessProbe};
pub use throttle::RateLimit;

/// The largest request body, in bytes (spec 8.5).
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Maximum number of cached list requests, each of a few kilobytes.
const CACHED_LIST_REQUESTS: usize = 256;
/// Default size of the list cache, in bytes.
const LIST_CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// Default memory for requests and for unsent responses, in bytes.
const REQUEST_MEMORY_BYTES: u64 = 64 * 1024 * 1024;
const RESPONSE_MEMORY_BYTES: u64 = 64 * 1024 * 1024;
/// Memory for requests without a token, in bytes: those to the sandbox's issuer.
const ANONYMOUS_MEMORY: u64 = 4 * 1024 * 1024;
/// Default time limit for the work of one batch.
const BATCH_WORK_TIME: Duration = Duration::from_secs(5);
/// Maximum number of cached tokens.
const CACHED_TOKENS: usize = 10_000;

/// A source of random bytes: for request ids that the client does not send, and for the sandbox's issuer.
pub trait Random: Send + Sync + 'static {
    /// Sixteen fresh random bytes.
    fn bytes(&self) -> [u8; 16];
}

/// Options of the server; the binary sets them.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The base of every link, without a trailing slash.
    pub public_url: String,
    /// Strict or extended.
    pub mode: ApiMode,
    /// A comma before `}` or `]` in a request is passed over.
    pub tolerant_json: bool,
    /// A JSON object is taken as the body of a PATCH with `application/json`.
    pub object_patch: bool,
    /// `@odata.context` is misspelt as in the published samples.
    pub misspelt_context: bool,
    /// The largest request body, in bytes.
    pub body_limit: usize,
    /// Requests in work at once, and as many bodies on their way; one more is answered 503, and a caller that has its share
    /// of them 429.
    pub concurrency: usize,
    /// How much memory requests may take together, in bytes: bodies, what is read from them, and staged writes.
    pub request_memory: u64,
    /// How many bytes of answers may wait for their clients to take them.
    pub answer_memory: u64,
    /// How quickly a body must come.
    pub body_pace: BodyPace,
    /// How long the requests of one batch may be worked on; those that are left then are refused.
    pub batch_work: Duration,
    /// A request that takes longer is answered 503.
    pub deadline: Duration,
    /// The token bucket of each caller; `None`: no limit.
    pub rate: Option<RateLimit>,
    /// The value of `Organization::issuer` for each issuer of the verifier, by its index.
    pub issuer_names: Vec<String>,
    /// The key that authenticates next links: secret, the same for all servers of one exchange, and kept over restarts.
    pub link_key: [u8; 32],
    /// Size of the list cache, in bytes; 0 disables it.
    pub list_cache_bytes: u64,
    /// Log one line for each request (at level info), not only for failures.
    pub log_requests: bool,
    /// Source of the process metrics in `/metrics`; `None`: they are left out.
    pub process: Option<Arc<dyn ProcessProbe>>,
}

impl ServerOptions {
    /// The strict defaults for a public address.
    pub fn new(public_url: impl Into<String>) -> ServerOptions {
        ServerOptions {
            public_url: public_url.into(),
            mode: ApiMode::Strict,
            tolerant_json: true,
            object_patch: false,
            misspelt_context: false,
            body_limit: MAX_BODY_BYTES,
            concurrency: 1024,
            request_memory: REQUEST_MEMORY_BYTES,
            answer_memory: RESPONSE_MEMORY_BYTES,
            body_pace: BodyPace::default(),
            batch_work: BATCH_WORK_TIME,
            deadline: Duration::from_secs(30),
            rate: None,
            issuer_names: Vec::new(),
            link_key: [0; 32],
            list_cache_bytes: LIST_CACHE_BYTES,
            log_requests: false,
            process: None,
        }
    }
}

/// The server: everything a request needs. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<RequestContext>);

/// The exchange of a request (that of the server, or that of a group) and the state of the server.
pub(crate) struct RequestContext {
    exchange: Arc<Exchange>,
    state: Arc<AppState>,
}

impl Deref for RequestContext {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.state
    }
}

/// The state of the server, which all exchanges share.
pub(crate) struct AppState {
    verifier: TokenVerifier,
    tokens: TokenCache<AuthenticatedCaller>,
    sandbox: Option<Arc<SandboxIssuer>>,
    random: Arc<dyn Random>,
    options: ServerOptions,
    base: PublicBase,
    description: description::Description,
    shares: FairShares,
    lists: progress::ListProgress,
    throttle: Option<throttle::Throttle>,
    page_tokens: continuation::PageTokens,
    list_cache: list_cache::ListCache,
    /// List requests by their query strings.
    list_requests: quick_cache::sync::Cache<String, Arc<exchange::ListRequest>>,
    metrics: metrics::Metrics,
    draining: AtomicBool,
}

impl App {
    /// Creates the server.
    pub fn new(
        exchange: Arc<Exchange>,
        verifier: TokenVerifier,
        sandbox: Option<Arc<SandboxIssuer>>,
        random: Arc<dyn Random>,
        options: ServerOptions,
    ) -> App {
        let base = PublicBase::new(&options.public_url, options.misspelt_context);
        let description = description::Description::new(description::DescriptionInput {
            options: &options,
            public_url: base.url(),
            request_options: &exchange.policy().request_options,
            sandbox: sandbox.is_some(),
        });
        let state = AppState {
            verifier,
            tokens: TokenCache::new(CACHED_TOKENS),
            sandbox,
            random,
            base,
            description,
            shares: FairShares::new(
                CapacityLimits {
                    requests: options.concurrency,
                    memory: options.request_memory,
                    answers: options.answer_memory,
                },
                ANONYMOUS_MEMORY,
            ),
            lists: progress::ListProgress::default(),
            throttle: options.rate.map(throttle::Throttle::new),
            page_tokens: continuation::PageTokens::new(&options.link_key),
            list_cache: list_cache::ListCache::new(options.list_cache_bytes),
            list_requests: quick_cache::sync::Cache::new(CACHED_LIST_REQUESTS),
            metrics: metrics::Metrics::default(),
            draining: AtomicBool::new(false),
            options,
        };
        App(Arc::new(RequestContext { exchange, state: Arc::new(state) }))
    }

    /// Makes `/readyz` report from now on that the server is shutting down.
    pub fn set_draining(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
    }

    /// The service of one connection.
    pub fn service(&self) -> Service {
        Service::new(self.clone())
    }
}

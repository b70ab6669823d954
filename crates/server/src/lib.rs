//! HTTP: the edge, the routes, the headers and the error faces. The only room that knows status codes.
//!
//! A request goes through [`App::handle`]: traced, held against the limits, routed, authorised, answered. No SQL,
//! no rule of the resource, no clock and no randomness of its own.

mod answer;
mod auth;
mod batch;
mod body;
mod continuation;
mod description;
mod edge;
mod face;
mod headers;
mod kept;
mod media_range;
mod metrics;
mod negotiation;
mod numbers;
mod preconditions;
mod progress;
mod query;
mod record;
mod routes;
mod scrape;
mod shape;
mod shares;
mod throttle;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use exchange::{ApiMode, Exchange};
use identity::{TokenCache, TokenVerifier, sandbox::SandboxIssuer};
use referral::PublicBase;
use shares::{KnownCaller, Limits, Shares};

pub use body::Pace;
pub use edge::Service;
pub use scrape::{Process, ProcessFigures};
pub use throttle::Rate;

/// The largest request body, in bytes (spec 8.5).
const BODY_LIMIT: usize = 1024 * 1024;
/// Questions remembered at once, each of a few kilobytes.
const REMEMBERED_QUESTIONS: usize = 256;
/// What answers to lists may take, in bytes.
const LIST_CACHE: u64 = 8 * 1024 * 1024;
/// What requests and unread answers may take, in bytes, where nobody says otherwise.
const REQUEST_MEMORY: u64 = 64 * 1024 * 1024;
const ANSWER_MEMORY: u64 = 64 * 1024 * 1024;
/// What requests without a token may take, in bytes: those to the sandbox's issuer.
const STRANGERS_MEMORY: u64 = 4 * 1024 * 1024;
/// How long the requests of one batch may be worked on.
const BATCH_WORK: Duration = Duration::from_secs(5);
/// Verified tokens remembered at once.
const REMEMBERED_TOKENS: usize = 10_000;

/// Gives random bytes: for the request ids of requests that bring none, and for the sandbox's issuer.
pub trait Random: Send + Sync + 'static {
    /// Sixteen fresh random bytes.
    fn bytes(&self) -> [u8; 16];
}

/// How the server behaves; what the composition root decides.
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
    pub body_pace: Pace,
    /// How long the requests of one batch may be worked on; those that are left then are refused.
    pub batch_work: Duration,
    /// A request that takes longer is answered 503.
    pub deadline: Duration,
    /// The token bucket of each caller; `None`: no limit.
    pub rate: Option<Rate>,
    /// What `Organization::issuer` says for each issuer of the verifier, by its index.
    pub issuer_names: Vec<String>,
    /// What next links are sealed with: secret, the same for all servers of one exchange, and kept over restarts.
    pub link_key: [u8; 32],
    /// How much memory answers to lists may take that are asked for again, in bytes; 0: none is kept.
    pub list_cache_bytes: u64,
    /// Log one line for each request (at level info), not only for failures.
    pub log_requests: bool,
    /// Tells `/metrics` about the process; `None`: nothing.
    pub process: Option<Arc<dyn Process>>,
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
            body_limit: BODY_LIMIT,
            concurrency: 1024,
            request_memory: REQUEST_MEMORY,
            answer_memory: ANSWER_MEMORY,
            body_pace: Pace::default(),
            batch_work: BATCH_WORK,
            deadline: Duration::from_secs(30),
            rate: None,
            issuer_names: Vec::new(),
            link_key: [0; 32],
            list_cache_bytes: LIST_CACHE,
            log_requests: false,
            process: None,
        }
    }
}

/// The server: everything a request needs. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// What a request is answered with: an exchange, and everything else.
pub(crate) struct Shared {
    exchange: Arc<Exchange>,
    parts: Arc<Parts>,
}

impl Deref for Shared {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// What all exchanges of one server share.
pub(crate) struct Parts {
    verifier: TokenVerifier,
    tokens: TokenCache<KnownCaller>,
    sandbox: Option<Arc<SandboxIssuer>>,
    random: Arc<dyn Random>,
    options: ServerOptions,
    base: PublicBase,
    description: description::Description,
    shares: Shares,
    lists: progress::ListProgress,
    throttle: Option<throttle::Throttle>,
    tokens_of_pages: continuation::Tokens,
    kept: kept::Kept,
    /// Questions by the text of their query strings.
    list_requests: quick_cache::sync::Cache<String, Arc<exchange::ListRequest>>,
    metrics: metrics::Metrics,
    draining: AtomicBool,
}

impl App {
    /// Puts the parts together.
    pub fn new(
        exchange: Arc<Exchange>,
        verifier: TokenVerifier,
        sandbox: Option<Arc<SandboxIssuer>>,
        random: Arc<dyn Random>,
        options: ServerOptions,
    ) -> App {
        let base = PublicBase::new(&options.public_url, options.misspelt_context);
        let description = description::Description::new(description::Setting {
            options: &options,
            public_url: base.url(),
            request_options: &exchange.policy().request_options,
            sandbox: sandbox.is_some(),
        });
        let parts = Parts {
            verifier,
            tokens: TokenCache::new(REMEMBERED_TOKENS),
            sandbox,
            random,
            base,
            description,
            shares: Shares::new(
                Limits {
                    requests: options.concurrency,
                    memory: options.request_memory,
                    answers: options.answer_memory,
                },
                STRANGERS_MEMORY,
            ),
            lists: progress::ListProgress::default(),
            throttle: options.rate.map(throttle::Throttle::new),
            tokens_of_pages: continuation::Tokens::new(&options.link_key),
            kept: kept::Kept::new(options.list_cache_bytes),
            list_requests: quick_cache::sync::Cache::new(REMEMBERED_QUESTIONS),
            metrics: metrics::Metrics::default(),
            draining: AtomicBool::new(false),
            options,
        };
        App(Arc::new(Shared { exchange, parts: Arc::new(parts) }))
    }

    /// From now on `/readyz` says that no new work should come.
    pub fn set_draining(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
    }

    /// The service of one connection.
    pub fn service(&self) -> Service {
        Service::new(self.clone())
    }
}

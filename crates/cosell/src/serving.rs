//! Running a server: from a bound address and an open store to the last flush.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use exchange::{Clock, Exchange, Policy};
use identity::TokenVerifier;
use net::{Listener, ServeOptions};
use server::{App, ServerOptions};
use store::Store;
use tokio::runtime::Runtime;

use crate::clock::SystemClock;
use crate::failure::Failure;
use crate::jobs::Jobs;
use crate::process::ThisProcess;
use crate::random::RandomIds;
use crate::signals::Signals;
use crate::terminal;

/// How long background jobs may take to end. With the grace of running requests it stays below 10 seconds.
const JOBS_STOP_TIMEOUT: Duration = Duration::from_millis(500);
/// How long blocking work, such as making a key, may hold the end up.
const RUNTIME_STOP_TIMEOUT: Duration = Duration::from_millis(200);

/// Everything a server is made of.
pub struct ServerParts {
    /// Bound, not yet served.
    pub listener: Listener,
    /// Opened, and filled with what it needs to begin.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who may do what.
    pub policy: Policy,
    /// Whose tokens are believed.
    pub verifier: TokenVerifier,
    /// The sandbox's own issuer.
    pub issuer: Option<Arc<identity::sandbox::SandboxIssuer>>,
    /// The server's settings.
    pub server: ServerOptions,
    /// The listener's settings.
    pub listening: ServeOptions,
    /// Jobs of the command's own.
    pub jobs: Jobs,
    /// What a signal is heard with; made before anything that takes time.
    pub signals: Signals,
}

/// The runtime: a worker for each processor.
///
/// # Errors
/// When threads cannot be had.
pub fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))
}

/// Runs a command to its end, and does not wait long for blocking work that nobody needs any more.
///
/// # Errors
/// The command's own.
pub fn run(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = runtime()?;
    let outcome = runtime.block_on(command);
    runtime.shutdown_timeout(RUNTIME_STOP_TIMEOUT);
    outcome
}

/// Takes the address.
///
/// # Errors
/// When it is taken, not ours, or not permitted.
pub async fn bind(address: SocketAddr) -> Result<Listener, Failure> {
    net::bind(address).await.map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                ": it is in use. Choose another with --listen ADDR:PORT".to_owned()
            }
            _ => format!(": {error}"),
        };
        Failure::failed(format!("cannot listen on {address}{advice}"))
    })
}

/// The address to print and to make links of, when nobody gave another.
///
/// # Errors
/// When the system does not tell.
pub fn url_of(listener: &Listener, tls: bool) -> Result<String, Failure> {
    let address = listener.local_addr().map_err(Failure::failed)?;
    Ok(format!("{}://{address}", if tls { "https" } else { "http" }))
}

/// Where the key of next links is kept.
const LINK_KEY_SETTING: &str = "link-key";

/// The key that next links are sealed with: made once, and kept, so that links live over a restart and
/// at every server of one database.
async fn link_key(store: &dyn Store) -> Result<[u8; 32], Failure> {
    let mut key = [0; 32];
    for half in key.chunks_exact_mut(16) {
        half.copy_from_slice(&server::Random::bytes(&RandomIds));
    }
    let kept = store.keep_setting(LINK_KEY_SETTING, &key).await?;
    kept.try_into().map_err(|_| Failure::failed("the kept key of next links is not one"))
}

/// Serves until a signal comes. `greeting` follows the ready line.
///
/// # Errors
/// When the exchange cannot be opened over the store.
pub async fn serve(parts: ServerParts, greeting: &str) -> Result<(), Failure> {
    let ServerParts { listener, store, clock, policy, verifier, issuer, server, listening, mut jobs, .. } =
        parts;
    let mut signals = parts.signals;
    let url = url_of(&listener, listening.tls.is_some())?;
    let exchange = Exchange::open(Arc::clone(&store), clock, Arc::new(RandomIds), policy).await?;
    let exchange = Arc::new(exchange);
    let (link_key, process) =
        (link_key(store.as_ref()).await?, Arc::new(ThisProcess::started_at(SystemClock.now())));
    let server = ServerOptions { link_key, process: Some(process), ..server };
    let app = App::new(Arc::clone(&exchange), verifier, issuer, Arc::new(RandomIds), server);
    jobs.start_expiry(Arc::clone(&exchange), server::Random::bytes(&RandomIds));
    jobs.start_cleanup(exchange);

    // The socket takes connections since it was bound: whoever reads the line may send.
    terminal::print_line(&format!("cosell: listening on {url}{greeting}"));
    let ending = app.clone();
    let shutdown = async move {
        let signal = signals.first().await;
        ending.set_draining();
        tracing::info!(signal, "{signal}: no new requests; running ones are finished");
    };
    let end = net::serve(listener, move |_peer| app.service(), listening, shutdown).await;
    if end.cut > 0 {
        tracing::warn!(
            connections = end.cut,
            "{} connections were cut, for their requests took too long",
            end.cut
        );
    }
    jobs.stop(JOBS_STOP_TIMEOUT).await;
    // What was accepted is written. A read that cannot be broken off would hold this up: then `Signals` ends the process.
    store.close().await;
    Ok(())
}

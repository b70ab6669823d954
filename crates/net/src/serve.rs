//! The listener: an accept loop that survives bad clients and exhausted file descriptors, and shuts down gracefully.

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use crate::connection::{ConnectionActivity, ConnectionTimeouts, LongHeads, TimeoutStream, TrackedService};
use crate::tls::TlsServer;

/// Maximum length of a request head (request line and header fields), in bytes. A longer one is answered with 431.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Size of the read buffer and of the write buffer of a connection, in bytes: two heads.
const MAX_BUFFER_BYTES: usize = 2 * MAX_HEAD_BYTES;

/// The client of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Address and port of the TCP peer. Behind a proxy, those of the proxy.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// Limits of the listener. The defaults are suitable for production.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Timeout for a request head, from its first byte to its last, and from the start of the connection to the first
    /// request.
    pub header_timeout: Duration,
    /// Timeout of an idle connection, between two requests.
    pub idle_timeout: Duration,
    /// Timeout for the TLS handshake.
    pub handshake_timeout: Duration,
    /// Timeout for writing: within it, the client must accept 64 KiB of a response, or what is left of it.
    pub write_timeout: Duration,
    /// Maximum number of connections served at once. To make room for another, the connection whose client has been
    /// awaited longest is closed: for the next request, for a head, or to accept a response. If there is none, the new
    /// connection waits until one ends.
    pub max_connections: usize,
    /// How long a client must have been awaited before its connection may be closed to make room. Shorter waits are
    /// normal on every network.
    pub evict_after: Duration,
    /// How long running requests may continue after the shutdown signal. Then they are aborted.
    pub shutdown_grace: Duration,
    /// Certificate and key. Without them the listener uses plain HTTP.
    pub tls: Option<TlsServer>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            handshake_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            max_connections: 8192,
            evict_after: Duration::from_secs(1),
            shutdown_grace: Duration::from_secs(8),
            tls: None,
        }
    }
}

/// The result of serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeOutcome {
    /// Connections that were still busy at the end of the grace period and were closed.
    pub cut: usize,
}

/// Creates a listening socket (`SO_REUSEADDR`, backlog 1024). Port 0 picks a free port.
///
/// # Errors
/// When the address is in use, not local, or not permitted.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves HTTP/1.1 until `shutdown` resolves and all running requests are done, at most `shutdown_grace` later.
///
/// `service_for` is called once for each connection, the service once for each request. A panic in the service closes
/// its connection and nothing else. The service decides how long a running request may take, including its body. A
/// client may close its sending side after the request and still receives the response.
pub async fn serve<M, S, B>(
    listener: TcpListener,
    service_for: M,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> ServeOutcome
where
    M: Fn(Peer) -> S,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let grace = options.shutdown_grace;
    let options = Arc::new(options);
    let mut connections = Connections::default();
    let mut back_off = BackOff::default();
    let mut shutdown = pin!(shutdown);
    // A connection that was accepted and waits until another one ends.
    let mut next: Option<(TcpStream, SocketAddr)> = None;
    loop {
        if connections.tasks.len() < options.max_connections
            && let Some((stream, address)) = next.take()
        {
            let service = service_for(Peer { address, tls: options.tls.is_some() });
            connections.spawn(stream, service, &options);
        }
        tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = connections.tasks.join_next_with_id(), if !connections.tasks.is_empty() => {
                connections.remove(ended);
            }
            accepted = back_off.accept(&listener), if next.is_none() => {
                next = accepted;
                if next.is_some() && connections.tasks.len() >= options.max_connections {
                    connections.evict_one(options.evict_after);
                }
            }
            // Connections that were busy may be idle by now.
            () = tokio::time::sleep(EVICTION_INTERVAL), if next.is_some() => connections.evict_one(options.evict_after),
        }
    }
    drop(next);
    drop(listener);
    connections.shut_down(grace).await
}

/// A command to a connection.
enum ConnectionCommand {
    /// Close after the running request.
    ShutDown,
    /// Close immediately if the client is still awaited.
    CloseIfWaiting,
}

/// Interval at which connections are examined while a new one waits.
const EVICTION_INTERVAL: Duration = Duration::from_millis(100);

/// The running connections, each with a sender for commands. Used by the accept loop only.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    heads: Arc<LongHeads>,
    handles: HashMap<Id, (mpsc::UnboundedSender<ConnectionCommand>, Arc<ConnectionActivity>)>,
}

impl Connections {
    fn spawn<S, B>(&mut self, stream: TcpStream, service: S, options: &Arc<ServeOptions>)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (sender, commands) = mpsc::unbounded_channel();
        let activity = Arc::new(ConnectionActivity::new(Instant::now()));
        let shared = (Arc::clone(&activity), Arc::clone(&self.heads));
        let task = serve_connection(stream, service, Arc::clone(options), shared, commands);
        let id = self.tasks.spawn(task).id();
        self.handles.insert(id, (sender, activity));
    }

    /// Closes the connection whose client has been awaited longest, if there is one.
    fn evict_one(&self, evict_after: Duration) {
        let waiting =
            self.handles.values().filter_map(|(sender, activity)| Some((activity.waiting_since()?, sender)));
        let longest = waiting.min_by_key(|(since, _)| *since);
        if let Some((since, sender)) = longest
            && since.elapsed() >= evict_after
        {
            let _ = sender.send(ConnectionCommand::CloseIfWaiting);
        }
    }

    fn remove(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                if error.is_panic() {
                    tracing::error!("a connection's service panicked; its connection is closed");
                }
                error.id()
            }
        };
        self.handles.remove(&id);
    }

    async fn shut_down(mut self, grace: Duration) -> ServeOutcome {
        for (_, (sender, _)) in self.handles.drain() {
            let _ = sender.send(ConnectionCommand::ShutDown);
        }
        let tasks = &mut self.tasks;
        let all_done = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(grace, all_done).await;
        let cut = self.tasks.len();
        self.tasks.shutdown().await;
        ServeOutcome { cut }
    }
}

/// Delays after failed accepts. Accepting fails when the process has no free file descriptors, or when the peer is
/// gone. Neither stops the server. The former is retried with growing delays, to save CPU time.
#[derive(Default)]
struct BackOff {
    pause: Duration,
}

impl BackOff {
    const FIRST: Duration = Duration::from_millis(5);
    const LONGEST: Duration = Duration::from_secs(1);

    /// Accepts the next connection; `None` if this attempt failed. Cancel-safe.
    async fn accept(&mut self, listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        match listener.accept().await {
            Ok(accepted) => {
                self.pause = Duration::ZERO;
                Some(accepted)
            }
            Err(error) => {
                self.note(&error);
                None
            }
        }
    }

    fn note(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
            return;
        }
        if self.pause.is_zero() {
            tracing::warn!(%error, "Accepting connections fails: {error}; trying again");
        }
        self.pause = (self.pause * 2).clamp(Self::FIRST, Self::LONGEST);
    }
}

/// Serves one connection until it closes. Errors here are caused by the client, so they are logged at debug level only.
async fn serve_connection<S, B>(
    stream: TcpStream,
    service: S,
    options: Arc<ServeOptions>,
    shared: (Arc<ConnectionActivity>, Arc<LongHeads>),
    mut commands: mpsc::UnboundedReceiver<ConnectionCommand>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let _ = stream.set_nodelay(true);
    let timeouts = ConnectionTimeouts {
        header: options.header_timeout,
        idle: options.idle_timeout,
        write: options.write_timeout,
    };
    let Some(tls) = &options.tls else {
        return serve_http1(stream, service, timeouts, shared, commands).await;
    };
    let handshake = tokio::time::timeout(options.handshake_timeout, tls.accept(stream));
    tokio::select! {
        _ = commands.recv() => {}
        shaken = handshake => match shaken {
            Ok(Ok(stream)) => serve_http1(stream, service, timeouts, shared, commands).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed: {error}"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
    }
}

/// Serves HTTP/1.1 on an established stream, until the client or the server closes it.
async fn serve_http1<T, S, B>(
    stream: T,
    service: S,
    timeouts: ConnectionTimeouts,
    (activity, heads): (Arc<ConnectionActivity>, Arc<LongHeads>),
    mut commands: mpsc::UnboundedReceiver<ConnectionCommand>,
) where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let stream = TimeoutStream::new(stream, timeouts, Arc::clone(&activity), heads);
    let service = TrackedService::new(service, Arc::clone(&activity));
    let mut http = http1::Builder::new();
    // `TimeoutStream` enforces the timeouts. hyper's own header timer would cost an allocation and a timer entry for
    // each request, and does not distinguish an idle connection from a slow head. `pipeline_flush` stays off: with it,
    // hyper never sends the 400 for a head it cannot parse.
    http.header_read_timeout(None)
        .half_close(true)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(MAX_BUFFER_BYTES);
    let mut exchange = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = std::future::poll_fn(|context| {
        while let Poll::Ready(Some(command)) = commands.poll_recv(context) {
            match command {
                ConnectionCommand::ShutDown => exchange.as_mut().graceful_shutdown(),
                ConnectionCommand::CloseIfWaiting if activity.waiting_since().is_some() => {
                    return Poll::Ready(Ok(()));
                }
                ConnectionCommand::CloseIfWaiting => {}
            }
        }
        exchange.as_mut().poll(context)
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepting_pauses_longer_and_longer_when_files_run_out_and_not_for_lost_peers() {
        let mut back_off = BackOff::default();
        back_off.note(&io::ErrorKind::ConnectionAborted.into());
        assert_eq!(back_off.pause, Duration::ZERO);
        let no_more_files = io::Error::from_raw_os_error(24); // EMFILE
        let pauses: Vec<_> = (0..10)
            .map(|_| {
                back_off.note(&no_more_files);
                back_off.pause.as_millis()
            })
            .collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[tokio::test]
    async fn the_first_connection_after_a_pause_ends_the_pauses() {
        let listener = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let mut back_off = BackOff::default();
        back_off.note(&io::Error::from_raw_os_error(24));
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        assert!(back_off.accept(&listener).await.is_some());
        assert_eq!(back_off.pause, Duration::ZERO);
    }
}

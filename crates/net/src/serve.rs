//! The listener: an accept loop that outlives bad clients and full file tables, and ends in an orderly way.

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
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
use tokio::sync::oneshot;
use tokio::task::{Id, JoinSet};

use crate::connection::{Counted, Limits, Watched};
use crate::tls::TlsServer;

/// The largest request head (request line and header fields), in bytes; beyond it the answer is 431.
const MAX_HEAD: usize = 64 * 1024;

/// The caller's end of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Address and port of the TCP peer; behind a proxy that is the proxy.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// Limits of the listener. The default is what production wants.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// From the first byte of a request head to its last, and from the connection's start to its first request.
    pub header_timeout: Duration,
    /// How long a connection may rest between two requests.
    pub idle_timeout: Duration,
    /// How long the TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long the client may refuse to take a byte of an answer.
    pub write_timeout: Duration,
    /// Connections served at once; further ones wait in the system's backlog.
    pub max_connections: usize,
    /// How long running requests may go on after the shutdown signal; then they are cut.
    pub shutdown_grace: Duration,
    /// Certificate and key; without them the listener speaks plain HTTP.
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
            shutdown_grace: Duration::from_secs(8),
            tls: None,
        }
    }
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeEnd {
    /// Connections that were still busy when the grace ended, and were cut.
    pub cut: usize,
}

/// A listening socket (`SO_REUSEADDR`, backlog 1024). Port 0 picks a free one.
///
/// # Errors
/// When the address is taken, not ours, or not permitted.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves HTTP/1.1 until `shutdown` resolves and the running requests are done, at most `shutdown_grace` later.
///
/// `service_for` is called once per connection, the service once per request. A panic in the service ends its
/// connection and nothing else. How long a running request may take, its body included, is the service's to decide.
/// A client may close its sending side after the request and still gets its answer.
pub async fn serve<M, S, B>(
    listener: TcpListener,
    service_for: M,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> ServeEnd
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
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(ended) = connections.tasks.join_next_with_id(), if !connections.tasks.is_empty() => {
                connections.forget(ended);
            }
            accepted = back_off.accept(&listener), if connections.tasks.len() < options.max_connections => {
                if let Some((stream, address)) = accepted {
                    let peer = Peer { address, tls: options.tls.is_some() };
                    let (tell, told) = oneshot::channel();
                    let task = connection(stream, service_for(peer), Arc::clone(&options), told);
                    let id = connections.tasks.spawn(task).id();
                    connections.enders.insert(id, tell);
                }
            }
        }
    }
    drop(listener);
    connections.end(grace).await
}

/// The running connections, each with the sender that tells it to end. Only the accept loop touches them.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    enders: HashMap<Id, oneshot::Sender<()>>,
}

impl Connections {
    fn forget(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                if error.is_panic() {
                    tracing::error!("a connection's service panicked; its connection is closed");
                }
                error.id()
            }
        };
        self.enders.remove(&id);
    }

    async fn end(mut self, grace: Duration) -> ServeEnd {
        for (_, tell) in self.enders.drain() {
            let _ = tell.send(());
        }
        let tasks = &mut self.tasks;
        let all_done = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(grace, all_done).await;
        let cut = self.tasks.len();
        self.tasks.shutdown().await;
        ServeEnd { cut }
    }
}

/// Accepting fails when the process is out of file descriptors or the peer has gone. Neither ends the server;
/// the former is retried with growing pauses, so that it does not burn the processor.
#[derive(Default)]
struct BackOff {
    pause: Duration,
}

impl BackOff {
    const FIRST: Duration = Duration::from_millis(5);
    const LONGEST: Duration = Duration::from_secs(1);

    /// The next connection; `None` when this attempt brought none. Cancel-safe.
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

/// One connection from accept to close. Failures here are the client's affair, so they are traced, not logged.
async fn connection<S, B>(
    stream: TcpStream,
    service: S,
    options: Arc<ServeOptions>,
    mut told: oneshot::Receiver<()>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let _ = stream.set_nodelay(true);
    let limits =
        Limits { header: options.header_timeout, idle: options.idle_timeout, write: options.write_timeout };
    let Some(tls) = &options.tls else {
        return converse(stream, service, limits, told).await;
    };
    let handshake = tokio::time::timeout(options.handshake_timeout, tls.accept(stream));
    tokio::select! {
        _ = &mut told => {}
        shaken = handshake => match shaken {
            Ok(Ok(stream)) => converse(stream, service, limits, told).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed: {error}"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
    }
}

/// HTTP/1.1 on one established stream, until either side ends it or the server does.
async fn converse<T, S, B>(stream: T, service: S, limits: Limits, told: oneshot::Receiver<()>)
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let stream = Watched::new(stream, limits);
    let service = Counted::new(service, stream.activity());
    let mut http = http1::Builder::new();
    // `Watched` keeps the time: hyper's own header timer is one allocation and one timer entry per request,
    // and it does not tell a resting connection from a slow head.
    // `pipeline_flush` stays off: with it, hyper never sends the 400 for a head it cannot parse.
    http.header_read_timeout(None).half_close(true).max_header_size(MAX_HEAD);
    let mut exchange = pin!(http.serve_connection(TokioIo::new(stream), service));
    let mut told = Some(told);
    let ended = std::future::poll_fn(|context| {
        if let Some(signal) = &mut told
            && Pin::new(signal).poll(context).is_ready()
        {
            told = None;
            exchange.as_mut().graceful_shutdown();
        }
        match exchange.as_mut().poll(context) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => Poll::Pending,
        }
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

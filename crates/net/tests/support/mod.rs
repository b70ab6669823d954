//! A small server on the real listener, and raw sockets to talk to it.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::Service;
use net::{AmbiguousLength, ServeOptions, ServeOutcome, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Timeout for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub type Answer = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send>>;

/// Responds with the body of the request: 422 if the body is incomplete, 409 if the request has both lengths.
#[derive(Clone)]
pub struct Echo;

impl Service<Request<Incoming>> for Echo {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        Box::pin(async move {
            let mut answer = Response::default();
            if request.extensions().get::<AmbiguousLength>().is_some() {
                *answer.status_mut() = StatusCode::CONFLICT;
                return Ok(answer);
            }
            match request.into_body().collect().await {
                Ok(body) => *answer.body_mut() = Full::new(body.to_bytes()),
                Err(_) => *answer.status_mut() = StatusCode::UNPROCESSABLE_ENTITY,
            }
            Ok(answer)
        })
    }
}

pub struct Server {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<ServeOutcome>,
}

impl Server {
    pub async fn start<S>(service: S, options: ServeOptions) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible, Future = Answer>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let listener = net::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            serve(listener, move |_| service.clone(), options, async {
                let _ = stopped.await;
            })
            .await
        });
        Self { address, stop, running }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends the shutdown signal. Await the handle to wait for the end.
    pub fn stop(self) -> JoinHandle<ServeOutcome> {
        let _ = self.stop.send(());
        self.running
    }
}

/// Returns everything that the server sends until it closes.
pub async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all))
        .await
        .expect("the server closes in time");
    // A reset after the response counts as closing.
    let _ = read;
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads one response with a `content-length`. The connection stays open.
pub async fn read_answer(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let mut byte = [0u8; 1];
    let all = async {
        while !seen.ends_with(b"\r\n\r\n") {
            assert_eq!(stream.read(&mut byte).await.unwrap(), 1, "closed within a head: {seen:?}");
            seen.push(byte[0]);
        }
        let head = String::from_utf8(seen.clone()).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        head + &String::from_utf8_lossy(&body)
    };
    tokio::time::timeout(PATIENCE, all).await.expect("an answer in time")
}

/// Sends `request`, closes the sending side, and reads to the end.
pub async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    read_to_end(&mut stream).await
}

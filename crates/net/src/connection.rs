//! One connection's clock: which requests run on it, and how long it may rest, dawdle over a head or refuse bytes.
//!
//! The timer is one per connection and is moved only when it is due too late or has fired: a request that comes
//! and goes in time costs two reads of the clock and no timer at all.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::Service;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// The three patiences of a connection; see `ServeOptions`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) header: Duration,
    pub(crate) idle: Duration,
    pub(crate) write: Duration,
}

/// What the service side tells the socket side of the same connection.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// Requests whose answer is being made or sent.
    running: AtomicUsize,
    /// Whether a head has been taken since the socket last asked.
    head_taken: AtomicBool,
}

/// A stream that fails with `TimedOut` when the client is too slow.
pub(crate) struct Watched<T> {
    stream: T,
    activity: Arc<Activity>,
    limits: Limits,
    timer: Pin<Box<Sleep>>,
    /// Since when bytes of a head, or the first head, are awaited.
    head_since: Option<Instant>,
    /// Since when the connection rests between requests.
    idle_since: Option<Instant>,
    /// Since when the client takes no byte.
    write_since: Option<Instant>,
}

impl<T> Watched<T> {
    pub(crate) fn new(stream: T, limits: Limits) -> Self {
        let now = Instant::now();
        Self {
            stream,
            activity: Arc::default(),
            timer: Box::pin(tokio::time::sleep_until(now + limits.header)),
            limits,
            head_since: Some(now),
            idle_since: None,
            write_since: None,
        }
    }

    pub(crate) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    /// Pending until `deadline`, then an error.
    fn wait_until(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<io::Error> {
        if self.timer.deadline() > deadline {
            self.timer.as_mut().reset(deadline);
        }
        loop {
            ready!(self.timer.as_mut().poll(context));
            if Instant::now() >= deadline {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            self.timer.as_mut().reset(deadline);
        }
    }

    /// Bytes came: they begin a head unless they belong to a running request's body.
    fn note_read(&mut self) {
        self.idle_since = None;
        if self.activity.running.load(Relaxed) == 0 {
            self.forget_taken_head();
            self.head_since.get_or_insert_with(Instant::now);
        }
    }

    fn forget_taken_head(&mut self) {
        if self.activity.head_taken.swap(false, Relaxed) {
            self.head_since = None;
        }
    }

    /// Nothing came: until when it may stay so. While a request runs its own deadline governs, not ours.
    fn read_deadline(&mut self) -> Option<Instant> {
        if self.activity.running.load(Relaxed) > 0 {
            return None;
        }
        self.forget_taken_head();
        Some(match self.head_since {
            Some(since) => since + self.limits.header,
            None => *self.idle_since.get_or_insert_with(Instant::now) + self.limits.idle,
        })
    }

    /// What a write brought, or the end of patience with a client that takes nothing.
    fn judge_write<R>(
        &mut self,
        written: Poll<io::Result<R>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.write_since = None;
            return written;
        }
        let since = *self.write_since.get_or_insert_with(Instant::now);
        self.wait_until(since + self.limits.write, context).map(Err)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buf) {
            Poll::Ready(read) => {
                if buf.filled().len() > before {
                    this.note_read();
                }
                Poll::Ready(read)
            }
            Poll::Pending => match this.read_deadline() {
                Some(deadline) => this.wait_until(deadline, context).map(Err),
                None => Poll::Pending,
            },
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.judge_write(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.judge_write(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.judge_write(flushed, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(context);
        this.judge_write(shut, context)
    }
}

/// One running request; it ends when the answer's body is sent or dropped.
struct Running(Arc<Activity>);

impl Running {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.running.fetch_add(1, Relaxed);
        activity.head_taken.store(true, Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}

/// A service that tells the connection's clock which requests run.
pub(crate) struct Counted<S> {
    service: S,
    activity: Arc<Activity>,
}

impl<S> Counted<S> {
    pub(crate) fn new(service: S, activity: Arc<Activity>) -> Self {
        Self { service, activity }
    }
}

impl<S, B> Service<Request<Incoming>> for Counted<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
{
    type Response = Response<CountedBody<B>>;
    type Error = S::Error;
    type Future = CountedAnswer<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let running = Running::begin(&self.activity);
        CountedAnswer { answer: self.service.call(request), running: Some(running) }
    }
}

pin_project! {
    /// The answer in the making; it hands its `Running` to the body.
    pub(crate) struct CountedAnswer<F> {
        #[pin]
        answer: F,
        running: Option<Running>,
    }
}

impl<F, B, E> Future for CountedAnswer<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<CountedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(context));
        let running = this.running.take();
        Poll::Ready(answer.map(|answer| answer.map(|body| CountedBody { body, _running: running })))
    }
}

pin_project! {
    /// An answer's body that keeps its request counted until it is dropped.
    pub(crate) struct CountedBody<B> {
        #[pin]
        body: B,
        _running: Option<Running>,
    }
}

impl<B: Body> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.project().body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

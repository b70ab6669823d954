//! Per-connection timeouts: idle, request head and write.
//!
//! Each connection has one timer. It is reset only when it would fire too late or has fired, so a request that
//! completes in time costs two reads of the clock and no timer operation.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::Service;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes that a slow client must accept within each [`ConnectionTimeouts::write`].
const MIN_WRITE_PROGRESS: usize = 64 * 1024;

/// Heads up to this length are not counted, in bytes: the buffer of a connection is as large in any case.
const SHORT_HEAD: usize = 8 * 1024;
/// Maximum number of bytes of longer, incomplete heads of all connections together. A connection that exceeds it is
/// closed. Such heads are rare, and complete in a moment.
const MAX_LONG_HEAD_BYTES: usize = 32 * 1024 * 1024;

/// The bytes of long incomplete heads of all connections.
#[derive(Debug, Default)]
pub(crate) struct LongHeads(AtomicUsize);

/// The bytes of the incomplete head of one connection.
#[derive(Debug)]
struct LongHead {
    all: Arc<LongHeads>,
    bytes: usize,
}

impl LongHead {
    /// Counts bytes of a head. Returns `false` if the limit is exceeded.
    fn add(&mut self, bytes: usize) -> bool {
        let counted = |length: usize| length.saturating_sub(SHORT_HEAD);
        let more = counted(self.bytes + bytes) - counted(self.bytes);
        self.bytes += bytes;
        more == 0 || self.all.0.fetch_add(more, Relaxed) + more <= MAX_LONG_HEAD_BYTES
    }

    /// Resets the count, because the head is complete.
    fn clear(&mut self) {
        let counted = self.bytes.saturating_sub(SHORT_HEAD);
        if counted > 0 {
            self.all.0.fetch_sub(counted, Relaxed);
        }
        self.bytes = 0;
    }
}

impl Drop for LongHead {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The timeouts of a connection; see `ServeOptions`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionTimeouts {
    pub(crate) header: Duration,
    pub(crate) idle: Duration,
    pub(crate) write: Duration,
}

/// The state that the socket and the service of a connection share.
#[derive(Debug)]
pub(crate) struct ConnectionActivity {
    begun: Instant,
    /// The number of requests whose response is not sent completely.
    running: AtomicUsize,
    /// Whether the service has received a request since the socket last checked.
    head_taken: AtomicBool,
    /// Whether a head of this connection had both `Transfer-Encoding` and `Content-Length`.
    ambiguous: AtomicBool,
    /// The number of heads with `Transfer-Encoding` only that the socket has seen and the service has not received yet.
    chunked: AtomicUsize,
    /// Since when a request head is awaited, and since when the client accepts no bytes.
    reading: WaitingSince,
    writing: WaitingSince,
}

/// The time since when the client is awaited, in milliseconds since [`ConnectionActivity::begun`]; 0 if it is not
/// awaited.
#[derive(Debug, Default)]
struct WaitingSince(AtomicU64);

impl WaitingSince {
    fn begin(&self, activity: &ConnectionActivity, since: Instant) {
        let since = since.saturating_duration_since(activity.begun).as_millis() as u64;
        self.0.store(since + 1, Relaxed);
    }

    fn end(&self) {
        self.0.store(0, Relaxed);
    }

    fn since(&self, activity: &ConnectionActivity) -> Option<Instant> {
        let since = self.0.load(Relaxed).checked_sub(1)?;
        Some(activity.begun + Duration::from_millis(since))
    }
}

impl ConnectionActivity {
    /// Creates the state of a connection that was just accepted. Its client is awaited, for a handshake or a head.
    pub(crate) fn new(now: Instant) -> ConnectionActivity {
        let activity = ConnectionActivity {
            begun: now,
            running: AtomicUsize::new(0),
            head_taken: AtomicBool::new(false),
            ambiguous: AtomicBool::new(false),
            chunked: AtomicUsize::new(0),
            reading: WaitingSince::default(),
            writing: WaitingSince::default(),
        };
        activity.reading.begin(&activity, now);
        activity
    }

    /// Returns the time since when nothing happens on the connection, because the client sends no head or accepts no
    /// bytes.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        let reading = self.reading.since(self).filter(|_| self.running.load(Relaxed) == 0);
        match (reading, self.writing.since(self)) {
            (Some(reading), Some(writing)) => Some(reading.max(writing)),
            (reading, writing) => reading.or(writing),
        }
    }
}

/// An extension of requests whose head had both `Transfer-Encoding` and `Content-Length`, or had `Transfer-Encoding`
/// and came directly after the body of another request, where this cannot be seen.
///
/// hyper uses the former and removes the latter, so the parsed request does not show it. Such a request may be an
/// attempt at request smuggling (RFC 9112, 6.1): answer 400 and close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmbiguousLength;

/// A stream that fails with `TimedOut` if the client is too slow.
pub(crate) struct TimeoutStream<T> {
    stream: T,
    activity: Arc<ConnectionActivity>,
    timeouts: ConnectionTimeouts,
    timer: Pin<Box<Sleep>>,
    scan: HeadScan,
    long_head: LongHead,
    /// The time since when a request head is awaited.
    head_since: Option<Instant>,
    /// The time since when the connection is idle between requests.
    idle_since: Option<Instant>,
    /// The time since when the client is slow to accept bytes, and the number of bytes accepted since.
    write_since: Option<Instant>,
    written: usize,
}

impl<T> TimeoutStream<T> {
    pub(crate) fn new(
        stream: T,
        timeouts: ConnectionTimeouts,
        activity: Arc<ConnectionActivity>,
        heads: Arc<LongHeads>,
    ) -> Self {
        let now = Instant::now();
        Self {
            stream,
            activity,
            timer: Box::pin(tokio::time::sleep_until(now + timeouts.header)),
            timeouts,
            scan: HeadScan::default(),
            long_head: LongHead { all: heads, bytes: 0 },
            head_since: Some(now),
            idle_since: None,
            write_since: None,
            written: 0,
        }
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

    /// Handles received bytes: they begin a head unless they belong to the body of a running request. Returns `false`
    /// if the head is too long for the limit of all connections.
    fn note_read(&mut self, bytes: &[u8]) -> bool {
        self.idle_since = None;
        self.activity.reading.end();
        if self.activity.running.load(Relaxed) == 0 {
            self.clear_taken_head();
            self.head_since.get_or_insert_with(Instant::now);
            match self.scan.feed(bytes) {
                Some(BodyFraming::Ambiguous) => self.activity.ambiguous.store(true, Relaxed),
                Some(BodyFraming::Chunked) => {
                    self.activity.chunked.fetch_add(1, Relaxed);
                }
                None => {}
            }
            return self.long_head.add(bytes.len());
        }
        self.long_head.clear();
        true
    }

    fn clear_taken_head(&mut self) {
        if self.activity.head_taken.swap(false, Relaxed) {
            self.head_since = None;
            self.scan = HeadScan::default();
            self.long_head.clear();
        }
    }

    /// Returns the deadline of a read that is pending; `None` while a request runs, which has its own deadline.
    fn read_deadline(&mut self) -> Option<Instant> {
        if self.activity.running.load(Relaxed) > 0 {
            self.long_head.clear();
            return None;
        }
        self.clear_taken_head();
        let (since, timeout) = match self.head_since {
            Some(since) => (since, self.timeouts.header),
            None => (*self.idle_since.get_or_insert_with(Instant::now), self.timeouts.idle),
        };
        self.activity.reading.begin(&self.activity, since);
        Some(since + timeout)
    }

    /// Passes on the result of a write, or fails if the client was too slow for too long. A client may take any time as
    /// long as it accepts [`MIN_WRITE_PROGRESS`] within each timeout.
    fn check_write(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            if self.write_since.is_some() {
                self.activity.writing.end();
                self.written += bytes;
                if self.written >= MIN_WRITE_PROGRESS {
                    self.write_since = None;
                }
            }
            return written;
        }
        if written.is_ready() {
            return written;
        }
        self.wait_for_client(context).map(Err)
    }

    /// Passes on the result of a flush or a shutdown, or fails if the client was too slow for too long.
    fn check_flush(
        &mut self,
        flushed: Poll<io::Result<()>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if flushed.is_ready() {
            if self.write_since.take().is_some() {
                self.activity.writing.end();
            }
            return flushed;
        }
        self.wait_for_client(context).map(Err)
    }

    fn wait_for_client(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let now = Instant::now();
        let since = *self.write_since.get_or_insert_with(|| {
            self.written = 0;
            now
        });
        if self.activity.writing.since(&self.activity).is_none() {
            self.activity.writing.begin(&self.activity, now);
        }
        self.wait_until(since + self.timeouts.write, context)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for TimeoutStream<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buf) {
            Poll::Ready(read) => {
                if buf.filled().len() > before && !this.note_read(&buf.filled()[before..]) {
                    return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
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

impl<T: AsyncWrite + Unpin> AsyncWrite for TimeoutStream<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.check_write(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.check_write(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.check_flush(flushed, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(context);
        this.check_flush(shut, context)
    }
}

/// The framing of a request body whose head has `Transfer-Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyFraming {
    Chunked,
    Ambiguous,
}

/// Scans request heads for `Transfer-Encoding` and `Content-Length`, of which only one may occur.
#[derive(Default)]
struct HeadScan {
    /// The beginning of the current line, in lower case.
    line: [u8; HeadScan::LONGEST.len()],
    filled: usize,
    encoding: bool,
    length: bool,
}

impl HeadScan {
    const LONGEST: &[u8] = b"transfer-encoding:";
    const LENGTH: &[u8] = b"content-length:";

    /// Returns the framing that a head completed by these bytes announces. Bytes after a head with a body are not
    /// scanned.
    fn feed(&mut self, mut bytes: &[u8]) -> Option<BodyFraming> {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.extend(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let line = &self.line[..self.filled];
            self.encoding |= line == Self::LONGEST;
            self.length |= line.starts_with(Self::LENGTH);
            let head_is_over = matches!(line, b"" | b"\r");
            self.filled = 0;
            if head_is_over && (self.encoding || self.length) {
                return std::mem::take(self).lengths();
            }
        }
        self.extend(bytes);
        None
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = self.line[self.filled..].iter_mut();
        let taken = room.zip(bytes).map(|(to, from)| *to = from.to_ascii_lowercase()).count();
        self.filled += taken;
    }

    fn lengths(&self) -> Option<BodyFraming> {
        match (self.encoding, self.length) {
            (true, true) => Some(BodyFraming::Ambiguous),
            (true, false) => Some(BodyFraming::Chunked),
            (false, _) => None,
        }
    }
}

/// A running request. It ends when the body of its response is sent or dropped.
struct RequestGuard(Arc<ConnectionActivity>);

impl RequestGuard {
    fn begin(activity: &Arc<ConnectionActivity>) -> Self {
        activity.running.fetch_add(1, Relaxed);
        activity.head_taken.store(true, Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}

/// A service that records which requests run on the connection.
pub(crate) struct TrackedService<S> {
    service: S,
    activity: Arc<ConnectionActivity>,
}

impl<S> TrackedService<S> {
    pub(crate) fn new(service: S, activity: Arc<ConnectionActivity>) -> Self {
        Self { service, activity }
    }
}

impl<S, B> Service<Request<Incoming>> for TrackedService<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
{
    type Response = Response<TrackedBody<B>>;
    type Error = S::Error;
    type Future = TrackedFuture<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if request.headers().contains_key(http::header::TRANSFER_ENCODING) {
            let seen =
                self.activity.chunked.fetch_update(Relaxed, Relaxed, |seen| seen.checked_sub(1)).is_ok();
            if !seen || self.activity.ambiguous.load(Relaxed) {
                request.extensions_mut().insert(AmbiguousLength);
            }
        }
        let running = RequestGuard::begin(&self.activity);
        TrackedFuture { answer: self.service.call(request), running: Some(running) }
    }
}

pin_project! {
    /// The response future. It passes its `RequestGuard` to the body.
    pub(crate) struct TrackedFuture<F> {
        #[pin]
        answer: F,
        running: Option<RequestGuard>,
    }
}

impl<F, B, E> Future for TrackedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<TrackedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(context));
        let running = this.running.take();
        Poll::Ready(answer.map(|answer| answer.map(|body| TrackedBody { body, _running: running })))
    }
}

pin_project! {
    /// A response body that keeps its request counted until it is dropped.
    pub(crate) struct TrackedBody<B> {
        #[pin]
        body: B,
        _running: Option<RequestGuard>,
    }
}

impl<B: Body> Body for TrackedBody<B> {
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

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Accepts one byte at each tick.
    struct Trickle(tokio::time::Interval);

    impl AsyncWrite for Trickle {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.poll_tick(context).map(|_| Ok(bytes.len().min(1)))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn long_heads_of_all_connections_are_counted_and_given_back() {
        let all = Arc::new(LongHeads::default());
        let head = || LongHead { all: Arc::clone(&all), bytes: 0 };
        let mut short = head();
        assert!(short.add(SHORT_HEAD));
        assert_eq!(all.0.load(Relaxed), 0);
        let mut long = head();
        assert!(long.add(SHORT_HEAD / 2) && long.add(SHORT_HEAD));
        assert_eq!(all.0.load(Relaxed), SHORT_HEAD / 2);
        let mut huge = head();
        assert!(!huge.add(MAX_LONG_HEAD_BYTES + SHORT_HEAD));
        drop(huge);
        long.clear();
        assert_eq!(all.0.load(Relaxed), 0);
        assert!(long.add(1));
    }

    #[tokio::test]
    async fn a_client_that_takes_an_answer_by_the_byte_is_cut() {
        let day = Duration::from_secs(86_400);
        let write = Duration::from_millis(60);
        let activity = Arc::new(ConnectionActivity::new(Instant::now()));
        let trickle = Trickle(tokio::time::interval(Duration::from_millis(2)));
        let timeouts = ConnectionTimeouts { header: day, idle: day, write };
        let mut stream = TimeoutStream::new(trickle, timeouts, activity, Arc::default());
        let sent = tokio::time::timeout(Duration::from_secs(20), stream.write_all(&[b'x'; 1 << 20])).await;
        assert_eq!(sent.expect("it does not go on for ever").unwrap_err().kind(), io::ErrorKind::TimedOut);
        // A response that ends in time is not cut, however short it is.
        let activity = Arc::new(ConnectionActivity::new(Instant::now()));
        let trickle = Trickle(tokio::time::interval(Duration::from_millis(2)));
        let mut stream = TimeoutStream::new(
            trickle,
            ConnectionTimeouts { header: day, idle: day, write: day },
            activity,
            Arc::default(),
        );
        stream.write_all(b"short").await.unwrap();
        stream.flush().await.unwrap();
        assert!(stream.write_since.is_none() && stream.activity.writing.since(&stream.activity).is_none());
    }

    #[test]
    fn a_head_with_both_lengths_is_noticed_however_it_is_cut() {
        for (head, ambiguous) in [
            ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", true),
            ("GET / HTTP/1.1\r\ncontent-LENGTH:5\r\ntransfer-ENCODING:chunked\r\n\r\n", true),
            ("\r\nGET / HTTP/1.1\nContent-Length: 5\nA: b\nTransfer-Encoding: chunked\n\n", true),
            (
                "GET / HTTP/1.1\r\n\r\nPUT / HTTP/1.1\r\nTransfer-Encoding: a\r\nContent-Length: 5\r\n\r\n",
                true,
            ),
            ("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", false),
            ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nContent-Length: 5\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nX: Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nTransfer-Encodings: chunked\r\nContent-Length: 5\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", false),
        ] {
            let both = |noticed: Option<BodyFraming>| noticed == Some(BodyFraming::Ambiguous);
            assert_eq!(both(HeadScan::default().feed(head.as_bytes())), ambiguous, "whole: {head:?}");
            for cut in 1..head.len() {
                let (first, second) = head.as_bytes().split_at(cut);
                let mut scan = HeadScan::default();
                let noticed = both(scan.feed(first)) | both(scan.feed(second));
                // If the input is cut right after a head, its body is scanned as a head. The socket does not scan while
                // a request runs.
                if ambiguous || !head.contains("\r\n\r\n") {
                    assert_eq!(noticed, ambiguous, "cut at {cut}: {head:?}");
                }
            }
        }
    }

    #[test]
    fn a_chunked_head_is_counted() {
        let mut scan = HeadScan::default();
        assert_eq!(scan.feed(b"GET / HTTP/1.1\r\n\r\n"), None);
        let head = b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(scan.feed(head), Some(BodyFraming::Chunked));
    }
}

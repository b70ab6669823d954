//! The HTTP client: one small document over one connection to a permitted address.
//!
//! A name is resolved once, all its addresses are checked, and only checked addresses are dialled. Redirects are not
//! followed, proxies are not used, and connections are not pooled: key sets are fetched once an hour.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::address::AddressPolicy;
use crate::tls::{TlsError, client_config};

/// Options of outbound calls. The default permits public HTTPS servers only.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The addresses that may be dialled.
    pub policy: AddressPolicy,
    /// Whether `http:` is permitted in addition to `https:`.
    pub plain_http: bool,
    /// A PEM file with certificate authorities that are trusted in addition to those of the system.
    pub extra_ca: Option<PathBuf>,
    /// Timeout for the whole call, from name resolution to the last byte.
    pub timeout: Duration,
    /// Maximum length of a response body, in bytes.
    pub max_body: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            policy: AddressPolicy::default(),
            plain_http: false,
            extra_ca: None,
            timeout: Duration::from_secs(10),
            max_body: 1024 * 1024,
        }
    }
}

/// Why a client could not be created.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ClientError(#[from] TlsError);

/// Why a document could not be fetched. The message is for the log.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not an absolute `http(s)` URL, or a URL with user information.
    #[error("{0} is not a usable URL: {1}")]
    Url(String, &'static str),
    /// The name does not resolve.
    #[error("{host} does not resolve: {error}")]
    Resolve {
        /// The name.
        host: String,
        /// The error of the resolver.
        error: std::io::Error,
    },
    /// The policy forbids an address of the name.
    #[error("{host} resolves to {address}, which this server must not connect to")]
    Forbidden {
        /// The name or the literal address.
        host: String,
        /// The forbidden address.
        address: IpAddr,
    },
    /// The connection or the TLS session could not be established.
    #[error("cannot connect to {host}: {error}")]
    Connect {
        /// The name or the literal address.
        host: String,
        /// The last error.
        error: std::io::Error,
    },
    /// The connection broke during the request.
    #[error("the exchange with {host} failed: {reason}")]
    Exchange {
        /// The name or the literal address.
        host: String,
        /// The error.
        reason: String,
    },
    /// The whole call took too long.
    #[error("{0} did not answer in time")]
    TimedOut(String),
}

/// A response with any status.
#[derive(Debug, Clone)]
pub struct HttpDocument {
    /// The status. Redirects (3xx) are not followed.
    pub status: StatusCode,
    /// The `Content-Type`, if it is text.
    pub content_type: Option<String>,
    /// The whole body.
    pub body: Bytes,
}

/// Fetches small documents. Cheap to clone.
#[derive(Clone)]
pub struct HttpClient {
    options: Arc<ClientOptions>,
    tls: TlsConnector,
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient").field("options", &self.options).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// Creates a client with these options. Loads the certificate authorities of the system.
    ///
    /// # Errors
    /// When the file with additional authorities cannot be used.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        let config = client_config(options.extra_ca.as_deref())?;
        Ok(Self { options: Arc::new(options), tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Sends `GET url`.
    ///
    /// # Errors
    /// Any [`FetchError`]. A status other than 200 is not an error.
    pub async fn get(&self, url: &str) -> Result<HttpDocument, FetchError> {
        self.call(Method::GET, url, None, Bytes::new()).await
    }

    /// Sends `POST url` with a body of the given type.
    ///
    /// # Errors
    /// Any [`FetchError`]. A status other than 200 is not an error.
    pub async fn post(
        &self,
        url: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Result<HttpDocument, FetchError> {
        let content_type = HeaderValue::from_str(content_type)
            .map_err(|_| FetchError::Url(url.to_owned(), "the content type is not a header value"))?;
        self.call(Method::POST, url, Some(content_type), body.into()).await
    }

    async fn call(
        &self,
        method: Method,
        url: &str,
        content_type: Option<HeaderValue>,
        body: Bytes,
    ) -> Result<HttpDocument, FetchError> {
        let target = RequestTarget::parse(url, self.options.plain_http)?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = target.path.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, target.host_header.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("cosell/", env!("CARGO_PKG_VERSION"))));
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, content_type);
        }
        tokio::time::timeout(self.options.timeout, self.exchange(&target, request))
            .await
            .unwrap_or_else(|_| Err(FetchError::TimedOut(target.host.clone())))
    }

    async fn exchange(
        &self,
        target: &RequestTarget,
        request: Request<Full<Bytes>>,
    ) -> Result<HttpDocument, FetchError> {
        let stream = self.connect(target).await?;
        let Some(name) = target.tls_name.clone() else {
            return self.send_request(stream, target, request).await;
        };
        let stream = self.tls.connect(name, stream).await.map_err(|error| target.connect_error(error))?;
        self.send_request(stream, target, request).await
    }

    /// Connects to one of the checked addresses. A single forbidden address makes the name forbidden.
    async fn connect(&self, target: &RequestTarget) -> Result<TcpStream, FetchError> {
        let addresses = target.resolve().await?;
        if let Some(bad) = addresses.iter().find(|a| !self.options.policy.permits(a.ip())) {
            return Err(FetchError::Forbidden { host: target.host.clone(), address: bad.ip() });
        }
        let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(target.connect_error(last))
    }

    async fn send_request<T>(
        &self,
        stream: T,
        target: &RequestTarget,
        request: Request<Full<Bytes>>,
    ) -> Result<HttpDocument, FetchError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let broken = |error: hyper::Error| target.exchange_error(error.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(broken)?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, self.options.max_body)
                .collect()
                .await
                .map_err(|error| target.exchange_error(error.to_string()))?
                .to_bytes();
            let content_type =
                head.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).map(str::to_owned);
            Ok(HttpDocument { status: head.status, content_type, body })
        };
        // The connection is polled here and dropped with the call, so no task is left behind.
        let mut connection = std::pin::pin!(connection);
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            done = &mut exchange => done,
            ended = &mut connection => match ended {
                Ok(()) => exchange.await,
                Err(error) => Err(broken(error)),
            }
        }
    }
}

/// A parsed URL.
struct RequestTarget {
    host: String,
    port: u16,
    host_header: HeaderValue,
    path: Uri,
    /// The name that the certificate must have; `None` for plain HTTP.
    tls_name: Option<ServerName<'static>>,
}

impl RequestTarget {
    fn parse(url: &str, plain_http: bool) -> Result<Self, FetchError> {
        let refuse = |why| FetchError::Url(url.to_owned(), why);
        let uri: Uri = url.parse().map_err(|_| refuse("it does not parse"))?;
        let authority: &Authority = uri.authority().ok_or_else(|| refuse("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("it carries user information"));
        }
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if plain_http => false,
            Some("http") => return Err(refuse("https is required")),
            _ => return Err(refuse("it is neither http nor https")),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls_name = if tls {
            Some(ServerName::try_from(host.clone()).map_err(|_| refuse("its host is not a server name"))?)
        } else {
            None
        };
        Ok(Self {
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            host_header: HeaderValue::from_str(authority.as_str())
                .map_err(|_| refuse("its host is not a header value"))?,
            path: uri
                .path_and_query()
                .map_or("/", |p| p.as_str())
                .parse()
                .map_err(|_| refuse("its path is invalid"))?,
            host,
            tls_name,
        })
    }

    /// Resolves the host. Literal addresses need no resolver, and are checked all the same.
    async fn resolve(&self) -> Result<Vec<SocketAddr>, FetchError> {
        if let Ok(ip) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, self.port)]);
        }
        let found = tokio::net::lookup_host((self.host.as_str(), self.port));
        let found = found.await.map_err(|error| FetchError::Resolve { host: self.host.clone(), error })?;
        Ok(found.collect())
    }

    fn connect_error(&self, error: std::io::Error) -> FetchError {
        FetchError::Connect { host: self.host.clone(), error }
    }

    fn exchange_error(&self, reason: String) -> FetchError {
        FetchError::Exchange { host: self.host.clone(), reason }
    }
}

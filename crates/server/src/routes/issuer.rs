//! The sandbox's issuer over HTTP: discovery, keys, tokens. RFC 6749 bodies of its own.

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Body;

use crate::Shared;
use crate::answer::{Answer, json};
use crate::face::Face;
use crate::headers::Trace;
use crate::negotiation::not_encoded;
use crate::shares::Place;

/// The largest token request, in bytes.
const FORM_LIMIT: usize = 64 * 1024;

impl Shared {
    pub(crate) async fn issuer<B>(
        &self,
        call: identity::sandbox::IssuerRequest,
        request: Request<B>,
        trace: Trace,
    ) -> Result<Answer, Face>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Some(issuer) = &self.sandbox else { return Err(Face::no_such_path()) };
        let (head, body) = request.into_parts();
        if call.endpoint.method() == "POST" {
            not_encoded(&head.headers)?;
        }
        let stranger = self.shares.strangers();
        let form = self.bytes(stranger, &head.headers, body, FORM_LIMIT).await?;
        let _permit = stranger.take(Place::Requests, 1)?;
        let answer =
            issuer.respond(&call, &form.bytes, trace.arrived.unix_seconds(), self.random.bytes()).await;
        let status = StatusCode::from_u16(answer.status).map_err(Face::internal)?;
        let mut answer = json(status, answer.body);
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(answer)
    }
}

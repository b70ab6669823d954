//! The sandbox's issuer over HTTP: discovery, keys, tokens. RFC 6749 bodies of its own.

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Body;

use crate::RequestContext;
use crate::api_error::ApiError;
use crate::headers::RequestIds;
use crate::negotiation::refuse_encoded;
use crate::response::{ApiResponse, json_response};
use crate::shares::Capacity;

/// The largest token request, in bytes.
const FORM_LIMIT: usize = 64 * 1024;

impl RequestContext {
    pub(crate) async fn issuer<B>(
        &self,
        call: identity::sandbox::IssuerRequest,
        request: Request<B>,
        request_ids: RequestIds,
    ) -> Result<ApiResponse, ApiError>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Some(issuer) = &self.sandbox else { return Err(ApiError::no_such_path()) };
        let (head, body) = request.into_parts();
        if call.endpoint.method() == "POST" {
            refuse_encoded(&head.headers)?;
        }
        let stranger = self.shares.anonymous();
        let form = self.bytes(stranger, &head.headers, body, FORM_LIMIT).await?;
        let _permit = stranger.take(Capacity::Requests, 1)?;
        let response =
            issuer.respond(&call, &form.bytes, request_ids.arrived.unix_seconds(), self.random.bytes()).await;
        let status = StatusCode::from_u16(response.status).map_err(ApiError::internal)?;
        let mut response = json_response(status, response.body);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

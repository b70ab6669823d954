//! The page that answers of PUT point at: how to change a referral with PATCH instead.

use http::StatusCode;

use crate::response::ApiResponse;

/// `GET /docs/patch`
pub(crate) fn page() -> ApiResponse {
    super::text(StatusCode::OK, "text/markdown; charset=utf-8", include_str!("../../../../docs/patch.md"))
}

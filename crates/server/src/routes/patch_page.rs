//! The page that answers of PUT point at: how to change a referral with PATCH instead.

use http::StatusCode;

use crate::answer::Answer;

/// `GET /docs/patch`
pub(crate) fn page() -> Answer {
    super::text(StatusCode::OK, "text/markdown; charset=utf-8", include_str!("../../../../docs/patch.md"))
}

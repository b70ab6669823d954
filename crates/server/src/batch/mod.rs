//! `$batch`.
use bytes::Bytes;
use http::Request;
use hyper::body::Body;

use crate::Shared;
use crate::answer::Answer;
use crate::face::Face;
use crate::headers::Trace;

impl Shared {
    pub(crate) async fn batch<B>(&self, _: &'static str, _: Request<B>, _: Trace) -> Result<Answer, Face>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Err(Face::not_implemented("$batch", "A batch is not supported."))
    }
}

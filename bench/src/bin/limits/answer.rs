//! What a limit server answers.

use std::sync::mpsc;

use bytes::Bytes;
use cosell_bench::Outcome;
use cosell_bench::lists::{Asked, Lists};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, ETAG, HeaderValue, IF_MATCH};
use hyper::{Method, Request, Response, StatusCode};
use rusqlite::{Connection, OptionalExtension};

use crate::writer::Write;

/// One thread's limit.
pub enum Limit {
    Fixed(Bytes),
    Table { connection: Connection, writer: Option<mpsc::Sender<Write>> },
    Lists(Lists),
}

impl Limit {
    pub async fn answer(&self, request: Request<Incoming>) -> Outcome<Response<Full<Bytes>>> {
        let (connection, writer) = match self {
            Limit::Fixed(document) => return Ok(answer(StatusCode::OK, None, document.clone())),
            Limit::Lists(lists) => {
                let asked = Asked::read(request.uri().query().unwrap_or_default())?;
                return Ok(answer(StatusCode::OK, None, lists.body(&asked)?.into()));
            }
            Limit::Table { connection, writer } => (connection, writer),
        };
        let id = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        match writer {
            Some(writer) if request.method() == Method::PUT => put(writer, id, request).await,
            _ => by_id(connection, &id),
        }
    }
}

fn answer(status: StatusCode, etag: Option<&str>, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}

fn by_id(connection: &Connection, id: &str) -> Outcome<Response<Full<Bytes>>> {
    let mut statement = connection.prepare_cached("SELECT etag, document FROM referral WHERE id = ?1")?;
    let found = statement
        .query_row([id], |row| {
            let body = Bytes::copy_from_slice(row.get_ref(1)?.as_bytes()?);
            Ok(answer(StatusCode::OK, Some(row.get_ref(0)?.as_str()?), body))
        })
        .optional()?;
    Ok(found.unwrap_or_else(|| answer(StatusCode::NOT_FOUND, None, Bytes::new())))
}

async fn put(
    writer: &mpsc::Sender<Write>,
    id: String,
    request: Request<Incoming>,
) -> Outcome<Response<Full<Bytes>>> {
    let expected =
        request.headers().get(IF_MATCH).and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    let (done, written) = tokio::sync::oneshot::channel();
    writer.send(Write { id, expected, body: body.clone(), done }).map_err(|_| "the writer is gone")?;
    Ok(match written.await? {
        Some(etag) => answer(StatusCode::OK, Some(&etag), body),
        None => answer(StatusCode::PRECONDITION_FAILED, None, Bytes::new()),
    })
}

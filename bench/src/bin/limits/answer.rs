//! What a limit server answers.

use std::rc::Rc;
use std::sync::mpsc;

use bytes::Bytes;
use cosell_bench::lists::{Asked, Lists};
use cosell_bench::{Outcome, table};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::oneshot;

/// A PUT that waits for its rows to be on disk.
pub type Waiting = oneshot::Sender<()>;

/// One thread's limit.
pub enum Limit {
    /// One answer from memory; a PUT first waits for the writer, if there is one.
    Typical {
        answer: Answer,
        writer: Option<mpsc::Sender<Waiting>>,
    },
    /// An answer by its id.
    Table {
        connection: Connection,
        headers: Headers,
    },
    Lists(Lists),
}

/// What all answers have.
type Headers = Rc<Vec<(HeaderName, HeaderValue)>>;

/// An answer that was recorded.
pub struct Answer {
    headers: Headers,
    etag: HeaderValue,
    body: Bytes,
}

impl Answer {
    /// The one of typical length.
    pub fn typical(connection: &Connection) -> Outcome<Answer> {
        let (etag, body) = table::typical(connection)?;
        Ok(Answer { headers: headers(connection)?, etag: HeaderValue::from_str(&etag)?, body: body.into() })
    }

    fn send(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        let sent = response.headers_mut();
        sent.reserve(self.headers.len() + 3);
        for (name, value) in self.headers.iter() {
            sent.append(name.clone(), value.clone());
        }
        sent.append(ETAG, self.etag);
        response
    }
}

/// The headers that all answers of the table have.
pub fn headers(connection: &Connection) -> Outcome<Headers> {
    let headers = table::headers(connection)?;
    let headers = headers.iter().map(|(name, value)| Ok((name.parse()?, value.parse()?)));
    Ok(Rc::new(headers.collect::<Outcome<_>>()?))
}

impl Limit {
    pub async fn answer(&self, request: Request<Incoming>) -> Outcome<Response<Full<Bytes>>> {
        match self {
            Limit::Lists(lists) => {
                let asked = Asked::read(request.uri().query().unwrap_or_default())?;
                let mut response = Response::new(Full::new(lists.body(&asked)?.into()));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Ok(response)
            }
            Limit::Typical { answer, writer } => {
                if let (Some(writer), &Method::PUT) = (writer, request.method()) {
                    request.into_body().collect().await?;
                    let (done, written) = oneshot::channel();
                    writer.send(done).map_err(|_| "the writer is gone")?;
                    written.await?;
                }
                let Answer { headers, etag, body } = answer;
                Ok(Answer { headers: headers.clone(), etag: etag.clone(), body: body.clone() }.send())
            }
            Limit::Table { connection, headers } => {
                let id = request.uri().path().rsplit('/').next().unwrap_or_default();
                by_id(connection, headers, id)
            }
        }
    }
}

fn by_id(connection: &Connection, headers: &Headers, id: &str) -> Outcome<Response<Full<Bytes>>> {
    let mut statement = connection.prepare_cached("SELECT etag, body FROM answer WHERE id = ?1")?;
    let found = statement
        .query_row([id], |row| {
            let body = Bytes::copy_from_slice(row.get_ref(1)?.as_bytes()?);
            Ok((HeaderValue::from_bytes(row.get_ref(0)?.as_bytes()?), body))
        })
        .optional()?;
    let Some((etag, body)) = found else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    };
    Ok(Answer { headers: headers.clone(), etag: etag?, body }.send())
}

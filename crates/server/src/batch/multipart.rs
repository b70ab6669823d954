//! Batches in `multipart/mixed`. Source: OData Protocol 4.01, 11.7.7; RFC 2046, 5.1.

use std::collections::HashSet;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{
    Batch, BatchPart, MAX_REQUESTS, PartRequest, PartResponse, UnitResponse, is_id, method, proper_headers,
    too_many,
};
use crate::api_error::ApiError;
use crate::headers::joined_lines;
use crate::media_range::MediaRange;

/// The most header lines of one part, and of the request within it.
const MAX_HEADERS: usize = 64;

const CONTENT_ID: HeaderName = HeaderName::from_static("content-id");
const TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");

/// The boundary that `Content-Type` names: 400 without one that RFC 2046, 5.1.1 allows.
pub(super) fn boundary(headers: &HeaderMap) -> Result<String, ApiError> {
    let missing = || {
        let message = "multipart/mixed needs a boundary of 1 to 70 characters (RFC 2046).";
        ApiError::malformed_batch("Content-Type", message)
    };
    let sent = joined_lines(headers, &CONTENT_TYPE).unwrap_or_default();
    let others = MediaRange::parse(&sent).is_some_and(|range| {
        range.parameters.iter().any(|(name, _)| !matches!(name.as_str(), "boundary" | "charset"))
    });
    if others {
        let message = "multipart/mixed has no parameter but the boundary.";
        return Err(ApiError::malformed_batch("Content-Type", message));
    }
    let boundary = parameter(&sent, "boundary").ok_or_else(missing)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    let good =
        (1..=70).contains(&boundary.len()) && boundary.bytes().all(allowed) && !boundary.ends_with(' ');
    if good { Ok(boundary.to_owned()) } else { Err(missing()) }
}

/// A parameter of a media type, without the quotes around it.
fn parameter<'a>(media_type: &'a str, wanted: &str) -> Option<&'a str> {
    let (_, mut rest) = media_type.split_once(';')?;
    loop {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                let (value, next) = after.split_at(end);
                (value.trim_end(), next)
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = next.trim_start().strip_prefix(';')?;
    }
}

/// Reads a batch. A part that cannot be read spoils all of it; what is wrong with one request is refused to that one.
pub(super) fn read(body: &Bytes, boundary: &str) -> Result<Batch, ApiError> {
    let mut reader =
        MultipartReader { body, batch: Batch { parts: Vec::new(), groups: Vec::new() }, ids: HashSet::new() };
    for part in split(body, boundary)? {
        let (head, content) = head(part)?;
        match essence(&head).as_str() {
            "application/http" => reader.request(&head, content, None)?,
            "multipart/mixed" => reader.change_set(content, &self::boundary(&head)?)?,
            _ => return Err(wrong("A part of a batch is application/http or multipart/mixed.")),
        }
    }
    Ok(reader.batch)
}

/// What has been read so far.
struct MultipartReader<'a> {
    body: &'a Bytes,
    batch: Batch,
    ids: HashSet<String>,
}

impl MultipartReader<'_> {
    fn change_set(&mut self, content: &[u8], boundary: &str) -> Result<(), ApiError> {
        let group = self.batch.groups.len();
        self.batch.groups.push(format!("changeset-{}", group + 1));
        for part in split(content, boundary)? {
            let (head, content) = head(part)?;
            if essence(&head) != "application/http" {
                return Err(wrong("A part of a change set is application/http."));
            }
            self.request(&head, content, Some(group))?;
        }
        Ok(())
    }

    fn request(&mut self, head: &HeaderMap, content: &[u8], group: Option<usize>) -> Result<(), ApiError> {
        if self.batch.parts.len() >= MAX_REQUESTS {
            return Err(too_many());
        }
        let encoding = joined_lines(head, &TRANSFER_ENCODING).unwrap_or_default().trim().to_ascii_lowercase();
        if !matches!(encoding.as_str(), "" | "binary" | "8bit" | "7bit") {
            return Err(wrong("A part is sent as it is: Content-Transfer-Encoding is binary."));
        }
        let id = joined_lines(head, &CONTENT_ID).map(|id| id.trim().to_owned());
        if let Some(id) = &id {
            if !is_id(id) {
                return Err(wrong("A Content-ID consists of letters, digits and -._~ alone."));
            }
            if !self.ids.insert(id.clone()) {
                return Err(wrong("The Content-ID is not unique within the batch."));
            }
        }
        let part_request = self.part_request(content)?.and_then(|part_request| match group {
            Some(_) if part_request.method == Method::GET => {
                Err(ApiError::malformed_batch("method", "A change set holds writes alone."))
            }
            _ => Ok(part_request),
        });
        self.batch.parts.push(BatchPart { id, group, depends_on: Vec::new(), part_request });
        Ok(())
    }

    /// The request within a part. The outer error is the batch's, the inner one the request's.
    fn part_request(&self, content: &[u8]) -> Result<Result<PartRequest, ApiError>, ApiError> {
        let content = trimmed_start(content);
        let line_end = content.iter().position(|byte| *byte == b'\n');
        let (line, rest) = content.split_at(line_end.map_or(content.len(), |end| end + 1));
        let line = std::str::from_utf8(line).map_err(|_| wrong("A request line is no text."))?;
        let (method_name, url) = request_line(line.trim_end_matches(['\r', '\n']))?;
        let (headers, body) = fields(rest)?;
        let body = self.body.slice_ref(measured(&headers, body)?);
        Ok(method(method_name).and_then(|method| {
            proper_headers(&headers)?;
            Ok(PartRequest { method, url: url.to_owned(), headers, body })
        }))
    }
}

/// `PATCH url HTTP/1.1`. The version may be missing, as in an example of the standard, and blanks in the url are
/// passed over.
fn request_line(line: &str) -> Result<(&str, &str), ApiError> {
    let malformed = || wrong("A part does not begin with a request line, such as GET url HTTP/1.1.");
    let (method, rest) = line.split_once(' ').ok_or_else(malformed)?;
    let url = match rest.rsplit_once(' ') {
        Some((url, "HTTP/1.1" | "HTTP/1.0")) => url,
        Some((_, version)) if version.starts_with("HTTP/") => return Err(malformed()),
        _ => rest,
    };
    let is_token = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_alphabetic());
    if is_token && !url.trim().is_empty() { Ok((method, url.trim())) } else { Err(malformed()) }
}

/// The body by its `Content-Length`, if there is one: what is missing is an error, line ends behind it are not.
fn measured<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<&'a [u8], ApiError> {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let Some(line) = lines.next() else { return Ok(body) };
    let length = line.to_str().ok().and_then(|length| length.trim().parse::<usize>().ok());
    let (Some(length), None) = (length, lines.next()) else {
        return Err(wrong("The Content-Length of a request is no number."));
    };
    let Some((body, rest)) = body.split_at_checked(length) else {
        return Err(wrong("A request ends before its Content-Length."));
    };
    if trimmed_start(rest).is_empty() {
        Ok(body)
    } else {
        Err(wrong("A request goes on behind its Content-Length."))
    }
}

/// Without the line ends at the beginning.
fn trimmed_start(bytes: &[u8]) -> &[u8] {
    let begin = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    bytes.get(begin..).unwrap_or_default()
}

/// The header lines of a part, and what follows the empty line.
fn head(part: &[u8]) -> Result<(HeaderMap, &[u8]), ApiError> {
    let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
    match httparse::parse_headers(part, &mut lines) {
        Ok(httparse::Status::Complete((end, lines))) => {
            Ok((header_map(lines)?, part.get(end..).unwrap_or_default()))
        }
        _ => Err(wrong("The header lines of a part cannot be read.")),
    }
}

/// The header lines of a request and its body. The empty line between them may be missing where there is no body, for
/// the line end before a boundary belongs to the boundary.
fn fields(rest: &[u8]) -> Result<(HeaderMap, &[u8]), ApiError> {
    let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
    match httparse::parse_headers(rest, &mut lines) {
        Ok(httparse::Status::Complete((end, lines))) => {
            Ok((header_map(lines)?, rest.get(end..).unwrap_or_default()))
        }
        Ok(httparse::Status::Partial) => {
            let ended = [rest, b"\r\n\r\n"].concat();
            let (headers, _) = head(&ended)?;
            // A slice of the whole, as every body is.
            Ok((headers, rest.get(rest.len()..).unwrap_or_default()))
        }
        Err(_) => Err(wrong("The header lines of a request cannot be read.")),
    }
}

fn header_map(lines: &[httparse::Header<'_>]) -> Result<HeaderMap, ApiError> {
    let unreadable = || wrong("A header line cannot be read.");
    let mut headers = HeaderMap::new();
    for line in lines {
        let name: HeaderName = line.name.parse().map_err(|_| unreadable())?;
        let value = HeaderValue::from_bytes(line.value).map_err(|_| unreadable())?;
        headers.try_append(name, value).map_err(|_| unreadable())?;
    }
    Ok(headers)
}

fn essence(head: &HeaderMap) -> String {
    let sent = joined_lines(head, &CONTENT_TYPE).unwrap_or_default();
    sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The parts between the delimiter lines of a boundary. What stands before the first and behind the last is passed
/// over; the line end before a delimiter belongs to the delimiter. Lines may end without CR.
fn split<'a>(body: &'a [u8], boundary: &str) -> Result<Vec<&'a [u8]>, ApiError> {
    let mut parts = Vec::new();
    let mut begin = None;
    let mut at = 0;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let here = at;
        at += line.len();
        let Some(delimiter) = Delimiter::of(line, boundary) else { continue };
        if let Some(begin) = begin {
            let content = body.get(begin..here).unwrap_or_default();
            let content = content.strip_suffix(b"\n").unwrap_or(content);
            parts.push(content.strip_suffix(b"\r").unwrap_or(content));
        }
        if parts.len() > MAX_REQUESTS {
            return Err(too_many());
        }
        match delimiter {
            Delimiter::Next => begin = Some(at),
            Delimiter::Last => return Ok(parts),
        }
    }
    Err(wrong(match begin {
        Some(_) => "The last part does not end with the boundary and two dashes.",
        None => "The boundary of Content-Type does not occur in the body.",
    }))
}

enum Delimiter {
    Next,
    Last,
}

impl Delimiter {
    fn of(line: &[u8], boundary: &str) -> Option<Delimiter> {
        let rest = line.strip_prefix(b"--")?.strip_prefix(boundary.as_bytes())?;
        match rest.trim_ascii_end() {
            b"" => Some(Delimiter::Next),
            b"--" => Some(Delimiter::Last),
            _ => None,
        }
    }
}

fn wrong(message: &'static str) -> ApiError {
    ApiError::malformed_batch("body", message)
}

/// Writes the answers and their content type. `nested`: groups are parts of parts, as they were sent; a group that
/// failed is one part in either case. `fresh` gives text that occurs nowhere else.
pub(super) fn write(
    batch: &Batch,
    units: &[UnitResponse],
    nested: bool,
    fresh: &mut dyn FnMut() -> String,
) -> (String, Vec<u8>) {
    let boundary = format!("batchresponse_{}", fresh());
    let mut out = Vec::new();
    for unit in units {
        let in_group = unit.replies.first().and_then(|reply| batch.parts.get(reply.at)?.group).is_some();
        match (&unit.replies[..], unit.failed.and_then(|failed| unit.replies.get(failed))) {
            (_, Some(failed)) if nested => part(batch, failed, &boundary, &mut out),
            (replies, None) if nested && in_group => {
                let inner = format!("changesetresponse_{}", fresh());
                delimit(&boundary, &mut out);
                out.extend_from_slice(format!("Content-Type: {}\r\n\r\n", multipart(&inner)).as_bytes());
                for reply in replies {
                    part(batch, reply, &inner, &mut out);
                }
                out.extend_from_slice(format!("--{inner}--\r\n").as_bytes());
            }
            (replies, _) => replies.iter().for_each(|reply| part(batch, reply, &boundary, &mut out)),
        }
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (multipart(&boundary), out)
}

fn multipart(boundary: &str) -> String {
    format!("multipart/mixed; boundary={boundary}")
}

fn delimit(boundary: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
}

fn part(batch: &Batch, reply: &PartResponse, boundary: &str, out: &mut Vec<u8>) {
    delimit(boundary, out);
    out.extend_from_slice(b"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n");
    if let Some(id) = batch.parts.get(reply.at).and_then(|part| part.id.as_deref()) {
        out.extend_from_slice(format!("Content-ID: {id}\r\n").as_bytes());
    }
    let reason = reply.status.canonical_reason().unwrap_or_default();
    out.extend_from_slice(format!("\r\nHTTP/1.1 {} {reason}\r\n", reply.status.as_u16()).as_bytes());
    for (name, value) in reply.headers.iter().filter(|(name, _)| **name != CONNECTION) {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if !reply.body.is_empty() {
        out.extend_from_slice(format!("content-length: {}\r\n", reply.body.len()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&reply.body);
    out.extend_from_slice(b"\r\n");
}

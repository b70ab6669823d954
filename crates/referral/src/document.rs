//! The stored document, and the response bodies made from it.
//!
//! A stored document contains nothing that depends on the server's public address: no `@odata.context`, and
//! `"links":null` in place of the links. Both are inserted when responding, without parsing. Source: spec 5.6.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use uuid::Uuid;

use crate::diff::FieldValue;
use crate::error::ValidationError;
use crate::ids::{EngagementId, ReferralId};
use crate::model::Referral;
use crate::validate::brief;

/// The placeholder of the links. Quotes inside strings are escaped, so this text occurs nowhere else.
const LINKS_PLACE: &[u8] = b",\"links\":null";

/// The links are searched in the last bytes of a document first: in most documents at most this many bytes follow them,
/// and the rest need not be loaded from memory.
const USUAL_TAIL: usize = 512;

/// The end of the links.
const LINKS_END: &[u8] = b"\",\"method\":\"GET\"}}";

/// The length of an id as text.
const GUID: usize = uuid::fmt::Hyphenated::LENGTH;

/// Maximum length of a document that a request may produce, in bytes. Equal to the longest request body (spec 8.5).
/// Without it, a referral could grow without limit by short patches that append.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

/// Initial capacity of a document, in bytes. Longer than most documents.
const USUAL_DOCUMENT: usize = 4096;

/// Returns the error for a request that would produce a longer document.
pub(crate) fn too_long(target: &str) -> ValidationError {
    let message = format!("The referral would be longer than {MAX_DOCUMENT_BYTES} bytes.");
    ValidationError::value(brief(target), message, MAX_DOCUMENT_BYTES.to_string())
}

/// The public address of the server, and the parts of responses that depend on it.
#[derive(Debug, Clone)]
pub struct PublicBase {
    url: String,
    /// The context URL of entities, up to the projection.
    entities: String,
    /// The first member of a response with one referral.
    entity_member: String,
    /// The links of a referral, up to the id of its engagement.
    related_link: String,
    /// The links from there, up to the id of the referral.
    self_link: String,
}

impl PublicBase {
    /// Creates the parts from the public base URL, such as `https://referrals.contoso.example`. A trailing slash is
    /// dropped. With `misspelt`, the context URL has the published spelling with a missing `e` (the switch of spec
    /// 5.6).
    pub fn new(url: &str, misspelt: bool) -> PublicBase {
        let url = url.trim_end_matches('/').to_owned();
        let collection = if misspelt { "engagments" } else { "engagements" };
        let entities = format!("{url}/v1.0/{collection}/referrals/$metadata#Referrals");
        let escaped = serde_json::Value::String(url.clone()).to_string();
        let referrals = format!("{}/v1.0/engagements/referrals", escaped.trim_matches('"'));
        let related_link =
            format!(",\"links\":{{\"relatedReferrals\":{{\"uri\":\"{referrals}?$filter=engagementId eq '");
        let self_link = format!("'\",\"method\":\"GET\"}},\"self\":{{\"uri\":\"{referrals}/");
        let mut base = PublicBase { url, entities, entity_member: String::new(), related_link, self_link };
        let context = serde_json::Value::String(base.entity_context(""));
        base.entity_member = format!("{{\"@odata.context\":{context},");
        base
    }

    /// Returns the address without a trailing slash.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the canonical URL of a referral, as in `links.self`, `Location` and events.
    pub fn referral(&self, id: ReferralId) -> String {
        format!("{}/v1.0/engagements/referrals/{id}", self.url)
    }

    /// Returns the canonical URL of the collection.
    pub fn referrals(&self) -> String {
        format!("{}/v1.0/engagements/referrals", self.url)
    }

    /// Returns the `@odata.context` of a list.
    pub fn list_context(&self) -> String {
        format!("{}/v1.0/$metadata#Referrals", self.url)
    }

    /// Returns the `@odata.context` of one referral. `projection` is the selected part, such as `(id,status)`.
    pub fn entity_context(&self, projection: &str) -> String {
        format!("{}{projection}/$entity", self.entities)
    }

    fn write_links(&self, id: ReferralId, engagement: EngagementId, out: &mut Vec<u8>) {
        let mut guid = Uuid::encode_buffer();
        out.extend_from_slice(self.related_link.as_bytes());
        out.extend_from_slice(engagement.as_uuid().as_hyphenated().encode_lower(&mut guid).as_bytes());
        out.extend_from_slice(self.self_link.as_bytes());
        out.extend_from_slice(id.as_uuid().as_hyphenated().encode_lower(&mut guid).as_bytes());
        out.extend_from_slice(LINKS_END);
    }

    /// Returns the response body for one referral, with `@odata.context`.
    pub fn entity(&self, document: &[u8], id: ReferralId, engagement: EngagementId) -> Vec<u8> {
        // The exact capacity: a buffer with spare capacity would be reallocated when it becomes `Bytes`.
        let links = self.related_link.len() + self.self_link.len() + LINKS_END.len() + 2 * GUID;
        let gained = self.entity_member.len() - 1 + links - LINKS_PLACE.len();
        let mut out = Vec::with_capacity(document.len() + gained);
        out.extend_from_slice(self.entity_member.as_bytes());
        self.write_members(document.get(1..).unwrap_or_default(), id, engagement, &mut out);
        out
    }

    /// Writes a referral as an item of a list, without `@odata.context` (REF-062).
    pub fn item(&self, document: &[u8], id: ReferralId, engagement: EngagementId, out: &mut Vec<u8>) {
        self.write_members(document, id, engagement, out);
    }

    fn write_members(&self, document: &[u8], id: ReferralId, engagement: EngagementId, out: &mut Vec<u8>) {
        match links_place(document) {
            Some(at) => {
                out.extend_from_slice(&document[..at]);
                self.write_links(id, engagement, out);
                out.extend_from_slice(&document[at + LINKS_PLACE.len()..]);
            }
            None => out.extend_from_slice(document),
        }
    }
}

/// Returns the position of the links.
fn links_place(document: &[u8]) -> Option<usize> {
    static PLACE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(LINKS_PLACE));
    let tail = document.len().saturating_sub(USUAL_TAIL);
    let near_the_end = PLACE.find(document.get(tail..)?).map(|at| tail + at);
    near_the_end.or_else(|| PLACE.find(document))
}

/// The bytes are not a document written by this program: the store is damaged.
#[derive(Debug, thiserror::Error)]
#[error("stored document cannot be read: {}", without_text(.0))]
pub struct DamagedDocument(#[from] serde_json::Error);

/// Returns the error message without quoted values, for a log: the parser quotes the text it failed on, which may be
/// personal data.
fn without_text(error: &serde_json::Error) -> String {
    let what = error.to_string();
    match (what.find('"'), what.rfind('"')) {
        (Some(begin), Some(end)) if begin < end => format!("{}\"…\"{}", &what[..begin], &what[end + 1..]),
        _ => what,
    }
}

impl Referral {
    /// Parses a stored document.
    ///
    /// # Errors
    /// [`DamagedDocument`] if the bytes were not written by [`Referral::to_document`].
    pub fn from_document(document: &[u8]) -> Result<Referral, DamagedDocument> {
        Ok(crate::json::read(document)?)
    }

    /// Returns the bytes to store.
    pub fn to_document(&self) -> Vec<u8> {
        let mut document = Vec::with_capacity(USUAL_DOCUMENT);
        self.write(&mut document);
        // Documents are kept for long, so unused capacity is given back.
        document.shrink_to_fit();
        document
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_damaged_document_tells_nothing_of_what_is_in_it() {
        for (document, said) in [
            (r#"{"team":"ann \" of ann@contoso.example"}"#, "invalid type: string"),
            (r#"{"id":"ann@contoso.example"}"#, "not a GUID"),
            ("{}", "missing field `id`"),
            ("ann@contoso.example", "line 1 column 1"),
        ] {
            let error = Referral::from_document(document.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("contoso"), "{error}");
        }
    }
}

//! The stored document and the answer made of it.
//!
//! A document is kept without anything that depends on the server's public address: no `@odata.context`, and
//! `"links":null` where the links belong. Answering puts both in, without parsing. Source: spec 5.6.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use uuid::Uuid;

use crate::diff::FieldValue;
use crate::error::ValidationError;
use crate::ids::{EngagementId, ReferralId};
use crate::model::Referral;
use crate::validate::brief;

/// Quotes inside strings are escaped, so this text stands nowhere else.
const LINKS_PLACE: &[u8] = b",\"links\":null";

/// As much as follows the links in most documents, in bytes, or more: the rest need not be brought from memory for them.
const USUAL_TAIL: usize = 512;

/// What ends the links.
const LINKS_END: &[u8] = b"\",\"method\":\"GET\"}}";

/// The length of an id's text.
const GUID: usize = uuid::fmt::Hyphenated::LENGTH;

/// The longest document that a caller's request may leave behind, in bytes. As long as the longest body (spec 8.5), for
/// otherwise a referral could grow without end by short patches that each append.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

/// Longer than most documents, in bytes.
const USUAL_DOCUMENT: usize = 4096;

/// The refusal of a request that would leave a longer one.
pub(crate) fn too_long(target: &str) -> ValidationError {
    let message = format!("The referral would be longer than {MAX_DOCUMENT_BYTES} bytes.");
    ValidationError::value(brief(target), message, MAX_DOCUMENT_BYTES.to_string())
}

/// The public address of the server and what every answer takes from it.
#[derive(Debug, Clone)]
pub struct PublicBase {
    url: String,
    /// The context of entities, up to what is said of the one.
    entities: String,
    /// The member that begins the answer for one referral.
    entity_member: String,
    /// The links of a referral, up to its engagement's id.
    related_link: String,
    /// From there up to its own.
    self_link: String,
}

impl PublicBase {
    /// From the public base URL, such as `https://referrals.contoso.example`; a trailing slash is dropped.
    /// `misspelt` writes the published context path with its missing `e` (the switch of spec 5.6).
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

    /// The address without a trailing slash.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The canonical address of a referral: `links.self`, `Location`, and what events name.
    pub fn referral(&self, id: ReferralId) -> String {
        format!("{}/v1.0/engagements/referrals/{id}", self.url)
    }

    /// The collection's canonical address.
    pub fn referrals(&self) -> String {
        format!("{}/v1.0/engagements/referrals", self.url)
    }

    /// `@odata.context` of a list.
    pub fn list_context(&self) -> String {
        format!("{}/v1.0/$metadata#Referrals", self.url)
    }

    /// `@odata.context` of one referral; `projection` says which part of it is shown, such as `(id,status)`.
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

    /// A document as the answer for one referral, with `@odata.context`.
    pub fn entity(&self, document: &[u8], id: ReferralId, engagement: EngagementId) -> Vec<u8> {
        // Exactly what it takes: a buffer with room left is allocated for twice.
        let links = self.related_link.len() + self.self_link.len() + LINKS_END.len() + 2 * GUID;
        let gained = self.entity_member.len() - 1 + links - LINKS_PLACE.len();
        let mut out = Vec::with_capacity(document.len() + gained);
        out.extend_from_slice(self.entity_member.as_bytes());
        self.write_members(document.get(1..).unwrap_or_default(), id, engagement, &mut out);
        out
    }

    /// A document as an item of a list, without `@odata.context` (REF-062).
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

/// Where the links belong.
fn links_place(document: &[u8]) -> Option<usize> {
    static PLACE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(LINKS_PLACE));
    let tail = document.len().saturating_sub(USUAL_TAIL);
    let near_the_end = PLACE.find(document.get(tail..)?).map(|at| tail + at);
    near_the_end.or_else(|| PLACE.find(document))
}

/// The bytes are no document of this program: the store is damaged.
#[derive(Debug, thiserror::Error)]
#[error("stored document cannot be read: {}", without_text(.0))]
pub struct DamagedDocument(#[from] serde_json::Error);

/// What is wrong, for a log: the parser quotes the text it stumbled over, and that may be a person's.
fn without_text(error: &serde_json::Error) -> String {
    let what = error.to_string();
    match (what.find('"'), what.rfind('"')) {
        (Some(begin), Some(end)) if begin < end => format!("{}\"…\"{}", &what[..begin], &what[end + 1..]),
        _ => what,
    }
}

impl Referral {
    /// Reads a stored document.
    ///
    /// # Errors
    /// [`DamagedDocument`] when the bytes are not what [`Referral::to_document`] writes.
    pub fn from_document(document: &[u8]) -> Result<Referral, DamagedDocument> {
        Ok(crate::json::read(document)?)
    }

    /// The bytes to store.
    pub fn to_document(&self) -> Vec<u8> {
        let mut document = Vec::with_capacity(USUAL_DOCUMENT);
        self.write(&mut document);
        // It is kept for long, so it gives back what it does not need.
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

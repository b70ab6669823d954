//! What the service says of itself: `$metadata`, the service document and OpenAPI, written from the property table.
//!
//! The documents tell what this very server does: its temperament, its profile, its switches. They are made once, at
//! start, and hold no data.

mod capabilities;
mod csdl;
mod csdl_json;
mod csdl_xml;
mod words;

use aws_lc_rs::digest;
use bytes::Bytes;
use referral::Profile;

use crate::ServerOptions;

/// The documents, ready to be sent.
#[derive(Debug)]
pub(crate) struct Description {
    pub metadata_xml: Document,
    pub metadata_json: Document,
    pub service: Document,
}

/// The bytes of a document and their strong tag.
#[derive(Debug)]
pub(crate) struct Document {
    pub bytes: Bytes,
    /// With its quotes, as RFC 9110 writes it.
    pub etag: String,
}

impl Document {
    fn new(text: String) -> Document {
        let hash = digest::digest(&digest::SHA256, text.as_bytes());
        let tag: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Document { bytes: text.into(), etag: format!("\"{tag}\"") }
    }
}

/// What the documents depend on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub options: &'a ServerOptions,
    /// The base of every link, without a trailing slash.
    pub public_url: &'a str,
    pub dialect: &'a referral::Dialect,
}

impl Setting<'_> {
    fn extended(&self) -> bool {
        self.options.extended
    }

    fn program(&self) -> bool {
        self.dialect.profile == Profile::Program
    }
}

impl Description {
    pub(crate) fn new(setting: Setting<'_>) -> Description {
        let csdl = csdl::document(&setting);
        Description {
            metadata_xml: Document::new(csdl_xml::write(&csdl)),
            metadata_json: Document::new(csdl_json::write(&csdl).to_string()),
            service: Document::new(service(setting.public_url)),
        }
    }
}

/// The service document. Source: OData JSON 4.01, section 5.
fn service(public_url: &str) -> String {
    serde_json::json!({
        "@odata.context": format!("{public_url}/v1.0/$metadata"),
        "value": [{ "name": csdl::ENTITY_SET, "kind": "EntitySet", "url": csdl::RESOURCE_PATH }],
    })
    .to_string()
}

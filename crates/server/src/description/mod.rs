//! What the service says of itself: `$metadata`, the service document and OpenAPI, written from the property table.
//!
//! The documents tell what this very server does: its temperament, its profile, its switches. They are made once, at
//! start, and hold no data.

mod capabilities;
mod csdl;
mod csdl_json;
mod csdl_xml;
mod descriptions;
mod json_schema;
mod openapi;
mod openapi_parts;

use aws_lc_rs::digest;
use bytes::Bytes;
use referral::ValidationProfile;

use crate::ServerOptions;

/// The versions of OData that are spoken: what every client knows, and the newest.
const VERSIONS: [&str; 2] = ["4.0", "4.01"];

/// The documents, ready to be sent.
#[derive(Debug)]
pub(crate) struct Description {
    metadata: [MetadataDocuments; 2],
    pub service: Document,
    pub openapi: Document,
}

/// `$metadata` of one version of OData.
#[derive(Debug)]
pub(crate) struct MetadataDocuments {
    pub xml: Document,
    pub json: Document,
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
pub(crate) struct DescriptionInput<'a> {
    pub options: &'a ServerOptions,
    /// The base of every link, without a trailing slash.
    pub public_url: &'a str,
    pub request_options: &'a referral::RequestOptions,
    /// Whether the sandbox's issuer is there.
    pub sandbox: bool,
}

impl DescriptionInput<'_> {
    fn extended(&self) -> bool {
        self.options.mode.is_extended()
    }

    fn program(&self) -> bool {
        self.request_options.profile == ValidationProfile::Program
    }
}

impl Description {
    pub(crate) fn new(input: DescriptionInput<'_>) -> Description {
        let csdl = csdl::document(&input);
        let metadata = VERSIONS.map(|version| MetadataDocuments {
            xml: Document::new(csdl_xml::write(&csdl, version)),
            json: Document::new(csdl_json::write(&csdl, version).to_string()),
        });
        Description {
            metadata,
            service: Document::new(service(input.public_url)),
            openapi: Document::new(openapi::document(&input).to_string()),
        }
    }

    /// `$metadata` for a client that takes the newest version of OData, or for any other.
    pub(crate) fn metadata(&self, newest: bool) -> &MetadataDocuments {
        let [any, new] = &self.metadata;
        if newest { new } else { any }
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

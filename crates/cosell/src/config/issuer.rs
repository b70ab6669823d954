//! `[[issuer]]`: whose tokens are believed, and where their keys are.

use std::path::PathBuf;
use std::sync::Arc;

use identity::{Discovery, IdentityClaim, IssuerSettings, KeySet, KeySource};
use net::{AddressPolicy, ClientOptions, HttpClient};
use serde::Deserialize;

use super::secrets;
use crate::failure::Failure;

/// One `[[issuer]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    name: Option<String>,
    /// `iss` of its tokens, or a template with `{tenantid}`.
    pub url: String,
    /// `aud` of the tokens to accept; without it the public url.
    pub audiences: Option<Vec<String>>,
    discovery_url: Option<String>,
    key_set_file: Option<PathBuf>,
    /// Which claims name a person; without any the usual three.
    #[serde(default)]
    pub identity_claims: Vec<Claim>,
    #[serde(default)]
    tenant_required: bool,
    #[serde(default)]
    allow_private_address: bool,
    #[serde(default)]
    allow_plain_http: bool,
    extra_ca_file: Option<PathBuf>,
}

/// A claim that names a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Claim {
    Upn,
    UniqueName,
    PreferredUsername,
    Email,
}

impl From<Claim> for IdentityClaim {
    fn from(claim: Claim) -> IdentityClaim {
        match claim {
            Claim::Upn => IdentityClaim::Upn,
            Claim::UniqueName => IdentityClaim::UniqueName,
            Claim::PreferredUsername => IdentityClaim::PreferredUsername,
            Claim::Email => IdentityClaim::Email,
        }
    }
}

impl IssuerConfig {
    /// What organizations call it.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.url)
    }

    /// Whether its url has a place for the tenant, so that tenants of any number have their tokens of it.
    pub fn serves_many_tenants(&self) -> bool {
        self.url.contains("{tenantid}")
    }

    /// What the verifier is told. Nothing is fetched here; a key-set file is read.
    ///
    /// # Errors
    /// `Usage` for a key-set file that cannot be read or holds no key, both a file and a discovery address, an empty
    /// list of audiences, and authorities that cannot be read.
    pub fn settings(&self, public_url: &str) -> Result<IssuerSettings, Failure> {
        let audiences = self.audiences.clone().unwrap_or_else(|| vec![public_url.to_owned()]);
        if audiences.is_empty() {
            return Err(self.config_error("audiences names none, so that no token could be accepted"));
        }
        let mut settings = IssuerSettings::new(&self.url, Arc::new(self.keys()?), audiences);
        if !self.identity_claims.is_empty() {
            settings.identity_claims = self.identity_claims.iter().map(|&claim| claim.into()).collect();
        }
        settings.requires_tenant = self.tenant_required;
        Ok(settings)
    }

    /// Warns of files that decide whose tokens are believed and that everybody can change.
    pub(super) fn warn_of_open_files(&self) {
        if let Some(file) = &self.key_set_file {
            secrets::warn_of_open_trust(file, "The key set");
        }
        if let Some(file) = &self.extra_ca_file {
            secrets::warn_of_open_trust(file, "The file of authorities");
        }
    }

    fn keys(&self) -> Result<KeySource, Failure> {
        match (&self.key_set_file, &self.discovery_url) {
            (Some(_), Some(_)) => {
                Err(self.config_error("give either key_set_file or discovery_url, not both"))
            }
            (Some(file), None) => {
                let name = file.display();
                let json = std::fs::read(file)
                    .map_err(|error| self.config_error(format!("cannot read the key set {name}: {error}")))?;
                let keys =
                    KeySet::parse(&json).map_err(|error| self.config_error(format!("{name}: {error}")))?;
                if keys.is_empty() {
                    return Err(
                        self.config_error(format!("{name} has no key that can verify RS256 or ES256"))
                    );
                }
                Ok(KeySource::fixed(keys))
            }
            (None, metadata_url) => {
                let url = metadata_url.as_deref().unwrap_or(&self.url);
                match url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()).as_deref() {
                    Some("https") => {}
                    Some("http") if self.allow_plain_http => {}
                    Some("http") => {
                        return Err(self.config_error(format!(
                            "its keys would come from {url} without TLS, and so from anybody on the way: use https, \
                             or set allow_plain_http = true"
                        )));
                    }
                    _ => {
                        return Err(self.config_error(format!(
                            "{url} is no https:// address to find its keys at: set discovery_url or key_set_file"
                        )));
                    }
                }
                let discovery = Discovery { issuer: self.url.clone(), metadata_url: metadata_url.clone() };
                Ok(KeySource::discovery(discovery, self.client()?))
            }
        }
    }

    fn client(&self) -> Result<HttpClient, Failure> {
        let private = self.allow_private_address;
        HttpClient::new(ClientOptions {
            policy: AddressPolicy { allow_loopback: private, allow_private: private },
            plain_http: self.allow_plain_http,
            extra_ca: self.extra_ca_file.clone(),
            ..ClientOptions::default()
        })
        .map_err(|error| self.config_error(error))
    }

    fn config_error(&self, what: impl std::fmt::Display) -> Failure {
        Failure::usage(format!("issuer {}: {what}", self.name()))
    }
}

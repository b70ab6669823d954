//! `[listener]` and `[tls]`: where the server is reached, and how long it waits.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::secrets;
use crate::failure::Failure;

/// `[listener]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Where to listen.
    pub address: SocketAddr,
    /// The base of every link.
    pub public_url: Option<String>,
    header_timeout_seconds: u64,
    idle_timeout_seconds: u64,
    write_timeout_seconds: u64,
    /// How many at once.
    pub max_connections: usize,
    shutdown_grace_seconds: u64,
}

/// `[tls]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    certificate_file: PathBuf,
    key_file: PathBuf,
}

impl Listener {
    /// What the listener is told.
    ///
    /// # Errors
    /// `Usage` for certificate files that cannot be used.
    pub fn serve_options(&self, tls: Option<&Tls>) -> Result<net::ServeOptions, Failure> {
        Ok(net::ServeOptions {
            header_timeout: Duration::from_secs(self.header_timeout_seconds),
            idle_timeout: Duration::from_secs(self.idle_timeout_seconds),
            write_timeout: Duration::from_secs(self.write_timeout_seconds),
            max_connections: self.max_connections,
            shutdown_grace: Duration::from_secs(self.shutdown_grace_seconds),
            tls: tls.map(Tls::load).transpose()?,
            ..net::ServeOptions::default()
        })
    }
}

impl Tls {
    /// Warns of a private key that others can read.
    pub(super) fn warn_of_open_files(&self) {
        secrets::warn_of_open_secret(&self.key_file, "The private key");
        secrets::warn_of_open_trust(&self.certificate_file, "The certificate");
    }

    fn load(&self) -> Result<net::TlsServer, Failure> {
        let files = net::TlsFiles { certificate: self.certificate_file.clone(), key: self.key_file.clone() };
        files.load().map_err(Failure::usage)
    }
}

/// Reads a public base URL: `http` or `https`, a host, no query; without a slash at its end.
///
/// # Errors
/// `Usage` for every other text.
pub fn public_url(text: &str) -> Result<String, Failure> {
    let refuse = || {
        Failure::usage(format!(
            "the public url {text} must be http:// or https:// and a host, without ? and #"
        ))
    };
    let uri: http::Uri = text.parse().map_err(|_| refuse())?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let host = uri.host().is_some_and(|host| !host.is_empty());
    let is_plain = uri.query().is_none() && !text.contains(['#', '@', '?']);
    if is_web && host && is_plain { Ok(text.trim_end_matches('/').to_owned()) } else { Err(refuse()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_a_scheme_and_a_host() {
        for (text, url) in [
            ("http://127.0.0.1:8080/", Some("http://127.0.0.1:8080")),
            ("https://referrals.contoso.example/cosell", Some("https://referrals.contoso.example/cosell")),
            ("referrals.contoso.example", None),
            ("ftp://a", None),
            ("https://a/?b", None),
            ("https://a/#b", None),
            ("https://ann@a/", None),
            ("https:///x", None),
            ("", None),
        ] {
            assert_eq!(public_url(text).ok().as_deref(), url, "{text}");
        }
    }
}

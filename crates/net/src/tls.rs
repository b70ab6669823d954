//! TLS: certificate files of the listener, trusted authorities of the client. rustls with aws-lc, TLS 1.2 and 1.3.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The certificate files of the listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the certificate of the server, then the intermediate certificates.
    pub certificate: PathBuf,
    /// PEM: the unencrypted private key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// Why certificate files cannot be used: one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file is missing or not readable.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The file has no PEM section of the required kind, or a malformed one.
    #[error("{} has no usable {wanted}: {reason}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        wanted: &'static str,
        /// The error.
        reason: String,
    },
    /// The key does not belong to the certificate.
    #[error("the private key {} does not belong to the certificate {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The certificate or the key has a kind that is not supported.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(rustls::Error),
}

/// The TLS configuration of a listener.
#[derive(Clone)]
pub struct TlsServer(TlsAcceptor);

impl std::fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsServer")
    }
}

impl TlsServer {
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}

impl TlsFiles {
    /// Reads both files and checks that they belong together. Blocks for two small file reads.
    ///
    /// # Errors
    /// When a file is missing or unusable, or the key does not match.
    pub fn load(&self) -> Result<TlsServer, TlsError> {
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|error| pem_error(&self.key, "private key", &error))?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| self.config_error(error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsServer(TlsAcceptor::from(Arc::new(config))))
    }

    fn config_error(&self, error: rustls::Error) -> TlsError {
        match error {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::Mismatch { certificate: self.certificate.clone(), key: self.key.clone() }
            }
            other => TlsError::Unusable(other),
        }
    }
}

/// Creates the TLS configuration of the client. It trusts the authorities of the system and those of an additional PEM
/// file.
pub(crate) fn client_config(extra_authorities: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = extra_authorities {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(TlsError::Unusable)?;
        }
    }
    if roots.is_empty() {
        tracing::warn!("This machine trusts no certificate authority; outbound HTTPS will fail");
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Creates the TLS configuration for a database connection. The certificate must be issued by an authority that the
/// system trusts, or by one of an additional PEM file. Blocks for small file reads.
///
/// # Errors
/// When the file is missing or has no certificate.
pub fn database_client(extra_authorities: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = client_config(extra_authorities)?;
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<_, _>>()
        .map_err(|error| pem_error(path, "certificate", &error))?;
    if chain.is_empty() {
        return Err(pem_error(path, "certificate", &PemError::NoItemsFound));
    }
    Ok(chain)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::Read { path: path.to_owned(), error })
}

fn pem_error(path: &Path, wanted: &'static str, error: &PemError) -> TlsError {
    let reason = match error {
        PemError::NoItemsFound => "it has none".to_owned(),
        other => format!("{other:?}"),
    };
    TlsError::Pem { path: path.to_owned(), wanted, reason }
}

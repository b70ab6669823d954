//! TLS to the database, before a server that ends it and hands on to PostgreSQL.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, UnixStream};
use tokio_rustls::TlsAcceptor;

use super::super::{PostgresOptions, PostgresStore, is_local};
use super::database::Database;
use crate::conformance::samples::*;
use crate::{Store, StoreError};

/// Listens with a certificate for `db.contoso.example`; the certificate, for who shall trust it.
async fn before(database: &Database) -> (SocketAddr, rustls::pki_types::CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["db.contoso.example".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let socket = database.socket();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (acceptor, socket) = (acceptor.clone(), socket.clone());
            tokio::spawn(async move {
                // SSLRequest: its length and 1234.5679; `S` means yes.
                let mut request = [0; 8];
                stream.read_exact(&mut request).await.unwrap();
                assert_eq!(request, [0, 0, 0, 8, 4, 210, 22, 47]);
                stream.write_all(b"S").await.unwrap();
                let Ok(mut encrypted) = acceptor.accept(stream).await else { return };
                let mut server = UnixStream::connect(socket).await.unwrap();
                let _ = copy_bidirectional(&mut encrypted, &mut server).await;
            });
        }
    });
    (address, certificate)
}

fn trusting(certificate: Option<rustls::pki_types::CertificateDer<'static>>) -> PostgresOptions {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificate);
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    PostgresOptions { tls: Some(Arc::new(config)), ..PostgresOptions::default() }
}

#[tokio::test]
async fn a_certificate_of_the_host_by_an_authority_is_trusted_and_no_other() {
    let database = Database::new();
    let (address, certificate) = before(&database).await;
    let to = |host: &str| {
        let port = address.port();
        format!("host={host} hostaddr=127.0.0.1 port={port} user=cosell dbname={}", database.name())
    };
    let store =
        PostgresStore::open(&to("db.contoso.example"), trusting(Some(certificate.clone()))).await.unwrap();
    created(&store, a_referral(&organization(1), 1)).await;
    assert!(stored(&store, id(1)).await.is_some());
    store.close().await;
    for (host, options, words) in [
        ("db.contoso.example", trusting(None), "UnknownIssuer"),
        ("db.fabrikam.example", trusting(Some(certificate)), "not valid for name"),
    ] {
        let refused = PostgresStore::open(&to(host), options).await.map(drop).unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
        assert!(refused.to_string().contains(words), "{refused}");
    }
}

#[test]
fn an_address_tells_whether_it_leads_to_this_machine_alone() {
    for (address, local) in [
        ("postgres://cosell@127.0.0.1/cosell", true),
        ("postgres://cosell@localhost:5433/cosell", true),
        ("postgres://cosell@[::1]/cosell", true),
        ("host=/var/run/postgresql user=cosell", true),
        ("postgres://cosell@db.contoso.example/cosell", false),
        ("postgres://cosell@localhost,10.0.0.7/cosell", false),
        ("host=localhost hostaddr=10.0.0.7", false),
    ] {
        assert_eq!(is_local(address).unwrap(), local, "{address}");
    }
    assert!(is_local("postgres://[").is_err());
}

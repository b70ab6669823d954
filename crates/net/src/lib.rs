//! The only sockets and TLS of the house.
//!
//! [`serve`] is the listener: our own accept loop on hyper's HTTP/1.1, with time-outs, a cap on connections
//! and a graceful end. [`HttpClient`] is the way out: small documents over guarded connections. What a request
//! means is not known here.

mod address;
mod client;
mod connection;
mod serve;
mod tls;

pub use address::AddressPolicy;
pub use client::{ClientError, ClientOptions, FetchError, HttpClient, HttpDocument};
pub use connection::AmbiguousLength;
pub use serve::{Peer, ServeOptions, ServeOutcome, bind, serve};
pub use tls::{TlsError, TlsFiles, TlsServer, database_client};
/// A listening socket, as [`bind`] makes it.
pub use tokio::net::TcpListener as Listener;

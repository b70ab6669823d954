//! All sockets and TLS of the program.
//!
//! [`serve`] is the listener: an accept loop over hyper's HTTP/1.1, with timeouts, a limit on connections and a
//! graceful shutdown. [`HttpClient`] fetches small documents. This crate does not interpret requests.

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
/// A listening socket, as returned by [`bind`].
pub use tokio::net::TcpListener as Listener;

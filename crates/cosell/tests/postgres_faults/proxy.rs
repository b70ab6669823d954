//! A network in a test's hands: between a node and its database, it passes on, delays, swallows or cuts.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What the network does to what comes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// It passes everything on.
    Good,
    /// Every part takes so long, in each direction.
    Slow(Duration),
    /// Nothing arrives, and nobody is told. What was sent meanwhile arrives once it is good again, as it does when a
    /// sender repeats it.
    Silent,
    /// It takes no connection, and has cut those that were there.
    Gone,
    /// It cuts the next connection that writes: a part of the statements arrives.
    CutWithinStatements,
    /// It cuts the next connection that commits: the commit does not arrive.
    CutBeforeCommit,
    /// It cuts the next connection that commits: the commit arrives, its answer does not.
    CutAfterCommit,
}

/// A query message with the word: its tag, its length, the word and a zero.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
/// In what a group of changes writes.
const WRITE: &[u8] = b"INSERT INTO change_log";

/// The network before one server. Dropping it cuts everything.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    server: PathBuf,
    network: Mutex<Network>,
    changed: Condvar,
    connections: Mutex<Vec<Ends>>,
    cuts: AtomicUsize,
    is_over: AtomicBool,
}

/// Both ends of a connection, to cut it.
struct Ends {
    client: TcpStream,
    server: UnixStream,
}

impl Ends {
    fn cut(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

impl Proxy {
    /// A network before the server with this socket.
    pub fn before(server: PathBuf) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            server,
            network: Mutex::new(Network::Good),
            changed: Condvar::new(),
            connections: Mutex::default(),
            cuts: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&state);
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if accepting.is_over.load(Ordering::SeqCst) {
                    return;
                }
                accepting.connect(client);
            }
        });
        Proxy { address, state }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on.
    pub fn becomes(&self, network: Network) {
        self.state.set(network);
        if network == Network::Gone {
            self.state.cut_all();
        }
    }

    /// Cuts every connection; new ones are taken.
    pub fn cut(&self) {
        self.state.cut_all();
    }

    /// How often a cut that waited for its moment has come to pass.
    pub fn cuts(&self) -> usize {
        self.state.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        self.state.set(Network::Gone);
        self.state.cut_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn set(&self, network: Network) {
        *self.network.lock().unwrap() = network;
        self.changed.notify_all();
    }

    fn cut_all(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            connection.cut();
        }
    }

    fn connect(self: &Arc<State>, client: TcpStream) {
        if *self.network.lock().unwrap() == Network::Gone {
            return;
        }
        let Ok(server) = UnixStream::connect(&self.server) else { return };
        client.set_nodelay(true).unwrap();
        let ends = |client: &TcpStream, server: &UnixStream| Ends {
            client: client.try_clone().unwrap(),
            server: server.try_clone().unwrap(),
        };
        self.connections.lock().unwrap().push(ends(&client, &server));
        let (there, back) = (ends(&client, &server), ends(&client, &server));
        let state = Arc::clone(self);
        std::thread::spawn(move || state.carry_there(there));
        let state = Arc::clone(self);
        std::thread::spawn(move || state.carry_back(back));
    }

    /// From the node to the server.
    fn carry_there(&self, mut ends: Ends) {
        let mut part = vec![0; 256 * 1024];
        while let Ok(length @ 1..) = ends.client.read(&mut part) {
            let part = &part[..length];
            let network = self.wait();
            let (arrives, is_cut) = match network {
                Network::Gone => (0, true),
                Network::CutWithinStatements if find(part, WRITE).is_some() => (length / 2, true),
                Network::CutBeforeCommit => match find(part, COMMIT) {
                    Some(at) => (at, true),
                    None => (length, false),
                },
                Network::CutAfterCommit => (length, find(part, COMMIT).is_some()),
                _ => (length, false),
            };
            if is_cut && network != Network::Gone {
                self.set(Network::Good);
                self.cuts.fetch_add(1, Ordering::SeqCst);
                // Nothing of the answer gets back.
                let _ = ends.client.shutdown(Shutdown::Both);
            }
            if ends.server.write_all(&part[..arrives]).is_err() || is_cut {
                break;
            }
        }
        let _ = ends.server.shutdown(Shutdown::Write);
    }

    /// From the server to the node.
    fn carry_back(&self, mut ends: Ends) {
        let mut part = vec![0; 256 * 1024];
        while let Ok(length @ 1..) = ends.server.read(&mut part) {
            if self.wait() == Network::Gone {
                break;
            }
            // A client that is gone reads no more; the server is read to its end all the same.
            let _ = ends.client.write_all(&part[..length]);
        }
        ends.cut();
    }

    /// The network, once it lets anything through.
    fn wait(&self) -> Network {
        let silent = |network: &mut Network| *network == Network::Silent;
        let network = *self.changed.wait_while(self.network.lock().unwrap(), silent).unwrap();
        if let Network::Slow(time) = network {
            std::thread::sleep(time);
        }
        network
    }
}

fn find(part: &[u8], wanted: &[u8]) -> Option<usize> {
    part.windows(wanted.len()).position(|window| window == wanted)
}

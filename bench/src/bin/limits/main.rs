//! Servers that do as little as possible: the limits a real one is held against.
//!
//! - `limits --serve static`: bare hyper; each GET is answered with one document held in memory
//! - `limits --serve table --table FILE`: GET `/…/{id}` by one prepared select
//! - `limits --serve lists --table FILE`: GET `/…?first`, a list; its forms: `lists::Asked`
//! - `limits --serve group --table FILE --group 64`: PUT `/…/{id}` under `If-Match`, one writer thread, one durable
//!   commit for all that wait
//!
//! `--port` is the port on 127.0.0.1. Each of the `--threads` (2) is a runtime of its own with its own listening
//! socket and its own connection to SQLite; nothing is shared between them but the writer. No token is looked at.

mod answer;
mod writer;

use std::rc::Rc;
use std::sync::mpsc;

use bytes::Bytes;
use cosell_bench::arguments::Arguments;
use cosell_bench::dataset::Referral;
use cosell_bench::lists::Lists;
use cosell_bench::{Outcome, table};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use answer::Limit;

fn main() -> Outcome<()> {
    let mut arguments = Arguments::of_program()?;
    let serve = arguments.require("serve")?;
    let path = arguments.take("table");
    let port: u16 = arguments.number("port", 8090)?;
    let threads: usize = arguments.number("threads", 2)?;
    let group: usize = arguments.number("group", 64)?;
    arguments.finish()?;

    let path = || path.as_deref().ok_or("--table is missing");
    let writer = match serve.as_str() {
        "group" => {
            let (sender, receiver) = mpsc::channel();
            let connection = table::open(path()?, "FULL")?;
            std::thread::spawn(move || writer::run(&connection, &receiver, group));
            Some(sender)
        }
        "static" | "table" | "lists" => None,
        other => return Err(format!("--serve {other} is not known").into()),
    };
    let mut running = Vec::new();
    for _ in 0..threads {
        let limit = match &serve[..] {
            "static" => Limit::Fixed(Bytes::from(Referral::numbered(7).json)),
            "lists" => Limit::Lists(Lists::open(path()?)?),
            _ => Limit::Table { connection: table::open(path()?, "FULL")?, writer: writer.clone() },
        };
        running.push(std::thread::spawn(move || serve_on(port, limit)));
    }
    for thread in running {
        thread.join().map_err(|_| "a thread panicked")??;
    }
    Ok(())
}

fn serve_on(port: u16, limit: Limit) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let limit = Rc::new(limit);
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let listener = tokio::net::TcpListener::from_std(listen(port)?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let limit = limit.clone();
            tokio::task::spawn_local(async move {
                let service = service_fn(move |request| {
                    let limit = limit.clone();
                    async move { limit.answer(request).await }
                });
                // A connection that breaks is the client's affair.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

/// One of several sockets on the same port; the kernel spreads the connections over them.
fn listen(port: u16) -> std::io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

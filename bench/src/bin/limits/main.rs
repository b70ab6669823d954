//! Servers that do as little as possible: the limits a real one is held against.
//!
//! - `limits --serve typical --table FILE`: bare hyper; each GET is answered with the recorded answer of typical length,
//!   from memory
//! - `limits --serve table --table FILE`: GET `/…/{id}`, the recorded answer by one prepared select
//! - `limits --serve rows --table FILE --first COPY --second FILE --group 64`: bare hyper, and PUT: one writer thread
//!   writes the rows of Cosell (`rows.rs`), one durable commit for all that wait; no body and no tag is looked at
//! - `limits --serve lists --table FILE`: GET `/…?first`, a list; its forms: `lists::Asked`
//!
//! `--port` is the port on 127.0.0.1. Each of the `--threads` (2) is a runtime of its own with its own listening
//! socket and its own connection to SQLite; nothing is shared between them but the writer. No token is looked at.

mod answer;
mod writer;

use std::rc::Rc;
use std::sync::mpsc;

use cosell_bench::arguments::Arguments;
use cosell_bench::lists::Lists;
use cosell_bench::rows::Rows;
use cosell_bench::{Outcome, table};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use answer::{Answer, Limit, headers};

fn main() -> Outcome<()> {
    let mut arguments = Arguments::of_program()?;
    let serve = arguments.require("serve")?;
    let path = arguments.require("table")?;
    let first = arguments.take("first");
    let second = arguments.take("second");
    let port: u16 = arguments.number("port", 8090)?;
    let threads: usize = arguments.number("threads", 2)?;
    let group: usize = arguments.number("group", 64)?;
    arguments.finish()?;

    let writer = match (first, second) {
        (Some(first), Some(second)) => {
            let (sender, receiver) = mpsc::channel();
            let rows = Rows::open(&first, &second)?;
            std::thread::spawn(move || writer::run(rows, &receiver, group));
            Some(sender)
        }
        _ => None,
    };
    let mut running = Vec::new();
    for _ in 0..threads {
        let (serve, path, writer) = (serve.clone(), path.clone(), writer.clone());
        // Made in the thread: what it shares with nobody needs no locks.
        let limit = move || -> Outcome<Limit> {
            Ok(match serve.as_str() {
                "lists" => Limit::Lists(Lists::open(&path)?),
                "typical" | "rows" => {
                    Limit::Typical { answer: Answer::typical(&table::open(&path, "FULL")?)?, writer }
                }
                "table" => {
                    let connection = table::open(&path, "FULL")?;
                    Limit::Table { headers: headers(&connection)?, connection }
                }
                other => return Err(format!("--serve {other} is not known").into()),
            })
        };
        running.push(std::thread::spawn(move || serve_on(port, limit()?)));
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

//! The signals that ask the process to end.
//!
//! They are heard by a thread with a runtime of its own, so that whatever keeps the server's threads busy, the process ends
//! in time.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::mpsc;

/// After the first signal the process ends in an orderly way, or else at once when so much time has passed: the contract
/// is ten seconds.
const LATEST_END: Duration = Duration::from_millis(9_500);

/// Hears SIGTERM and SIGINT, elsewhere Ctrl-C, from the moment it is made.
pub struct Signals {
    heard: mpsc::UnboundedReceiver<&'static str>,
    leave: Leave,
}

/// What is done when the process ends at once. What was acknowledged is on the disk already.
#[derive(Clone, Default)]
struct Leave(Arc<Mutex<Option<PathBuf>>>);

impl Leave {
    fn now(&self, code: i32) {
        if let Some(folder) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = std::fs::remove_dir_all(folder);
        }
        std::process::exit(code)
    }
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn listen() -> io::Result<Signals> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let mut source = {
            let _inside = runtime.enter();
            Source::new()?
        };
        let (tell, heard) = mpsc::unbounded_channel();
        let leave = Leave::default();
        let last = leave.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                let signal = source.next().await;
                let late = last.clone();
                let ending = thread::Builder::new().name("end".to_owned()).spawn(move || {
                    thread::sleep(LATEST_END);
                    tracing::warn!("Not everything has ended in time; the process ends now");
                    late.now(0);
                });
                if ending.is_err() || tell.send(signal).is_err() {
                    last.now(1);
                }
                source.next().await;
                // Asked twice: nothing is waited for.
                last.now(1);
            });
        })?;
        Ok(Signals { heard, leave })
    }

    /// A folder that must not outlive the process, whatever ends it.
    pub fn remove_at_the_end(&self, folder: PathBuf) {
        *self.leave.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder);
    }

    /// Waits for the first one; its name.
    pub async fn first(&mut self) -> &'static str {
        match self.heard.recv().await {
            Some(signal) => signal,
            // The thread has ended the process, or is about to.
            None => std::future::pending().await,
        }
    }
}

#[cfg(unix)]
struct Source {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Source {
    fn new() -> io::Result<Source> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Source {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(not(unix))]
struct Source;

#[cfg(not(unix))]
impl Source {
    fn new() -> io::Result<Source> {
        Ok(Source)
    }

    async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}

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
const STOP_TIMEOUT: Duration = Duration::from_millis(9_500);

/// Hears SIGTERM and SIGINT, elsewhere Ctrl-C, from the moment it is made.
pub struct Signals {
    heard: mpsc::UnboundedReceiver<&'static str>,
    leave: ExitGuard,
}

/// What is done when the process ends at once. What was acknowledged is on the disk already.
#[derive(Clone, Default)]
struct ExitGuard(Arc<Mutex<Option<PathBuf>>>);

impl ExitGuard {
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
            SignalSource::new()?
        };
        let (tell, heard) = mpsc::unbounded_channel();
        let leave = ExitGuard::default();
        let last = leave.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                let signal = source.next().await;
                let late = last.clone();
                let ending = thread::Builder::new().name("end".to_owned()).spawn(move || {
                    thread::sleep(STOP_TIMEOUT);
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
    pub fn remove_on_exit(&self, folder: PathBuf) {
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
struct SignalSource {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl SignalSource {
    fn new() -> io::Result<SignalSource> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(SignalSource {
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
struct SignalSource;

#[cfg(not(unix))]
impl SignalSource {
    fn new() -> io::Result<SignalSource> {
        Ok(SignalSource)
    }

    async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}

//! What goes on in the background. Every job has an owner that stops and awaits it.

use std::sync::Arc;
use std::time::Duration;

use exchange::Exchange;
use identity::KeySource;
use store::JobHolder;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often unanswered referrals are looked for whose time is up; costs nothing while there are none.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(1);
/// How often answers older than a day are forgotten.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(300);
/// How often an issuer's keys are fetched anew.
const KEY_REFRESH_INTERVAL: Duration = Duration::from_secs(3600);
/// The pauses between tries while an issuer does not answer grow from the first to the second.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The running jobs. Dropping them stops them without waiting.
pub struct Jobs {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Jobs {
    /// None yet.
    pub fn new() -> Jobs {
        Jobs { tasks: JoinSet::new(), stop: watch::Sender::new(false) }
    }

    /// Closes unanswered referrals when their time is up; of several servers one at a time.
    pub fn start_expiry(&mut self, exchange: Arc<Exchange>, holder: JobHolder) {
        let stopped = self.stop.subscribe();
        self.tasks.spawn(async move {
            while !pause(&stopped, EXPIRE_INTERVAL).await {
                if exchange.health().is_err() {
                    continue; // said once, when writes stopped
                }
                match exchange.expire_due_as_job(&holder).await {
                    Ok(0) => {}
                    Ok(expired) => tracing::info!(expired, "{expired} unanswered referrals expired"),
                    Err(error) => {
                        tracing::error!(%error, "Unanswered referrals could not be expired: {error}")
                    }
                }
            }
        });
    }

    /// Forgets answers that need not be repeated any more.
    pub fn start_cleanup(&mut self, exchange: Arc<Exchange>) {
        let stopped = self.stop.subscribe();
        self.tasks.spawn(async move {
            while !pause(&stopped, CLEANUP_INTERVAL).await {
                // As often as it takes: they become as many as there are writes.
                while !*stopped.borrow() {
                    match exchange.delete_old_responses().await {
                        Ok(0) => break,
                        Ok(forgotten) => tracing::debug!(forgotten, "{forgotten} old answers forgotten"),
                        Err(error) => {
                            tracing::warn!(%error, "Old answers could not be forgotten: {error}");
                            break;
                        }
                    }
                }
            }
        });
    }

    /// Keeps an issuer's keys fresh: fetches them now, tries again until they are there, then every hour.
    pub fn start_key_refresh(
        &mut self,
        issuer: String,
        keys: Arc<KeySource>,
        now: impl Fn() -> i64 + Send + 'static,
    ) {
        let stopped = self.stop.subscribe();
        self.tasks.spawn(async move {
            let mut retry = RETRY_DELAYS.0;
            loop {
                let wait = match keys.refresh(now()).await {
                    Ok(()) => {
                        tracing::debug!(issuer, "Keys of issuer {issuer} fetched");
                        retry = RETRY_DELAYS.0;
                        KEY_REFRESH_INTERVAL
                    }
                    Err(error) => {
                        let wait = retry;
                        let retry_seconds = wait.as_secs();
                        tracing::warn!(issuer, %error, retry_seconds, "Keys of issuer {issuer} could not be fetched, next try in {retry_seconds} s: {error}");
                        retry = (retry * 2).min(RETRY_DELAYS.1);
                        wait
                    }
                };
                if pause(&stopped, wait).await {
                    return;
                }
            }
        });
    }

    /// Lets every job finish what it is doing, and no more. A fetch in flight is cut.
    pub async fn stop(mut self, timeout: Duration) {
        self.stop.send_replace(true);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(timeout, ended).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

/// Waits so long, or until the jobs are stopped: then true.
async fn pause(stopped: &watch::Receiver<bool>, time: Duration) -> bool {
    let mut stopped = stopped.clone();
    tokio::time::timeout(time, stopped.wait_for(|stop| *stop)).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopping_wakes_a_pause_and_cuts_what_does_not_end() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut jobs = Jobs::new();
            let stopped = jobs.stop.subscribe();
            let (tell, told) = tokio::sync::oneshot::channel();
            jobs.tasks.spawn(async move {
                let _ = tell.send(pause(&stopped, Duration::from_secs(3600)).await);
            });
            jobs.tasks.spawn(std::future::pending());
            jobs.stop(Duration::from_millis(20)).await;
            assert_eq!(told.await, Ok(true));
        });
    }
}

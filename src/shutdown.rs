//! The end: take nothing more in, commit what came, acknowledge it, say goodbye. Within five seconds.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal as unix_signal};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

use crate::reload::Reload;
use crate::startup::RunningHub;

/// The time that all of it may take. What is not committed by then was never acknowledged, and comes again.
const WITHIN: Duration = Duration::from_millis(4_500);

/// A signal that comes this soon after another is the same wish: a terminal and a supervisor may both tell.
const SAME_WISH: Duration = Duration::from_secs(1);

/// The work that was there at the end and is not stored. Nobody has been told that it was.
#[derive(Debug, thiserror::Error)]
pub enum UnstoredWork {
    #[error("shut down while the store took nothing in: unacknowledged messages have to come again")]
    NotCommitted,
    #[error("ended because another program writes to this hub's database: let one of the two use it")]
    Conflict,
    #[error("ended at once by a second signal: unacknowledged messages have to come again")]
    Hurried,
}

/// SIGHUP, which asks to read the configuration anew. Made before anything else: from then on it ends nothing.
pub struct HangUp(Option<Signal>);

impl HangUp {
    /// Begins to take it.
    #[must_use]
    pub fn new() -> Self {
        match unix_signal(SignalKind::hangup()) {
            Ok(signal) => Self(Some(signal)),
            Err(error) => {
                warn!(%error, "SIGHUP cannot be taken: it ends this program");
                Self(None)
            }
        }
    }

    async fn next(&mut self) {
        let came = match &mut self.0 {
            Some(signal) => signal.recv().await,
            None => None,
        };
        if came.is_none() {
            std::future::pending::<()>().await; // there is none to come
        }
    }
}

impl Default for HangUp {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits until the user or the system ends the program, and says by which signal.
pub async fn signal() -> &'static str {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (unix_signal(SignalKind::terminate()), unix_signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await; // then only SIGKILL is left, and that is safe too
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

async fn second_signal() {
    sleep(SAME_WISH).await;
    signal().await;
}

impl RunningHub {
    /// Serves until a signal comes, then shuts down. A second signal ends it at once. SIGHUP reads anew what can be.
    ///
    /// # Errors
    /// The store took nothing in at the end.
    pub async fn until_signal(self, mut hang_up: HangUp, reload: &mut Reload) -> Result<(), UnstoredWork> {
        let counters = Arc::clone(&self.hub.counters);
        let mut ends = pin!(signal());
        loop {
            tokio::select! {
                name = &mut ends => {
                    info!(signal = name, "shutting down");
                    break;
                }
                () = counters.store_lost.wait() => {
                    info!("shutting down: the store is another's");
                    break;
                }
                // Not in the arm's own time: what ends us is not to wait for what is read.
                () = async { hang_up.next().await; reload.reload(&self).await } => {}
            }
        }
        tokio::select! {
            ended = self.shut_down() => match ended {
                Err(_) if counters.store_lost.is_set() => Err(UnstoredWork::Conflict),
                ended => ended,
            },
            () = second_signal() => Err(UnstoredWork::Hurried),
        }
    }

    /// Shuts down in order: what was acknowledged is stored, and what is stored gets acknowledged.
    ///
    /// # Errors
    /// The store took nothing in at the end.
    pub async fn shut_down(self) -> Result<(), UnstoredWork> {
        let Self { hub, link, web, server, store, .. } = self;
        let until = Instant::now() + WITHIN;
        let in_order = async {
            link.stop_intake().await;
            web.close_sessions();
            // Requests on their way are answered, which takes a commit; so the hub closes after them.
            server.stop(true).await;
            hub.close().await
        };
        let stored = timeout_at(until, in_order).await.unwrap_or(false);
        if timeout_at(until, link.close()).await.is_err() {
            warn!("not every connection was closed in time");
        }
        let _ = timeout_at(until, store.close()).await; // a reader that is still at it holds nobody up
        info!(stored, "shut down");
        if stored { Ok(()) } else { Err(UnstoredWork::NotCommitted) }
    }
}

//! The end: take nothing more in, commit what came, acknowledge it, say goodbye. Within five seconds.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal as unix_signal};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

use crate::startup::Running;

/// How long all of it may take. What is not committed by then was never acknowledged, and comes again.
const WITHIN: Duration = Duration::from_millis(4_500);

/// A signal that comes this soon after another is the same wish: a terminal and a supervisor may both tell.
const SAME_WISH: Duration = Duration::from_secs(1);

/// What was there at the end and is not stored. Nobody has been told that it was.
#[derive(Debug, thiserror::Error)]
pub enum Unfinished {
    #[error("shut down while the store took nothing in: what was not acknowledged has to come again")]
    NotCommitted,
    #[error("ended at once by a second signal: what was not acknowledged has to come again")]
    Hurried,
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

impl Running {
    /// Serves until a signal comes, then shuts down. A second signal ends it at once.
    ///
    /// # Errors
    /// The store took nothing in at the end.
    pub async fn until_signal(self) -> Result<(), Unfinished> {
        let name = signal().await;
        info!(signal = name, "shutting down");
        tokio::select! {
            ended = self.shut_down() => ended,
            () = second_signal() => Err(Unfinished::Hurried),
        }
    }

    /// Shuts down in order: what was acknowledged is stored, and what is stored gets acknowledged.
    ///
    /// # Errors
    /// The store took nothing in at the end.
    pub async fn shut_down(self) -> Result<(), Unfinished> {
        let Self { hub, link, web, server, .. } = self;
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
            warn!("not everyone was told goodbye in time");
        }
        info!(stored, "shut down");
        if stored { Ok(()) } else { Err(Unfinished::NotCommitted) }
    }
}

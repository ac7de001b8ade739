//! Sessions of absent clients: bounded in their number, and in what they hold in all. What one session holds
//! is bounded by the broker crate, which drops a session's oldest messages.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::{DynamicStorage, StorageBackend as _};
use tracing::warn;

use super::connection::Common;
use crate::mqtt::intake::Intake;

/// How often sessions are looked through. What absent clients are sent between two looks comes on top of the
/// bounds: it is as much as the broker can route in that time.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Messages that did not find room in absent clients' sessions since the start of the program.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// The broker crate has dropped `count` messages. It tells so by a log event alone, `dropped` of the target
/// `mqtt5::broker::storage::client_queue`, so whoever sets the log up counts them here.
pub fn count_dropped(count: u64) {
    DROPPED.fetch_add(count, Relaxed);
}

/// What sessions may hold.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// Sessions of absent clients.
    pub count: usize,
    /// Messages of one session.
    pub messages: usize,
    /// Bytes of one session.
    pub bytes: usize,
    /// Bytes of all sessions.
    pub total: usize,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { count: 10_000, messages: 1_000, bytes: 1 << 20, total: 256 << 20 }
    }
}

/// How sessions stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionFigures {
    /// Of absent clients.
    pub sessions: u64,
    /// Messages that wait in sessions, and about what they take.
    pub messages: u64,
    pub bytes: u64,
    /// Sessions ended for want of room, since the start.
    pub ended: u64,
    /// Messages dropped because their session was full, since the start.
    pub dropped: u64,
}

/// See the module.
pub(super) struct Sessions {
    limits: SessionLimits,
    common: Arc<Common>,
    intake: Arc<dyn Intake>,
    state: Mutex<State>,
    /// One look at a time.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    figures: SessionFigures,
    /// Of each session that holds messages, how many it held when it was measured, and their bytes.
    measured: HashMap<String, (usize, usize)>,
    told_dropped: u64,
}

/// An absent client's session.
struct Absent {
    client: String,
    token: u64,
    since: Option<u64>,
    known: bool,
    bytes: usize,
}

impl Sessions {
    pub(super) fn new(limits: SessionLimits, common: Arc<Common>, intake: Arc<dyn Intake>) -> Self {
        Self { limits, common, intake, state: Mutex::default(), looking: tokio::sync::Mutex::default() }
    }

    pub(super) fn figures(&self) -> SessionFigures {
        let mut figures = self.state.lock().unwrap_or_else(PoisonError::into_inner).figures;
        figures.dropped = DROPPED.load(Relaxed);
        figures
    }

    /// Looks through the sessions, and ends some where there are too many or they hold too much: those that
    /// have been absent longest, those of devices that the hub knows last.
    pub(super) async fn look(&self) {
        let _alone = self.looking.lock().await;
        let storage = &self.common.storage;
        let Ok(clients) = storage.session_client_ids().await else { return };
        let measured = self.measure(&clients).await;
        let bytes: usize = measured.values().map(|(_, bytes)| bytes).sum();
        let messages: usize = measured.values().map(|(count, _)| count).sum();
        let absent = clients.len().saturating_sub(self.common.router.client_count().await);
        let too_many = absent.saturating_sub(self.limits.count);
        let ended = if too_many > 0 || bytes > self.limits.total {
            self.end(&clients, &measured, too_many, bytes).await
        } else {
            0
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { figures, .. } = &mut *state;
        figures.sessions = absent.saturating_sub(ended) as u64;
        (figures.messages, figures.bytes) = (messages as u64, bytes as u64);
        figures.ended += ended as u64;
        state.measured = measured;
        let dropped = DROPPED.load(Relaxed);
        let more = dropped - std::mem::replace(&mut state.told_dropped, dropped);
        drop(state);
        if more > 0 {
            warn!(dropped = more, "messages for absent clients dropped: their sessions are full");
        }
    }

    /// Counts and bytes of those that hold messages. One that holds as many as before is taken to be as large.
    async fn measure(&self, clients: &[String]) -> HashMap<String, (usize, usize)> {
        let before = std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).measured);
        let mut measured = HashMap::new();
        for client in clients {
            let queue = self.common.storage.queue_handle(client);
            let count = queue.count();
            if count == 0 {
                continue;
            }
            let bytes = match before.get(client) {
                Some((then, bytes)) if *then == count => *bytes,
                _ => {
                    queue.peek_all().await.iter().map(mqtt5::broker::storage::QueuedMessage::footprint).sum()
                }
            };
            measured.insert(client.clone(), (count, bytes));
        }
        measured
    }

    async fn end(
        &self,
        clients: &[String],
        measured: &HashMap<String, (usize, usize)>,
        too_many: usize,
        bytes: usize,
    ) -> usize {
        let Common { storage, router, .. } = &*self.common;
        let mut absent = Vec::new();
        for client in clients {
            let Ok(Some(session)) = storage.get_session(client).await else { continue };
            if !session.connected && !router.is_connected(client).await {
                absent.push(Absent {
                    known: self.intake.knows(client).await,
                    token: session.connection_token,
                    since: session.disconnected_at,
                    bytes: measured.get(client).map_or(0, |(_, bytes)| *bytes),
                    client: client.clone(),
                });
            }
        }
        absent.sort_by_key(|session| (session.known, session.since));
        let (mut ended, mut bytes) = (0, bytes);
        for session in &absent {
            let frees = session.bytes > 0 && bytes > self.limits.total;
            if ended >= too_many && !frees {
                continue;
            }
            end_session(storage, &session.client, session.token).await;
            bytes -= session.bytes;
            ended += 1;
        }
        if ended > 0 {
            warn!(ended, "sessions of absent clients ended: there were too many, or they held too much");
            self.sweep(router).await;
        }
        ended
    }

    /// Removes what is left of sessions that are over.
    pub(super) async fn sweep(&self, router: &MessageRouter) {
        router.sweep_sessions().await;
        for client in self.common.exactly_once.clients() {
            if matches!(self.common.storage.get_session(&client).await, Ok(None)) {
                self.common.exactly_once.forget(&client);
            }
        }
    }
}

/// Makes a session one whose time is over: the sweep takes all of it away, under the lock that a client who
/// comes back meanwhile takes, too.
async fn end_session(storage: &DynamicStorage, client: &str, token: u64) {
    let ends = |session: &mut mqtt5::broker::storage::ClientSession| {
        if !session.connected {
            session.expiry_interval = Some(0);
            session.disconnected_at = Some(0);
        }
    };
    // It has changed hands meanwhile: then it is not absent.
    let _ = storage.update_session(client, token, ends).await;
}

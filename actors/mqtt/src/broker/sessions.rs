//! Sessions of absent clients: bounded in their number, and in their memory in all. The broker crate bounds the memory
//! of one session, by dropping its oldest messages.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::{DynamicStorage, QueuedMessage, StorageBackend as _};
use tracing::warn;

use super::accept::Connections;
use super::connection::BrokerShared;
use crate::intake::Intake;

/// The interval between two checks of the sessions. Messages to absent clients between two checks come on top of the
/// bounds: as many as the broker can route in that time.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Messages that did not find room in absent clients' sessions since the start of the program.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Counts messages that the broker crate has dropped. The crate reports them by a log event alone, `dropped` of the
/// target `mqtt5::broker::storage::client_queue`, so the program that sets up the log counts them here.
pub fn count_dropped(count: u64) {
    DROPPED.fetch_add(count, Relaxed);
}

/// Bounds of sessions.
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

/// Figures of sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionFigures {
    /// Of absent clients.
    pub sessions: u64,
    /// Messages that wait in sessions, and their memory, about.
    pub messages: u64,
    pub bytes: u64,
    /// Sessions ended for want of room, since the start.
    pub ended: u64,
    /// Messages dropped because their session was full, since the start.
    pub dropped: u64,
}

/// Bounds the sessions of absent and of slow clients.
pub(super) struct Sessions {
    limits: SessionLimits,
    common: Arc<BrokerShared>,
    connections: Arc<Connections>,
    intake: Arc<dyn Intake>,
    state: Mutex<SessionsState>,
    /// One look at a time.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct SessionsState {
    figures: SessionFigures,
    /// Of each session that holds messages, how many it held when it was measured, and their bytes.
    measured: HashMap<String, (usize, usize)>,
    /// The number of the next message for any session, as they were measured.
    next_message: u64,
    /// Clients that are devices of the hub, as it was asked since the last sweep.
    known: HashSet<String>,
    told_dropped: u64,
}

/// An absent client's session.
struct Absent {
    client: String,
    /// The number of its connection: the broker crate counts them up.
    token: u64,
    /// The time of its disconnection, in ms since 1970.
    since: Option<u64>,
    bytes: usize,
}

impl Absent {
    /// The sort key by which the client absent longest comes first. Two can go in the same millisecond: the one that
    /// came first goes first.
    fn age(&self) -> (Option<u64>, u64) {
        (self.since, self.token)
    }
}

impl Sessions {
    pub(super) fn new(
        common: Arc<BrokerShared>,
        connections: Arc<Connections>,
        intake: Arc<dyn Intake>,
    ) -> Self {
        let (limits, looking) = (common.session_limits, tokio::sync::Mutex::default());
        Self { limits, common, connections, intake, state: Mutex::default(), looking }
    }

    pub(super) fn figures(&self) -> SessionFigures {
        let mut figures = self.lock().figures;
        figures.dropped = DROPPED.load(Relaxed);
        figures
    }

    /// Is this client known to be gone?
    #[cfg(test)]
    pub(super) async fn knows_as_absent(&self, client: &str) -> bool {
        let session = self.common.storage.get_session(client).await.unwrap();
        session.is_some_and(|session| !session.connected) && !self.common.router.is_connected(client).await
    }

    /// The clients that have a session.
    #[cfg(test)]
    pub(super) async fn clients(&self) -> Vec<String> {
        self.common.storage.session_client_ids().await.unwrap()
    }

    #[cfg(test)]
    pub(super) fn wildcards(&self) -> usize {
        self.common.wildcards.count()
    }

    /// Checks the sessions, and ends some where there are too many or they hold too much: those that have been absent
    /// longest, those of devices that the hub knows last. Connected clients that do not read their messages are
    /// disconnected where that is not enough.
    pub(super) async fn look(&self) {
        let _alone = self.looking.lock().await;
        let storage = &self.common.storage;
        let Ok(clients) = storage.session_client_ids().await else { return };
        let measured = self.measure(&clients).await;
        let bytes: usize = measured.values().map(|(_, bytes)| bytes).sum();
        let messages: usize = measured.values().map(|(count, _)| count).sum();
        let absent = clients.len().saturating_sub(self.common.router.client_count().await);
        let too_many = absent.saturating_sub(self.limits.count);
        let (mut ended, mut left) = (0, bytes);
        if too_many > 0 || bytes > self.limits.total {
            (ended, left) = self.end(&clients, &measured, too_many, bytes).await;
        }
        if left > self.limits.total {
            self.disconnect(&measured, left).await;
        }
        let mut state = self.lock();
        let SessionsState { figures, .. } = &mut *state;
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

    /// Counts and bytes of those that hold messages. To measure one again takes a copy of all its messages: it is
    /// spared where none can have taken the place of another.
    async fn measure(&self, clients: &[String]) -> HashMap<String, (usize, usize)> {
        let came_back = self.common.take_came_back();
        let next = clients.first().map_or(0, |client| self.common.storage.queue_handle(client).next_seq());
        let (before, none_came) = {
            let mut state = self.lock();
            let none_came = std::mem::replace(&mut state.next_message, next) == next;
            (std::mem::take(&mut state.measured), none_came)
        };
        let mut measured = HashMap::new();
        for client in clients {
            let queue = self.common.storage.queue_handle(client);
            let count = queue.count();
            if count == 0 {
                continue;
            }
            let before = before.get(client).filter(|(then, _)| *then == count);
            let same = match before {
                Some((_, bytes)) if none_came => Some(*bytes),
                Some((_, bytes)) if *bytes < self.limits.bytes / 2 && count < self.limits.messages => {
                    let other =
                        came_back.contains(&**client) || self.common.router.is_connected(client).await;
                    (!other).then_some(*bytes)
                }
                _ => None,
            };
            let bytes = match same {
                Some(bytes) => bytes,
                None => queue.peek_all().await.iter().map(QueuedMessage::footprint).sum(),
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
    ) -> (usize, usize) {
        let BrokerShared { storage, router, .. } = &*self.common;
        let mut absent = Vec::new();
        for client in clients {
            let Ok(Some(session)) = storage.get_session(client).await else { continue };
            if !session.connected && !router.is_connected(client).await {
                absent.push(Absent {
                    token: session.connection_token,
                    since: session.disconnected_at,
                    bytes: measured.get(client).map_or(0, |(_, bytes)| *bytes),
                    client: client.clone(),
                });
            }
        }
        absent.sort_by_key(Absent::age);
        let (mut ended, mut bytes) = (0, bytes);
        let mut known = Vec::new();
        for devices_too in [false, true] {
            let sessions = std::mem::take(if devices_too { &mut known } else { &mut absent });
            for session in sessions {
                let frees = session.bytes > 0 && bytes > self.limits.total;
                if ended >= too_many && !frees {
                    continue;
                }
                if !devices_too && self.knows(&session.client).await {
                    known.push(session);
                    continue;
                }
                end_session(storage, &session.client, session.token).await;
                bytes -= session.bytes;
                ended += 1;
            }
        }
        if ended > 0 {
            warn!(ended, "sessions of absent clients ended: there were too many, or they held too much");
            self.remove_ended(router).await;
        }
        (ended, bytes)
    }

    /// Is the client a device that the hub has? To ask may take a twin from the store, so a yes is remembered.
    async fn knows(&self, client: &str) -> bool {
        if self.lock().known.contains(client) {
            return true;
        }
        let is_known = self.intake.knows_device(client).await;
        if is_known {
            self.lock().known.insert(client.to_owned());
        }
        is_known
    }

    /// Disconnects clients that are there and hold most, until the rest of `bytes` is no more than there may be.
    async fn disconnect(&self, measured: &HashMap<String, (usize, usize)>, mut bytes: usize) {
        let mut largest: Vec<_> = measured.iter().map(|(client, (_, bytes))| (*bytes, client)).collect();
        largest.sort_unstable_by(|one, other| other.cmp(one));
        for (size, client) in largest {
            if bytes <= self.limits.total {
                return;
            }
            if self.common.router.is_connected(client).await {
                warn!(%client, bytes = size, "client disconnected: it does not read its subscribed messages");
                self.connections.disconnect(client);
                bytes -= size;
            }
        }
    }

    /// Removes the remains of sessions that are over, and forgets their clients.
    pub(super) async fn sweep(&self, router: &MessageRouter) {
        self.lock().known.clear();
        self.remove_ended(router).await;
    }

    async fn remove_ended(&self, router: &MessageRouter) {
        router.sweep_sessions().await;
        self.release_owners(router).await;
        let mut clients: HashSet<Arc<str>> = self.common.exactly_once.clients().into_iter().collect();
        clients.extend(self.common.wildcards.clients());
        for client in clients {
            if matches!(self.common.storage.get_session(&client).await, Ok(None)) {
                self.common.forget(&client);
            }
        }
    }

    /// Releases the names of clients that have no session: those that went away while they connected, too.
    async fn release_owners(&self, router: &MessageRouter) {
        let Ok(sessions) = self.common.storage.session_client_ids().await else { return };
        let sessions: HashSet<String> = sessions.into_iter().collect();
        for (client, identity) in self.common.owners.filter(|client, _| !sessions.contains(client)) {
            if !router.is_connected(&client).await && !self.connections.has_client(&client) {
                self.common.owners.release(&client, &identity);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, SessionsState> {
        // Nothing panics while holding the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a session expire: the sweep takes all of it away, under the lock that a client that comes back meanwhile
/// takes, too.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_ended_in_one_millisecond_are_ordered_by_their_start() {
        let of = |client: &str, token, since| Absent {
            client: client.to_owned(),
            token,
            since: Some(since),
            bytes: 0,
        };
        let mut absent = [of("d", 4, 7), of("c", 3, 7), of("b", 5, 6), of("a", 1, 8)];
        absent.sort_by_key(Absent::age);
        assert_eq!(absent.map(|session| session.client), ["b", "c", "d", "a"]);
    }
}

//! The open HTTP connections, and which are closed when there are too many.
//!
//! Each connection takes a file handle, and the broker and the store need handles too. So the number is limited
//! to `most`. From three quarters of that on, idle connections are closed, the longest idle first; clients that
//! keep one for their next request open another. Connections that serve a request or a live session stay; live
//! sessions are limited to seven eighths of `most`. A connection beyond `most` is answered 503, or, on the
//! monitoring routes, served, and closed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Context;
use std::time::{Duration, Instant};

use actix_http::error::DispatchError;
use actix_web::HttpRequest;
use futures_util::task::AtomicWaker;
use tokio::time::MissedTickBehavior;
use tracing::{debug, warn};

use crate::error::ApiError;

/// From three quarters of `most` on, connections idle for this long are closed.
const QUIET_FOR: Duration = Duration::from_secs(5);
/// From `most` on, connections idle for this long are closed. On newer ones a request may be on its way.
const QUIET_FOR_WHEN_FULL: Duration = Duration::from_secs(1);
/// How often idle connections are looked for, besides on each new connection.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The connections of a server.
#[derive(Debug)]
pub struct HttpConnections {
    most: usize,
    started: Instant,
    open: Mutex<Open>,
    /// Live sessions: WebSockets and event streams.
    sessions: AtomicUsize,
    counts: Counts,
}

/// Totals since the start.
#[derive(Debug, Default)]
struct Counts {
    closed_quiet: AtomicU64,
    refused: AtomicU64,
    malformed: AtomicU64,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, Arc<HttpConnection>>,
    /// How many of them were told to close and have not closed yet.
    leaving: usize,
}

/// The shared state of one connection. Its socket belongs to its task alone.
#[derive(Debug, Default)]
pub struct HttpConnection {
    cut: AtomicBool,
    /// It was closed to make room; guarded by the lock of [`Open`].
    leaving: AtomicBool,
    /// It came when `most` connections were open.
    beyond: AtomicBool,
    /// Requests and live sessions in progress.
    working: AtomicU32,
    /// When it became idle, in ms since the server's start.
    quiet_since: AtomicU64,
    task: AtomicWaker,
}

/// A connection's place among them, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<HttpConnections>,
    key: u64,
    pub(super) connection: Arc<HttpConnection>,
}

/// A request in progress, until this is dropped.
pub(super) struct Working<'a>(&'a HttpConnection);

/// A live session on a connection, until it is dropped.
#[derive(Debug)]
pub struct LiveSession {
    connections: Arc<HttpConnections>,
    connection: Option<Arc<HttpConnection>>,
}

/// The connection that a request came by; none in tests that have no server.
pub(super) fn of(request: &HttpRequest) -> Option<Arc<HttpConnection>> {
    request.conn_data::<Arc<HttpConnection>>().cloned()
}

impl HttpConnections {
    /// None yet, and `most` at once.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most: most.max(1),
            started: Instant::now(),
            open: Mutex::default(),
            sessions: AtomicUsize::new(0),
            counts: Counts::default(),
        })
    }

    /// How many there are at most.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().connections.len()
    }

    /// How many idle connections were closed to make room.
    #[must_use]
    pub fn closed_quiet(&self) -> u64 {
        self.counts.closed_quiet.load(Ordering::Relaxed)
    }

    /// How many requests and live sessions were refused because of the limit.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.counts.refused.load(Ordering::Relaxed)
    }

    /// How many connections ended with a malformed request.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.counts.malformed.load(Ordering::Relaxed)
    }

    /// Begins a live session on the connection that `request` came by.
    ///
    /// # Errors
    /// The limit of live sessions is reached.
    pub fn hold(self: &Arc<Self>, request: &HttpRequest) -> Result<LiveSession, ApiError> {
        let most = self.most - self.most / 8;
        let one_more = |held: usize| (held < most).then_some(held + 1);
        if self.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            return Err(self.refuse());
        }
        let connection = of(request);
        if let Some(connection) = &connection {
            connection.working.fetch_add(1, Ordering::Relaxed);
        }
        Ok(LiveSession { connections: Arc::clone(self), connection })
    }

    /// Counts a refusal, and gives its error.
    pub(super) fn refuse(&self) -> ApiError {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        ApiError::TooManyConnections
    }

    /// Registers a new connection, and closes idle ones where it is crowded.
    pub(super) fn enter(self: &Arc<Self>) -> Place {
        let connection = Arc::new(HttpConnection::default());
        connection.quiet_since.store(self.now(), Ordering::Relaxed);
        let mut open = self.make_room();
        connection.beyond.store(open.staying() >= self.most, Ordering::Relaxed);
        let key = open.next;
        open.next += 1;
        open.connections.insert(key, Arc::clone(&connection));
        Place { connections: Arc::clone(self), key, connection }
    }

    /// Counts and logs why a connection ended.
    pub(super) fn ended(&self, error: &DispatchError) {
        match error {
            DispatchError::Parse(error) => {
                self.counts.malformed.fetch_add(1, Ordering::Relaxed);
                debug!(%error, "malformed request");
            }
            DispatchError::Service(_) | DispatchError::Body(_) | DispatchError::InternalError => {
                warn!(%error, "connection ended");
            }
            error => debug!(%error, "connection ended"), // the client left, or took too long
        }
    }

    /// Closes idle connections while it is crowded, until the server has gone.
    pub(super) async fn watch(connections: Weak<Self>) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let Some(connections) = connections.upgrade() else { return };
            drop(connections.make_room());
        }
    }

    fn make_room(&self) -> MutexGuard<'_, Open> {
        let now = self.now();
        let mut open = self.lock();
        let gone = open.make_room(self.most, now);
        self.counts.closed_quiet.fetch_add(gone, Ordering::Relaxed);
        open
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// How many are open and were not told to close.
    fn staying(&self) -> usize {
        self.connections.len() - self.leaving
    }

    /// Closes idle connections where it is crowded, and says how many.
    fn make_room(&mut self, most: usize, now: u64) -> u64 {
        let there = self.staying();
        if there < most - most / 4 {
            return 0;
        }
        let quiet_for = if there < most { QUIET_FOR } else { QUIET_FOR_WHEN_FULL };
        let quiet_for = u64::try_from(quiet_for.as_millis()).unwrap_or(u64::MAX);
        let mut quiet: Vec<_> = self
            .connections
            .values()
            .filter(|one| !one.leaving.load(Ordering::Relaxed))
            .filter_map(|one| Some((one.quiet()?, one)))
            .filter(|(since, _)| now.saturating_sub(*since) >= quiet_for)
            .collect();
        // Several at a time, so that not every new connection has to look through all.
        let gone = quiet.len().min((most / 16).max(1));
        quiet.sort_unstable_by_key(|(since, _)| *since);
        for (_, one) in &quiet[..gone] {
            one.leaving.store(true, Ordering::Relaxed);
            one.cut();
        }
        self.leaving += gone;
        gone as u64
    }
}

impl HttpConnection {
    /// Closes the connection, wherever its task is.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.task.wake();
    }

    /// Was it closed? Its task, which asks, is woken when it is.
    pub(super) fn is_cut(&self, context: &Context<'_>) -> bool {
        self.task.register(context.waker());
        self.cut.load(Ordering::Acquire)
    }

    /// It came when `most` connections were open.
    pub(super) fn is_beyond(&self) -> bool {
        self.beyond.load(Ordering::Relaxed)
    }

    /// Begins a request.
    pub(super) fn work(&self) -> Working<'_> {
        self.working.fetch_add(1, Ordering::Relaxed);
        Working(self)
    }

    /// Since when it is idle; none while a request is in progress.
    fn quiet(&self) -> Option<u64> {
        (self.working.load(Ordering::Relaxed) == 0).then(|| self.quiet_since.load(Ordering::Relaxed))
    }
}

impl Place {
    /// Bytes were sent to the client: it is idle from now on at the earliest.
    pub(super) fn spoke(&self) {
        self.connection.quiet_since.store(self.connections.now(), Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.connections.remove(&self.key);
        if self.connection.leaving.load(Ordering::Relaxed) {
            open.leaving -= 1;
        }
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::Relaxed);
    }
}

impl LiveSession {
    /// Closes the connection under whoever serves it.
    pub fn cut(&self) {
        if let Some(connection) = &self.connection {
            connection.cut();
        }
    }
}

impl Drop for LiveSession {
    fn drop(&mut self) {
        self.connections.sessions.fetch_sub(1, Ordering::Relaxed);
        if let Some(connection) = &self.connection {
            connection.working.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(places: &[Place]) -> Vec<usize> {
        let is_cut = |place: &Place| place.connection.cut.load(Ordering::Relaxed);
        (0..places.len()).filter(|&place| is_cut(&places[place])).collect()
    }

    fn beyond(places: &[Place]) -> usize {
        places.iter().filter(|place| place.connection.is_beyond()).count()
    }

    /// `count` connections of which each has been quiet for as long as it is there, 1 s longer than the next.
    fn entered(connections: &Arc<HttpConnections>, count: usize) -> Vec<Place> {
        let places: Vec<_> = (0..count).map(|_| connections.enter()).collect();
        for (place, since) in places.iter().zip(0..) {
            place.connection.quiet_since.store(since * 1_000, Ordering::Relaxed);
        }
        places
    }

    fn make_room(connections: &HttpConnections, now: u64) -> u64 {
        connections.lock().make_room(connections.most, now)
    }

    #[test]
    fn while_there_is_room_nobody_has_to_go() {
        let connections = HttpConnections::new(16);
        let places = entered(&connections, 11);
        assert_eq!(make_room(&connections, 99_999), 0);
        assert_eq!((cut(&places), beyond(&places)), (vec![], 0));
        drop(places);
        assert_eq!(connections.count(), 0);
    }

    #[test]
    fn when_crowded_those_go_that_were_quiet_for_long() {
        let connections = HttpConnections::new(16);
        let mut places = entered(&connections, 13);
        assert_eq!(make_room(&connections, 4_999), 0);
        assert_eq!(make_room(&connections, 5_999), 1);
        assert_eq!(cut(&places), [0]);
        assert_eq!(connections.count(), 13, "it is there until it has gone");
        assert_eq!(make_room(&connections, 60_000), 1);
        assert_eq!(make_room(&connections, 60_000), 0, "two are on their way out: it is not crowded then");
        assert_eq!(cut(&places), [0, 1]);
        places.drain(..2);
        assert_eq!((connections.count(), connections.lock().leaving), (11, 0));
    }

    #[test]
    fn when_full_the_longest_quiet_go_and_who_comes_has_room() {
        let connections = HttpConnections::new(32);
        let mut places = entered(&connections, 32);
        assert_eq!(make_room(&connections, 1_500), 1, "on the others a request may be on its way");
        assert_eq!(cut(&places), [0]);
        places.push(connections.enter());
        assert_eq!(beyond(&places), 0);
        assert_eq!(make_room(&connections, 60_000), 2, "several at a time");
        assert_eq!(cut(&places), [0, 1, 32], "by how long they were quiet");
    }

    #[test]
    fn connections_at_work_stay_and_who_comes_beyond_them_is_told() {
        let connections = HttpConnections::new(4);
        let mut places = entered(&connections, 4);
        let at_work: Vec<_> = places.iter().map(|place| Arc::clone(&place.connection)).collect();
        let working: Vec<_> = at_work.iter().map(|connection| connection.work()).collect();
        assert_eq!(make_room(&connections, 60_000), 0);
        places.push(connections.enter());
        assert_eq!(beyond(&places), 1);
        places.pop();
        drop(working);
        assert_eq!(make_room(&connections, 60_000), 1, "they wait for their clients again");
        places.push(connections.enter());
        assert_eq!(beyond(&places), 0);
    }

    #[test]
    fn sessions_leave_room_for_requests() {
        let connections = HttpConnections::new(16);
        let request = actix_web::test::TestRequest::default().to_http_request();
        let sessions: Vec<_> = (0..14).map(|_| connections.hold(&request).unwrap()).collect();
        assert_eq!(connections.hold(&request).unwrap_err().code(), "too_many_connections");
        assert_eq!(connections.refused(), 1);
        drop(sessions);
        assert!(connections.hold(&request).is_ok());
    }
}

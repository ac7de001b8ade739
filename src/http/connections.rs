//! The open HTTP connections, and which are closed when there are too many.
//!
//! Each connection takes a file handle, and the broker and the store need handles too. So the number is limited
//! to `most`. From three quarters of that on, idle connections are closed, the longest idle first; clients that
//! keep one for their next request open another. Connections that serve a request or a live session stay; live
//! sessions are limited to seven eighths of `most`. A connection beyond `most` is answered 503, or, on the
//! monitoring routes, served, and closed.
//!
//! A tenth of `most` is kept for callers who have a credential: on a connection that comes when the others are taken, requests
//! of strangers are answered 503, to sign in among them.
//!
//! One address has half of `most` at most, so that no client shuts out all others by connections that are at work. Loopback
//! has no such limit: a reverse proxy there stands for everybody.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Context;
use std::time::{Duration, Instant};

use actix_http::error::DispatchError;
use actix_web::HttpRequest;
use futures_util::task::AtomicWaker;
use tokio::time::MissedTickBehavior;
use tracing::{debug, warn};

use crate::http::problem::ApiError;

/// From three quarters of `most` on, connections idle for this long are closed.
const QUIET_FOR: Duration = Duration::from_secs(5);
/// From `most` on, connections idle for this long are closed. On newer ones a request may be on its way.
const QUIET_FOR_WHEN_FULL: Duration = Duration::from_secs(1);
/// A response of which a client takes no bytes for this long does not keep its connection from being idle, in ms.
const STALLED_AFTER_MS: u64 = 30_000;
/// One place in this many is kept for callers with a credential.
const RESERVE: usize = 10;
/// Connections of one address beyond its share that are still accepted, to be answered 503.
const ANSWERED_BEYOND_SHARE: usize = 16;
/// The interval of looks for idle connections, besides one on each new connection.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The connections of a server.
#[derive(Debug)]
pub struct HttpConnections {
    most: usize,
    started: Instant,
    open: Mutex<OpenConnections>,
    /// Live sessions: WebSockets and event streams.
    sessions: AtomicUsize,
    counts: ConnectionCounts,
}

/// Totals since the start.
#[derive(Debug, Default)]
struct ConnectionCounts {
    closed_quiet: AtomicU64,
    refused: AtomicU64,
    malformed: AtomicU64,
}

#[derive(Debug, Default)]
struct OpenConnections {
    next: u64,
    connections: HashMap<u64, Arc<HttpConnection>>,
    /// The number of connections that were told to close and have not closed yet.
    leaving: usize,
    /// The number of connections by address, those included that were told to close.
    of_address: HashMap<IpAddr, usize>,
}

/// The shared state of one connection. Its socket belongs to its task alone.
#[derive(Debug)]
pub struct HttpConnection {
    /// The client's address; none of loopback.
    address: Option<IpAddr>,
    /// The server's start.
    started: Instant,
    cut: AtomicBool,
    /// It was closed to make room; guarded by the lock of [`OpenConnections`].
    leaving: AtomicBool,
    /// It came when `most` connections were open, or half as many of its address.
    beyond: AtomicBool,
    /// It came when only places were left that are kept for callers with a credential.
    reserved: AtomicBool,
    /// Requests and live sessions in progress.
    working: AtomicU32,
    /// Responses on their way.
    sending: AtomicU32,
    /// The time of its last sent bytes or ended request, in ms since the server's start.
    quiet_since: AtomicU64,
    task: AtomicWaker,
}

/// A connection's place among them, until it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPlace {
    connections: Arc<HttpConnections>,
    key: u64,
    pub(super) connection: Arc<HttpConnection>,
}

/// A request in progress, until this is dropped.
pub(super) struct RequestInProgress<'a>(&'a HttpConnection);

/// A response on its way, until this is dropped.
pub(super) struct ResponseInProgress(Arc<HttpConnection>);

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
            counts: ConnectionCounts::default(),
        })
    }

    /// The limit of connections.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }

    /// The number of connections.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().connections.len()
    }

    /// The number of idle connections that were closed to make room.
    #[must_use]
    pub fn closed_quiet(&self) -> u64 {
        self.counts.closed_quiet.load(Ordering::Relaxed)
    }

    /// The number of requests and live sessions that were refused because of the limit.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.counts.refused.load(Ordering::Relaxed)
    }

    /// The number of connections that ended with a malformed request.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.counts.malformed.load(Ordering::Relaxed)
    }

    /// The limit of live sessions.
    #[must_use]
    pub fn most_sessions(&self) -> usize {
        self.most - self.most / 8
    }

    /// Begins a live session on the connection that `request` came by.
    ///
    /// # Errors
    /// The limit of live sessions is reached.
    pub fn hold(self: &Arc<Self>, request: &HttpRequest) -> Result<LiveSession, ApiError> {
        let most = self.most_sessions();
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
    pub(crate) fn refuse(&self) -> ApiError {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        ApiError::TooManyConnections
    }

    /// Registers a new connection from `address`, and closes idle ones where it is crowded.
    pub(super) fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> ConnectionPlace {
        let address = address.and_then(counted_as);
        let mut open = self.make_room();
        let has_share = address.is_some_and(|address| self.has_share(&mut open, address));
        let connection = Arc::new(HttpConnection::new(address, self.started));
        let staying = open.staying();
        connection.beyond.store(has_share || staying >= self.most, Ordering::Relaxed);
        connection.reserved.store(staying >= self.most - self.most / RESERVE, Ordering::Relaxed);
        let key = open.next;
        open.next += 1;
        open.connections.insert(key, Arc::clone(&connection));
        if let Some(address) = address {
            let there = open.of_address.entry(address).or_default();
            *there += 1;
            if *there > self.share() + ANSWERED_BEYOND_SHARE {
                self.counts.refused.fetch_add(1, Ordering::Relaxed);
                connection.cut();
            }
        }
        ConnectionPlace { connections: Arc::clone(self), key, connection }
    }

    /// The limit of connections of one address.
    fn share(&self) -> usize {
        self.most.div_ceil(2)
    }

    /// Has the address its share? Idle connections of its own are closed then.
    fn has_share(&self, open: &mut OpenConnections, address: IpAddr) -> bool {
        let share = self.share();
        if open.of_address.get(&address).is_none_or(|there| *there < share) {
            return false;
        }
        let is_its = |one: &HttpConnection| one.address == Some(address);
        let staying = |open: &OpenConnections| {
            open.connections
                .values()
                .filter(|one| is_its(one) && !one.leaving.load(Ordering::Relaxed))
                .count()
        };
        if staying(open) < share {
            return false;
        }
        let gone = open.close_quiet(is_its, QUIET_FOR_WHEN_FULL, (share / 16).max(1), self.now());
        self.counts.closed_quiet.fetch_add(gone, Ordering::Relaxed);
        staying(open) >= share
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

    fn make_room(&self) -> MutexGuard<'_, OpenConnections> {
        let now = self.now();
        let mut open = self.lock();
        let gone = open.make_room(self.most, now);
        self.counts.closed_quiet.fetch_add(gone, Ordering::Relaxed);
        open
    }

    fn now(&self) -> u64 {
        since(self.started)
    }

    fn lock(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenConnections {
    /// The number of open connections that were not told to close.
    fn staying(&self) -> usize {
        self.connections.len() - self.leaving
    }

    /// Closes idle connections where it is crowded, and gives their number.
    fn make_room(&mut self, most: usize, now: u64) -> u64 {
        let there = self.staying();
        if there < most - most / 4 {
            return 0;
        }
        let quiet_for = if there < most { QUIET_FOR } else { QUIET_FOR_WHEN_FULL };
        // Several at a time, so that not every new connection has to look through all.
        self.close_quiet(|_| true, quiet_for, (most / 16).max(1), now)
    }

    /// Closes up to `count` of those that were idle for the longest, and at least for `quiet_for`; how many.
    fn close_quiet(
        &mut self,
        fits: impl Fn(&HttpConnection) -> bool,
        quiet_for: Duration,
        count: usize,
        now: u64,
    ) -> u64 {
        let quiet_for = u64::try_from(quiet_for.as_millis()).unwrap_or(u64::MAX);
        let mut quiet: Vec<_> = self
            .connections
            .values()
            .filter(|one| !one.leaving.load(Ordering::Relaxed) && fits(one))
            .filter_map(|one| Some((one.quiet()?, one)))
            .filter(|(since, _)| now.saturating_sub(*since) >= quiet_for)
            .collect();
        let gone = quiet.len().min(count);
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
    fn new(address: Option<IpAddr>, started: Instant) -> Self {
        let connection = Self {
            address,
            started,
            cut: AtomicBool::default(),
            leaving: AtomicBool::default(),
            beyond: AtomicBool::default(),
            reserved: AtomicBool::default(),
            working: AtomicU32::default(),
            sending: AtomicU32::default(),
            quiet_since: AtomicU64::default(),
            task: AtomicWaker::new(),
        };
        connection.spoke();
        connection
    }

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

    /// Did it come when `most` connections were open, or half as many of its address?
    pub(super) fn is_beyond(&self) -> bool {
        self.beyond.load(Ordering::Relaxed)
    }

    /// Did it come when only places were left that are kept for callers with a credential?
    pub(super) fn is_reserved(&self) -> bool {
        self.reserved.load(Ordering::Relaxed)
    }

    /// Begins a request.
    pub(super) fn work(&self) -> RequestInProgress<'_> {
        self.working.fetch_add(1, Ordering::Relaxed);
        RequestInProgress(self)
    }

    /// Begins to send a response.
    pub(super) fn send(self: &Arc<Self>) -> ResponseInProgress {
        self.sending.fetch_add(1, Ordering::Relaxed);
        ResponseInProgress(Arc::clone(self))
    }

    /// Something happened on it, such as bytes sent to the client: it is idle from now on at the earliest.
    pub(super) fn spoke(&self) {
        self.quiet_since.store(since(self.started), Ordering::Relaxed);
    }

    /// The time since which it is idle; none while a request is in progress.
    fn quiet(&self) -> Option<u64> {
        if self.working.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let patience = if self.sending.load(Ordering::Relaxed) > 0 { STALLED_AFTER_MS } else { 0 };
        Some(self.quiet_since.load(Ordering::Relaxed).saturating_add(patience))
    }
}

/// In ms.
fn since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The address that a client's connections are counted under: its own, or that of its IPv6 network, as one host has it
/// whole. None of loopback.
fn counted_as(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V6(address) if !address.is_unicast_link_local() => {
            Some(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into())
        }
        address => Some(address),
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.connections.remove(&self.key);
        if let Some(address) = self.connection.address
            && let Some(there) = open.of_address.get_mut(&address)
        {
            *there -= 1;
            if *there == 0 {
                open.of_address.remove(&address);
            }
        }
        if self.connection.leaving.load(Ordering::Relaxed) {
            open.leaving -= 1;
        }
    }
}

impl Drop for RequestInProgress<'_> {
    fn drop(&mut self) {
        self.0.spoke();
        self.0.working.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for ResponseInProgress {
    fn drop(&mut self) {
        self.0.sending.fetch_sub(1, Ordering::Relaxed);
    }
}

impl LiveSession {
    /// Closes the connection under the task that serves it.
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
mod tests;

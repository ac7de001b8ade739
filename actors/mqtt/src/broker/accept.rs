//! Accepts connections, gives each its gate, and has the broker serve it.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mqtt5::broker::auth::AuthProvider;
use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::config::BrokerConfig;
use mqtt5::broker::resource_monitor::ResourceMonitor;
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::DynamicStorage;
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::transport::BrokerTransport;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, broadcast, oneshot, watch};
use tokio::task::AbortHandle;
use tracing::{debug, warn};
use twinhub_tls::{PeerCertificate, ServerTls};

use super::connection::{BrokerShared, ClientConnection};
use super::gate::Gate;
use super::hooks::CONNECTION;
use super::stream::GatedStream;
use crate::ClientStream;

/// One place in this many is reserved for devices that the hub knows.
const RESERVE: usize = 10;
/// A socket whose CONNECT has not come stays this part of the time that it has, however many others wait.
const STAY: u32 = 10;

/// The wait after the system refused to give a connection, because there are no file handles left.
const AFTER_REFUSAL: Duration = Duration::from_millis(100);

/// The settings and shared state with which the broker serves a connection.
pub(super) struct Served {
    pub(super) config: Arc<BrokerConfig>,
    pub(super) router: Arc<MessageRouter>,
    pub(super) auth: Arc<dyn AuthProvider>,
    pub(super) storage: Arc<DynamicStorage>,
    pub(super) stats: Arc<BrokerStats>,
    pub(super) resources: Arc<ResourceMonitor>,
    pub(super) common: Arc<BrokerShared>,
    /// A socket whose CONNECT has not come by then is closed.
    pub(super) connect_within: Duration,
}

/// The number of sockets that may be open beside `most_clients` clients: their CONNECT has not come, or is being
/// answered.
#[must_use]
pub fn most_unadmitted(most_clients: usize) -> usize {
    (most_clients / 10).clamp(16, 1_024)
}

/// The connections that there are, and the clients among them.
pub(super) struct Connections {
    /// Clients that are served at once.
    most: usize,
    /// Unadmitted connections end after this time where others wait.
    stay: Duration,
    next: AtomicU64,
    state: Mutex<ConnectionTable>,
    /// True as soon as nothing more is taken in.
    stopped: watch::Sender<bool>,
    /// Fires once: close the client's connection.
    goodbye: broadcast::Sender<()>,
    /// Notified as each connection goes.
    gone: Notify,
    /// Notified as an unadmitted connection ends, or becomes a client.
    room: Notify,
}

#[derive(Default)]
struct ConnectionTable {
    /// Of all connections, by their keys: a later one has a higher key.
    gates: HashMap<u64, Arc<Gate>>,
    /// The tasks of these, by which they end however little they do.
    tasks: HashMap<u64, AbortHandle>,
    /// Connections that are no clients yet.
    unadmitted: BTreeMap<u64, UnadmittedConnection>,
    /// The connections of each client: two for a moment, where one takes its session over.
    admitted: HashMap<String, Vec<u64>>,
    /// Connections of clients.
    clients: usize,
    refused: u64,
}

struct UnadmittedConnection {
    since: Instant,
    /// Makes the connection leave.
    leave: oneshot::Sender<()>,
}

/// A connection's place among them, until it is dropped.
struct ConnectionSlot {
    connections: Arc<Connections>,
    key: u64,
}

/// A client's place, until it is dropped.
pub(super) struct ClientSlot {
    connections: Arc<Connections>,
    client: String,
    key: u64,
}

/// Accepts until intake is stopped; over `tls`, where it is given.
pub(super) async fn accept(
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
    served: Arc<Served>,
    connections: Arc<Connections>,
) {
    let mut stopped = connections.stopped.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        match accepted {
            Ok((socket, peer)) => tokio::select! {
                () = connections.room() => serve_socket(socket, peer, tls.clone(), &served, &connections),
                _ = stopped.wait_for(|stopped| *stopped) => return,
            },
            Err(error) => {
                warn!(%error, "a connection was not accepted");
                tokio::time::sleep(AFTER_REFUSAL).await;
            }
        }
    }
}

fn serve_socket(
    socket: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerTls>>,
    served: &Arc<Served>,
    connections: &Arc<Connections>,
) {
    if let Err(error) = socket.set_nodelay(true) {
        debug!(%peer, %error, "no TCP_NODELAY"); // the client has gone again
    }
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    match tls {
        None => serve(async move { Ok((socket, None)) }, peer, served, connections),
        Some(tls) => {
            // On the connection's own time, as a socket whose CONNECT has not come.
            let shake_hands = async move {
                let stream = tls.mqtt().accept(socket).await?;
                let certificate = tls.peer(stream.get_ref().1);
                io::Result::Ok((stream, certificate))
            };
            serve(shake_hands, peer, served, connections)
        }
    };
}

/// Serves a client that came by another way than a listener of the broker. False where there is no room for another.
pub(super) fn serve_stream(
    stream: Box<dyn ClientStream>,
    peer: SocketAddr,
    certificate: Option<Arc<PeerCertificate>>,
    served: &Arc<Served>,
    connections: &Arc<Connections>,
) -> bool {
    connections.make_room(Instant::now()).is_ok()
        && serve(async move { Ok((stream, certificate)) }, peer, served, connections)
}

/// Serves the stream that `opened` gives, of a client that has shown the certificate beside it. False where no connection is accepted any more.
fn serve<S: ClientStream>(
    opened: impl Future<Output = io::Result<(S, Option<Arc<PeerCertificate>>)>> + Send + 'static,
    peer: SocketAddr,
    served: &Arc<Served>,
    connections: &Arc<Connections>,
) -> bool {
    let key = connections.next.fetch_add(1, Ordering::Relaxed);
    let connection = Arc::new(ClientConnection::new(Arc::clone(&served.common), key));
    let Some((place, leave)) = connections.enter(key, &connection.gate) else { return false };
    let inspector = Arc::clone(&connection);
    let (goodbye, at_work) = (connections.goodbye.subscribe(), Arc::clone(served));
    // Each of the two futures lies on the heap by itself: a future that is moved into another takes its room there once
    // for where it came from and once for where it is, and the broker's is of many kilobytes for each connection.
    let handled = Box::pin(async move {
        let (stream, certificate) = opened.await?;
        if let Some(certificate) = certificate {
            inspector.has_shown(certificate);
        }
        let run = {
            let transport = BrokerTransport::WebSocket(Box::new(GatedStream::new(stream, peer, inspector)));
            let handler = ClientHandler::new(
                transport,
                peer,
                Arc::clone(&at_work.config),
                Arc::clone(&at_work.router),
                Arc::clone(&at_work.auth),
                Some(Arc::clone(&at_work.storage)),
                Arc::clone(&at_work.stats),
                Arc::clone(&at_work.resources),
                goodbye,
            );
            Box::pin(handler.run())
        };
        drop(at_work);
        run.await
    });
    let connect_within = served.connect_within;
    let watched = Arc::clone(&connection);
    let task = tokio::spawn(CONNECTION.scope(connection, async move {
        let _place = place;
        tokio::select! {
            ended = handled => if let Err(error) = ended {
                debug!(%peer, %error, "connection ended");
            },
            () = stays_unadmitted(&watched, connect_within) => debug!(%peer, "no CONNECT came in time"),
            Ok(()) = leave => debug!(%peer, "no CONNECT came, and others wait"),
        }
    }));
    connections.runs_in(key, task.abort_handle());
    true
}

/// Ends when no CONNECT has come by then.
async fn stays_unadmitted(connection: &ClientConnection, connect_within: Duration) {
    tokio::time::sleep(connect_within).await;
    if connection.is_introduced() {
        std::future::pending::<()>().await;
    }
}

impl Connections {
    /// Places for `most` clients. A socket has `connect_within` to become one.
    pub(super) fn new(most: usize, connect_within: Duration) -> Self {
        Self {
            most,
            stay: connect_within / STAY,
            next: AtomicU64::new(0),
            state: Mutex::default(),
            stopped: watch::Sender::new(false),
            goodbye: broadcast::Sender::new(1),
            gone: Notify::new(),
            room: Notify::new(),
        }
    }

    /// The number of open sockets.
    pub(super) fn count(&self) -> usize {
        self.lock().gates.len()
    }

    /// The number of clients served, of clients that can be served, and of clients refused since the start.
    pub(super) fn figures(&self) -> (usize, usize, u64) {
        let state = self.lock();
        (state.clients, self.most, state.refused)
    }

    /// Has `client` a connection?
    pub(super) fn has_client(&self, client: &str) -> bool {
        self.lock().admitted.contains_key(client)
    }

    /// Has `client` a place, or is there one that anybody may have?
    pub(super) fn has_place(&self, client: &str) -> bool {
        let state = self.lock();
        state.admitted.contains_key(client) || state.clients < self.most - self.most / RESERVE
    }

    /// Gives `client` a place on the connection `key`: of those kept for devices too, where it is `known`. None where
    /// there is none, or where the connection is about to leave.
    pub(super) fn admit_client(self: &Arc<Self>, key: u64, client: &str, known: bool) -> Option<ClientSlot> {
        let mut state = self.lock();
        let places = if known { self.most } else { self.most - self.most / RESERVE };
        let has_place = state.clients < places || state.admitted.contains_key(client);
        if !has_place || state.unadmitted.remove(&key).is_none() {
            state.refused += 1;
            return None;
        }
        state.clients += 1;
        state.admitted.entry(client.to_owned()).or_default().push(key);
        drop(state);
        self.room.notify_one();
        Some(ClientSlot { connections: Arc::clone(self), client: client.to_owned(), key })
    }

    /// Tells the connections of `client`, but for the connection `but`, to end because the client may not be there.
    pub(super) fn tell_to_leave(&self, client: &str, but: Option<u64>, reason: u8) {
        let state = self.lock();
        for key in state.admitted.get(client).into_iter().flatten().filter(|key| Some(**key) != but) {
            if let Some(gate) = state.gates.get(key) {
                gate.part(reason);
            }
        }
    }

    /// Waits until `client` has no connection but for the connection `but`.
    pub(super) async fn until_left(&self, client: &str, but: Option<u64>) {
        loop {
            let mut gone = std::pin::pin!(self.gone.notified());
            gone.as_mut().enable(); // before the look, so that it misses nothing
            let has_left = {
                let state = self.lock();
                state.admitted.get(client).into_iter().flatten().all(|key| Some(*key) == but)
            };
            if has_left {
                return;
            }
            gone.await;
        }
    }

    /// Ends the connections of `client`.
    pub(super) fn disconnect(&self, client: &str) {
        let state = self.lock();
        for key in state.admitted.get(client).into_iter().flatten() {
            if let Some(gate) = state.gates.get(key) {
                gate.break_off();
            }
        }
    }

    /// Accepts none and reads from none any more.
    pub(super) fn stop(&self) {
        self.stopped.send_replace(true);
        for gate in self.lock().gates.values() {
            gate.stop();
        }
    }

    /// Closes all connections and waits until they have gone.
    pub(super) async fn close(&self) {
        let _ = self.goodbye.send(()); // fails where there is nobody to tell
        loop {
            let gone = self.gone.notified();
            if self.count() == 0 {
                return;
            }
            gone.await;
        }
    }

    /// Ends those that are still there.
    pub(super) fn abort(&self) {
        for task in self.lock().tasks.values() {
            task.abort();
        }
    }

    /// The connection `key` runs in `task`, unless it has ended already.
    fn runs_in(&self, key: u64, task: AbortHandle) {
        let mut state = self.lock();
        if state.gates.contains_key(&key) {
            state.tasks.insert(key, task);
        }
    }

    /// Waits until one more connection may be accepted.
    async fn room(&self) {
        while let Err(full_until) = self.make_room(Instant::now()) {
            tokio::select! {
                () = self.room.notified() => {}
                () = tokio::time::sleep_until(full_until.into()) => {}
            }
        }
    }

    /// Makes room for one more unadmitted connection: where there are many, the first of them leaves if it has been
    /// there for a while. If not, gives the time at which it will have been.
    fn make_room(&self, now: Instant) -> Result<(), Instant> {
        let mut state = self.lock();
        if state.unadmitted.len() < most_unadmitted(self.most) {
            return Ok(());
        }
        let Some(first) = state.unadmitted.first_entry() else { return Ok(()) };
        let leaves_at = first.get().since + self.stay;
        if now < leaves_at {
            return Err(leaves_at);
        }
        let _ = first.remove().leave.send(()); // it may be gone already
        Ok(())
    }

    /// Registers a new connection. The receiver resolves when it is to end, and fails when it has become a client.
    /// None where no connection is accepted any more.
    fn enter(
        self: &Arc<Self>,
        key: u64,
        gate: &Arc<Gate>,
    ) -> Option<(ConnectionSlot, oneshot::Receiver<()>)> {
        let mut state = self.lock();
        if *self.stopped.borrow() {
            return None;
        }
        let (leave, ended) = oneshot::channel();
        state.gates.insert(key, Arc::clone(gate));
        state.unadmitted.insert(key, UnadmittedConnection { since: Instant::now(), leave });
        Some((ConnectionSlot { connections: Arc::clone(self), key }, ended))
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionTable> {
        // Nothing panics while holding the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        let mut state = self.connections.lock();
        state.clients -= 1;
        if let Some(keys) = state.admitted.get_mut(&self.client) {
            keys.retain(|key| *key != self.key);
            if keys.is_empty() {
                state.admitted.remove(&self.client);
            }
        }
        drop(state);
        self.connections.gone.notify_waiters();
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut state = self.connections.lock();
        state.gates.remove(&self.key);
        state.tasks.remove(&self.key);
        let was_unadmitted = state.unadmitted.remove(&self.key).is_some();
        drop(state);
        if was_unadmitted {
            self.connections.room.notify_one();
        }
        self.connections.gone.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_unadmitted_connection_leaves_for_the_next() {
        let connections = Arc::new(Connections::new(0, Duration::from_secs(10)));
        let gate = Arc::new(Gate::default());
        let most = most_unadmitted(0) as u64;
        let mut inside: Vec<_> = (0..most).map(|key| connections.enter(key, &gate).unwrap()).collect();
        let now = Instant::now();
        assert!(connections.make_room(now).is_err(), "all have just come");
        let later = now + Duration::from_secs(1);
        assert_eq!(connections.make_room(later), Ok(()));
        assert_eq!(inside[0].1.try_recv(), Ok(()));
        assert!(connections.admit_client(0, "first", true).is_none(), "it is about to leave");
        assert!(inside[1].1.try_recv().is_err());
        let _next = connections.enter(most, &gate).unwrap();
        drop(inside.remove(1));
        assert_eq!(connections.make_room(now), Ok(()), "one has gone");
    }

    #[test]
    fn a_client_is_admitted() {
        let connections = Arc::new(Connections::new(10, Duration::from_secs(10)));
        let gate = Arc::new(Gate::default());
        let most = most_unadmitted(10) as u64;
        let mut inside: Vec<_> = (0..most).map(|key| connections.enter(key, &gate).unwrap()).collect();
        let slot = connections.admit_client(0, "client", false).unwrap();
        assert_eq!(connections.make_room(Instant::now()), Ok(()));
        assert_eq!(inside[0].1.try_recv(), Err(oneshot::error::TryRecvError::Closed), "it stays");
        assert_eq!((connections.count(), connections.figures()), (16, (1, 10, 0)));
        drop(slot);
        assert_eq!(connections.figures(), (0, 10, 0));
    }
}

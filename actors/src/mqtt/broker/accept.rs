//! Accepts connections, gives each its gate, and has the broker serve it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mqtt5::broker::auth::AuthProvider;
use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::config::BrokerConfig;
use mqtt5::broker::resource_monitor::ResourceMonitor;
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::DynamicStorage;
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::transport::BrokerTransport;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, broadcast, watch};
use tracing::{debug, warn};

use super::connection::{Common, Connection};
use super::gate::Gate;
use super::hooks::CONNECTION;
use super::stream::GatedStream;

/// Sockets beyond the clients that are served: those whose CONNECT has not come, or is being refused.
const MOST_STRANGERS: usize = 1_024;
/// One in so many places is kept for devices that the hub knows.
const RESERVE: usize = 10;

/// The wait after the system refused to give a connection, because there are no file handles left.
const AFTER_REFUSAL: Duration = Duration::from_millis(100);

/// What the broker serves a connection with.
pub(super) struct Served {
    pub(super) config: Arc<BrokerConfig>,
    pub(super) router: Arc<MessageRouter>,
    pub(super) auth: Arc<dyn AuthProvider>,
    pub(super) storage: Arc<DynamicStorage>,
    pub(super) stats: Arc<BrokerStats>,
    pub(super) resources: Arc<ResourceMonitor>,
    pub(super) common: Arc<Common>,
    /// A socket whose CONNECT has not come by then is closed.
    pub(super) connect_within: Duration,
}

/// The connections that there are, and the clients among them.
pub(super) struct Connections {
    /// Clients that are served at once.
    most: usize,
    gates: Mutex<HashMap<u64, Arc<Gate>>>,
    next: AtomicU64,
    clients: Mutex<Clients>,
    /// True as soon as nothing more is taken in.
    stopped: watch::Sender<bool>,
    /// Told once: say goodbye to the client.
    goodbye: broadcast::Sender<()>,
    /// Told as each connection goes.
    gone: Notify,
}

#[derive(Default)]
struct Clients {
    /// How many connections each has: two for a moment, where one takes its session over.
    seated: HashMap<String, usize>,
    count: usize,
    refused: u64,
}

/// A connection's place among them, until it is dropped.
struct Place {
    connections: Arc<Connections>,
    key: u64,
}

/// A client's place, until it is dropped.
pub(super) struct Seat {
    connections: Arc<Connections>,
    client: String,
}

/// Accepts until intake is stopped.
pub(super) async fn accept(listener: TcpListener, served: Served, connections: Arc<Connections>) {
    let mut stopped = connections.stopped.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        match accepted {
            Ok((socket, peer)) => serve(socket, peer, &served, &connections),
            Err(error) => {
                warn!(%error, "a connection was not accepted");
                tokio::time::sleep(AFTER_REFUSAL).await;
            }
        }
    }
}

fn serve(socket: TcpStream, peer: SocketAddr, served: &Served, connections: &Arc<Connections>) {
    let connection = Arc::new(Connection::new(Arc::clone(&served.common)));
    let Some(place) = connections.enter(&connection.gate) else {
        connections.lock_clients().refused += 1; // no word for it: there are a thousand to be told already
        return;
    };
    if let Err(error) = socket.set_nodelay(true) {
        debug!(%peer, %error, "no TCP_NODELAY"); // the client has gone again
    }
    let inspector = Arc::clone(&connection);
    let transport = BrokerTransport::WebSocket(Box::new(GatedStream::new(socket, peer, inspector)));
    let handler = ClientHandler::new(
        transport,
        peer,
        Arc::clone(&served.config),
        Arc::clone(&served.router),
        Arc::clone(&served.auth),
        Some(Arc::clone(&served.storage)),
        Arc::clone(&served.stats),
        Arc::clone(&served.resources),
        connections.goodbye.subscribe(),
    );
    let connect_within = served.connect_within;
    let stranger = Arc::clone(&connection);
    tokio::spawn(CONNECTION.scope(connection, async move {
        let _place = place;
        tokio::select! {
            ended = handler.run() => if let Err(error) = ended {
                debug!(%peer, %error, "connection ended");
            },
            () = stays_a_stranger(&stranger, connect_within) => debug!(%peer, "no CONNECT came in time"),
        }
    }));
}

/// Ends when no CONNECT has come by then.
async fn stays_a_stranger(connection: &Connection, connect_within: Duration) {
    tokio::time::sleep(connect_within).await;
    if connection.is_introduced() {
        std::future::pending::<()>().await;
    }
}

impl Connections {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            gates: Mutex::default(),
            next: AtomicU64::new(0),
            clients: Mutex::default(),
            stopped: watch::Sender::new(false),
            goodbye: broadcast::Sender::new(1),
            gone: Notify::new(),
        }
    }

    /// How many sockets there are.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// How many clients are served, how many can be, and how many were refused since the start.
    pub(super) fn figures(&self) -> (usize, usize, u64) {
        let clients = self.lock_clients();
        (clients.count, self.most, clients.refused)
    }

    /// Has `client` a place, or is there one that anybody may have?
    pub(super) fn has_place(&self, client: &str) -> bool {
        let clients = self.lock_clients();
        clients.seated.contains_key(client) || clients.count < self.most - self.most / RESERVE
    }

    /// Gives `client` a place: of those kept for devices too, where it is `known`. None where there is none.
    pub(super) fn seat(self: &Arc<Self>, client: &str, known: bool) -> Option<Seat> {
        let mut clients = self.lock_clients();
        let places = if known { self.most } else { self.most - self.most / RESERVE };
        if clients.count >= places && !clients.seated.contains_key(client) {
            clients.refused += 1;
            return None;
        }
        clients.count += 1;
        *clients.seated.entry(client.to_owned()).or_default() += 1;
        Some(Seat { connections: Arc::clone(self), client: client.to_owned() })
    }

    /// Accepts none and reads from none any more.
    pub(super) fn stop(&self) {
        self.stopped.send_replace(true);
        for gate in self.lock().values() {
            gate.stop();
        }
    }

    /// Says goodbye to all and waits until they have gone.
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

    fn enter(self: &Arc<Self>, gate: &Arc<Gate>) -> Option<Place> {
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        let mut gates = self.lock();
        if gates.len() >= self.most + MOST_STRANGERS || *self.stopped.borrow() {
            return None;
        }
        gates.insert(key, Arc::clone(gate));
        Some(Place { connections: Arc::clone(self), key })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Gate>>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut clients = self.connections.lock_clients();
        clients.count -= 1;
        if let Some(connections) = clients.seated.get_mut(&self.client) {
            *connections -= 1;
            if *connections == 0 {
                clients.seated.remove(&self.client);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.key);
        self.connections.gone.notify_waiters();
    }
}

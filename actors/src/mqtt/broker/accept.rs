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

use super::gate::Gate;
use super::handed::HandedOver;
use super::hooks::{CONNECTION, Connection};
use super::stream::GatedStream;

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
    /// Commands that are with the broker.
    pub(super) handed: Arc<HandedOver>,
}

/// The connections that there are.
pub(super) struct Connections {
    most: usize,
    gates: Mutex<HashMap<u64, Arc<Gate>>>,
    next: AtomicU64,
    /// True as soon as nothing more is taken in.
    stopped: watch::Sender<bool>,
    /// Told once: say goodbye to the client.
    goodbye: broadcast::Sender<()>,
    /// Told as each connection goes.
    gone: Notify,
}

/// A connection's place among them, until it is dropped.
struct Place {
    connections: Arc<Connections>,
    key: u64,
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
    let connection = Arc::new(Connection::default());
    let gate = Arc::clone(&connection.gate);
    let Some(place) = connections.enter(&gate) else {
        warn!(%peer, most = connections.most, "connection refused: there are too many");
        return;
    };
    if let Err(error) = socket.set_nodelay(true) {
        debug!(%peer, %error, "no TCP_NODELAY"); // the client has gone again
    }
    let stream = GatedStream::new(socket, peer, gate, Arc::clone(&served.handed));
    let transport = BrokerTransport::WebSocket(Box::new(stream));
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
    tokio::spawn(CONNECTION.scope(connection, async move {
        let _place = place;
        if let Err(error) = handler.run().await {
            debug!(%peer, %error, "connection ended");
        }
    }));
}

impl Connections {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            gates: Mutex::default(),
            next: AtomicU64::new(0),
            stopped: watch::Sender::new(false),
            goodbye: broadcast::Sender::new(1),
            gone: Notify::new(),
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
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
        if gates.len() >= self.most || *self.stopped.borrow() {
            return None;
        }
        gates.insert(key, Arc::clone(gate));
        Some(Place { connections: Arc::clone(self), key })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Gate>>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.key);
        self.connections.gone.notify_waiters();
    }
}

//! The sessions of all clients: a bounded number of them, and of those of one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use twinhub_access::limits::counted_address;

use super::client::SocketIoClient;
use super::sensor_data::SensorDataPackets;
use crate::http::HttpConnections;
use crate::http::problem::ApiError;
use crate::http::problem::socketio::PATH;

/// The sessions.
#[derive(Debug)]
pub struct SocketIoSessions {
    connections: Arc<HttpConnections>,
    open: Mutex<OpenClients>,
    /// The events that were written last.
    pub(super) packets: SensorDataPackets,
}

#[derive(Debug, Default)]
struct OpenClients {
    clients: HashMap<Box<str>, Arc<SocketIoClient>>,
    /// The number of sessions by address.
    of_address: HashMap<IpAddr, usize>,
}

/// A session's place among them, until it is dropped.
#[derive(Debug)]
pub(super) struct ClientPlace {
    sessions: Arc<SocketIoSessions>,
    sid: Box<str>,
    address: IpAddr,
}

impl SocketIoSessions {
    /// None yet; as many at once as `connections` has live sessions.
    #[must_use]
    pub fn new(connections: Arc<HttpConnections>) -> Arc<Self> {
        Arc::new(Self { connections, open: Mutex::default(), packets: SensorDataPackets::default() })
    }

    /// The client of a session that has not ended.
    pub(super) fn find(&self, sid: &str) -> Option<Arc<SocketIoClient>> {
        let client = self.lock().clients.get(sid).cloned();
        client.filter(|client| client.look(|session| session.end().is_none()))
    }

    /// Is it a request of a session that there is? Those come as events do, so they are none to count: the session was
    /// counted as it began, and what waits for it is bounded.
    #[must_use]
    pub fn has_session_of(&self, path: &str, query: &str) -> bool {
        let sid = || form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "sid");
        path == PATH && sid().is_some_and(|(_, sid)| self.find(&sid).is_some())
    }

    /// Takes a client in.
    ///
    /// # Errors
    /// There are too many, or too many of this address.
    pub(super) fn enter(
        self: &Arc<Self>,
        client: Arc<SocketIoClient>,
        address: IpAddr,
    ) -> Result<ClientPlace, ApiError> {
        // One host has a whole network of IPv6.
        let address = counted_address(address);
        let most = self.connections.most_sessions();
        let mut open = self.lock();
        let there = open.of_address.get(&address).copied().unwrap_or_default();
        // A proxy on this machine stands for many.
        let has_share = !address.is_loopback() && there >= most.div_ceil(2);
        if open.clients.len() >= most || has_share {
            return Err(self.connections.refuse());
        }
        let sid = client.sid.clone();
        open.clients.insert(sid.clone(), client);
        *open.of_address.entry(address).or_default() += 1;
        Ok(ClientPlace { sessions: Arc::clone(self), sid, address })
    }

    fn lock(&self) -> MutexGuard<'_, OpenClients> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        let mut open = self.sessions.lock();
        open.clients.remove(&self.sid);
        if let Some(there) = open.of_address.get_mut(&self.address) {
            *there -= 1;
            if *there == 0 {
                open.of_address.remove(&self.address);
            }
        }
    }
}

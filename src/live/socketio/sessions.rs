//! The sessions of all clients: a bounded number of them, and of those of one address.
//!
//! A client that has not joined and has brought no credential is a stranger. Strangers have a few places of their own, so that no
//! number of them takes the places of clients.

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

/// One place of a stranger for so many of clients.
const CLIENTS_A_STRANGER: usize = 8;

#[derive(Debug, Default)]
struct OpenClients {
    clients: HashMap<Box<str>, Arc<SocketIoClient>>,
    known: PlacesTaken,
    strangers: PlacesTaken,
}

/// Places that are taken, in all and by address.
#[derive(Debug, Default)]
struct PlacesTaken {
    count: usize,
    of_address: HashMap<IpAddr, usize>,
}

/// A session's place among them, until it is dropped.
#[derive(Debug)]
pub(super) struct ClientPlace {
    sessions: Arc<SocketIoSessions>,
    sid: Box<str>,
    address: IpAddr,
    is_known: bool,
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

    /// Takes a client in; one that is not `known`, by a credential of its handshake, to a stranger's place.
    ///
    /// # Errors
    /// There are too many, or too many of this address.
    pub(super) fn enter(
        self: &Arc<Self>,
        client: Arc<SocketIoClient>,
        address: IpAddr,
        is_known: bool,
    ) -> Result<ClientPlace, ApiError> {
        // One host has a whole network of IPv6.
        let address = counted_address(address);
        let mut open = self.lock();
        let has_place = match is_known {
            true => open.known.take(address, self.most()),
            false => open.strangers.take(address, self.most().div_ceil(CLIENTS_A_STRANGER)),
        };
        if !has_place {
            return Err(self.connections.refuse());
        }
        let sid = client.sid.clone();
        open.clients.insert(sid.clone(), client);
        Ok(ClientPlace { sessions: Arc::clone(self), sid, address, is_known })
    }

    /// Clients at once.
    fn most(&self) -> usize {
        self.connections.most_sessions()
    }

    fn lock(&self) -> MutexGuard<'_, OpenClients> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PlacesTaken {
    /// Takes one of `most` places; false where there is none, or this address has half of them already.
    fn take(&mut self, address: IpAddr, most: usize) -> bool {
        let there = self.of_address.entry(address).or_default();
        // A proxy on this machine stands for many.
        let has_share = !address.is_loopback() && *there >= most.div_ceil(2);
        if self.count < most && !has_share {
            *there += 1;
            self.count += 1;
            return true;
        }
        if *there == 0 {
            self.of_address.remove(&address);
        }
        false
    }

    fn free(&mut self, address: IpAddr) {
        self.count -= 1;
        if let Some(there) = self.of_address.get_mut(&address) {
            *there -= 1;
            if *there == 0 {
                self.of_address.remove(&address);
            }
        }
    }
}

impl ClientPlace {
    /// The client has joined: it goes from a stranger's place to a client's.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn know(&mut self) -> Result<(), ApiError> {
        if self.is_known {
            return Ok(());
        }
        let mut open = self.sessions.lock();
        if !open.known.take(self.address, self.sessions.most()) {
            return Err(self.sessions.connections.refuse());
        }
        open.strangers.free(self.address);
        self.is_known = true;
        Ok(())
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        let mut open = self.sessions.lock();
        open.clients.remove(&self.sid);
        let places = if self.is_known { &mut open.known } else { &mut open.strangers };
        places.free(self.address);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use twinhub_socketio::session::EngineSession;

    use super::*;

    /// Of 64 connections 56 may be live sessions, and 7 strangers.
    fn sessions() -> Arc<SocketIoSessions> {
        SocketIoSessions::new(HttpConnections::new(64))
    }

    fn enter(sessions: &Arc<SocketIoSessions>, n: usize, from: &str, is_known: bool) -> Option<ClientPlace> {
        let session = EngineSession::of_polls(Instant::now());
        let (client, _requests) = SocketIoClient::new(n.to_string().into(), session);
        sessions.enter(Arc::new(client), from.parse().unwrap(), is_known).ok()
    }

    #[test]
    fn strangers_take_no_place_of_clients() {
        let sessions = sessions();
        let strangers: Vec<_> = (0..100).map_while(|n| enter(&sessions, n, "127.0.0.1", false)).collect();
        assert_eq!(strangers.len(), 7);
        let clients: Vec<_> = (100..200).map_while(|n| enter(&sessions, n, "127.0.0.1", true)).collect();
        assert_eq!(clients.len(), 56);
        assert!(enter(&sessions, 300, "127.0.0.1", false).is_none());
        drop(strangers);
        assert!(enter(&sessions, 300, "127.0.0.1", false).is_some());
    }

    #[test]
    fn who_joins_leaves_a_strangers_place_to_others() {
        let sessions = sessions();
        let mut joined: Vec<_> = (0..56)
            .map(|n| {
                let mut place = enter(&sessions, n, "127.0.0.1", false).expect("strangers have left");
                place.know().unwrap();
                place.know().unwrap();
                place
            })
            .collect();
        let mut late = enter(&sessions, 60, "127.0.0.1", false).unwrap();
        assert!(late.know().is_err(), "all places of clients are taken");
        joined.pop();
        late.know().unwrap();
        drop((joined, late));
        let open = sessions.lock();
        assert!(open.clients.is_empty() && open.known.of_address.is_empty());
        assert_eq!((open.known.count, open.strangers.count), (0, 0));
    }

    #[test]
    fn one_address_has_half_of_each() {
        let sessions = sessions();
        for (is_known, half) in [(false, 4), (true, 28)] {
            let of =
                |address| (0..100).map_while(|n| enter(&sessions, n, address, is_known)).collect::<Vec<_>>();
            let one = of("192.0.2.1");
            assert_eq!(one.len(), half);
            assert!(!of("192.0.2.2").is_empty(), "others have the rest");
        }
    }
}

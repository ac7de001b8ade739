//! The task of one session: it has the client join, hands the packets of its subscription on where there is room for
//! them, pings it, and ends the session.

use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::Data;
use futures_util::future::LocalBoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;
use twinhub_actors::access::Permission;
use twinhub_socketio::engine::open;
use twinhub_socketio::message::{DISCONNECT, connected, refused, unknown_namespace};
use twinhub_socketio::session::{EngineSession, SessionEnd, WebSocketNumber};

use super::client::{NamespaceRequest, SocketIoClient};
use super::sensor_data::{Packets, SensorDataTransport};
use super::sessions::ClientPlace;
use crate::config::DialectName;
use crate::http::problem::ApiError;
use crate::http::{Access, CallerAdmission, LiveRights, client};
use crate::live::pump;
use crate::live::subscription::{EventFilter, LiveSubscriptions, Outlet};
use crate::state::WebState;

/// Bundles of packets between the pump and the session. Each has some [`BUNDLE_BYTES`](super::sensor_data), so beside the
/// session's own queue no more than two of them wait for a client: this one, and one that has no room yet.
const ROOM: usize = 1;
/// Refusals to let a client join, after which its session ends.
const MOST_TRIES: u32 = 5;
/// The time that the last packets of a session have before its connection is closed.
const GOODBYE_WITHIN: Duration = Duration::from_millis(500);
/// Random bytes of a session's name, by which its requests are known.
const SID_BYTES: usize = 16;
/// The dialects of which this is a part.
const DIALECTS: [DialectName; 2] = [DialectName::FlaskDashboard, DialectName::IotController];

/// A session that has begun.
pub(super) struct BegunSession {
    pub client: Arc<SocketIoClient>,
    /// Its first WebSocket, where it began with one.
    pub socket: Option<WebSocketNumber>,
    /// The packet that opens it, where it began with polls.
    pub open: String,
}

/// The access of a session.
#[derive(Clone)]
struct SessionAccess {
    access: Access,
    rights: LiveRights,
}

/// The task of one session.
struct SessionTask {
    state: Data<WebState>,
    client: Arc<SocketIoClient>,
    requests: mpsc::Receiver<NamespaceRequest>,
    address: IpAddr,
    /// The access by the handshake, and what clients of a dialect have.
    own: SessionAccessSource,
    /// Its name in the main namespace.
    name: String,
    tries: u32,
    joined: Option<JoinedSession>,
    place: ClientPlace,
}

/// The ways in which a handshake gives access.
struct SessionAccessSource {
    /// Its caller may read.
    handshake: Option<SessionAccess>,
    /// Its caller has brought nothing, and a dialect was given access.
    dialect: Option<SessionAccess>,
}

/// A session whose client has joined.
struct JoinedSession {
    pump: LocalBoxFuture<'static, ()>,
    packets: mpsc::Receiver<Packets>,
}

/// Begins a session for the sender of `request`.
///
/// # Errors
/// There are too many sessions.
pub(super) fn begin(
    request: &HttpRequest,
    access: Access,
    over_socket: bool,
) -> Result<BegunSession, ApiError> {
    let (sid, name) = (random_name()?, random_name()?);
    let now = Instant::now().into_std();
    let open = open(&sid, !over_socket);
    let (session, socket) = match over_socket {
        true => {
            let (session, socket) = EngineSession::of_socket(open.clone(), now);
            (session, Some(socket))
        }
        false => (EngineSession::of_polls(now), None),
    };
    let (client, requests) = SocketIoClient::new(sid.into(), session);
    let client = Arc::new(client);
    let address = client::of(request).address;
    let state = access.state.clone();
    let own = SessionAccessSource::of(request, access, address);
    let place = state.socketio.enter(Arc::clone(&client), address, own.handshake.is_some())?;
    let task = SessionTask {
        state,
        client: Arc::clone(&client),
        requests,
        address,
        own,
        name,
        tries: 0,
        joined: None,
        place,
    };
    actix_rt::spawn(task.run());
    Ok(BegunSession { client, socket, open })
}

fn random_name() -> Result<String, getrandom::Error> {
    use std::fmt::Write as _;
    let mut bytes = [0; SID_BYTES];
    getrandom::fill(&mut bytes)?;
    let mut name = String::with_capacity(2 * SID_BYTES);
    for byte in bytes {
        let _ = write!(name, "{byte:02x}"); // writing to a String cannot fail
    }
    Ok(name)
}

impl SessionAccessSource {
    fn of(request: &HttpRequest, access: Access, address: IpAddr) -> Self {
        if access.demand(Permission::Read).is_ok() {
            let rights = access.live_rights(request);
            return Self { handshake: Some(SessionAccess { access, rights }), dialect: None };
        }
        let state = access.state.clone();
        let admission = CallerAdmission::of(access.grant(), access.holder().clone());
        let admission = state.by_dialect(admission, Permission::Read, &DIALECTS, address);
        let dialect = admission.grant.demand(Permission::Read).is_ok().then(|| {
            let access = Access::new(state, admission);
            let rights = access.live_rights(request);
            SessionAccess { access, rights }
        });
        Self { handshake: None, dialect }
    }

    /// The access for a client that joins: by the handshake, by the token that it brings, or as one of a dialect.
    async fn access(
        &self,
        state: &Data<WebState>,
        token: Option<String>,
        address: IpAddr,
    ) -> Option<SessionAccess> {
        if let Some(access) = &self.handshake {
            return Some(access.clone());
        }
        if let Some(token) = token
            && let Ok(admission) = state.admit_bearer(&token, address).await
            && admission.demand(Permission::Read).is_ok()
        {
            let rights = LiveRights::of_bearer(state.clone(), admission.holder.clone(), token.into());
            return Some(SessionAccess { access: Access::new(state.clone(), admission), rights });
        }
        self.dialect.clone()
    }
}

impl SessionTask {
    async fn run(mut self) {
        let mut closing: watch::Receiver<bool> = self.state.closing();
        let mut tick = std::pin::pin!(sleep_until(Instant::now()));
        let ended = loop {
            let (next_tick, has_room, end) = self
                .client
                .look(|session| (Instant::from_std(session.next_tick()), session.has_room(), session.end()));
            if let Some(end) = end {
                break end;
            }
            if tick.deadline() != next_tick {
                tick.as_mut().reset(next_tick);
            }
            tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => self.close(),
                () = tick.as_mut() => self.client.lead(|session| session.tick(Instant::now().into_std())),
                Some(request) = self.requests.recv() => self.answer(request).await,
                packets = next_packets(&mut self.joined, has_room) => self.take(packets),
                () = self.client.woken() => {}
            }
        };
        debug!(sid = %self.client.sid, ?ended, "Socket.IO session ended");
        let Self { client, place, joined, requests, .. } = self;
        drop((place, joined, requests));
        sleep(GOODBYE_WITHIN).await;
        client.cut();
    }

    async fn answer(&mut self, request: NamespaceRequest) {
        match request {
            NamespaceRequest::Join { .. } if self.joined.is_some() => self.push(connected(&self.name)),
            NamespaceRequest::Join { token } => self.join(token).await,
            NamespaceRequest::JoinUnknown { namespace } => self.push(unknown_namespace(&namespace)),
            NamespaceRequest::Leave => self.joined = None,
        }
    }

    async fn join(&mut self, token: Option<String>) {
        let Some(SessionAccess { access, rights }) = self.own.access(&self.state, token, self.address).await
        else {
            self.push(refused("Not authenticated"));
            self.tries += 1;
            if self.tries >= MOST_TRIES {
                self.close();
            }
            return;
        };
        if self.place.know().is_err() {
            self.push(refused("Too many clients"));
            return self.close();
        }
        let Ok(subscriptions) = LiveSubscriptions::open(&access).await else { return self.close() };
        let mut subscriptions = subscriptions.resuming();
        let Ok(filter) = EventFilter::new(None, Some(&["telemetry".into()])) else { return self.close() };
        let _ = subscriptions.subscribe("socketio", filter, None, false); // the first is never one too many
        let (outlet, packets) = Outlet::new(ROOM, None);
        let (closing, lost) = (self.state.closing(), rights.lost());
        let transport = SensorDataTransport(Arc::clone(&self.state.socketio));
        let pump = async move {
            // It ends with the rights too, or with a client that reads nothing.
            let _ = pump::run(transport, outlet, subscriptions, None, closing, lost).await;
        };
        self.client.lead(EngineSession::joined);
        self.push(connected(&self.name));
        self.joined = Some(JoinedSession { pump: Box::pin(pump), packets });
    }

    /// Hands packets on; the session ends with its pump.
    fn take(&mut self, packets: Option<Packets>) {
        match packets {
            Some(packets) => {
                self.client.lead(|session| packets.into_iter().for_each(|one| session.push(one)));
            }
            None => {
                // A client that is told to leave does not come back by itself, and after a restart it should.
                if !*self.state.closing().borrow() {
                    self.push(DISCONNECT.to_owned());
                }
                self.close();
            }
        }
    }

    /// Answers the client. One that asks and asks, and reads nothing, is closed.
    fn push(&self, packet: String) {
        self.client.lead(|session| match session.has_room() {
            true => session.push(packet.into()),
            false => session.close(SessionEnd::Server),
        });
    }

    fn close(&self) {
        self.client.lead(|session| session.close(SessionEnd::Server));
    }
}

/// The next packets of a session whose client has joined; none where its pump has ended. Dropping it half-way loses
/// nothing.
async fn next_packets(joined: &mut Option<JoinedSession>, has_room: bool) -> Option<Packets> {
    let Some(JoinedSession { pump, packets }) = joined else { return pending().await };
    tokio::select! {
        biased;
        // The pump first: what waits is not for a client whose rights have ended.
        () = pump => None,
        packets = packets.recv(), if has_room => packets,
    }
}

//! A session as its requests and its task share it.

use std::sync::{Mutex, PoisonError, Weak};

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use twinhub_socketio::message::{MAIN, SocketPacket};
use twinhub_socketio::query::EngineRefusal;
use twinhub_socketio::session::{
    EngineSession, PollAnswer, SessionEnd, SocketFault, SocketFrames, WebSocketNumber,
};

use crate::http::LiveSession;

/// Requests of a client that wait for its session's task; its transport is not read meanwhile.
const ROOM: usize = 16;

/// A session. Nothing waits while its lock is held.
#[derive(Debug)]
pub(super) struct SocketIoClient {
    pub sid: Box<str>,
    session: Mutex<EngineSession>,
    /// Shows transports that there may be something for them.
    changed: watch::Sender<()>,
    /// Wakes the session's task.
    woken: Notify,
    requests: mpsc::Sender<NamespaceRequest>,
    /// The connection of the session's WebSocket.
    connection: Mutex<Weak<LiveSession>>,
}

/// A request of a client about a namespace.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NamespaceRequest {
    /// It would join the main namespace.
    Join { token: Option<String> },
    /// It would join one that there is not.
    JoinUnknown { namespace: String },
    /// It leaves the main namespace.
    Leave,
}

impl SocketIoClient {
    /// The client of a session that has begun, and its requests.
    pub fn new(sid: Box<str>, session: EngineSession) -> (Self, mpsc::Receiver<NamespaceRequest>) {
        let (sender, requests) = mpsc::channel(ROOM);
        let client = Self {
            sid,
            session: Mutex::new(session),
            changed: watch::Sender::default(),
            woken: Notify::new(),
            requests: sender,
            connection: Mutex::default(),
        };
        (client, requests)
    }

    /// Shows changes that a transport waits for.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Waits until a request has changed something that the session's task looks at.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Has the session's task do something with the state, which transports may wait for.
    pub fn lead<T>(&self, act: impl FnOnce(&mut EngineSession) -> T) -> T {
        let done = act(&mut self.lock());
        self.changed.send_replace(());
        done
    }

    /// Looks at the state.
    pub fn look<T>(&self, look: impl FnOnce(&EngineSession) -> T) -> T {
        look(&self.lock())
    }

    /// The answer to a poll.
    pub fn poll(&self, has_waited: bool) -> PollAnswer {
        self.take(|session| session.poll(has_waited))
    }

    /// The next frames for a WebSocket.
    pub fn frames(&self, socket: WebSocketNumber) -> SocketFrames {
        self.take(|session| session.frames(socket))
    }

    /// Opens a WebSocket beside the polls.
    ///
    /// # Errors
    /// There is one.
    pub fn open_socket(&self) -> Result<WebSocketNumber, EngineRefusal> {
        self.hear(EngineSession::open_socket)
    }

    /// A WebSocket is gone.
    pub fn lose_socket(&self, socket: WebSocketNumber) {
        self.hear(|session, _| session.lose_socket(socket));
    }

    /// The connection under the session's WebSocket.
    pub fn set_connection(&self, connection: Weak<LiveSession>) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    /// Closes that connection, where it is still there.
    pub fn cut(&self) {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(connection) = connection {
            connection.cut();
        }
    }

    /// Bytes of a payload or of a message of the client at most.
    pub fn longest_payload(&self) -> usize {
        self.lock().longest_payload()
    }

    /// Takes the body of a POST in.
    ///
    /// # Errors
    /// It is no payload.
    pub async fn hear_payload(&self, body: &str) -> Result<(), EngineRefusal> {
        let messages = self.hear(|session, now| session.hear_payload(body, now))?;
        for message in messages {
            self.request(message).await.map_err(|_| EngineRefusal::Payload)?;
        }
        Ok(())
    }

    /// Takes a text frame of a WebSocket in.
    ///
    /// # Errors
    /// The WebSocket is to be closed.
    pub async fn hear_frame(&self, socket: WebSocketNumber, text: &str) -> Result<(), SocketFault> {
        match self.hear(|session, now| session.hear_frame(socket, text, now))? {
            Some(message) => self.request(message).await,
            None => Ok(()),
        }
    }

    /// Has the session end for what is no payload.
    pub fn refuse_payload(&self) {
        self.hear(|session, _| session.close(SessionEnd::BadPacket));
    }

    /// Hands a message of the client to the session's task, where it is a request: of events and acknowledgements none is
    /// for the hub.
    async fn request(&self, message: &str) -> Result<(), SocketFault> {
        let request = match SocketPacket::parse(message) {
            Ok(SocketPacket::Connect { namespace: MAIN, token }) => NamespaceRequest::Join { token },
            Ok(SocketPacket::Connect { namespace, .. }) => {
                NamespaceRequest::JoinUnknown { namespace: namespace.to_owned() }
            }
            Ok(SocketPacket::Disconnect { namespace: MAIN }) => NamespaceRequest::Leave,
            Ok(SocketPacket::Disconnect { .. } | SocketPacket::Event { .. } | SocketPacket::Ack { .. }) => {
                return Ok(());
            }
            Err(fault) => {
                self.refuse_payload();
                return Err(fault.into());
            }
        };
        self.requests.send(request).await.map_err(|_| SocketFault::Over)
    }

    /// Takes something of the client in.
    fn hear<T>(&self, act: impl FnOnce(&mut EngineSession, std::time::Instant) -> T) -> T {
        let heard = act(&mut self.lock(), Instant::now().into_std());
        self.changed.send_replace(());
        self.woken.notify_one();
        heard
    }

    /// Takes packets out, which may make room for others.
    fn take<T>(&self, act: impl FnOnce(&mut EngineSession) -> T) -> T {
        let mut session = self.lock();
        let had_room = session.has_room();
        let taken = act(&mut session);
        if !had_room {
            self.woken.notify_one();
        }
        taken
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, EngineSession> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

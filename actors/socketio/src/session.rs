//! The state of a session: over polls, a WebSocket, or on the way from one to the other.
//!
//! All packets for the client are in one queue, and exactly one transport takes them out of it: polls, until a WebSocket
//! was opened beside them and has answered the probe; nobody, until the client says that it goes on over the WebSocket;
//! and then that. So an upgrade loses no packet and doubles none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::{BadPacket, CLOSE, EnginePacket, NOOP, PING, PROBE_ANSWER, packets, payload};
use crate::query::EngineRefusal;
use crate::queue::PacketQueue;
use crate::{LONGEST_PAYLOAD, LONGEST_PAYLOAD_OF_STRANGERS, PING_INTERVAL, PING_TIMEOUT};

/// A client joins a namespace within this time.
const JOIN_WITHIN: Duration = Duration::from_secs(45);
/// An upgrade that has begun is done within this time, or given up: polls go on then.
const UPGRADE_WITHIN: Duration = Duration::from_secs(10);
/// Bytes that a WebSocket takes at once.
const BUNDLE: usize = 65_536;

/// A session.
#[derive(Debug)]
pub struct EngineSession {
    path: ClientPath,
    /// The number of WebSockets that were opened for it.
    sockets: u64,
    queue: PacketQueue,
    heartbeat: PingState,
    /// The moment by which the client must have joined; none once it has.
    join_by: Option<Instant>,
    end: Option<SessionEnd>,
}

/// The way to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientPath {
    Polls,
    /// A WebSocket was opened beside the polls.
    Probing {
        socket: WebSocketNumber,
        until: Instant,
        stage: ProbeStage,
    },
    WebSocket(WebSocketNumber),
}

/// The stage of an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProbeStage {
    /// The probe has not come: polls go on.
    Opened,
    /// The probe has come, and its answer is to be sent.
    Probed,
    /// The answer was sent.
    Answered,
}

/// The heartbeat of a session.
#[derive(Clone, Copy, Debug)]
enum PingState {
    /// A ping is due then.
    Quiet { until: Instant },
    /// A ping was sent, and is answered by then.
    Pinged { until: Instant },
}

/// A WebSocket of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketNumber(u64);

/// The reason why a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The client ended it.
    Client,
    /// The client's WebSocket is gone.
    Lost,
    /// A ping was not answered in time.
    Silent,
    /// The client has not joined in time.
    NotJoined,
    /// The client sent something that is no packet.
    BadPacket,
    /// The server ended it.
    Server,
}

/// The answer to a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollAnswer {
    /// This body.
    Payload(String),
    /// Nothing yet.
    Wait,
    Refused(EngineRefusal),
}

/// The next frames of a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketFrames {
    /// A text frame each.
    Texts(Vec<Arc<str>>),
    /// Nothing yet.
    Wait,
    /// It is to be closed.
    Close,
}

/// A frame of a WebSocket after which that is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketFault {
    #[error(transparent)]
    Packet(#[from] BadPacket),
    /// The session goes on with polls.
    #[error("the upgrade has failed")]
    Upgrade,
    #[error("the session is over")]
    Over,
}

impl EngineSession {
    /// A session that begins with polls.
    #[must_use]
    pub fn of_polls(now: Instant) -> Self {
        Self {
            path: ClientPath::Polls,
            sockets: 0,
            queue: PacketQueue::default(),
            heartbeat: PingState::quiet(now),
            join_by: Some(now + JOIN_WITHIN),
            end: None,
        }
    }

    /// A session that begins with a WebSocket, whose first packet is `open`.
    #[must_use]
    pub fn of_socket(open: String, now: Instant) -> (Self, WebSocketNumber) {
        let mut session = Self::of_polls(now);
        let socket = session.next_socket();
        session.path = ClientPath::WebSocket(socket);
        session.queue.push(open.into());
        (session, socket)
    }

    /// The reason why it has ended, where it has.
    #[must_use]
    pub fn end(&self) -> Option<SessionEnd> {
        self.end
    }

    /// The client has joined: its messages may be longer from now on.
    pub fn joined(&mut self) {
        self.join_by = None;
    }

    /// Bytes of a payload or a message of the client at most.
    #[must_use]
    pub fn longest_payload(&self) -> usize {
        if self.join_by.is_some() { LONGEST_PAYLOAD_OF_STRANGERS } else { LONGEST_PAYLOAD }
    }

    /// Is there room for another packet?
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.queue.has_room()
    }

    /// Appends a packet for the client; after the end nobody takes it.
    pub fn push(&mut self, packet: Arc<str>) {
        if self.end.is_none() {
            self.queue.push(packet);
        }
    }

    /// Ends it. A session that the server ends tells the client so.
    pub fn close(&mut self, why: SessionEnd) {
        if self.end.is_none() {
            if why == SessionEnd::Server {
                self.queue.push(CLOSE.into());
            }
            self.end = Some(why);
        }
    }

    /// Has time pass: pings the client, and ends what takes too long.
    pub fn tick(&mut self, now: Instant) {
        if let ClientPath::Probing { until, .. } = self.path
            && until <= now
        {
            self.path = ClientPath::Polls;
        }
        match self.heartbeat {
            PingState::Pinged { until } if until <= now => self.close(SessionEnd::Silent),
            PingState::Quiet { until } if until <= now && self.end.is_none() => {
                self.queue.push(PING.into());
                self.heartbeat = PingState::Pinged { until: now + PING_TIMEOUT };
            }
            PingState::Pinged { .. } | PingState::Quiet { .. } => {}
        }
        if self.join_by.is_some_and(|by| by <= now) {
            self.close(SessionEnd::NotJoined);
        }
    }

    /// The moment of the next [`tick`](Self::tick).
    #[must_use]
    pub fn next_tick(&self) -> Instant {
        let (PingState::Quiet { until: beat } | PingState::Pinged { until: beat }) = self.heartbeat;
        let upgrade = match self.path {
            ClientPath::Probing { until, .. } => Some(until),
            ClientPath::Polls | ClientPath::WebSocket(_) => None,
        };
        [upgrade, self.join_by].into_iter().flatten().fold(beat, Instant::min)
    }

    /// The answer to a poll. `has_waited`: it was told to wait before, and is not refused for what happened meanwhile.
    pub fn poll(&mut self, has_waited: bool) -> PollAnswer {
        let is_probed = match self.path {
            ClientPath::WebSocket(_) if has_waited => true,
            ClientPath::WebSocket(_) => return PollAnswer::Refused(EngineRefusal::Transport),
            ClientPath::Probing { stage: ProbeStage::Probed | ProbeStage::Answered, .. } => true,
            ClientPath::Probing { stage: ProbeStage::Opened, .. } | ClientPath::Polls => false,
        };
        if is_probed {
            return PollAnswer::Payload(NOOP.to_owned());
        }
        if !self.queue.is_empty() {
            return PollAnswer::Payload(payload(self.queue.take(LONGEST_PAYLOAD)));
        }
        match self.end {
            Some(_) => PollAnswer::Payload(NOOP.to_owned()),
            None => PollAnswer::Wait,
        }
    }

    /// Takes the body of a POST in; gives the messages in it.
    ///
    /// # Errors
    /// It is no payload, and the session has ended for it.
    pub fn hear_payload<'a>(&mut self, body: &'a str, now: Instant) -> Result<Vec<&'a str>, EngineRefusal> {
        let mut messages = Vec::new();
        for packet in packets(body) {
            match packet.and_then(|packet| self.hear(packet, now)) {
                Ok(message) => messages.extend(message),
                Err(BadPacket) => {
                    self.close(SessionEnd::BadPacket);
                    return Err(EngineRefusal::Payload);
                }
            }
        }
        Ok(messages)
    }

    /// Opens a WebSocket beside the polls.
    ///
    /// # Errors
    /// There is one already.
    pub fn open_socket(&mut self, now: Instant) -> Result<WebSocketNumber, EngineRefusal> {
        if self.path != ClientPath::Polls {
            return Err(EngineRefusal::Transport);
        }
        let socket = self.next_socket();
        self.path = ClientPath::Probing { socket, until: now + UPGRADE_WITHIN, stage: ProbeStage::Opened };
        Ok(socket)
    }

    /// The next frames for a WebSocket.
    pub fn frames(&mut self, of: WebSocketNumber) -> SocketFrames {
        match &mut self.path {
            ClientPath::Probing { socket, stage, .. } if *socket == of && self.end.is_none() => match stage {
                ProbeStage::Probed => {
                    *stage = ProbeStage::Answered;
                    SocketFrames::Texts(vec![PROBE_ANSWER.into()])
                }
                ProbeStage::Opened | ProbeStage::Answered => SocketFrames::Wait,
            },
            ClientPath::WebSocket(socket) if *socket == of => {
                let packets = self.queue.take(BUNDLE);
                match (packets.is_empty(), self.end) {
                    (false, _) => SocketFrames::Texts(packets),
                    (true, None) => SocketFrames::Wait,
                    (true, Some(_)) => SocketFrames::Close,
                }
            }
            ClientPath::Probing { .. } | ClientPath::WebSocket(_) | ClientPath::Polls => SocketFrames::Close,
        }
    }

    /// Takes a text frame of a WebSocket in; gives the message in it.
    ///
    /// # Errors
    /// The WebSocket is to be closed: it has failed to become the session's, or the session has ended.
    pub fn hear_frame<'a>(
        &mut self,
        of: WebSocketNumber,
        text: &'a str,
        now: Instant,
    ) -> Result<Option<&'a str>, SocketFault> {
        if self.end.is_some() {
            return Err(SocketFault::Over);
        }
        match self.path {
            ClientPath::WebSocket(socket) if socket == of => {
                let heard = EnginePacket::parse(text).and_then(|packet| self.hear(packet, now));
                if heard.is_err() {
                    self.close(SessionEnd::BadPacket);
                }
                Ok(heard?)
            }
            ClientPath::Probing { socket, until, stage } if socket == of => {
                self.path = match (stage, EnginePacket::parse(text)) {
                    (ProbeStage::Opened, Ok(packet)) if packet.is_probe() => {
                        ClientPath::Probing { socket, until, stage: ProbeStage::Probed }
                    }
                    (ProbeStage::Answered, Ok(EnginePacket::Upgrade)) => ClientPath::WebSocket(socket),
                    // It has not waited for the answer.
                    (ProbeStage::Probed, Ok(EnginePacket::Upgrade)) => {
                        self.queue.push_first(PROBE_ANSWER.into());
                        ClientPath::WebSocket(socket)
                    }
                    _ => {
                        self.path = ClientPath::Polls;
                        return Err(SocketFault::Upgrade);
                    }
                };
                Ok(None)
            }
            ClientPath::Probing { .. } | ClientPath::WebSocket(_) | ClientPath::Polls => {
                Err(SocketFault::Upgrade)
            }
        }
    }

    /// A WebSocket is gone: the session with it, or, during an upgrade, polls go on.
    pub fn lose_socket(&mut self, of: WebSocketNumber) {
        match self.path {
            ClientPath::WebSocket(socket) if socket == of => self.close(SessionEnd::Lost),
            ClientPath::Probing { socket, .. } if socket == of => self.path = ClientPath::Polls,
            ClientPath::Probing { .. } | ClientPath::WebSocket(_) | ClientPath::Polls => {}
        }
    }

    /// Takes a packet of a session's transport in; gives the message in it.
    fn hear<'a>(&mut self, packet: EnginePacket<'a>, now: Instant) -> Result<Option<&'a str>, BadPacket> {
        match packet {
            EnginePacket::Message(message) => return Ok(Some(message)),
            EnginePacket::Pong => self.heartbeat = PingState::quiet(now),
            EnginePacket::Close => self.close(SessionEnd::Client),
            EnginePacket::Ping(body) => {
                if !self.has_room() {
                    return Err(BadPacket); // the client reads nothing, and asks for more
                }
                self.push(format!("3{body}").into());
            }
            EnginePacket::Binary => {} // a part of an event, of which none is for the server
            EnginePacket::Open | EnginePacket::Upgrade | EnginePacket::Noop => return Err(BadPacket),
        }
        Ok(None)
    }

    fn next_socket(&mut self) -> WebSocketNumber {
        self.sockets += 1;
        WebSocketNumber(self.sockets)
    }
}

impl PingState {
    fn quiet(now: Instant) -> Self {
        Self::Quiet { until: now + PING_INTERVAL }
    }
}

#[cfg(test)]
mod tests;

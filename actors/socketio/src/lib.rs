//! Engine.IO 4 and Socket.IO 5 as a server speaks them: packets, payloads of polls, and the state of a session. It does
//! no input or output, and never asks the time: moments come in as arguments.
//!
//! - [`engine`]: packets of Engine.IO, and several of them in the body of a poll.
//! - [`query`]: the query of a request, and the refusals that clients know.
//! - [`message`]: packets of Socket.IO, which are messages of Engine.IO.
//! - [`session`]: a session over polls, a WebSocket, and the upgrade from one to the other.

pub mod engine;
pub mod message;
pub mod query;
pub mod session;

mod queue;

use std::time::Duration;

/// The interval of pings, which the server sends.
pub const PING_INTERVAL: Duration = Duration::from_secs(25);
/// The time in which a client answers a ping.
pub const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of a payload of several packets, or of one message, at most.
pub const LONGEST_PAYLOAD: usize = 1_000_000;
/// The same before the client has joined: nobody knows yet who it is.
pub const LONGEST_PAYLOAD_OF_STRANGERS: usize = 16_384;

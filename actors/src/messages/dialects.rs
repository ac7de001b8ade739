//! Messages to the interpreter of the stateful dialects.

use actix::Message;

use twinhub_domain::receipt::Receipt;
use twinhub_domain::{DeviceId, Publish};
use twinhub_mqtt::dialects::{Binding, StatefulId};
use twinhub_mqtt::{IncomingMessage, Room};

/// A message in a stateful dialect. The receipt is settled when all of its effects are durable.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Interpret {
    pub dialect: StatefulId,
    pub message: IncomingMessage,
    pub receipt: Receipt,
    /// Held while the message is in flight.
    pub room: Option<Room>,
}

/// A publish to a device that speaks a stateful dialect; `kept` is committed with it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StatefulPublish {
    pub dialect: StatefulId,
    pub device: DeviceId,
    pub publish: Publish,
    pub kept: Vec<Binding>,
}

/// All that came of an event is durable.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct EffectsCommitted {
    pub dialect: StatefulId,
    /// As the dialect gave it.
    pub number: u64,
}

/// A deadline of a dialect has come, as far as the timers know.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DialectsDue;

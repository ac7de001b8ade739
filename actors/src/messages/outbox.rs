//! What the outbox is told.

use actix::Message;

use crate::mqtt::Outgoing;

/// Messages that are durable now and are to be published.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PublishAll {
    pub outgoing: Vec<Outgoing>,
}

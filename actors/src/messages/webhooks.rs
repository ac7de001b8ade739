//! What the sender of webhooks is told.

use actix::Message;

use crate::store::DeliveryRecord;

/// A request outward that is durable now: send it, as often as it takes.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Send {
    pub delivery: DeliveryRecord,
}

//! Messages to the outbox.

use actix::Message;

use twinhub_domain::CommandId;
use twinhub_domain::Outgoing;

/// Messages that are durable now and are to be published.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PublishAll {
    pub outgoing: Vec<Outgoing>,
    /// Commands that are not with their devices any more: nothing that was to go out before for them is to.
    pub over: Vec<CommandId>,
}

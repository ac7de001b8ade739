//! Messages to the sender of webhooks.

use actix::Message;
use tokio::sync::oneshot;

use crate::webhook_destinations::WebhookDestinations;
use twinhub_store::DeliveryRecord;

/// A request outward that is durable now: send it, as often as it takes. One that is known is not sent twice.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SendWebhook {
    pub delivery: DeliveryRecord,
}

/// Sets the allowed destinations of webhooks.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetDestinations(pub WebhookDestinations);

/// Begins no further request: the hub shuts down. Answered when every request under way has its answer, and that is
/// stored.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DrainWebhooks {
    pub reply: oneshot::Sender<()>,
}

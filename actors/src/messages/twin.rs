//! Messages to a twin.

use actix::Message;
use tokio::sync::oneshot;

use twinhub_domain::receipt::Receipt;
use twinhub_domain::{Cause, Input, Twin, Versions};

use super::supervisor::IfUnknown;

/// Applies an input to this twin.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ApplyInput {
    pub input: Input,
    pub cause: Cause,
    pub receipt: Receipt,
    pub want_twin: bool,
    pub if_unknown: IfUnknown,
    /// As of [`super::supervisor::Deliver`].
    pub if_version: Option<Versions>,
}

/// Asks for the present twin, every change in it being durable.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReadState {
    pub reply: oneshot::Sender<Option<Box<Twin>>>,
}

/// Unloads the twin from memory; it answers by stopping.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct UnloadTwin;

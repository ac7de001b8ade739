//! What the supervisor is told.

use actix::Message;
use tokio::sync::oneshot;

use twinhub_domain::receipt::Receipt;
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Input, Twin, Versions};

/// An input for a twin. The supervisor finds the twin, or starts it, and passes the input on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Deliver {
    pub device: DeviceId,
    pub input: Input,
    pub cause: Cause,
    /// Settled after the commit.
    pub receipt: Receipt,
    /// What to do when nobody has heard of the device.
    pub if_unknown: IfUnknown,
    /// Refuse the input with [`twinhub_domain::Refusal::Version`] unless the twin is at one of these.
    pub if_version: Option<Versions>,
    /// Give the twin back with the receipt.
    pub want_twin: bool,
}

/// What to do with an input for a device that nobody has heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfUnknown {
    /// It registers itself, unclaimed.
    Appear,
    /// A person registers it: it begins with this input.
    Begin,
    /// Refuse the input with [`twinhub_domain::Refusal::Unknown`].
    Refuse,
    /// The same also where another device has the id by now: it is for the one with this number.
    RefuseUnless(DeviceNumber),
}

/// Asks for a twin as it stands, every change of it that shows being durable. None if there is none.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReadTwin {
    pub device: DeviceId,
    pub reply: oneshot::Sender<Option<Box<Twin>>>,
}

/// A twin has stopped: put away, deleted, or by a panic.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TwinStopped {
    pub device: DeviceId,
    /// Which of the twins of this name: a new one may stand in its place already.
    pub incarnation: u32,
    /// It was told to; otherwise it died.
    pub orderly: bool,
}

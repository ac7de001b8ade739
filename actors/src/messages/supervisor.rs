//! Messages to the supervisor.

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
    /// The treatment of an unknown device.
    pub if_unknown: IfUnknown,
    /// Refuse the input with [`twinhub_domain::Refusal::Version`] unless the twin is at one of these.
    pub if_version: Option<Versions>,
    /// Give the twin back with the receipt.
    pub want_twin: bool,
}

/// The treatment of an input for an unknown device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfUnknown {
    /// The device registers itself, unclaimed.
    Appear,
    /// A person registers it: it begins with this input.
    Begin,
    /// Refuse the input with [`twinhub_domain::Refusal::Unknown`].
    Refuse,
    /// The same also where another device has the id by now: it is for the one with this number.
    RefuseUnless(DeviceNumber),
}

/// Asks for the present twin, every change in it being durable. None if there is none.
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
    /// The incarnation among the twins of this name: a new one may have its place already.
    pub incarnation: u32,
    /// The twin was stopped on request; otherwise it died.
    pub orderly: bool,
}

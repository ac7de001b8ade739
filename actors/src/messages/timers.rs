//! Messages to the timers.

use actix::{Message, Recipient};

use super::automation::AutomationDue;
use super::dialects::DialectsDue;
use super::supervisor::Deliver;
use twinhub_domain::{DeviceId, Timestamp};

/// Wake twins through `supervisor` from now on, those first that the store knows to wait.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StartTimers {
    pub supervisor: Recipient<Deliver>,
    pub automation: Recipient<AutomationDue>,
    pub dialects: Recipient<DialectsDue>,
    /// The clock was set back while the hub was down.
    pub moved: Option<ClockMoved>,
}

/// The clock was set: it showed `from`, and from now on shows `to`. The timers have the hub's clock follow.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct ClockMoved {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// Wake this device's twin at `at`, or soon after.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Arm {
    pub device: DeviceId,
    pub at: Timestamp,
}

/// Tell automation at `at`, or soon after.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct ArmAutomation {
    pub at: Timestamp,
}

/// Tell the dialects that have a state at `at`, or soon after.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct ArmDialects {
    pub at: Timestamp,
}

/// Look at the clock: it may have been set.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Tick;

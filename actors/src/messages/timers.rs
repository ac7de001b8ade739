//! What the timers are told.

use actix::Message;

use crate::domain::{DeviceId, Timestamp};

/// Wake this device's twin at `at`, or soon after.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Arm {
    pub device: DeviceId,
    pub at: Timestamp,
}

/// Look at the clock: it may have been set.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Tick;

/// Devices can make themselves heard again only now: nobody was silent before.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct HeardAgain;

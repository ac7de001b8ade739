//! Messages to the alarms.

use actix::Message;
use tokio::sync::oneshot;

use twinhub_access::Reach;
use twinhub_domain::alarm::{Alarm, AlarmId, Originator, Severity};
use twinhub_domain::run::RuleId;
use twinhub_domain::{Cause, DeviceNumber};

/// Raises an alarm, or counts it where it is active. Answered after the commit.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Raise {
    pub of: Originator,
    pub number: DeviceNumber,
    pub alarm_type: Box<str>,
    pub severity: Severity,
    pub message: String,
    pub rule: Option<RuleId>,
    /// With the rule's run in it.
    pub cause: Cause,
    pub reply: oneshot::Sender<AlarmReply>,
}

/// Clears the active alarm of this originator and type; none is fine. Answered after the commit.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ClearType {
    pub of: Originator,
    pub alarm_type: Box<str>,
    pub cause: Cause,
    pub reply: oneshot::Sender<AlarmReply>,
}

/// The readings of a device that are beyond their limits now, or hardly within. Alarms of all others of its readings end.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SettleLimits {
    pub of: Originator,
    pub number: DeviceNumber,
    pub alarming: Vec<AlarmingReading>,
}

/// A reading whose alarm goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmingReading {
    pub reading: Box<str>,
    pub message: String,
    /// It gets an alarm where it has none.
    pub begins: bool,
}

/// Clears an alarm by hand. Answered after the commit, with none where there is no such alarm.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Clear {
    pub id: AlarmId,
    /// An alarm of a device beyond it is unknown.
    pub reach: Reach,
    pub cause: Cause,
    pub reply: oneshot::Sender<Option<AlarmReply>>,
}

/// Acknowledges an alarm. Answered as [`Clear`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Acknowledge {
    pub id: AlarmId,
    /// As of [`Clear`].
    pub reach: Reach,
    pub cause: Cause,
    pub reply: oneshot::Sender<Option<AlarmReply>>,
}

/// The device is gone with all it had: its alarms too.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ForgetDeviceAlarms {
    pub number: DeviceNumber,
}

/// An alarm after a request, and the place of its event in the sequence; none where nothing changed.
#[derive(Debug)]
pub struct AlarmReply {
    /// None where a type was to be cleared that is not active.
    pub alarm: Option<Alarm>,
    pub seq: Option<u64>,
}

//! The changes of one alarm.

use super::{Alarm, AlarmChange, AlarmId, AlarmStep, Originator, Severity};
use crate::run::{RuleId, RunId};
use crate::{DeviceNumber, Timestamp};

/// A report of a fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Raised {
    pub of: Originator,
    /// The device's number; 0 where it is about none.
    pub number: DeviceNumber,
    pub alarm_type: Box<str>,
    pub severity: Severity,
    pub message: Box<str>,
    pub rule: Option<RuleId>,
    pub run: Option<RunId>,
}

impl Alarm {
    /// The alarm that begins with `raised`.
    #[must_use]
    pub fn begin(id: AlarmId, raised: Raised, now: Timestamp) -> AlarmChange {
        let Raised { of, number, alarm_type, severity, message, rule, run } = raised;
        let alarm = Self {
            id,
            originator: of,
            number,
            alarm_type,
            severity,
            message,
            active: true,
            acknowledged: false,
            raised_at: now,
            last_at: now,
            count: 1,
            cleared_at: None,
            cleared_by: "".into(),
            acknowledged_at: None,
            acknowledged_by: "".into(),
            rule,
            run,
        };
        AlarmChange { step: AlarmStep::Raised, alarm }
    }

    /// Raised while it is active.
    #[must_use]
    pub fn repeat(mut self, raised: Raised, now: Timestamp) -> AlarmChange {
        let Raised { severity, message, rule, run, .. } = raised;
        if self.acknowledged && severity > self.severity {
            self.acknowledged = false;
            self.acknowledged_at = None;
            self.acknowledged_by = "".into();
        }
        (self.severity, self.message, self.rule, self.run) = (severity, message, rule, run);
        self.count = self.count.saturating_add(1);
        self.last_at = self.last_at.max(now); // a clock that was set back says nothing of the order
        AlarmChange { step: AlarmStep::Repeated, alarm: self }
    }

    /// Clears the alarm, by `by`. None where it was cleared before.
    #[must_use]
    pub fn clear(&self, by: &str, now: Timestamp) -> Option<AlarmChange> {
        let alarm = Self { active: false, cleared_at: Some(now), cleared_by: by.into(), ..self.clone() };
        self.active.then_some(AlarmChange { step: AlarmStep::Cleared, alarm })
    }

    /// Acknowledges the alarm, by `by`. None where it was acknowledged before.
    #[must_use]
    pub fn acknowledge(&self, by: &str, now: Timestamp) -> Option<AlarmChange> {
        let alarm = Self {
            acknowledged: true,
            acknowledged_at: Some(now),
            acknowledged_by: by.into(),
            ..self.clone()
        };
        (!self.acknowledged).then_some(AlarmChange { step: AlarmStep::Acknowledged, alarm })
    }
}

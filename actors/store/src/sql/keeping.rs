//! Retention periods.

use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

/// The time that each kind of data is kept. It may change while the store is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// The time back to which a subscriber can resume.
    pub journal: Duration,
    /// Of readings, to the chunk (a day at most); none: for ever.
    pub readings: Option<Duration>,
    /// Of runs of rules. Of each rule the last 1,000 at most, and the last 200 that did not run.
    pub runs: Duration,
    /// Of commands that came to their end, since they were asked for; none: for ever.
    pub commands: Option<Duration>,
    /// Of alarms that are cleared, since then; none: for ever.
    pub alarms: Option<Duration>,
    /// Of events beside readings in the list of a device, and of the hub; none: for ever. Runs and jobs go with `runs`.
    pub events: Option<Duration>,
}

impl Keeping {
    /// Nothing goes.
    pub const FOR_EVER: Self = Self {
        journal: Duration::MAX,
        readings: None,
        runs: Duration::MAX,
        commands: None,
        alarms: None,
        events: None,
    };
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            journal: 7 * DAY,
            readings: None,
            runs: 30 * DAY,
            commands: Some(365 * DAY),
            alarms: Some(365 * DAY),
            events: None,
        }
    }
}

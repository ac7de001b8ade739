//! The states of a job, and which signal leads from which to which.
//!
//! ```text
//! make ──▶ preparing ──▶ running ──▶ done ─────┐
//!              │          │   ▲                │
//!              │          ▼   │                ├── retry ──▶ running
//!              │         paused                │
//!              │          │  (cancel, also from running)
//!              ▼          └──▶ canceled ───────┘
//!            failed   nothing was done, or too many failed (abort, from running and paused)
//! ```

use serde::{Deserialize, Serialize};

/// The status of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    /// Its devices are being written down; none had its turn.
    Preparing,
    Running,
    /// No further device gets its turn until it is resumed.
    Paused,
    /// Every device is finished, well or not.
    Done,
    /// The job ended early: before any device had its turn, or because too many of them failed.
    Failed,
    /// The job was canceled. Devices that had their turn before keep its effect.
    Canceled,
}

/// The transitions of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobSignal {
    /// All its devices are written down.
    Prepared,
    /// They could not be.
    BreakOff,
    Pause,
    Resume,
    /// No device is left to come to, or under way.
    Finish,
    Cancel,
    /// Too many of its devices fail: those that had no turn get none.
    Abort,
    /// Devices that failed get another turn.
    Retry,
}

impl JobStatus {
    pub const ALL: [Self; 6] =
        [Self::Preparing, Self::Running, Self::Paused, Self::Done, Self::Failed, Self::Canceled];

    /// The status after `signal`; none where the transition is not allowed.
    #[must_use]
    pub fn after(self, signal: JobSignal) -> Option<Self> {
        use JobSignal as Is;
        match (self, signal) {
            (Self::Preparing, Is::Prepared)
            | (Self::Paused, Is::Resume)
            | (Self::Done | Self::Canceled, Is::Retry) => Some(Self::Running),
            (Self::Preparing, Is::BreakOff) | (Self::Running | Self::Paused, Is::Abort) => Some(Self::Failed),
            (Self::Running, Is::Pause) => Some(Self::Paused),
            (Self::Running, Is::Finish) => Some(Self::Done),
            (Self::Running | Self::Paused, Is::Cancel) => Some(Self::Canceled),
            (Self::Preparing, Is::Pause | Is::Resume | Is::Finish | Is::Cancel | Is::Abort | Is::Retry)
            | (Self::Running, Is::Prepared | Is::BreakOff | Is::Resume | Is::Retry)
            | (Self::Paused, Is::Prepared | Is::BreakOff | Is::Pause | Is::Finish | Is::Retry)
            | (
                Self::Done | Self::Canceled,
                Is::Prepared | Is::BreakOff | Is::Pause | Is::Resume | Is::Finish | Is::Cancel | Is::Abort,
            )
            | (
                Self::Failed,
                Is::Prepared
                | Is::BreakOff
                | Is::Pause
                | Is::Resume
                | Is::Finish
                | Is::Cancel
                | Is::Abort
                | Is::Retry,
            ) => None,
        }
    }

    /// Is the status final, unless a person acts?
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Canceled)
    }

    /// The word for it on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// The status with this name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

impl JobSignal {
    pub const ALL: [Self; 8] = [
        Self::Prepared,
        Self::BreakOff,
        Self::Pause,
        Self::Resume,
        Self::Finish,
        Self::Cancel,
        Self::Abort,
        Self::Retry,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_leads_where_the_table_says() {
        #[rustfmt::skip]
        let table = [
            //           prepared   break off  pause     resume     finish   cancel      abort     retry
            ("preparing", ["running", "failed", "",       "",        "",      "",         "",       ""]),
            ("running",   ["",        "",       "paused", "",        "done",  "canceled", "failed", ""]),
            ("paused",    ["",        "",       "",       "running", "",      "canceled", "failed", ""]),
            ("done",      ["",        "",       "",       "",        "",      "",         "",       "running"]),
            ("failed",    ["",        "",       "",       "",        "",      "",         "",       ""]),
            ("canceled",  ["",        "",       "",       "",        "",      "",         "",       "running"]),
        ];
        for (from, leads) in table {
            let from = JobStatus::parse(from).unwrap();
            let after = JobSignal::ALL.map(|signal| from.after(signal).map_or("", JobStatus::as_str));
            assert_eq!(after, leads, "{from:?}");
        }
    }

    #[test]
    fn what_is_final_is_left_by_a_retry_alone() {
        for from in JobStatus::ALL {
            let ways = JobSignal::ALL.into_iter().filter(|signal| from.after(*signal).is_some());
            assert!(
                !from.is_final() || ways.into_iter().all(|signal| signal == JobSignal::Retry),
                "{from:?}"
            );
        }
    }
}

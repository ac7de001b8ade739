//! The states of a command, and which signal leads from which to which.

use serde::{Deserialize, Serialize};

/// The status of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandStatus {
    /// The command waits for its turn, for its device, or for its next attempt.
    Pending,
    /// The command was handed to the device's connection.
    Sent,
    /// The device has confirmed that it has the command.
    Delivered,
    /// The device has done it.
    Executed,
    /// The device could not do it, or never answered: a dead letter.
    Failed,
    /// The device would not do it.
    Rejected,
    /// Its time to live was over before a device took it.
    Expired,
    /// The device had the command, and never reported a result.
    TimedOut,
    /// The command was called back.
    Canceled,
    /// A newer one with the same `supersedes` key took its place.
    Superseded,
}

/// The statuses that a device can report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandResultStatus {
    Delivered,
    Executed,
    Failed,
    Rejected,
}

/// The transitions of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandTransition {
    /// Its turn has come and its device is there.
    Send,
    /// The attempt was not answered in time, and there is another.
    Retry,
    /// Its device went away.
    Return,
    /// The device answered.
    CommandResult(CommandResultStatus),
    /// No answer in time, and no attempt is left.
    GiveUp,
    /// Its time to live is over.
    Expire,
    Cancel,
    Supersede,
}

impl CommandStatus {
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::Sent,
        Self::Delivered,
        Self::Executed,
        Self::Failed,
        Self::Rejected,
        Self::Expired,
        Self::TimedOut,
        Self::Canceled,
        Self::Superseded,
    ];

    /// The status after `signal`; none where the transition is not allowed.
    #[must_use]
    pub fn after(self, signal: CommandTransition) -> Option<Self> {
        use CommandStatus as S;
        match (self, signal) {
            (S::Pending, CommandTransition::Send) => Some(S::Sent),
            (S::Sent, CommandTransition::Retry | CommandTransition::Return) => Some(S::Pending),
            // A device may answer what it was sent before: the hub has called it pending since.
            (S::Pending | S::Sent | S::Delivered, CommandTransition::CommandResult(answer)) => match answer {
                CommandResultStatus::Delivered if self == S::Delivered => None,
                answer => Some(answer.into()),
            },
            (S::Sent, CommandTransition::GiveUp) => Some(S::Failed),
            (S::Delivered, CommandTransition::GiveUp) => Some(S::TimedOut),
            (S::Pending, CommandTransition::Expire) => Some(S::Expired),
            (S::Pending, CommandTransition::Supersede) => Some(S::Superseded),
            (S::Pending | S::Sent | S::Delivered, CommandTransition::Cancel) => Some(S::Canceled),
            (
                S::Pending,
                CommandTransition::Retry | CommandTransition::Return | CommandTransition::GiveUp,
            )
            | (S::Sent, CommandTransition::Send | CommandTransition::Expire | CommandTransition::Supersede)
            | (
                S::Delivered,
                CommandTransition::Send
                | CommandTransition::Retry
                | CommandTransition::Return
                | CommandTransition::Expire
                | CommandTransition::Supersede,
            ) => None,
            (
                S::Executed
                | S::Failed
                | S::Rejected
                | S::Expired
                | S::TimedOut
                | S::Canceled
                | S::Superseded,
                _,
            ) => None,
        }
    }

    /// Is the status final?
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Sent | Self::Delivered)
    }

    /// Is the command with the device now?
    #[must_use]
    pub fn is_in_flight(self) -> bool {
        matches!(self, Self::Sent | Self::Delivered)
    }

    /// The word for it on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Executed => "executed",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::TimedOut => "timed_out",
            Self::Canceled => "canceled",
            Self::Superseded => "superseded",
        }
    }

    /// The status with this name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

impl CommandResultStatus {
    /// The status with this name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Delivered, Self::Executed, Self::Failed, Self::Rejected]
            .into_iter()
            .find(|status| CommandStatus::from(*status).as_str() == word)
    }
}

impl From<CommandResultStatus> for CommandStatus {
    fn from(answer: CommandResultStatus) -> Self {
        match answer {
            CommandResultStatus::Delivered => Self::Delivered,
            CommandResultStatus::Executed => Self::Executed,
            CommandResultStatus::Failed => Self::Failed,
            CommandResultStatus::Rejected => Self::Rejected,
        }
    }
}

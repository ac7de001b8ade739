//! The status of a device, and the mode of its twin.

use serde::{Deserialize, Serialize};

/// Is the device there?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Gone, or never heard: `last_seen` tells the two apart. Earlier versions called the latter `unknown`.
    #[default]
    #[serde(alias = "unknown")]
    Offline,
    Online,
}

/// The word of earlier versions for a device that was never heard.
pub const UNKNOWN: &str = "unknown";

/// The driver of the twin: a person, or schedules and rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Manual,
    #[default]
    Schedule,
}

impl Status {
    pub const ALL: [Self; 2] = [Self::Offline, Self::Online];

    /// The word for it in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Online => "online",
        }
    }

    /// The status with this name. [`UNKNOWN`] is read as offline.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        if word == UNKNOWN {
            return Some(Self::Offline);
        }
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

impl Mode {
    pub const ALL: [Self; 2] = [Self::Manual, Self::Schedule];

    /// The word for it in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Schedule => "schedule",
        }
    }

    /// The mode with this name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == word)
    }
}

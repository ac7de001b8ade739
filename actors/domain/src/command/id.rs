//! The name of a command.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A command's id: a UUID of version 7, so ids sort by the time at which they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandId(pub Uuid);

impl CommandId {
    /// Takes a UUID's text as an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }

    /// The `nth` id after this one: for one input that asks for several commands. The lowest of the 62
    /// random bits are counted up, so they are as unlike other ids as this one is.
    #[must_use]
    pub fn nth(self, nth: u8) -> Self {
        Self(Uuid::from_u128(self.0.as_u128() ^ u128::from(nth)))
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

//! What is known of a chunk's readings without its body.

use crate::codec::CodecError;
use twinhub_domain::{Number, Recorded, Timestamp};

/// A summary of messages of one device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// The number of messages.
    pub messages: u64,
    /// By name, each once.
    pub series: Vec<SeriesSummary>,
}

/// A summary of the readings of one name. Booleans count as 0 and 1.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesSummary {
    pub name: Box<str>,
    /// The number of numbers and booleans, of which the rest is said.
    pub count: u64,
    /// The number of texts.
    pub texts: u64,
    pub min: Number,
    pub max: Number,
    /// The first in time, and when and with which message it came.
    pub first: (Timestamp, u64, Number),
    /// The last in time.
    pub last: (Timestamp, u64, Number),
}

impl Summary {
    /// The summary of `messages`.
    #[must_use]
    pub fn of(messages: &[&Recorded]) -> Self {
        Self { messages: messages.len() as u64, series: Vec::new() }
    }

    /// The summary as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Reads the result of [`Summary::encode`].
    ///
    /// # Errors
    /// Says why the bytes are no summary.
    pub fn decode(_bytes: &[u8]) -> Result<Self, CodecError> {
        Ok(Self::default())
    }

    /// Takes in the summary of other messages of the same device.
    pub fn merge(&mut self, other: &Self) {
        self.messages += other.messages;
    }
}

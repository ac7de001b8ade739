//! Messages in a dialect in which the twin has to be asked what they mean: its mode, say, decides which part of one
//! counts. So the dialect translates them in the twin's turn, with the twin in view, and the twin checks and applies
//! the meaning as it does any other input.

use std::fmt;

use super::{Change, Input, Refusal, Twin};
use crate::clock::Timestamp;
use crate::event::ChangeKind;
use crate::json::Object;
use crate::reading::Reading;
use crate::status::Mode;

/// A message of a dialect, to be translated once it is the twin's turn. Pure: the same twin gives the same meaning.
pub trait Translation: fmt::Debug + Send + Sync {
    /// The member of an event's patch that carries the dialect's [note](Meaning::note), and the name under which the
    /// twin remembers it. It is no section of the document and no field of the profile.
    fn note_name(&self) -> &'static str;

    fn speaker(&self) -> Speaker;

    /// The serial number of the device that it is about, where the message says it.
    fn serial(&self) -> Option<&str>;

    /// The meaning for `twin` as it is before the message.
    ///
    /// # Errors
    /// Says what the twin is not to take.
    fn translate(&self, twin: &Twin, now: Timestamp) -> Result<Meaning, Refusal>;
}

/// The speaker, and the purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The device itself, which is known by its serial number.
    Device,
    /// An app or a person, of a device that is there.
    App,
    /// Somebody adds a device.
    Registration { claimed: bool },
    /// Somebody takes a device as theirs.
    Claim,
}

/// A message in a twin's own words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meaning {
    /// As people change the document.
    pub change: Change,
    /// The mode from now on; none: it stays as it is.
    pub mode: Option<Mode>,
    /// A merge patch onto `reported`.
    pub reported: Object,
    /// Measured values; they are of the time of arrival.
    pub readings: Vec<Reading>,
    /// It shows that the device is there.
    pub is_heard: bool,
    /// For the dialect alone: it goes with the event, and its texts and numbers are remembered ([`Profile::note`](super::Profile::note)).
    pub note: Object,
}

/// The member of a note that says that the readings of the same message are an event of their own.
pub(super) const READINGS: &str = "readings";

impl Speaker {
    /// Refuses one who registers or claims a twin that is registered or claimed.
    pub(super) fn check(self, twin: &Twin) -> Result<(), Refusal> {
        match self {
            Self::Registration { .. } if !twin.is_new() => Err(Refusal::Registered(twin.id.clone())),
            Self::Claim if twin.control.claimed => Err(Refusal::Claimed(twin.id.clone())),
            _ => Ok(()),
        }
    }

    pub(super) fn kind(self) -> ChangeKind {
        match self {
            Self::Device => ChangeKind::Reported,
            Self::App => ChangeKind::Updated,
            Self::Registration { .. } => ChangeKind::Registered,
            Self::Claim => ChangeKind::Claimed,
        }
    }
}

impl Input {
    /// The serial number by which alone the message names its device: the device may have another id than the one
    /// that was made of it.
    #[must_use]
    pub fn serial(&self) -> Option<&str> {
        match self {
            Self::Translate(message) if message.speaker() == Speaker::Device => message.serial(),
            _ => None,
        }
    }
}

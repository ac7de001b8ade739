//! Readings on their way into a twin: of which moment they are, whether they were here before, and whether the
//! device's clock can be believed.

use chrono_tz::Tz;

use super::{Part, Refusal, Repeat, Repeats, WrongClock};
use crate::clock::{ReadingTime, Timestamp};
use crate::json::Json;
use crate::reading::{Reading, Telemetry};

/// The messages that a twin has taken in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MessageIntake {
    /// The number of messages since the twin began.
    pub messages: u64,
    pub(super) repeats: Repeats,
    /// The device's clock, while it is plainly wrong. Boxed: few are.
    pub(super) clock: Option<Box<WrongClock>>,
}

/// The moment of readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filed {
    /// The moment by which they are kept: the device's, if it is believed, else that of their arrival.
    pub at: ReadingTime,
    /// The time that the device said, where it is not believed.
    pub claimed: Option<ReadingTime>,
    /// By what a repeat of them is known.
    pub identity: Option<u64>,
}

/// A reading that was not taken in, while others of its message were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The name of the reading.
    pub name: Box<str>,
    pub refusal: Refusal,
}

impl Rejected {
    /// A reading that `reported` has no room for, and what is wrong.
    pub(super) fn without_room((reading, detail): (Reading, String)) -> Self {
        Self { name: reading.name, refusal: too_large(&detail) }
    }
}

impl Filed {
    /// The moment of readings that arrive `now` from a device in `zone` that was registered at `created_at`.
    pub(super) fn of(
        telemetry: &Telemetry,
        zone: Option<Tz>,
        created_at: Timestamp,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let Some(claim) = &telemetry.at else {
            return Ok(Self { at: now.into(), claimed: None, identity: telemetry.identity(true) });
        };
        let written = claim.written;
        let claimed_at = match zone {
            _ if written.has_zone => written.at,
            Some(zone) => written.in_zone(zone),
            None => return Err(Refusal::NoZone(written.at)),
        };
        let is_believed = telemetry.window.holds(claimed_at, created_at, now);
        let identity = telemetry.identity(is_believed);
        Ok(match is_believed {
            true => Self { at: claimed_at, claimed: None, identity },
            false => Self { at: now.into(), claimed: Some(claimed_at), identity },
        })
    }
}

impl MessageIntake {
    /// Have readings of this moment been taken in before?
    pub(super) fn repeat(&self, telemetry: &Telemetry, filed: &Filed, now: Timestamp) -> Repeat {
        let Some(identity) = filed.identity else { return Repeat::No };
        match filed.claimed {
            Some(_) => self.repeats.of_unbelieved(identity, now),
            None => self.repeats.repeat(identity, telemetry.at.as_ref().map(|_| filed.at.floor())),
        }
    }

    /// One change when the clock is found wrong, and one when it is right again: not one with each message.
    pub(super) fn clock_change(&self, telemetry: &Telemetry, filed: &Filed, now: Timestamp) -> Option<Part> {
        match (filed.claimed, &self.clock) {
            (Some(claimed_at), None) => Some(Part::DeviceClock(Some(WrongClock { claimed_at, since: now }))),
            (None, Some(_)) if telemetry.at.is_some() => Some(Part::DeviceClock(None)),
            _ => None,
        }
    }

    /// Readings of this moment were received.
    pub(super) fn apply_readings(&mut self, filed: &Filed, received: Timestamp) {
        self.messages += 1;
        match (filed.identity, filed.claimed) {
            (None, _) => {}
            (Some(identity), None) => self.repeats.remember(identity, filed.at.floor(), received),
            (Some(identity), Some(_)) => self.repeats.remember_unbelieved(identity, received),
        }
    }

    pub(super) fn apply_clock(&mut self, clock: Option<&WrongClock>) {
        self.clock = clock.cloned().map(Box::new);
    }

    /// As the document shows the device's clock: null while it is right.
    pub(super) fn clock_shown(&self) -> Json {
        let Some(clock) = self.clock.as_deref() else { return Json::Null };
        let shown = [
            ("state", Json::from("wrong")),
            ("claimed_at", clock.claimed_at.to_string().into()),
            ("at", clock.since.to_string().into()),
        ];
        Json::Object(shown.into_iter().collect())
    }
}

/// The refusal of readings that `reported` has no room for.
pub(super) fn too_large(detail: &str) -> Refusal {
    Refusal::TooLarge { section: "reported".into(), detail: detail.to_owned() }
}

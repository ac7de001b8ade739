//! Readings on their way into a twin: of which moment they are, whether they were here before, and whether the
//! device's clock can be believed.

use std::collections::HashSet;

use super::presence::reason::HEARD;
use super::{Outcome, Part, Refusal, Repeat, Twin, WrongClock};
use crate::cause::Cause;
use crate::clock::Timestamp;
use crate::event::{ChangeKind, EventBody, TwinChange};
use crate::json::Json;
use crate::reading::{Reading, Telemetry};

/// Of which moment readings are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filed {
    /// The moment by which they are kept: the device's, if it is believed, else that of their arrival.
    pub at: Timestamp,
    /// The time that the device said, where it is not believed.
    pub claimed: Option<Timestamp>,
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
    /// One that `reported` has no room for, and what is wrong.
    pub(super) fn without_room((reading, detail): (Reading, String)) -> Self {
        Self { name: reading.name, refusal: too_large(&detail) }
    }
}

impl Twin {
    /// Of which moment are these readings?
    ///
    /// # Errors
    /// They say a time without a zone, and nobody has said in which zone the device is.
    pub fn file(&self, telemetry: &Telemetry, now: Timestamp) -> Result<Filed, Refusal> {
        let Some(claim) = &telemetry.at else {
            return Ok(Filed { at: now, claimed: None, identity: telemetry.identity(true) });
        };
        let written = claim.written;
        let said = match self.settings.as_deref().and_then(|settings| settings.timezone) {
            _ if written.has_zone => written.at,
            Some(zone) => written.in_zone(zone),
            None => return Err(Refusal::NoZone(written.at)),
        };
        let is_believed = telemetry.window.holds(said, self.created_at, now);
        let identity = telemetry.identity(is_believed);
        Ok(match is_believed {
            true => Filed { at: said, claimed: None, identity },
            false => Filed { at: now, claimed: Some(said), identity },
        })
    }

    /// Have these readings been taken in before?
    #[must_use]
    pub fn repeat(&self, telemetry: &Telemetry, now: Timestamp) -> Repeat {
        self.file(telemetry, now).map_or(Repeat::No, |filed| self.repeat_of(telemetry, &filed, now))
    }

    fn repeat_of(&self, telemetry: &Telemetry, filed: &Filed, now: Timestamp) -> Repeat {
        let Some(identity) = filed.identity else { return Repeat::No };
        match filed.claimed {
            Some(_) => self.repeats.of_unbelieved(identity, now),
            None => self.repeats.repeat(identity, telemetry.at.as_ref().map(|_| filed.at)),
        }
    }

    pub(super) fn hear_readings(
        &mut self,
        outcome: &mut Outcome,
        mut telemetry: Telemetry,
        now: Timestamp,
        cause: &Cause,
    ) -> Result<(), Refusal> {
        let filed = self.file(&telemetry, now)?;
        if self.repeat_of(&telemetry, &filed, now) == Repeat::Yes {
            outcome.repeated = true;
            return Ok(());
        }
        let without_room = self.without_room(&mut telemetry.readings);
        if let Some((_, detail)) = without_room.first()
            && (telemetry.strict || telemetry.readings.is_empty())
        {
            return Err(too_large(detail));
        }
        outcome.rejected.extend(without_room.into_iter().map(Rejected::without_room));
        self.come_online(outcome, HEARD, now, cause);
        self.note_clock(outcome, &telemetry, &filed, now, cause);
        let Filed { at, claimed, identity } = filed;
        let body = EventBody::Telemetry { readings: telemetry.readings, identity, claimed };
        self.happen_at(outcome, body, at, now, cause);
        Ok(())
    }

    /// Several samples of one message. Strict ones are taken in all or not at all; of others those that can be.
    pub(super) fn hear_batch(
        &mut self,
        outcome: &mut Outcome,
        samples: Box<[Telemetry]>,
        now: Timestamp,
        cause: &Cause,
    ) -> Result<(), Refusal> {
        let before = samples.iter().any(|sample| sample.strict).then(|| self.clone());
        let (mut seen, mut taken, mut repeated, mut first) = (HashSet::new(), 0, 0, None);
        for sample in samples {
            let identity = self.file(&sample, now).ok().and_then(|filed| filed.identity);
            if identity.is_some_and(|identity| !seen.insert(identity)) {
                repeated += 1; // the twin's own memory may be shorter than a batch
                continue;
            }
            let names: Vec<_> = sample.readings.iter().map(|reading| reading.name.clone()).collect();
            match self.hear_readings(outcome, sample, now, cause) {
                Ok(()) if std::mem::take(&mut outcome.repeated) => repeated += 1,
                Ok(()) => taken += 1,
                Err(refusal) => {
                    if let Some(before) = before {
                        *self = before;
                        return Err(refusal);
                    }
                    let rejected = |name| Rejected { name, refusal: refusal.clone() };
                    outcome.rejected.extend(names.into_iter().map(rejected));
                    first.get_or_insert(refusal);
                }
            }
        }
        outcome.repeated = taken == 0 && repeated > 0;
        match first {
            Some(refusal) if taken + repeated == 0 => Err(refusal),
            _ => Ok(()),
        }
    }

    /// One event when the clock is found wrong, and one when it is right again: not one with each message.
    fn note_clock(
        &mut self,
        outcome: &mut Outcome,
        telemetry: &Telemetry,
        filed: &Filed,
        now: Timestamp,
        cause: &Cause,
    ) {
        let clock = match (filed.claimed, &self.clock) {
            (Some(claimed_at), None) => Some(WrongClock { claimed_at, since: now }),
            (None, Some(_)) if telemetry.at.is_some() => None,
            _ => return,
        };
        let patch = [Part::DeviceClock(clock)].into_iter().collect();
        self.happen(
            outcome,
            EventBody::Twin(TwinChange { change: ChangeKind::DeviceClock, patch }),
            now,
            cause,
        );
    }

    /// As the document shows it: null while the clock is right.
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

pub(super) fn too_large(detail: &str) -> Refusal {
    Refusal::TooLarge { section: "reported".into(), detail: detail.to_owned() }
}

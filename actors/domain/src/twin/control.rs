//! Control of a device: whether anybody may drive it, by its lifecycle, and who does, by its mode.

use super::patch::{LifecycleStep, Part, Patch};
use super::{Input, Refusal};
use crate::Mode;
use crate::cause::{Cause, Source};
use crate::clock::Timestamp;
use crate::event::{ChangeKind, EventBody, TwinChange};
use crate::fleet::{Lifecycle, LifecycleTransition};

/// The permission to drive a device: nobody has it while the device is out of service, people alone in manual mode.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Control {
    /// A person has taken the device as theirs.
    pub claimed: bool,
    pub mode: Mode,
    /// The lifecycle state that a person has set, where the device would not be in it anyhow.
    pub(super) set_lifecycle: Option<Lifecycle>,
    /// The end of manual mode. Boxed: few twins have one, and a million would pay for it.
    pub(super) until: Option<Box<Timestamp>>,
}

impl Control {
    /// When manual mode ends by itself; none: it does not.
    #[must_use]
    pub fn mode_until(&self) -> Option<Timestamp> {
        self.until.as_deref().copied()
    }

    /// The lifecycle state of a device that has been `heard`, or never was.
    #[must_use]
    pub fn lifecycle(&self, heard: bool) -> Lifecycle {
        Lifecycle::of(self.set_lifecycle, self.claimed, heard)
    }

    /// True for a device that is out of service for good.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.set_lifecycle == Some(Lifecycle::Retired)
    }

    /// Refuses messages of a device that is out of service, and orders to it; people may still look after it.
    pub(super) fn check_service(&self, heard: bool, input: &Input, cause: &Cause) -> Result<(), Refusal> {
        let Some(refusal) = out_of_service(self.lifecycle(heard)) else { return Ok(()) };
        let drives = match input {
            Input::Change(change) => cause.source == Source::Rule || change.patch.get("desired").is_some(),
            Input::SetMode { .. } => cause.source == Source::Rule || refusal == Refusal::Retired,
            Input::Command { .. } | Input::Update(_) => true,
            // A client that speaks so, a claim with it, may switch it on and say what it has measured.
            Input::Translate(_) => true,
            // Each would give it credentials.
            Input::Register(_) | Input::Claim(_) | Input::SetToken(_) | Input::SetCertificate(_) => {
                refusal == Refusal::Retired
            }
            other => other.is_of_device(),
        };
        if drives { Err(refusal) } else { Ok(()) }
    }

    /// Rules do not drive a twin in manual mode, unless they are made to. A schedule is asked when its time comes.
    pub(super) fn check_mode(&self, cause: &Cause) -> Result<(), Refusal> {
        let goes_through = cause.run.as_ref().is_some_and(|run| run.even_in_manual);
        let is_refused = self.mode == Mode::Manual && cause.source == Source::Rule && !goes_through;
        if is_refused { Err(Refusal::ManualMode) } else { Ok(()) }
    }

    /// The change to another mode; none where it is this one already.
    pub(super) fn set_mode(
        &self,
        mode: Mode,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<Patch>, Refusal> {
        let invalid = |field: &str, detail: &str| {
            Err(Refusal::Invalid { field: field.to_owned(), detail: detail.to_owned() })
        };
        match until {
            Some(_) if mode == Mode::Schedule => {
                return invalid("until", "only manual mode has an end: schedule mode goes on");
            }
            Some(until) if until <= now => return invalid("until", "lies in the past"),
            _ => {}
        }
        let is_other = (mode, until) != (self.mode, self.mode_until());
        Ok(is_other.then(|| [Part::Mode(mode), Part::ModeUntil(until)].into_iter().collect()))
    }

    /// The change back to schedule mode, where the end of manual mode has come.
    pub(super) fn end_mode(&self, now: Timestamp) -> Option<Patch> {
        let is_over = self.mode_until().is_some_and(|until| until <= now);
        is_over.then(|| [Part::Mode(Mode::Schedule), Part::ModeUntil(None)].into_iter().collect())
    }

    /// The moment before which a schedule's entry is a person's matter and not run; none in schedule mode.
    pub(super) fn manual_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self.mode {
            Mode::Schedule => None,
            Mode::Manual => Some(self.mode_until().unwrap_or(now.plus_millis(1))),
        }
    }

    /// The later end of manual mode where that is the end of a span, after the hub's clock was set.
    pub(super) fn shifted_end(&self, from: Timestamp, by_ms: i64) -> Option<Part> {
        let until = self.mode_until().filter(|until| is_span(*until, from, by_ms))?;
        Some(Part::ModeUntil(Some(until.plus_millis(by_ms))))
    }

    /// The event of a move to another lifecycle state; none where the device is in it.
    pub(super) fn move_to(
        &self,
        state: Lifecycle,
        reason: Box<str>,
        heard: bool,
    ) -> Result<Option<EventBody>, Refusal> {
        let was = self.lifecycle(heard);
        let Some(step) = LifecycleTransition::to(state) else {
            let detail = "expected active, suspended or retired: provisioned is who was never heard";
            return Err(Refusal::Invalid { field: "state".into(), detail: detail.into() });
        };
        if was.after(step).is_none() {
            return Err(out_of_service(was).unwrap_or(Refusal::Retired)); // no other state lets nothing happen
        }
        if was == state {
            return Ok(None);
        }
        let credentials_removed = state == Lifecycle::Retired;
        let step = LifecycleStep { state, was: Some(was), reason, credentials_removed };
        let patch = [Part::Lifecycle(Box::new(step))].into_iter().collect();
        Ok(Some(EventBody::Twin(TwinChange { change: ChangeKind::Lifecycle, patch })))
    }

    pub(super) fn apply_lifecycle(&mut self, state: Lifecycle, heard: bool) {
        // A state that would be so anyhow need not be kept.
        self.set_lifecycle = None;
        self.set_lifecycle = Some(state).filter(|state| *state != self.lifecycle(heard));
    }

    pub(super) fn apply_mode_until(&mut self, until: Option<Timestamp>) {
        self.until = until.map(Box::new);
    }
}

/// The refusal of a device in this state, which is neither heard nor driven; none where it is.
fn out_of_service(state: Lifecycle) -> Option<Refusal> {
    match state {
        Lifecycle::Provisioned | Lifecycle::Active => None,
        Lifecycle::Suspended => Some(Refusal::Suspended),
        Lifecycle::Retired => Some(Refusal::Retired),
    }
}

/// A moment that somebody named may be the end of a span (`for 1h`) or a time of the day (`until 18:00`), and nothing
/// tells which. One nearer than the clock was moved is taken for the end of a span: as a time of the day it would
/// be over by now, or far away.
fn is_span(until: Timestamp, from: Timestamp, by_ms: i64) -> bool {
    until.millis().saturating_sub(from.millis()).abs() < by_ms.saturating_abs()
}

//! A device's life: who is out of service is neither heard nor driven.

use super::{Outcome, Publish, Refusal, Twin, presence};
use crate::cause::{Cause, Source};
use crate::clock::Timestamp;
use crate::event::{ChangeKind, EventBody, TwinChange};
use crate::fleet::{Lifecycle, LifecycleTransition};
use crate::twin::Input;
use crate::twin::fields::TOKEN_HASH;
use crate::twin::patch::{LifecycleStep, Part};

impl Twin {
    /// Where it stands in its life.
    #[must_use]
    pub fn lifecycle(&self) -> Lifecycle {
        Lifecycle::of(self.standing, self.claimed, self.last_seen.is_some())
    }

    /// Nothing more comes of it.
    pub(super) fn is_retired(&self) -> bool {
        self.standing == Some(Lifecycle::Retired)
    }

    /// Why it last went; none before it did.
    #[must_use]
    pub fn disconnect_reason(&self) -> Option<&str> {
        match self.lifecycle() {
            Lifecycle::Suspended => Some(presence::reason::SUSPENDED),
            Lifecycle::Retired => Some(presence::reason::RETIRED),
            _ => self.line().map(|line| &*line.disconnect_reason),
        }
    }

    /// Refuses what a device that is out of service says and is to do; people may still look after it.
    pub(super) fn check_service(&self, input: &Input, cause: &Cause) -> Result<(), Refusal> {
        let Some(refusal) = out_of_service(self.lifecycle()) else { return Ok(()) };
        let drives = match input {
            Input::Change(change) => cause.source == Source::Rule || change.patch.get("desired").is_some(),
            Input::SetMode { .. } => cause.source == Source::Rule || refusal == Refusal::Retired,
            Input::Command { .. } | Input::Update(_) => true,
            // Whoever speaks so, a claim with them, may switch it on and say what it has measured.
            Input::Translate(_) => true,
            // Either would give it a token.
            Input::Register(_) | Input::Claim(_) => refusal == Refusal::Retired,
            other => other.is_of_device(),
        };
        if drives { Err(refusal) } else { Ok(()) }
    }

    /// Nothing is published to a device that is out of service.
    pub(super) fn mute(&self, publishes: &mut Vec<Publish>) {
        if self.lifecycle().is_out_of_service() {
            publishes.clear();
        }
    }

    pub(super) fn set_lifecycle(
        &mut self,
        outcome: &mut Outcome,
        state: Lifecycle,
        reason: Box<str>,
        (now, cause): (Timestamp, &Cause),
    ) -> Result<(), Refusal> {
        let was = self.lifecycle();
        let Some(step) = LifecycleTransition::to(state) else {
            let detail = "expected active, suspended or retired: provisioned is who was never heard";
            return Err(Refusal::Invalid { field: "state".into(), detail: detail.into() });
        };
        if was.after(step).is_none() {
            return Err(out_of_service(was).unwrap_or(Refusal::Retired)); // no other state lets nothing happen
        }
        if was == state {
            return Ok(());
        }
        match state {
            Lifecycle::Suspended => self.go_offline(outcome, presence::reason::SUSPENDED, now, cause),
            Lifecycle::Retired => {
                self.go_offline(outcome, presence::reason::RETIRED, now, cause);
                self.cancel_all(outcome, "the device was retired", now, cause);
                self.give_firmware_up(outcome, "the device was retired", now, cause);
            }
            Lifecycle::Provisioned | Lifecycle::Active => {}
        }
        let credentials_removed = state == Lifecycle::Retired;
        let step = LifecycleStep { state, was: Some(was), reason, credentials_removed };
        let patch = [Part::Lifecycle(Box::new(step))].into_iter().collect();
        self.happen(
            outcome,
            EventBody::Twin(TwinChange { change: ChangeKind::Lifecycle, patch }),
            now,
            cause,
        );
        Ok(())
    }

    pub(super) fn redo_lifecycle(&mut self, LifecycleStep { state, .. }: &LifecycleStep) {
        // What would be so anyhow need not be kept.
        self.standing = None;
        self.standing = Some(*state).filter(|state| *state != self.lifecycle());
        if *state == Lifecycle::Retired {
            self.profile.more.remove(TOKEN_HASH);
        }
    }
}

/// Why a device in this state is neither heard nor driven; none where it is.
fn out_of_service(state: Lifecycle) -> Option<Refusal> {
    match state {
        Lifecycle::Provisioned | Lifecycle::Active => None,
        Lifecycle::Suspended => Some(Refusal::Suspended),
        Lifecycle::Retired => Some(Refusal::Retired),
    }
}

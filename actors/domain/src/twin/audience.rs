//! Listeners to what a device is told: without one it waits and says why, and goes out when somebody listens.

use super::{Outcome, Part, Patch, Publish, Twin, presence};
use crate::Status;
use crate::cause::Cause;
use crate::clock::Timestamp;
use crate::command::{CommandId, CommandStatus, CommandStep};
use crate::event::{ChangeKind, EventBody, TwinChange};
use crate::id::DeviceId;
use crate::json::Object;

/// The things that a device can listen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ear {
    Commands,
    Desired,
    Firmware,
}

/// The listeners there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The broker does not tell. It is published, and the broker's answer may say that nobody was there.
    Unknown,
    Nobody,
    /// Somebody who is connected, by a filter with wildcards: a gateway, or a program that listens to all.
    Somebody,
    /// Somebody who is connected and names this device's topic: the device itself, as far as can be seen.
    Itself,
}

/// Knows who listens, and in which words.
pub trait Listeners {
    /// The listeners to what `device` is told. Where that is less than is `wanted`, the twin is to be told with
    /// [`super::Input::Listens`] as soon as it is more.
    fn audience(&self, device: &DeviceId, ear: Ear, wanted: Audience) -> Audience;

    /// A native change of `twin` as the configuration of a device has it that looks for it there: a merge patch onto
    /// the first level of `configuration`. Nothing where the device speaks no such dialect.
    fn echo(&self, _twin: &Twin, _patch: &Patch) -> Object {
        Object::default()
    }
}

/// A broker that does not tell.
pub struct NotTold;

impl Listeners for NotTold {
    fn audience(&self, _: &DeviceId, _: Ear, _: Audience) -> Audience {
        Audience::Unknown
    }
}

/// Why a command waits.
const NOBODY_LISTENS: &str = "no client subscribes to the device's commands";
/// The wait before a broker that does not tell who listens is tried again; doubled for each further time.
const FIRST_WAIT_MS: i64 = 1_000;
const LONGEST_WAIT_MS: i64 = 30_000;

impl Twin {
    /// May a command go out now?
    pub(super) fn takes_commands(&self, listeners: &dyn Listeners) -> Takes {
        if self.polls || self.lifecycle().is_out_of_service() {
            return Takes::NotNow;
        }
        let reachable = self.is_reachable();
        let wanted = if reachable { Audience::Somebody } else { Audience::Itself };
        match listeners.audience(&self.id, Ear::Commands, wanted) {
            Audience::Nobody if reachable => Takes::NobodyListens,
            Audience::Unknown | Audience::Somebody if reachable => Takes::Now,
            Audience::Itself if reachable || !self.has_said_goodbye() => Takes::Now,
            _ => Takes::NotNow,
        }
    }

    /// It said itself, or by its last will, that it goes: it may still be connected, and is not there.
    fn has_said_goodbye(&self) -> bool {
        self.status == Status::Offline
            && self.line().is_some_and(|line| &*line.disconnect_reason == presence::reason::REPORTED)
    }

    /// Commands whose turn it would be say why they wait, once.
    pub(super) fn hold_commands(&mut self, outcome: &mut Outcome, now: Timestamp, cause: &Cause) {
        let waits: Vec<CommandId> = self
            .commands()
            .iter()
            .filter(|command| command.status == CommandStatus::Pending)
            .filter(|command| command.due.is_none_or(|due| due <= now) && now < command.expires_at)
            .filter(|command| command.reason.as_deref() != Some(NOBODY_LISTENS))
            .map(|command| command.id)
            .collect();
        for id in waits {
            let step =
                CommandStep::Returned { reason: NOBODY_LISTENS.into(), not_before: None, uncounted: false };
            self.step(outcome, id, step, now, cause);
        }
    }

    /// A command went out, and the broker had nobody to give it to: it waits, and the attempt does not count.
    pub(super) fn command_unheard(
        &mut self,
        outcome: &mut Outcome,
        (id, attempt): (CommandId, u8),
        now: Timestamp,
        cause: &Cause,
    ) {
        let Some(command) = self.command(id) else { return };
        if command.status != CommandStatus::Sent || command.attempts != attempt {
            return;
        }
        let before = command.history.iter().filter(|line| line.reason.as_deref() == Some(NOBODY_LISTENS));
        let doubled = 1_i64.checked_shl(before.count().try_into().unwrap_or(u32::MAX)).unwrap_or(i64::MAX);
        let wait = FIRST_WAIT_MS.saturating_mul(doubled).clamp(FIRST_WAIT_MS, LONGEST_WAIT_MS);
        let not_before = Some(now.plus_millis(wait));
        let step = CommandStep::Returned { reason: NOBODY_LISTENS.into(), not_before, uncounted: true };
        self.step(outcome, id, step, now, cause);
    }

    /// Desired values wait where nobody listens.
    pub(super) fn hold_desired(
        &mut self,
        outcome: &mut Outcome,
        listeners: &dyn Listeners,
        now: Timestamp,
        cause: &Cause,
    ) {
        let is_desired = |publish: &Publish| matches!(publish, Publish::Desired(_));
        if !outcome.publishes.iter().any(is_desired)
            || listeners.audience(&self.id, Ear::Desired, Audience::Somebody) != Audience::Nobody
        {
            return;
        }
        outcome.publishes.retain(|publish| !is_desired(publish));
        self.desired_unheard(outcome, now, cause);
    }

    /// The device was not told after all.
    pub(super) fn desired_unheard(&mut self, outcome: &mut Outcome, now: Timestamp, cause: &Cause) {
        if self.unmet().iter().any(|note| note.sent_at.is_some()) {
            self.say_told(outcome, false, now, cause);
        }
    }

    /// Somebody listens now to what is desired of it.
    pub(super) fn tell_desired(&mut self, outcome: &mut Outcome, now: Timestamp, cause: &Cause) {
        if self.polls || self.unmet().iter().all(|note| note.sent_at.is_some()) {
            return;
        }
        if self.is_reachable() {
            self.say_told(outcome, true, now, cause);
            outcome.publishes.push(self.publish_desired());
        }
    }

    fn say_told(&mut self, outcome: &mut Outcome, told: bool, now: Timestamp, cause: &Cause) {
        let patch = [Part::Told(told)].into_iter().collect();
        self.happen(outcome, EventBody::Twin(TwinChange { change: ChangeKind::Told, patch }), now, cause);
    }
}

/// May a command go out now?
pub(super) enum Takes {
    Now,
    /// The device is not there.
    NotNow,
    /// It is there, and listens to no commands.
    NobodyListens,
}

//! A turn: one input on its way through the parts of a twin. The parts decide; the turn makes events of their decisions,
//! folds them into the twin, and collects what follows from them.

mod device;
mod work;

use super::firmware::asks;
use super::jobs::JobTurn;
use super::{
    Downlink, Input, LayerLookup, Listeners, Outcome, Part, Patch, Publish, Refusal, Speaker, Twin, presence,
};
use crate::cause::Cause;
use crate::clock::{ReadingTime, Timestamp};
use crate::event::{ChangeKind, Event, EventBody, TwinChange};
use crate::fleet::Lifecycle;
use crate::json::{Json, Object};

/// The end of all that was under way for a device that was removed.
const REMOVED: &str = "the device was removed";
/// The same for one that was retired.
const RETIRED: &str = "the device was retired";

/// One input that a twin takes in, and its outcome so far.
pub(super) struct TwinTurn<'a> {
    pub twin: &'a mut Twin,
    pub outcome: &'a mut Outcome,
    pub listeners: &'a dyn Listeners,
    pub now: Timestamp,
    pub cause: &'a Cause,
}

impl TwinTurn<'_> {
    /// Takes the input in, and then what is due now that the twin is as it is after it.
    pub fn run(mut self, input: Input, templates: &dyn LayerLookup) -> Result<(), Refusal> {
        self.twin.control.check_service(self.twin.presence.was_heard(), &input, self.cause)?;
        let (job, asks) = (JobTurn::of(&input, self.cause), asks(&input));
        let is_removal = matches!(input, Input::Delete);
        self.apply(input, templates)?;
        if self.twin.firmware().is_some() {
            self.settle_update(asks);
        }
        self.send_commands();
        self.hold_desired();
        if self.twin.lifecycle().is_out_of_service() {
            self.outcome.publishes.clear();
        }
        if is_removal {
            // Of one out of service, too, and of one without: the embedded broker clears all that is retained.
            self.outcome.publishes.push(Publish::NoConfiguration);
        }
        job.note_steps(self.outcome);
        Ok(())
    }

    fn apply(&mut self, input: Input, templates: &dyn LayerLookup) -> Result<(), Refusal> {
        use presence::reason::{HEARD, REPORTED};
        let now = self.now;
        match input {
            Input::Appear => {
                if self.twin.is_new() {
                    self.record(EventBody::Twin(TwinChange::empty(ChangeKind::Registered)));
                }
            }
            Input::Telemetry(telemetry) => self.hear_readings(telemetry)?,
            Input::Batch(samples) => self.hear_batch(samples)?,
            Input::Import(samples) => self.import_readings(samples),
            Input::Report(reported) => self.hear_report(reported)?,
            Input::DesiredFailed(reasons) => self.hear_failures(reasons)?,
            Input::Presence { online: true, details } => {
                let details = self.checked_details(details)?;
                if self.twin.presence.comes_with(self.cause) {
                    self.come_online(REPORTED);
                } else {
                    self.remind();
                }
                self.hear_details(details);
                self.hear_online_again();
            }
            Input::Presence { online: false, details } => {
                let details = self.checked_details(details)?;
                self.go_offline(REPORTED);
                self.hear_details(details);
            }
            Input::GetDesired => {
                self.come_online(HEARD);
                self.outcome.publishes.clear(); // it is sent all of it now, asked for or not
                self.publish_desired();
                self.publish_configuration();
            }
            Input::Register(registration) => {
                let is_taken = self.twin.control.claimed || registration.takes_over(self.twin);
                if !self.twin.is_new() && is_taken {
                    return Err(Refusal::Registered(self.twin.id.clone()));
                }
                let patch = registration.into_patch(self.twin, templates, now)?;
                self.update(ChangeKind::Registered, patch);
            }
            Input::Claim(registration) => {
                Speaker::Claim.check(self.twin)?;
                let patch = registration.into_patch(self.twin, templates, now)?;
                self.update(ChangeKind::Claimed, patch);
            }
            Input::Template { layer, only_of } => {
                let is_of = only_of.is_none_or(|only| self.twin.template_id() == Some(&*only));
                if is_of && self.twin.layer() != layer.as_ref() {
                    self.update(ChangeKind::Updated, [Part::Template(layer)].into_iter().collect());
                }
            }
            Input::Refresh(id) => {
                return Err(Refusal::Invalid {
                    field: "template".into(),
                    detail: format!("`{id}` is not known"),
                });
            }
            Input::Change(change) => {
                self.twin.control.check_mode(self.cause)?;
                let mut patch = change.into_patch(self.twin, templates, now)?;
                self.echo(&mut patch);
                self.update(ChangeKind::Updated, patch);
            }
            Input::SetMode { mode, until } => {
                self.twin.control.check_mode(self.cause)?;
                if let Some(patch) = self.twin.control.set_mode(mode, until, now)? {
                    self.change_mode(patch);
                }
            }
            Input::Command { id, request, known, .. } => {
                self.twin.control.check_mode(self.cause)?;
                self.request_command(id, request, known)?;
            }
            Input::CommandResult { id, answer, known } => self.answer_command(id, *answer, known)?,
            Input::Cancel { id, known } => {
                let change = self.twin.commands.cancel(id, known.as_deref())?;
                self.step_command(change);
            }
            Input::Poll => self.poll(),
            Input::Subscribed(Downlink::Desired) => self.send_desired(),
            Input::Subscribed(Downlink::Commands | Downlink::Firmware) => {} // they have their turn with every input
            Input::CommandUndelivered { id, attempt } => {
                let change = self.twin.commands.undelivered(id, attempt, now);
                self.step_commands(change);
            }
            Input::Undelivered(Downlink::Desired) => self.mark_unsent(),
            Input::Undelivered(Downlink::Firmware) => self.advance_update(self.twin.firmware.requeue()),
            Input::Undelivered(Downlink::Commands) => {} // which of them, says the other
            Input::SetLifecycle { state, reason } => self.set_lifecycle(state, reason)?,
            Input::SetToken(change) => {
                let patch = self.twin.profile.change_tokens(change);
                self.update(ChangeKind::Token, patch);
            }
            Input::SetCertificate(change) => {
                let patch = self.twin.profile.change_certificate(&change);
                self.update(ChangeKind::Certificate, patch);
            }
            Input::Firmware(report) => {
                self.come_online(HEARD);
                let runs = self.twin.profile.text(super::firmware::VERSION);
                let effects = self.twin.firmware.report(runs, &report);
                self.advance_update(Some(effects));
            }
            Input::Update(task) => self.give_update(*task)?,
            Input::WithdrawUpdate { job, to, reason } => {
                self.advance_update(self.twin.firmware.withdraw(job, to, &reason));
            }
            Input::Translate(message) => self.translate(&*message)?,
            Input::Wake { hearing, first_id } => self.wake(hearing, first_id),
            Input::ClockMoved { from, to } => self.move_clock(from, to),
            Input::Delete => {
                self.end_all(REMOVED);
                self.record(EventBody::Twin(TwinChange::empty(ChangeKind::Deleted)));
            }
        }
        Ok(())
    }

    /// A person says where the device stands in its life.
    fn set_lifecycle(&mut self, state: Lifecycle, reason: Box<str>) -> Result<(), Refusal> {
        let heard = self.twin.presence.was_heard();
        let Some(body) = self.twin.control.move_to(state, reason, heard)? else { return Ok(()) };
        match state {
            Lifecycle::Suspended => self.go_offline(presence::reason::SUSPENDED),
            Lifecycle::Retired => {
                self.go_offline(presence::reason::RETIRED);
                self.end_all(RETIRED);
            }
            Lifecycle::Provisioned | Lifecycle::Active => {}
        }
        self.record(body);
        Ok(())
    }

    fn change_mode(&mut self, mut patch: Patch) {
        self.echo(&mut patch);
        self.update(ChangeKind::Updated, patch);
    }

    /// The hub's clock was set. What waits in a twin for the end of a span of time, a command's time to live or an
    /// answer, waits as long as it would have.
    fn move_clock(&mut self, from: Timestamp, to: Timestamp) {
        let by_ms = to.millis().saturating_sub(from.millis());
        let twin = &self.twin;
        let waits = !twin.commands.is_empty() || twin.firmware.deadline().is_some();
        let mut patch: Patch = waits.then_some(Part::ClockMoved(by_ms)).into_iter().collect();
        patch.extend(twin.control.shifted_end(from, by_ms));
        patch.extend(twin.profile.shifted_token_end(by_ms));
        if !patch.is_empty() {
            self.update(ChangeKind::Clock, patch);
            self.outcome.commands.extend(self.twin.commands().iter().cloned());
        }
    }

    /// Says a native change in the configuration, too, in the words by which devices of other dialects look for it
    /// there. Whoever sets such a word with the change means it.
    fn echo(&self, patch: &mut Patch) {
        let mut configuration = self.listeners.echo(self.twin, patch);
        if configuration.is_empty() {
            return;
        }
        if let Some(own) = patch.configuration() {
            for (name, value) in own.iter() {
                configuration.insert(name, value.clone());
            }
        }
        patch.set(Part::Configuration(configuration));
    }

    /// A change of the document, with the messages that follow from it.
    fn update(&mut self, change: ChangeKind, patch: Patch) {
        let (desired, mut configuration) = (patch.desired().is_some(), patch.configuration().is_some());
        if patch.is_empty() && !self.twin.is_new() {
            return;
        }
        let before = patch.template().map(|_| self.twin.setup.configuration.clone());
        self.record(EventBody::Twin(TwinChange { change, patch }));
        if desired {
            self.publish_desired();
        }
        let after = &self.twin.setup.configuration;
        configuration |= before.is_some_and(|before| before != *after);
        if configuration {
            let message = Publish::Configuration(after.clone().into());
            self.outcome.publishes.push(message);
        }
    }

    fn publish_configuration(&mut self) {
        let configuration = &self.twin.setup.configuration;
        if !configuration.is_empty() {
            self.outcome.publishes.push(Publish::Configuration(configuration.clone().into()));
        }
    }

    fn publish_desired(&mut self) {
        let twin = &self.twin;
        #[expect(clippy::cast_possible_wrap, reason = "one change a nanosecond wraps in 292 years")]
        let message: Object = [
            ("version", Json::from(twin.version as i64)),
            ("desired", twin.desired.to_object().into()),
            ("delta", twin.delta().into()),
        ]
        .into_iter()
        .collect();
        self.outcome.publishes.push(Publish::Desired(message.into()));
    }

    /// Records a change of this one part of the document.
    fn record_part(&mut self, change: ChangeKind, part: Part) {
        let patch = [part].into_iter().collect();
        self.record(EventBody::Twin(TwinChange { change, patch }));
    }

    /// Records an event of now.
    fn record(&mut self, body: EventBody) {
        self.record_at(self.now.into(), body);
    }

    /// Folds an event of the moment `at` into the twin, and adds it to the outcome.
    fn record_at(&mut self, at: ReadingTime, body: EventBody) {
        let event = Event {
            device: self.twin.id.clone(),
            number: self.twin.number,
            at,
            received_at: self.now,
            body,
            cause: self.cause.clone(),
        };
        if let Some(command) = self.twin.fold(&event) {
            self.outcome.commands.retain(|before| before.id != command.id);
            self.outcome.commands.push(command);
        }
        self.outcome.events.push(event);
    }

    /// The same turn, for events of another cause.
    fn because<'b>(&'b mut self, cause: &'b Cause) -> TwinTurn<'b> {
        TwinTurn { twin: self.twin, outcome: self.outcome, listeners: self.listeners, now: self.now, cause }
    }
}

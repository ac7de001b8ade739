//! New firmware for the device: it is told, says how far it has come, and is done when it runs it.

use super::{Audience, Ear, Input, Listeners, Outcome, Part, Patch, Publish, Refusal, Twin};
use crate::Status;
use crate::cause::Cause;
use crate::clock::Timestamp;
use crate::event::{ChangeKind, Event, EventBody, TwinChange};
use crate::fleet::firmware::{has_come, is_newer};
use crate::fleet::{FirmwareReport, FirmwareState, FirmwareStep, FirmwareTask, JobId, JobStep, StepState};
use crate::json::{Json, Object};

/// The field of the profile, and of what devices report, that says what runs.
pub(super) const VERSION: &str = "firmware_version";

impl Twin {
    /// The image that it is to come to, or came to last; none where there never was one.
    #[must_use]
    pub fn firmware(&self) -> Option<&FirmwareTask> {
        self.firmware.as_deref()
    }

    /// As the document shows it: `{"version", "target", "state", …}`.
    #[must_use]
    pub fn firmware_shown(&self) -> Object {
        let mut shown = self.firmware().map(FirmwareTask::shown).unwrap_or_default();
        let version = self.profile.text(VERSION);
        shown.insert("version", if version.is_empty() { Json::Null } else { version.into() });
        shown
    }

    /// The device is to come to an image. Given again, it goes on where it is.
    pub(super) fn take_update(
        &mut self,
        outcome: &mut Outcome,
        task: FirmwareTask,
        now: Timestamp,
        cause: &Cause,
    ) -> Result<(), Refusal> {
        if let Some(before) = self.firmware() {
            let is_same = (before.job, &before.image) == (task.job, &task.image);
            if is_same && before.state != FirmwareState::Failed {
                outcome.repeated = true;
                outcome.steps.extend(before.step());
                return Ok(());
            }
            // Of two that it is to come to the newer one stays, whichever roll-out has its turn first.
            let stays = !task.down && is_newer(&before.version, &task.version);
            if !before.state.is_final() && (stays || !before.state.is_waiting()) {
                return Err(Refusal::UpdateUnderWay(before.version.clone()));
            }
            if let (true, Some(job)) = (before.state.is_waiting(), before.job) {
                let why = "another update took its place";
                outcome.steps.push(JobStep::new(job, StepState::Canceled).because(why));
            }
        }
        self.say_firmware(outcome, Some(FirmwareStep::given(task)), None, now, cause);
        self.tell_step(outcome);
        Ok(())
    }

    /// Calls back an update that has not begun, and the roll-out's step is `to` then; one that has begun goes on.
    pub(super) fn withdraw_update(
        &mut self,
        outcome: &mut Outcome,
        job: Option<JobId>,
        (to, reason): (StepState, &str),
        now: Timestamp,
        cause: &Cause,
    ) {
        let Some(task) = self.firmware().filter(|task| task.job == job && task.state.is_waiting()) else {
            return;
        };
        let (was_told, cancel) = (task.state == FirmwareState::Notified, task.message(true));
        let withdrawn = withdrawal(task, reason);
        self.say_firmware(outcome, Some(withdrawn), None, now, cause);
        outcome.steps.extend(job.map(|job| JobStep::new(job, to).because(reason)));
        if was_told {
            outcome.publishes.push(Publish::Firmware(cancel));
        }
    }

    /// A device that is there, and perhaps has just come, is told what it is to come to until it installs it: one that
    /// lost its power in the middle of a download may know nothing of it any more.
    /// Where nobody listens it stays queued.
    fn tell_update(
        &mut self,
        outcome: &mut Outcome,
        listeners: &dyn Listeners,
        now: Timestamp,
        cause: &Cause,
    ) {
        let Some(task) = self.firmware().filter(|task| task.state < FirmwareState::Updating) else { return };
        if listeners.audience(&self.id, Ear::Firmware, Audience::Somebody) == Audience::Nobody {
            return;
        }
        let (is_new, message) = (task.state == FirmwareState::Queued, task.message(false));
        outcome.publishes.push(Publish::Firmware(message));
        if is_new {
            self.advance(outcome, (FirmwareState::Notified, None), "", now, cause);
        }
    }

    /// Nothing is to come of it, and that says nothing of the image.
    fn pass_over(&mut self, outcome: &mut Outcome, reason: &str, now: Timestamp, cause: &Cause) {
        let Some(task) = self.firmware() else { return };
        let job = task.job;
        if task.state == FirmwareState::Notified && self.is_reachable() {
            outcome.publishes.push(Publish::Firmware(task.message(true)));
        }
        let withdrawn = withdrawal(task, reason);
        outcome.steps.extend(job.map(|job| JobStep::new(job, StepState::Skipped).because(reason)));
        self.say_firmware(outcome, Some(withdrawn), None, now, cause);
    }

    /// A device that goes before it has begun is told again when it returns.
    pub(super) fn take_update_back(&mut self, outcome: &mut Outcome, now: Timestamp, cause: &Cause) {
        if self.firmware().is_some_and(|task| task.state == FirmwareState::Notified) {
            self.advance(outcome, (FirmwareState::Queued, None), "", now, cause);
        }
    }

    /// The device says how far it has come.
    pub(super) fn hear_firmware(
        &mut self,
        outcome: &mut Outcome,
        report: FirmwareReport,
        now: Timestamp,
        cause: &Cause,
    ) {
        let is_new = |version: &&str| *version != self.profile.text(VERSION);
        let version: Option<Box<str>> = report.version.as_deref().filter(is_new).map(Into::into);
        let runs = self.profile.text(VERSION);
        match self.firmware().and_then(|task| news(task, runs, &report)) {
            Some((state, percent, reason)) => {
                let step = self.step_to(state, percent, &reason);
                self.say_firmware(outcome, step, version, now, cause);
                self.tell_step(outcome);
            }
            None if version.is_some() => self.say_firmware(outcome, None, version, now, cause),
            None => {}
        }
    }

    /// The consequences of the version that the device runs, and of its being there, now that all is known that came
    /// with it. One that turns up with the version is done, whatever it said before.
    pub(super) fn settle_firmware(
        &mut self,
        outcome: &mut Outcome,
        asks: bool,
        listeners: &dyn Listeners,
        now: Timestamp,
        cause: &Cause,
    ) {
        let (model, runs) = (self.profile.text("model"), self.profile.text(VERSION));
        match self.firmware() {
            Some(task) if task.state != FirmwareState::Updated && has_come(task, runs) => {
                self.advance(outcome, (FirmwareState::Updated, None), "", now, cause);
            }
            // By another way it has come to something newer, or it is another device: hardware is replaced.
            Some(task) if task.state.is_waiting() => {
                if let Err(unfit) = task.fits(model, runs) {
                    self.pass_over(outcome, &unfit.to_string(), now, cause);
                }
            }
            _ => {}
        }
        let comes = |event: &Event| matches!(event.body, EventBody::Presence { status: Status::Online, .. });
        if asks || outcome.events.iter().any(comes) {
            self.time_firmware(outcome, now, cause); // nobody is told of what is over
            if self.is_reachable() {
                self.tell_update(outcome, listeners, now, cause);
            }
        }
        keep_last(&mut outcome.steps);
    }

    /// The time is over for a device that has not gone on.
    pub(super) fn time_firmware(&mut self, outcome: &mut Outcome, now: Timestamp, cause: &Cause) {
        let overdue = self.firmware().filter(|task| task.deadline().is_some_and(|at| at <= now));
        if let Some(why) = overdue.map(FirmwareTask::overdue) {
            self.advance(outcome, (FirmwareState::Failed, None), &why, now, cause);
        }
    }

    /// Nothing will come of what is under way, for a reason of the device's own: the image has not failed on it.
    pub(super) fn give_firmware_up(
        &mut self,
        outcome: &mut Outcome,
        why: &str,
        now: Timestamp,
        cause: &Cause,
    ) {
        if self.firmware().is_some_and(|task| !task.state.is_final()) {
            self.pass_over(outcome, why, now, cause);
        }
    }

    pub(super) fn redo_firmware(&mut self, step: &FirmwareStep, now: Timestamp) {
        match (step, &mut self.firmware) {
            (FirmwareStep::Given(task), _) => self.firmware = Some(Box::new((**task).clone().begun(now))),
            (FirmwareStep::Came { state, percent, reason, .. }, Some(task)) => {
                task.come_to(*state, *percent, now);
                task.reason = reason.clone();
            }
            (FirmwareStep::Came { .. } | FirmwareStep::Withdrawn { .. }, _) => self.firmware = None,
        }
    }

    fn advance(
        &mut self,
        outcome: &mut Outcome,
        (state, percent): (FirmwareState, Option<u8>),
        reason: &str,
        now: Timestamp,
        cause: &Cause,
    ) {
        let step = self.step_to(state, percent, reason);
        self.say_firmware(outcome, step, None, now, cause);
        self.tell_step(outcome);
    }

    /// The step by which its update comes to a state; none where it has none.
    fn step_to(&self, state: FirmwareState, percent: Option<u8>, reason: &str) -> Option<FirmwareStep> {
        let task = self.firmware()?;
        let (version, job) = (task.version.clone(), task.job);
        Some(FirmwareStep::Came { state, percent, version, job, reason: reason.into() })
    }

    /// Says the step, and with it the version that the device says that it runs.
    fn say_firmware(
        &mut self,
        outcome: &mut Outcome,
        step: Option<FirmwareStep>,
        runs: Option<Box<str>>,
        now: Timestamp,
        cause: &Cause,
    ) {
        let mut patch: Patch = step.map(|step| Part::Firmware(Box::new(step))).into_iter().collect();
        patch.extend(runs.and_then(|runs| Part::text(VERSION, &runs)));
        self.happen(outcome, EventBody::Twin(TwinChange { change: ChangeKind::Firmware, patch }), now, cause);
    }

    fn tell_step(&self, outcome: &mut Outcome) {
        outcome.steps.extend(self.firmware().and_then(FirmwareTask::step));
    }
}

/// With it a device that is there asks what it is to be, or is given something.
pub(super) fn asks(input: &Input) -> bool {
    matches!(
        input,
        Input::AskDesired
            | Input::Presence { online: true, .. }
            | Input::Update(_)
            | Input::Listens(Ear::Firmware)
    )
}

/// Of what happened at once the last counts.
fn keep_last(steps: &mut Vec<JobStep>) {
    let mut seen = Vec::new();
    steps.reverse();
    steps.retain(|step| {
        let is_last = !seen.contains(&step.job);
        seen.push(step.job);
        is_last
    });
    steps.reverse();
}

fn withdrawal(task: &FirmwareTask, reason: &str) -> FirmwareStep {
    FirmwareStep::Withdrawn { version: task.version.clone(), job: task.job, reason: reason.into() }
}

/// Where a report brings the device that `runs` this as far as is known, how far and why; none where it says nothing
/// new.
fn news(
    task: &FirmwareTask,
    runs: &str,
    report: &FirmwareReport,
) -> Option<(FirmwareState, Option<u8>, Box<str>)> {
    let FirmwareReport { state: said, percent, version, reason, .. } = report;
    if !report.is_of(task) {
        return None;
    }
    let said = match said {
        // A bootloader may have gone back: one that says its versions is done when it says the new one.
        FirmwareState::Updated if version.is_none() && !runs.is_empty() => &FirmwareState::Updating,
        said => said,
    };
    if version.as_deref().is_some_and(|version| has_come(task, version)) {
        return (task.state != FirmwareState::Updated).then(|| (FirmwareState::Updated, None, "".into()));
    }
    if task.state == *said && !said.is_final() {
        return (percent.is_some() && *percent != task.percent).then(|| (*said, *percent, "".into()));
    }
    let after = task.state.after(*said)?;
    Some(match (after, version) {
        (FirmwareState::Updated, Some(other)) => {
            (FirmwareState::Failed, None, format!("it says that it is updated, and runs {other}").into())
        }
        (FirmwareState::Failed, _) => {
            (FirmwareState::Failed, None, reason.clone().unwrap_or_else(|| "it did not say why".into()))
        }
        (after, _) => (after, *percent, "".into()),
    })
}

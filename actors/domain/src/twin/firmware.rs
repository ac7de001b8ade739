//! New firmware for the device: the device is sent the image, reports its progress, and is done when it runs the image.

use super::{Downlink, Input, Part, Patch, Publish, Refusal};
use crate::clock::Timestamp;
use crate::event::{ChangeKind, EventBody, TwinChange};
use crate::fleet::firmware::{has_come, is_newer};
use crate::fleet::{FirmwareReport, FirmwareState, FirmwareStep, FirmwareTask, JobId, JobStep, StepState};
use crate::json::{Json, Object};

/// The field of the profile, and of what devices report, that says what runs.
pub(super) const VERSION: &str = "firmware_version";

/// The image that the device is to come to, or came to last. Boxed: most twins have none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FirmwareUpdate(pub(super) Option<Box<FirmwareTask>>);

/// The consequences of an input for an update.
#[derive(Debug, Default)]
pub(super) struct UpdateEffects {
    /// The step that the device comes to.
    pub step: Option<FirmwareStep>,
    /// The version that the device says that it runs, where that is another than before.
    pub runs: Option<Box<str>>,
    pub publish: Option<Publish>,
    /// The step of a roll-out that has no more to do with the device.
    pub job_step: Option<JobStep>,
}

impl UpdateEffects {
    /// The event of the step, and of the version that the device runs; none where both are as before.
    pub fn take_event(&mut self) -> Option<EventBody> {
        let (step, runs) = (self.step.take(), self.runs.take());
        if step.is_none() && runs.is_none() {
            return None;
        }
        let mut patch: Patch = step.map(|step| Part::Firmware(Box::new(step))).into_iter().collect();
        patch.extend(runs.and_then(|runs| Part::text(VERSION, &runs)));
        Some(EventBody::Twin(TwinChange { change: ChangeKind::Firmware, patch }))
    }
}

impl From<FirmwareStep> for UpdateEffects {
    fn from(step: FirmwareStep) -> Self {
        Self { step: Some(step), ..Self::default() }
    }
}

impl FirmwareUpdate {
    /// The image that the device is to come to, or came to last; none where there never was one.
    #[must_use]
    pub fn task(&self) -> Option<&FirmwareTask> {
        self.0.as_deref()
    }

    /// When the update fails, if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.task()?.deadline()
    }

    /// As the document of a device that `runs` this shows it: `{"version", "target", "state", …}`.
    pub(super) fn shown(&self, runs: &str) -> Object {
        let mut shown = self.task().map(FirmwareTask::shown).unwrap_or_default();
        shown.insert("version", if runs.is_empty() { Json::Null } else { runs.into() });
        shown
    }

    /// The step that its roll-out has come to with it.
    pub(super) fn job_step(&self) -> Option<JobStep> {
        self.task()?.step()
    }

    /// The device is to come to an image. None where it was given this task before: it goes on where it is.
    pub(super) fn give(&self, task: FirmwareTask) -> Result<Option<UpdateEffects>, Refusal> {
        let mut job_step = None;
        if let Some(before) = self.task() {
            let is_same = (before.job, &before.image) == (task.job, &task.image);
            if is_same && before.state != FirmwareState::Failed {
                return Ok(None);
            }
            // Of two that it is to come to the newer one stays, whichever roll-out has its turn first.
            let stays = !task.down && is_newer(&before.version, &task.version);
            if !before.state.is_final() && (stays || !before.state.is_waiting()) {
                return Err(Refusal::UpdateUnderWay(before.version.clone()));
            }
            if let (true, Some(job)) = (before.state.is_waiting(), before.job) {
                let why = "another update took its place";
                job_step = Some(JobStep::new(job, StepState::Canceled).because(why));
            }
        }
        Ok(Some(UpdateEffects { job_step, ..FirmwareStep::given(task).into() }))
    }

    /// Calls back an update that has not begun, and the roll-out's step is `to` then; one that has begun goes on.
    pub(super) fn withdraw(&self, job: Option<JobId>, to: StepState, reason: &str) -> Option<UpdateEffects> {
        let task = self.task().filter(|task| task.job == job && task.state.is_waiting())?;
        let was_sent = task.state == FirmwareState::Notified;
        Some(UpdateEffects {
            publish: was_sent.then(|| Publish::Firmware(task.message(true))),
            job_step: job.map(|job| JobStep::new(job, to).because(reason)),
            ..withdrawal(task, reason).into()
        })
    }

    /// A device that is there, and perhaps has just come, is sent its update until it installs it: one that lost its
    /// power in the middle of a download may know nothing of it any more.
    pub(super) fn is_to_be_sent(&self) -> bool {
        self.task().is_some_and(|task| task.state < FirmwareState::Updating)
    }

    /// Sends the update to the device.
    pub(super) fn send(&self) -> Option<UpdateEffects> {
        let task = self.task()?;
        let is_new = task.state == FirmwareState::Queued;
        Some(UpdateEffects {
            step: is_new.then(|| step_to(task, FirmwareState::Notified, None, "")),
            publish: Some(Publish::Firmware(task.message(false))),
            ..UpdateEffects::default()
        })
    }

    /// A device that goes before it has begun, or was not there, is sent the update again when it returns.
    pub(super) fn requeue(&self) -> Option<UpdateEffects> {
        let task = self.task().filter(|task| task.state == FirmwareState::Notified)?;
        Some(step_to(task, FirmwareState::Queued, None, "").into())
    }

    /// The device, which `runs` this as far as is known, says how far it has come.
    pub(super) fn report(&self, runs: &str, report: &FirmwareReport) -> UpdateEffects {
        let news = self.task().and_then(|task| Some((task, news(task, runs, report)?)));
        let is_new = |version: &&str| *version != runs;
        UpdateEffects {
            step: news.map(|(task, (state, percent, reason))| step_to(task, state, percent, &reason)),
            runs: report.version.as_deref().filter(is_new).map(Into::into),
            ..UpdateEffects::default()
        }
    }

    /// The consequences of the version that a device of this `model` `runs`, now that all is known that came with it.
    /// One that turns up with the version is done, whatever it reported before.
    pub(super) fn settle(&self, model: &str, runs: &str, is_reachable: bool) -> Option<UpdateEffects> {
        let task = self.task()?;
        if task.state != FirmwareState::Updated && has_come(task, runs) {
            return Some(step_to(task, FirmwareState::Updated, None, "").into());
        }
        // By another way it has come to something newer, or it is another device: hardware is replaced.
        if task.state.is_waiting()
            && let Err(unfit) = task.fits(model, runs)
        {
            return Some(skipped(task, &unfit.to_string(), is_reachable));
        }
        None
    }

    /// The time is over for a device that has not gone on.
    pub(super) fn overdue(&self, now: Timestamp) -> Option<UpdateEffects> {
        let task = self.task().filter(|task| task.deadline().is_some_and(|at| at <= now))?;
        Some(step_to(task, FirmwareState::Failed, None, &task.overdue()).into())
    }

    /// Nothing will come of it, for a reason of the device's own: the image has not failed on it.
    pub(super) fn give_up(&self, why: &str, is_reachable: bool) -> Option<UpdateEffects> {
        let task = self.task().filter(|task| !task.state.is_final())?;
        Some(skipped(task, why, is_reachable))
    }

    pub(super) fn apply(&mut self, step: &FirmwareStep, now: Timestamp) {
        match (step, &mut self.0) {
            (FirmwareStep::Given(task), _) => self.0 = Some(Box::new((**task).clone().begun(now))),
            (FirmwareStep::Came { state, percent, reason, .. }, Some(task)) => {
                task.come_to(*state, *percent, now);
                task.reason = reason.clone();
            }
            (FirmwareStep::Came { .. } | FirmwareStep::Withdrawn { .. }, _) => self.0 = None,
        }
    }

    /// Moves all times by `by_ms`: the hub's clock was set.
    pub(super) fn shift(&mut self, by_ms: i64) {
        if let Some(task) = &mut self.0 {
            task.at = task.at.plus_millis(by_ms);
            if let Some(furthest) = &mut task.furthest {
                furthest.at = furthest.at.plus_millis(by_ms);
            }
            task.expires = task.expires.map(|at| at.plus_millis(by_ms));
        }
    }
}

/// With it a device that is there asks what it is to be, or is given something.
pub(super) fn asks(input: &Input) -> bool {
    matches!(
        input,
        Input::GetDesired
            | Input::Presence { online: true, .. }
            | Input::Update(_)
            | Input::Subscribed(Downlink::Firmware)
    )
}

/// Of several steps of a job at once the last counts.
pub(super) fn keep_last(steps: &mut Vec<JobStep>) {
    let mut seen = Vec::new();
    steps.reverse();
    steps.retain(|step| {
        let is_last = !seen.contains(&step.job);
        seen.push(step.job);
        is_last
    });
    steps.reverse();
}

/// The step by which an update comes to a state.
fn step_to(task: &FirmwareTask, state: FirmwareState, percent: Option<u8>, reason: &str) -> FirmwareStep {
    let (version, job) = (task.version.clone(), task.job);
    FirmwareStep::Came { state, percent, version, job, reason: reason.into() }
}

/// The roll-out passes the device over, which says nothing of the image.
fn skipped(task: &FirmwareTask, reason: &str, is_reachable: bool) -> UpdateEffects {
    let was_sent = task.state == FirmwareState::Notified && is_reachable;
    UpdateEffects {
        publish: was_sent.then(|| Publish::Firmware(task.message(true))),
        job_step: task.job.map(|job| JobStep::new(job, StepState::Skipped).because(reason)),
        ..withdrawal(task, reason).into()
    }
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
    let FirmwareReport { state: reported, percent, version, reason, .. } = report;
    if !report.is_of(task) {
        return None;
    }
    let reported = match reported {
        // A bootloader may have gone back: one that says its versions is done when it says the new one.
        FirmwareState::Updated if version.is_none() && !runs.is_empty() => &FirmwareState::Updating,
        reported => reported,
    };
    if version.as_deref().is_some_and(|version| has_come(task, version)) {
        return (task.state != FirmwareState::Updated).then(|| (FirmwareState::Updated, None, "".into()));
    }
    if task.state == *reported && !reported.is_final() {
        return (percent.is_some() && *percent != task.percent).then(|| (*reported, *percent, "".into()));
    }
    let after = task.state.after(*reported)?;
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

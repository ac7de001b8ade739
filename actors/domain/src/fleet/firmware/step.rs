//! A step of a device's update, as the event says it that tells of it.

use super::{FirmwareState, FirmwareTask};
use crate::clock::Timestamp;
use crate::fleet::JobId;
use crate::json::{Json, Object};

/// A step of a device's update.
#[derive(Clone, Debug, PartialEq)]
pub enum FirmwareStep {
    /// The device is to come to an image. The task as it begins: when it does, the event says.
    Given(Box<FirmwareTask>),
    Came {
        state: FirmwareState,
        /// Of 100, within the state.
        percent: Option<u8>,
        version: Box<str>,
        job: Option<JobId>,
        /// Empty where none is to be said.
        reason: Box<str>,
    },
    /// It need not come to it any more.
    Withdrawn { version: Box<str>, job: Option<JobId>, reason: Box<str> },
}

/// The word for it in the place of a state.
const WITHDRAWN: &str = "withdrawn";

impl FirmwareStep {
    /// The device is to come to this.
    #[must_use]
    pub fn given(task: FirmwareTask) -> Self {
        Self::Given(Box::new(task.begun(Timestamp::default())))
    }

    /// The step that [`FirmwareStep::to_object`] wrote; none where it is none.
    #[must_use]
    pub fn read(step: &Object) -> Option<Self> {
        if let Some(task) = FirmwareTask::from_given(step, Timestamp::default()) {
            return Some(Self::Given(Box::new(task)));
        }
        let text = |name| step.get(name).and_then(Json::as_str);
        let own = |name| Box::<str>::from(text(name).unwrap_or_default());
        let (word, version, reason) = (text("state")?, own("version"), own("reason"));
        let job = text("job").and_then(JobId::parse);
        if word == WITHDRAWN {
            return Some(Self::Withdrawn { version, job, reason });
        }
        let percent = step.get("percent").and_then(Json::as_number);
        let percent = percent.and_then(|percent| percent.as_str().parse().ok());
        Some(Self::Came { state: FirmwareState::parse(word)?, percent, version, job, reason })
    }

    /// As events say it.
    #[must_use]
    pub fn to_object(&self) -> Object {
        let job = |job: &Option<JobId>| job.map_or(Json::Null, |job| job.to_string().into());
        match self {
            Self::Given(task) => task.given(),
            Self::Came { state, percent, version, job: of, reason } => {
                let mut step: Object = [
                    ("state", Json::from(state.as_str())),
                    ("version", Json::String(version.clone())),
                    ("job", job(of)),
                ]
                .into_iter()
                .collect();
                if let Some(percent) = percent {
                    step.insert("percent", i64::from(*percent).into());
                }
                if !reason.is_empty() {
                    step.insert("reason", Json::String(reason.clone()));
                }
                step
            }
            Self::Withdrawn { version, job: of, reason } => [
                ("state", WITHDRAWN.into()),
                ("version", Json::String(version.clone())),
                ("job", job(of)),
                ("reason", Json::String(reason.clone())),
            ]
            .into_iter()
            .collect(),
        }
    }
}

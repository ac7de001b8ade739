//! A device's progress with new firmware.

mod step;

use serde::{Deserialize, Serialize};

use super::image::{ImageMismatch, is_for, is_up};
use super::job::{JobId, JobStep, StepState};
use super::version::Version;
use crate::clock::Timestamp;
use crate::duration::{duration_ms, duration_text};
use crate::json::{Json, Object};
use crate::payload;
use crate::payload::PayloadError;

pub use step::FirmwareStep;

/// The progress of a device with an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FirmwareState {
    /// The device is to be notified, once it is online.
    Queued,
    /// The device was notified.
    Notified,
    Downloading,
    Downloaded,
    /// The downloaded bytes are right: the hash matches.
    Verified,
    /// The device installs the image, and will be away for a moment.
    Updating,
    /// The device runs the image.
    Updated,
    Failed,
}

/// The image that a device is to be brought to, and how far it has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FirmwareTask {
    /// The roll-out that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    pub image: Box<str>,
    pub version: Box<str>,
    /// The models that it is for; none: every chosen device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Box<str>>,
    pub url: Box<str>,
    /// 64 hexadecimal digits.
    pub sha256: Box<str>,
    /// Bytes.
    pub size: u64,
    pub state: FirmwareState,
    /// The progress within the state by the device's own report, of 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// The time at which it came to this state.
    pub at: Timestamp,
    /// The furthest that it was, once it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub furthest: Option<FurthestProgress>,
    /// The reason why it failed.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub reason: Box<str>,
    /// After how many ms without any progress it has failed.
    pub timeout_ms: i64,
    /// One that has not begun by then has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The device is brought to it also from a newer version.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub down: bool,
}

/// The furthest progress of a device with an update, and its time: a device that begins again and again makes no
/// progress.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FurthestProgress {
    pub state: FirmwareState,
    /// Of 100.
    pub percent: u8,
    pub at: Timestamp,
}

/// A device's report on its firmware.
#[derive(Clone, Debug, PartialEq)]
pub struct FirmwareReport {
    pub state: FirmwareState,
    pub percent: Option<u8>,
    /// The version that it runs now.
    pub version: Option<Box<str>>,
    pub reason: Option<Box<str>>,
    /// The roll-out of the report; none: the one that the device was notified of.
    pub job: Option<JobId>,
}

/// The time that a device may be without any progress, by default.
pub const USUAL_TIMEOUT_MS: i64 = 60 * 60 * 1_000;
/// A reason has at most this many characters; a longer one is cut.
const LONGEST_REASON: usize = 512;

impl FirmwareState {
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Notified,
        Self::Downloading,
        Self::Downloaded,
        Self::Verified,
        Self::Updating,
        Self::Updated,
        Self::Failed,
    ];

    /// The state after a device in this one has reported `reported`; none where that is no news. It may skip states, and
    /// begin the download again; it never leaves a final state.
    #[must_use]
    pub fn after(self, reported: Self) -> Option<Self> {
        use FirmwareState::{Downloading, Failed, Queued, Updated};
        match (self, reported) {
            (Updated | Failed, _) | (_, Queued) => None,
            (_, Failed) => Some(Failed),
            (before, Downloading) if before > Downloading => Some(Downloading),
            (before, reported) => (reported > before).then_some(reported),
        }
    }

    /// The device has not begun with it.
    #[must_use]
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Queued | Self::Notified)
    }

    /// Is the state final, unless the device turns up with the version?
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Updated | Self::Failed)
    }

    /// The word for it on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Notified => "notified",
            Self::Downloading => "downloading",
            Self::Downloaded => "downloaded",
            Self::Verified => "verified",
            Self::Updating => "updating",
            Self::Updated => "updated",
            Self::Failed => "failed",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    fn step(self) -> StepState {
        match self {
            Self::Queued => StepState::Queued,
            Self::Notified => StepState::Notified,
            Self::Downloading => StepState::Downloading,
            Self::Downloaded => StepState::Downloaded,
            Self::Verified => StepState::Verified,
            Self::Updating => StepState::Updating,
            Self::Updated => StepState::Done,
            Self::Failed => StepState::Failed,
        }
    }
}

impl FirmwareTask {
    /// Moves the task to this state.
    pub fn come_to(&mut self, state: FirmwareState, percent: Option<u8>, at: Timestamp) {
        (self.state, self.percent, self.at) = (state, percent, at);
        let percent = percent.unwrap_or_default();
        if state.is_waiting() {
            self.furthest = None;
        } else if self.furthest.is_none_or(|before| (state, percent) > (before.state, before.percent)) {
            self.furthest = Some(FurthestProgress { state, percent, at });
        }
    }

    /// As it stands when it is given to a device at `at`: with nothing done.
    #[must_use]
    pub fn begun(self, at: Timestamp) -> Self {
        let (state, percent, furthest, reason) = (FirmwareState::Queued, None, None, "".into());
        Self { state, percent, at, furthest, reason, ..self }
    }

    /// When it has failed if nothing happens before; none where it waits for a device for ever, or is over.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let since = self.furthest.map_or(self.at, |furthest| furthest.at);
        let stalled = Some(since.plus_millis(self.timeout_ms));
        match self.state {
            FirmwareState::Queued => self.expires,
            FirmwareState::Notified => [stalled, self.expires].into_iter().flatten().min(),
            state if state.is_final() => None,
            _ => stalled,
        }
    }

    /// The reason why it has failed, at its deadline.
    #[must_use]
    pub fn overdue(&self) -> String {
        let timeout = duration_text(self.timeout_ms);
        match self.state {
            FirmwareState::Queued if self.expires <= Some(self.at) && self.expires.is_some() => {
                "the roll-out's time was over before its turn came".into()
            }
            FirmwareState::Queued => "away: it was not there in time".into(),
            FirmwareState::Notified
                if self.expires <= Some(self.at.plus_millis(self.timeout_ms)) && self.expires.is_some() =>
            {
                "it was notified, and had not begun in time".into()
            }
            FirmwareState::Notified => format!("it was notified, and has not begun for {timeout}"),
            state => format!("no progress for {timeout}: the last was `{}`", state.as_str()),
        }
    }

    /// The step of the roll-out that it has come to; none where it is of none.
    #[must_use]
    pub fn step(&self) -> Option<JobStep> {
        let step = JobStep::new(self.job?, self.state.step()).because(self.reason.clone());
        Some(JobStep { percent: self.percent, ..step })
    }

    /// Checks a device of this `model` that runs `version`: it may be another one by now than when it was chosen. One
    /// without a version counts as it was then. The error is the reason against the update.
    ///
    /// # Errors
    /// The reason against it.
    pub fn fits(&self, model: &str, version: &str) -> Result<(), ImageMismatch> {
        if !self.models.is_empty() {
            is_for(&self.models, model)?;
        }
        if version.is_empty() { Ok(()) } else { is_up(&self.version, version, self.down) }
    }

    /// The message for the device: `{"job", "version", "url", "sha256", "size"}`, or its cancellation.
    #[must_use]
    pub fn message(&self, cancel: bool) -> Json {
        let mut message: Object =
            [("version", Json::String(self.version.clone())), ("job", job(self.job))].into_iter().collect();
        if cancel {
            message.insert("cancel", true.into());
            return message.into();
        }
        message.insert("url", Json::String(self.url.clone()));
        message.insert("sha256", Json::String(self.sha256.clone()));
        message.insert("size", i64::try_from(self.size).unwrap_or(i64::MAX).into());
        if let Some(expires) = self.expires {
            message.insert("deadline", expires.to_string().into());
        }
        message.into()
    }

    /// The whole task, for the event that gives it to a device.
    #[must_use]
    pub fn given(&self) -> Object {
        let mut given = match self.message(false) {
            Json::Object(message) => message,
            _ => Object::default(),
        };
        given.insert("image", Json::String(self.image.clone()));
        if !self.models.is_empty() {
            given.insert("models", Json::Array(self.models.iter().cloned().map(Json::String).collect()));
        }
        given.insert("timeout", duration_text(self.timeout_ms).into());
        given.insert("state", self.state.as_str().into());
        if self.down {
            given.insert("down", true.into());
        }
        given
    }

    /// The task that such an event gave; none where it is another event.
    #[must_use]
    pub fn from_given(given: &Object, at: Timestamp) -> Option<Self> {
        let text = |name: &str| given.get(name).and_then(Json::as_str).map(Into::into);
        let number = |name: &str| match given.get(name) {
            Some(Json::Number(number)) => number.as_str().parse::<i64>().ok(),
            _ => None,
        };
        Some(Self {
            job: given.get("job").and_then(Json::as_str).and_then(JobId::parse),
            image: text("image")?,
            version: text("version")?,
            models: match given.get("models") {
                Some(Json::Array(models)) => {
                    models.iter().filter_map(|model| model.as_str().map(Into::into)).collect()
                }
                _ => Vec::new(),
            },
            url: text("url")?,
            sha256: text("sha256")?,
            size: number("size").and_then(|size| u64::try_from(size).ok())?,
            state: FirmwareState::parse(given.get("state")?.as_str()?)?,
            percent: None,
            at,
            furthest: None,
            reason: "".into(),
            timeout_ms: match given.get("timeout").and_then(Json::as_str) {
                Some(timeout) => duration_ms(timeout).ok()?,
                None => number("timeout_ms")?, // of an earlier version
            },
            expires: given.get("deadline").and_then(Json::as_str).and_then(Timestamp::parse),
            down: given.get("down") == Some(&Json::Bool(true)),
        })
    }

    /// As the twin's document shows it, beside the version that the device runs.
    #[must_use]
    pub fn shown(&self) -> Object {
        let percent = self.percent.map_or(Json::Null, |percent| i64::from(percent).into());
        let reason = if self.reason.is_empty() { Json::Null } else { Json::String(self.reason.clone()) };
        [
            ("target", Json::String(self.version.clone())),
            ("state", self.state.as_str().into()),
            ("percent", percent),
            ("at", self.at.to_string().into()),
            ("reason", reason),
            ("image_id", Json::String(self.image.clone())),
            ("job_id", job(self.job)),
        ]
        .into_iter()
        .collect()
    }
}

fn job(job: Option<JobId>) -> Json {
    job.map_or(Json::Null, |job| job.to_string().into())
}

impl FirmwareReport {
    /// Reads `{"state": "downloading", "percent": 40, "version"?, "reason"?, "job"?}`. Other members are ignored.
    ///
    /// # Errors
    /// The error, and its place.
    pub fn read(bytes: &[u8]) -> Result<Self, PayloadError> {
        let mut fields = payload::object(bytes)?;
        let mut text = |name: &str| match fields.remove(name).unwrap_or_default() {
            Json::Null => Ok(None),
            Json::String(text) => Ok(Some(text)),
            other => {
                Err(PayloadError::WrongType { name: name.into(), expected: "a string", found: other.kind() })
            }
        };
        let state = text("state")?.unwrap_or_default();
        let known =
            FirmwareState::parse(&state.to_ascii_lowercase()).filter(|state| *state != FirmwareState::Queued);
        let Some(state) = known else {
            let shown: String = state.chars().take(64).collect();
            let words = "notified, downloading, downloaded, verified, updating, updated, failed";
            let detail = format!("`{}` is none of {words}", shown.escape_debug());
            return Err(PayloadError::BadValue { name: "state".into(), detail });
        };
        let (version, reason, job) = (text("version")?, text("reason")?, text("job")?);
        let percent = match fields.remove("percent").unwrap_or_default() {
            Json::Null => None,
            Json::Number(number) => Some(percent(number.as_f64())?),
            found => {
                let (expected, found) = ("a number from 0 to 100", found.kind());
                return Err(PayloadError::WrongType { name: "percent".into(), expected, found });
            }
        };
        Ok(Self {
            state,
            percent,
            version: version
                .map(|version| version.trim().into())
                .filter(|version: &Box<_>| !str::is_empty(version)),
            reason: reason.map(|reason| reason.chars().take(LONGEST_REASON).collect::<String>().into()),
            job: job.and_then(|job| JobId::parse(&job)),
        })
    }

    /// Is the report about this task, as far as it names one?
    #[must_use]
    pub fn is_of(&self, task: &FirmwareTask) -> bool {
        self.job.is_none_or(|job| task.job == Some(job))
    }
}

/// Down to a whole one: 99.9 % is not all.
fn percent(number: f64) -> Result<u8, PayloadError> {
    let bad = || PayloadError::BadValue {
        name: "percent".into(),
        detail: format!("{number} is not from 0 to 100"),
    };
    if !(0.0..=100.0).contains(&number) {
        return Err(bad());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 100")]
    let whole = number as u8;
    Ok(whole)
}

/// Is a device's reported version the one of this task?
#[must_use]
pub fn has_come(task: &FirmwareTask, version: &str) -> bool {
    !version.is_empty() && Version::is_same(version, &task.version)
}

/// One version is newer than the other, as far as they can be compared.
#[must_use]
pub fn is_newer(one: &str, other: &str) -> bool {
    Version::parse(one).zip(Version::parse(other)).is_some_and(|(one, other)| one > other)
}

#[cfg(test)]
mod tests;

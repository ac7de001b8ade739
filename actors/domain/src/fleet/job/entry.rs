//! A job as it is kept and shown.

use serde::{Deserialize, Serialize};

use super::progress::{JobCounts, JobProgress};
use super::{JobAction, JobId, JobSignal, JobStatus, StepState};
use crate::clock::Timestamp;
use crate::json::{Json, Object};

/// A job: one action on many devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub action: JobAction,
    #[serde(default)]
    pub description: Box<str>,
    /// Its creator: `user:ann`.
    pub by: Box<str>,
    /// The user or key without whose rights it does not go on, by an id that lasts; none: it is the hub's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maker: Option<Box<str>>,
    pub status: JobStatus,
    /// The reason for its status, where there is one.
    #[serde(default)]
    pub reason: Option<Box<str>>,
    /// The number of its devices.
    pub total: u64,
    /// The most devices a second; none: as fast as it goes.
    #[serde(default)]
    pub rate: Option<f64>,
    /// 1, and one more with each retry.
    pub round: u32,
    /// Of a roll-out: the stage that it is in, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<u32>,
    pub created_at: Timestamp,
    /// The time at which its first device could have its turn.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// The number of its devices in each state when this was written.
    #[serde(default)]
    pub counts: JobCounts,
    /// The rest of a change of all its devices that is not written down yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweeping: Option<JobSweep>,
}

/// A change of many of a job's devices at once. It is written down in parts, so that no other commit waits for it, and
/// continues after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobSweep {
    /// Devices that had no turn get none any more.
    Cancel,
    /// Devices that failed get another turn.
    Retry,
}

impl Job {
    /// A job that is about to be written down.
    #[must_use]
    pub fn new(id: JobId, action: JobAction, by: &str, total: u64, now: Timestamp) -> Self {
        Self {
            id,
            stage: action.rollout().map(|_| 1),
            action,
            description: "".into(),
            by: by.into(),
            maker: None,
            status: JobStatus::Preparing,
            reason: None,
            total,
            rate: None,
            round: 1,
            created_at: now,
            started_at: None,
            ended_at: None,
            counts: JobCounts::new(),
            sweeping: None,
        }
    }

    /// Applies `signal`; false where the transition is not allowed, and then nothing is changed.
    #[must_use]
    pub fn take(&mut self, signal: JobSignal, reason: Option<&str>, now: Timestamp) -> bool {
        let Some(status) = self.status.after(signal) else { return false };
        self.status = status;
        self.reason = reason.map(Into::into);
        self.ended_at = status.is_final().then_some(now);
        match signal {
            JobSignal::Prepared => self.started_at = Some(now),
            JobSignal::BreakOff | JobSignal::Cancel | JobSignal::Abort => {
                self.sweeping = Some(JobSweep::Cancel);
            }
            JobSignal::Retry => {
                self.round += 1;
                if let JobAction::Firmware(rollout) = &mut self.action {
                    rollout.expires = now.plus_millis(rollout.life.ms());
                }
                self.sweeping = Some(JobSweep::Retry);
            }
            JobSignal::Pause | JobSignal::Resume | JobSignal::Finish => {}
        }
        true
    }

    /// Reads the form of [`Job::to_object`].
    ///
    /// # Errors
    /// The missing or wrong field.
    pub fn parse(object: &Object) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&Json::Object(object.clone()).to_string())
    }

    /// As it is kept.
    #[must_use]
    pub fn to_object(&self) -> Object {
        // Texts, numbers that are finite, and JSON alone: nothing in it cannot be written.
        let text = serde_json::to_string(self).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// As events and answers show it, with how far it has come.
    #[must_use]
    pub fn document(&self, progress: &JobProgress) -> Object {
        let mut document = self.to_object();
        document.remove("sweeping");
        document.remove("maker");
        document.insert("kind", self.action.kind().into());
        for field in ["reason", "rate", "stage", "started_at", "ended_at"] {
            if document.get(field).is_none() {
                document.insert(field, Json::Null);
            }
        }
        for (field, value) in progress.to_object().iter() {
            document.insert(field, value.clone());
        }
        document
    }
}

impl JobSweep {
    /// The state before, the state after, and the reason that is written down.
    #[must_use]
    pub fn change(self) -> (StepState, StepState, &'static str) {
        match self {
            Self::Cancel => (StepState::Queued, StepState::Canceled, "the job was canceled"),
            Self::Retry => (StepState::Failed, StepState::Queued, ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn job(action: &str) -> Job {
        let action = serde_json::from_str(action).unwrap();
        Job::new(JobId(Uuid::nil()), action, "user:ann", 3, Timestamp::from_millis(0))
    }

    #[test]
    fn a_job_is_read_as_it_was_kept() {
        for action in [r#"{"desired":{"n":1.50}}"#, r#"{"delete":true}"#, r#"{"group_id":null}"#] {
            let mut job = job(action);
            assert_eq!(Job::parse(&job.to_object()).unwrap(), job);
            assert!(job.take(JobSignal::Prepared, None, Timestamp::from_millis(1)));
            assert!(job.take(JobSignal::Cancel, Some("enough"), Timestamp::from_millis(2)));
            job.counts = [(StepState::Done, 2), (StepState::Canceled, 1)].into();
            (job.rate, job.maker) = (Some(0.5), Some("user:1".into()));
            assert_eq!(Job::parse(&job.to_object()).unwrap(), job);
        }
        assert!(Job::parse(&Object::default()).unwrap_err().to_string().contains("id"));
    }

    #[test]
    fn a_job_is_shown_with_all_its_fields() {
        let mut job = Job { maker: Some("user:1".into()), ..job(r#"{"desired":{"n":1.50}}"#) };
        job.counts = [(StepState::Queued, 3)].into();
        let counts = [(StepState::Done, 1), (StepState::Asked, 2)].into();
        let progress = JobProgress { counts, total: 3, ..JobProgress::default() };
        let told = Json::Object(job.document(&progress)).to_string();
        let expected = concat!(
            r#"{"action":{"desired":{"n":1.50}},"by":"user:ann","counts":{"asked":2,"done":1},"#,
            r#""created_at":"1970-01-01T00:00:00.000Z","description":"","devices_per_second":null,"#,
            r#""ended_at":null,"eta":null,"id":"00000000-0000-0000-0000-000000000000","kind":"desired","#,
            r#""percent":33,"rate":null,"reason":null,"round":1,"stage":null,"started_at":null,"status":"preparing","total":3}"#
        );
        assert_eq!(told, expected);
    }

    #[test]
    fn a_rollout_that_is_tried_again_has_as_long_as_it_had() {
        let mut job = job(
            r#"{"firmware":{"image":"i","version":"2","url":"u","sha256":"0","size":1,"stages":[100],"places":[3],
                "timeout_ms":5,"expires":"1970-01-01T00:00:00.060Z","life_ms":60}}"#,
        );
        assert!(job.take(JobSignal::Prepared, None, Timestamp::from_millis(0)));
        for again in [100, 500] {
            assert!(job.take(JobSignal::Finish, None, Timestamp::from_millis(again)));
            assert!(job.take(JobSignal::Retry, None, Timestamp::from_millis(again)));
            assert_eq!(job.action.rollout().unwrap().expires, Timestamp::from_millis(again + 60));
        }
    }

    #[test]
    fn devices_without_a_turn_at_an_early_end_get_none() {
        let now = Timestamp::from_millis(5);
        for signals in [
            &[JobSignal::BreakOff][..],
            &[JobSignal::Prepared, JobSignal::Cancel],
            &[JobSignal::Prepared, JobSignal::Abort],
        ] {
            let mut job = job(r#"{"delete":true}"#);
            assert!(signals.iter().all(|signal| job.take(*signal, None, now)));
            assert_eq!((job.sweeping, job.ended_at), (Some(JobSweep::Cancel), Some(now)), "{signals:?}");
        }
    }

    #[test]
    fn each_retry_is_a_round() {
        let (mut job, now) = (job(r#"{"delete":true}"#), Timestamp::from_millis(5));
        for signal in [JobSignal::Prepared, JobSignal::Finish] {
            assert!(job.take(signal, None, now));
        }
        assert_eq!((job.started_at, job.ended_at), (Some(now), Some(now)));
        assert!(job.take(JobSignal::Retry, None, now));
        assert_eq!((job.round, job.ended_at, job.sweeping), (2, None, Some(JobSweep::Retry)));
        let before = job.clone();
        assert!(!job.take(JobSignal::Retry, None, now));
        assert_eq!(job, before);
    }
}

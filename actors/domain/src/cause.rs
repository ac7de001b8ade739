//! Causes of events: the way in, and the person or program there.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fleet::JobId;
use super::run::RunId;

/// The cause of an event: the door through which it came, and the person or program there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// `mqtt`, `rest`, `websocket`, `rule`, `schedule`, `hub`, `job` or `import`.
    pub source: Source,
    /// The topic, the person (`user:ann`), the rule's name, the job's id.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub by: Arc<str>,
    /// The rule's run, where one brought it about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Arc<RunCause>>,
    /// The broker had retained the message: it reports a state, and no event of just now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retained: bool,
}

/// The place of an event in a chain of rules that set each other off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCause {
    pub id: RunId,
    /// The number of runs above this one.
    pub depth: u8,
    /// The rule may drive devices in manual mode too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub even_in_manual: bool,
}

/// The doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    Mqtt,
    Rest,
    WebSocket,
    Rule,
    Schedule,
    Hub,
    Job,
    /// A file of readings, which were taken long ago, perhaps by another program.
    Import,
}

impl Source {
    /// The word for it on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Rest => "rest",
            Self::WebSocket => "websocket",
            Self::Rule => "rule",
            Self::Schedule => "schedule",
            Self::Hub => "hub",
            Self::Job => "job",
            Self::Import => "import",
        }
    }
}

impl Cause {
    /// A cause.
    #[must_use]
    pub fn new(source: Source, by: &str) -> Self {
        Self { source, by: by.into(), run: None, retained: false }
    }

    /// A job over many devices.
    #[must_use]
    pub fn of_job(job: JobId) -> Self {
        Self::new(Source::Job, &job.to_string())
    }

    /// The job that brought it about, where one did.
    #[must_use]
    pub fn job(&self) -> Option<JobId> {
        if self.source == Source::Job { JobId::parse(&self.by) } else { None }
    }

    /// It is no event of just now: it sets no rule off, and the device was not heard.
    #[must_use]
    pub fn is_of_the_past(&self) -> bool {
        self.source == Source::Import
    }

    /// The hub itself.
    #[must_use]
    pub fn hub() -> Self {
        Self::new(Source::Hub, "")
    }
}

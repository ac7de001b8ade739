//! The pure core: the twin and its changes. In reading order.
//!
//! No code in here knows actix, tokio, a database or MQTT, does input or output, or reads the clock: times and ids come
//! in as arguments, and effects come back as data.

pub mod alarm;
pub mod anomaly;
pub mod cause;
pub mod clock;
pub mod command;
pub mod duration;
pub mod event;
pub mod fingerprint;
pub mod fleet;
pub mod id;
pub mod id_pattern;
pub mod json;
pub mod outgoing;
pub mod payload;
pub mod reading;
pub mod receipt;
pub mod retained;
pub mod run;
pub mod schedule;
pub mod series;
pub mod settings;
pub mod status;
pub mod text;
pub mod topic;
pub mod twin;
pub mod versions;
pub mod words;

pub use cause::{Cause, RunCause, Source};
pub use clock::{Clock, ReadingTime, Timestamp};
pub use command::{Command, CommandId, CommandRequest, CommandResult, CommandResultStatus, CommandStatus};
pub use event::{Event, EventBody, EventKind, Recorded, TwinChange};
pub use id::{BadDeviceId, DeviceId, DeviceNumber};
pub use id_pattern::{BadIdPattern, IdPattern};
pub use json::{Json, Number, Object};
pub use outgoing::{CommandAttempt, Outgoing, Purpose, PurposeKind};
pub use reading::{ImportedReadings, Quality, Reading, Scalar, Telemetry};
pub use run::{AutomationSignal, RuleId, RunEntry, RunId};
pub use settings::{DeviceSettings, Gateway};
pub use status::{Mode, Status};
pub use twin::{Input, Outcome, Publish, Refusal, Twin};
pub use versions::{EntityTags, Versions};

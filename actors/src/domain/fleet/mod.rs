//! The fleet: what is said of many devices at once. Groups, templates, jobs over thousands, firmware.

pub mod job;
pub mod record;

pub use job::{Job, JobAction, JobId, JobSignal, JobStatus, Step, StepState};
pub use record::{FleetChange, RecordChange, RecordKind};

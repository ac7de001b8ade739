//! The fleet: what is said of many devices at once. Groups, templates, jobs over thousands, firmware.

pub mod job;
pub mod layer;
pub mod limits;
pub mod record;
mod snippet;
pub mod template;

pub use job::{Job, JobAction, JobId, JobSignal, JobStatus, Step, StepState};
pub use layer::Layer;
pub use limits::Limits;
pub use record::{FleetChange, RecordChange, RecordKind};
pub use template::{BadTemplate, Catalog, Template};

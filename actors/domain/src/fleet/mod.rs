//! The fleet: operations on many devices at once. Groups, templates, jobs over thousands, firmware.

pub mod census;
pub mod firmware;
pub mod group;
pub mod image;
pub mod job;
pub mod layer;
pub mod lifecycle;
pub mod limits;
pub mod record;
pub mod rollout;
pub mod tree;
pub mod version;

pub use census::{Census, Counts, Standing};
pub use firmware::{FirmwareReport, FirmwareState, FirmwareStep, FirmwareTask};
pub use group::{BadGroupId, Group, GroupId, GroupSaid, GroupWish};
pub use image::{Image, Unfit};
pub use job::{Job, JobAction, JobId, JobSignal, JobStatus, Step, StepState};
pub use layer::Layer;
pub use lifecycle::{Lifecycle, Move};
pub use limits::Limits;
pub use record::{FleetChange, RecordChange, RecordKind};
pub use rollout::Rollout;
pub use tree::{Expect, Misplaced, Planned, Tree};
pub use version::Version;

//! The fleet: operations on many devices at once. Groups, templates, jobs over thousands, firmware.

pub mod firmware;
pub mod group;
pub mod image;
pub mod job;
pub mod layer;
pub mod lifecycle;
pub mod limits;
pub mod record;
pub mod rollout;
pub mod statistics;
pub mod tree;
pub mod version;

pub use firmware::{FirmwareReport, FirmwareState, FirmwareStep, FirmwareTask};
pub use group::{BadGroupId, Group, GroupFields, GroupId, GroupRequest};
pub use image::{Image, ImageMismatch};
pub use job::{Job, JobAction, JobId, JobSignal, JobStatus, JobStep, StepState};
pub use layer::Layer;
pub use lifecycle::{Lifecycle, LifecycleTransition};
pub use limits::Limits;
pub use record::{FleetChange, RecordChange, RecordKind};
pub use rollout::Rollout;
pub use statistics::{DeviceStatistics, GroupStatistics, SubtreeStatistics};
pub use tree::{GroupPrecondition, GroupTree, PlannedGroup, TreeRefusal};
pub use version::Version;

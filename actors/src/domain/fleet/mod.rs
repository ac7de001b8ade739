//! The fleet: what is said of many devices at once. Groups, templates, jobs over thousands, firmware.

pub mod firmware;
pub mod image;
pub mod job;
pub mod lifecycle;
pub mod record;
pub mod version;

pub use firmware::{FirmwareReport, FirmwareState, FirmwareTask};
pub use image::{Image, Unfit};
pub use job::{JobId, Step, StepState};
pub use lifecycle::{Lifecycle, Move};
pub use record::{FleetChange, RecordChange, RecordKind};
pub use version::Version;

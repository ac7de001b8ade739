//! The fleet: what is said of many devices at once. Groups, templates, jobs over thousands, firmware.

pub mod census;
pub mod group;
pub mod job;
pub mod record;
pub mod tree;

pub use census::{Census, Counts, Standing};
pub use group::{BadGroupId, Group, GroupId, GroupWish};
pub use job::{JobId, Step, StepState};
pub use record::{FleetChange, RecordChange, RecordKind};
pub use tree::{Misplaced, Tree};

//! An input that a caller asks for.

use crate::messages::supervisor::IfUnknown;
use twinhub_domain::{DeviceId, Input, Versions};

/// An input for a device, and its preconditions.
#[derive(Clone, Debug)]
pub struct InputRequest {
    pub(super) device: DeviceId,
    pub(super) input: Input,
    pub(super) because: &'static str,
    pub(super) if_unknown: IfUnknown,
    pub(super) if_version: Option<Versions>,
    pub(super) want_twin: bool,
}

impl InputRequest {
    /// For a device that there is.
    #[must_use]
    pub fn new(device: DeviceId, input: Input) -> Self {
        let (if_unknown, if_version) = (IfUnknown::Refuse, None);
        Self { device, input, because: "", if_unknown, if_version, want_twin: false }
    }

    /// Sets the treatment of an unknown device.
    #[must_use]
    pub fn if_unknown(self, if_unknown: IfUnknown) -> Self {
        Self { if_unknown, ..self }
    }

    /// Only if the twin is at one of these versions, where some are named.
    #[must_use]
    pub fn if_version(self, if_version: Option<Versions>) -> Self {
        Self { if_version, ..self }
    }

    /// The answer has the twin with it.
    #[must_use]
    pub fn with_twin(self) -> Self {
        Self { want_twin: true, ..self }
    }

    /// Sets the cause's name for a caller without a name: `poll`.
    #[must_use]
    pub fn because(self, because: &'static str) -> Self {
        Self { because, ..self }
    }
}

//! Seed 003's `dispositivo`: one input for all that its devices and its app say, because the mode says
//! which part of it counts.

use super::{Outcome, Refusal, Twin};
use crate::domain::clock::Timestamp;
use crate::domain::event::Cause;
use crate::domain::json::Object;

/// What a device or an app of seed 003 says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dispositivo {
    /// The device itself says it, over MQTT.
    pub from_device: bool,
    /// `estado`: active or not; none where it was left out or was neither.
    pub active: Option<bool>,
    /// Replaced as a whole by whoever sends it.
    pub parameters: Option<Object>,
    /// Merged: `modo`, `encendido`, `horarios` and whatever else.
    pub configuration: Option<Object>,
    /// `serial_number`, `name`, `type`, `model`, `description` as the twin calls them.
    pub profile: Object,
}

impl Twin {
    pub(super) fn dispositivo(
        &mut self,
        _outcome: &mut Outcome,
        _said: Dispositivo,
        _now: Timestamp,
        _cause: &Cause,
    ) -> Result<(), Refusal> {
        Ok(())
    }
}

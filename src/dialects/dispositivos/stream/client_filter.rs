//! The changes that a client of the stream wants to see.

use std::collections::HashSet;

use twinhub_actors::access::Grant;
use twinhub_actors::messages::archive::FindSerial;
use twinhub_domain::event::{EventBody, TwinChange};
use twinhub_domain::{DeviceId, Recorded, Twin};
use twinhub_mqtt::dialects::dispositivos::id_of_serial;

use crate::dialects::dispositivos::device;
use crate::http::problem::ApiError;

/// The parts of a twin that show in a device.
const SHOWN: [&str; 10] = [
    "claimed",
    "configuration",
    "description",
    "dispositivo",
    "mode",
    "model",
    "name",
    "reported",
    "serial_number",
    "type",
];

/// The filter of one client of the stream.
#[derive(Debug)]
pub struct ClientFilter {
    serial: Option<String>,
    /// The devices that have this serial number, or had it: only they are looked at more closely.
    its: HashSet<DeviceId>,
    claimed: Option<bool>,
}

impl ClientFilter {
    /// Watches the device with this serial number alone, or those alone that are claimed (`true`) or not
    /// (`false`); other words are no filter.
    ///
    /// # Errors
    /// The store does not say whose the serial number is.
    pub async fn new(hub: &Grant, serial: Option<String>, claimed: Option<String>) -> Result<Self, ApiError> {
        let mut its = HashSet::new();
        if let Some(serial) = &serial {
            its.extend(id_of_serial(serial).ok());
            its.extend(hub.ask(FindSerial(serial.clone())).await??.map(|twin| twin.id));
        }
        let claimed = match claimed.as_deref() {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        };
        Ok(Self { serial, its, claimed })
    }

    /// May this event be one? Called with each, in order.
    pub fn may_be(&mut self, recorded: &Recorded) -> bool {
        let EventBody::Twin(TwinChange { patch, .. }) = &recorded.event.body else { return false };
        if let Some(wanted) = &self.serial {
            if patch.text("serial_number") == Some(wanted) {
                self.its.insert(recorded.event.device.clone());
            }
            if !self.its.contains(&recorded.event.device) {
                return false;
            }
        }
        patch.parts().any(|part| SHOWN.contains(&part.name()))
    }

    /// Is it one of those asked for?
    pub fn passes(&self, twin: &Twin) -> bool {
        self.serial.as_deref().is_none_or(|wanted| device::serial(twin) == wanted)
            && self.claimed.is_none_or(|wanted| twin.control.claimed == wanted)
    }
}

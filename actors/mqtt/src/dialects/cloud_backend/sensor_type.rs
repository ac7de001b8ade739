//! The types of sensors on a twin.

use twinhub_domain::twin::{Change, Meaning, Speaker, Translation};
use twinhub_domain::{Object, Refusal, Timestamp, Twin};

use super::reading::SOURCE_PROTOCOL;

/// The types of the sensors that speak this dialect under the twin's id; none of a device that does not.
pub fn sensor_types(twin: &Twin) -> impl Iterator<Item = &str> {
    twin.reported.iter().filter_map(|property| {
        let sensor_type = property.name.strip_suffix(SOURCE_PROTOCOL)?;
        twin.reported.get(sensor_type).map(|_| sensor_type)
    })
}

/// The type in a sensor's message: that of its device while it has none.
#[derive(Debug)]
pub(super) struct FirstType(pub Box<str>);

impl Translation for FirstType {
    fn note_name(&self) -> &'static str {
        "sensor" // nothing is noted
    }

    fn speaker(&self) -> Speaker {
        Speaker::Device
    }

    fn serial(&self) -> Option<&str> {
        None
    }

    fn translate(&self, twin: &Twin, _: Timestamp) -> Result<Meaning, Refusal> {
        let mut patch = Object::default();
        if twin.profile.text("type").is_empty() {
            patch.insert("type", self.0.to_string().into());
        }
        Ok(Meaning { change: Change { patch }, ..Meaning::default() })
    }
}

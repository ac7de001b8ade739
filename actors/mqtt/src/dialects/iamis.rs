//! The dialect of seed 001: one topic for all sensors, and readings that name no device. So they are readings of one
//! twin, whose properties are the types of sensors.
//!
//! Readings are numbered from 1 over all types. The number is a reading itself, of the same message: so it is committed
//! with what it numbers and lies in the history beside it, and the twin knows the last one after a restart. A third
//! reading of the message says how long ago the one before of the same type was: so the few readings of a rare sensor
//! are found one by one, and not by a search through millions of others.
//!
//! | property | is |
//! |---|---|
//! | `temperature` | the value of the last reading of the type `temperature`, with its unit |
//! | `temperature#id` | the number of that reading |
//! | `temperature#gap` | the ms from the one before of the type to it, `false` for the first |

mod typed_reading;

use std::sync::Arc;

use super::{DecodeError, Decoded, Dialect, Direction, TopicDevice, native::Native};
use twinhub_domain::topic::matches;
use twinhub_domain::{DeviceId, Input, Outgoing, Publish, payload};

pub use typed_reading::{TypedReading, gap_name, id_name, is_hubs_own};

/// The topic on which these sensors publish when nothing is said.
pub const TOPIC: &str = "sensor/data";
/// The device that their readings are of when nothing is said.
pub const DEVICE: &str = "sensor-data";

/// The dialect of seed 001.
#[derive(Clone, Debug)]
pub struct Iamis {
    filter: String,
    device: DeviceId,
}

impl Iamis {
    /// The dialect with readings of `device` on the topics that `filter` matches.
    #[must_use]
    pub fn new(filter: String, device: DeviceId) -> Self {
        Self { filter, device }
    }
}

impl Dialect for Iamis {
    fn filters(&self) -> Vec<String> {
        vec![self.filter.clone()]
    }

    fn takes(&self, topic: &str) -> bool {
        matches(&self.filter, topic)
    }

    fn device_of(&self, topic: &str, direction: Direction) -> Option<TopicDevice> {
        let is_said = direction == Direction::FromDevice && self.takes(topic);
        is_said.then(|| TopicDevice::Named(self.device.clone()))
    }

    fn decode(&self, topic: &str, payload: &[u8]) -> Option<Result<Decoded, DecodeError>> {
        self.takes(topic).then(|| {
            let reading = TypedReading::read(payload::object(payload)?)?;
            Ok(Decoded::one(self.device.clone(), Input::Translate(Arc::new(reading)), Vec::new()))
        })
    }

    /// Encodes nothing: these sensors listen to nobody.
    fn encode(&self, device: &DeviceId, publish: &Publish) -> Vec<Outgoing> {
        Native.encode(device, publish)
    }
}

#[cfg(test)]
mod tests;

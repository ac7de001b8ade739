//! Seed 002's dialect: a topic for each sensor, which says its type and its id. Its HTTP side is in the program's
//! `dialects`. What it is on a twin:
//!
//! | there | here |
//! |---|---|
//! | `sensor_id` | the device's id (made of it where it cannot be one, see [`id_of_sensor`]) |
//! | `sensor_type` | a property, and the device's `type` while it has none: an id may come with several types |
//! | `value`, `unit` | a reading of that property, with its unit |
//! | `origin`, `source_protocol`, `anomaly`, the payload | readings `{type}.origin` and so on of the same message |
//! | `ts`, `timestamp` | the time of these readings |
//! | `nodered/status` | a reading `nodered.status` of the device `node-red`, as text |
//! | `system/+` | taken and passed over, as there |
//!
//! The words that belong to a reading stand beside it in the same message, so history, feed and store keep it like any other
//! reading, and a [`CloudReading`] is read back out of them.

mod message;
mod reading;

use super::native::Native;
use super::{DecodeError, Decoded, Dialect, Direction, TopicDevice};
use twinhub_domain::payload::LONGEST_TEXT;
use twinhub_domain::reading::{Scalar, Telemetry};
use twinhub_domain::{DeviceId, EventBody, Input, Outgoing, Publish, Reading};

pub use reading::{CloudReading, sensor_types};

/// The readings of sensors.
const SENSORS: &str = "sensors/+/+";
/// The state of Node-RED, as any text.
pub const NODE_RED_STATUS: &str = "nodered/status";
/// Messages that nobody there does anything with.
const SYSTEM: &str = "system/+";
/// The device that stands for Node-RED, and its reading.
const NODE_RED: &str = "node-red";
const STATUS: &str = "nodered.status";

/// The dialect of seed 002.
pub(super) struct CloudBackend;

/// A topic of this dialect.
enum CloudTopic<'a> {
    Sensor { sensor_type: &'a str, sensor_id: &'a str },
    NodeRed,
    System,
}

impl Dialect for CloudBackend {
    fn filters(&self) -> Vec<String> {
        [SENSORS, NODE_RED_STATUS, SYSTEM].map(str::to_owned).to_vec()
    }

    fn takes(&self, topic: &str) -> bool {
        parse(topic).is_some()
    }

    /// A payload may name another sensor than its topic does.
    fn device_of(&self, topic: &str, direction: Direction) -> Option<TopicDevice> {
        let is_of_device = matches!(parse(topic)?, CloudTopic::Sensor { .. } | CloudTopic::NodeRed);
        (direction == Direction::FromDevice && is_of_device).then_some(TopicDevice::InPayload)
    }

    fn decode(&self, topic: &str, payload: &[u8]) -> Option<Result<Decoded, DecodeError>> {
        Some(match parse(topic)? {
            CloudTopic::Sensor { sensor_type, sensor_id } => message::decode(sensor_type, sensor_id, payload),
            CloudTopic::NodeRed => node_red(payload),
            CloudTopic::System => Ok(Decoded::default()),
        })
    }

    /// Encodes nothing: the hub's messages to these devices are native.
    fn encode(&self, device: &DeviceId, publish: &Publish) -> Vec<Outgoing> {
        Native.encode(device, publish)
    }
}

/// The id of the device with this sensor id: that itself where it can be one.
///
/// # Errors
/// It is empty.
pub fn id_of_sensor(sensor_id: &str) -> Result<DeviceId, twinhub_domain::BadDeviceId> {
    super::dispositivos::id_of_serial(sensor_id)
}

/// The text of an event that a message on [`NODE_RED_STATUS`] was; none of any other.
#[must_use]
pub fn node_red_status<'a>(device: &DeviceId, body: &'a EventBody) -> Option<&'a str> {
    let EventBody::Telemetry { readings, .. } = body else { return None };
    match &readings[..] {
        [Reading { name, value: Scalar::Text(text), .. }]
            if **name == *STATUS && device.as_str() == NODE_RED =>
        {
            Some(text)
        }
        _ => None,
    }
}

fn node_red(payload: &[u8]) -> Result<Decoded, DecodeError> {
    let text: String = String::from_utf8_lossy(payload).into_owned();
    if text.len() > LONGEST_TEXT {
        return Err(DecodeError::TooLarge { bytes: text.len(), limit: LONGEST_TEXT });
    }
    let status =
        Reading { name: STATUS.into(), value: Scalar::Text(text.into()), unit: None, quality_score: None };
    let telemetry = Telemetry { readings: vec![status], ..Telemetry::default() };
    Ok(Decoded::one(DeviceId::parse(NODE_RED)?, Input::Telemetry(telemetry), Vec::new()))
}

fn parse(topic: &str) -> Option<CloudTopic<'_>> {
    if topic == NODE_RED_STATUS {
        return Some(CloudTopic::NodeRed);
    }
    let mut levels = topic.split('/');
    let levels = (levels.next()?, levels.next()?, levels.next(), levels.next());
    match levels {
        ("sensors", sensor_type, Some(sensor_id), None) => {
            Some(CloudTopic::Sensor { sensor_type, sensor_id })
        }
        ("system", _, None, None) => Some(CloudTopic::System),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

//! Sensors whose messages name no device: their topic, and the device that their readings are of.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use twinhub_domain::DeviceId;
use twinhub_mqtt::dialects::iamis;

/// The topic of such sensors, or a filter of topics: `sensor/data`, `plant/+/data`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SensorTopic(pub String);

/// The id of the device that their readings are of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SensorDevice(pub DeviceId);

/// A topic has at most this many bytes in MQTT.
const LONGEST_TOPIC: usize = 65_535;

impl Default for SensorTopic {
    fn default() -> Self {
        Self(iamis::TOPIC.to_owned())
    }
}

impl Default for SensorDevice {
    fn default() -> Self {
        // The name is ours: it is one.
        Self(DeviceId::parse(iamis::DEVICE).unwrap_or_else(|_| DeviceId::none()))
    }
}

impl FromStr for SensorTopic {
    type Err = String;

    /// The first level is plain: a filter of all topics would take other people's messages for readings.
    fn from_str(text: &str) -> Result<Self, String> {
        let levels: Vec<&str> = text.split('/').collect();
        let is_level = |(index, level): (usize, &&str)| match *level {
            "+" => index > 0,
            "#" => index > 0 && index + 1 == levels.len(),
            level => !level.contains(['+', '#', '\0']),
        };
        let is_fit = !text.is_empty() && text.len() <= LONGEST_TOPIC && !text.starts_with('$');
        match is_fit && levels.iter().enumerate().all(is_level) {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("`{text}` is no topic such as sensor/data or plant/+/data")),
        }
    }
}

impl FromStr for SensorDevice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        DeviceId::parse(text).map(Self).map_err(|error| error.to_string())
    }
}

super::values::from_string!(SensorTopic, SensorDevice);

impl fmt::Display for SensorTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SensorDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_begins_with_a_word() {
        for topic in ["sensor/data", "a", "/a", "plant/+/data", "plant/#", "a/+"] {
            assert_eq!(topic.parse(), Ok(SensorTopic(topic.into())));
        }
        for bad in ["", "#", "+", "+/data", "a/#/b", "a/b+", "a#", "$SYS/x", "a\0b"] {
            assert!(bad.parse::<SensorTopic>().is_err(), "{bad}");
        }
        assert_eq!(SensorTopic::default().to_string().parse(), Ok(SensorTopic::default()));
    }

    #[test]
    fn a_device_is_one() {
        assert_eq!(SensorDevice::default().to_string(), "sensor-data");
        assert!("a b".parse::<SensorDevice>().is_err());
    }
}

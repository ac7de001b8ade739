//! A reading of a sensor, in the words of this dialect and as readings of a twin.

use twinhub_domain::json::Number;
use twinhub_domain::reading::Scalar;
use twinhub_domain::{DeviceId, EventBody, Reading, Twin};

/// The ends of the names of the readings that belong to one of a sensor.
const ORIGIN: &str = ".origin";
const SOURCE_PROTOCOL: &str = ".source_protocol";
const ANOMALY: &str = ".anomaly";
const RAW: &str = ".raw";
const SENSOR_ID: &str = ".sensor_id";
const TOPIC: &str = ".topic";

/// A reading of a sensor, but for its time and number.
#[derive(Clone, Debug, PartialEq)]
pub struct CloudReading {
    pub sensor_type: Box<str>,
    pub sensor_id: Box<str>,
    pub value: Number,
    /// Empty where none was named.
    pub unit: Box<str>,
    /// `unknown` where none was named.
    pub origin: Box<str>,
    /// `mqtt` where none was named.
    pub source_protocol: Box<str>,
    /// The device's own word.
    pub anomaly: bool,
    /// The payload as it came, where it is asked for and was not too long to be kept.
    pub raw: Option<Box<str>>,
    /// The name of the topic, where the payload is of another sensor.
    pub topic: Option<Box<str>>,
}

/// The name of a topic among the last messages.
#[must_use]
pub fn topic_key(sensor_type: &str, sensor_id: &str) -> String {
    format!("{sensor_type}_{sensor_id}")
}

/// The types of the sensors that speak this dialect under the twin's id; none of a device that does not.
pub fn sensor_types(twin: &Twin) -> impl Iterator<Item = &str> {
    twin.reported.iter().filter_map(|property| {
        let sensor_type = property.name.strip_suffix(SOURCE_PROTOCOL)?;
        twin.reported.get(sensor_type).map(|_| sensor_type)
    })
}

/// A value, and its unit.
type NamedValue<'a> = (&'a str, &'a Scalar, Option<&'a str>);

impl CloudReading {
    /// The reading in an event; none where it is of another dialect.
    #[must_use]
    pub fn of_event(device: &DeviceId, body: &EventBody) -> Option<Self> {
        let EventBody::Telemetry { readings, .. } = body else { return None };
        let named: Vec<NamedValue<'_>> = readings
            .iter()
            .map(|reading| (&*reading.name, &reading.value, reading.unit.as_deref()))
            .collect();
        Self::of(device, &named)
    }

    /// The newest reading of a sensor type that the twin knows.
    #[must_use]
    pub fn of_twin(twin: &Twin, sensor_type: &str) -> Option<Self> {
        let mut values = Vec::new();
        for end in ["", ORIGIN, SOURCE_PROTOCOL, ANOMALY, RAW, SENSOR_ID, TOPIC] {
            let name = format!("{sensor_type}{end}");
            if let Some(property) = twin.reported.get(&name)
                && let Some(value) = Scalar::from_json(property.value.clone())
            {
                values.push((name, value, property.unit().map(str::to_owned)));
            }
        }
        let named: Vec<NamedValue<'_>> =
            values.iter().map(|(name, value, unit)| (&**name, value, unit.as_deref())).collect();
        Self::of(&twin.id, &named)
    }

    /// The reading that the values of one message are.
    #[must_use]
    pub fn of(device: &DeviceId, named: &[NamedValue<'_>]) -> Option<Self> {
        let find = |name: &str| named.iter().find(|(known, ..)| *known == name);
        // A type may itself end so: it is the one whose value is there.
        let (sensor_type, value, unit) = named.iter().find_map(|(name, ..)| {
            let sensor_type = name.strip_suffix(SOURCE_PROTOCOL)?;
            match find(sensor_type)? {
                (_, Scalar::Number(value), unit) => Some((sensor_type, value, unit)),
                _ => None,
            }
        })?;
        let beside = |end: &str| find(&format!("{sensor_type}{end}")).map(|(_, value, _)| *value);
        let text = |end: &str| match beside(end) {
            Some(Scalar::Text(text)) => Some(text.clone()),
            _ => None,
        };
        Some(Self {
            sensor_type: sensor_type.into(),
            sensor_id: text(SENSOR_ID).unwrap_or_else(|| device.as_str().into()),
            value: value.clone(),
            unit: unit.unwrap_or_default().into(),
            origin: text(ORIGIN).unwrap_or_default(),
            source_protocol: text(SOURCE_PROTOCOL)?,
            anomaly: beside(ANOMALY) == Some(&Scalar::Bool(true)),
            raw: text(RAW),
            topic: text(TOPIC),
        })
    }

    /// The names of the readings that are of sensors of this type, but for the payload.
    #[must_use]
    pub fn names(sensor_type: &str) -> [String; 6] {
        ["", ORIGIN, SOURCE_PROTOCOL, ANOMALY, SENSOR_ID, TOPIC].map(|end| format!("{sensor_type}{end}"))
    }

    /// The name of the topic that it came on: `temperature_temp-001`.
    #[must_use]
    pub fn topic_key(&self) -> String {
        match &self.topic {
            Some(topic) => topic.to_string(),
            None => topic_key(&self.sensor_type, &self.sensor_id),
        }
    }

    /// It as readings of the twin.
    #[must_use]
    pub fn into_readings(self, device: &DeviceId) -> Vec<Reading> {
        let Self { sensor_type, sensor_id, value, unit, origin, source_protocol, anomaly, raw, topic } = self;
        let own_id = Some(sensor_id).filter(|sensor_id| **sensor_id != *device.as_str());
        let reading = |end: &str, value: Scalar| Reading {
            name: format!("{sensor_type}{end}").into(),
            value,
            unit: None,
            quality_score: None,
        };
        let unit = Some(unit).filter(|unit| !unit.is_empty());
        let mut readings = vec![
            Reading { unit, ..reading("", Scalar::Number(value)) },
            reading(ANOMALY, Scalar::Bool(anomaly)),
            reading(ORIGIN, Scalar::Text(origin)),
        ];
        readings.extend(raw.map(|raw| reading(RAW, Scalar::Text(raw))));
        readings.extend(own_id.map(|id| reading(SENSOR_ID, Scalar::Text(id))));
        readings.push(reading(SOURCE_PROTOCOL, Scalar::Text(source_protocol)));
        readings.extend(topic.map(|topic| reading(TOPIC, Scalar::Text(topic))));
        readings
    }

    /// The value as a float is written: with a point, whole as it may be.
    #[must_use]
    pub fn value_as_float(&self) -> Number {
        let digits = self.value.as_str();
        match digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            true => Number::parse(&format!("{digits}.0")).unwrap_or_else(|| self.value.clone()),
            false => self.value.clone(),
        }
    }
}

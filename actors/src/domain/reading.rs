//! Readings: what a device measured, as one message brought them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::clock::Timestamp;
use super::fingerprint::Fingerprint;
use super::json::{Json, Number};

/// The value of a reading: a number with its digits, a boolean or a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    Number(Number),
    Bool(bool),
    Text(Box<str>),
}

/// One measured value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// What was measured, nested names joined with dots: `temperature`, `motor.rpm`.
    pub name: Box<str>,
    pub value: Scalar,
    /// The unit as the device named it: `°C`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Box<str>>,
    /// What the device thinks of its own reading, 0 (worthless) to 100 (perfect).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality_score: Option<u8>,
}

/// How far a value can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    #[default]
    Good,
    Uncertain,
    Bad,
}

/// One message's readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Telemetry {
    pub readings: Vec<Reading>,
    /// When they were taken, if the message says so.
    pub at: Option<Timestamp>,
    /// The message's own id, if it carries one.
    pub message_id: Option<Box<str>>,
}

impl Quality {
    /// OPC UA's three classes: scores from 67 are good, from 34 uncertain, below that bad; none is good.
    #[must_use]
    pub fn of_score(score: Option<u8>) -> Self {
        match score {
            None | Some(67..) => Self::Good,
            Some(34..=66) => Self::Uncertain,
            Some(0..=33) => Self::Bad,
        }
    }

    /// The word for it in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Uncertain => "uncertain",
            Self::Bad => "bad",
        }
    }
}

impl Telemetry {
    /// By what a repeat of this message is known: its own id, or its own time and content.
    ///
    /// None for a message that carries neither: that one is never taken for a repeat.
    #[must_use]
    pub fn identity(&self) -> Option<u64> {
        let mut print = Fingerprint::default();
        match (&self.message_id, self.at) {
            (None, None) => return None,
            (Some(id), _) => {
                print.field(b"id").field(id.as_bytes());
            }
            (None, Some(at)) => {
                print.field(&at.millis().to_le_bytes());
                for reading in &self.readings {
                    print.field(reading.name.as_bytes()).field(reading.value.to_string().as_bytes());
                }
            }
        }
        let untimed = if self.at.is_none() { UNTIMED } else { 0 };
        Some(print.value() & !UNTIMED | untimed)
    }
}

/// Did the message with this identity carry an id alone, and no time of its own? The lowest bit says so.
#[must_use]
pub fn is_untimed(identity: u64) -> bool {
    identity & UNTIMED != 0
}

/// The bit of an identity that says that its message carried no time of its own.
const UNTIMED: u64 = 1;

impl Scalar {
    /// A number's value.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(number.as_f64()) } else { None }
    }

    /// Takes a JSON value that is no object, array or null.
    #[must_use]
    pub fn from_json(json: Json) -> Option<Self> {
        match json {
            Json::Number(number) => Some(Self::Number(number)),
            Json::Bool(value) => Some(Self::Bool(value)),
            Json::String(text) => Some(Self::Text(text)),
            Json::Null | Json::Array(_) | Json::Object(_) => None,
        }
    }
}

impl From<Scalar> for Json {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Number(number) => Self::Number(number),
            Scalar::Bool(value) => Self::Bool(value),
            Scalar::Text(text) => Self::String(text),
        }
    }
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => f.write_str(number.as_str()),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Json::from(self.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        let kind = json.kind();
        Self::from_json(json).ok_or_else(|| {
            de::Error::custom(format!("expected a number, a boolean or a string, found {kind}"))
        })
    }
}

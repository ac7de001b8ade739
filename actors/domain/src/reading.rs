//! Readings: the values that a device measured, as one message brought them.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::clock::{ReadingTime, Timestamp, WrittenTime};
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
    /// The name of the quantity, nested names joined with dots: `temperature`, `motor.rpm`.
    pub name: Box<str>,
    pub value: Scalar,
    /// The unit as the device named it: `°C`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Box<str>>,
    /// The device's own rating of the reading, 0 (worthless) to 100 (perfect).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality_score: Option<u8>,
}

/// The trust in a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    #[default]
    Good,
    Uncertain,
    Bad,
}

/// Readings of one moment: those of a message, or of one part of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Telemetry {
    pub readings: Vec<Reading>,
    /// The time at which they were taken, if the message has one.
    pub at: Option<ClaimedTime>,
    /// The message's own id, if it carries one.
    pub message_id: Option<Box<str>>,
    /// The part of a message that brought readings of several moments under one id.
    pub part: u32,
    /// All of it is refused if one reading is; otherwise the others are taken in.
    pub strict: bool,
    /// The times that are believed.
    pub window: ClockWindow,
    /// The JSON object that they are read from, where it is short and has no other readings.
    pub payload: Option<Arc<str>>,
    /// The type of the device, where the message says it: the device has it while it has none. Boxed: few messages do.
    pub device_type: Option<Box<DeviceType>>,
}

/// Readings of one moment out of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedReadings {
    pub at: ReadingTime,
    /// The device's own time, where it was not believed: `at` is then the time of arrival.
    pub claimed: Option<ReadingTime>,
    pub readings: Vec<Reading>,
}

/// The type of a device, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceType(pub Box<str>);

/// The time of readings by the device's own clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedTime {
    pub written: WrittenTime,
    /// The time as it was sent, where `written` does not tell it from others: it is finer than nanoseconds.
    pub as_sent: Option<Box<str>>,
}

/// The error of a device's clock up to which its time is believed; beyond it the time of arrival counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockWindow {
    /// The limit ahead of the hub's clock, in ms.
    pub ahead_ms: i64,
    /// The limit before the device's registration, in ms: it may have gathered readings before.
    pub behind_ms: i64,
}

const DAY_MS: i64 = 86_400_000;
/// 2000-01-01: before it no clock of a device, or of the hub, was ever set.
pub const FIRST_SET_MS: i64 = 946_684_800_000;

impl Default for ClockWindow {
    fn default() -> Self {
        Self { ahead_ms: DAY_MS, behind_ms: 3_652 * DAY_MS }
    }
}

impl ClockWindow {
    /// Believes any time.
    pub const ANY: Self = Self { ahead_ms: i64::MAX, behind_ms: i64::MAX };

    /// Can a reading of a device that was registered at `registered` have been taken `at`?
    #[must_use]
    pub fn holds(self, at: ReadingTime, registered: Timestamp, now: Timestamp) -> bool {
        if self == Self::ANY || now.millis() < FIRST_SET_MS {
            return true; // the hub's own clock was never set: it cannot judge others
        }
        let began = registered.min(now).millis().saturating_sub(self.behind_ms).max(FIRST_SET_MS);
        // From the nanosecond after the last one on it is too far ahead.
        began <= at.floor().millis() && at.ceil().millis() <= now.millis().saturating_add(self.ahead_ms)
    }
}

impl ClaimedTime {
    /// A time with its zone and no more than nanoseconds.
    #[must_use]
    pub fn at(at: impl Into<ReadingTime>) -> Self {
        Self { written: WrittenTime { at: at.into(), has_zone: true, is_finer: false }, as_sent: None }
    }
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
    /// The identity by which a repeat of this message is recognised: its own id, or its own time as it was sent and its
    /// content.
    ///
    /// None for a message that carries neither: that one is never taken for a repeat. `is_believed`: its time can
    /// be looked up by.
    #[must_use]
    pub fn identity(&self, is_believed: bool) -> Option<u64> {
        let mut print = Fingerprint::default();
        match (&self.message_id, &self.at) {
            (None, None) => return None,
            (Some(id), _) => {
                print.field(b"id").field(id.as_bytes());
                if self.part > 0 {
                    print.field(b"part").field(&self.part.to_le_bytes());
                }
            }
            (None, Some(claim)) => {
                let at = claim.written.at;
                print.field(&at.floor().millis().to_le_bytes());
                if at.nanos_behind() > 0 {
                    print.field(&at.nanos_behind().to_le_bytes());
                }
                if let Some(text) = &claim.as_sent {
                    print.field(text.as_bytes());
                }
                for reading in &self.readings {
                    print.field(reading.name.as_bytes()).field(reading.value.to_string().as_bytes());
                }
            }
        }
        let is_untimed = self.message_id.is_some() && (self.at.is_none() || !is_believed);
        Some(print.value() & !UNTIMED | if is_untimed { UNTIMED } else { 0 })
    }
}

/// Did the message with this identity carry an id, and no time for a look-up? The lowest bit is the answer.
#[must_use]
pub fn is_untimed(identity: u64) -> bool {
    identity & UNTIMED != 0
}

/// The bit of an identity that marks a message recognised by its id alone.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_believed_within_its_window() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let (now, registered) = (at("2026-11-29T12:00:00Z"), at("2026-06-01T00:00:00Z"));
        let check = |text: &str, expected: bool| {
            let taken = ReadingTime::parse(text).unwrap();
            assert_eq!(ClockWindow::default().holds(taken, registered, now), expected, "{text}");
            assert!(ClockWindow::ANY.holds(taken, registered, now));
        };
        check("2026-11-30T12:00:00Z", true);
        check("2026-11-30T12:00:00.001Z", false);
        check("2026-11-30T12:00:00.000000001Z", false);
        check("2026-11-30T11:59:59.999999999Z", true);
        check("2036-11-29T12:00:00Z", false);
        check("2016-06-02T00:00:00Z", true);
        check("2016-05-30T00:00:00Z", false);
        check("1970-01-01T00:00:03Z", false);
        check("7", false);
        // A hub whose clock was never set, and a device that was registered while it was ahead.
        assert!(ClockWindow::default().holds(
            now.into(),
            at("1970-01-01T00:00:00Z"),
            at("1970-01-01T00:05:00Z")
        ));
        assert!(ClockWindow::default().holds(now.into(), at("2040-01-01T00:00:00Z"), now));
        assert!(!ClockWindow::default().holds(
            at("1999-12-31T23:59:59Z").into(),
            at("2001-01-01T00:00:00Z"),
            now
        ));
    }
}

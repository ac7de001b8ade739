//! A reading in this dialect, and what it is to the twin.

use super::super::lenient_number::{NotANumber, lenient_number};
use twinhub_domain::json::Number;
use twinhub_domain::payload::{LONGEST_UNIT, PayloadError, check_property};
use twinhub_domain::twin::{Meaning, Property, Speaker, Translation};
use twinhub_domain::{Json, Object, Reading, Refusal, Scalar, Timestamp, Twin};

/// The end of the names of properties that number readings.
const ID: &str = "#id";
/// The end of the names of properties that lead to the reading before.
const GAP: &str = "#gap";

/// A reading of a sensor that says its type, and not its device.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedReading {
    sensor_type: Box<str>,
    value: Number,
    unit: Box<str>,
}

/// The property with the numbers of a type's readings.
#[must_use]
pub fn id_name(sensor_type: &str) -> String {
    format!("{sensor_type}{ID}")
}

/// The property that says how long ago the reading before of a type was.
#[must_use]
pub fn gap_name(sensor_type: &str) -> String {
    format!("{sensor_type}{GAP}")
}

/// Is it the name of a property of the hub's own, beside a type's readings?
#[must_use]
pub fn is_hubs_own(property: &str) -> bool {
    [ID, GAP].iter().any(|end| property.ends_with(end))
}

impl TypedReading {
    /// A reading of these parts.
    ///
    /// # Errors
    /// The type can name no property, or the unit is too long.
    pub fn new(sensor_type: Box<str>, value: Number, unit: Box<str>) -> Result<Self, PayloadError> {
        let bad = |name: &str, detail: String| Err(PayloadError::BadValue { name: name.into(), detail });
        if let Err(detail) =
            check_property(&id_name(&sensor_type)).and(check_property(&gap_name(&sensor_type)))
        {
            return bad("sensor_type", detail);
        }
        if sensor_type.is_empty() {
            return bad("sensor_type", "must not be empty".into());
        }
        if is_hubs_own(&sensor_type) {
            return bad(
                "sensor_type",
                format!("ends in neither `{ID}` nor `{GAP}`: the hub's own properties do"),
            );
        }
        if unit.len() > LONGEST_UNIT {
            return bad("unit", format!("has {LONGEST_UNIT} bytes at most, this one has {}", unit.len()));
        }
        Ok(Self { sensor_type, value, unit })
    }

    /// The reading of a payload. Members that it does not know are dropped.
    ///
    /// # Errors
    /// Names the member that is missing or wrong.
    pub fn read(mut payload: Object) -> Result<Self, PayloadError> {
        let sensor_type = text(&mut payload, "sensor_type")?;
        let value = payload.remove("value");
        let value = match value.as_ref().map(lenient_number) {
            Some(Ok(number)) => number,
            Some(Err(NotANumber::NotFinite)) => {
                return Err(PayloadError::BadValue { name: "value".into(), detail: "is not finite".into() });
            }
            Some(Err(_)) | None => return Err(wrong("value", "a number", value.as_ref())),
        };
        Self::new(sensor_type, value, text(&mut payload, "unit")?)
    }

    /// The type of the sensor.
    #[must_use]
    pub fn sensor_type(&self) -> &str {
        &self.sensor_type
    }
}

impl Translation for TypedReading {
    fn note_name(&self) -> &'static str {
        "iamis"
    }

    /// All of it is stored or nothing, as with an app: a number without its reading would be a hole.
    fn speaker(&self) -> Speaker {
        Speaker::App
    }

    fn serial(&self) -> Option<&str> {
        None
    }

    fn translate(&self, twin: &Twin, now: Timestamp) -> Result<Meaning, Refusal> {
        let id = id_name(&self.sensor_type);
        let before = twin.reported.get(&id).map(|property| property.at().floor());
        let gap = match before {
            Some(before) => Scalar::Number(Number::from(now.millis().saturating_sub(before.millis()))),
            None => Scalar::Bool(false),
        };
        let reading =
            |name: &str, value, unit| Reading { name: name.into(), value, unit, quality_score: None };
        let readings = vec![
            reading(&self.sensor_type, Scalar::Number(self.value.clone()), Some(self.unit.clone())),
            reading(&id, Scalar::Number(Number::from(next_id(twin))), None),
            reading(&gap_name(&self.sensor_type), gap, None),
        ];
        Ok(Meaning { readings, is_heard: true, ..Meaning::default() })
    }
}

/// The number after the last that was given.
fn next_id(twin: &Twin) -> i64 {
    let numbers = twin.reported.iter().filter(|property| property.name.ends_with(ID)).filter_map(whole);
    numbers.max().unwrap_or_default().saturating_add(1)
}

fn whole(property: &Property) -> Option<i64> {
    property.value.as_number().and_then(Number::as_whole).and_then(|number| i64::try_from(number).ok())
}

fn text(payload: &mut Object, name: &str) -> Result<Box<str>, PayloadError> {
    match payload.remove(name) {
        Some(Json::String(text)) => Ok(text),
        other => Err(wrong(name, "a string", other.as_ref())),
    }
}

fn wrong(name: &str, expected: &'static str, found: Option<&Json>) -> PayloadError {
    PayloadError::WrongType { name: name.into(), expected, found: found.map_or("nothing", Json::kind) }
}

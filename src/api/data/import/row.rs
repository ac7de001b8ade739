//! A row of a file, read as a reading.

use chrono_tz::Tz;
use twinhub_domain::clock::WrittenTime;
use twinhub_domain::payload::{self, PayloadError};
use twinhub_domain::{DeviceId, Json, Object, Reading, ReadingTime};

use crate::http::extract::fields::FieldError;
use crate::import_export::LineFault;

/// The times that a row may have.
#[derive(Clone, Copy, Debug)]
pub struct RowWindow {
    /// The zone of times that name none.
    pub zone: Option<Tz>,
    /// A reading of after this moment would stand in the way of those of now.
    pub until: ReadingTime,
}

/// A reading out of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedRow {
    pub device: DeviceId,
    pub at: ReadingTime,
    /// The device's own time, where it was not believed.
    pub claimed: Option<ReadingTime>,
    pub reading: Reading,
}

/// The members of a row.
const MEMBERS: [&str; 7] =
    ["device_id", "timestamp", "sensor_type", "value", "unit", "quality_score", "claimed_at"];

impl ImportedRow {
    /// Reads a row.
    ///
    /// # Errors
    /// Names the member that makes no sense, or that is missing.
    pub fn read(mut row: Object, window: RowWindow) -> Result<Self, LineFault> {
        if let Some((name, _)) = row.iter().find(|(name, _)| !MEMBERS.contains(name)) {
            return Err(FieldError::unknown(name).into());
        }
        let device = match row.remove("device_id") {
            Some(Json::String(id)) => {
                DeviceId::parse(&id).map_err(|error| FieldError::bad("device_id", error.to_string()))?
            }
            None | Some(Json::Null) => return Err(FieldError::missing("device_id").into()),
            Some(other) => {
                let detail = format!("expected a string, found {}", other.kind());
                return Err(FieldError::bad("device_id", detail).into());
            }
        };
        for name in ["timestamp", "sensor_type", "value"] {
            if row.get(name).is_none_or(|value| *value == Json::Null) {
                return Err(FieldError::missing(name).into());
            }
        }
        let claimed = match row.remove("claimed_at") {
            None | Some(Json::Null) => None,
            Some(Json::String(text)) => match WrittenTime::parse(&text) {
                Some(written) => Some(window.moment("claimed_at", written)?),
                None => return Err(FieldError::bad("claimed_at", "this is no time").into()),
            },
            Some(other) => {
                let detail = format!("expected a time, found {}", other.kind());
                return Err(FieldError::bad("claimed_at", detail).into());
            }
        };
        let (reading, claim) = payload::reading(row).map_err(|error| fault(&error))?;
        let Some(claim) = claim else { return Err(FieldError::missing("timestamp").into()) };
        let at = window.moment("timestamp", claim.written)?;
        if at > window.until {
            let detail = format!("{at} is in the future: the hub would believe no later reading");
            return Err(FieldError::bad("timestamp", detail).into());
        }
        Ok(Self { device, at, claimed, reading })
    }
}

impl RowWindow {
    fn moment(self, field: &str, written: WrittenTime) -> Result<ReadingTime, FieldError> {
        match self.zone {
            _ if written.has_zone => Ok(written.at),
            Some(zone) => Ok(written.in_zone(zone)),
            None => {
                let detail = "says no zone: name one such as Z or +01:00, or `timezone` of the import";
                Err(FieldError::bad(field, detail))
            }
        }
    }
}

fn fault(error: &PayloadError) -> LineFault {
    let field = error.field().map(str::to_owned);
    LineFault { column: None, field, code: error.reason(), error: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, zone: Option<Tz>) -> Result<ImportedRow, LineFault> {
        let Ok(Json::Object(row)) = Json::parse(text.as_bytes()) else { panic!("{text}") };
        ImportedRow::read(row, RowWindow { zone, until: ReadingTime::parse("2026-12-01T00:00:00Z").unwrap() })
    }

    #[test]
    fn a_row_is_a_reading() {
        let row = read(
            r#"{"device_id":"pump-1","timestamp":"2025-01-01T00:00:00.000000001Z","sensor_type":"t","value":23.50,
                "unit":"°C","quality_score":97,"claimed_at":"1970-01-01T00:00:05Z"}"#,
            None,
        )
        .unwrap();
        assert_eq!(row.device.as_str(), "pump-1");
        assert_eq!(row.at.to_string(), "2025-01-01T00:00:00.000000001Z");
        assert_eq!(row.claimed.unwrap().to_string(), "1970-01-01T00:00:05.000Z");
        let Reading { name, value, unit, quality_score } = row.reading;
        assert_eq!((&*name, value.to_string().as_str()), ("t", "23.50"));
        assert_eq!((unit.as_deref(), quality_score), (Some("°C"), Some(97)));
        let madrid = read(
            r#"{"device_id":"a","timestamp":"2025-07-01 12:00:00","sensor_type":"on","value":true,"unit":null}"#,
            Some(Tz::Europe__Madrid),
        );
        assert_eq!(madrid.unwrap().at.to_string(), "2025-07-01T10:00:00.000Z");
    }

    #[test]
    fn the_member_that_is_wrong_is_named() {
        let check = |text: &str, field: &str, code: &str| {
            let fault = read(text, None).unwrap_err();
            assert_eq!((fault.field.as_deref(), fault.code), (Some(field), code), "{text}: {fault:?}");
            assert!(fault.error.contains(field), "{fault:?}");
        };
        check(r#"{"timestamp":1,"sensor_type":"t","value":1}"#, "device_id", "missing_field");
        check(r#"{"device_id":"a/b","timestamp":1,"sensor_type":"t","value":1}"#, "device_id", "bad_field");
        check(r#"{"device_id":7,"timestamp":1,"sensor_type":"t","value":1}"#, "device_id", "bad_field");
        check(r#"{"device_id":"a","sensor_type":"t","value":1}"#, "timestamp", "missing_field");
        check(
            r#"{"device_id":"a","timestamp":"soon","sensor_type":"t","value":1}"#,
            "timestamp",
            "bad_timestamp",
        );
        check(
            r#"{"device_id":"a","timestamp":"2025-07-01 12:00:00","sensor_type":"t","value":1}"#,
            "timestamp",
            "bad_field",
        );
        check(
            r#"{"device_id":"a","timestamp":"2027-07-01T12:00:00Z","sensor_type":"t","value":1}"#,
            "timestamp",
            "bad_field",
        );
        check(r#"{"device_id":"a","timestamp":1,"value":1}"#, "sensor_type", "missing_field");
        check(r#"{"device_id":"a","timestamp":1,"sensor_type":"t","value":null}"#, "value", "missing_field");
        check(r#"{"device_id":"a","timestamp":1,"sensor_type":"t","value":[1]}"#, "value", "wrong_type");
        check(
            r#"{"device_id":"a","timestamp":1,"sensor_type":"t","value":1,"quality_score":101}"#,
            "quality_score",
            "bad_value",
        );
        check(
            r#"{"device_id":"a","timestamp":1,"sensor_type":"t","value":1,"claimed_at":"x"}"#,
            "claimed_at",
            "bad_field",
        );
        check(
            r#"{"device_id":"a","timestamp":1,"sensor_type":"t","value":1,"colour":"red"}"#,
            "colour",
            "unknown_field",
        );
    }
}

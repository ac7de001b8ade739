//! Seed 001, iamis-backend: one table of readings that name no device.

use std::collections::HashMap;

use chrono_tz::Tz;
use twinhub_domain::clock::NS_IN_MS;
use twinhub_domain::{DeviceId, Json, Number, Object, Reading, ReadingTime, Scalar};
use twinhub_mqtt::dialects::iamis::{TypedReading, gap_name, id_name};

use super::row::{CellFault, MappedRows, MomentBook, SeedDocument, SeedRow, SeedSample};
use super::seed::{Seed, SeedTable};

static TABLES: [SeedTable; 1] = [SeedTable {
    name: "sensor_data",
    columns: &["id", "sensor_type", "value", "unit", "timestamp"],
    left: &[],
}];

/// The tag of a device whose first readings were taken over: those of now are numbered behind them.
pub const TAG: &str = "migrated_from";
/// Its value.
pub const TAGGED: &str = "001";

/// The reader of its rows.
pub struct IamisSeed {
    zone: Tz,
    moments: MomentBook,
    /// The device that has the readings here.
    device: DeviceId,
    is_made: bool,
    /// The time of the last reading of each type, in ms.
    last: HashMap<String, i64>,
}

impl IamisSeed {
    /// With readings of `device`, and times that name no zone of `zone`; it wrote them in UTC.
    pub fn new(zone: Tz, device: DeviceId) -> Self {
        Self { zone, moments: MomentBook::default(), device, is_made: false, last: HashMap::new() }
    }

    fn reading(&mut self, row: &SeedRow<'_>, into: &mut MappedRows) -> Result<(), CellFault> {
        let sensor_type = row.needed_text("sensor_type")?;
        let value = row.needed_number("value")?;
        let unit = into.or_without(row.text("unit")).unwrap_or_default();
        TypedReading::new(sensor_type.as_str().into(), value.clone(), unit.as_str().into())
            .map_err(|error| row.fault("", error.to_string()))?;
        let id = row.needed_number("id")?;
        // Readings are found by the ms between them.
        let at = ReadingTime::from(row.time("timestamp", self.zone)?.floor());
        let at = self.moments.moment(&sensor_type, at, NS_IN_MS.into()).floor();
        let gap = match self.last.insert(sensor_type.clone(), at.millis()) {
            Some(last) => Scalar::Number(Number::from(at.millis().saturating_sub(last))),
            None => Scalar::Bool(false),
        };
        if !self.is_made {
            self.is_made = true;
            let tags: Object = [(TAG, Json::from(TAGGED))].into_iter().collect();
            let members = [
                ("device_id", self.device.as_str().into()),
                ("name", "Sensor data".into()),
                ("tags", tags.into()),
            ];
            let line: Object = members.into_iter().collect();
            into.add(row, SeedDocument::Device(line));
        }
        let reading = |name: &str, value, unit: Option<&str>| Reading {
            name: name.into(),
            value,
            unit: unit.map(Into::into),
            quality_score: None,
        };
        let readings = vec![
            reading(&sensor_type, Scalar::Number(value), Some(unit.as_str()).filter(|unit| !unit.is_empty())),
            reading(&gap_name(&sensor_type), gap, None),
            reading(&id_name(&sensor_type), Scalar::Number(id), None),
        ];
        let sample = SeedSample { device: self.device.clone(), at: at.into(), readings };
        into.add(row, SeedDocument::Sample(sample));
        Ok(())
    }
}

impl Seed for IamisSeed {
    fn tables(&self) -> &'static [SeedTable] {
        &TABLES
    }

    fn map(&mut self, _table: &'static str, row: &SeedRow<'_>, into: &mut MappedRows) {
        let mapped = self.reading(row, into);
        into.faults.extend(mapped.err());
    }
}

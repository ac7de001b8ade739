//! Seed 002, the FastAPI cloud backend: `sensor_readings`, and users whose passwords stay behind.

use chrono_tz::Tz;
use twinhub_domain::payload::{LONGEST_TEXT, LONGEST_UNIT, check_property};
use twinhub_mqtt::dialects::cloud_backend::CloudReading;

use super::device_book::{DeviceBook, line};
use super::row::{CellFault, MappedRows, MomentBook, STEP_NS, SeedDocument, SeedRow, SeedSample};
use super::seed::{Seed, SeedTable};

static TABLES: [SeedTable; 1] = [SeedTable {
    name: "sensor_readings",
    columns: &[
        "timestamp",
        "sensor_type",
        "sensor_id",
        "value",
        "unit",
        "origin",
        "source_protocol",
        "anomaly",
        "raw_data",
    ],
    left: &[("id", "a reading's number is its place in the hub's sequence")],
}];

static LEFT: [(&str, &str); 1] = [("users", super::USERS)];

/// The reader of its rows.
pub struct CloudBackendSeed {
    zone: Tz,
    moments: MomentBook,
    sensors: DeviceBook,
}

impl CloudBackendSeed {
    /// With times that name no zone of `zone`; it wrote them in UTC.
    pub fn new(zone: Tz) -> Self {
        Self { zone, moments: MomentBook::default(), sensors: DeviceBook::default() }
    }

    fn reading(&mut self, row: &SeedRow<'_>, into: &mut MappedRows) -> Result<(), CellFault> {
        let sensor_id = row.needed_text("sensor_id")?;
        let sensor_type = row.needed_text("sensor_type")?;
        check_property(&sensor_type).map_err(|detail| row.fault("sensor_type", detail))?;
        let value = row.needed_number("value")?;
        let at = row.time("timestamp", self.zone)?;
        let mut text = |column, longest: usize| {
            let text =
                row.text(column).and_then(|text| match text {
                    Some(text) if text.len() > longest => Err(row
                        .fault(column, format!("has {longest} bytes at most, this one has {}", text.len()))),
                    text => Ok(text.map(String::into_boxed_str)),
                });
            into.or_without(text)
        };
        let reading = CloudReading {
            unit: text("unit", LONGEST_UNIT).unwrap_or_default(),
            origin: text("origin", LONGEST_TEXT).unwrap_or_else(|| "unknown".into()),
            source_protocol: text("source_protocol", LONGEST_TEXT).unwrap_or_else(|| "mqtt".into()),
            raw: text("raw_data", LONGEST_TEXT),
            anomaly: into.or_without(row.flag("anomaly").map(Some)).unwrap_or_default(),
            sensor_type: sensor_type.as_str().into(),
            sensor_id: sensor_id.as_str().into(),
            value,
            topic: None,
        };
        let (device, is_new) = self.sensors.meet(row, "sensor_id", &sensor_id, into)?;
        if is_new {
            let mut line = line(&device, &sensor_id, &sensor_id);
            line.insert("type", sensor_type.into());
            into.add(row, SeedDocument::Device(line));
        }
        let readings = reading.into_readings(&device);
        let at = self.moments.moment(device.as_str(), at, STEP_NS);
        into.add(row, SeedDocument::Sample(SeedSample { device, at, readings }));
        Ok(())
    }
}

impl Seed for CloudBackendSeed {
    fn tables(&self) -> &'static [SeedTable] {
        &TABLES
    }

    fn left(&self) -> &'static [(&'static str, &'static str)] {
        &LEFT
    }

    fn map(&mut self, _table: &'static str, row: &SeedRow<'_>, into: &mut MappedRows) {
        let mapped = self.reading(row, into);
        into.faults.extend(mapped.err());
    }
}

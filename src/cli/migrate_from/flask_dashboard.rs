//! Seed 000, the Flask dashboard: `devices`, and a row of `sensor_data` for each message.

use chrono_tz::Tz;
use twinhub_domain::{Reading, Scalar};

use super::device_book::{DeviceBook, line};
use super::row::{CellFault, MappedRows, MomentBook, STEP_NS, SeedDocument, SeedRow, SeedSample};
use super::seed::{Seed, SeedTable};

const DEVICES: &str = "devices";
const READINGS: &str = "sensor_data";
/// A message's readings, each a column.
const SENSORS: [&str; 3] = ["temperature", "humidity", "pressure"];
const OF_THE_HUB: &str = "the hub says it by what it hears itself";

static TABLES: [SeedTable; 2] = [
    SeedTable {
        name: DEVICES,
        columns: &["device_id", "name"],
        left: &[("id", "the hub numbers devices itself"), ("status", OF_THE_HUB), ("last_seen", OF_THE_HUB)],
    },
    SeedTable {
        name: READINGS,
        columns: &["device_id", "temperature", "humidity", "pressure", "timestamp"],
        left: &[("id", "readings have no number here")],
    },
];

/// The reader of its rows.
pub struct FlaskDashboardSeed {
    zone: Tz,
    moments: MomentBook,
    devices: DeviceBook,
}

impl FlaskDashboardSeed {
    /// With times that name no zone of `zone`; it wrote them in UTC.
    pub fn new(zone: Tz) -> Self {
        Self { zone, moments: MomentBook::default(), devices: DeviceBook::default() }
    }

    fn device(&mut self, row: &SeedRow<'_>, into: &mut MappedRows) -> Result<(), CellFault> {
        let id = row.needed_text("device_id")?;
        let (device, is_new) = self.devices.meet(row, "device_id", &id, into)?;
        if !is_new {
            return Err(row.fault("device_id", format!("`{id}` is there already: its first row counts")));
        }
        let name = into.or_without(row.text("name")).unwrap_or_else(|| id.clone());
        into.add(row, SeedDocument::Device(line(&device, &id, &name)));
        Ok(())
    }

    fn reading(&mut self, row: &SeedRow<'_>, into: &mut MappedRows) -> Result<(), CellFault> {
        let at = row.time("timestamp", self.zone)?;
        let mut readings = Vec::new();
        for sensor in SENSORS {
            if let Some(number) = into.or_without(row.number(sensor)) {
                let (name, value) = (sensor.into(), Scalar::Number(number));
                readings.push(Reading { name, value, unit: None, quality_score: None });
            }
        }
        if readings.is_empty() {
            into.empty(row, "there is no reading in it");
            return Ok(());
        }
        let device = self.devices.of_reading(row, "device_id", DEVICES, into)?;
        let at = self.moments.moment(device.as_str(), at, STEP_NS);
        into.add(row, SeedDocument::Sample(SeedSample { device, at, readings }));
        Ok(())
    }
}

impl Seed for FlaskDashboardSeed {
    fn tables(&self) -> &'static [SeedTable] {
        &TABLES
    }

    fn map(&mut self, table: &'static str, row: &SeedRow<'_>, into: &mut MappedRows) {
        let mapped = if table == DEVICES { self.device(row, into) } else { self.reading(row, into) };
        into.faults.extend(mapped.err());
    }
}

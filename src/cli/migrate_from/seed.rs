//! The systems that a file may be of, and how each is told from the others.

use chrono_tz::Tz;
use clap::ValueEnum;
use twinhub_domain::DeviceId;
use twinhub_store::foreign::ForeignTable;

use super::cloud_backend::CloudBackendSeed;
use super::dispositivos::DispositivosSeed;
use super::flask_dashboard::FlaskDashboardSeed;
use super::iamis::IamisSeed;
use super::iot_controller::IotControllerSeed;
use super::row::{MappedRows, SeedRow, names};

/// A system whose file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SeedNumber {
    /// The Flask dashboard
    #[value(name = "000")]
    FlaskDashboard,
    /// iamis-backend
    #[value(name = "001")]
    Iamis,
    /// The FastAPI cloud backend
    #[value(name = "002")]
    CloudBackend,
    /// The Flask "IoT Backend"
    #[value(name = "003")]
    Dispositivos,
    /// The IoT Controller
    #[value(name = "004")]
    IotController,
}

/// A table of a system.
#[derive(Debug)]
pub struct SeedTable {
    /// Its name, and others that it may have: `estado_log|estado_logs`.
    pub name: &'static str,
    /// The columns that are read.
    pub columns: &'static [&'static str],
    /// Columns that are not, with the reason.
    pub left: &'static [(&'static str, &'static str)],
}

/// A system's rows, and what they are here.
pub trait Seed {
    /// Its tables, in the order in which they are read.
    fn tables(&self) -> &'static [SeedTable];

    /// Tables that are not taken over, with the reason.
    fn left(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Maps a row of one of the tables.
    fn map(&mut self, table: &'static str, row: &SeedRow<'_>, into: &mut MappedRows);

    /// A table is over: what needed all of it is mapped now.
    fn end(&mut self, _table: &'static str, _into: &mut MappedRows) {}
}

impl SeedNumber {
    const ALL: [Self; 5] =
        [Self::CloudBackend, Self::Dispositivos, Self::FlaskDashboard, Self::IotController, Self::Iamis];

    /// Its number.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FlaskDashboard => "000",
            Self::Iamis => "001",
            Self::CloudBackend => "002",
            Self::Dispositivos => "003",
            Self::IotController => "004",
        }
    }

    /// The system whose tables these are.
    pub fn guess(tables: &[ForeignTable]) -> Option<Self> {
        Self::ALL.into_iter().find(|seed| seed.fits(tables))
    }

    /// Can a file with these tables be of this system?
    pub fn fits(self, tables: &[ForeignTable]) -> bool {
        let has = |table: &'static str, wanted: &[&str], without: &[&str]| {
            find(tables, table).is_some_and(|table| {
                let is_there = |name: &&str| column(table, name).is_some();
                wanted.iter().all(is_there) && !without.iter().any(is_there)
            })
        };
        match self {
            Self::FlaskDashboard => has("sensor_data", &["device_id", "temperature"], &[]),
            Self::Iamis => has("sensor_data", &["sensor_type", "value"], &["device_id"]),
            Self::CloudBackend => has("sensor_readings", &["sensor_id", "sensor_type"], &[]),
            Self::Dispositivos => has(super::dispositivos::DEVICES, &["serial_number"], &[]),
            Self::IotController => {
                has("devices", &["id", "name"], &["device_id"])
                    && (find(tables, "sensor_data").is_none()
                        || has("sensor_data", &["device_id", "sensor_type"], &[]))
            }
        }
    }

    /// The reader of its rows. Times that name no zone are of `zone`.
    pub fn reader(self, zone: Tz, sensor_data_device: DeviceId) -> Box<dyn Seed> {
        match self {
            Self::FlaskDashboard => Box::new(FlaskDashboardSeed::new(zone)),
            Self::Iamis => Box::new(IamisSeed::new(zone, sensor_data_device)),
            Self::CloudBackend => Box::new(CloudBackendSeed::new(zone)),
            Self::Dispositivos => Box::new(DispositivosSeed::new(zone)),
            Self::IotController => Box::new(IotControllerSeed::new(zone)),
        }
    }
}

/// The table of this name, or of one of its others; SQLite takes capitals for small letters.
pub fn find<'a>(tables: &'a [ForeignTable], name: &'static str) -> Option<&'a ForeignTable> {
    names(name).find_map(|name| tables.iter().find(|table| table.name.eq_ignore_ascii_case(name)))
}

/// The name that a column has in the file.
pub fn column<'a>(table: &'a ForeignTable, name: &str) -> Option<&'a str> {
    table.columns.iter().map(String::as_str).find(|column| column.eq_ignore_ascii_case(name))
}

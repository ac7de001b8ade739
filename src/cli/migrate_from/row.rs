//! A row of another system's table, cell by cell; and what is made of it.

use chrono_tz::Tz;
use twinhub_domain::clock::WrittenTime;
use twinhub_domain::payload::shown;
use twinhub_domain::reading::ClockWindow;
use twinhub_domain::{DeviceId, Json, Number, Object, Reading, ReadingTime, Timestamp};
use twinhub_store::foreign::{ForeignRow, ForeignValue};

/// A row, with the names of its cells. Cells of columns that the file does not have are null.
pub struct SeedRow<'a> {
    columns: &'static [&'static str],
    row: &'a ForeignRow,
}

/// The fault of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellFault {
    pub rowid: i64,
    /// The name of the column; empty where the row as a whole is at fault.
    pub column: &'static str,
    pub reason: String,
}

/// The thing that a row becomes.
#[derive(Clone, Debug, PartialEq)]
pub enum SeedDocument {
    /// A line of `POST /api/groups/import`.
    Group(Object),
    /// A line of `POST /api/devices/import`.
    Device(Object),
    /// A body of `POST /dispositivos`.
    Dispositivo(Object),
    /// Readings of one moment: a part of a batch for `POST /api/devices/{id}/data`.
    Sample(SeedSample),
    /// A body of `POST /api/automation/rules`.
    Rule(Object),
}

/// Readings of one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedSample {
    pub device: DeviceId,
    pub readings: usize,
    pub body: Object,
}

/// All that rows become.
#[derive(Debug, Default, PartialEq)]
pub struct MappedRows {
    /// Each with the number of its row.
    pub documents: Vec<(i64, SeedDocument)>,
    pub faults: Vec<CellFault>,
    /// What is other here than there, and no fault.
    pub notes: Vec<String>,
}

/// The clock by which times without a zone are read, and the times that the hub believes.
#[derive(Clone, Copy, Debug)]
pub struct SeedClock {
    pub zone: Tz,
    pub now: Timestamp,
}

impl<'a> SeedRow<'a> {
    /// A row that was read with these columns.
    pub fn new(columns: &'static [&'static str], row: &'a ForeignRow) -> Self {
        Self { columns, row }
    }

    /// The number by which SQLite knows it.
    pub fn rowid(&self) -> i64 {
        self.row.rowid
    }

    /// The fault of one of its cells.
    pub fn fault(&self, column: &'static str, reason: impl Into<String>) -> CellFault {
        CellFault { rowid: self.row.rowid, column, reason: reason.into() }
    }

    fn cell(&self, column: &str) -> &ForeignValue {
        let index = self.columns.iter().position(|known| names(known).any(|name| name == column));
        index.and_then(|index| self.row.values.get(index)).unwrap_or(&ForeignValue::Null)
    }

    fn wrong(&self, column: &'static str, expected: &str) -> CellFault {
        let found = match self.cell(column) {
            ForeignValue::Null => "nothing".to_owned(),
            ForeignValue::Whole(number) => number.to_string(),
            ForeignValue::Real(number) => number.to_string(),
            ForeignValue::Text(text) => format!("the text `{}`", shown(text)),
            ForeignValue::Bytes(count) => format!("{count} bytes that are no text"),
        };
        self.fault(column, format!("expected {expected}, found {found}"))
    }

    /// The text of a cell: numbers by their digits, null and empty ones none.
    pub fn text(&self, column: &'static str) -> Result<Option<String>, CellFault> {
        match self.cell(column) {
            ForeignValue::Null => Ok(None),
            ForeignValue::Text(text) if text.is_empty() => Ok(None),
            ForeignValue::Text(text) => Ok(Some(text.clone())),
            ForeignValue::Whole(number) => Ok(Some(number.to_string())),
            ForeignValue::Real(number) => Ok(Some(number.to_string())),
            ForeignValue::Bytes(_) => Err(self.wrong(column, "a text")),
        }
    }

    /// The same, and there must be one.
    pub fn needed_text(&self, column: &'static str) -> Result<String, CellFault> {
        let text = self.text(column)?.filter(|text| !text.trim().is_empty());
        text.ok_or_else(|| self.wrong(column, "a text"))
    }

    /// The number of a cell; one in a text counts. None where there is null.
    pub fn number(&self, column: &'static str) -> Result<Option<Number>, CellFault> {
        let number = match self.cell(column) {
            ForeignValue::Null => return Ok(None),
            ForeignValue::Whole(number) => Some(Number::from(*number)),
            ForeignValue::Real(number) => Number::from_f64(*number),
            ForeignValue::Text(text) => {
                let text = text.trim();
                Number::parse(text).or_else(|| Number::from_f64(text.parse().ok()?))
            }
            ForeignValue::Bytes(_) => None,
        };
        number.map(Some).ok_or_else(|| self.wrong(column, "a number"))
    }

    /// The same, and there must be one.
    pub fn needed_number(&self, column: &'static str) -> Result<Number, CellFault> {
        self.number(column)?.ok_or_else(|| self.wrong(column, "a number"))
    }

    /// Is it true? As SQLite and Python write it; null is false.
    pub fn flag(&self, column: &'static str) -> Result<bool, CellFault> {
        match self.cell(column) {
            ForeignValue::Null => Ok(false),
            ForeignValue::Whole(number) => Ok(*number != 0),
            ForeignValue::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "1" | "true" | "t" | "yes" => Ok(true),
                "" | "0" | "false" | "f" | "no" => Ok(false),
                _ => Err(self.wrong(column, "true or false")),
            },
            _ => Err(self.wrong(column, "true or false")),
        }
    }

    /// The JSON object in a cell; null and empty ones none.
    pub fn object(&self, column: &'static str) -> Result<Option<Object>, CellFault> {
        match self.json(column)? {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Object(object)) => Ok(Some(object)),
            Some(other) => {
                Err(self.fault(column, format!("expected an object as JSON, found {}", other.kind())))
            }
        }
    }

    /// The JSON in a cell; null and empty ones none.
    pub fn json(&self, column: &'static str) -> Result<Option<Json>, CellFault> {
        let Some(text) = self.text(column)? else { return Ok(None) };
        let parsed = Json::parse(text.as_bytes());
        parsed.map(Some).map_err(|error| self.fault(column, format!("expected JSON: {error}")))
    }

    /// The moment of a cell, which the hub has to believe: what it does not believe it would keep under the time of the
    /// migration.
    pub fn time(&self, column: &'static str, clock: SeedClock) -> Result<ReadingTime, CellFault> {
        let written = match self.cell(column) {
            ForeignValue::Text(text) => WrittenTime::parse(text),
            ForeignValue::Whole(number) => WrittenTime::epoch(&number.to_string()),
            ForeignValue::Real(number) => WrittenTime::epoch(&number.to_string()),
            ForeignValue::Null | ForeignValue::Bytes(_) => None,
        };
        let at = written.ok_or_else(|| self.wrong(column, "a time"))?.in_zone(clock.zone);
        if ClockWindow::default().holds(at, clock.now, clock.now) {
            return Ok(at);
        }
        Err(self.fault(column, format!("the hub believes times of the last ten years alone, not {at}")))
    }
}

/// The names by which a column may be called: `dispositivo_id|device_id`. The first one is its own.
pub fn names(column: &'static str) -> impl Iterator<Item = &'static str> {
    column.split('|')
}

impl SeedSample {
    /// Readings of a device at this moment.
    pub fn new(device: DeviceId, at: ReadingTime, readings: Vec<Reading>) -> Self {
        let count = readings.len();
        let readings = readings.into_iter().map(reading).collect();
        let body = [("sensor_readings", Json::Array(readings)), ("timestamp", at.to_string().into())];
        Self { device, readings: count, body: body.into_iter().collect() }
    }
}

fn reading(Reading { name, value, unit, quality_score }: Reading) -> Json {
    let mut object: Object =
        [("sensor_type", Json::String(name)), ("value", value.into())].into_iter().collect();
    if let Some(unit) = unit {
        object.insert("unit", Json::String(unit));
    }
    if let Some(score) = quality_score {
        object.insert("quality_score", i64::from(score).into());
    }
    object.into()
}

impl MappedRows {
    /// Adds what a row becomes.
    pub fn add(&mut self, row: &SeedRow<'_>, document: SeedDocument) {
        self.documents.push((row.rowid(), document));
    }

    /// The value of a cell that a row can do without; none, and told, where it is at fault.
    pub fn or_without<T>(&mut self, cell: Result<Option<T>, CellFault>) -> Option<T> {
        cell.unwrap_or_else(|fault| {
            self.faults.push(fault);
            None
        })
    }
}

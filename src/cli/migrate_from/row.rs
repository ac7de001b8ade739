//! A row of another system's table, cell by cell; and what is made of it.

use std::collections::HashMap;

use chrono_tz::Tz;
use twinhub_domain::clock::WrittenTime;
use twinhub_domain::payload::shown;
use twinhub_domain::{DeviceId, Json, Number, Object, Reading, ReadingTime};
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
    pub column: String,
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
    /// Readings of one moment: lines of `POST /api/data/import`.
    Sample(SeedSample),
    /// A body of `POST /api/automation/rules`.
    Rule(Object),
}

/// Readings of one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedSample {
    pub device: DeviceId,
    pub at: ReadingTime,
    pub readings: Vec<Reading>,
}

/// All that rows become.
#[derive(Debug, Default, PartialEq)]
pub struct MappedRows {
    /// Each with the number of its row.
    pub documents: Vec<(i64, SeedDocument)>,
    pub faults: Vec<CellFault>,
    /// Differences between there and here that are no faults.
    pub notes: Vec<String>,
}

/// The moments that rows were given, by what they are of. Readings of one name and moment would be one reading here, and
/// files with times to the second have several: those behind the first are a little later each.
#[derive(Debug, Default)]
pub struct MomentBook {
    /// The last row's own time, and the one that it was given.
    last: HashMap<String, (ReadingTime, ReadingTime)>,
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
        CellFault { rowid: self.row.rowid, column: column.to_owned(), reason: reason.into() }
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
        parsed.map(Some).map_err(|error| self.fault(column, error.to_string()))
    }

    /// The moment of a cell; one that names no zone is of `zone`.
    pub fn time(&self, column: &'static str, zone: Tz) -> Result<ReadingTime, CellFault> {
        let written = match self.cell(column) {
            ForeignValue::Text(text) => WrittenTime::parse(text),
            ForeignValue::Whole(number) => WrittenTime::epoch(&number.to_string()),
            ForeignValue::Real(number) => WrittenTime::epoch(&number.to_string()),
            ForeignValue::Null | ForeignValue::Bytes(_) => None,
        };
        Ok(written.ok_or_else(|| self.wrong(column, "a time"))?.in_zone(zone))
    }
}

/// The step between rows of one moment, in ns: the originals' times are no finer.
pub const STEP_NS: i128 = 1_000;

/// The names by which a column may be called: `dispositivo_id|device_id`. The first one is its own.
pub fn names(column: &'static str) -> impl Iterator<Item = &'static str> {
    column.split('|')
}

impl SeedSample {
    /// Its lines, without their ends.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.readings.iter().map(|Reading { name, value, unit, quality_score }| {
            let members = [
                ("device_id", Some(self.device.as_str().into())),
                ("timestamp", Some(self.at.to_string().into())),
                ("sensor_type", Some(Json::String(name.clone()))),
                ("value", Some(value.clone().into())),
                ("unit", unit.clone().map(Json::String)),
                ("quality_score", quality_score.map(|score| i64::from(score).into())),
            ];
            let given = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
            Json::from(given.collect::<Object>()).to_string()
        })
    }
}

impl MomentBook {
    /// The moment of a row of `what` whose own time is `at`: `step_ns` behind the row before, where that has the same.
    pub fn moment(&mut self, what: &str, at: ReadingTime, step_ns: i128) -> ReadingTime {
        let given = match self.last.get(what) {
            Some((own, given)) if *own == at => {
                ReadingTime::from_nanos(given.nanos() + step_ns).unwrap_or(*given)
            }
            _ => at,
        };
        self.last.insert(what.to_owned(), (at, given));
        given
    }
}

impl MappedRows {
    /// Adds what a row becomes.
    pub fn add(&mut self, row: &SeedRow<'_>, document: SeedDocument) {
        self.documents.push((row.rowid(), document));
    }

    /// A row has nothing in it that can be taken over: told, unless its cells were.
    pub fn empty(&mut self, row: &SeedRow<'_>, reason: &str) {
        if self.faults.last().is_none_or(|fault| fault.rowid != row.rowid()) {
            self.faults.push(row.fault("", reason));
        }
    }

    /// The value of a cell that a row can do without; none, and told, where it is at fault.
    pub fn or_without<T>(&mut self, cell: Result<Option<T>, CellFault>) -> Option<T> {
        cell.unwrap_or_else(|fault| {
            self.faults.push(fault);
            None
        })
    }
}

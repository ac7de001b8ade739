//! Export and import: rows of fields, as JSON Lines or as CSV. The API and the command
//! line share it; it knows neither.
//!
//! A body is cut into records ([`records`]), each of which becomes one row ([`RowReader`]): an object such as
//! a registration's body. So what is imported is read, and refused, as what is posted.

pub mod cell;
pub mod columns;
mod header;
mod reader;
mod records;
#[cfg(test)]
mod tests;
pub mod unique_values;
pub mod writer;

use twinhub_domain::Json;
use twinhub_domain::json::JsonError;

pub use header::DecimalCommas;
pub use reader::{FileRow, RowReader};
pub use writer::{RowWriter, SectionKeys};

use crate::http::extract::fields::FieldError;

/// Refusals of an import that are reported one by one, at most.
pub const MOST_DETAILS: usize = 100_000;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line.
    Jsonl,
    /// Comma-separated values, with a line of names above them.
    Csv,
}

/// The format of a file of readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadingsFormat {
    /// A line a reading.
    Lines(Format),
    /// A file of columns, for programs that look into many.
    Parquet,
}

/// The media type of Parquet.
const PARQUET: &str = "application/vnd.apache.parquet";

/// The fault of a line, or of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFault {
    /// The character of the line, from 1, where it is known.
    pub column: Option<usize>,
    /// The field or the column, where it is about one.
    pub field: Option<String>,
    /// The stable word.
    pub code: &'static str,
    pub error: String,
}

/// The fault of a file as a whole: no row of it can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}{}: {}", column(.fault), .fault.error)]
pub struct FileFault {
    /// From 1.
    pub line: u64,
    pub fault: LineFault,
}

impl Format {
    /// The format of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }

    /// The format that a media type names; none where it names none, or another.
    #[must_use]
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type.split(';').next()?.trim().to_ascii_lowercase().as_str() {
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines" => Some(Self::Jsonl),
            "text/csv" => Some(Self::Csv),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
        }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jsonl => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }
}

impl Default for ReadingsFormat {
    fn default() -> Self {
        Self::Lines(Format::Jsonl)
    }
}

impl ReadingsFormat {
    /// The format of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        if name == "parquet" { Some(Self::Parquet) } else { Format::parse(name).map(Self::Lines) }
    }

    /// The format that a media type names; none where it names none, or another.
    #[must_use]
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        if media_type.eq_ignore_ascii_case(PARQUET) {
            return Some(Self::Parquet);
        }
        Format::of_media_type(media_type).map(Self::Lines)
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lines(format) => format.as_str(),
            Self::Parquet => "parquet",
        }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Lines(format) => format.media_type(),
            Self::Parquet => PARQUET,
        }
    }
}

impl LineFault {
    /// A fault of a line, and of no field of it.
    pub fn of_line(code: &'static str, error: impl Into<String>) -> Self {
        Self { column: None, field: None, code, error: error.into() }
    }

    /// The same, at this character.
    #[must_use]
    pub fn at(self, column: usize) -> Self {
        Self { column: Some(column), ..self }
    }

    /// The fault without the name of the field in front.
    #[must_use]
    pub fn detail(&self) -> &str {
        let named = self
            .field
            .as_deref()
            .and_then(|field| self.error.strip_prefix('`')?.strip_prefix(field)?.strip_prefix("`: "));
        named.unwrap_or(&self.error)
    }
}

impl From<FieldError> for LineFault {
    fn from(error: FieldError) -> Self {
        Self { column: None, error: error.to_string(), field: Some(error.field), code: error.code }
    }
}

/// Reads JSON that stands in one line.
fn json(text: &str) -> Result<Json, LineFault> {
    Json::parse(text.as_bytes()).map_err(|error| match &error {
        JsonError::Syntax(syntax) => {
            let detail = syntax.to_string();
            let detail = detail.rsplit_once(" at line ").map_or(&*detail, |(detail, _)| detail);
            // Counted in bytes there, and by people in characters.
            let column = text.get(..syntax.column()).map_or(syntax.column(), |before| before.chars().count());
            LineFault::of_line("not_json", format!("not JSON: {detail}")).at(column.max(1))
        }
        _ => LineFault::of_line("bad_json", error.to_string()),
    })
}

fn column(fault: &LineFault) -> String {
    fault.column.map_or_else(String::new, |column| format!(", column {column}"))
}

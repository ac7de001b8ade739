//! The report of an import: the number of lines by outcome, and of each refused one its place and its reason.

use serde::Serialize;
use utoipa::ToSchema;

use crate::import_export::{DecimalCommas, LineFault};

/// The outcome of the lines of a file.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct ImportReport {
    /// Lines with something in them, without the header.
    pub lines: u64,
    pub created: u64,
    pub updated: u64,
    /// Left as they are: they were there already.
    pub skipped: u64,
    pub refused: u64,
    /// Nothing was changed: this is what would be.
    pub dry_run: bool,
    /// Numbers that were written with a decimal comma, by column: where commas part no cells, and all cells above in
    /// the column are numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decimal_commas: Vec<CommasRead>,
    /// In the order of the lines.
    pub refusals: Vec<LineRefused>,
    /// So many more were refused.
    pub more_refusals: u64,
    /// The tokens that were made, where they were asked for; shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tokens: Option<Vec<TokenMade>>,
    /// The import ended before the file did. What was done stays done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub broken_off: Option<BrokenOff>,
}

/// The reading of a column's decimal commas.
#[derive(Debug, Serialize, ToSchema)]
pub struct CommasRead {
    #[schema(example = "desired.setpoint")]
    pub column: String,
    /// In how many cells.
    pub cells: u64,
    /// The first of them.
    #[schema(example = "21,5")]
    pub example: String,
    /// The number that it was read as.
    #[schema(example = "21.5")]
    pub read_as: String,
}

/// A line that was refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineRefused {
    /// From 1.
    #[schema(example = 17)]
    pub line: u64,
    /// The character of the line, from 1, where the line itself is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub column: Option<usize>,
    /// The id in the line, as far as it has one.
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub device_id: Option<String>,
    /// The field that is wrong; none where it is the line as a whole.
    #[schema(example = "settings.heartbeat")]
    pub field: Option<String>,
    /// A stable word for programs, the same as in problem documents.
    #[schema(example = "bad_field")]
    pub code: &'static str,
    pub error: String,
}

/// A token that was made for a device.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenMade {
    pub line: u64,
    pub device_id: String,
    pub auth_token: String,
}

/// Where an import ended before its time.
#[derive(Debug, Serialize, ToSchema)]
pub struct BrokenOff {
    /// The first line of which nothing was taken in; lines before it are in, or among the refusals.
    pub line: u64,
    pub error: String,
}

impl From<DecimalCommas> for CommasRead {
    fn from(commas: DecimalCommas) -> Self {
        let DecimalCommas { column, cells, example, read_as } = commas;
        Self { column, cells, example, read_as }
    }
}

impl LineRefused {
    /// The refusal of a line for this reason.
    #[must_use]
    pub fn new(line: u64, id: Option<String>, fault: LineFault) -> Self {
        let LineFault { column, field, code, error } = fault;
        Self { line, column, id, device_id: None, field, code, error }
    }
}

//! The faults of a rule or a file, place by place.

use serde::Serialize;
use twinhub_domain::payload::PayloadError;
use utoipa::ToSchema;

use crate::import_export::FileFault;

/// Something that is wrong with a rule, with a reading, or with a file as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RuleError {
    /// A JSON pointer to it; of a reading where it stands (`sensor_readings[0].value`); the name of a file's column.
    #[schema(example = "/triggers/0/above")]
    pub pointer: String,
    /// From 1, where it stands in a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub column: Option<u32>,
    /// The fault, and the value that was expected.
    #[schema(example = "unknown key `abve`")]
    pub message: String,
    /// The nearest right word.
    #[schema(example = "above")]
    pub hint: Option<String>,
}

impl RuleError {
    /// The fault of a file.
    pub(crate) fn of_file(FileFault { line, fault }: &FileFault) -> Self {
        Self {
            pointer: fault.field.clone().unwrap_or_default(),
            line: u32::try_from(*line).ok(),
            column: fault.column.and_then(|column| u32::try_from(column).ok()),
            message: fault.error.clone(),
            hint: None,
        }
    }

    /// The fault of a reading.
    pub(crate) fn of_reading(error: &PayloadError) -> Self {
        Self {
            pointer: error.field().unwrap_or_default().to_owned(),
            line: None,
            column: None,
            message: error.to_string(),
            hint: None,
        }
    }

    /// The problem in an answer.
    #[must_use]
    pub fn of(problem: &twinhub_rules::FileProblem) -> Self {
        let known = |place: u32| (place > 0).then_some(place);
        Self {
            pointer: problem.pointer.clone(),
            line: known(problem.line),
            column: known(problem.column),
            message: problem.message.clone(),
            hint: problem.hint.clone(),
        }
    }
}

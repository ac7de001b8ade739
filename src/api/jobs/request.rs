//! The body of one thing done to many devices, and what bodies of jobs have in common.

use serde::Deserialize;
use twinhub_domain::Object;
use utoipa::ToSchema;

use super::bulk::action::BulkAction;
use crate::http::extract::fields::FieldError;
use crate::http::extract::read::texts;

const LONGEST_DESCRIPTION: usize = 1_024;
/// Faster than this is as fast as it goes.
const HIGHEST_RATE: f64 = 1_000_000.0;

/// One thing to be done to many devices: to those in `ids`, or to all that fit `filter` and `where`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"where": {"type": "pump", "status": ["online"]}, "action": {"desired": {"power": "on"}}}))]
pub struct NewBulk {
    /// Ids of devices.
    #[serde(default, deserialize_with = "texts")]
    #[schema(value_type = Option<Vec<String>>)]
    pub ids: Option<Vec<Box<str>>>,
    /// An expression over the twin, as in rules.
    pub filter: Option<Box<str>>,
    /// The filters of the list of devices: `status`, `type` (or `device_type`), `template_id`, `group_id`, `subtree`, `claimed`,
    /// `lifecycle`, `mode`, `q`, `drift`, and `tag: {"<name>": "<value>"}`. An empty one means all devices;
    /// an empty value in it is refused.
    pub r#where: Option<Object>,
    pub action: BulkAction,
    /// Only say whom it would be done to, and what would change.
    pub dry_run: Option<bool>,
    /// Devices a second at most. Left out: as fast as it goes.
    #[schema(exclusive_minimum = 0.0)]
    pub rate: Option<f64>,
    pub description: Option<Box<str>>,
    /// For `delete`, which needs it: how many devices it will remove.
    pub confirm_count: Option<u64>,
}

/// Devices a second at most.
///
/// # Errors
/// It is nothing, or less.
pub fn checked_rate(rate: Option<f64>) -> Result<Option<f64>, FieldError> {
    match rate {
        Some(rate) if rate <= 0.0 || rate > HIGHEST_RATE => {
            let detail = format!("expected devices a second, more than 0, found {rate}");
            Err(FieldError::bad("rate", detail))
        }
        rate => Ok(rate),
    }
}

/// The description of a job.
///
/// # Errors
/// It is too long.
pub fn checked_description(description: Option<Box<str>>) -> Result<Box<str>, FieldError> {
    let description = description.unwrap_or_default();
    if description.len() > LONGEST_DESCRIPTION {
        return Err(FieldError::bad("description", format!("{LONGEST_DESCRIPTION} bytes at most")));
    }
    Ok(description)
}

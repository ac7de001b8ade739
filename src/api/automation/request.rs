//! Bodies about rules that are no rules: a switch, a wish to run one, and a backtest.

use serde::Deserialize;
use twinhub_domain::{Json, Object};
use utoipa::ToSchema;

use crate::http::extract::read::texts;

/// Whether a rule runs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSwitch {
    #[serde(alias = "enabled_status", alias = "is_enabled")]
    pub enabled: bool,
}

/// A request to run a rule.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// Leave its conditions aside.
    pub unconditional: Option<bool>,
}

/// A request for a replay of a rule, of one that runs by its `rule_id`, or of the text of a rule file.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"rule_id": "greenhouse-cool", "from": "2026-01-01", "to": "2026-01-08"}))]
pub struct NewBacktest {
    /// As in a rule file.
    pub rule: Option<Object>,
    /// A rule that runs; with `file` which of its rules.
    #[serde(alias = "id")]
    pub rule_id: Option<Box<str>>,
    /// The text of a rule file, YAML or JSON.
    pub file: Option<Box<str>>,
    /// Runs from here on, inclusive: RFC 3339, a date, epoch seconds; seven days ago by default.
    #[serde(alias = "start_date")]
    #[schema(value_type = Option<String>)]
    pub from: Option<Json>,
    /// Up to here, exclusive; now by default.
    #[serde(alias = "end_date")]
    #[schema(value_type = Option<String>)]
    pub to: Option<Json>,
    /// Only these devices.
    #[serde(default, deserialize_with = "texts", alias = "devices")]
    #[schema(value_type = Option<Vec<String>>)]
    pub device_ids: Option<Vec<Box<str>>>,
    /// The time before `from` that is replayed too, so that the twins are as they were: a duration, or `all` (by
    /// default).
    pub warm_up: Option<Box<str>>,
}

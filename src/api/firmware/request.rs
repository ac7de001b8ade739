//! Bodies about firmware: an image by its address, and a roll-out of one.

use serde::Deserialize;
use twinhub_domain::duration::GivenDuration;
use twinhub_domain::{Json, Object};
use utoipa::ToSchema;

use crate::http::extract::read::{duration, even_null, filled, texts};

/// An image that lies elsewhere.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFirmware {
    /// Dotted numbers, and what semantic versioning puts behind them.
    #[serde(deserialize_with = "filled")]
    #[schema(example = "1.5.0")]
    pub version: Box<str>,
    /// Or `models`.
    #[serde(default, deserialize_with = "texts")]
    #[schema(value_type = Option<String>, example = "P-100")]
    pub model: Option<Vec<Box<str>>>,
    #[serde(default, deserialize_with = "texts")]
    #[schema(value_type = Option<Vec<String>>)]
    pub models: Option<Vec<Box<str>>>,
    #[serde(deserialize_with = "filled")]
    #[schema(example = "https://example.com/pump-1.5.0.bin")]
    pub url: Box<str>,
    /// 64 hexadecimal digits.
    #[serde(deserialize_with = "filled")]
    pub sha256: Box<str>,
    /// Bytes.
    pub size: u64,
    pub notes: Option<Box<str>>,
}

/// A request to roll an image out, to devices in `ids` or to all that fit.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"where": {"type": "pump"}, "stages": [5, 25, 100], "abort": {"share": 0.2, "min": 5}}))]
pub struct NewRollout {
    #[serde(default, deserialize_with = "texts")]
    #[schema(value_type = Option<Vec<String>>)]
    pub ids: Option<Vec<Box<str>>>,
    /// An expression over the twin, as in rules.
    pub filter: Option<Box<str>>,
    /// The filters of the list of devices; an empty one means all, an empty value in it is refused.
    pub r#where: Option<Object>,
    /// Up to how many percent of the devices each stage goes: `[5, 25, 100]` by default.
    pub stages: Option<Vec<u8>>,
    /// `{"share": 0.2, "min": 5}` by default: it is broken off when of those that are through a fifth has failed, once
    /// five are through. Null: never.
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<NewAbort>)]
    pub abort: Option<Option<NewAbort>>,
    /// Also devices that run something newer, or that do not say what they run.
    pub allow_downgrade: Option<bool>,
    /// After how long without any progress a device has failed: a duration, or seconds; `1h` by default.
    #[serde(default, deserialize_with = "duration")]
    #[schema(value_type = Option<String>, example = "1h")]
    pub timeout: Option<GivenDuration>,
    /// Devices that have not begun by then have failed: a duration, seconds, or a time; `7d` by default.
    #[schema(value_type = Option<String>, example = "7d")]
    pub expires: Option<Json>,
    /// Devices a second at most.
    #[schema(exclusive_minimum = 0.0)]
    pub rate: Option<f64>,
    pub description: Option<Box<str>>,
    /// Only say who would get it, and who would not and why.
    pub dry_run: Option<bool>,
}

/// When a roll-out is broken off.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAbort {
    /// So large a part of the devices that are through has failed: above 0, 1 at most.
    #[serde(alias = "rate")]
    pub share: Option<f64>,
    /// Not before so many are through.
    pub min: Option<u64>,
}

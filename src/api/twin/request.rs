//! Bodies about what drives a device: a twin's patch, and its mode.

use serde::Deserialize;
use twinhub_domain::duration::GivenDuration;
use twinhub_domain::{Json, Object};
use utoipa::ToSchema;

use crate::http::extract::read::{duration, filled, given_members};

/// A merge patch (RFC 7396) onto the twin.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"desired": {"power": "on"}}))]
pub struct TwinPatch {
    desired: Option<Object>,
    tags: Option<Object>,
    configuration: Option<Object>,
}

/// The mode that the twin is to have; `for` and `until` are two ways to say when manual mode ends.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"mode": "manual", "for": "2h"}))]
pub struct NewMode {
    /// `manual` or `schedule`.
    #[serde(deserialize_with = "filled")]
    pub mode: Box<str>,
    /// A duration, or seconds.
    #[serde(default, deserialize_with = "duration")]
    #[schema(value_type = Option<String>)]
    pub r#for: Option<GivenDuration>,
    #[schema(format = DateTime)]
    pub until: Option<Box<str>>,
}

impl TwinPatch {
    /// The sections that it has.
    pub fn members(self) -> Object {
        given_members([
            ("desired", self.desired.map(Json::from)),
            ("tags", self.tags.map(Json::from)),
            ("configuration", self.configuration.map(Json::from)),
        ])
    }
}

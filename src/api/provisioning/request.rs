//! Bodies about provisioning.

use serde::Deserialize;
use twinhub_domain::{DeviceId, Json, Object};
use utoipa::ToSchema;

use crate::http::extract::fields::FieldError;
use crate::http::extract::read::{filled, given_members, texts};

/// A provisioning key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProvisioningKey {
    /// By which it is told from others.
    #[serde(deserialize_with = "filled")]
    #[schema(example = "line 3")]
    pub name: Box<str>,
    /// The template that the devices get.
    pub template_id: Option<Box<str>>,
    /// The group that they are in.
    pub group_id: Option<Box<str>>,
    /// The most devices that may register with it; any number by default.
    #[schema(minimum = 1)]
    pub uses: Option<u64>,
    /// The time up to which it counts, RFC 3339, or a date; for good by default.
    #[schema(example = "2026-12-31")]
    pub until: Option<Box<str>>,
    /// The ids that the devices may have, as patterns: `*` stands for any characters, `?` for one. Any by default.
    #[serde(default, deserialize_with = "texts")]
    #[schema(value_type = Option<Vec<String>>, example = json!(["line3-*"]))]
    pub ids: Option<Vec<Box<str>>>,
}

/// A device that registers itself.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProvisioned {
    /// 1 to 128 of `A-Z a-z 0-9 . _ : -`.
    #[serde(deserialize_with = "filled")]
    #[schema(example = "line3-0017")]
    pub device_id: Box<str>,
    pub serial_number: Option<Box<str>>,
    /// Its id by default.
    pub name: Option<Box<str>>,
    r#type: Option<Box<str>>,
    model: Option<Box<str>>,
    mac_address: Option<Box<str>>,
}

impl NewProvisioned {
    /// The id.
    ///
    /// # Errors
    /// It has no form of one.
    pub fn id(&self) -> Result<DeviceId, FieldError> {
        DeviceId::parse(&self.device_id).map_err(|error| FieldError::bad("device_id", error.to_string()))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(&self.device_id)
    }

    /// The merge patch onto the new twin.
    #[must_use]
    pub fn patch(self) -> Object {
        let text = |text: Option<Box<str>>| text.map(Json::String);
        let name = Json::from(self.name());
        given_members([
            ("name", Some(name)),
            ("serial_number", text(self.serial_number)),
            ("type", text(self.r#type)),
            ("model", text(self.model)),
            ("mac_address", text(self.mac_address)),
        ])
    }
}

//! Bodies about templates. The contents of their members are read where rules and devices are known.

use serde::Deserialize;
use twinhub_domain::{Json, Object};
use utoipa::ToSchema;

use super::schema::TemplateMatch;
use crate::api::twin::schema::{DeviceSettingsItem, ScheduleEntry};
use crate::http::extract::read::{even_null, filled, given_members};

/// A new template.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTemplate {
    /// 1 to 64 of `A-Z a-z 0-9 . _ -`.
    #[serde(deserialize_with = "filled")]
    #[schema(example = "pump")]
    pub id: Box<str>,
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<String>)]
    name: Option<Json>,
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<String>)]
    description: Option<Json>,
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<TemplateMatch>)]
    applies_to: Option<Json>,
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<Object>)]
    configuration: Option<Json>,
    /// Entries, or a timetable by days.
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<Vec<ScheduleEntry>>)]
    schedule: Option<Json>,
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<Object>)]
    tags: Option<Json>,
    /// By reading what it is expected to be: `{"temperature": {"min": -10, "max": 40, "margin": 0.5, "for": "30s", "unit": "°C", "interval": "60s"}}`,
    /// each if it is known; `{"power": {"words": ["OFF", "ON"]}}`: its words for false and true.
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<Object>)]
    limits: Option<Json>,
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<DeviceSettingsItem>)]
    settings: Option<Json>,
    /// The words for false and true of all properties, `["OFF", "ON"]`, or by property: `{"power": ["OFF", "ON"]}`. Short
    /// for `settings.words` and for `words` in `limits`, where they are kept.
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<Value>)]
    words: Option<Json>,
    /// By name rules as in rule files. A trigger that says no device means those that have the template.
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<Object>)]
    rules: Option<Json>,
}

/// A template as it is to be (PUT), or what is to be another of it (PATCH).
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateChange {
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<String>)]
    id: Option<Json>,
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<String>)]
    name: Option<Json>,
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<String>)]
    description: Option<Json>,
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<TemplateMatch>)]
    applies_to: Option<Json>,
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<Object>)]
    configuration: Option<Json>,
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<Vec<ScheduleEntry>>)]
    schedule: Option<Json>,
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<Object>)]
    tags: Option<Json>,
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<Object>)]
    limits: Option<Json>,
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<DeviceSettingsItem>)]
    settings: Option<Json>,
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<Value>)]
    words: Option<Json>,
    #[serde(default, deserialize_with = "even_null")]
    #[schema(value_type = Option<Object>)]
    rules: Option<Json>,
}

impl NewTemplate {
    /// The members of the template, in the form that a change has.
    pub fn members(self) -> Object {
        let Self {
            id,
            name,
            description,
            applies_to,
            configuration,
            schedule,
            tags,
            limits,
            settings,
            words,
            rules,
        } = self;
        let id = Some(Json::String(id));
        TemplateChange {
            id,
            name,
            description,
            applies_to,
            configuration,
            schedule,
            tags,
            limits,
            settings,
            words,
            rules,
        }
        .members()
    }
}

impl TemplateChange {
    /// The members that it has.
    pub fn members(self) -> Object {
        given_members([
            ("id", self.id),
            ("name", self.name),
            ("description", self.description),
            ("applies_to", self.applies_to),
            ("configuration", self.configuration),
            ("schedule", self.schedule),
            ("tags", self.tags),
            ("limits", self.limits),
            ("settings", self.settings),
            ("words", self.words),
            ("rules", self.rules),
        ])
    }
}

#[cfg(test)]
mod tests {
    use twinhub_domain::json::fields_of;
    use twinhub_rules::device_template::FIELDS;

    use super::*;

    #[test]
    fn all_that_a_template_says_can_be_sent() {
        assert_eq!(fields_of::<NewTemplate>(), FIELDS);
        assert_eq!(fields_of::<TemplateChange>(), FIELDS);
    }
}

//! Bodies about devices: a registration, a change, a claim, and a word on a device's life.

use serde::Deserialize;
use twinhub_domain::settings::DeviceSettings;
use twinhub_domain::{Json, Object};
use utoipa::ToSchema;

use crate::api::twin::schema::ScheduleEntry;
use crate::http::extract::read::{even_null, filled, given_members, text_or_null};

/// The bodies with the texts of a device that anybody may set, which come from the table of a device's fields.
macro_rules! bodies {
    ($($text:ident)+) => {
        /// A registration.
        #[derive(Debug, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct NewDevice {
            #[serde(deserialize_with = "filled")]
            #[schema(example = "Pump in the hall")]
            pub name: Box<str>,
            /// 1 to 128 of `A-Z a-z 0-9 . _ : -`; made when none is given.
            #[schema(example = "pump-1")]
            pub device_id: Option<Box<str>>,
            pub serial_number: Option<Box<str>>,
            $($text: Option<Box<str>>,)+
            /// 16 to 256 bytes; made when none is given.
            pub auth_token: Option<Box<str>>,
            tags: Option<Object>,
            configuration: Option<Object>,
            /// `gateway`, `heartbeat`, `in_flight`, `timezone` and `words` are the hub's; all others are merged into
            /// `configuration`.
            settings: Option<Object>,
            /// Entries, or a timetable by days; see `…/schedule`.
            #[serde(default, deserialize_with = "even_null")]
            #[schema(value_type = Option<Vec<ScheduleEntry>>)]
            schedule: Option<Json>,
            /// By reading what it is expected to be, over what its template says.
            limits: Option<Object>,
            /// The id of its template. Null means none, also where one is meant for it.
            #[serde(default, deserialize_with = "even_null", alias = "template")]
            #[schema(value_type = Option<String>)]
            template_id: Option<Json>,
        }

        /// A change of a device; what is left out stays, null takes away.
        #[derive(Debug, Default, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct DeviceChange {
            #[serde(default, deserialize_with = "text_or_null")]
            #[schema(value_type = Option<String>)]
            name: Option<Json>,
            #[serde(default, deserialize_with = "text_or_null")]
            #[schema(value_type = Option<String>)]
            serial_number: Option<Json>,
            $(
                #[serde(default, deserialize_with = "text_or_null")]
                #[schema(value_type = Option<String>)]
                $text: Option<Json>,
            )+
            tags: Option<Object>,
            desired: Option<Object>,
            configuration: Option<Object>,
            /// `gateway`, `heartbeat`, `in_flight`, `timezone` and `words` are the hub's; all others are merged into
            /// `configuration`.
            settings: Option<Object>,
            /// Entries, or a timetable by days; see `…/schedule`.
            #[serde(default, deserialize_with = "even_null")]
            #[schema(value_type = Option<Vec<ScheduleEntry>>)]
            schedule: Option<Json>,
            /// By reading what it is expected to be, over what its template says.
            limits: Option<Object>,
            /// The id of its template. Null means none, also where one is meant for it.
            #[serde(default, deserialize_with = "even_null", alias = "template")]
            #[schema(value_type = Option<String>)]
            template_id: Option<Json>,
        }

        /// A claim.
        #[derive(Debug, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct Claim {
            #[serde(deserialize_with = "filled")]
            #[schema(example = "TMP0603IF1WD")]
            pub serial_number: Box<str>,
            name: Option<Box<str>>,
            $($text: Option<Box<str>>,)+
            tags: Option<Object>,
            configuration: Option<Object>,
            /// `gateway`, `heartbeat`, `in_flight`, `timezone` and `words` are the hub's; all others are merged into
            /// `configuration`.
            settings: Option<Object>,
            /// By reading what it is expected to be, over what its template says.
            limits: Option<Object>,
            /// The id of its template. Null means none, also where one is meant for it.
            #[serde(default, deserialize_with = "even_null", alias = "template")]
            #[schema(value_type = Option<String>)]
            template_id: Option<Json>,
        }

        impl NewDevice {
            /// The merge patch onto the new twin.
            pub fn patch(self) -> Object {
                let members = [
                    ("name", Some(Json::String(self.name))),
                    ("serial_number", text(self.serial_number)),
                    $((name(stringify!($text)), text(self.$text)),)+
                    ("tags", self.tags.map(Json::from)),
                    ("limits", self.limits.map(Json::from)),
                    ("schedule", self.schedule), // whether it is one, the twin itself says
                    ("template", self.template_id),
                ];
                with_settings(given_members(members), self.configuration, self.settings)
            }
        }

        impl DeviceChange {
            /// The merge patch onto the twin.
            pub fn patch(self) -> Object {
                let members = [
                    ("name", self.name),
                    ("serial_number", self.serial_number),
                    $((name(stringify!($text)), self.$text),)+
                    ("tags", self.tags.map(Json::from)),
                    ("desired", self.desired.map(Json::from)),
                    ("limits", self.limits.map(Json::from)),
                    ("schedule", self.schedule), // whether it is one, the twin itself says
                    ("template", self.template_id),
                ];
                with_settings(given_members(members), self.configuration, self.settings)
            }
        }

        impl Claim {
            /// The merge patch onto the twin, without the serial number by which it is found.
            pub fn patch(self) -> Object {
                let members = [
                    ("name", text(self.name)),
                    $((name(stringify!($text)), text(self.$text)),)+
                    ("tags", self.tags.map(Json::from)),
                    ("limits", self.limits.map(Json::from)),
                    ("template", self.template_id),
                ];
                with_settings(given_members(members), self.configuration, self.settings)
            }
        }
    };
}

twinhub_domain::settable_texts!(bodies);

/// The name of a text in JSON.
fn name(member: &'static str) -> &'static str {
    member.strip_prefix("r#").unwrap_or(member)
}

/// The stage of its life that a device is to have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"state": "suspended", "reason": "it floods us"}))]
pub struct NewLifecycle {
    /// `active`, `suspended` or `retired`; from `retired` there is no way back.
    #[serde(deserialize_with = "filled")]
    pub state: Box<str>,
    pub reason: Option<Box<str>>,
}

fn text(text: Option<Box<str>>) -> Option<Json> {
    text.map(Json::String)
}

/// Adds `configuration` and `settings`. Of the settings the hub keeps its own; all others are merged into the
/// configuration, for those who call that one so.
fn with_settings(mut patch: Object, mut configuration: Option<Object>, given: Option<Object>) -> Object {
    let mut settings = Object::default();
    for (name, value) in given.into_iter().flatten() {
        // All are merge patches, so a null must stay one: entries are put in as they are.
        let place = match DeviceSettings::NAMES.contains(&&*name) {
            true => &mut settings,
            false => configuration.get_or_insert_default(),
        };
        place.insert(name, value);
    }
    if let Some(configuration) = configuration {
        patch.insert("configuration", configuration.into());
    }
    if !settings.is_empty() {
        patch.insert("settings", settings.into());
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::extract::fields::FieldError;
    use crate::http::extract::read::read;

    fn change(text: &str) -> Result<String, FieldError> {
        let change: DeviceChange = read(text.parse::<Json>().unwrap())?;
        Ok(Json::Object(change.patch()).to_string())
    }

    fn registration(text: &str) -> Object {
        read::<NewDevice>(text.parse::<Json>().unwrap()).unwrap().patch()
    }

    #[test]
    fn reads_what_seed_004_sends() {
        assert_eq!(
            change(r#"{"name": "P", "description": "d", "settings": {"x": null}, "group_id": null}"#)
                .unwrap(),
            r#"{"configuration":{"x":null},"description":"d","group_id":null,"name":"P"}"#
        );
        assert_eq!(
            change(r#"{"settings": {"heartbeat": null}, "schedule": null}"#).unwrap(),
            r#"{"schedule":null,"settings":{"heartbeat":null}}"#
        );
        assert_eq!(change("{}").unwrap(), "{}");
    }

    #[test]
    fn a_template_has_two_names() {
        for name in ["template_id", "template"] {
            assert_eq!(change(&format!(r#"{{"{name}": "pump"}}"#)).unwrap(), r#"{"template":"pump"}"#);
            assert_eq!(change(&format!(r#"{{"{name}": null}}"#)).unwrap(), r#"{"template":null}"#);
        }
        assert_eq!(change(r#"{"template_id": "a", "template": "b"}"#).unwrap_err().field, "template_id");
    }

    #[test]
    fn names_what_cannot_be_changed() {
        for field in ["id", "version", "status", "reported", "token_hash", "claimed"] {
            let error = change(&format!(r#"{{"{field}": "x"}}"#)).unwrap_err();
            assert_eq!((&*error.field, error.code), (field, "unknown_field"));
        }
        assert_eq!(change(r#"{"name": 5}"#).unwrap_err().detail, "expected a string, found a number");
    }

    #[test]
    fn settings_are_ours_or_configuration() {
        let check = |text: &str, expected: &str| {
            let mut patch = registration(text);
            patch.remove("name");
            assert_eq!(Json::from(patch).to_string(), expected, "{text}");
        };
        check(
            r#"{"name": "P", "configuration": {"a": 1, "b": 2}, "settings": {"b": 3.0}}"#,
            r#"{"configuration":{"a":1,"b":3.0}}"#,
        );
        check(
            r#"{"name": "P", "settings": {"heartbeat": "90s", "in_flight": null, "colour": "red"}}"#,
            r#"{"configuration":{"colour":"red"},"settings":{"heartbeat":"90s","in_flight":null}}"#,
        );
        let words = r#"{"settings":{"timezone":"UTC","words":["OFF","ON"]}}"#;
        check(r#"{"name": "P", "settings": {"words": ["OFF", "ON"], "timezone": "UTC"}}"#, words);
        check(r#"{"name": "P", "settings": {"in_flight": 2}}"#, r#"{"settings":{"in_flight":2}}"#);
        check(r#"{"name": "P", "settings": {}, "schedule": [], "model": null}"#, r#"{"schedule":[]}"#);
    }
}

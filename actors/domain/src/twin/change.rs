//! What people say of a device: who it is, and what of its document is to change.

use core::net::{IpAddr, Ipv6Addr}; // how addresses are written: nothing is sent

use serde::{Deserialize, Serialize};

use super::{Refusal, Twin};
use crate::clock::Timestamp;
use crate::json::{Json, Object};
use crate::schedule::{BadSchedule, Plan};
use crate::text::has_control;
use crate::versions::Versions;

/// Who a device is to people. Empty text means: not said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub serial_number: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: Box<str>,
    /// `type` on the wire: `pump`, `thermostat`.
    #[serde(rename = "type", skip_serializing_if = "str::is_empty")]
    pub device_type: Box<str>,
    /// All that is seldom said: `model`, `description`, `group_id`, `owner_id`, `ip_address`,
    /// `mac_address`, `firmware_version`, `token_hash`.
    #[serde(skip_serializing_if = "Object::is_empty")]
    pub more: Object,
}

/// A registration or claim, as the API takes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registration {
    /// Merge patch by field and section: `name`, `type`, `tags`, `configuration`, …; `template` by its id, for which
    /// whoever knows the templates puts its layer.
    pub patch: Object,
}

/// A change of the document, as the API takes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Merge patch by field and section: `name`, `desired`, `tags`, `configuration`, …; `template` as in a registration.
    pub patch: Object,
}

/// The text fields of a profile that people may set, in the order of the document.
pub const TEXT_FIELDS: [&str; 8] =
    ["serial_number", "name", "type", "model", "description", "group_id", "ip_address", "mac_address"];

/// The sections that people may patch.
pub const SECTIONS: [&str; 3] = ["desired", "tags", "configuration"];

/// A text field has at most this many bytes.
const LONGEST_TEXT: usize = 4_096;

impl Profile {
    /// The field called `name`, empty when it was never said. `type`, `model`, …
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        match field {
            "serial_number" => &self.serial_number,
            "name" => &self.name,
            "type" => &self.device_type,
            other => self.more.get(other).and_then(Json::as_str).unwrap_or_default(),
        }
    }

    pub(super) fn set(&mut self, field: &str, value: &Json) {
        let text: Box<str> = value.as_str().unwrap_or_default().into();
        match field {
            "serial_number" => self.serial_number = text,
            "name" => self.name = text,
            "type" => self.device_type = text,
            other if text.is_empty() => {
                self.more.remove(other);
            }
            other => {
                self.more.insert(other, Json::String(text));
            }
        }
    }

    /// What a status message's details change: `firmware_version`, `ip_address` and the like go into
    /// the profile where they are new, `type` where there is none yet; all else is reported state.
    pub(super) fn patch_from_details(&self, details: Object) -> Object {
        let mut patch = Object::default();
        let mut reported = Object::default();
        for (field, value) in details.iter() {
            match (field, value) {
                (
                    "firmware_version" | "ip_address" | "mac_address" | "model" | "serial_number",
                    Json::String(text),
                ) if is_address(field, text) && !has_control(text) => {
                    if self.text(field) != &**text {
                        patch.insert(field, value.clone());
                    }
                }
                ("type", Json::String(text)) if self.device_type == *text => {}
                // Against what a person called it, a device's word is only reported.
                ("type", Json::String(_)) if self.device_type.is_empty() => {
                    patch.insert(field, value.clone());
                }
                _ => {
                    reported.insert(field, value.clone());
                }
            }
        }
        if !reported.is_empty() {
            patch.insert("reported", reported.into());
        }
        patch
    }
}

impl Registration {
    /// The patch, with `claimed` in it, once it is checked.
    pub(super) fn into_patch(mut self, twin: &Twin, now: Timestamp) -> Result<Object, Refusal> {
        check(&mut self.patch, &["owner_id", "token_hash"], twin, now)?;
        self.patch.insert("claimed", Json::Bool(true));
        Ok(self.patch)
    }
}

impl Change {
    pub(super) fn into_patch(mut self, twin: &Twin, now: Timestamp) -> Result<Object, Refusal> {
        check(&mut self.patch, &[], twin, now)?;
        Ok(self.patch)
    }
}

/// Checks a patch, and brings its schedule into the form that events carry.
fn check(patch: &mut Object, also: &[&str], twin: &Twin, now: Timestamp) -> Result<(), Refusal> {
    let invalid = |field: &str, detail: String| Err(Refusal::Invalid { field: field.to_owned(), detail });
    let (mut schedule, mut is_same) = (None, false);
    for (field, value) in patch.iter() {
        match value {
            value if field == "schedule" => schedule = Some(normal_schedule(value, now)?),
            Json::Object(settings) if field == "settings" => {
                let patched = twin.settings().patched(settings);
                patched.map_err(|(field, detail)| Refusal::Invalid { field, detail })?;
            }
            Json::Object(limits) if field == "limits" => twin.check_limits(limits, patch)?,
            Json::Object(tags) if field == "tags" => {
                if let Some(tag) = tags.iter().map(|(name, _)| name).find(|name| has_control(name)) {
                    return invalid(field, format!("the name {tag:?} has control characters"));
                }
            }
            Json::Object(_) if SECTIONS.contains(&field) => {}
            Json::Object(_) | Json::Null if field == "template" => is_same = twin.has_layer(value),
            Json::String(id) if field == "template" => {
                return invalid("template_id", format!("there is no template `{id}`"));
            }
            other if SECTIONS.contains(&field) || ["settings", "limits", "template"].contains(&field) => {
                return invalid(field, format!("expected an object, found {}", other.kind()));
            }
            Json::String(text) if text.len() > LONGEST_TEXT => {
                return invalid(field, format!("{LONGEST_TEXT} bytes at most, this has {}", text.len()));
            }
            Json::String(text) if !is_address(field, text) => {
                let form = if field == "ip_address" { "192.168.1.7 or fd00::7" } else { "aa:bb:cc:dd:ee:ff" };
                let shown: String = text.chars().take(64).collect();
                return invalid(field, format!("`{shown}` is no address: write {form}"));
            }
            Json::String(text) if !may_be(field, text) => {
                return invalid(field, "no control characters, such as a NUL or the end of a line".into());
            }
            Json::String(_) | Json::Null if TEXT_FIELDS.contains(&field) || also.contains(&field) => {}
            other if TEXT_FIELDS.contains(&field) => {
                return invalid(field, format!("expected a string, found {}", other.kind()));
            }
            _ => return invalid(field, "there is no such field".into()),
        }
    }
    twin.check_room(patch)?;
    if let Some(schedule) = schedule {
        patch.insert("schedule", schedule);
    }
    if is_same {
        patch.remove("template");
    }
    Ok(())
}

/// Can the field be so? What people read, and nobody looks for by its whole text, may have several lines.
fn may_be(field: &str, text: &str) -> bool {
    match field {
        "name" | "description" => !text.split(['\n', '\r', '\t']).any(has_control),
        _ => !has_control(text),
    }
}

/// Is this an address, where the field is one? Empty means: not said.
fn is_address(field: &str, text: &str) -> bool {
    match field {
        _ if text.is_empty() => true,
        // An address of a link may say of which: `fe80::1%eth0`.
        "ip_address" => match text.split_once('%') {
            Some((address, zone)) => address.parse::<Ipv6Addr>().is_ok() && !zone.is_empty(),
            None => text.parse::<IpAddr>().is_ok(),
        },
        "mac_address" => is_mac(text),
        _ => true,
    }
}

/// Six bytes, or eight, in hexadecimal digits: `aa:bb:cc:dd:ee:ff`, with `-` or with nothing between them, or
/// `aabb.ccdd.eeff`.
fn is_mac(text: &str) -> bool {
    let of = |separator: char, length: usize| {
        let parts: Vec<&str> = text.split(separator).collect();
        let is_hex = |part: &&str| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        [12, 16].contains(&(parts.len() * length)) && parts.iter().all(is_hex)
    };
    let bare = [12, 16].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    bare || of(':', 2) || of('-', 2) || of('.', 4)
}

/// The entries in full: an empty array where there are none, null where nothing is to be said of them any more.
pub(super) fn normal_schedule(entries: &Json, now: Timestamp) -> Result<Json, Refusal> {
    if *entries == Json::Null {
        return Ok(Json::Null);
    }
    match Plan::parse(entries, now) {
        Ok(plan) => Ok(plan.map_or_else(|| Json::Array(Box::default()), |plan| plan.entries())),
        Err(BadSchedule { field, detail }) => Err(Refusal::Invalid { field, detail }),
    }
}

impl Twin {
    /// Is it at one of the versions that an input is for? Asked before the input is applied, by whoever applies it.
    ///
    /// # Errors
    /// It is at another.
    pub fn check_version(&self, if_version: Option<&Versions>) -> Result<(), Refusal> {
        match if_version {
            Some(expected) if !expected.contain(self.version) => {
                Err(Refusal::Version { current: self.version, expected: expected.clone() })
            }
            _ => Ok(()),
        }
    }

    /// What to call it: its name, or its id while it has none.
    #[must_use]
    pub fn display_name(&self) -> &str {
        if self.profile.name.is_empty() { self.id.as_str() } else { &self.profile.name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_addresses() {
        let check = |field: &str, good: &[&str], bad: &[&str]| {
            for text in good {
                assert!(is_address(field, text), "{field}: {text}");
            }
            for text in bad {
                assert!(!is_address(field, text), "{field}: {text}");
            }
        };
        check(
            "ip_address",
            &["", "192.168.1.7", "::1", "fd00::7", "fe80::1%eth0", "::ffff:10.0.0.1"],
            &[
                "999.1.1.1",
                "1.2.3",
                "10.0.0.7:80",
                "10.0.0.0/8",
                "pump.local",
                "fe80::1%",
                "10.0.0.7%eth0",
                " 10.0.0.7",
            ],
        );
        check(
            "mac_address",
            &[
                "",
                "aa:bb:cc:dd:ee:ff",
                "AA-BB-CC-DD-EE-FF",
                "aabb.ccdd.eeff",
                "aabbccddeeff",
                "00:11:22:33:44:55:66:77",
            ],
            &[
                "aa:bb",
                "aa:bb:cc:dd:ee:fg",
                "aa:bb-cc:dd:ee:ff",
                "aa:bb:cc:dd:ee:ff:",
                "mac",
                "aa:bb:cc:dd:ee:ff:00",
            ],
        );
        check("model", &["999.1.1.1"], &[]);
    }
}

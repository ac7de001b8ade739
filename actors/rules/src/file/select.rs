//! Selectors of devices, and places in a twin.

use super::check::{Checker, Map};
use super::node::{YamlNode, YamlValue};
use super::shape::{PLACE, WHERE};
use crate::model::{Glob, Path, Selector};
use twinhub_domain::run::RuleId;
use twinhub_domain::{DeviceId, Json, Object};

/// The word for the device that fired the rule.
const TRIGGER_DEVICE: &str = "trigger.device";

/// Whether `trigger.device` is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fired {
    /// In an action of a rule that a device can fire.
    ByDevice,
    /// In an action, and no trigger of the rule gives a device.
    ByNone,
    /// Not in an action.
    Not,
}

/// Every device.
pub(crate) fn everybody() -> Option<Selector> {
    Glob::parse("*").ok().map(Selector::Glob)
}

/// The devices: an id, a pattern, `{group, type, tag, template}`, or `trigger.device`.
pub(crate) fn selector(c: &mut Checker, node: &YamlNode, fired: Fired) -> Option<Selector> {
    if matches!(node.value, YamlValue::Map(_)) {
        return by_nature(c, node);
    }
    let Some(text) = node.as_text() else {
        c.expected(node, "a device: an id, a pattern such as pump-*, or {group, type, tag, template}");
        return None;
    };
    if text == TRIGGER_DEVICE {
        match fired {
            Fired::ByDevice => return Some(Selector::Trigger),
            Fired::ByNone => {
                c.flaw(node, "`trigger.device` is empty here: no trigger of this rule belongs to a device");
            }
            Fired::Not => c.flaw(node, "`trigger.device` can be said in actions only"),
        }
        return None;
    }
    device_or_glob(c, node, text)
}

/// The devices and the place in their twins: `pump.temperature`, `{device, property}`.
pub(crate) fn place(c: &mut Checker, map: &Map<'_>, key: &str) -> Option<(Selector, Path)> {
    let node = map.get(key)?;
    if matches!(node.value, YamlValue::Map(_)) {
        let long = c.map(node, &PLACE)?;
        let of = long.get("device").and_then(|device| selector(c, device, Fired::Not));
        let property = long.get("property")?;
        let path = c.text_of(property).and_then(|text| path(c, property, text));
        return Some((of?, path?));
    }
    let Some(text) = node.as_text() else {
        c.expected(node, "a device's property such as greenhouse.temperature, or {device, property}");
        return None;
    };
    let Some((device, property)) = text.split_once('.').filter(|(d, p)| !d.is_empty() && !p.is_empty())
    else {
        c.expected(node, "a device's property such as greenhouse.temperature");
        return None;
    };
    let of = device_or_glob(c, node, device);
    let path = path(c, node, property);
    Some((of?, path?))
}

/// A place in a twin's document as it is written after the device.
fn path(c: &mut Checker, node: &YamlNode, text: &str) -> Option<Path> {
    let (first, rest) = text.split_once('.').map_or((text, None), |(first, rest)| (first, Some(rest)));
    let inner = rest.filter(|rest| !rest.is_empty());
    let path = match (first, inner) {
        ("mode", None) => Path::Mode,
        ("status", None) => Path::Status,
        ("name" | "type" | "group_id", None) => Path::Profile(first.into()),
        ("reported", Some(inner)) => Path::Reported(inner.into()),
        ("desired", Some(inner)) => Path::Desired(inner.into()),
        ("tags", Some(inner)) => Path::Tag(inner.into()),
        ("configuration", Some(inner)) => Path::Configuration(inner.into()),
        ("reported" | "desired" | "tags" | "configuration", None) => {
            c.flaw(node, format!("`{first}` is a part of the twin: say which member, as in `{first}.power`"));
            return None;
        }
        ("id" | "version" | "last_seen" | "claimed", None) => {
            let message = format!(
                "`{first}` of a twin cannot be watched; a property of that name is `reported.{first}`"
            );
            c.flaw(node, message);
            return None;
        }
        _ if text.split('.').any(str::is_empty) => {
            c.flaw(node, format!("`{text}` has an empty part between its dots"));
            return None;
        }
        _ => Path::Reported(text.into()),
    };
    Some(path)
}

fn device_or_glob(c: &mut Checker, node: &YamlNode, text: &str) -> Option<Selector> {
    if text.contains(['*', '?', '[', '{']) {
        return match Glob::parse(text) {
            Ok(glob) => Some(Selector::Glob(glob)),
            Err(detail) => {
                c.flaw(node, format!("`{text}` is no pattern of ids: {detail}"));
                None
            }
        };
    }
    match DeviceId::parse(text) {
        Ok(id) => Some(Selector::Device(id)),
        Err(error) => {
            c.flaw(node, error.to_string());
            None
        }
    }
}

/// `{group, type, tag, template}`.
fn by_nature(c: &mut Checker, node: &YamlNode) -> Option<Selector> {
    let map = c.map(node, &WHERE)?;
    let group = c.text(&map, "group").map(Into::into);
    let device_type = c.text(&map, "type").map(Into::into);
    let mut tags: Vec<(Box<str>, Box<str>)> = Vec::new();
    for key in ["tag", "tags"] {
        let Some(node) = map.get(key) else { continue };
        let Some(entries) = node.as_map() else {
            c.expected(node, "tags such as {floor: 2}");
            continue;
        };
        for (name, value) in entries {
            if let Some(text) = c.text_of(value) {
                tags.push((name.text.clone(), text.into()));
            }
        }
    }
    tags.sort();
    tags.dedup();
    let template = c.text(&map, "template").map(Into::into);
    if group.is_none() && device_type.is_none() && tags.is_empty() && template.is_none() {
        c.flaw(node, "say which devices: `group`, `type`, `tag` or `template`; every device is `\"*\"`");
        return None;
    }
    Some(Selector::Where { group, device_type, tags, template })
}

/// The rule's name at `key`.
pub(crate) fn rule_id(c: &mut Checker, map: &Map<'_>, key: &str) -> Option<RuleId> {
    let node = map.get(key)?;
    let text = c.text_of(node)?;
    match RuleId::parse(text) {
        Ok(id) => Some(id),
        Err(detail) => {
            c.flaw(node, detail);
            None
        }
    }
}

/// The name of an alarm's type or a command's type: 1 to 128 bytes.
pub(crate) fn name(c: &mut Checker, map: &Map<'_>, key: &str) -> Option<Box<str>> {
    let node = map.get(key)?;
    let text = c.text_of(node)?;
    if text.trim().is_empty() || text.len() > 128 || text.chars().any(char::is_control) {
        c.expected(node, "a name of 1 to 128 bytes");
        return None;
    }
    Some(text.into())
}

/// The document at `key`, which must be a map.
pub(crate) fn object(c: &mut Checker, map: &Map<'_>, key: &str) -> Option<Object> {
    let node = map.get(key)?;
    let Json::Object(object) = node.to_json() else {
        c.expected(node, "a map of keys and values");
        return None;
    };
    Some(object)
}

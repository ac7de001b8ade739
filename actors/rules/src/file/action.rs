//! Lists of actions, and what many kinds of actions are made of.

use chrono_tz::Tz;

use super::check::{Checker, Map, items};
use super::node::{YamlNode, YamlValue};
use super::select::{Fired, selector};
use crate::action::{ACTIONS, Action, ActionKind};
use crate::model::Selector;
use crate::template::{BadTextTemplate, JsonTemplate, TextTemplate};
use twinhub_domain::{Json, Object};

/// So many actions stand in one list.
pub(crate) const MOST: usize = 100;

/// The context in which actions are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub zone: Tz,
    pub fired: Fired,
}

/// One action or a list of them.
pub(crate) fn actions(c: &mut Checker, node: &YamlNode, setting: Setting) -> Vec<Action> {
    let items = items(node);
    if let Some(beyond) = items.get(MOST) {
        c.flaw(beyond, format!("{MOST} actions at most stand in one list"));
        return Vec::new();
    }
    items.iter().filter_map(|item| action(c, item, setting)).collect()
}

/// The actions at `key`, one at least.
pub(crate) fn needed(c: &mut Checker, map: &Map<'_>, key: &str, setting: Setting) -> Vec<Action> {
    let Some(node) = map.get(key) else { return Vec::new() };
    if matches!(&node.value, YamlValue::List(items) if items.is_empty()) {
        c.expected(node, "an action");
    }
    actions(c, node, setting)
}

fn action(c: &mut Checker, node: &YamlNode, setting: Setting) -> Option<Action> {
    let map = c.variant(node, ACTIONS, "an action")?;
    let on_error = c.word(&map, "on_error");
    ActionKind::read(c, &map, setting).map(|kind| Action { kind, on_error })
}

/// The devices at `key`.
pub(crate) fn device(c: &mut Checker, map: &Map<'_>, key: &str, setting: Setting) -> Option<Selector> {
    selector(c, map.get(key)?, setting.fired)
}

/// The map at `key`, whose texts may be templates; without it an empty one.
pub(crate) fn filled_map(c: &mut Checker, map: &Map<'_>, key: &str) -> Option<JsonTemplate> {
    let Some(node) = map.get(key) else {
        return JsonTemplate::compile(Json::Object(Object::default())).ok();
    };
    if node.as_map().is_none() {
        c.expected(node, "a map of keys and values");
        return None;
    }
    document(c, node)
}

/// A document whose texts may be templates.
pub(crate) fn document(c: &mut Checker, node: &YamlNode) -> Option<JsonTemplate> {
    match JsonTemplate::compile(node.to_json()) {
        Ok(template) => Some(template),
        Err((pointer, BadTextTemplate { detail, at })) => {
            c.flaw_within(node.at(&pointer).unwrap_or(node), at, detail);
            None
        }
    }
}

/// A text that may be a template.
pub(crate) fn template(c: &mut Checker, node: &YamlNode) -> Option<TextTemplate> {
    let text = c.text_of(node)?;
    match TextTemplate::compile(text) {
        Ok(template) => Some(template),
        Err(BadTextTemplate { detail, at }) => {
            c.flaw_within(node, at, detail);
            None
        }
    }
}

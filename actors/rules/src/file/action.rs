//! Actions.

use chrono_tz::Tz;

use super::check::{Checker, Map, items};
use super::condition::together;
use super::node::{Node, Value};
use super::outward::{publish, webhook};
use super::select::{Fired, name, rule_id, selector};
use super::shape::{ACTIONS, BRANCH, UNTIL};
use crate::model::{Action, Condition, Selector, What};
use crate::template::{BadTemplate, JsonTemplate, Template};
use twinhub_domain::CommandRequest;
use twinhub_domain::{Json, Object};

/// The most actions of one list.
const MOST: usize = 100;

/// The context in which actions are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub zone: Tz,
    pub fired: Fired,
}

/// One action or a list of them.
pub(super) fn actions(c: &mut Checker, node: &Node, setting: Setting) -> Vec<Action> {
    let items = items(node);
    if let Some(beyond) = items.get(MOST) {
        c.flaw(beyond, format!("{MOST} actions at most stand in one list"));
        return Vec::new();
    }
    items.iter().filter_map(|item| action(c, item, setting)).collect()
}

/// The actions at `key`, one at least.
pub(super) fn needed(c: &mut Checker, map: &Map<'_>, key: &str, setting: Setting) -> Vec<Action> {
    let Some(node) = map.get(key) else { return Vec::new() };
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        c.expected(node, "an action");
    }
    actions(c, node, setting)
}

fn action(c: &mut Checker, node: &Node, setting: Setting) -> Option<Action> {
    let map = c.variant(node, &ACTIONS, "an action")?;
    let on_error = c.word(&map, "on_error");
    let what = match map.shape.word() {
        "command" => command(c, &map, setting),
        "desired" => desired(c, &map, setting),
        "mode" => {
            let of = device(c, &map, "mode", setting);
            let mode = c.word(&map, "to");
            let for_ms = c.duration(&map, "for");
            of.zip(mode).map(|(of, mode)| What::Mode { of, mode, for_ms })
        }
        "alarm" => alarm(c, &map, setting),
        "clear" => {
            let alarm_type = name(c, &map, "clear");
            let of = device(c, &map, "device", setting);
            alarm_type.map(|alarm_type| What::Clear { alarm_type, of })
        }
        "publish" => publish(c, &map),
        "webhook" => webhook(c, &map).map(What::Webhook),
        "delay" => c.duration(&map, "delay").map(|ms| What::Delay { ms }),
        "wait" => wait(c, &map, setting.zone),
        "choose" => choose(c, &map, setting),
        "run" => rule_id(c, &map, "run").map(|rule| What::Run { rule }),
        "enable" => rule_id(c, &map, "enable").map(|rule| What::Enable { rule }),
        "disable" => rule_id(c, &map, "disable").map(|rule| What::Disable { rule }),
        _ => {
            let message = map.get("log").and_then(|node| template(c, node));
            let level = c.word(&map, "level").unwrap_or_default();
            message.map(|message| What::Log { level, message })
        }
    };
    what.map(|what| Action { what, on_error })
}

fn command(c: &mut Checker, map: &Map<'_>, setting: Setting) -> Option<What> {
    let to = device(c, map, "command", setting);
    let command_type = name(c, map, "type");
    let parameters = filled_map(c, map, "parameters");
    let confirm = c.duration(map, "confirm");
    let mut options = Object::default();
    for key in ["ttl", "timeout"] {
        if let Some(ms) = c.duration(map, key) {
            options.insert(key, format!("{ms}ms").into()); // the same however it is written
        }
    }
    for key in ["priority", "max_attempts"] {
        if let Some(number) = c.whole(map, key) {
            options.insert(key, number.into());
        }
    }
    if let Some(key) = c.text(map, "supersedes") {
        options.insert("supersedes", key.into());
    }
    // What the API takes as a command is what a rule may say, too.
    let mut request = options.clone();
    request.insert("command_type", "any".into());
    if let Err((field, detail)) = CommandRequest::parse(request)
        && let Some(node) = map.get(&field)
    {
        c.flaw(node, format!("`{field}` {detail}"));
    }
    Some(What::Command { to: to?, command_type: command_type?, parameters: parameters?, options, confirm })
}

fn desired(c: &mut Checker, map: &Map<'_>, setting: Setting) -> Option<What> {
    let to = device(c, map, "desired", setting);
    let set = filled_map(c, map, "set");
    if let Some(node) = map.get("set")
        && node.as_map().is_some_and(<[_]>::is_empty)
    {
        c.flaw(node, "`set` is empty, and would change nothing");
    }
    Some(What::Desired { to: to?, set: set? })
}

fn alarm(c: &mut Checker, map: &Map<'_>, setting: Setting) -> Option<What> {
    let alarm_type = name(c, map, "alarm");
    let severity = c.word(map, "severity").unwrap_or(twinhub_domain::alarm::Severity::Warning);
    let of = device(c, map, "device", setting);
    let message = match map.get("message") {
        Some(node) => template(c, node),
        // Its type is not to be filled in: what looks like a template in it is none.
        None => alarm_type.as_deref().and_then(|name| Template::compile(&name.replace(['{', '}'], "")).ok()),
    };
    Some(What::Alarm { alarm_type: alarm_type?, severity, message: message?, of })
}

fn wait(c: &mut Checker, map: &Map<'_>, zone: Tz) -> Option<What> {
    let node = map.get("wait")?;
    let timeout = c.duration(map, "timeout");
    let is_long = node.as_map().is_some_and(|entries| entries.iter().any(|(key, _)| &*key.text == "until"));
    if is_long {
        let inner = c.map(node, &UNTIL)?;
        let until = together(c, &inner, "until", zone);
        let inner_timeout = c.duration(&inner, "timeout");
        if let (Some(node), Some(_)) = (inner.get("timeout"), map.get("timeout")) {
            c.flaw(node, "`timeout` is said twice: within `wait` and beside it");
        }
        return until.map(|until| What::Wait { until, timeout: inner_timeout.or(timeout) });
    }
    together(c, map, "wait", zone).map(|until| What::Wait { until, timeout })
}

fn choose(c: &mut Checker, map: &Map<'_>, setting: Setting) -> Option<What> {
    let node = map.get("choose")?;
    let items = items(node);
    if items.is_empty() {
        c.expected(node, "a list of branches, each with `when` and `do`");
    }
    if let Some(beyond) = items.get(MOST) {
        c.flaw(beyond, format!("{MOST} branches at most stand in one list"));
        return None;
    }
    let mut branches: Vec<(Condition, Vec<Action>)> = Vec::new();
    for item in items {
        let Some(branch) = c.map(item, &BRANCH) else { continue };
        let when = together(c, &branch, "when", setting.zone);
        let done = needed(c, &branch, "do", setting);
        branches.extend(when.map(|when| (when, done)));
    }
    let otherwise = map.get("else").map(|node| actions(c, node, setting)).unwrap_or_default();
    Some(What::Choose { branches, otherwise })
}

fn device(c: &mut Checker, map: &Map<'_>, key: &str, setting: Setting) -> Option<Selector> {
    selector(c, map.get(key)?, setting.fired)
}

/// The map at `key`, whose texts may be templates; without it an empty one.
fn filled_map(c: &mut Checker, map: &Map<'_>, key: &str) -> Option<JsonTemplate> {
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
pub(super) fn document(c: &mut Checker, node: &Node) -> Option<JsonTemplate> {
    match JsonTemplate::compile(node.to_json()) {
        Ok(template) => Some(template),
        Err((pointer, BadTemplate { detail, at })) => {
            c.flaw_within(node.at(&pointer).unwrap_or(node), at, detail);
            None
        }
    }
}

/// A text that may be a template.
pub(super) fn template(c: &mut Checker, node: &Node) -> Option<Template> {
    let text = c.text_of(node)?;
    match Template::compile(text) {
        Ok(template) => Some(template),
        Err(BadTemplate { detail, at }) => {
            c.flaw_within(node, at, detail);
            None
        }
    }
}

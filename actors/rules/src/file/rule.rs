//! A file, and the rules in it.

use chrono_tz::Tz;

use super::action::{Setting, actions, needed};
use super::check::{Checker, Map};
use super::condition::{conditions, zone};
use super::fingerprint::fingerprint;
use super::node::{YamlKey, YamlNode};
use super::select::Fired;
use super::shape::{BREAKER, FILE, RULE};
use super::tests_of::tests;
use super::trigger::{gives_device, triggers};
use super::{MOST_RULES, RuleFile};
use crate::model::{Breaker, Rule, RuleOrigin, RunMode, SourceDocument};
use crate::scenario::Test;
use twinhub_domain::run::RuleId;
use twinhub_domain::{Json, Object};

/// The default number of runs at once or waiting.
const USUAL_MAX: u16 = 10;

/// A whole file.
pub(super) fn file(c: &mut Checker, root: &YamlNode, origin: &RuleOrigin) -> RuleFile {
    let mut file = RuleFile::default();
    let Some(map) = c.map(root, &FILE) else { return file };
    c.whole(&map, "version");
    let zone = zone(c, &map).unwrap_or(Tz::UTC);
    let Some(rules) = map.get("rules") else { return file };
    let Some(entries) = rules.as_map() else {
        c.expected(rules, "rules by their ids");
        return file;
    };
    if let Some((key, _)) = entries.get(MOST_RULES) {
        c.flaw_key(key, format!("a file has {MOST_RULES} rules at most"), None);
        return file;
    }
    for (key, node) in entries {
        let Some(id) = id_of(c, key, node) else { continue };
        if let Some((rule, tests)) = rule(c, node, id, zone, origin) {
            let place = file.rules.len();
            file.rules.push(rule);
            file.tests.extend(tests.into_iter().map(|test| (place, test)));
        }
    }
    file
}

/// A rule's id in a file: the key. The rule's own `id` must be the same.
fn id_of(c: &mut Checker, key: &YamlKey, node: &YamlNode) -> Option<RuleId> {
    let id = match RuleId::parse(&key.text) {
        Ok(id) => id,
        Err(detail) => {
            c.flaw_key(key, detail, None);
            return None;
        }
    };
    if let Some(own) = node.get("id")
        && own.as_text() != Some(id.as_str())
    {
        c.flaw(own, format!("this rule's key is `{id}`"));
    }
    Some(id)
}

/// A rule and its tests. `zone` is its file's.
pub(super) fn rule(
    c: &mut Checker,
    node: &YamlNode,
    id: RuleId,
    file_zone: Tz,
    origin: &RuleOrigin,
) -> Option<(Rule, Vec<Test>)> {
    let map = c.map(node, &RULE)?;
    let zone = zone(c, &map).unwrap_or(file_zone);
    let triggers = map.get("triggers").map(|node| triggers(c, node, zone)).unwrap_or_default();
    // A rule without triggers is run by another, whose device it gets.
    let by_device = triggers.is_empty() || triggers.iter().any(gives_device);
    let setting = Setting { zone, fired: if by_device { Fired::ByDevice } else { Fired::ByNone } };
    let conditions = map.get("conditions").map(|node| conditions(c, node, zone)).unwrap_or_default();
    let done = needed(c, &map, "actions", setting);
    let on_release = map.get("on_release").map(|node| actions(c, node, setting)).unwrap_or_default();
    let mode: RunMode = c.word(&map, "mode").unwrap_or_default();
    let mut rule = Rule {
        id,
        alias: c.text(&map, "alias").unwrap_or_default().into(),
        description: c.text(&map, "description").unwrap_or_default().into(),
        origin: origin.clone(),
        enabled: c.bool(&map, "enabled").unwrap_or(true),
        mode,
        max: max(c, &map, mode),
        priority: c.whole(&map, "priority").and_then(|number| i16::try_from(number).ok()).unwrap_or(0),
        even_in_manual: c.bool(&map, "even_in_manual").unwrap_or(false),
        cooldown: c.duration(&map, "cooldown").filter(|ms| *ms > 0),
        breaker: breaker(c, &map),
        on_error: c.word(&map, "on_error").unwrap_or_default(),
        triggers: triggers.into(),
        conditions: conditions.into(),
        actions: done.into(),
        on_release: on_release.into(),
        fingerprint: 0,
        source: SourceDocument::default(),
    };
    rule.fingerprint = fingerprint(&rule);
    rule.source = source(&map, &rule.id, zone).into();
    let tests = map.get("tests").map(|node| tests(c, node, &rule)).unwrap_or_default();
    Some((rule, tests))
}

fn max(c: &mut Checker, map: &Map<'_>, mode: RunMode) -> u16 {
    let max = c.whole(map, "max").and_then(|number| u16::try_from(number).ok());
    if let Some(node) = map.get("max")
        && matches!(mode, RunMode::Single | RunMode::Restart)
        && max.is_some_and(|max| max > 1)
    {
        c.flaw(node, "`max` goes with `mode: queued` or `mode: parallel`: else one runs at a time");
    }
    max.unwrap_or(USUAL_MAX)
}

fn breaker(c: &mut Checker, map: &Map<'_>) -> Breaker {
    let mut breaker = Breaker::default();
    let Some(map) = map.get("breaker").and_then(|node| c.map(node, &BREAKER)) else { return breaker };
    if let Some(runs) = c.whole(&map, "runs").and_then(|runs| u16::try_from(runs).ok()) {
        breaker.runs = runs;
    }
    if let Some(within_ms) = c.duration(&map, "within") {
        breaker.within_ms = within_ms;
    }
    breaker
}

/// The rule as it is written, with the defaults of its file: read alone, it means the same.
fn source(map: &Map<'_>, id: &RuleId, zone: Tz) -> Object {
    let Json::Object(mut source) = map.node.to_json() else { return Object::default() };
    source.insert("id", id.as_str().into());
    if map.get("timezone").is_none() && zone != Tz::UTC {
        source.insert("timezone", zone.name().into());
    }
    source
}

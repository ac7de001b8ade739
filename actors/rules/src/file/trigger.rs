//! Triggers.

use std::sync::Arc;

use chrono_tz::Tz;

use super::check::{Checker, Map, items, listed};
use super::condition::zone;
use super::hint::nearest;
use super::node::YamlNode;
use super::secrets;
use super::select::{Fired, everybody, name, object, place, rule_id, selector};
use super::shape::{KINDS, TRIGGERS};
use crate::model::{Cron, Path, Trigger, TriggerKind, WebhookSecret};
use twinhub_domain::schedule::Recurrence;
use twinhub_domain::status::UNKNOWN;
use twinhub_domain::{CommandStatus, EventKind, Json, Mode, Status};

/// The most triggers of a rule.
const MOST: usize = 100;
/// The shortest `every`, in ms: the engine's own time is kept in ms, but no device is steered that fast.
const SHORTEST_EVERY_MS: i64 = 1_000;
/// The fewest characters of a secret: whoever has overheard one signed request can try as many as they like.
pub const SHORTEST_SECRET: usize = 16;
/// The statuses of a command trigger without a status of its own.
const NO_SUCCESS: [CommandStatus; 4] =
    [CommandStatus::Failed, CommandStatus::Rejected, CommandStatus::Expired, CommandStatus::TimedOut];

/// One trigger or a list of them.
pub(super) fn triggers(c: &mut Checker, node: &YamlNode, zone: Tz) -> Vec<Trigger> {
    let items = items(node);
    if let Some(beyond) = items.get(MOST) {
        c.flaw(beyond, format!("a rule has {MOST} triggers at most"));
        return Vec::new();
    }
    items.iter().filter_map(|item| trigger(c, item, zone)).collect()
}

/// Does it give a device?
pub(super) fn gives_device(trigger: &Trigger) -> bool {
    match trigger.kind {
        TriggerKind::Numeric { .. }
        | TriggerKind::Changed { .. }
        | TriggerKind::Event { .. }
        | TriggerKind::Presence { .. }
        | TriggerKind::Command { .. }
        | TriggerKind::Alarm { .. } => true,
        TriggerKind::Cron { .. }
        | TriggerKind::Every { .. }
        | TriggerKind::Mqtt { .. }
        | TriggerKind::Webhook { .. } => false,
    }
}

fn trigger(c: &mut Checker, node: &YamlNode, rule_zone: Tz) -> Option<Trigger> {
    let map = c.variant(node, &TRIGGERS, "a trigger")?;
    let id = c.text(&map, "id").unwrap_or_default().into();
    let kind = match map.shape.word() {
        "numeric" => numeric(c, &map),
        "changed" => changed(c, &map),
        "event" => event(c, &map),
        "presence" => {
            let of = map.get("presence").and_then(|node| selector(c, node, Fired::Not));
            let status: Option<Status> = c.word(&map, "becomes");
            of.zip(status).map(|(of, status)| TriggerKind::Presence { of, status })
        }
        "command" => command(c, &map),
        "alarm" => alarm(c, &map),
        "cron" => cron(c, &map, rule_zone),
        "every" => {
            let every = c.duration(&map, "every");
            if let Some(node) = map.get("every")
                && every.is_some_and(|ms| ms < SHORTEST_EVERY_MS)
            {
                c.flaw(node, "`every` is 1s at least");
            }
            every.map(|every_ms| TriggerKind::Every { every_ms })
        }
        "mqtt" => mqtt(c, &map),
        _ => webhook(c, &map),
    };
    let (for_ms, across_downtime) = if map.shape.field("for").is_some() {
        let across = c.word(&map, "across_downtime");
        if let Some(node) = map.get("across_downtime")
            && map.get("for").is_none()
        {
            c.flaw(node, "`across_downtime` says what becomes of `for`, and there is none");
        }
        (c.duration(&map, "for").filter(|ms| *ms > 0), across.unwrap_or_default())
    } else {
        (None, Default::default())
    };
    Some(Trigger { id, kind: kind?, for_ms, across_downtime })
}

fn numeric(c: &mut Checker, map: &Map<'_>) -> Option<TriggerKind> {
    let at = place(c, map, "numeric");
    let above = c.number(map, "above");
    let below = c.number(map, "below");
    let release = c.number(map, "release");
    let max_age = c.duration(map, "max_age");
    if map.get("above").is_none() && map.get("below").is_none() {
        c.flaw(map.node, "a numeric trigger needs `above` or `below`");
    }
    if let (Some(above), Some(below)) = (&above, &below)
        && above == below
        && let Some(node) = map.get("below")
    {
        c.flaw(node, "`above` and `below` are the same number, and none is between them: between means `above` the lesser, outside `above` the greater");
    }
    if let (Some(release), Some(node)) = (&release, map.get("release")) {
        match (map.get("above"), map.get("below")) {
            (Some(_), Some(_)) => {
                c.flaw(node, "`release` goes with one of `above` and `below`, and here are both");
            }
            (Some(_), None) if above.as_ref().is_some_and(|above| release > above) => {
                c.flaw(
                    node,
                    "`release` must not be greater than `above`: it is how far the number must come back",
                );
            }
            (None, Some(_)) if below.as_ref().is_some_and(|below| release < below) => {
                c.flaw(
                    node,
                    "`release` must not be less than `below`: it is how far the number must come back",
                );
            }
            _ => {}
        }
    }
    let (of, path) = at?;
    let property = match path {
        Path::Reported(property) => property,
        // A device may well report numbers by these names.
        Path::Mode => "mode".into(),
        Path::Status => "status".into(),
        Path::Profile(name) => name,
        Path::Desired(_) | Path::Tag(_) | Path::Configuration(_) => {
            if let Some(node) = map.get("numeric") {
                let message = "a numeric trigger watches what devices report; other parts of the twin are for `changed`";
                c.flaw(node, message);
            }
            return None;
        }
    };
    Some(TriggerKind::Numeric { of, property, above, below, release, max_age })
}

fn changed(c: &mut Checker, map: &Map<'_>) -> Option<TriggerKind> {
    let at = place(c, map, "changed");
    let is_of_status = matches!(at, Some((_, Path::Status)));
    let read = |value: Json| match value {
        // The word of earlier versions for a device that was never heard: such a device is offline now.
        Json::String(word) if is_of_status && *word == *UNKNOWN => Status::Offline.as_str().into(),
        value => value,
    };
    let from = c.json(map, "from").map(read);
    let to = c.json(map, "to").map(read);
    if let Some(node) = map.get("for")
        && to.is_none()
    {
        c.flaw(node, "`for` needs to know what must stay: say `to`");
    }
    if to.is_some()
        && from == to
        && let Some(node) = map.get("to")
    {
        c.flaw(node, "`from` and `to` are the same, and that is no change");
    }
    let (of, path) = at?;
    for key in ["from", "to"] {
        let Some(node) = map.get(key) else { continue };
        let text = node.as_text().unwrap_or_default();
        let words: &[&str] = match path {
            Path::Mode if Mode::parse(text).is_none() => &["manual", "schedule"],
            Path::Status if Status::parse(text).is_none() => &["online", "offline"],
            _ => continue,
        };
        let hint = nearest(text, words.iter().copied()).map(str::to_owned);
        c.expected_hint(node, &format!("one of {}", listed(words.iter().copied())), hint);
    }
    Some(TriggerKind::Changed { of, path, from, to })
}

fn event(c: &mut Checker, map: &Map<'_>) -> Option<TriggerKind> {
    let words: Vec<String> = c.words(map, "event");
    let mut kinds: Vec<EventKind> = Vec::new();
    if !words.iter().any(|word| word == "any") {
        debug_assert!(words.iter().all(|word| KINDS.contains(&word.as_str())));
        kinds = words.iter().filter_map(|word| EventKind::parse(word)).collect();
        kinds.sort();
        kinds.dedup();
    }
    let of = match map.get("device") {
        Some(node) => selector(c, node, Fired::Not),
        None => everybody(),
    };
    let data = object(c, map, "data").unwrap_or_default();
    Some(TriggerKind::Event { of: of?, kinds, data })
}

fn command(c: &mut Checker, map: &Map<'_>) -> Option<TriggerKind> {
    let of = map.get("command").and_then(|node| selector(c, node, Fired::Not));
    let command_type = name(c, map, "type");
    let mut status: Vec<CommandStatus> = c.words(map, "status");
    status.sort();
    status.dedup();
    if map.get("status").is_none() {
        status = NO_SUCCESS.to_vec();
    }
    Some(TriggerKind::Command { of: of?, command_type, status })
}

fn alarm(c: &mut Checker, map: &Map<'_>) -> Option<TriggerKind> {
    let alarm_type = name(c, map, "alarm").filter(|name| !matches!(&**name, "any" | "*"));
    let at_least = c.word(map, "severity");
    let becomes = c.word(map, "becomes").unwrap_or_default();
    let of = map.get("device").map(|node| selector(c, node, Fired::Not));
    let of = match of {
        Some(None) => return None,
        Some(of) => of,
        None => None,
    };
    Some(TriggerKind::Alarm { of, alarm_type, at_least, becomes })
}

fn cron(c: &mut Checker, map: &Map<'_>, rule_zone: Tz) -> Option<TriggerKind> {
    let zone = zone(c, map).unwrap_or(rule_zone);
    let missed = c.word(map, "missed");
    let missed_within_ms = c.duration(map, "missed_within");
    if let Some(node) = map.get("missed_within")
        && map.get("missed").is_none_or(|missed| missed.as_text() == Some("skip"))
    {
        c.flaw(node, "`missed_within` goes with `missed: run_once` or `run_all`: else none is made up for");
    }
    let node = map.get("cron")?;
    let text = c.text_of(node)?;
    match Recurrence::parse(text, zone) {
        Ok(recurrence) => {
            let cron = Cron { text: text.into(), zone, recurrence: Arc::new(recurrence) };
            Some(TriggerKind::Cron { cron, missed: missed.unwrap_or_default(), missed_within_ms })
        }
        Err(detail) => {
            c.flaw(node, format!("no cron expression: {detail}"));
            None
        }
    }
}

fn webhook(c: &mut Checker, map: &Map<'_>) -> Option<TriggerKind> {
    let name = rule_id(c, map, "webhook");
    let secret = secrets::read(c, map);
    if let (Some(WebhookSecret::Text(text)), Some(node)) = (&secret, map.get("secret"))
        && text.chars().count() < SHORTEST_SECRET
    {
        c.flaw(node, format!("a secret that lets requests in has {SHORTEST_SECRET} characters at least"));
    }
    name.map(|name| TriggerKind::Webhook { name: name.as_str().into(), secret })
}

fn mqtt(c: &mut Checker, map: &Map<'_>) -> Option<TriggerKind> {
    let node = map.get("mqtt")?;
    let topic = c.text_of(node)?;
    let payload: Option<Json> = c.json(map, "payload");
    let levels: Vec<&str> = topic.split('/').collect();
    let last = levels.len() - 1; // a text has one part at least
    for (index, level) in levels.iter().enumerate() {
        let is_wild = level.contains(['+', '#']);
        let in_place = *level == "+" || (*level == "#" && index == last);
        if is_wild && !in_place {
            c.flaw(node, "in a topic `+` matches one whole level, and `#` all that follow, at the end");
            return None;
        }
    }
    if topic.len() > 65_535 || topic.contains('\0') {
        c.expected(node, "a topic");
        return None;
    }
    Some(TriggerKind::Mqtt { topic: topic.into(), payload })
}

//! Two rules that write different values to one place for the same reason.

use std::collections::{HashMap, HashSet};

use super::overlap;
use super::writes::{RuleWrite, WriteKind};
use super::{MOST_WARNINGS, Warning};
use crate::model::{Rule, Selector};
use twinhub_domain::{Json, Mode};

/// The most pairs that are compared; more have never been seen, and cost seconds.
const MOST_PAIRS: usize = 2_000_000;

/// The target of a write, without its devices.
#[derive(Clone, PartialEq, Eq, Hash)]
enum WriteTarget<'a> {
    Desired(&'a str),
    Command(&'a str),
    Mode,
}

/// The writer: the rule, and the place of its write.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct TargetWriter {
    rule: usize,
    write: usize,
}

/// The writers of one target.
#[derive(Default)]
struct TargetWriters<'a> {
    by_device: HashMap<&'a str, Vec<TargetWriter>>,
    by_pattern: Vec<(TargetWriter, &'a Selector)>,
}

pub fn conflicts(rules: &[&Rule], writes: &[Vec<RuleWrite<'_>>]) -> Vec<Warning> {
    let mut places: HashMap<WriteTarget<'_>, TargetWriters<'_>> = HashMap::new();
    for (rule, its) in writes.iter().enumerate() {
        for (write, it) in its.iter().enumerate() {
            let Some(key) = key(&it.kind) else { continue };
            let writers = places.entry(key).or_default();
            for to in &it.to {
                match to {
                    Selector::Device(id) => {
                        writers.by_device.entry(id.as_str()).or_default().push(TargetWriter { rule, write });
                    }
                    pattern => writers.by_pattern.push((TargetWriter { rule, write }, *pattern)),
                }
            }
        }
    }
    let mut search =
        ConflictSearch { rules, writes, left: MOST_PAIRS, reported: HashSet::new(), warnings: Vec::new() };
    let mut ordered: Vec<_> = places.iter().collect();
    ordered.sort_by_key(|(key, _)| place_text(key)); // the order of a hash map is nobody's
    // Where all write the same there is no conflict, and most often all write the same.
    ordered.retain(|(_, writers)| writers.differ(writes));
    for (key, writers) in &ordered {
        search.named(key, writers);
    }
    search.left = MOST_PAIRS;
    for (key, writers) in &ordered {
        search.patterns(key, writers);
    }
    search.warnings
}

impl TargetWriters<'_> {
    fn differ(&self, writes: &[Vec<RuleWrite<'_>>]) -> bool {
        let mut all =
            self.by_device.values().flatten().chain(self.by_pattern.iter().map(|(writer, _)| writer));
        let effect = |writer: &TargetWriter| &writes[writer.rule][writer.write].kind;
        let Some(first) = all.next() else { return false };
        all.any(|other| !same(effect(first), effect(other)))
    }
}

struct ConflictSearch<'a> {
    rules: &'a [&'a Rule],
    writes: &'a [Vec<RuleWrite<'a>>],
    left: usize,
    reported: HashSet<(usize, usize, String)>,
    warnings: Vec<Warning>,
}

impl ConflictSearch<'_> {
    /// Compares the writers that name the device, among themselves.
    fn named(&mut self, key: &WriteTarget<'_>, writers: &TargetWriters<'_>) {
        let mut devices: Vec<_> = writers.by_device.iter().collect();
        devices.sort_by_key(|(id, _)| **id);
        for (id, here) in devices {
            for (index, a) in here.iter().enumerate() {
                for b in &here[index + 1..] {
                    if !self.spend() {
                        return;
                    }
                    self.pair(key, *a, *b, id);
                }
            }
        }
    }

    /// Compares the writers to patterns with those that name a device, and among themselves.
    fn patterns(&mut self, key: &WriteTarget<'_>, writers: &TargetWriters<'_>) {
        let mut devices: Vec<_> = writers.by_device.iter().collect();
        devices.sort_by_key(|(id, _)| **id);
        for (index, (a, pattern)) in writers.by_pattern.iter().enumerate() {
            if let Selector::Glob(glob) = pattern {
                for (id, here) in &devices {
                    if !self.spend() {
                        return;
                    }
                    if glob.matcher.is_match(id) {
                        here.iter().for_each(|b| self.pair(key, *b, *a, id));
                    }
                }
            }
            for (b, other) in &writers.by_pattern[index + 1..] {
                if !self.spend() {
                    return;
                }
                if pattern.meets(other) {
                    self.pair(key, *a, *b, &selector_text(pattern));
                }
            }
        }
    }

    fn spend(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left > 0 && self.warnings.len() < MOST_WARNINGS
    }

    fn pair(&mut self, key: &WriteTarget<'_>, a: TargetWriter, b: TargetWriter, whose: &str) {
        if a.rule == b.rule {
            return;
        }
        let (one, other) = (self.rules[a.rule], self.rules[b.rule]);
        let (a_write, b_write) = (&self.writes[a.rule][a.write], &self.writes[b.rule][b.write]);
        if a_write.release != b_write.release {
            return; // the one is done when what fired them begins, the other when it is over
        }
        let (a_effect, b_effect) = (&a_write.kind, &b_write.kind);
        if one.priority != other.priority || same(a_effect, b_effect) || !meet(one, other) {
            return;
        }
        let (a_value, b_value) = (value_text(a_effect), value_text(b_effect));
        let place = place_text(key);
        let pair = (a.rule.min(b.rule), a.rule.max(b.rule), place.clone());
        if self.reported.insert(pair) {
            let message = format!(
                "`{}` and `{}` fire for the same thing and both write {place} of {whose}: {a_value} and \
                 {b_value}. Give one of them a higher priority, or a condition that leaves the other alone",
                one.id, other.id
            );
            self.warnings.push(Warning::new("conflict", [one.id.clone(), other.id.clone()], message));
        }
    }
}

/// Can both run for one event, each with its conditions holding?
fn meet(a: &Rule, b: &Rule) -> bool {
    if overlap::times_exclude(a, b) {
        return false;
    }
    a.triggers.iter().any(|a_trigger| {
        b.triggers.iter().any(|b_trigger| {
            overlap::triggers(a_trigger, b_trigger) && {
                let (a_facts, b_facts) = (overlap::facts(a, a_trigger), overlap::facts(b, b_trigger));
                !a_facts.iter().any(|a| b_facts.iter().any(|b| a.excludes(b)))
            }
        })
    })
}

fn key<'a>(effect: &WriteKind<'a>) -> Option<WriteTarget<'a>> {
    Some(match effect {
        WriteKind::Desired { name, .. } => WriteTarget::Desired(name),
        WriteKind::Command { command_type, .. } => WriteTarget::Command(command_type),
        WriteKind::Mode(_) => WriteTarget::Mode,
        WriteKind::Raise { .. }
        | WriteKind::Clear { .. }
        | WriteKind::Publish { .. }
        | WriteKind::Run { .. } => {
            return None;
        }
    })
}

fn same(a: &WriteKind<'_>, b: &WriteKind<'_>) -> bool {
    match (a, b) {
        (WriteKind::Desired { template: a, .. }, WriteKind::Desired { template: b, .. })
        | (WriteKind::Command { parameters: a, .. }, WriteKind::Command { parameters: b, .. }) => a == b,
        (WriteKind::Mode(a), WriteKind::Mode(b)) => a == b,
        _ => false,
    }
}

fn place_text(key: &WriteTarget<'_>) -> String {
    match key {
        WriteTarget::Desired(name) => format!("desired `{name}`"),
        WriteTarget::Command(command_type) => format!("the command `{command_type}`"),
        WriteTarget::Mode => "the mode".into(),
    }
}

fn value_text(effect: &WriteKind<'_>) -> String {
    const SHOWN: usize = 60;
    let json = |json: &Json| {
        let text = json.to_string();
        if text.chars().count() <= SHOWN { text } else { text.chars().take(SHOWN).chain(['…']).collect() }
    };
    match effect {
        WriteKind::Desired { template, .. } => json(template),
        WriteKind::Command { parameters, .. } => json(parameters),
        WriteKind::Mode(mode) => Mode::as_str(*mode).into(),
        _ => String::new(),
    }
}

fn selector_text(selector: &Selector) -> String {
    match selector {
        Selector::Device(id) => id.to_string(),
        Selector::Glob(glob) => glob.text.to_string(),
        Selector::Where { group, device_type, tags, template } => {
            let mut parts = Vec::new();
            parts.extend(group.iter().map(|group| format!("group {group}")));
            parts.extend(device_type.iter().map(|device_type| format!("type {device_type}")));
            parts.extend(tags.iter().map(|(key, value)| format!("{key} {value}")));
            parts.extend(template.iter().map(|template| format!("template {template}")));
            parts.join(", ")
        }
        Selector::Trigger => "trigger.device".into(),
    }
}

//! Rules that set each other off, and so themselves.

use std::collections::{HashMap, VecDeque};

use super::overlap;
use super::writes::{RuleWrite, WriteKind};
use super::{MOST_WARNINGS, Warning};
use crate::model::{AlarmBecomes, Path, Rule, Selector, Trigger, TriggerKind};
use twinhub_domain::{EventKind, Json};

/// The most steps in the search for cycles.
const MOST_STEPS: usize = 5_000_000;

/// The subject of a trigger, coarsely: an effect is compared only with triggers on its like.
#[derive(Clone, PartialEq, Eq, Hash)]
enum TriggerSubject<'a> {
    Reported(&'a str),
    Desired(&'a str),
    Mode,
    Command,
    Alarm,
    Mqtt,
    Event,
}

/// A rule and one of its triggers, by their places.
type ListeningTrigger = (usize, usize);

/// The triggers on one subject: by device where one is named.
#[derive(Default)]
struct SubjectTriggers<'a> {
    by_device: HashMap<&'a str, Vec<ListeningTrigger>>,
    others: Vec<ListeningTrigger>,
}

pub fn circles(rules: &[&Rule], writes: &[Vec<RuleWrite<'_>>]) -> Vec<Warning> {
    let edges = edges(rules, writes);
    let mut warnings = Vec::new();
    for group in strongly_connected(&edges) {
        let Some(path) = shortest_circle(&group, &edges) else { continue };
        if warnings.len() >= MOST_WARNINGS {
            break;
        }
        let ids: Vec<_> = path.iter().map(|rule| rules[*rule].id.clone()).collect();
        let message = match &*ids {
            [one] => format!("`{one}` sets itself off: it writes what it waits for"),
            [first, ..] => {
                let names: Vec<_> = ids.iter().chain([first]).map(|id| format!("`{id}`")).collect();
                format!("these rules set each other off in a circle: {}", names.join(" → "))
            }
            [] => continue,
        };
        warnings.push(Warning::new("circle", ids, message));
    }
    warnings
}

/// The rules that each rule can set off.
fn edges(rules: &[&Rule], writes: &[Vec<RuleWrite<'_>>]) -> Vec<Vec<usize>> {
    let listeners = listeners(rules);
    let by_name: HashMap<&str, usize> =
        rules.iter().enumerate().map(|(index, rule)| (rule.id.as_str(), index)).collect();
    let mut left = MOST_STEPS;
    let mut edges = vec![Vec::new(); rules.len()];
    for (from, its) in writes.iter().enumerate() {
        for write in its {
            if let WriteKind::Run { rule } = &write.kind {
                edges[from].extend(by_name.get(rule.as_str()));
            }
            for topic in topics(&write.kind) {
                let Some(listeners) = listeners.get(&topic) else { continue };
                let mut set_off = |(rule, trigger): &ListeningTrigger| {
                    left = left.saturating_sub(1);
                    if left > 0 && sets_off(write, &rules[*rule].triggers[*trigger]) {
                        edges[from].push(*rule);
                    }
                };
                listeners.others.iter().for_each(&mut set_off);
                let named: Option<Vec<&str>> = write
                    .to
                    .iter()
                    .map(|to| if let Selector::Device(id) = to { Some(id.as_str()) } else { None })
                    .collect();
                match named {
                    Some(named) => {
                        let waiting = named.iter().filter_map(|id| listeners.by_device.get(id));
                        waiting.flatten().for_each(set_off);
                    }
                    None => listeners.by_device.values().flatten().for_each(set_off),
                }
            }
        }
        edges[from].sort_unstable();
        edges[from].dedup();
    }
    edges
}

fn listeners<'a>(rules: &[&'a Rule]) -> HashMap<TriggerSubject<'a>, SubjectTriggers<'a>> {
    let mut listeners: HashMap<TriggerSubject<'a>, SubjectTriggers<'a>> = HashMap::new();
    for (rule, its) in rules.iter().enumerate() {
        for (index, trigger) in its.triggers.iter().enumerate() {
            let topic = match &trigger.kind {
                TriggerKind::Numeric { property, .. } => TriggerSubject::Reported(property),
                TriggerKind::Changed { path: Path::Reported(name), .. } => TriggerSubject::Reported(name),
                TriggerKind::Changed { path: Path::Desired(name), .. } => TriggerSubject::Desired(name),
                TriggerKind::Changed { path: Path::Mode, .. } => TriggerSubject::Mode,
                TriggerKind::Command { .. } => TriggerSubject::Command,
                TriggerKind::Alarm { .. } => TriggerSubject::Alarm,
                TriggerKind::Mqtt { .. } => TriggerSubject::Mqtt,
                TriggerKind::Event { .. } => TriggerSubject::Event,
                _ => continue,
            };
            let here = listeners.entry(topic).or_default();
            match trigger.kind.selector() {
                Some(Selector::Device(id)) => {
                    here.by_device.entry(id.as_str()).or_default().push((rule, index));
                }
                _ => here.others.push((rule, index)),
            }
        }
    }
    listeners
}

fn topics<'a>(effect: &WriteKind<'a>) -> Vec<TriggerSubject<'a>> {
    match effect {
        // The state that is wanted of a device is the one that it will report.
        WriteKind::Desired { name, .. } => {
            vec![TriggerSubject::Desired(name), TriggerSubject::Reported(name), TriggerSubject::Event]
        }
        WriteKind::Command { .. } => vec![TriggerSubject::Command, TriggerSubject::Event],
        WriteKind::Mode(_) => vec![TriggerSubject::Mode, TriggerSubject::Event],
        WriteKind::Raise { .. } | WriteKind::Clear { .. } => {
            vec![TriggerSubject::Alarm, TriggerSubject::Event]
        }
        WriteKind::Publish { .. } => vec![TriggerSubject::Mqtt],
        WriteKind::Run { .. } => Vec::new(),
    }
}

/// Does this effect fire this trigger? False where that is undecidable.
fn sets_off(write: &RuleWrite<'_>, trigger: &Trigger) -> bool {
    let reaches = |of: &Selector| write.to.iter().any(|to| to.meets(of));
    let fits =
        |to: &Option<Json>, value: Option<&Json>| !matches!((to, value), (Some(to), Some(v)) if to != v);
    match (&write.kind, &trigger.kind) {
        (WriteKind::Desired { value, .. }, TriggerKind::Changed { of, to, from, .. }) => {
            let stays = matches!((from, value), (Some(from), Some(value)) if from == *value);
            reaches(of) && fits(to, *value) && !stays
        }
        (WriteKind::Desired { value, .. }, TriggerKind::Numeric { of, above, below, .. }) => {
            let beyond = |value: &Json| {
                let bound = overlap::thresholds(above.as_ref(), below.as_ref());
                let is = crate::expression::Bound::Is(value.clone());
                value.as_number().is_some() && bound.is_none_or(|bound| !bound.excludes(&is))
            };
            reaches(of) && value.is_none_or(beyond)
        }
        (WriteKind::Mode(mode), TriggerKind::Changed { of, to, .. }) => {
            reaches(of) && fits(to, Some(&mode.as_str().into()))
        }
        (WriteKind::Command { command_type, .. }, TriggerKind::Command { of, command_type: wanted, .. }) => {
            reaches(of) && wanted.as_ref().is_none_or(|wanted| **wanted == **command_type)
        }
        (
            WriteKind::Raise { alarm_type, severity },
            TriggerKind::Alarm { of, alarm_type: wanted, at_least, becomes: AlarmBecomes::Raised },
        ) => {
            of.as_ref().is_none_or(reaches)
                && wanted.as_ref().is_none_or(|wanted| **wanted == **alarm_type)
                && at_least.is_none_or(|least| *severity >= least)
        }
        (
            WriteKind::Clear { alarm_type },
            TriggerKind::Alarm { of, alarm_type: wanted, becomes: AlarmBecomes::Cleared, .. },
        ) => of.as_ref().is_none_or(reaches) && wanted.as_ref().is_none_or(|wanted| **wanted == **alarm_type),
        (WriteKind::Publish { topic }, TriggerKind::Mqtt { topic: filter, .. }) => {
            overlap::topic_matches(filter, topic)
        }
        (effect, TriggerKind::Event { of, kinds, data }) => {
            let kind = match effect {
                WriteKind::Desired { .. } | WriteKind::Mode(_) => EventKind::Twin,
                WriteKind::Command { .. } => EventKind::Command,
                WriteKind::Raise { .. } | WriteKind::Clear { .. } => EventKind::Alarm,
                WriteKind::Publish { .. } | WriteKind::Run { .. } => return false,
            };
            (kinds.is_empty() || kinds.contains(&kind)) && data.is_empty() && reaches(of)
        }
        _ => false,
    }
}

/// The groups of rules each of which can set off every other (Tarjan; without recursion, for the depth is the
/// number of rules).
fn strongly_connected(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const NEW: usize = usize::MAX;
    let count = edges.len();
    let (mut index, mut low) = (vec![NEW; count], vec![NEW; count]);
    let mut on_stack = vec![false; count];
    let (mut stack, mut groups, mut next) = (Vec::new(), Vec::new(), 0);
    for root in 0..count {
        if index[root] != NEW {
            continue;
        }
        let mut calls = vec![(root, 0)];
        while let Some((node, edge)) = calls.pop() {
            if edge == 0 {
                index[node] = next;
                low[node] = next;
                next += 1;
                stack.push(node);
                on_stack[node] = true;
            } else {
                let child = edges[node][edge - 1];
                low[node] = low[node].min(low[child]);
            }
            let mut edge = edge;
            let mut descended = false;
            while let Some(child) = edges[node].get(edge).copied() {
                edge += 1;
                if index[child] == NEW {
                    calls.push((node, edge));
                    calls.push((child, 0));
                    descended = true;
                    break;
                }
                if on_stack[child] {
                    low[node] = low[node].min(index[child]);
                }
            }
            if descended || low[node] != index[node] {
                continue;
            }
            let mut group = Vec::new();
            while let Some(member) = stack.pop() {
                on_stack[member] = false;
                group.push(member);
                if member == node {
                    break;
                }
            }
            group.sort_unstable();
            groups.push(group);
        }
    }
    groups.sort();
    groups
}

/// The shortest way from the group's first rule that is on a circle back to it.
fn shortest_circle(group: &[usize], edges: &[Vec<usize>]) -> Option<Vec<usize>> {
    let start = *group.first()?;
    if group.len() == 1 {
        return edges[start].contains(&start).then(|| vec![start]);
    }
    let mut before: HashMap<usize, usize> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in edges[node].iter().copied().filter(|next| group.binary_search(next).is_ok()) {
            if next == start {
                let mut path = vec![node];
                while let Some(previous) = path.last().and_then(|last| before.get(last)) {
                    path.push(*previous);
                }
                path.reverse();
                return Some(path);
            }
            if next != start && !before.contains_key(&next) {
                before.insert(next, node);
                queue.push_back(next);
            }
        }
    }
    None
}

//! The index of rules: by devices, patterns, topics and the clock, each rule with its programs.

use std::collections::HashMap;

use super::program::{List, Op, compile};
use super::targets;
use super::trigger_ref::{self, TriggerRef};
use crate::action::{Action, Reference};
use crate::expression::Dependency;
use crate::model::{AlarmBecomes, Path, Rule, Selector, Trigger, TriggerKind};
use crate::selector::Candidate;
use twinhub_domain::fleet::GroupTree;
use twinhub_domain::run::RuleId;
use twinhub_domain::twin::Tags;
use twinhub_domain::{DeviceId, Json, Twin};

/// The rules and by what they are found.
#[derive(Debug, Default)]
pub(super) struct RuleIndex {
    /// In the order of their names.
    pub rules: Vec<Rule>,
    programs: Vec<Programs>,
    /// By rule: its place in the order in which rules have their turn, the highest priority first.
    rank: Vec<u32>,
    by_rank: Vec<u32>,
    /// Devices that rules name, and the triggers that do.
    pub named: HashMap<DeviceId, Vec<TriggerRef>>,
    /// Patterns that rules look for, each once.
    pub patterns: Vec<Pattern>,
    /// Where each stands, by its text.
    places: HashMap<String, usize>,
    /// Does a pattern go by what devices are, and not by their ids?
    pub by_profile: bool,
    /// Does one go by the groups that they stand in?
    pub by_group: bool,
    pub topics: Vec<TriggerRef>,
    pub webhooks: Vec<TriggerRef>,
    /// Triggers that listen to everybody's alarms.
    pub alarms: Vec<TriggerRef>,
    /// Rules with a trigger by the clock.
    pub clocks: Vec<u32>,
    /// Do priorities differ?
    pub is_ranked: bool,
}

/// A pattern and the triggers that look for it.
#[derive(Debug)]
pub(super) struct Pattern {
    pub selector: Selector,
    pub trigger_refs: Vec<TriggerRef>,
}

#[derive(Debug)]
struct Programs {
    actions: Box<[Op]>,
    on_release: Box<[Op]>,
    /// By what each chooses devices.
    targets: [Box<[Selector]>; 2],
}

/// By what patterns find a device.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct DeviceAttributes {
    /// The group that it stands in, and all above that.
    pub groups: Box<[Box<str>]>,
    pub device_type: Box<str>,
    pub tags: Tags,
}

/// A device by its profile, as selectors look at it.
struct Seen<'a> {
    id: &'a DeviceId,
    profile: &'a DeviceAttributes,
}

impl RuleIndex {
    pub fn new(mut rules: Vec<Rule>) -> Self {
        rules.sort_by(|a, b| a.id.cmp(&b.id));
        let mut by_rank: Vec<u32> = (0..number(rules.len())).collect();
        by_rank.sort_by_key(|rule| -i32::from(rules[place(*rule)].priority)); // stable: then by name
        let mut rank = vec![0; rules.len()];
        for (at, rule) in by_rank.iter().enumerate() {
            rank[place(*rule)] = number(at);
        }
        let is_ranked = rules.windows(2).any(|pair| pair[0].priority != pair[1].priority);
        let programs = rules
            .iter()
            .map(|rule| Programs {
                actions: compile(&rule.actions),
                on_release: compile(&rule.on_release),
                targets: [targets::of(&rule.actions, &rules), targets::of(&rule.on_release, &rules)],
            })
            .collect();
        let mut built = Self { rules, programs, rank, by_rank, is_ranked, ..Self::default() };
        let rules = std::mem::take(&mut built.rules);
        for (at, rule) in rules.iter().enumerate() {
            built.index_rule(number(at), rule);
        }
        built.rules = rules;
        for trigger_refs in built.named.values_mut() {
            trigger_refs.shrink_to_fit();
        }
        built
    }

    pub fn rule(&self, rule: u32) -> &Rule {
        &self.rules[place(rule)]
    }

    pub fn trigger(&self, trigger_ref: TriggerRef) -> &Trigger {
        &self.rule(trigger_ref.rule).triggers[usize::from(trigger_ref.trigger)]
    }

    pub fn program(&self, rule: u32, list: List) -> &[Op] {
        let programs = &self.programs[place(rule)];
        match list {
            List::Actions => &programs.actions,
            List::OnRelease => &programs.on_release,
        }
    }

    /// The action that a run of this rule and list stands at.
    pub fn action(&self, rule: u32, list: List, step: u32) -> Option<&Action> {
        match self.program(rule, list).get(step as usize)? {
            Op::Do(place) => place.action(list.of(self.rule(rule))),
            _ => None,
        }
    }

    /// The step of a run of this rule and list, counted over both of the rule's programs.
    pub fn step_of_both(&self, rule: u32, list: List, step: u32) -> u32 {
        let before = match list {
            List::Actions => 0,
            List::OnRelease => self.program(rule, List::Actions).len(),
        };
        step.saturating_add(number(before))
    }

    /// By what a list of the rule's actions chooses devices.
    pub fn targets(&self, rule: u32, list: List) -> &[Selector] {
        let [of_actions, of_release] = &self.programs[place(rule)].targets;
        match list {
            List::Actions => of_actions,
            List::OnRelease => of_release,
        }
    }

    pub fn find(&self, id: &RuleId) -> Option<u32> {
        self.rules.binary_search_by(|rule| rule.id.cmp(id)).ok().map(number)
    }

    pub fn rank(&self, rule: u32) -> u32 {
        self.rank[place(rule)]
    }

    pub fn of_rank(&self, rank: u32) -> u32 {
        self.by_rank[place(rank)]
    }

    /// Everything that watches a device, in the order that [`trigger_ref::sort`] gives it.
    pub fn watch(&self, id: &DeviceId, profile: &DeviceAttributes) -> Vec<TriggerRef> {
        let mut trigger_refs = self.named.get(id).cloned().unwrap_or_default();
        for pattern in &self.patterns {
            if !pattern.trigger_refs.is_empty() && pattern.selector.means(&Seen { id, profile }) {
                trigger_refs.extend(&pattern.trigger_refs);
            }
        }
        trigger_ref::sort(&mut trigger_refs, self);
        trigger_refs.shrink_to_fit();
        trigger_refs
    }

    /// Must the engine know this device's twin?
    pub fn needs(&self, id: &DeviceId, profile: &DeviceAttributes) -> bool {
        self.named.contains_key(id)
            || self.patterns.iter().any(|pattern| pattern.selector.means(&Seen { id, profile }))
    }

    /// Patterns that another index has not.
    pub fn new_patterns(&self, before: &Self) -> Vec<Selector> {
        let fresh = self.places.iter().filter(|(text, _)| !before.places.contains_key(*text));
        let mut fresh: Vec<usize> = fresh.map(|(_, place)| *place).collect();
        fresh.sort_unstable();
        fresh.into_iter().map(|place| self.patterns[place].selector.clone()).collect()
    }

    fn index_rule(&mut self, rule: u32, content: &Rule) {
        for (at, trigger) in content.triggers.iter().enumerate() {
            let Ok(at) = u16::try_from(at) else { break };
            self.index_trigger(rule, at, trigger);
        }
        content.conditions.iter().for_each(|condition| self.name(&condition.dependencies()));
        self.name_actions(&content.actions);
        self.name_actions(&content.on_release);
    }

    fn index_trigger(&mut self, rule: u32, trigger: u16, content: &Trigger) {
        let trigger_ref = |class| TriggerRef { rule, trigger, class };
        let (of, class) = match &content.kind {
            TriggerKind::Numeric { of, .. } => (of, trigger_ref::REPORTED),
            TriggerKind::Changed { of, path: Path::Reported(_), .. } => (of, trigger_ref::REPORTED),
            TriggerKind::Changed { of, .. } => (of, trigger_ref::DOCUMENT),
            TriggerKind::Event { of, .. } => (of, trigger_ref::EVENT),
            TriggerKind::Presence { of, .. } => (of, trigger_ref::PRESENCE),
            TriggerKind::Command { of, .. } => (of, trigger_ref::COMMAND),
            TriggerKind::Alarm { of: Some(of), .. } => (of, trigger_ref::ALARM),
            TriggerKind::Alarm { of: None, .. } => return self.alarms.push(trigger_ref(trigger_ref::ALARM)),
            TriggerKind::Mqtt { .. } => return self.topics.push(trigger_ref(trigger_ref::NONE)),
            TriggerKind::Webhook { .. } => return self.webhooks.push(trigger_ref(trigger_ref::NONE)),
            TriggerKind::Cron { .. } | TriggerKind::Every { .. } => {
                if self.clocks.last() != Some(&rule) {
                    self.clocks.push(rule);
                }
                return;
            }
        };
        self.look_for(of, Some(trigger_ref(class)));
    }

    fn look_for(&mut self, of: &Selector, trigger_ref: Option<TriggerRef>) {
        match of {
            Selector::Device(id) => self.named.entry(id.clone()).or_default().extend(trigger_ref),
            Selector::Trigger => {}
            Selector::Glob(_) | Selector::Where { .. } => {
                self.by_profile |= matches!(of, Selector::Where { .. });
                self.by_group |= matches!(of, Selector::Where { group: Some(_), .. });
                let next = self.patterns.len();
                let place = *self.places.entry(of.key()).or_insert(next);
                if place == next {
                    self.patterns.push(Pattern { selector: of.clone(), trigger_refs: Vec::new() });
                }
                self.patterns[place].trigger_refs.extend(trigger_ref);
            }
        }
    }

    fn name(&mut self, dependencies: &[Dependency]) {
        for dependency in dependencies {
            if let Dependency::Device(id) = dependency {
                self.named.entry(id.clone()).or_default();
            }
        }
    }

    fn name_actions(&mut self, actions: &[Action]) {
        for action in actions {
            action.kind.references(&mut |reference| match reference {
                Reference::Devices(of) => self.look_for(of, None),
                Reference::Text(text) => self.name(&text.dependencies()),
                Reference::Document(document) => self.name(&document.dependencies()),
                Reference::Condition(condition) => self.name(&condition.dependencies()),
                Reference::Actions(within) => self.name_actions(within),
                Reference::Runs(_) | Reference::Switches(_) => {}
            });
        }
    }
}

impl Candidate for Seen<'_> {
    fn id(&self) -> &DeviceId {
        self.id
    }

    fn is_in(&self, group: &str) -> bool {
        self.profile.groups.iter().any(|of| **of == *group)
    }

    fn device_type(&self) -> &str {
        &self.profile.device_type
    }

    fn template(&self) -> Option<&str> {
        self.profile.tags.template()
    }

    fn tag(&self, name: &str) -> Option<&Json> {
        self.profile.tags.tags.get(name)
    }
}

impl DeviceAttributes {
    pub fn of(twin: &Twin, tree: &GroupTree) -> Self {
        Self {
            groups: Self::groups_of(twin, tree),
            device_type: twin.profile.device_type.clone(),
            tags: twin.setup.tags_with_layer(),
        }
    }

    /// The groups of a twin from its own upward; of one in no group none.
    pub fn groups_of(twin: &Twin, tree: &GroupTree) -> Box<[Box<str>]> {
        let group = twin.profile.text("group_id");
        if group.is_empty() { Box::default() } else { tree.upward(group).map(Into::into).collect() }
    }
}

/// Whether an alarm's step is what a trigger looks for.
pub(super) fn becomes(step: twinhub_domain::alarm::AlarmStep) -> Option<AlarmBecomes> {
    use twinhub_domain::alarm::AlarmStep;
    match step {
        AlarmStep::Raised => Some(AlarmBecomes::Raised),
        AlarmStep::Cleared => Some(AlarmBecomes::Cleared),
        AlarmStep::Acknowledged => Some(AlarmBecomes::Acknowledged),
        AlarmStep::Repeated => None,
    }
}

fn place(rule: u32) -> usize {
    rule as usize
}

/// There are never four thousand million rules.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

//! The twins that rules look at, folded from the events as they come; of all other devices nothing, or, where a
//! rule chooses devices by what they are, what they are.

use std::collections::HashMap;
use std::sync::Arc;

use super::MissingTwins;
use super::index::{DeviceAttributes, RuleIndex};
use super::trigger_ref::TriggerRef;
use crate::expression::{Twins, member};
use crate::model::{Path, Selector};
use crate::selector::Placed;
use twinhub_domain::event::ChangeKind;
use twinhub_domain::fleet::GroupTree;
use twinhub_domain::twin::{Properties, SharedDetails};
use twinhub_domain::{DeviceId, DeviceNumber, Event, EventBody, Json, ReadingTime, Twin};

/// The twins that rules look at.
#[derive(Debug, Default)]
pub(super) struct WatchedTwins {
    pub devices: HashMap<DeviceId, WatchedTwin>,
    /// Devices that fit no pattern. Empty where there are no patterns.
    pub others: HashMap<DeviceNumber, Option<Box<UnwatchedTwin>>>,
    /// The missing twins still to be told of.
    wanted: MissingTwins,
    /// The groups as they stand at this place in the sequence.
    pub tree: Arc<GroupTree>,
    /// The values that the twins have in common.
    common: SharedDetails,
}

/// A device that a rule looks at.
#[derive(Debug, Default)]
pub(super) struct WatchedTwin {
    /// None: nobody has heard of it yet.
    pub twin: Option<Box<Twin>>,
    pub watch: Vec<TriggerRef>,
}

#[derive(Debug)]
pub(super) struct UnwatchedTwin {
    pub id: DeviceId,
    pub profile: DeviceAttributes,
}

impl WatchedTwins {
    /// Looks at what these rules look at, from now on.
    pub fn watch(&mut self, index: &RuleIndex, before: &RuleIndex) {
        let mut devices = std::mem::take(&mut self.devices);
        for id in index.named.keys() {
            devices.entry(id.clone()).or_default();
        }
        let profiled = |twin: &Option<Box<Twin>>| {
            twin.as_ref().map(|t| DeviceAttributes::of(t, &self.tree)).unwrap_or_default()
        };
        for (id, mut known) in devices {
            let profile = profiled(&known.twin);
            if index.needs(&id, &profile) {
                known.watch = index.watch(&id, &profile);
                self.devices.insert(id, known);
            } else if let (Some(twin), false) = (known.twin, index.patterns.is_empty()) {
                self.others.insert(twin.number, UnwatchedTwin::of(id, profile, index));
            }
        }
        self.others.retain(|_, other| match other {
            Some(other) => index.by_profile && !index.needs(&other.id, &other.profile),
            None => !index.by_profile,
        });
        if index.patterns.is_empty() {
            self.others = HashMap::new();
        }
        let missing = self.devices.iter().filter(|(_, known)| known.twin.is_none());
        let mut missing: Vec<DeviceId> = missing.map(|(id, _)| id.clone()).collect();
        missing.sort();
        let mut selectors = index.new_patterns(before);
        if index.by_profile && !before.by_profile {
            // Twins that fit later must be known by what else they are: all are looked at once.
            selectors.push(Selector::Where {
                group: None,
                device_type: None,
                tags: Vec::new(),
                template: None,
            });
        }
        self.wanted = MissingTwins { devices: missing, selectors };
    }

    pub fn wanted(&self) -> MissingTwins {
        let mut wanted = self.wanted.clone();
        wanted.devices.retain(|id| self.devices.get(id).is_some_and(|known| known.twin.is_none()));
        wanted
    }

    /// Events come: what was not told by now does not exist.
    pub fn begin(&mut self) {
        if !self.wanted.selectors.is_empty() || !self.wanted.devices.is_empty() {
            self.wanted = MissingTwins::default();
        }
    }

    pub fn know(&mut self, mut twin: Twin, index: &RuleIndex) {
        let profile = DeviceAttributes::of(&twin, &self.tree);
        if !index.needs(&twin.id, &profile) {
            if !index.patterns.is_empty() {
                self.others.insert(twin.number, UnwatchedTwin::of(twin.id, profile, index));
            }
            return;
        }
        self.others.remove(&twin.number);
        let watch = index.watch(&twin.id, &profile);
        twin.share(&mut self.common);
        self.devices.insert(twin.id.clone(), WatchedTwin { twin: Some(Box::new(twin)), watch });
    }

    /// Sees to it that the device of this event is known, if a rule looks at it. Gives whether one does.
    pub fn ensure_known(&mut self, event: &Event, index: &RuleIndex) -> bool {
        if let Some(known) = self.devices.get_mut(&event.device) {
            if known.twin.is_none() {
                known.twin = Some(fresh(event));
            }
            return true;
        }
        if index.patterns.is_empty() {
            return false;
        }
        if is_deletion(event) {
            self.others.remove(&event.number);
            return false;
        }
        match self.others.get(&event.number) {
            // Nothing of it has changed that a pattern could see; or it is its id that none fits.
            Some(other) if other.is_none() || !changes_profile(event) => false,
            Some(Some(other)) => {
                let mut twin = fresh(event);
                other.tell(&mut twin);
                self.ensure_known_new(twin, event, index)
            }
            _ => self.ensure_known_new(fresh(event), event, index),
        }
    }

    fn ensure_known_new(&mut self, twin: Box<Twin>, event: &Event, index: &RuleIndex) -> bool {
        let mut after = twin.clone();
        after.redo(event);
        let profile = DeviceAttributes::of(&after, &self.tree);
        if !index.needs(&event.device, &profile) {
            self.others.insert(event.number, UnwatchedTwin::of(event.device.clone(), profile, index));
            return false;
        }
        self.others.remove(&event.number);
        let watch = index.watch(&event.device, &profile);
        self.devices.insert(event.device.clone(), WatchedTwin { twin: Some(twin), watch });
        true
    }

    /// Folds the event into its device's twin, or into the tree of groups. Gives the triggers that do not watch a
    /// device any more.
    pub fn fold(&mut self, event: &Event, index: &RuleIndex) -> Vec<(TriggerRef, DeviceNumber)> {
        if let EventBody::Fleet(change) = &event.body {
            return self.regroup(change, event.received_at, index);
        }
        let Some(known) = self.devices.get_mut(&event.device) else { return Vec::new() };
        let Some(twin) = &mut known.twin else { return Vec::new() };
        if is_deletion(event) {
            if index.named.contains_key(&event.device) {
                known.twin = None;
                known.watch = index.watch(&event.device, &DeviceAttributes::default());
            } else {
                self.devices.remove(&event.device);
            }
            return Vec::new();
        }
        twin.redo(event);
        twin.share(&mut self.common);
        if !index.by_profile || !changes_profile(event) {
            return Vec::new();
        }
        let profile = DeviceAttributes::of(twin, &self.tree);
        let before = std::mem::replace(&mut known.watch, index.watch(&event.device, &profile));
        let gone = before.into_iter().filter(|trigger_ref| !known.watch.contains(trigger_ref));
        let gone = gone.map(|trigger_ref| (trigger_ref, event.number)).collect();
        if !index.needs(&event.device, &profile) {
            self.devices.remove(&event.device);
            self.others.insert(event.number, UnwatchedTwin::of(event.device.clone(), profile, index));
        }
        gone
    }

    /// The devices that a selector chooses, in the order of their ids. One that is named is chosen even if nobody
    /// has heard of it.
    pub fn choose(&self, selector: &Selector, of_trigger: Option<&DeviceId>) -> Vec<DeviceId> {
        match selector {
            Selector::Device(id) => vec![id.clone()],
            Selector::Trigger => of_trigger.cloned().into_iter().collect(),
            Selector::Glob(_) | Selector::Where { .. } => {
                let twins = self.devices.values().filter_map(|known| known.twin.as_deref());
                let chosen = twins.filter(|twin| selector.means(&Placed { twin, tree: &self.tree }));
                let mut ids: Vec<DeviceId> = chosen.map(|twin| twin.id.clone()).collect();
                ids.sort();
                ids
            }
        }
    }
}

impl Twins for WatchedTwins {
    fn twin(&self, id: &str) -> Option<&Twin> {
        self.devices.get(id)?.twin.as_deref()
    }
}

impl UnwatchedTwin {
    /// By their ids alone devices fit a pattern or never do: then there is nothing to remember.
    pub fn of(id: DeviceId, profile: DeviceAttributes, index: &RuleIndex) -> Option<Box<Self>> {
        index.by_profile.then(|| Box::new(Self { id, profile }))
    }

    /// Makes a new twin what the device is known to be.
    pub fn tell(&self, twin: &mut Twin) {
        twin.profile.device_type = self.profile.device_type.clone();
        if let Some(group) = self.profile.groups.first() {
            twin.profile.more.insert("group_id", Json::from(&**group));
        }
        twin.setup.set_tags_with_layer(&self.profile.tags);
    }
}

pub(super) fn is_deletion(event: &Event) -> bool {
    matches!(&event.body, EventBody::Twin(change) if change.change == ChangeKind::Deleted)
}

fn changes_profile(event: &Event) -> bool {
    let EventBody::Twin(change) = &event.body else { return false };
    change.change == ChangeKind::Deleted
        || ["type", "group_id", "tags", "template"].iter().any(|field| change.patch.says(field))
}

fn fresh(event: &Event) -> Box<Twin> {
    Box::new(Twin::new(event.device.clone(), event.number, event.received_at))
}

/// The value at a place in a twin's document; none where there is nothing.
pub(super) fn value_at(twin: &Twin, path: &Path) -> Option<Json> {
    match path {
        Path::Reported(name) => property(&twin.reported, name).map(|(value, _)| value.clone()),
        Path::Desired(name) => property(&twin.desired, name).map(|(value, _)| value.clone()),
        Path::Tag(name) => member(&twin.setup.tags, &parts(name)).cloned(),
        Path::Configuration(name) => member(&twin.setup.configuration, &parts(name)).cloned(),
        Path::Mode => Some(twin.control.mode.as_str().into()),
        Path::Status => Some(twin.presence.status.as_str().into()),
        Path::Profile(name) => {
            let text = twin.profile.text(name);
            (!text.is_empty()).then(|| text.into())
        }
    }
}

/// The value at a path, nested before flat, and the time when it was last said.
pub(super) fn property<'a>(properties: &'a Properties, path: &str) -> Option<(&'a Json, ReadingTime)> {
    properties.at_path(path).map(|(property, value)| (value, property.at()))
}

/// A path in parts, as expressions have it.
fn parts(path: &str) -> Vec<Box<str>> {
    path.split('.').filter(|part| !part.is_empty()).map(Into::into).collect()
}

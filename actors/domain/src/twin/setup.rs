//! The setup of a device: its tags, configuration, schedule, settings and limits. The device's own words lie over those
//! of its template, and everybody reads the two together; each is kept apart in [`Overlay`], so that a template can
//! change, or go, and leave the device's own words as they were.

use std::sync::Arc;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::clock::Timestamp;
use crate::fleet::layer::{Layer, stored};
use crate::fleet::limits::Limits;
use crate::json::{Json, Object};
use crate::schedule::{CompactSchedule, ScheduleEntries};
use crate::settings::{DeviceSettings, Heartbeat};

/// Knows the templates' layers.
pub trait LayerLookup {
    /// The layer of the template of this id; none where there is no such template.
    fn layer(&self, id: &str) -> Option<Arc<Layer>>;
}

/// There are no templates.
pub struct NoTemplates;

impl LayerLookup for NoTemplates {
    fn layer(&self, _: &str) -> Option<Arc<Layer>> {
        None
    }
}

/// The layers of a twin that has a template, or limits of its own. Boxed: most have neither.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overlay {
    #[serde(skip_serializing_if = "Option::is_none", with = "stored")]
    pub(super) layer: Option<Arc<Layer>>,
    /// The device's own word. Without a template it stands in the twin alone.
    #[serde(skip_serializing_if = "Object::is_empty")]
    configuration: Object,
    #[serde(skip_serializing_if = "Object::is_empty")]
    tags: Object,
    #[serde(skip_serializing_if = "is_usual")]
    settings: DeviceSettings,
    /// The twin's plan is its own, also where it is none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    own_schedule: bool,
    /// The device's own; they stand here also without a template.
    #[serde(skip_serializing_if = "Limits::is_empty")]
    pub(super) limits: Limits,
}

/// A device's tags, configuration, schedule and settings, by its own word and its template's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Setup {
    pub tags: Object,
    pub configuration: Object,
    // Boxed: most twins have none of these.
    pub(super) plan: Option<Box<CompactSchedule>>,
    pub(super) settings: Option<Box<DeviceSettings>>,
    /// With a layer, all of the above is what comes of the device's own words and the template's.
    pub(super) layers: Option<Box<Overlay>>,
}

impl Setup {
    /// The schedule of the device; none while it has none.
    #[must_use]
    pub fn plan(&self) -> Option<&CompactSchedule> {
        self.plan.as_deref()
    }

    /// The settings of the device, its own or its template's.
    #[must_use]
    pub fn settings(&self) -> DeviceSettings {
        let mut settings = self.settings.as_deref().cloned().unwrap_or_default();
        if settings.words.is_none() {
            settings.words = self.layer().and_then(|layer| layer.settings.words.clone());
        }
        settings
    }

    /// The silence that is set for the device.
    #[must_use]
    pub fn heartbeat(&self) -> Option<&Heartbeat> {
        self.settings.as_deref()?.heartbeat.as_ref()
    }

    /// The zone of times that the device sends without one.
    pub(super) fn timezone(&self) -> Option<Tz> {
        self.settings.as_deref()?.timezone
    }

    /// The number of commands that the device may have in hand.
    pub(super) fn commands_at_once(&self) -> usize {
        self.settings.as_deref().and_then(|settings| settings.in_flight).unwrap_or(1).into()
    }

    /// The layer of its template, where it has one.
    #[must_use]
    pub fn layer(&self) -> Option<&Arc<Layer>> {
        self.layers.as_deref()?.layer.as_ref()
    }

    /// Takes the layer that `share` gives in the place of its own, which says the same.
    pub fn share_layer(&mut self, share: impl FnOnce(Arc<Layer>) -> Arc<Layer>) {
        if let Some(layer) = self.layers.as_deref_mut().and_then(|layers| layers.layer.as_mut()) {
            *layer = share(Arc::clone(layer));
        }
    }

    /// The id of its template, where it has one.
    #[must_use]
    pub fn template_id(&self) -> Option<&str> {
        self.layer().map(|layer| &*layer.template)
    }

    /// The values expected of its readings, by its own word and its template's.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let Some(layers) = self.layers.as_deref() else { return Limits::default() };
        match &layers.layer {
            Some(layer) => layers.limits.over(&layer.limits),
            None => layers.limits.clone(),
        }
    }

    /// Is something expected of one of its readings?
    #[must_use]
    pub fn has_limits(&self) -> bool {
        let Some(layers) = self.layers.as_deref() else { return false };
        !layers.limits.is_empty() || layers.layer.as_ref().is_some_and(|layer| !layer.limits.is_empty())
    }

    /// Its own words, as a registration has them. Its template's are not among them: the template is.
    #[must_use]
    pub fn own_words(&self) -> Object {
        let layers = self.layers.as_deref();
        let layered = layers.filter(|layers| layers.layer.is_some());
        let (configuration, tags, settings) = match layered {
            Some(own) => (&own.configuration, &own.tags, own.settings.to_object()),
            None => (&self.configuration, &self.tags, self.settings().to_object()),
        };
        let limits = layers.map(|layers| layers.limits.as_object().clone()).unwrap_or_default();
        let sections = [
            ("configuration", configuration.clone()),
            ("tags", tags.clone()),
            ("settings", settings),
            ("limits", limits),
        ];
        let sections = sections.into_iter().filter(|(_, section)| !section.is_empty());
        let mut words: Object = sections.map(|(name, section)| (name, Json::Object(section))).collect();
        let entries = self.plan().map(CompactSchedule::entries);
        let schedule = match layered {
            Some(own) => own.own_schedule.then(|| entries.unwrap_or_else(|| Json::Array(Box::default()))),
            None => entries,
        };
        if let Some(schedule) = schedule {
            words.insert("schedule", schedule);
        }
        if let Some(template) = self.template_id() {
            words.insert("template", template.into());
        }
        words
    }

    /// The differences that this layer would make: by section and key what it is and what it would be.
    #[must_use]
    pub fn difference(&self, layer: Option<Arc<Layer>>, now: Timestamp) -> Object {
        let mut after = self.clone();
        after.apply_layer(layer, now);
        let entries =
            |setup: &Self| setup.plan().map_or_else(|| Json::Array(Box::default()), CompactSchedule::entries);
        let sections = |setup: &Self| {
            [
                ("configuration", setup.configuration.clone()),
                ("tags", setup.tags.clone()),
                ("settings", setup.settings().to_object()),
                ("limits", setup.limits().as_object().clone()),
                ("", [("schedule", entries(setup))].into_iter().collect()),
            ]
        };
        let mut difference = Object::default();
        for ((section, before), (_, after)) in sections(self).into_iter().zip(sections(&after)) {
            let changes = changes(&before, &after);
            if section.is_empty() {
                difference.merge(&changes);
            } else if !changes.is_empty() {
                difference.insert(section, changes.into());
            }
        }
        difference
    }

    /// Takes over the tags and the configuration of `other`, with its template.
    pub(super) fn be_like(&mut self, other: &Self) {
        self.tags = other.tags.clone();
        self.configuration = other.configuration.clone();
        self.layers.clone_from(&other.layers);
    }

    /// The part that patterns of rules go by: its tags, with what they come of.
    #[must_use]
    pub fn tags_with_layer(&self) -> Tags {
        let layers = self.layers.as_deref().filter(|layers| layers.layer.is_some());
        Tags {
            tags: self.tags.clone(),
            of: layers.map(|layers| {
                Box::new(Overlay {
                    layer: layers.layer.clone(),
                    tags: layers.tags.clone(),
                    ..Overlay::default()
                })
            }),
        }
    }

    /// The setup of a device of which only these are known.
    pub fn set_tags_with_layer(&mut self, tags: &Tags) {
        self.tags = tags.tags.clone();
        self.layers.clone_from(&tags.of);
    }

    /// The device's own words in one of the documents that a template can have, too; none where it says nothing there.
    pub(super) fn own_section(&self, name: &str) -> Option<&Object> {
        let own = self.layers.as_deref();
        let layered = own.filter(|layers| layers.layer.is_some());
        match name {
            "tags" => Some(layered.map_or(&self.tags, |own| &own.tags)),
            "configuration" => Some(layered.map_or(&self.configuration, |own| &own.configuration)),
            _ => own.map(|own| own.limits.as_object()),
        }
    }

    /// Checks limits that a change brings, over the layer that it will have.
    pub(super) fn check_limits(&self, limits: &Object, layer: Option<&Layer>) -> Result<(), Refusal> {
        let own = self.layers.as_deref().map(|layers| layers.limits.clone()).unwrap_or_default();
        let checked = own.patched(limits).and_then(|own| match layer {
            Some(layer) => own.over(&layer.limits).check_ranges(limits),
            None => own.check_ranges(limits),
        });
        checked.map_err(|(field, detail)| Refusal::Invalid { field, detail })
    }

    /// Lays what it says itself over another layer; none: over nothing.
    pub(super) fn apply_layer(&mut self, layer: Option<Arc<Layer>>, now: Timestamp) {
        let mut layers = self.layers.take().unwrap_or_default();
        if layers.layer.is_none() {
            layers.configuration = std::mem::take(&mut self.configuration);
            layers.tags = std::mem::take(&mut self.tags);
            layers.settings = self.settings();
            layers.own_schedule = self.plan.is_some();
        }
        layers.layer = layer;
        match layers.layer.as_deref() {
            Some(layer) => {
                self.configuration = over(&layers.configuration, &layer.configuration);
                self.tags = over(&layers.tags, &layer.tags);
                self.set_settings(laid_over(&layers.settings, &layer.settings));
                if !layers.own_schedule {
                    self.set_plan(&layer.schedule, now);
                }
            }
            None => {
                self.configuration = std::mem::take(&mut layers.configuration);
                self.tags = std::mem::take(&mut layers.tags);
                self.set_settings(std::mem::take(&mut layers.settings));
                if !std::mem::take(&mut layers.own_schedule) {
                    self.plan = None;
                }
            }
        }
        self.layers = (*layers != Overlay::default()).then_some(layers);
    }

    pub(super) fn apply_configuration(&mut self, patch: &Object) {
        match self.layered() {
            Some((layers, layer)) => {
                layers.configuration.merge(patch);
                self.configuration = over(&layers.configuration, &layer.configuration);
            }
            None => self.configuration.merge(patch),
        }
    }

    pub(super) fn apply_tags(&mut self, patch: &Object) {
        match self.layered() {
            Some((layers, layer)) => {
                layers.tags.merge(patch);
                self.tags = over(&layers.tags, &layer.tags);
            }
            None => self.tags.merge(patch),
        }
    }

    // The patches below were checked before they became events. One that a later version of the program finds wrong
    // changes nothing.

    pub(super) fn apply_settings(&mut self, patch: &Object) {
        let settings = match self.layered() {
            Some((layers, layer)) => {
                let Ok(own) = layers.settings.patched(patch) else { return };
                layers.settings = own;
                laid_over(&layers.settings, &layer.settings)
            }
            None => match self.settings().patched(patch) {
                Ok(settings) => settings,
                Err(_) => return,
            },
        };
        self.set_settings(settings);
    }

    pub(super) fn apply_limits(&mut self, patch: &Object) {
        let mut layers = self.layers.take().unwrap_or_default();
        if let Ok(limits) = layers.limits.patched(patch) {
            layers.limits = limits;
        }
        self.layers = (*layers != Overlay::default()).then_some(layers);
    }

    pub(super) fn apply_schedule(&mut self, entries: Option<&ScheduleEntries>, now: Timestamp) {
        let own = entries.and_then(|entries| entries.plan(now)).map(Box::new);
        match self.layered() {
            Some((layers, layer)) if entries.is_none() => {
                layers.own_schedule = false;
                self.set_plan(&layer.schedule, now);
            }
            Some((layers, _)) => {
                layers.own_schedule = true;
                self.plan = own;
            }
            None => self.plan = own,
        }
    }

    /// The schedule has been run, or passed over, up to `done`.
    pub(super) fn apply_schedule_done(&mut self, done: Timestamp) {
        if let Some(plan) = &mut self.plan {
            plan.passed(done);
        }
    }

    /// Its own words, and its template's layer.
    fn layered(&mut self) -> Option<(&mut Overlay, Arc<Layer>)> {
        let layers = self.layers.as_deref_mut()?;
        let layer = layers.layer.clone()?;
        Some((layers, layer))
    }

    fn set_settings(&mut self, settings: DeviceSettings) {
        self.settings = (!is_usual(&settings)).then(|| Box::new(settings));
    }

    /// The same entries again are no new plan: what was done of them is done.
    fn set_plan(&mut self, entries: &Json, now: Timestamp) {
        let fresh = plan(entries, now);
        let is_same = matches!((&self.plan, &fresh), (Some(had), Some(new)) if had.has_entries_of(new));
        if !is_same {
            self.plan = fresh;
        }
    }

    /// As lists and documents show it.
    pub(super) fn template_shown(&self) -> Json {
        self.layer().map_or(Json::Null, |layer| layer.shown().into())
    }

    /// The source of each member, by section and key: `{"configuration": {"interval": {"from": "template"}}, …}`.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&'static str, Json)> {
        let (none, nothing) = (Overlay::default(), Layer::default());
        let layers = self.layers.as_deref().unwrap_or(&none);
        let (configuration, tags, settings) = match &layers.layer {
            Some(_) => (&layers.configuration, &layers.tags, layers.settings.to_object()),
            None => (&self.configuration, &self.tags, self.settings().to_object()),
        };
        let base = layers.layer.as_deref().unwrap_or(&nothing);
        let schedule = match &layers.layer {
            Some(_) if layers.own_schedule => "device".into(),
            Some(_) if base.schedule != Json::Null => "template".into(),
            None if self.plan.is_some() => "device".into(),
            _ => Json::Null,
        };
        [
            ("configuration", sources(configuration, &base.configuration)),
            ("tags", sources(tags, &base.tags)),
            ("settings", sources(&settings, &base.settings.to_object())),
            ("limits", sources(layers.limits.as_object(), base.limits.as_object())),
            ("schedule", from(schedule)),
        ]
        .into_iter()
    }
}

/// A twin's tags, with what they come of: all that is kept of a device that no rule looks at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tags {
    pub tags: Object,
    of: Option<Box<Overlay>>,
}

impl Tags {
    /// The id of the template.
    #[must_use]
    pub fn template(&self) -> Option<&str> {
        self.of.as_deref()?.layer.as_ref().map(|layer| &*layer.template)
    }
}

fn plan(entries: &Json, now: Timestamp) -> Option<Box<CompactSchedule>> {
    CompactSchedule::parse(entries, now).ok().flatten().map(Box::new)
}

/// A template's words stay in its layer, which all its devices share; thousands of twins need no copy.
fn laid_over(own: &DeviceSettings, base: &DeviceSettings) -> DeviceSettings {
    DeviceSettings { words: own.words.clone(), ..own.over(base) }
}

fn over(own: &Object, base: &Object) -> Object {
    let mut all = base.clone();
    all.merge(own);
    all
}

/// The source of each member of the two together.
fn sources(own: &Object, base: &Object) -> Json {
    let source = |key: &str| match (own.get(key), base.get(key)) {
        (Some(_), None) => "device",
        (None, _) => "template",
        (Some(own), Some(under)) => {
            let mut both = under.clone();
            both.merge(own);
            if both == *own { "device" } else { "both" }
        }
    };
    let keys = own.iter().chain(base.iter()).map(|(key, _)| key);
    Json::Object(keys.map(|key| (key, from(source(key).into()))).collect())
}

fn from(source: Json) -> Json {
    Json::Object([("from", source)].into_iter().collect())
}

/// By key what it was and what it is, null where it is not.
fn changes(before: &Object, after: &Object) -> Object {
    let keys = before.iter().chain(after.iter()).map(|(key, _)| key);
    let mut changes = Object::default();
    for key in keys {
        let (was, is) = (before.get(key), after.get(key));
        if was != is {
            let change =
                [("from", was.cloned().unwrap_or_default()), ("to", is.cloned().unwrap_or_default())];
            changes.insert(key, Json::Object(change.into_iter().collect()));
        }
    }
    changes
}

fn is_usual(settings: &DeviceSettings) -> bool {
    *settings == DeviceSettings::default()
}

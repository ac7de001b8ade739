//! Templates: the common properties of devices of a kind, written once.

mod assignment;
mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::file::SecretNames;
use crate::model::Glob;
use crate::{FileProblem, redaction};
use twinhub_domain::Twin;
use twinhub_domain::clock::Timestamp;
use twinhub_domain::fleet::layer::Layer;
use twinhub_domain::fleet::limits::Limits;
use twinhub_domain::json::{DocumentSize, Json, Object};
use twinhub_domain::run::RuleId;
use twinhub_domain::schedule::{BadSchedule, CompactSchedule};
use twinhub_domain::settings::DeviceSettings;
use twinhub_domain::words::TruthWords;

pub use assignment::apply;

/// The fields of a template's specification. `words` is short for `settings.words`, or, by property, for the `words` in
/// `limits`, and is kept there.
pub const FIELDS: [&str; 11] = [
    "id",
    "name",
    "description",
    "applies_to",
    "configuration",
    "schedule",
    "tags",
    "limits",
    "settings",
    "words",
    "rules",
];

/// An id has at most this many characters, so that rules can be named after it.
const LONGEST_ID: usize = 64;
/// A text has at most this many bytes.
const LONGEST_TEXT: usize = 4_096;
/// The largest layer of a template, in bytes: a copy of it is in the row of each device.
const LARGEST_LAYER: usize = 64 * 1024;

/// A template. Its version grows by one with each change.
#[derive(Clone, Debug)]
pub struct DeviceTemplate {
    pub id: Box<str>,
    pub name: Box<str>,
    pub description: Box<str>,
    /// The devices that take it by themselves; none: it is only assigned by hand.
    pub applies_to: Option<TemplateMatcher>,
    /// The layer for devices. Its version is the template's by which the layer last changed.
    pub layer: Arc<Layer>,
    /// Rules for the devices that have it, by name, as they were written.
    pub rules: Object,
    pub version: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A match of devices. All of its members must fit, and there is one at least.
#[derive(Clone, Debug)]
pub struct TemplateMatcher {
    pub device_type: Option<Box<str>>,
    /// A pattern of ids.
    pub id: Option<Glob>,
    pub model: Option<Box<str>>,
    /// Of several that fit, the one with the highest wins.
    pub priority: i32,
}

/// All templates there are, and in which order they are tried on devices.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    templates: BTreeMap<Box<str>, Arc<DeviceTemplate>>,
    tried: Vec<Arc<DeviceTemplate>>,
}

/// An error in a template's specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDeviceTemplate {
    /// `limits.temperature.min`, and the error there.
    #[error("`{field}`: {detail}")]
    Field { field: String, detail: String },
    /// Its rules, by JSON pointers into the template.
    #[error("the template's rules do not check out")]
    Rules(Vec<FileProblem>),
}

impl DeviceTemplate {
    /// The template of the specification `specification` at `now`, as a change of `before` or anew.
    ///
    /// # Errors
    /// The error.
    pub fn read(
        id: &str,
        specification: &Object,
        before: Option<&Self>,
        now: Timestamp,
    ) -> Result<Self, BadDeviceTemplate> {
        Self::read_with(id, specification, before, now, &SecretNames::default())
    }

    /// The same, where its rules may sign with other variables too.
    ///
    /// # Errors
    /// As [`DeviceTemplate::read`].
    pub fn read_with(
        id: &str,
        specification: &Object,
        before: Option<&Self>,
        now: Timestamp,
        secrets: &SecretNames,
    ) -> Result<Self, BadDeviceTemplate> {
        let mut template = Self::read_any(id, specification, before, now)?;
        let rules = before.map(|before| &before.rules);
        template.rules = redaction::restore(&template.rules, rules).map_err(BadDeviceTemplate::Rules)?;
        rules::check(&template.id, &template.rules, secrets).map_err(BadDeviceTemplate::Rules)?;
        Ok(template)
    }

    /// The template that [`DeviceTemplate::document`] wrote. Its rules were checked once.
    ///
    /// # Errors
    /// As [`DeviceTemplate::read`].
    pub fn of_document(id: &str, document: &Object) -> Result<Self, BadDeviceTemplate> {
        let mut template = Self::read_any(id, document, None, Timestamp::default())?;
        let whole = |name| match document.get(name) {
            Some(Json::Number(number)) => number.as_str().parse().unwrap_or(1),
            _ => 1,
        };
        let time = |name| document.get(name).and_then(Json::as_str).and_then(Timestamp::parse);
        template.version = whole("version");
        let layer = Layer { version: whole("layer_version"), ..(*template.layer).clone() };
        template.layer = Arc::new(layer);
        template.created_at = time("created_at").unwrap_or_default();
        template.updated_at = time("updated_at").unwrap_or_default();
        Ok(template)
    }

    fn read_any(
        id: &str,
        specification: &Object,
        before: Option<&Self>,
        now: Timestamp,
    ) -> Result<Self, BadDeviceTemplate> {
        check_id(id)?;
        let version = before.map_or(1, |before| before.version.saturating_add(1));
        let layer = Layer {
            template: id.into(),
            version,
            configuration: object(specification, "configuration")?,
            schedule: schedule(specification, now)?,
            tags: object(specification, "tags")?,
            limits: limits(specification)?,
            settings: settings(specification)?,
        };
        let layer = match before {
            Some(before) if layer.gives_the_same(&before.layer) => Arc::clone(&before.layer),
            _ => Arc::new(checked(layer)?),
        };
        Ok(Self {
            id: id.into(),
            name: text(specification, "name")?,
            description: text(specification, "description")?,
            applies_to: applies_to(specification)?,
            layer,
            rules: object(specification, "rules")?,
            version,
            created_at: before.map_or(now, |before| before.created_at),
            updated_at: now,
        })
    }

    /// The template's specification, as [`DeviceTemplate::read`] takes it.
    #[must_use]
    pub fn specification(&self) -> Object {
        let layer = &*self.layer;
        let applies_to = self.applies_to.as_ref().map_or(Json::Null, TemplateMatcher::document);
        [
            ("id", Json::from(&*self.id)),
            ("name", Json::from(&*self.name)),
            ("description", Json::from(&*self.description)),
            ("applies_to", applies_to),
            ("configuration", layer.configuration.clone().into()),
            ("schedule", layer.schedule.clone()),
            ("tags", layer.tags.clone().into()),
            ("limits", layer.limits.as_object().clone().into()),
            ("settings", layer.settings.to_object().into()),
            ("rules", self.rules.clone().into()),
        ]
        .into_iter()
        .collect()
    }

    /// The same, with its versions and times.
    #[must_use]
    pub fn document(&self) -> Object {
        let mut document = self.specification();
        document.insert("version", int(self.version));
        document.insert("layer_version", int(self.layer.version));
        document.insert("created_at", self.created_at.to_string().into());
        document.insert("updated_at", self.updated_at.to_string().into());
        document
    }

    /// Its rules as automation takes them: with their names, and for its devices where they name no others.
    pub fn whole_rules(&self) -> impl Iterator<Item = (RuleId, Object)> {
        self.rules.iter().filter_map(|(name, rule)| {
            let id = RuleId::of_template(&self.id, name).ok()?;
            let body = rules::whole(&self.id, &id, rule.as_object()?);
            Some((id, body))
        })
    }
}

impl TemplateMatcher {
    /// Is this device one of those?
    #[must_use]
    pub fn fits(&self, twin: &Twin) -> bool {
        let Self { device_type, id, model, priority: _ } = self;
        let is = |wanted: &Option<Box<str>>, field: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == twin.profile.text(field))
        };
        is(device_type, "type") && is(model, "model") && id.as_ref().is_none_or(|glob| glob.means(&twin.id))
    }

    /// The number of terms in its layer.
    fn terms(&self) -> usize {
        let Self { device_type, id, model, priority: _ } = self;
        usize::from(device_type.is_some()) + usize::from(id.is_some()) + usize::from(model.is_some())
    }

    fn document(&self) -> Json {
        let Self { device_type, id, model, priority } = self;
        let texts = [("type", device_type), ("model", model)];
        let mut document: Object =
            texts.into_iter().filter_map(|(name, text)| Some((name, Json::from(text.as_deref()?)))).collect();
        if let Some(glob) = id {
            document.insert("id", Json::from(&*glob.text));
        }
        document.insert("priority", i64::from(*priority).into());
        document.into()
    }
}

impl Catalog {
    /// The catalog of these.
    #[must_use]
    pub fn new(templates: impl IntoIterator<Item = Arc<DeviceTemplate>>) -> Self {
        let templates: BTreeMap<Box<str>, Arc<DeviceTemplate>> =
            templates.into_iter().map(|template| (template.id.clone(), template)).collect();
        let mut tried: Vec<Arc<DeviceTemplate>> =
            templates.values().filter(|template| template.applies_to.is_some()).cloned().collect();
        // Of the same priority, who says more of devices before who says less; then by id, as they stand.
        tried.sort_by_key(|template| {
            let applies_to = template.applies_to.as_ref();
            applies_to.map(|of| (std::cmp::Reverse(of.priority), std::cmp::Reverse(of.terms())))
        });
        Self { templates, tried }
    }

    /// The template of this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<DeviceTemplate>> {
        self.templates.get(id)
    }

    /// All of them, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<DeviceTemplate>> {
        self.templates.values()
    }

    /// The template that this device takes by itself.
    #[must_use]
    pub fn matching(&self, twin: &Twin) -> Option<&Arc<DeviceTemplate>> {
        self.tried.iter().find(|template| template.applies_to.as_ref().is_some_and(|of| of.fits(twin)))
    }

    /// The same with `template` in it, in the place of the one of its name.
    #[must_use]
    pub fn with(&self, template: Arc<DeviceTemplate>) -> Self {
        Self::new(self.templates.values().cloned().chain([template]))
    }

    /// The same without the one of this id.
    #[must_use]
    pub fn without(&self, id: &str) -> Self {
        Self::new(self.templates.values().filter(|template| &*template.id != id).cloned())
    }
}

/// May a template be called this: 1 to 64 of `A-Z a-z 0-9 . _ -`?
///
/// # Errors
/// The reason against it.
pub fn check_id(id: &str) -> Result<(), BadDeviceTemplate> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if id.is_empty() || id.len() > LONGEST_ID || !id.chars().all(allowed) {
        return bad("id", format!("a template's id is 1 to {LONGEST_ID} of A-Z a-z 0-9 . _ -"));
    }
    Ok(())
}

fn applies_to(specification: &Object) -> Result<Option<TemplateMatcher>, BadDeviceTemplate> {
    let of = match specification.get("applies_to") {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::Object(of)) => of,
        Some(other) => return bad("applies_to", format!("expected an object, found {}", other.kind())),
    };
    let mut fits = TemplateMatcher { device_type: None, id: None, model: None, priority: 0 };
    for (name, value) in of.iter() {
        let place = format!("applies_to.{name}");
        let word = |text: &str| -> Result<Box<str>, BadDeviceTemplate> {
            if text.trim().is_empty() { bad(&place, "must not be empty".into()) } else { Ok(text.into()) }
        };
        match (name, value) {
            (_, Json::Null) => {}
            ("type", Json::String(text)) => fits.device_type = Some(word(text)?),
            ("model", Json::String(text)) => fits.model = Some(word(text)?),
            ("id", Json::String(pattern)) => match Glob::parse(pattern) {
                Ok(glob) => fits.id = Some(glob),
                Err(detail) => return bad(&place, format!("`{pattern}` is no pattern of ids: {detail}")),
            },
            ("priority", Json::Number(number)) => match number.as_str().parse() {
                Ok(priority) => fits.priority = priority,
                Err(_) => return bad(&place, "expected a whole number".into()),
            },
            ("priority", other) => {
                return bad(&place, format!("expected a whole number, found {}", other.kind()));
            }
            ("type" | "model" | "id", other) => {
                return bad(&place, format!("expected a string, found {}", other.kind()));
            }
            _ => {
                return bad(
                    &place,
                    "there is no such condition: `type`, `id`, `model` and `priority` are".into(),
                );
            }
        }
    }
    if fits.terms() == 0 {
        return bad(
            "applies_to",
            "say which devices: `type`, `id` or `model`; every device is the id `*`".into(),
        );
    }
    Ok(Some(fits))
}

fn schedule(specification: &Object, now: Timestamp) -> Result<Json, BadDeviceTemplate> {
    match specification.get("schedule") {
        None | Some(Json::Null) => Ok(Json::Null),
        Some(entries) => match CompactSchedule::parse(entries, now) {
            Ok(plan) => Ok(plan.map_or_else(|| Json::Array(Box::default()), |plan| plan.entries())),
            Err(BadSchedule { field, detail }) => bad(&field, detail),
        },
    }
}

fn limits(specification: &Object) -> Result<Limits, BadDeviceTemplate> {
    let mut limits = object(specification, "limits")?;
    if let Some(Json::Object(by_property)) = specification.get("words") {
        for (property, words) in by_property.iter().filter(|(_, words)| **words != Json::Null) {
            TruthWords::check(words).map_err(|detail| field(&format!("words.{property}"), detail))?;
            let declared: Object = [("words", words.clone())].into_iter().collect();
            limits.merge(&[(property, Json::from(declared))].into_iter().collect());
        }
    }
    let limits = Limits::default().patched(&limits);
    let checked = limits.and_then(|limits| limits.check_ranges(limits.as_object()).map(|()| limits));
    checked.map_err(|(field, detail)| BadDeviceTemplate::Field { field, detail })
}

fn settings(specification: &Object) -> Result<DeviceSettings, BadDeviceTemplate> {
    let mut settings = object(specification, "settings")?;
    match specification.get("words") {
        None | Some(Json::Null | Json::Object(_)) => {}
        Some(words) => {
            TruthWords::check(words).map_err(|detail| field("words", detail))?;
            settings.insert("words", words.clone());
        }
    }
    let settings = DeviceSettings::default().patched(&settings);
    settings.map_err(|(field, detail)| BadDeviceTemplate::Field { field, detail })
}

/// The layer, if it is no larger than devices' rows can take.
fn checked(layer: Layer) -> Result<Layer, BadDeviceTemplate> {
    let object = layer.to_object();
    let mut text = String::new();
    object.write(&mut text);
    if text.len() > LARGEST_LAYER {
        let detail =
            format!("the layer of a template has {LARGEST_LAYER} bytes at most, this has {}", text.len());
        return bad("configuration", detail);
    }
    for section in ["configuration", "tags", "limits"] {
        let size = object.get(section).map(Json::size).unwrap_or_default();
        if let Some(detail) = size.excess(DocumentSize::default()) {
            return bad(section, detail);
        }
    }
    Ok(layer)
}

/// A section without its nulls: a template has nothing that they could take away.
fn object(specification: &Object, section: &str) -> Result<Object, BadDeviceTemplate> {
    match specification.get(section) {
        None | Some(Json::Null) => Ok(Object::default()),
        Some(Json::Object(object)) => {
            let mut kept = Object::default();
            kept.merge(object);
            Ok(kept)
        }
        Some(other) => bad(section, format!("expected an object, found {}", other.kind())),
    }
}

fn text(specification: &Object, field: &str) -> Result<Box<str>, BadDeviceTemplate> {
    match specification.get(field) {
        None | Some(Json::Null) => Ok("".into()),
        Some(Json::String(text)) if text.len() <= LONGEST_TEXT => Ok(text.clone()),
        Some(Json::String(text)) => {
            bad(field, format!("{LONGEST_TEXT} bytes at most, this has {}", text.len()))
        }
        Some(other) => bad(field, format!("expected a string, found {}", other.kind())),
    }
}

fn bad<T>(field: &str, detail: String) -> Result<T, BadDeviceTemplate> {
    Err(self::field(field, detail))
}

fn field(field: &str, detail: impl Into<String>) -> BadDeviceTemplate {
    BadDeviceTemplate::Field { field: field.to_owned(), detail: detail.into() }
}

#[expect(clippy::cast_possible_wrap, reason = "nobody changes a template 2^63 times")]
fn int(version: u64) -> Json {
    (version as i64).into()
}

#[cfg(test)]
mod tests;

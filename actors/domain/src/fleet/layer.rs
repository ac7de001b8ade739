//! The layer: the part of a template that devices take, under what they say themselves.
//!
//! Thousands of twins have the same one, so there is one of each in memory, wherever it is read from: a twin's row,
//! an event, the template itself.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

use super::limits::Limits;
use crate::json::{Json, Object};
use crate::settings::DeviceSettings;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layer {
    /// The template's id.
    pub template: Box<str>,
    /// The template's version by which the layer came to be as it is.
    pub version: u64,
    pub configuration: Object,
    /// Entries in full; null where the template has none.
    pub schedule: Json,
    pub tags: Object,
    pub limits: Limits,
    pub settings: DeviceSettings,
}

/// The layers in memory by their text. Those that no twin has any more are swept out as new ones come.
static LAYERS: LazyLock<Mutex<HashMap<Box<str>, Weak<Layer>>>> = LazyLock::new(Mutex::default);

impl Layer {
    /// As events carry it and rows keep it: `{"id", "version", "configuration", …}`, each section if there is one.
    #[must_use]
    pub fn to_object(&self) -> Object {
        let Self { template, version, configuration, schedule, tags, limits, settings } = self;
        let mut object: Object =
            [("id", Json::from(&**template)), ("version", int(*version))].into_iter().collect();
        let settings = settings.to_object();
        let sections = [
            ("configuration", configuration),
            ("tags", tags),
            ("limits", limits.as_object()),
            ("settings", &settings),
        ];
        for (name, section) in sections.into_iter().filter(|(_, section)| !section.is_empty()) {
            object.insert(name, section.clone().into());
        }
        if *schedule != Json::Null {
            object.insert("schedule", schedule.clone());
        }
        object
    }

    /// The layer that [`Layer::to_object`] wrote; the one in memory, where there is one.
    #[must_use]
    pub fn shared(object: &Object) -> Arc<Self> {
        let mut text = String::new();
        object.write(&mut text);
        let mut layers = LAYERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layer) = layers.get(&*text).and_then(Weak::upgrade) {
            return layer;
        }
        let layer = Arc::new(Self::of(object));
        layers.retain(|_, layer| layer.strong_count() > 0);
        layers.insert(text.into(), Arc::downgrade(&layer));
        layer
    }

    /// What says nothing of itself is as it is without a template.
    fn of(object: &Object) -> Self {
        let section = |name| object.get(name).and_then(Json::as_object);
        let patched = |section: Option<&Object>| {
            section.and_then(|section| Limits::default().patched(section).ok()).unwrap_or_default()
        };
        let settings = section("settings").and_then(|said| DeviceSettings::default().patched(said).ok());
        Self {
            template: object.get("id").and_then(Json::as_str).unwrap_or_default().into(),
            version: match object.get("version") {
                Some(Json::Number(number)) => number.as_str().parse().unwrap_or_default(),
                _ => 0,
            },
            configuration: section("configuration").cloned().unwrap_or_default(),
            schedule: object.get("schedule").cloned().unwrap_or_default(),
            tags: section("tags").cloned().unwrap_or_default(),
            limits: patched(section("limits")),
            settings: settings.unwrap_or_default(),
        }
    }

    /// Do devices get the same from both, whichever version they are of?
    #[must_use]
    pub fn gives_the_same(&self, other: &Self) -> bool {
        let version = self.version;
        *self == Self { version, ..other.clone() }
    }
}

/// A layer in a twin's row.
pub(crate) mod stored {
    use super::{Arc, Deserialize, Deserializer, Layer, Object, RawValue, Serialize, Serializer, de};

    pub fn serialize<S: Serializer>(layer: &Option<Arc<Layer>>, serializer: S) -> Result<S::Ok, S::Error> {
        layer.as_ref().map(|layer| layer.to_object()).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<Layer>>, D::Error> {
        let Some(raw) = Option::<Box<RawValue>>::deserialize(deserializer)? else { return Ok(None) };
        let object: Object = serde_json::from_str(raw.get()).map_err(de::Error::custom)?;
        Ok(Some(Layer::shared(&object)))
    }
}

#[expect(clippy::cast_possible_wrap, reason = "nobody changes a template 2^63 times")]
fn int(version: u64) -> Json {
    (version as i64).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::object;

    #[test]
    fn there_is_one_of_each() {
        let text = r#"{"id": "pump", "version": 3, "configuration": {"a": 1.50}, "tags": {"floor": "2"},
            "limits": {"t": {"max": 40}}, "settings": {"heartbeat": "90s"}, "schedule": []}"#;
        let read = || Layer::shared(&object(text.as_bytes()).unwrap());
        let (one, other) = (read(), read());
        assert!(Arc::ptr_eq(&one, &other));
        assert!(Arc::ptr_eq(&one, &Layer::shared(&one.to_object())), "and it is written as it is read");
        let later = Layer { version: 4, ..(*one).clone() };
        assert!(later.gives_the_same(&one) && !Arc::ptr_eq(&Layer::shared(&later.to_object()), &one));
        assert!(!Layer { tags: Object::default(), ..later }.gives_the_same(&one));
        drop((one, other));
        let bare = Layer::shared(&object(br#"{"id": "x", "version": 1}"#).unwrap());
        assert_eq!(Json::from(bare.to_object()).to_string(), r#"{"id":"x","version":1}"#);
    }
}

//! The layer: the part of a template that devices take, under what they say themselves. All devices of a template hold
//! the same one; who reads layers from somewhere sees to it that each is read once.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

use super::limits::Limits;
use crate::json::{Json, Object};
use crate::settings::DeviceSettings;

/// The part of a template that devices take.
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

impl Layer {
    /// As it is kept: `{"id", "version", "configuration", …}`, each section if there is one.
    #[must_use]
    pub fn to_object(&self) -> Object {
        let Self { configuration, schedule, tags, limits, settings, .. } = self;
        let mut object = self.shown();
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

    /// As documents and events show it: `{"id", "version"}`.
    #[must_use]
    pub fn shown(&self) -> Object {
        [("id", Json::from(&*self.template)), ("version", int(self.version))].into_iter().collect()
    }

    /// The layer that [`Layer::to_object`] wrote. A section that says nothing of itself is as it is without a template;
    /// none where it does not say of which template it is.
    #[must_use]
    pub fn read(object: &Object) -> Option<Self> {
        let section = |name| object.get(name).and_then(Json::as_object);
        let patched = |section: Option<&Object>| {
            section.and_then(|section| Limits::default().patched(section).ok()).unwrap_or_default()
        };
        let settings = section("settings").and_then(|said| DeviceSettings::default().patched(said).ok());
        Some(Self {
            template: object.get("id")?.as_str()?.into(),
            version: object.get("version")?.as_number()?.as_str().parse().ok()?,
            configuration: section("configuration").cloned().unwrap_or_default(),
            schedule: object.get("schedule").cloned().unwrap_or_default(),
            tags: section("tags").cloned().unwrap_or_default(),
            limits: patched(section("limits")),
            settings: settings.unwrap_or_default(),
        })
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
        match Layer::read(&object) {
            Some(layer) => Ok(Some(Arc::new(layer))),
            None => Err(de::Error::custom("a layer does not say of which template it is")),
        }
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
    fn it_is_read_as_it_is_written() {
        let text = r#"{"id": "pump", "version": 3, "configuration": {"a": 1.50}, "tags": {"floor": "2"},
            "limits": {"t": {"max": 40}}, "settings": {"heartbeat": "90s"}, "schedule": []}"#;
        let one = Layer::read(&object(text.as_bytes()).unwrap()).unwrap();
        assert_eq!(
            Json::from(one.to_object()).to_string().len(),
            text.split_whitespace().collect::<String>().len()
        );
        assert_eq!(Layer::read(&one.to_object()), Some(one.clone()));
        let later = Layer { version: 4, ..one.clone() };
        assert!(later.gives_the_same(&one) && later != one);
        assert!(!Layer { tags: Object::default(), ..later }.gives_the_same(&one));
        let bare = Layer::read(&object(br#"{"id": "x", "version": 1}"#).unwrap()).unwrap();
        assert_eq!(Json::from(bare.to_object()).to_string(), r#"{"id":"x","version":1}"#);
        assert_eq!(Layer::read(&object(br#"{"version": 1}"#).unwrap()), None);
    }
}

//! The delta: what of desired the device has not reported.
//!
//! Both sides are compared place by place, whichever way each is written: see [`super::path`]. Of two spellings of one
//! place the one that was reported last counts, the nested one where both came at once.

use super::setup::Setup;
use super::{Overlay, Properties, Property};
use crate::json::{Json, Object};
use crate::settings::DeviceSettings;
use crate::words::TruthWords;

/// The reported properties, and the words that mean the same there.
#[derive(Clone, Copy)]
pub(super) struct Comparison<'a> {
    reported: &'a Properties,
    layers: Option<&'a Overlay>,
    settings: Option<&'a DeviceSettings>,
}

/// The missing part of a wanted value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Missing {
    Nothing,
    /// All of it.
    All,
    /// These members, nested as they were wanted.
    Some(Object),
}

impl<'a> Comparison<'a> {
    pub(super) fn new(reported: &'a Properties, setup: &'a Setup) -> Self {
        Self { reported, layers: setup.layers.as_deref(), settings: setup.settings.as_deref() }
    }

    /// The part of desired that the device has not reported, in the shape in which it is desired.
    pub(super) fn delta(self, desired: &Properties) -> Object {
        let mut delta = Object::default();
        for wanted in desired.iter() {
            match self.missing(wanted) {
                Missing::Nothing => {}
                Missing::All => {
                    delta.insert(wanted.name.clone(), wanted.value.clone());
                }
                Missing::Some(members) => {
                    delta.insert(wanted.name.clone(), members.into());
                }
            }
        }
        delta
    }
}

impl Comparison<'_> {
    /// The missing part of a desired property.
    pub(super) fn missing(&self, wanted: &Property) -> Missing {
        // As nearly all are: one value at one place. A name with dots in it may be nested as well.
        let is_plain =
            !matches!(wanted.value, Json::Object(_) | Json::Array(_)) && !wanted.name.contains('.');
        if is_plain && self.reported.get(&wanted.name).is_some_and(|had| had.value == wanted.value) {
            return Missing::Nothing;
        }
        self.missing_at(&wanted.value, &mut wanted.name.to_string())
    }

    fn missing_at(&self, wanted: &Json, path: &mut String) -> Missing {
        let had = self.newest(path);
        if had.is_some_and(|(_, had)| had == wanted || self.means(path, had, wanted)) {
            return Missing::Nothing;
        }
        match wanted {
            Json::Object(members) => {
                let is_object = matches!(had, Some((_, Json::Object(_))));
                self.missing_members(members, is_object, path)
            }
            Json::Array(items) if self.has_items(items, had.map(|(property, _)| property), path) => {
                Missing::Nothing
            }
            _ => Missing::All,
        }
    }

    /// The device may say more than it was asked for.
    fn missing_members(&self, members: &Object, is_object: bool, path: &mut String) -> Missing {
        let mut missing = Object::default();
        for (name, wanted) in members.iter() {
            match within(path, name, |path| self.missing_at(wanted, path)) {
                Missing::Nothing => {}
                Missing::All => {
                    missing.insert(name, wanted.clone());
                }
                Missing::Some(members) => {
                    missing.insert(name, members.into());
                }
            }
        }
        match missing.is_empty() {
            true if members.is_empty() && !is_object => Missing::All,
            true => Missing::Nothing,
            false => Missing::Some(missing),
        }
    }

    /// Are these the items of an array that came as telemetry, each by itself? `array`: it is reported as a whole too,
    /// and differs.
    fn has_items(&self, items: &[Json], array: Option<&Property>, path: &mut String) -> bool {
        let mut first_at = None;
        for (index, wanted) in items.iter().enumerate() {
            let found = within(path, &index.to_string(), |path| {
                let came = self.newest(path).map(|(property, _)| property);
                let is_whole =
                    matches!((came, array), (Some(came), Some(array)) if std::ptr::eq(came, array));
                (!is_whole && self.missing_at(wanted, path) == Missing::Nothing).then_some(came)
            });
            let Some(came) = found else { return false };
            first_at = first_at.or(came.map(Property::at));
        }
        // One item more that came with them: the array is longer. An older one was of an array before it.
        let more =
            within(path, &items.len().to_string(), |path| self.newest(path).map(|(more, _)| more.at()));
        !items.is_empty() && more.is_none_or(|more| first_at.is_some_and(|first| more < first))
    }

    /// Of all spellings the one that was reported last.
    fn newest(&self, path: &str) -> Option<(&Property, &Json)> {
        let mut newest: Option<(&Property, &Json)> = None;
        for (property, value) in self.reported.spellings(path) {
            if newest.is_none_or(|(before, _)| property.at() > before.at()) {
                newest = Some((property, value));
            }
        }
        newest
    }

    /// Do both mean the same by the words that are declared for this place?
    fn means(&self, path: &str, one: &Json, other: &Json) -> bool {
        if !TruthWords::could_be(one) || !TruthWords::could_be(other) {
            return false;
        }
        self.words(path).is_some_and(|words| words.mean_the_same(one, other))
    }

    /// The device's own words go before its template's, and those of one property before those of all.
    fn words(&self, path: &str) -> Option<TruthWords<'_>> {
        let own = self.layers.map(|layers| &layers.limits);
        let template = self.layers.and_then(|layers| layers.layer.as_deref());
        let of_property = own.and_then(|limits| limits.words(path));
        let own_of_all = || self.settings?.words.as_ref();
        let of_all = || TruthWords::of(own_of_all().or_else(|| template?.settings.words.as_ref())?);
        of_property.or_else(|| template?.limits.words(path)).or_else(of_all)
    }
}

/// Calls `look` with the path of a member.
fn within<T>(path: &mut String, name: &str, look: impl FnOnce(&mut String) -> T) -> T {
    let end = path.len();
    path.push('.');
    path.push_str(name);
    let found = look(path);
    path.truncate(end);
    found
}

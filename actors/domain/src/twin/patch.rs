//! A change of a twin's document, part by part, each of its own type. JSON stands at its edges alone: [`Patch::read`]
//! takes what the store has or a test writes, [`Patch::to_object`] gives what events show and the store keeps.

mod read;
mod show;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fields::Field;
use crate::Mode;
use crate::clock::{ReadingTime, Timestamp};
use crate::fleet::{FirmwareStep, Layer, Lifecycle};
use crate::json::{Json, Object};
use crate::schedule::ScheduleEntries;

/// The parts of a change, each at most once, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch(Vec<Part>);

/// One part of a change: which member of the document, and what becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// A text of the profile; none takes it away.
    Text(&'static Field, Option<Box<str>>),
    Claimed(bool),
    Lifecycle(Box<LifecycleStep>),
    Mode(Mode),
    /// When manual mode ends by itself; none: it does not.
    ModeUntil(Option<Timestamp>),
    // Merge patches, by property, key or name.
    Reported(Object),
    Desired(Object),
    Tags(Object),
    Configuration(Object),
    Settings(Object),
    Limits(Object),
    /// None: the device says nothing of its schedule any more, and its template's shows.
    Schedule(Option<ScheduleEntries>),
    /// Up to when the schedule has been run or passed over.
    ScheduleDone(Timestamp),
    /// Entries of the schedule that came due and were passed over.
    Skipped(Box<[Skip]>),
    /// None: it has no template any more.
    Template(Option<Arc<Layer>>),
    /// Whether the device could be sent what is desired of it.
    Told(bool),
    /// Reasons why the device could not apply what is desired, by property.
    Failed(Object),
    /// Units of what is reported, by path; null takes one away.
    Units(Object),
    /// The device's own clock is plainly wrong; none: it is right again.
    DeviceClock(Option<WrongClock>),
    /// By how many ms the hub's clock was set.
    ClockMoved(i64),
    Firmware(Box<FirmwareStep>),
    /// A member that changes nothing of the document: what a dialect notes beside a change, or what was stored and
    /// makes no sense under its name. It is kept and shown as it is.
    Note(Box<str>, Json),
}

/// A step in a device's life, as a person said it.
#[derive(Clone, Debug, PartialEq)]
pub struct LifecycleStep {
    pub state: Lifecycle,
    pub was: Option<Lifecycle>,
    /// Empty where none was said.
    pub reason: Box<str>,
    /// With it went what the device shows who it is with.
    pub credentials_removed: bool,
}

/// An entry of the schedule that came due and was passed over.
#[derive(Clone, Debug, PartialEq)]
pub struct Skip {
    /// The entry's place in the schedule, from 0.
    pub entry: usize,
    /// When it was to run.
    pub at: Timestamp,
    /// `missed`, `manual_mode`, `suspended` or `too_large`.
    pub reason: Box<str>,
}

/// A device's clock that is plainly wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongClock {
    /// The time that it said when it was first found wrong.
    pub claimed_at: ReadingTime,
    /// When that was.
    pub since: Timestamp,
}

/// The names of all parts but texts and notes: no dialect's note has one of them.
const NAMES: [&str; 20] = [
    "claimed",
    "clock_moved",
    "configuration",
    "desired",
    "device_clock",
    "failed",
    "firmware",
    "lifecycle",
    "limits",
    "mode",
    "mode_until",
    "reported",
    "schedule",
    "schedule_done",
    "settings",
    "skipped",
    "tags",
    "template",
    "told",
    "units",
];

impl Patch {
    /// True where nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The parts in the order of their names.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.0.iter()
    }

    /// Puts a part in, in the place of the one of its name.
    pub fn set(&mut self, part: Part) {
        match self.find(part.name()) {
            Ok(index) => self.0[index] = part,
            Err(index) => {
                self.0.reserve_exact(1); // most have one or two, and events by the thousand are kept
                self.0.insert(index, part);
            }
        }
    }

    /// The part of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Part> {
        self.find(name).ok().map(|index| &self.0[index])
    }

    /// Does it say anything of this member of the document?
    #[must_use]
    pub fn says(&self, name: &str) -> bool {
        self.get(name).is_some_and(|part| !matches!(part, Part::Note(..)))
    }

    /// The new text of a field of the profile: empty where it is taken away, none where nothing is said of it.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        if let Part::Text(_, text) = self.get(field)? {
            Some(text.as_deref().unwrap_or_default())
        } else {
            None
        }
    }

    /// The mode that it brings.
    #[must_use]
    pub fn mode(&self) -> Option<Mode> {
        if let Part::Mode(mode) = self.get("mode")? { Some(*mode) } else { None }
    }

    /// The merge patch onto `reported`.
    #[must_use]
    pub fn reported(&self) -> Option<&Object> {
        if let Part::Reported(patch) = self.get("reported")? { Some(patch) } else { None }
    }

    /// The merge patch onto `desired`.
    #[must_use]
    pub fn desired(&self) -> Option<&Object> {
        if let Part::Desired(patch) = self.get("desired")? { Some(patch) } else { None }
    }

    /// The merge patch onto `configuration`.
    #[must_use]
    pub fn configuration(&self) -> Option<&Object> {
        if let Part::Configuration(patch) = self.get("configuration")? { Some(patch) } else { None }
    }

    /// The layer that it brings: none of it where the template goes.
    #[must_use]
    pub fn template(&self) -> Option<Option<&Arc<Layer>>> {
        if let Part::Template(layer) = self.get("template")? { Some(layer.as_ref()) } else { None }
    }

    /// The note under this name.
    #[must_use]
    pub fn note(&self, name: &str) -> Option<&Json> {
        if let Part::Note(_, note) = self.get(name)? { Some(note) } else { None }
    }

    /// The notes of dialects, by name.
    pub fn notes(&self) -> impl Iterator<Item = (&str, &Object)> {
        self.0.iter().filter_map(|part| match part {
            // A note under a name of the core's, where it makes no sense, is no dialect's.
            Part::Note(name, Json::Object(note))
                if !NAMES.contains(&&**name) && Field::of(name).is_none() =>
            {
                Some((&**name, note))
            }
            _ => None,
        })
    }

    /// Puts the text of this field in; none takes it away.
    pub fn set_text(&mut self, field: &str, text: Option<&str>) {
        if let Some(field) = Field::of(field) {
            self.set(Part::Text(field, text.map(Into::into)));
        }
    }

    /// Notes something under a name that no part of the document has.
    pub fn set_note(&mut self, name: &str, note: Json) {
        self.set(Part::Note(name.into(), note));
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|part| part.name().cmp(name))
    }
}

impl Part {
    /// A text of the profile; none where there is no such field.
    #[must_use]
    pub fn text(field: &str, text: &str) -> Option<Self> {
        Some(Self::Text(Field::of(field)?, Some(text.into())))
    }
}

impl FromIterator<Part> for Patch {
    fn from_iter<I: IntoIterator<Item = Part>>(parts: I) -> Self {
        let mut patch = Self::default();
        parts.into_iter().for_each(|part| patch.set(part));
        patch
    }
}

impl Extend<Part> for Patch {
    fn extend<I: IntoIterator<Item = Part>>(&mut self, parts: I) {
        parts.into_iter().for_each(|part| self.set(part));
    }
}

#[cfg(test)]
mod tests;

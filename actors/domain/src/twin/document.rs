//! The twin as a JSON document, as DESIGN shows it.

use std::fmt;

use super::fields::{FIELDS, Shown};
use super::{Properties, Property, SyncState, Twin};
use crate::clock::{ReadingTime, Timestamp};
use crate::json::{Json, Object};
use crate::schedule::CompactSchedule;

impl Twin {
    /// The whole document at `now`: identity, status, both sides with their delta and metadata.
    #[must_use]
    pub fn document(&self, now: Timestamp) -> Object {
        let reported = self.reported.to_object();
        let desired = self.desired.to_object();
        let mut document = self.head(now);
        document.insert("delta", self.delta().into());
        document.insert("desired", desired.into());
        document.insert("reported", reported.into());
        document.insert("metadata", self.metadata(now).into());
        document.insert(
            "schedule",
            self.setup.plan().map_or_else(|| Json::Array(Box::default()), CompactSchedule::entries),
        );
        document.insert("settings", self.setup.settings().to_object().into());
        document.insert("limits", self.setup.limits().as_object().clone().into());
        document.insert("firmware", self.firmware_shown().into());
        document.insert("clock", self.intake.clock_shown());
        document
    }

    /// Its identity and status, without its properties: the part that lists show.
    #[must_use]
    pub fn head(&self, now: Timestamp) -> Object {
        let profile = &self.profile;
        let or_null = |text: &str| if text.is_empty() { Json::Null } else { text.into() };
        let mut head: Object = [
            ("id", self.id.as_str().into()),
            ("number", self.number.0.into()),
            ("claimed", self.control.claimed.into()),
            ("lifecycle", self.lifecycle().as_str().into()),
            ("status", self.presence.status.as_str().into()),
            // By a clock that was set back since, it may have been heard in the future.
            ("last_seen", self.presence.last_seen.map_or(Json::Null, |seen| time(seen.min(now)))),
            ("mode", self.control.mode.as_str().into()),
            ("mode_until", self.control.mode_until().map_or(Json::Null, time)),
            ("tags", self.setup.tags.clone().into()),
            ("configuration", self.setup.configuration.clone().into()),
            ("template", self.setup.template_shown()),
            ("created_at", time(self.created_at)),
            ("updated_at", time(self.updated_at)),
        ]
        .into_iter()
        .collect();
        #[expect(clippy::cast_possible_wrap, reason = "one change a nanosecond wraps in 292 years")]
        head.insert("version", (self.version as i64).into());
        for field in FIELDS {
            let text = profile.text(field.name);
            let shown = match field.shown {
                Shown::AsText => text.into(),
                Shown::OrId => {
                    if text.is_empty() {
                        self.id.as_str().into()
                    } else {
                        text.into()
                    }
                }
                Shown::OrNull => or_null(text),
                Shown::Hidden => continue,
            };
            head.insert(field.name, shown);
        }
        head
    }

    /// When what is reported at this path last became another, whichever way it is written.
    fn changed_at(&self, path: &str) -> Option<ReadingTime> {
        if let Some((property, _)) = self.reported.at_path(path) {
            return Some(property.changed_at());
        }
        let is_within = |name: &str| name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        self.reported.iter().filter(|p| is_within(&p.name)).map(Property::changed_at).max()
    }

    fn metadata(&self, now: Timestamp) -> Object {
        let reported = |p: &Property| {
            let mut about: Object = [
                ("reported_at", time(p.at())),
                ("changed_at", time(p.changed_at())),
                ("quality", p.quality().as_str().into()),
            ]
            .into_iter()
            .chain(p.claimed_at().map(|claimed| ("claimed_at", time(claimed))))
            .collect();
            add_units(&mut about, p);
            about
        };
        let desired = |p: &Property| {
            let by = p.by().map_or(Json::Null, Into::into);
            let mut about: Object = [("at", time(p.at())), ("by", by)].into_iter().collect();
            let note = self.convergence.note(&p.name);
            let state = note.map_or(SyncState::Applied, |note| note.state(now));
            about.insert("sync", state.as_str().into());
            if let Some(note) = note {
                about.insert("unmet_at", time(note.since));
                if let Some(sent_at) = note.sent_at {
                    about.insert("sent_at", time(sent_at));
                }
                if let Some((at, reason)) = &note.failed {
                    about.insert("failed_at", time(*at));
                    about.insert("reason", Json::String(reason.clone()));
                }
            } else if let Some(changed_at) = self.changed_at(&p.name) {
                about.insert("applied_at", time(changed_at));
            }
            about
        };
        let sides = [("reported", each(&self.reported, reported)), ("desired", each(&self.desired, desired))];
        sides.into_iter().chain(self.setup.sources()).collect()
    }
}

/// Adds the unit of a property where it is known, and `units` by path where there are some of what lies in it.
pub fn add_units(about: &mut Object, property: &Property) {
    if let Some(unit) = property.unit() {
        about.insert("unit", unit.into());
    }
    let inner: Object = property.inner_units().map(|(path, unit)| (path, Json::from(unit))).collect();
    if !inner.is_empty() {
        about.insert("units", inner.into());
    }
}

fn each(properties: &Properties, describe: impl Fn(&Property) -> Object) -> Json {
    Json::Object(properties.iter().map(|p| (&*p.name, describe(p).into())).collect())
}

fn time(at: impl fmt::Display) -> Json {
    at.to_string().into()
}

//! Twins taken back to an earlier place in the sequence.
//!
//! After a kill the store has the twins as they were last, and the engine goes on at a place a little before that.
//! What the events in between changed must not have been there yet, or they would change nothing when they come
//! again, and fire nothing. Of a property that the first of them said, it is known when it last became another: so
//! it is known whether that event made it so. What it was before is not; then it is taken out, and was not known.

use std::collections::HashSet;

use super::book::Book;
use super::world::{World, is_deletion};
use crate::domain::event::ChangeKind;
use crate::domain::twin::Properties;
use crate::domain::{
    DeviceId, Event, EventBody, Json, Mode, Object, Reading, Recorded, Scalar, Status, Timestamp, Twin,
    TwinChange,
};

impl World {
    /// Takes the twins back to before these events, which are all that happened up to where they stand.
    pub fn rewind<'a>(&mut self, past: impl Iterator<Item = &'a Recorded>, now: Timestamp, book: &Book) {
        let mut seen: HashSet<(DeviceId, Box<str>)> = HashSet::new();
        let mut regrouped = Vec::new();
        for recorded in past {
            let event = &recorded.event;
            if let EventBody::Fleet(change) = &event.body {
                regrouped.push(&**change);
            }
            let Some(known) = self.devices.get_mut(&event.device) else { continue };
            let Some(twin) = known.twin.as_deref_mut() else { continue };
            if matches!(&event.body, EventBody::Twin(change) if change.change == ChangeKind::Registered)
                && twin.created_at >= event.received_at
            {
                known.twin = None; // it did not exist
            } else if !is_deletion(event) {
                take_back(twin, event, &mut |name| seen.insert((event.device.clone(), name.into())));
            }
        }
        self.ungroup(&regrouped, now, book);
    }
}

/// Takes back what an event said, where `is_first` says that none before it did.
fn take_back(twin: &mut Twin, event: &Event, is_first: &mut dyn FnMut(&str) -> bool) {
    match &event.body {
        EventBody::Telemetry { readings, .. } => {
            for reading in readings.iter().filter(|reading| is_first(&format!("reported.{}", reading.name))) {
                let value = Json::from(reading.value.clone());
                property(&mut twin.reported, &reading.name, &value, event.at);
            }
        }
        EventBody::Presence { status, reason } => {
            // A device that asks for its commands says that it is there again and again.
            if is_first("status") && &**reason != crate::domain::twin::presence::reason::POLLED {
                twin.status = if *status == Status::Online { Status::Offline } else { Status::Online };
            }
        }
        EventBody::Twin(TwinChange { patch, .. }) => {
            for (section, value) in patch.iter() {
                take_section_back(twin, section, value, event.received_at, is_first);
            }
        }
        EventBody::Command(_)
        | EventBody::Alarm(_)
        | EventBody::Rule(_)
        | EventBody::Fleet(_)
        | EventBody::Signal(_) => {}
    }
}

fn take_section_back(
    twin: &mut Twin,
    section: &str,
    value: &Json,
    at: Timestamp,
    is_first: &mut dyn FnMut(&str) -> bool,
) {
    let members = value.as_object().into_iter().flat_map(Object::iter);
    match section {
        "reported" | "desired" => {
            for (name, value) in members.filter(|(name, _)| is_first(&format!("{section}.{name}"))) {
                let properties = if section == "reported" { &mut twin.reported } else { &mut twin.desired };
                property(properties, name, value, at);
            }
        }
        "tags" | "configuration" => {
            for (name, _) in members.filter(|(name, _)| is_first(&format!("{section}.{name}"))) {
                let members = if section == "tags" { &mut twin.tags } else { &mut twin.configuration };
                members.remove(name);
            }
        }
        "mode" if is_first("mode") => {
            twin.mode = match value.as_str().and_then(Mode::parse).unwrap_or_default() {
                Mode::Manual => Mode::Schedule,
                Mode::Schedule => Mode::Manual,
            };
        }
        _ => {} // who it is changes seldom, and is said when it does
    }
}

/// A property as it was before `value` was said at `at`.
fn property(properties: &mut Properties, name: &str, value: &Json, at: Timestamp) {
    let Some(found) = properties.get(name) else { return };
    let (changed_at, now_is) = (found.changed_at, found.value.clone());
    if found.at < at {
        return; // it was late, and the twin past it
    }
    let gone: Object = [(name, Json::Null)].into_iter().collect();
    properties.merge(&gone, at, None);
    // It was made so by this event; or by a later one: then whether this one changed it nobody knows, and it did not.
    let (was, before) = match () {
        () if changed_at == at => return,
        () if changed_at < at => (now_is, changed_at),
        () => (value.clone(), at.plus_millis(-1)),
    };
    match Scalar::from_json(was.clone()) {
        Some(value) => {
            let reading = Reading { name: name.into(), value, unit: None, quality_score: None };
            properties.read(&reading, before, before);
        }
        None => properties.merge(&[(name, was)].into_iter().collect(), before, None),
    }
}

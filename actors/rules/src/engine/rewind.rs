//! Twins taken back to an earlier place in the sequence.
//!
//! After a kill the store has the twins as they were last, and the engine goes on at a place a little before that.
//! Changes by the events in between must not have been there yet, or they would change nothing when they come
//! again, and fire nothing. Of a property that the first of them said, it is known when it last became another: so
//! it is known whether that event made it so. What it was before is not; then it is taken out, and was not known.

use std::collections::HashSet;

use super::index::RuleIndex;
use super::watched_twins::{WatchedTwins, is_deletion};
use twinhub_domain::event::ChangeKind;
use twinhub_domain::twin::presence::reason;
use twinhub_domain::twin::{Arrival, Part, Properties};
use twinhub_domain::{
    DeviceId, DeviceNumber, Event, EventBody, Json, Mode, Object, Reading, ReadingTime, Recorded, Scalar,
    Status, Timestamp, Twin, TwinChange,
};

impl WatchedTwins {
    /// Takes the twins back to before these events, which are all that happened up to where they stand.
    pub fn rewind<'a>(
        &mut self,
        past: impl Iterator<Item = &'a Recorded> + Clone,
        now: Timestamp,
        index: &RuleIndex,
    ) {
        let moments: HashSet<_> = past.clone().flat_map(|recorded| moments(&recorded.event)).collect();
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
                let is_first = &mut |name: &str| seen.insert((event.device.clone(), name.into()));
                revert(twin, event, is_first, &moments);
            }
        }
        self.ungroup(&regrouped, now, index);
    }
}

/// The properties that the events to take back said: of which device, which, and of which moment.
type Moments<'a> = HashSet<(DeviceNumber, PropertySection, &'a str, ReadingTime)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum PropertySection {
    Reported,
    Desired,
}

/// The properties that an event said, each with its moment.
fn moments(event: &Event) -> Vec<(DeviceNumber, PropertySection, &str, ReadingTime)> {
    let of = |section, name, at| (event.number, section, name, at);
    match &event.body {
        EventBody::Telemetry { readings, .. } => {
            readings.iter().map(|reading| of(PropertySection::Reported, &*reading.name, event.at)).collect()
        }
        EventBody::Twin(TwinChange { patch, .. }) => {
            let sections =
                [(PropertySection::Reported, patch.reported()), (PropertySection::Desired, patch.desired())];
            let said = sections.into_iter().filter_map(|(section, said)| Some((section, said?)));
            said.flat_map(|(section, said)| said.iter().map(move |(name, _)| (section, name)))
                .map(|(section, name)| of(section, name, event.received_at.into()))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Takes back what an event said, where `is_first` says that none before it did.
fn revert(twin: &mut Twin, event: &Event, is_first: &mut dyn FnMut(&str) -> bool, moments: &Moments<'_>) {
    match &event.body {
        EventBody::Telemetry { readings, .. } => {
            for reading in readings.iter().filter(|reading| is_first(&format!("reported.{}", reading.name))) {
                let value = Json::from(reading.value.clone());
                let is_said =
                    |at| moments.contains(&(event.number, PropertySection::Reported, &*reading.name, at));
                property(&mut twin.reported, &reading.name, (&value, event.at, true), &is_said);
            }
        }
        EventBody::Presence { status, reason } => {
            if is_first("status") {
                match (&**reason, *status) {
                    // A device that asks for its commands says that it is there again and again.
                    (reason::POLLED, _) => {}
                    (reason::AGAIN, _) | (_, Status::Offline) => twin.presence.status = Status::Online,
                    (_, Status::Online) => twin.presence.status = Status::Offline,
                }
            }
        }
        EventBody::Twin(TwinChange { patch, .. }) => {
            for part in patch.parts() {
                revert_part(twin, part, event, is_first, moments);
            }
        }
        EventBody::Command(_)
        | EventBody::Alarm(_)
        | EventBody::Rule(_)
        | EventBody::Fleet(_)
        | EventBody::Signal(_) => {}
    }
}

fn revert_part(
    twin: &mut Twin,
    part: &Part,
    event: &Event,
    is_first: &mut dyn FnMut(&str) -> bool,
    moments: &Moments<'_>,
) {
    let mut first = |name: &str| is_first(&format!("{}.{name}", part.name()));
    match part {
        Part::Reported(said) | Part::Desired(said) => {
            for (name, value) in said.iter().filter(|(name, _)| first(name)) {
                let (properties, of) = match part {
                    Part::Reported(_) => (&mut twin.reported, PropertySection::Reported),
                    _ => (&mut twin.desired, PropertySection::Desired),
                };
                let is_said = |at| moments.contains(&(event.number, of, name, at));
                property(properties, name, (value, event.received_at.into(), false), &is_said);
            }
        }
        Part::Tags(said) => {
            said.iter()
                .filter(|(name, _)| first(name))
                .for_each(|(name, _)| drop(twin.setup.tags.remove(name)));
        }
        Part::Configuration(said) => {
            let names = said.iter().map(|(name, _)| name).filter(|name| first(name));
            names.for_each(|name| drop(twin.setup.configuration.remove(name)));
        }
        Part::Mode(mode) if is_first("mode") => {
            twin.control.mode = match mode {
                Mode::Manual => Mode::Schedule,
                Mode::Schedule => Mode::Manual,
            };
        }
        _ => {} // who it is changes seldom, and is said when it does
    }
}

/// A property as it was before an event said `value` of the moment `at`. `is_said`: one of the events to take back said
/// it of that moment.
fn property(
    properties: &mut Properties,
    name: &str,
    (value, at, is_reading): (&Json, ReadingTime, bool),
    is_said: &dyn Fn(ReadingTime) -> bool,
) {
    let Some(found) = properties.get(name) else { return };
    let (changed_at, now_is) = (found.changed_at(), found.value.clone());
    if !is_said(found.at()) {
        return; // it was said so before all of them: they were late, and the twin past them
    }
    // A reading of an earlier moment than the value that is there, and it did not change that: it was late.
    let is_late = is_reading && at < found.at() && changed_at < at && now_is != *value;
    let gone: Object = [(name, Json::Null)].into_iter().collect();
    properties.merge(&gone, at.floor(), None);
    // It was made so by this event; or by a later one: then whether this one changed it nobody knows, and it did not.
    let (was, before) = match () {
        () if changed_at == at => return,
        () if changed_at < at || !is_said(changed_at) => (now_is, changed_at),
        () => (value.clone(), at.plus_millis(-1)),
    };
    set(properties, name, &was, before);
    if is_late {
        set(properties, name, &was, at.plus_millis(1)); // it was said again, later than this
    }
}

fn set(properties: &mut Properties, name: &str, value: &Json, at: ReadingTime) {
    match Scalar::from_json(value.clone()) {
        Some(value) => {
            let reading = Reading { name: name.into(), value, unit: None, quality_score: None };
            properties.read(&reading, at, Arrival { received: at.floor(), claimed: None });
        }
        None => properties.merge(&[(name, value.clone())].into_iter().collect(), at.floor(), None),
    }
}

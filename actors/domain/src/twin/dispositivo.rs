//! Seed 003's `dispositivo`: one input for all that its devices and its app say, because the mode says
//! which part of it counts.
//!
//! What it is on a twin:
//!
//! | there | here |
//! |---|---|
//! | `id`, `serial_number` | `number`, `serial_number` (the device's id is made of it, see [`id_of_serial`]) |
//! | `nombre`, `tipo`, `modelo`, `descripcion` | `name`, `type`, `model`, `description` |
//! | `estado` of a device | `reported.power`: `on` or `off` |
//! | `estado` that follows from an app's `encendido` | shown until the device reports; `reported` is the device's |
//! | `parametros` | `reported.parametros`, replaced as a whole; each value in it is a reading too |
//! | `configuracion` | `configuration`, merged by its first level |
//! | `configuracion.modo` | `mode`: `manual`, or `horario` for `schedule` |
//! | `configuracion.encendido` | in manual mode also `desired.power`, so that any device obeys |
//! | `configuracion.horarios` | also the `schedule` |
//! | `reclamado` | `claimed` |
//!
//! Every message and every PUT is one event, whose member `dispositivo` says which line of the device's log
//! it is and what `estado` was after it; `parametros` stand in its `reported`, or beside where nobody sent
//! any. So the log and the live stream are read from the events, and nothing is kept twice.

mod horarios;
mod payload;
mod rules;
mod view;

pub use payload::{id_of_serial, serial_number};
pub use view::Moment;

use self::rules::{Decided, Rule, Said};
use super::change::schedule;
use super::telemetry::too_large;
use super::{Change, NoTemplates, Outcome, Part, Patch, Refusal, Rejected, Twin, presence};
use crate::Mode;
use crate::cause::Cause;
use crate::clock::Timestamp;
use crate::event::{ChangeKind, EventBody};
use crate::json::{Json, Object};
use crate::reading::Reading;

/// The member of an event's patch that says it in this dialect.
pub(super) const ENTRY: &str = "dispositivo";
/// Where the profile keeps what was said last.
const LAST: &str = "dispositivo";

/// What a device or an app of seed 003 says.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispositivo {
    pub speaker: Speaker,
    /// Whose number it is; an app names the device otherwise.
    pub serial: Option<Box<str>>,
    /// `estado`: active or not; none where it was left out or was neither.
    pub active: Option<bool>,
    /// `encendido` beside it.
    pub on: Option<bool>,
    /// Replaced as a whole by whoever sends it.
    pub parameters: Option<Object>,
    /// Merged: `modo`, `encendido`, `horarios` and whatever else.
    pub configuration: Option<Object>,
    /// What the parameters measure.
    readings: Vec<Reading>,
    /// `name`, `type`, `model`, `description` as the twin calls them.
    profile: Object,
}

/// Who says it, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The device itself, over MQTT.
    Device,
    /// An app or a person, of a device that is there: a line of its log, as a device's message is.
    App,
    /// Somebody adds a device.
    Registration { claimed: bool },
    /// Somebody takes a device as theirs.
    Claim,
}

impl Twin {
    pub(super) fn dispositivo(
        &mut self,
        outcome: &mut Outcome,
        said: Dispositivo,
        now: Timestamp,
        cause: &Cause,
    ) -> Result<(), Refusal> {
        self.check_speaker(&said)?;
        let kind = said.speaker.kind();
        let is_measured = match said.speaker {
            Speaker::Device => true,
            // An app that sends a device back whole has measured nothing.
            Speaker::App => said.parameters.as_ref().is_some_and(|sent| *sent != self.parametros()),
            Speaker::Registration { .. } | Speaker::Claim => false,
        };
        let is_heard = said.speaker == Speaker::Device || is_measured;
        let mut readings = if is_measured { said.readings.clone() } else { Vec::new() };
        let speaker = said.speaker;
        let mut patch = self.compose(said, now)?;
        let nothing = Object::default();
        let reported = patch.reported().unwrap_or(&nothing);
        let without_room = self.without_room_beside(reported, &mut readings);
        if let Some((_, detail)) = without_room.first()
            && speaker == Speaker::App
        {
            return Err(too_large(detail));
        }
        outcome.rejected.extend(without_room.into_iter().map(Rejected::without_room));
        if !readings.is_empty()
            && let Some(Json::Object(mut entry)) = patch.note(ENTRY).cloned()
        {
            entry.insert("readings", true.into()); // the same message, which is counted once
            patch.set_note(ENTRY, entry.into());
        }
        if is_heard {
            self.come_online(outcome, presence::reason::HEARD, now, cause);
        }
        if !readings.is_empty() {
            self.happen(
                outcome,
                EventBody::Telemetry { readings, identity: None, claimed: None },
                now,
                cause,
            );
        }
        self.update(outcome, kind, patch, now, cause);
        Ok(())
    }

    fn check_speaker(&self, said: &Dispositivo) -> Result<(), Refusal> {
        match said.speaker {
            Speaker::Registration { .. } if !self.is_new() => {
                return Err(Refusal::Registered(self.id.clone()));
            }
            Speaker::Claim if self.claimed => return Err(Refusal::Claimed(self.id.clone())),
            _ => {}
        }
        let own = &self.profile.serial_number;
        match &said.serial {
            Some(serial) if !own.is_empty() && own != serial => Err(Refusal::Invalid {
                field: "serial_number".into(),
                detail: format!("device `{}` has the serial number `{own}`, not `{serial}`", self.id),
            }),
            _ => Ok(()),
        }
    }

    /// The whole change as one patch; nothing is changed yet.
    fn compose(&self, said: Dispositivo, now: Timestamp) -> Result<Patch, Refusal> {
        let sent = said.configuration.unwrap_or_default();
        let configured = sent.get("encendido").and_then(rules::on_or_off);
        let words = Said { estado: said.active, encendido: said.on, configured };
        let (rule, is_device) = (self.rule_after(&sent), said.speaker == Speaker::Device);
        let decided =
            if is_device { rule.of_device(words, self.estado()) } else { rule.of_app(words, self.estado()) };

        let mut patch = self.changed_profile(said.profile, said.serial);
        let configuration = self.changed_configuration(&sent, decided, words);
        let on = match configuration.get("encendido") {
            Some(on) => rules::on_or_off(on),
            None => configured.or(decided.encendido),
        };
        if let Some(on) = on.filter(|on| rule == Rule::Manual && self.is_to_be_told(*on, is_device)) {
            patch.insert("desired", one("power", power(on)));
        }
        if !configuration.is_empty() {
            patch.insert("configuration", configuration.into());
        }
        if let Some(horarios) = sent.get("horarios") {
            let said = schedule(&horarios::timetable(horarios), now);
            match said.map(|entries| entries.map_or(Json::Null, |entries| entries.to_json())) {
                Ok(entries) if entries == self.entries() => {}
                Ok(entries) => {
                    patch.insert("schedule", entries);
                }
                // A device is heard all the same: what it keeps as its timetable is shown as it says it.
                Err(_) if is_device => {}
                Err(refusal) => return Err(refusal),
            }
        }
        let mut patch = Change { patch }.into_patch(self, &NoTemplates, now)?;

        if let Some(mode) = sent.get("modo").and_then(rules::mode).filter(|mode| *mode != self.mode) {
            patch.extend([Part::Mode(mode), Part::ModeUntil(None)]);
        }
        match said.speaker {
            Speaker::Claim | Speaker::Registration { claimed: true } => {
                patch.set(Part::Claimed(true));
            }
            _ => {}
        }
        let mut reported = Object::default();
        // In manual mode an app says what is wanted: what is, the device says.
        if let Some(active) = decided.estado.filter(|_| is_device || rule != Rule::Manual) {
            reported.insert("power", power(active));
        }
        let mut entry = self.entry(said.speaker, decided.estado);
        let had = self.reported.get("parametros").map(|property| &property.value);
        match said.parameters.map(Json::Object).filter(|sent| is_device || Some(sent) != had) {
            Some(parameters) => {
                reported.insert("parametros", replacement(had, &parameters));
            }
            None => {
                entry.insert("parametros", self.parametros().into());
            }
        }
        if !reported.is_empty() {
            self.check_section("reported", &reported)?;
            patch.set(Part::Reported(reported));
        }
        patch.set_note(ENTRY, entry.into());
        Ok(patch)
    }

    fn entry(&self, speaker: Speaker, decided: Option<bool>) -> Object {
        let estado = match decided.or_else(|| self.estado()) {
            Some(true) => "activo",
            Some(false) => "inactivo",
            None => "desconocido",
        };
        let mut entry: Object = [("estado", estado.into())].into_iter().collect();
        if matches!(speaker, Speaker::Device | Speaker::App) {
            let number = i64::try_from(self.log_entries()).unwrap_or(i64::MAX).saturating_add(1);
            entry.insert("entry", number.into());
        }
        entry
    }

    /// The rule that holds now.
    fn rule(&self) -> Rule {
        self.rule_after(&Object::default())
    }

    /// The rule that holds once `sent` is merged into the configuration.
    fn rule_after(&self, sent: &Object) -> Rule {
        let mode = match sent.get("modo") {
            Some(modo) => rules::mode(modo),
            None if self.mode == Mode::Manual => Some(Mode::Manual),
            // Everyone begins in schedule mode: only who said so means it.
            None => self.configuration.get("modo").and_then(rules::mode).map(|_| Mode::Schedule),
        };
        match mode {
            Some(Mode::Manual) => Rule::Manual,
            Some(Mode::Schedule) => Rule::Horario,
            None => Rule::Free,
        }
    }

    /// The names that are others than before.
    fn changed_profile(&self, mut profile: Object, serial: Option<Box<str>>) -> Object {
        if let Some(serial) = serial {
            profile.insert("serial_number", Json::String(serial));
        }
        let changed = |name: &str, text: &Json| text.as_str() != Some(self.profile.text(name));
        let changed = profile.iter().filter(|(name, text)| changed(name, text));
        changed.map(|(name, text)| (name, text.clone())).collect()
    }

    /// The merge patch that brings what was sent, and what was decided, into the configuration.
    fn changed_configuration(&self, sent: &Object, decided: Decided, words: Said) -> Object {
        let mut sent = sent.clone();
        let is_said = words != Said::default() || self.configuration.get("encendido").is_some();
        if let Some(on) = decided.encendido.filter(|_| is_said) {
            sent.insert("encendido", on.into());
        }
        let mut patch = Object::default();
        for (name, value) in sent.iter() {
            let had = self.configuration.get(name);
            if had != Some(value) && (had.is_some() || *value != Json::Null) {
                patch.insert(name, replacement(had, value));
            }
        }
        patch
    }

    /// Must `desired` say so, for the device to become it? A device that says of itself what it is to be is
    /// told only where the twin wants something else.
    fn is_to_be_told(&self, on: bool, is_device: bool) -> bool {
        match self.desired.get("power") {
            Some(wanted) => rules::on_or_off(&wanted.value) != Some(on),
            None => !is_device,
        }
    }

    fn entries(&self) -> Json {
        self.plan().map_or_else(|| Json::Array(Box::default()), super::Plan::entries)
    }

    /// Says in a change that came by another door what this dialect's devices look for: in which mode they
    /// are, and in manual mode whether they are to be on. Devices that never used the words are spared them.
    pub(super) fn tell_dispositivo(&self, patch: &mut Patch) {
        let mut words = patch.configuration().cloned().unwrap_or_default();
        let (had, mut said) = (words.len(), |name: &str, value: Json| {
            let kept = self.configuration.get(name);
            if words.get(name).is_none() && kept.is_some_and(|kept| *kept != value) {
                words.insert(name, value);
            }
        });
        let mode = patch.mode();
        if let Some(mode) = mode
            && self.configuration.get("modo").and_then(rules::mode).is_some()
        {
            said("modo", rules::modo(mode).into());
        }
        let wanted = patch.desired().and_then(|desired| desired.get("power"));
        if let Some(on) = wanted.and_then(rules::on_or_off)
            && mode.unwrap_or(self.mode) == Mode::Manual
        {
            said("encendido", on.into());
        }
        if words.len() > had {
            patch.set(Part::Configuration(words));
        }
    }
}

impl Dispositivo {
    /// Does it name the device by its serial number alone?
    #[must_use]
    pub fn goes_by_serial(&self) -> bool {
        self.speaker == Speaker::Device
    }
}

impl Speaker {
    fn kind(self) -> ChangeKind {
        match self {
            Self::Device => ChangeKind::Reported,
            Self::App => ChangeKind::Updated,
            Self::Registration { .. } => ChangeKind::Registered,
            Self::Claim => ChangeKind::Claimed,
        }
    }
}

/// Is this the second event of one message, the readings being the first?
pub(super) fn came_with_readings(patch: &Patch) -> bool {
    patch.note(ENTRY).and_then(Json::as_object).is_some_and(|entry| entry.get("readings").is_some())
}

/// The merge patch after which `new` stands where `had` stood, whole: what is gone is named with null.
fn replacement(had: Option<&Json>, new: &Json) -> Json {
    let (Some(Json::Object(had)), Json::Object(new)) = (had, new) else { return new.clone() };
    let gone = had.iter().filter(|(name, _)| new.get(name).is_none());
    let mut patch: Object = gone.map(|(name, _)| (name, Json::Null)).collect();
    for (name, value) in new.iter() {
        patch.insert(name, replacement(had.get(name), value));
    }
    patch.into()
}

fn one(name: &str, value: Json) -> Json {
    Json::Object([(name, value)].into_iter().collect())
}

fn power(on: bool) -> Json {
    if on { "on".into() } else { "off".into() }
}

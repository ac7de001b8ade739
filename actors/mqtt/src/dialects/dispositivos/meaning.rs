//! The meaning of a message for the twin that it is about.

use super::NOTE;
use super::document::Dispositivo;
use super::horarios;
use super::rules::{Decided, ModeRule, OnOffWords, mode, on_or_off};
use super::view::{ADDED, DispositivoView};
use twinhub_domain::schedule::{BadSchedule, CompactSchedule};
use twinhub_domain::twin::{Change, Meaning, Speaker, Translation};
use twinhub_domain::{Json, Object, Refusal, Timestamp, Twin};

impl Translation for Dispositivo {
    fn note_name(&self) -> &'static str {
        NOTE
    }

    fn speaker(&self) -> Speaker {
        self.speaker
    }

    fn serial(&self) -> Option<&str> {
        self.serial.as_deref()
    }

    fn translate(&self, twin: &Twin, now: Timestamp) -> Result<Meaning, Refusal> {
        let (view, is_device) = (DispositivoView::of(twin), self.speaker == Speaker::Device);
        let nothing = Object::default();
        let sent = self.configuration.as_ref().unwrap_or(&nothing);
        let configured = sent.get("encendido").and_then(on_or_off);
        let words = OnOffWords { estado: self.active, encendido: self.on, configured };
        let rule = view.rule_after(sent);
        let decided = match is_device {
            // What it says it is, it is. What it is to be, apps alone say.
            true => Decided { estado: words.estado, encendido: None },
            false => rule.of_app(words, view.estado()),
        };

        let mut change = self.changed_profile(twin);
        let configuration = changed_configuration(twin, sent, decided, words);
        let on = match configuration.get("encendido") {
            Some(on) => on_or_off(on),
            None => configured.or(decided.encendido),
        };
        if let Some(on) = on.filter(|on| rule == ModeRule::Manual && is_to_be_told(twin, *on, is_device)) {
            change.insert("desired", Json::Object([("power", power(on))].into_iter().collect()));
        }
        if !configuration.is_empty() {
            change.insert("configuration", configuration.into());
        }
        match sent.get("horarios").map(|horarios| new_schedule(twin, horarios, now)) {
            Some(Ok(Some(schedule))) => {
                change.insert("schedule", schedule);
            }
            // A device is heard all the same: what it keeps as its timetable is shown as it says it.
            Some(Err(_)) if is_device => {}
            Some(Err(BadSchedule { field, detail })) => return Err(Refusal::Invalid { field, detail }),
            Some(Ok(None)) | None => {}
        }

        let is_measured = match self.speaker {
            Speaker::Device => true,
            // An app that sends a device back whole has measured nothing.
            Speaker::App => self.parameters.as_ref().is_some_and(|sent| *sent != view.parametros()),
            Speaker::Registration { .. } | Speaker::Claim => false,
        };
        let mut reported = Object::default();
        // In manual mode an app says what is wanted: what is, the device says.
        if let Some(active) = decided.estado.filter(|_| is_device || rule != ModeRule::Manual) {
            reported.insert("power", power(active));
        }
        let mut note = self.note(view, decided.estado);
        let had = view.sent_parametros();
        match self.parameters.clone().map(Json::Object).filter(|sent| is_device || Some(sent) != had) {
            Some(parameters) => {
                reported.insert("parametros", replacement(had, &parameters));
            }
            None => {
                note.insert("parametros", view.parametros().into());
            }
        }
        Ok(Meaning {
            change: Change { patch: change },
            mode: sent.get("modo").and_then(mode),
            reported,
            readings: if is_measured { self.readings.clone() } else { Vec::new() },
            is_heard: is_measured,
            note,
        })
    }
}

impl Dispositivo {
    /// The names that are others than before.
    fn changed_profile(&self, twin: &Twin) -> Object {
        let mut changed = self.profile.clone();
        if let Some(serial) = &self.serial {
            changed.insert("serial_number", Json::String(serial.clone()));
        }
        changed.retain(|name, text| text.as_str() != Some(twin.profile.text(name)));
        changed
    }

    fn note(&self, view: DispositivoView<'_>, decided: Option<bool>) -> Object {
        let estado = match decided.or_else(|| view.estado()) {
            Some(true) => "activo",
            Some(false) => "inactivo",
            None => "desconocido",
        };
        let mut note: Object = [("estado", estado.into())].into_iter().collect();
        if let Speaker::Registration { .. } = self.speaker {
            note.insert(ADDED, 1.into());
        }
        if matches!(self.speaker, Speaker::Device | Speaker::App) {
            let number = i64::try_from(view.log_entries()).unwrap_or(i64::MAX).saturating_add(1);
            note.insert("entry", number.into());
        }
        note
    }
}

/// The merge patch that brings what was sent, and what was decided, into the configuration.
fn changed_configuration(twin: &Twin, sent: &Object, decided: Decided, words: OnOffWords) -> Object {
    let mut sent = sent.clone();
    let is_said = words != OnOffWords::default() || twin.setup.configuration.get("encendido").is_some();
    if let Some(on) = decided.encendido.filter(|_| is_said) {
        sent.insert("encendido", on.into());
    }
    let mut patch = Object::default();
    for (name, value) in sent.iter() {
        let had = twin.setup.configuration.get(name);
        if had != Some(value) && (had.is_some() || *value != Json::Null) {
            patch.insert(name, replacement(had, value));
        }
    }
    patch
}

/// Must `desired` say so, for the device to become it? A device that says of itself what it is to be is
/// told only where the twin wants something else.
fn is_to_be_told(twin: &Twin, on: bool, is_device: bool) -> bool {
    match twin.desired.get("power") {
        Some(wanted) => on_or_off(&wanted.value) != Some(on),
        None => !is_device,
    }
}

/// The schedule that `horarios` ask for; none where the twin has it.
fn new_schedule(twin: &Twin, horarios: &Json, now: Timestamp) -> Result<Option<Json>, BadSchedule> {
    let timetable = horarios::timetable(horarios);
    if timetable == Json::Null {
        return Ok(Some(timetable)); // nothing is to be said of it any more: its template may
    }
    let is_same = match (CompactSchedule::parse(&timetable, now)?, twin.plan()) {
        (Some(asked), Some(had)) => asked.has_entries_of(had),
        (asked, had) => asked.is_none() && had.is_none(),
    };
    Ok((!is_same).then_some(timetable))
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

fn power(on: bool) -> Json {
    if on { "on".into() } else { "off".into() }
}

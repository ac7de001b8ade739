//! A twin as seed 003 sees it.

use super::NOTE;
use super::rules::{ModeRule, mode, modo, on_or_off};
use twinhub_domain::twin::Properties;
use twinhub_domain::{EventBody, Json, Mode, Object, Twin};

/// The properties that say more to a twin than to who looks at it through this window.
const NOT_PARAMETERS: [&str; 2] = ["power", "parametros"];

/// The member of a note that says that somebody added the device.
pub(super) const ADDED: &str = "agregado";

/// A twin in this dialect's words.
#[derive(Clone, Copy, Debug)]
pub struct DispositivoView<'a>(&'a Twin);

/// A device after an event, as far as the event says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DispositivoMoment {
    /// The number of the line in the device's log, from 1; none where it is none.
    pub entry: Option<u64>,
    /// `estado`; none: unknown.
    pub active: Option<bool>,
    /// `parametros`; none where the event says nothing of them.
    pub parameters: Option<Object>,
}

impl<'a> DispositivoView<'a> {
    #[must_use]
    pub fn of(twin: &'a Twin) -> Self {
        Self(twin)
    }

    /// `estado`: what an app or the device reported last; none: unknown.
    #[must_use]
    pub fn estado(self) -> Option<bool> {
        let noted = self.0.profile.note(NOTE).and_then(|note| note.get("estado")).and_then(on_or_off);
        match self.0.reported.get("power") {
            _ if self.0.profile.note_stands(NOTE, &self.0.reported) => noted,
            // A number is none of our words: a property of this name may well be in watts.
            Some(power) if !matches!(power.value, Json::Number(_)) => on_or_off(&power.value).or(noted),
            _ => noted,
        }
    }

    /// `parametros`: as they were sent last. Of a device that never sent any, what else it reports.
    #[must_use]
    pub fn parametros(self) -> Object {
        match self.sent_parametros() {
            Some(Json::Object(parameters)) => parameters.clone(),
            _ => others(&self.0.reported),
        }
    }

    /// `parametros` as they were sent last; none where nobody sent any.
    pub(super) fn sent_parametros(self) -> Option<&'a Json> {
        self.0.reported.get("parametros").map(|property| &property.value)
    }

    /// `configuracion`: as it is kept, with `modo` as it stands.
    #[must_use]
    pub fn configuracion(self) -> Object {
        let mut shown = self.0.setup.configuration.clone();
        match (shown.get("modo").map(mode), self.0.control.mode) {
            (None, Mode::Schedule) | (Some(None), _) => {} // nobody named one, or in words of their own
            (Some(Some(noted)), mode) if noted == mode => {}
            (_, mode) => {
                shown.insert("modo", modo(mode).into());
            }
        }
        shown
    }

    /// Somebody added it: what they left out is empty. A device that was only heard has names all the same.
    #[must_use]
    pub fn is_added(self) -> bool {
        self.0.profile.note(NOTE).is_some_and(|note| note.get(ADDED).is_some())
    }

    /// The number of lines of its log.
    #[must_use]
    pub fn log_entries(self) -> u64 {
        let entries = self.0.profile.note(NOTE).and_then(|note| note.get("entry"));
        entries.and_then(whole).unwrap_or_default()
    }

    /// The rule that holds once `sent` is merged into the configuration.
    pub(super) fn rule_after(self, sent: &Object) -> ModeRule {
        let mode = match sent.get("modo") {
            Some(modo) => mode(modo),
            None if self.0.control.mode == Mode::Manual => Some(Mode::Manual),
            // Everyone begins in schedule mode: only a message that says so means it.
            None => self.0.setup.configuration.get("modo").and_then(mode).map(|_| Mode::Schedule),
        };
        match mode {
            Some(Mode::Manual) => ModeRule::Manual,
            Some(Mode::Schedule) => ModeRule::Horario,
            None => ModeRule::Free,
        }
    }
}

impl DispositivoMoment {
    /// The moment that `body` says in this dialect; none where it says nothing in it.
    #[must_use]
    pub fn of(body: &EventBody) -> Option<Self> {
        let EventBody::Twin(change) = body else { return None };
        let note = change.note(NOTE)?;
        let reported = change.patch.reported();
        let parameters = note.get("parametros").or_else(|| reported?.get("parametros"));
        Some(Self {
            entry: note.get("entry").and_then(whole),
            active: note.get("estado").and_then(on_or_off),
            parameters: parameters.and_then(Json::as_object).map(|sent| {
                let mut parameters = Object::default();
                parameters.merge(sent); // without the nulls that took the former ones away
                parameters
            }),
        })
    }
}

fn others(reported: &Properties) -> Object {
    let shown = reported.iter().filter(|property| !NOT_PARAMETERS.contains(&&*property.name));
    shown.map(|property| (&*property.name, property.value.clone())).collect()
}

fn whole(value: &Json) -> Option<u64> {
    if let Json::Number(number) = value { number.as_str().parse().ok() } else { None }
}

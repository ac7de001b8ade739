//! A twin as seed 003 sees it.

use super::rules::{self, Rule, modo, on_or_off};
use super::{ENTRY, LAST};
use crate::Mode;
use crate::event::{EventBody, TwinChange};
use crate::json::{Json, Number, Object};
use crate::twin::{Properties, Twin};

/// The properties that say more to a twin than to who looks at it through this window.
const NOT_PARAMETERS: [&str; 2] = ["power", "parametros"];

/// What an event says of a device, as it was after it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moment {
    /// Which line of the device's log it is, from 1; none where it is none.
    pub entry: Option<u64>,
    /// `estado`; none: unknown.
    pub active: Option<bool>,
    /// `parametros`; none where the event says nothing of them.
    pub parameters: Option<Object>,
}

impl Twin {
    /// `estado`: what an app or the device said last; none: unknown.
    #[must_use]
    pub fn estado(&self) -> Option<bool> {
        let last = self.last_word();
        let said = last.and_then(|last| last.get("estado")).and_then(on_or_off);
        match self.reported.get("power") {
            power if last.is_some() && power.map(|power| power.at.millis()) == said_at(last) => said,
            // A number is none of our words: a property of this name may well be in watts.
            Some(power) if !matches!(power.value, Json::Number(_)) => on_or_off(&power.value).or(said),
            _ => said,
        }
    }

    /// `parametros`: as they were sent last. Of a device that never sent any, what else it reports.
    #[must_use]
    pub fn parametros(&self) -> Object {
        match self.reported.get("parametros").map(|property| &property.value) {
            Some(Json::Object(parameters)) => parameters.clone(),
            _ => others(&self.reported),
        }
    }

    /// `configuracion`: as it is kept, with `modo` and `encendido` as they stand.
    #[must_use]
    pub fn configuracion(&self) -> Object {
        let mut shown = self.configuration.clone();
        match (shown.get("modo").map(rules::mode), self.mode) {
            (None, Mode::Schedule) | (Some(None), _) => {} // nobody said, or in words of their own
            (Some(Some(said)), mode) if said == mode => {}
            (_, mode) => {
                shown.insert("modo", modo(mode).into());
            }
        }
        if self.rule() == Rule::Horario
            && shown.get("encendido").is_some()
            && let Some(active) = self.estado()
        {
            shown.insert("encendido", active.into());
        }
        shown
    }

    /// How many lines its log has.
    #[must_use]
    pub fn log_entries(&self) -> u64 {
        let entries = self.last_word().and_then(|last| last.get("entry"));
        entries.and_then(whole).unwrap_or_default()
    }

    /// What was said last in this dialect.
    fn last_word(&self) -> Option<&Object> {
        self.profile.more.get(LAST).and_then(Json::as_object)
    }

    /// Takes what an event says in this dialect: the last word, which line of the log it is, and when the
    /// power was reported that it stands over.
    pub(in crate::twin) fn redo_dispositivo(&mut self, entry: &Object) {
        let mut last = Object::default();
        let number = entry.get("entry").or_else(|| self.last_word()?.get("entry"));
        if let Some(number) = number {
            last.insert("entry", number.clone());
        }
        if let Some(estado) = entry.get("estado") {
            last.insert("estado", estado.clone());
        }
        if let Some(power) = self.reported.get("power") {
            last.insert("at", power.at.millis().into());
        }
        self.profile.more.insert(LAST, last.into());
    }
}

impl Moment {
    /// What `body` says in this dialect; none where it says nothing in it.
    #[must_use]
    pub fn of(body: &EventBody) -> Option<Self> {
        let EventBody::Twin(TwinChange { patch, .. }) = body else { return None };
        let entry = patch.note(ENTRY).and_then(Json::as_object)?;
        let reported = patch.reported();
        let parameters = entry.get("parametros").or_else(|| reported?.get("parametros"));
        Some(Self {
            entry: entry.get("entry").and_then(whole),
            active: entry.get("estado").and_then(on_or_off),
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
    shown.map(|property| (property.name.clone(), property.value.clone())).collect()
}

fn said_at(last: Option<&Object>) -> Option<i64> {
    last?.get("at").and_then(whole_number)?.parse().ok()
}

fn whole(value: &Json) -> Option<u64> {
    whole_number(value)?.parse().ok()
}

fn whole_number(value: &Json) -> Option<&str> {
    if let Json::Number(number) = value { Some(Number::as_str(number)) } else { None }
}

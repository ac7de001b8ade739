//! One entry of a schedule: its times, and its action.

use chrono_tz::Tz;

use super::expression::CronExpression;
use super::recurrence::Recurrence;
use super::{BadSchedule, ScheduleAction};
use crate::clock::Timestamp;
use crate::command::CommandRequest;
use crate::json::{Json, Object};

/// An entry that has been read.
#[derive(Clone, Debug)]
pub(super) struct ParsedEntry {
    pub recurrence: Recurrence,
    pub action: ScheduleAction,
    pub missed: MissedOccurrence,
    pub enabled: bool,
}

/// The treatment of a missed occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MissedOccurrence {
    Skip,
    RunOnce,
}

/// The fields of an entry. `next_runs` is shown by us; a document that comes back may hold it.
const FIELDS: [&str; 7] = ["cron", "timezone", "set", "command", "missed", "enabled", "next_runs"];

impl ParsedEntry {
    /// Reads the entry at `field` (`schedule[2]`) of the document. `zone` is for one that names none.
    ///
    /// # Errors
    /// Names the field of the entry that does not fit.
    pub fn read(json: &Json, field: &str, zone: Tz) -> Result<Self, BadSchedule> {
        let Json::Object(entry) = json else {
            return Err(BadSchedule::new(field, format!("expected an object, found {}", json.kind())));
        };
        if let Some((name, _)) = entry.iter().find(|(name, _)| !FIELDS.contains(name)) {
            return Err(BadSchedule::new(format!("{field}.{name}"), "there is no such field"));
        }
        let at = |name: &str| format!("{field}.{name}");
        let said = |name: &str| entry.get(name).filter(|value| **value != Json::Null);

        let cron = said("cron").ok_or_else(|| BadSchedule::new(at("cron"), "is needed"))?;
        let cron = cron.as_str().ok_or_else(|| expected(at("cron"), "a string", cron))?;
        let expression =
            CronExpression::parse(cron).map_err(|detail| BadSchedule::new(at("cron"), detail))?;
        let zone = said("timezone").map_or(Ok(zone), |name| self::zone(name, &at("timezone")))?;
        let action = match (said("set"), said("command")) {
            (Some(Json::Object(set)), None) if !set.is_empty() => ScheduleAction::Set(set.clone()),
            (Some(other), None) => return Err(expected(at("set"), "an object that is not empty", other)),
            (None, Some(Json::Object(command))) => {
                check_command(command, &at("command"))?;
                ScheduleAction::Command(command.clone())
            }
            (None, Some(other)) => return Err(expected(at("command"), "an object", other)),
            _ => return Err(BadSchedule::new(field, "needs exactly one of `set` and `command`")),
        };
        let missed = match said("missed") {
            None => MissedOccurrence::Skip,
            Some(word) => MissedOccurrence::parse(word)
                .ok_or_else(|| expected(at("missed"), "skip or run_once", word))?,
        };
        let enabled = match said("enabled") {
            None => true,
            Some(Json::Bool(enabled)) => *enabled,
            Some(other) => return Err(expected(at("enabled"), "a boolean", other)),
        };
        Ok(Self { recurrence: Recurrence { expression, zone }, action, missed, enabled })
    }

    /// The entry with every field but those that are as they are by default.
    pub fn to_compact(&self) -> Object {
        let mut entry = self.to_full();
        if self.recurrence.zone == Tz::UTC {
            entry.remove("timezone");
        }
        if self.missed == MissedOccurrence::Skip {
            entry.remove("missed");
        }
        if self.enabled {
            entry.remove("enabled");
        }
        entry
    }

    /// The entry with every field.
    pub fn to_full(&self) -> Object {
        let (name, action) = match &self.action {
            ScheduleAction::Set(set) => ("set", set),
            ScheduleAction::Command(command) => ("command", command),
        };
        [
            ("cron", Json::from(&*self.recurrence.expression.text)),
            ("timezone", Json::from(self.recurrence.zone.name())),
            (name, action.clone().into()),
            ("missed", Json::from(self.missed.as_str())),
            ("enabled", Json::from(self.enabled)),
        ]
        .into_iter()
        .collect()
    }

    /// The next occurrence after `moment`; none while it is not enabled.
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        self.recurrence.after(moment).filter(|_| self.enabled)
    }

    /// The last occurrence after `from` and up to and with `until`; none while it is not enabled.
    pub fn latest(&self, from: Timestamp, until: Timestamp) -> Option<Timestamp> {
        self.recurrence.latest(from, until).filter(|_| self.enabled)
    }
}

impl MissedOccurrence {
    fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::RunOnce => "run_once",
        }
    }

    fn parse(word: &Json) -> Option<Self> {
        [Self::Skip, Self::RunOnce].into_iter().find(|missed| word.as_str() == Some(missed.as_str()))
    }
}

/// The time zone of this name.
///
/// # Errors
/// There is none.
pub(super) fn zone(name: &Json, field: &str) -> Result<Tz, BadSchedule> {
    let name = name.as_str().ok_or_else(|| expected(field.to_owned(), "a string", name))?;
    name.parse().map_err(|_| {
        let shown: String = name.chars().take(64).collect();
        BadSchedule::new(field, format!("there is no time zone `{shown}`; names are like Europe/Madrid"))
    })
}

/// Looks at a command's fields alone: whether the device knows the command is not ours to say.
fn check_command(command: &Object, field: &str) -> Result<(), BadSchedule> {
    match CommandRequest::parse(command.clone()) {
        Ok(_) => Ok(()),
        Err((name, detail)) => Err(BadSchedule::new(format!("{field}.{name}"), detail)),
    }
}

/// Describes the value: text and numbers as they are, a larger one by its type.
fn expected(field: String, wanted: &str, found: &Json) -> BadSchedule {
    let shown = match found {
        Json::String(text) if text.len() <= 64 => format!("`{text}`"),
        Json::Number(number) if number.as_str().len() <= 64 => format!("`{}`", number.as_str()),
        other => other.kind().to_owned(),
    };
    BadSchedule::new(field, format!("expected {wanted}, found {shown}"))
}

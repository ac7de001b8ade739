//! The schedule of a twin: values to set and commands to send, by cron expressions in time zones.
//!
//! A [`CompactSchedule`] waits by the hundred thousand, so it is one text and two times; its entries are read when
//! one is due, shown or changed, and nothing read stays.

mod entry;
mod expression;
mod recurrence;
mod timetable;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use self::entry::{MissedOccurrence, ParsedEntry};
pub use self::recurrence::Recurrence;
pub use self::timetable::weekday;
use super::clock::{CLOCK_JUMP_MS, Timestamp};
use super::json::{Json, Object};

/// A schedule has at most this many entries.
pub const MOST_ENTRIES: usize = 100;

/// An occurrence up to this late, in ms, is on time: restarts and busy seconds are not worth a word.
pub const LATE_MS: i64 = 60_000;

/// A clock that is put back by more than this, in ms, was wrong before, and nothing that was done by it counts; by
/// less, it may be wrong now. No zone's clocks are changed by more than a day.
pub const CLOCK_WRONG_MS: i64 = 25 * 3_600_000;

/// The number of run times that are shown of an entry.
const SHOWN_RUNS: usize = 3;

/// The schedule of a twin, compact. It is never without entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompactSchedule {
    /// A JSON array of checked entries, without the fields that are as they are by default.
    entries: Box<str>,
    /// Everything up to here has been run or passed over.
    done: Timestamp,
    /// The first occurrence after `done`.
    next: Option<Timestamp>,
    /// The clock was put back, and these times come again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    again: Option<Box<RepeatedTimes>>,
}

/// The entries of a schedule as events carry them: checked, each in full. There may be none.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleEntries(Box<[Json]>);

/// Times that come again, because the clock was put back: after `from`, up to `until`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct RepeatedTimes {
    from: Timestamp,
    until: Timestamp,
}

/// The reason why a document is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {detail}")]
pub struct BadSchedule {
    /// The path of the error: `schedule[2].cron`.
    pub field: String,
    pub detail: String,
}

/// The action of an entry.
#[derive(Clone, Debug, PartialEq)]
pub enum ScheduleAction {
    /// A merge patch onto `desired`.
    Set(Object),
    /// A command as it was given, its fields checked.
    Command(Object),
}

/// An occurrence whose time has come.
#[derive(Clone, Debug, PartialEq)]
pub struct DueOccurrence {
    /// The entry's place in the schedule, from 0.
    pub entry: usize,
    /// The entry's expression, normalised.
    pub cron: Box<str>,
    /// Its planned time.
    pub at: Timestamp,
    pub action: ScheduleAction,
    /// Its planned time is more than [`LATE_MS`] ago.
    pub missed: bool,
}

/// The occurrences to run now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DueOccurrences {
    /// To be run, in the order of their times, then of their entries.
    pub runs: Vec<DueOccurrence>,
    /// Missed and not run, because the entry's `missed` is `skip`: the latest of each entry.
    pub skipped: Vec<DueOccurrence>,
    /// Once these are dealt with, [`CompactSchedule::passed`] takes this.
    pub done: Timestamp,
}

impl ScheduleEntries {
    /// Checks and normalises a schedule, as [`CompactSchedule::parse`] does.
    ///
    /// # Errors
    /// Names the field that does not fit.
    pub fn read(json: &Json, now: Timestamp) -> Result<Self, BadSchedule> {
        match CompactSchedule::parse(json, now)?.map(|plan| plan.entries()) {
            Some(Json::Array(entries)) => Ok(Self(entries)),
            _ => Ok(Self(Box::default())),
        }
    }

    /// Entries that were checked before they were stored; none where they make no sense any more.
    #[must_use]
    pub fn stored(json: &Json) -> Option<Self> {
        let Json::Array(entries) = json else { return None };
        CompactSchedule::parse(json, Timestamp::default()).ok()?;
        Some(Self(entries.clone()))
    }

    /// The entries, as an array.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::Array(self.0.clone())
    }

    /// The plan of them, set at `now`; none where there are none.
    #[must_use]
    pub fn plan(&self, now: Timestamp) -> Option<CompactSchedule> {
        CompactSchedule::parse(&self.to_json(), now).ok().flatten() // checked before
    }
}

impl CompactSchedule {
    /// Checks and normalises a schedule set at `now`: an array of entries, or a timetable by days
    /// (`{"lunes": [["07:00", true]]}`). None when it has no entries, and for null. The same input
    /// gives the same plan, and so do the entries of a plan.
    ///
    /// Occurrences up to `now` count as passed. An entry whose last occurrence is in the past is taken
    /// (it was there before, and is sent again with the rest); one that can never happen is not.
    ///
    /// # Errors
    /// Names the field that does not fit.
    pub fn parse(json: &Json, now: Timestamp) -> Result<Option<Self>, BadSchedule> {
        Self::parse_in(json, Tz::UTC.name(), now)
    }

    /// The same, where entries that name no time zone are in `zone`.
    ///
    /// # Errors
    /// Names the field that does not fit.
    pub fn parse_in(json: &Json, zone: &str, now: Timestamp) -> Result<Option<Self>, BadSchedule> {
        let zone = entry::zone(&zone.into(), "timezone")?;
        let rows = match json {
            Json::Null => return Ok(None),
            Json::Array(items) => number(items),
            Json::Object(timetable) => timetable::entries(timetable)?,
            other => {
                let detail =
                    format!("expected an array of entries or an object of days, found {}", other.kind());
                return Err(BadSchedule::new("schedule", detail));
            }
        };
        if rows.len() > MOST_ENTRIES {
            let detail = format!("{MOST_ENTRIES} entries at most, this has {}", rows.len());
            return Err(BadSchedule::new("schedule", detail));
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let entries: Vec<ParsedEntry> =
            rows.iter().map(|(field, row)| ParsedEntry::read(row, field, zone)).collect::<Result<_, _>>()?;
        let compact = entries.iter().map(|entry| entry.to_compact().into()).collect();
        let text = Json::Array(compact).to_string();
        Ok(Some(Self { entries: text.into(), done: now, next: first(&entries, now, None), again: None }))
    }

    /// Do both have the same entries, whatever of them was done?
    #[must_use]
    pub fn has_entries_of(&self, other: &Self) -> bool {
        self.entries == other.entries
    }

    /// The next deadline. None when every entry is off or over.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.next
    }

    /// True when [`CompactSchedule::due`] must be called: an entry is due, or the clock was put right and runs in its future are
    /// to be forgotten. Costs nothing.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.next.is_some_and(|next| next <= now) || self.floor(now) < self.done
    }

    /// The normalised entries, as an array: expressions in six fields (seven with years), every
    /// default filled in.
    #[must_use]
    pub fn entries(&self) -> Json {
        Json::Array(self.read().iter().map(|(_, entry)| entry.to_full().into()).collect())
    }

    /// The entries for people: each with `next_runs`, its next three run times after `now`, RFC 3339 UTC.
    #[must_use]
    pub fn document(&self, now: Timestamp) -> Json {
        let from = self.floor(now).max(now);
        let again = self.again_from(from);
        let show = |(_, entry): &(usize, ParsedEntry)| {
            let runs = std::iter::successors(after(entry, from, again), |at| after(entry, *at, again));
            let runs = runs.take(SHOWN_RUNS).map(|at| at.to_string().into()).collect();
            let mut shown = entry.to_full();
            shown.insert("next_runs", Json::Array(runs));
            shown.into()
        };
        Json::Array(self.read().iter().map(show).collect())
    }

    /// The occurrences to run at `now`, and those passed over. Of each entry the latest occurrence at most is run: on
    /// time whatever the entry's `missed`, later only where that is `run_once`.
    ///
    /// When the clock goes back, the schedule goes on from `now`. An entry that ran once in the time that comes again
    /// does not run again in it, one that ran more often does: an entry for every minute is not to be silent for two
    /// hours, and one for once a day is not to run twice. When it goes back by more than [`CLOCK_WRONG_MS`], the
    /// schedule starts over from `now`, without its past.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> DueOccurrences {
        let from = self.floor(now);
        let mut due = DueOccurrences { done: from.max(now), ..DueOccurrences::default() };
        if self.next.is_none_or(|next| next > now) {
            return due;
        }
        let on_time_after = now.plus_millis(-LATE_MS - 1);
        let again = self.again_from(from);
        for (index, entry) in self.read() {
            let latest =
                entry.latest(from, now).filter(|at| again.is_none_or(|again| !again.is_done(&entry, *at)));
            let Some(latest) = latest else { continue };
            let occurrence = |at, missed| DueOccurrence {
                entry: index,
                cron: entry.recurrence.expression.text.clone(),
                at,
                action: entry.action.clone(),
                missed,
            };
            let on_time = latest > on_time_after;
            if on_time || entry.missed == MissedOccurrence::RunOnce {
                due.runs.push(occurrence(latest, !on_time));
            }
            if entry.missed == MissedOccurrence::Skip {
                let skipped = if on_time { entry.latest(from, on_time_after) } else { Some(latest) };
                let skipped = skipped.filter(|at| again.is_none_or(|again| !again.is_done(&entry, *at)));
                due.skipped.extend(skipped.map(|at| occurrence(at, true)));
            }
        }
        due.runs.sort_by_key(|run| run.at); // stable: entries stay in order
        due.skipped.sort_by_key(|run| run.at);
        due
    }

    /// Everything up to `done` has been run or passed over. An earlier one than before means that the clock was put
    /// back; where that is by no more than [`CLOCK_JUMP_MS`], it changes nothing.
    pub fn passed(&mut self, done: Timestamp) {
        self.again = self.again_from(self.floor(done)).map(Box::new);
        self.done = self.floor(done).max(done);
        self.again = self.again.take().filter(|again| again.until > self.done);
        self.next =
            first(self.read().iter().map(|(_, entry)| entry), self.done, self.again.as_deref().copied());
    }

    /// The time up to which entries have run, for a clock at `now`: `now` when `done` lies ahead of it.
    fn floor(&self, now: Timestamp) -> Timestamp {
        if self.done > now.plus_millis(CLOCK_JUMP_MS) { now } else { self.done }
    }

    /// The times that come again where everything up to `from` is done; none where the clock was not put back, or so
    /// far that it was wrong.
    fn again_from(&self, from: Timestamp) -> Option<RepeatedTimes> {
        let before = self.again.as_deref().copied();
        if from >= self.done {
            return before;
        }
        let until = before.map_or(self.done, |before| before.until.max(self.done));
        let from = before.map_or(from, |before| before.from.min(from));
        (until.millis() - from.millis() <= CLOCK_WRONG_MS).then_some(RepeatedTimes { from, until })
    }

    /// The entries read anew, each with its place. They were checked when they were set: one that
    /// cannot be read any more, because its time zone was given up since, is left out.
    fn read(&self) -> Vec<(usize, ParsedEntry)> {
        let Ok(Json::Array(items)) = self.entries.parse() else { return Vec::new() };
        let entries =
            number(&items).into_iter().map(|(field, item)| ParsedEntry::read(&item, &field, Tz::UTC));
        entries.enumerate().filter_map(|(index, entry)| Some((index, entry.ok()?))).collect()
    }
}

impl RepeatedTimes {
    /// Was this occurrence of the entry the only one in the times that come again, and so done?
    fn is_done(self, entry: &ParsedEntry, at: Timestamp) -> bool {
        at > self.from
            && at <= self.until
            && entry.after(self.from) == Some(at)
            && entry.after(at).is_none_or(|next| next > self.until)
    }
}

impl BadSchedule {
    fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), detail: detail.into() }
    }
}

/// The items with their places: `schedule[2]`.
fn number(items: &[Json]) -> Vec<(String, Json)> {
    items.iter().enumerate().map(|(index, item)| (format!("schedule[{index}]"), item.clone())).collect()
}

/// The first occurrence after `moment` that is not done.
fn first<'a>(
    entries: impl IntoIterator<Item = &'a ParsedEntry>,
    moment: Timestamp,
    again: Option<RepeatedTimes>,
) -> Option<Timestamp> {
    entries.into_iter().filter_map(|entry| after(entry, moment, again)).min()
}

/// The entry's first occurrence after `moment` that is not done.
fn after(entry: &ParsedEntry, moment: Timestamp, again: Option<RepeatedTimes>) -> Option<Timestamp> {
    let at = entry.after(moment)?;
    if again.is_some_and(|again| again.is_done(entry, at)) { entry.after(at) } else { Some(at) }
}

#[cfg(test)]
mod tests;

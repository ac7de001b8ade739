//! Helpers that the schedule's tests share; the tests are in files by subject.

mod daylight;
mod expressions;
mod plans;
mod properties;
mod timetables;

use super::{BadSchedule, CompactSchedule};
use crate::clock::Timestamp;
use crate::json::Json;

/// The moment of an RFC 3339 text.
fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn json(text: &str) -> Json {
    text.parse().unwrap()
}

/// The plan of a schedule set at `now`.
fn plan(schedule: &str, now: &str) -> CompactSchedule {
    CompactSchedule::parse(&json(schedule), at(now)).unwrap().unwrap()
}

/// An entry that switches on.
fn switch(cron: &str, zone: &str) -> String {
    format!(r#"{{"cron":"{cron}","timezone":"{zone}","set":{{"power":"on"}}}}"#)
}

/// The refusal of a schedule.
fn refusal(schedule: &str) -> BadSchedule {
    CompactSchedule::parse(&json(schedule), at("2026-01-01T00:00:00Z")).unwrap_err()
}

/// The text at `key` of each item.
fn texts(items: &Json, key: &str) -> Vec<String> {
    let Json::Array(items) = items else { panic!("no array: {items}") };
    items
        .iter()
        .map(|item| item.as_object().unwrap().get(key).unwrap().as_str().unwrap().to_owned())
        .collect()
}

//! Placeholder while the real module is on its way.
use super::clock::Timestamp;
use super::json::{Json, Object};
use serde::{Deserialize, Serialize};
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    entries: Box<str>,
    done: Timestamp,
    next: Option<Timestamp>,
}
#[derive(Debug, thiserror::Error)]
#[error("`{field}`: {detail}")]
pub struct BadSchedule {
    pub field: String,
    pub detail: String,
}
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Set(Object),
    Command(Object),
}
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    pub entry: usize,
    pub cron: Box<str>,
    pub at: Timestamp,
    pub action: Action,
    pub missed: bool,
}
pub struct DueNow {
    pub runs: Vec<Due>,
    pub skipped: Vec<Due>,
    pub done: Timestamp,
}
impl Plan {
    pub fn parse(_json: &Json, _now: Timestamp) -> Result<Option<Self>, BadSchedule> {
        Ok(None)
    }
    pub fn next(&self) -> Option<Timestamp> {
        self.next
    }
    pub fn entries(&self) -> Json {
        Json::Null
    }
    pub fn document(&self, _now: Timestamp) -> Json {
        Json::Null
    }
    pub fn due(&self, now: Timestamp) -> DueNow {
        DueNow { runs: vec![], skipped: vec![], done: now }
    }
    pub fn passed(&mut self, done: Timestamp) {
        self.done = done;
    }
}

//! The readings of one type, the newest first, by the way that each of them leads to the one before.
//!
//! Where they lie close together, as those of a sensor that reports each second, a stretch of the history is read at
//! once; where many others lie between, they are looked up one by one. So the cost goes with the readings given, and
//! not with those that the hub has.

use std::collections::VecDeque;

use serde::Serialize;
use twinhub_domain::series::{Aggregate, HistoryQuery, StoredReading};
use twinhub_domain::{DeviceNumber, ReadingTime, Scalar, Timestamp, Twin};
use twinhub_mqtt::dialects::iamis::{gap_name, id_name};

/// A reading as this dialect shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct SensorDatum {
    pub id: i64,
    pub sensor_type: Box<str>,
    pub value: Scalar,
    pub unit: Box<str>,
    pub timestamp: Timestamp,
}

/// Readings that are asked for at once.
pub(super) const AT_ONCE: usize = 1_000;
/// Stored readings of a message: the value, its number, and the way to the one before.
const PARTS: usize = 3;
/// Readings that the pace is reckoned by.
const RECENT: usize = 16;
/// Messages between two readings of the type, up to which the stretch between is read at once: about as many lie in a
/// chunk of the history, which is read whole to find one.
const CLOSE: i64 = 256;

/// A walk through the readings of a type, from the newest on.
#[derive(Debug)]
pub(super) struct HistoryWalk {
    device: DeviceNumber,
    /// The names of a message's parts: the type, its numbers, its gaps.
    names: [String; PARTS],
    next: NextReading,
    /// Readings with this id or a higher one were given.
    given_from: i64,
    /// The number of readings given.
    given: usize,
    /// The last readings that were given, and their ids.
    recent: VecDeque<(i64, ReadingTime)>,
    /// The readings given that have the time of the last one.
    of_same_time: usize,
}

/// The place of the next reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextReading {
    At(ReadingTime),
    /// Somewhere before, as the last one does not say.
    UpTo(ReadingTime),
    /// It is not where it was said to be: the hub's clock was set back meanwhile, and the twin's times with it.
    Anywhere,
    Nowhere,
}

/// The parts of a message that were found.
#[derive(Default)]
struct DatumParts<'a> {
    value: Option<&'a StoredReading>,
    id: Option<i64>,
    gap: Option<&'a Scalar>,
}

impl HistoryWalk {
    /// A walk through the readings of this type; none where there never was one.
    pub(super) fn new(twin: &Twin, sensor_type: &str) -> Option<Self> {
        let last = twin.reported.get(&id_name(sensor_type))?;
        Some(Self {
            device: twin.number,
            names: [sensor_type.to_owned(), id_name(sensor_type), gap_name(sensor_type)],
            next: NextReading::At(last.at()),
            given_from: i64::MAX,
            given: 0,
            recent: VecDeque::new(),
            of_same_time: 0,
        })
    }

    /// The query for the next readings, of which `wanted` are wanted; none at the end of the walk.
    pub(super) fn query(&self, wanted: usize) -> Option<HistoryQuery> {
        let wanted = wanted.clamp(1, AT_ONCE);
        let (from, to, passed) = match self.next {
            NextReading::At(at) => (Some(at.plus_millis(-self.span_ms(wanted))), Some(at), self.of_same_time),
            NextReading::UpTo(at) => (None, Some(at), self.of_same_time),
            NextReading::Anywhere => (None, None, self.given.saturating_add(AT_ONCE)), // and some that are new
            NextReading::Nowhere => return None,
        };
        Some(HistoryQuery {
            device: self.device,
            from,
            to: to.map(ReadingTime::next),
            sensors: self.names.to_vec(),
            min_quality: None,
            limit: PARTS.saturating_mul(wanted.saturating_add(passed)),
            newest_first: true,
            interval: None,
            aggregate: Aggregate::default(),
        })
    }

    /// Is there nothing behind the readings given?
    pub(super) fn is_over(&self) -> bool {
        self.next == NextReading::Nowhere
    }

    /// The readings that the answer to the query has; the walk goes on behind them. `kept_from`: readings before it may
    /// have been deleted.
    pub(super) fn take(&mut self, found: &[StoredReading], kept_from: Option<Timestamp>) -> Vec<SensorDatum> {
        let mut given = Vec::new();
        if self.next == NextReading::Anywhere {
            given.extend(self.take_last(found));
        }
        for message in found.chunk_by(|one, other| one.seq == other.seq) {
            let DatumParts { value: Some(value), id: Some(id), gap } = self.parts(message) else {
                continue;
            };
            let at = value.timestamp;
            match self.next {
                NextReading::At(expected) if at < expected => break,
                NextReading::At(expected) if at > expected => continue,
                NextReading::Nowhere => break,
                _ if id >= self.given_from => continue,
                NextReading::At(_) | NextReading::UpTo(_) | NextReading::Anywhere => {}
            }
            given.push(self.give(id, value, gap));
        }
        if given.is_empty() {
            self.next = match self.next {
                NextReading::At(at) if kept_from.is_none_or(|from| at >= from.into()) => {
                    NextReading::Anywhere
                }
                _ => NextReading::Nowhere,
            };
        }
        given
    }

    /// The reading that came last of those found and not given yet.
    fn take_last(&mut self, found: &[StoredReading]) -> Option<SensorDatum> {
        let messages = found.chunk_by(|one, other| one.seq == other.seq).map(|message| self.parts(message));
        let left = messages.filter(|parts| parts.id.is_some_and(|id| id < self.given_from));
        let last = left.filter(|parts| parts.value.is_some()).max_by_key(|parts| parts.id)?;
        let (value, id) = last.value.zip(last.id)?;
        Some(self.give(id, value, last.gap))
    }

    /// Gives a reading; the walk goes on behind it.
    fn give(&mut self, id: i64, value: &StoredReading, gap: Option<&Scalar>) -> SensorDatum {
        let at = value.timestamp;
        self.next = match gap {
            Some(Scalar::Number(gap)) => match gap.as_whole().and_then(|gap| i64::try_from(gap).ok()) {
                Some(gap) => NextReading::At(at.plus_millis(gap.saturating_neg())),
                None => NextReading::UpTo(at),
            },
            Some(_) => NextReading::Nowhere, // it is the first
            None => NextReading::UpTo(at),
        };
        self.note(id, at);
        SensorDatum {
            id,
            sensor_type: self.names[0].as_str().into(),
            value: value.value.clone(),
            unit: value.unit.as_deref().unwrap_or_default().into(),
            timestamp: at.floor(),
        }
    }

    fn note(&mut self, id: i64, at: ReadingTime) {
        let is_same_time = self.recent.back().is_some_and(|(_, last)| *last == at);
        self.of_same_time = if is_same_time { self.of_same_time + 1 } else { 1 };
        self.given_from = id;
        self.given += 1;
        self.recent.push_back((id, at));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// The parts of a message, without others that have one of the names.
    fn parts<'a>(&self, message: &'a [StoredReading]) -> DatumParts<'a> {
        let [value, id, gap] = &self.names;
        let mut parts = DatumParts::default();
        for reading in message {
            match &reading.value {
                _ if reading.sensor_type == *value => parts.value = Some(reading),
                Scalar::Number(number) if reading.sensor_type == *id => {
                    parts.id = number.as_whole().and_then(|number| i64::try_from(number).ok());
                }
                found if reading.sensor_type == *gap => parts.gap = Some(found),
                _ => {}
            }
        }
        parts
    }

    /// The stretch before the next reading in which `wanted` of them are likely to lie, in ms; none of it where too
    /// many others lie between them, or the pace is not known yet.
    fn span_ms(&self, wanted: usize) -> i64 {
        let (Some((first_id, first_at)), Some((last_id, last_at))) =
            (self.recent.front(), self.recent.back())
        else {
            return 0;
        };
        let steps = i64::try_from(self.recent.len()).unwrap_or(i64::MAX) - 1;
        let (messages, ms) =
            (first_id.saturating_sub(*last_id), first_at.floor().millis() - last_at.floor().millis());
        if steps == 0 || messages / steps > CLOSE || ms < 0 {
            return 0;
        }
        let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
        // A quarter more, as no sensor is that regular.
        ms.saturating_mul(wanted).saturating_mul(5) / (4 * steps)
    }
}

#[cfg(test)]
mod tests;

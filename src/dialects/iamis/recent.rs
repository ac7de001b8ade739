//! The last readings of the types that somebody asks for, kept in memory: a dashboard asks each second and for every
//! tile, and finds what it had before and one reading more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use twinhub_domain::{DeviceNumber, Timestamp};

use super::history::SensorDatum;

/// Readings of a type that are kept at most; a page that goes further down is read from the history.
pub(super) const MOST: usize = 1_000;
/// Types that are kept at most: some seven megabytes of readings.
const MOST_TYPES: usize = 64;

/// The last readings, by type.
#[derive(Debug, Default)]
pub(crate) struct RecentReadings(Mutex<RecentTypes>);

#[derive(Debug, Default)]
struct RecentTypes {
    by_type: HashMap<Box<str>, (RecentOfType, u64)>,
    /// The number of questions so far: which type was asked for last.
    asked: u64,
}

/// The last readings of one type, without a gap.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RecentOfType {
    device: DeviceNumber,
    /// The newest first.
    data: Arc<[SensorDatum]>,
    /// There are no others.
    is_whole: bool,
}

impl RecentReadings {
    /// The readings of a type that are kept, where they answer a question for so many.
    pub(super) fn of(&self, device: DeviceNumber, sensor_type: &str, wanted: usize) -> Option<RecentOfType> {
        let mut types = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        types.asked += 1;
        let asked = types.asked;
        let (recent, used) = types.by_type.get_mut(sensor_type)?;
        *used = asked;
        let is_enough = recent.is_whole || recent.data.len() >= wanted;
        (recent.device == device && is_enough).then(|| recent.clone())
    }

    /// Keeps the readings of a type, in the place of a type that nobody has asked for the longest.
    pub(super) fn keep(&self, sensor_type: &str, recent: RecentOfType) {
        let mut types = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if types.by_type.len() >= MOST_TYPES && !types.by_type.contains_key(sensor_type) {
            let oldest = types.by_type.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                types.by_type.remove(&oldest);
            }
        }
        let asked = types.asked;
        types.by_type.insert(sensor_type.into(), (recent, asked));
    }
}

impl RecentOfType {
    /// The first of these readings, which are the newest of their type.
    pub(super) fn new(device: DeviceNumber, data: &[SensorDatum], is_whole: bool) -> Self {
        let kept = data.get(..MOST).unwrap_or(data);
        Self { device, data: kept.into(), is_whole: is_whole && kept.len() == data.len() }
    }

    /// The id of the newest.
    pub(super) fn newest(&self) -> Option<i64> {
        self.data.first().map(|datum| datum.id)
    }

    /// These with `newer` ones before them; none where there may be others between them.
    pub(super) fn behind(&self, newer: &[SensorDatum]) -> Option<Self> {
        let newest = self.newest()?;
        let until = newer.iter().position(|datum| datum.id <= newest)?;
        if newer[until].id != newest {
            return None;
        }
        let all: Vec<SensorDatum> = newer[..until].iter().chain(&*self.data).cloned().collect();
        Some(Self::new(self.device, &all, self.is_whole))
    }

    /// A page of them, without those before `kept_from`.
    pub(super) fn page(&self, before: usize, limit: usize, kept_from: Option<Timestamp>) -> &[SensorDatum] {
        let kept = match kept_from {
            Some(from) => self.data.iter().take_while(|datum| datum.timestamp >= from).count(),
            None => self.data.len(),
        };
        let begin = before.min(kept);
        &self.data[begin..begin.saturating_add(limit).min(kept)]
    }
}

#[cfg(test)]
mod tests {
    use twinhub_domain::{Number, Scalar};

    use super::*;

    const DEVICE: DeviceNumber = DeviceNumber(1);

    fn data(ids: impl IntoIterator<Item = i64>) -> Vec<SensorDatum> {
        let datum = |id| SensorDatum {
            id,
            sensor_type: "t".into(),
            value: Scalar::Number(Number::from(id)),
            unit: "x".into(),
            timestamp: Timestamp::from_millis(id * 1_000),
        };
        ids.into_iter().map(datum).collect()
    }

    fn ids(data: &[SensorDatum]) -> Vec<i64> {
        data.iter().map(|datum| datum.id).collect()
    }

    #[test]
    fn newer_readings_are_joined_where_they_meet() {
        let recent = RecentOfType::new(DEVICE, &data([9, 7, 4]), true);
        let joined = |newer: &[i64]| {
            let joined = recent.behind(&data(newer.iter().copied()));
            joined.map(|joined| ids(joined.page(0, 100, None)))
        };
        assert_eq!(joined(&[12, 11, 9, 7]), Some(vec![12, 11, 9, 7, 4]));
        assert_eq!(joined(&[9]), Some(vec![9, 7, 4]));
        assert_eq!(joined(&[12, 11]), None, "there may be others between");
        assert_eq!(joined(&[12, 8]), None, "another history");
        assert_eq!(joined(&[]), None);
    }

    #[test]
    fn pages_end_where_readings_are_no_longer_kept() {
        let recent = RecentOfType::new(DEVICE, &data((1..=10).rev()), true);
        let page = |before, limit, from: Option<i64>| {
            ids(recent.page(before, limit, from.map(|from| Timestamp::from_millis(from * 1_000))))
        };
        assert_eq!(page(0, 3, None), [10, 9, 8]);
        assert_eq!(page(8, 3, None), [2, 1]);
        assert!(page(10, 3, None).is_empty());
        assert_eq!(page(0, usize::MAX, Some(7)), [10, 9, 8, 7]);
        assert!(page(usize::MAX, usize::MAX, None).is_empty());
    }

    #[test]
    fn what_is_kept_answers_for_as_many_as_there_are() {
        let all = RecentReadings::default();
        assert_eq!(all.of(DEVICE, "t", 1), None);
        all.keep("t", RecentOfType::new(DEVICE, &data([3, 2]), false));
        assert!(all.of(DEVICE, "t", 2).is_some());
        assert!(all.of(DEVICE, "t", 3).is_none(), "there may be more");
        assert!(all.of(DeviceNumber(2), "t", 2).is_none(), "it was removed, and another has its name");
        all.keep("t", RecentOfType::new(DEVICE, &data([3, 2]), true));
        assert!(all.of(DEVICE, "t", 3).is_some());
        let many = RecentOfType::new(DEVICE, &data((0..2_000).rev()), true);
        assert_eq!((many.data.len(), many.is_whole), (MOST, false));
    }

    #[test]
    fn types_that_nobody_asks_for_give_way() {
        let all = RecentReadings::default();
        for n in 0..MOST_TYPES * 2 {
            all.keep(&n.to_string(), RecentOfType::new(DEVICE, &data([1]), true));
            assert!(all.of(DEVICE, "0", 1).is_some(), "it is asked for all the time");
            assert!(all.of(DEVICE, &n.to_string(), 1).is_some(), "{n}");
        }
        assert!(all.of(DEVICE, "1", 1).is_none());
    }
}

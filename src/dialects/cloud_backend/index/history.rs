//! Readings of sensors as the store has them.

use std::collections::HashSet;

use twinhub_actors::HubError;
use twinhub_actors::access::Grant;
use twinhub_actors::messages::archive::RawHistory;
use twinhub_domain::series::{Aggregate, HistoryQuery, StoredReading};
use twinhub_domain::{DeviceId, DeviceNumber, ReadingTime, Timestamp};
use twinhub_mqtt::dialects::cloud_backend::CloudReading;
use twinhub_store::StoreError;

use super::book::SourceName;
use super::tally::WEEK_MS;
use super::{SensorIndex, TimedReading};

/// Values that are read at once.
const PAGE: usize = 20_000;
/// Values that are read at once at least: readings of other dialects may stand between those of a sensor.
const SMALLEST_PAGE: usize = 2_000;

/// A sensor whose history is counted.
pub(super) struct IndexedSensor {
    pub device: DeviceId,
    pub number: DeviceNumber,
    pub sensor_type: Box<str>,
}

/// The reason why histories were not read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryUnread {
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A stretch of a device's history, from `from` on and before `to`.
#[derive(Clone, Copy, Debug)]
pub struct HistoryStretch<'a> {
    pub device: &'a DeviceId,
    pub number: DeviceNumber,
    pub from: ReadingTime,
    pub to: ReadingTime,
}

impl HistoryStretch<'_> {
    /// The readings of sensors of these types in it, the newest first, `limit` at most.
    ///
    /// # Errors
    /// The caller may not read them, or the store does not answer.
    pub async fn read(
        self,
        hub: &Grant,
        sensor_types: &[Box<str>],
        limit: usize,
    ) -> Result<Vec<TimedReading>, HistoryUnread> {
        let names = sensor_types.iter().flat_map(|of| CloudReading::names(of)).collect();
        let most = CloudReading::names("").len(); // values of one message
        let size = limit.saturating_add(1).saturating_mul(most).clamp(SMALLEST_PAGE, PAGE);
        let mut pages = HistoryPages::of(self, names, size);
        let mut readings = Vec::new();
        while readings.len() < limit
            && let Some(page) = pages.next(hub).await?
        {
            readings.extend(page);
        }
        readings.truncate(limit);
        Ok(readings)
    }

    fn reading(self, message: &[StoredReading]) -> Option<TimedReading> {
        let first = message.first()?;
        let named: Vec<_> = message
            .iter()
            .map(|value| (value.sensor_type.as_str(), &value.value, value.unit.as_deref()))
            .collect();
        let reading = CloudReading::of(self.device, &named)?;
        Some(TimedReading { id: first.seq, at: first.timestamp.floor(), reading })
    }

    fn query(self, sensors: Vec<String>, limit: usize) -> HistoryQuery {
        HistoryQuery {
            device: self.number,
            from: Some(self.from),
            to: Some(self.to),
            sensors,
            min_quality: None,
            limit,
            newest_first: true,
            interval: None,
            aggregate: Aggregate::default(),
        }
    }
}

/// The number of the reading of this moment: the last of them, where there are several.
pub(super) async fn number(
    hub: &Grant,
    device: DeviceNumber,
    sensor_type: &str,
    at: ReadingTime,
) -> Result<u64, HistoryUnread> {
    let nobody = DeviceId::none();
    let stretch = HistoryStretch { device: &nobody, number: device, from: at, to: at.next() };
    let found = hub.ask(RawHistory(stretch.query(vec![sensor_type.to_owned()], 1))).await??;
    Ok(found.first().map_or(0, |last| last.seq))
}

/// Counts the readings of the last week, of messages up to the place `up_to`: later ones come from the feed.
pub(super) async fn count(
    index: &SensorIndex,
    hub: &Grant,
    sensors: Vec<IndexedSensor>,
    up_to: u64,
) -> Result<(), HistoryUnread> {
    for sensor in sensors {
        count_one(index, hub, &sensor, up_to).await?;
    }
    Ok(())
}

async fn count_one(
    index: &SensorIndex,
    hub: &Grant,
    sensor: &IndexedSensor,
    up_to: u64,
) -> Result<(), HistoryUnread> {
    let now = hub.now();
    let (from, to) = (now.plus_millis(-WEEK_MS).into(), Timestamp::from_millis(i64::MAX).into());
    let stretch = HistoryStretch { device: &sensor.device, number: sensor.number, from, to };
    let mut pages = HistoryPages::of(stretch, CloudReading::names(&sensor.sensor_type).into(), PAGE);
    while let Some(page) = pages.next(hub).await? {
        let mut book = index.book();
        for found in page.into_iter().filter(|found| found.id <= up_to) {
            let (source, anomaly) = (SourceName::of(&found.reading), found.reading.anomaly);
            book.count(&sensor.device, &sensor.sensor_type, source, (found.at, anomaly), now);
            if anomaly {
                book.note_anomaly(&sensor.device, &found, now);
            }
        }
    }
    Ok(())
}

/// The readings of a stretch, a page at a time, the newest first.
struct HistoryPages<'a> {
    /// The part that is still to be read.
    left: HistoryStretch<'a>,
    names: Vec<String>,
    /// Values of a page.
    size: usize,
    /// Messages of the moment at which the next page begins, which an earlier page had.
    had_there: HashSet<u64>,
    is_over: bool,
}

impl<'a> HistoryPages<'a> {
    fn of(stretch: HistoryStretch<'a>, names: Vec<String>, size: usize) -> Self {
        Self { left: stretch, names, size, had_there: HashSet::new(), is_over: false }
    }

    /// The next page; it may have no reading of a sensor. None: there is no more.
    async fn next(&mut self, hub: &Grant) -> Result<Option<Vec<TimedReading>>, HistoryUnread> {
        if self.is_over {
            return Ok(None);
        }
        let query = self.left.query(self.names.clone(), self.size);
        let mut stored = hub.ask(RawHistory(query)).await??;
        self.is_over = stored.len() < self.size;
        if !self.is_over {
            drop_last_message(&mut stored); // it may have been cut
        }
        let found = messages(&stored).filter_map(|message| self.left.reading(message));
        let found = found.filter(|found| !self.had_there.contains(&found.id)).collect();
        match stored.last().map(|oldest| oldest.timestamp) {
            Some(oldest) => {
                // The next page begins with this same moment, of which it may have more messages.
                let there = stored.iter().filter(|one| one.timestamp == oldest);
                self.had_there = there.map(|one| one.seq).collect();
                let behind = oldest.next();
                // A moment that fills a page by itself has no next page.
                self.left.to = if self.left.to == behind { oldest } else { behind };
            }
            None => self.is_over = true,
        }
        Ok(Some(found))
    }
}

/// The values of each message, which stand side by side.
fn messages(stored: &[StoredReading]) -> impl Iterator<Item = &[StoredReading]> {
    stored.chunk_by(|one, next| one.seq == next.seq && one.timestamp == next.timestamp)
}

fn drop_last_message(stored: &mut Vec<StoredReading>) {
    if let Some(last) = stored.last().map(|last| last.seq) {
        while stored.last().is_some_and(|one| one.seq == last) {
            stored.pop();
        }
    }
}

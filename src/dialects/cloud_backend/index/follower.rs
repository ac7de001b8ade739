//! The task that makes the index and keeps it true: the newest readings from the twins, the week's from their histories,
//! and whatever comes from the feed.

use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::FusedFuture as _;
use tokio::sync::broadcast::error::RecvError;
use tracing::warn;
use twinhub_actors::access::{ConfinedBatch, Grant};
use twinhub_actors::messages::archive::{ListDevices, Replay};
use twinhub_domain::event::{ChangeKind, EventBody};
use twinhub_domain::{DeviceNumber, Recorded, Twin};
use twinhub_mqtt::dialects::cloud_backend::{CloudReading, sensor_types};
use twinhub_store::DeviceQuery;

use super::history::{self, HistoryUnread, IndexedSensor};
use super::{IndexStage, SensorIndex, TimedReading};

/// Twins, and missed events, that are read at once.
const PAGE: usize = 500;

/// Makes the index in a task of its own. It ends with the hub; where the store fails, it ends too, and the next request
/// begins anew.
pub(super) fn start(index: Arc<SensorIndex>, hub: Grant) {
    actix_rt::spawn(async move {
        if let Err(error) = follow(&index, &hub).await {
            warn!(%error, "the index of sensors is made anew with the next request for it");
        }
        index.end();
    });
}

async fn follow(index: &SensorIndex, hub: &Grant) -> Result<(), HistoryUnread> {
    let mut feed = hub.subscribe().await?;
    let begin = feed.seq;
    let sensors = read_newest(index, hub).await?;
    index.reach_seq(begin);
    index.reach(IndexStage::Newest);
    let mut counting = pin!(history::count(index, hub, sensors, begin).fuse());
    let mut cursor = begin;
    loop {
        let batch = tokio::select! {
            batch = feed.recv() => batch,
            counted = &mut counting, if !counting.is_terminated() => {
                counted?;
                index.reach(IndexStage::Whole);
                continue;
            }
        };
        let ConfinedBatch { first, last, events } = match batch {
            Ok(batch) => batch,
            Err(RecvError::Lagged(_)) => continue, // the next batch shows by its place how much was missed
            Err(RecvError::Closed) => return Ok(()),
        };
        while cursor + 1 < first {
            let page = hub.ask(Replay { after: cursor, up_to: first - 1, limit: PAGE }).await??;
            take(index, hub, cursor, &page.events);
            // Places that are gone from the store were read with the histories, or are older than all of it.
            cursor = page.range.map_or(first - 1, |(_, last)| last);
        }
        take(index, hub, cursor, &events);
        cursor = cursor.max(last);
        index.reach_seq(cursor);
    }
}

/// Takes in the events that come after the place `after`.
fn take(index: &SensorIndex, hub: &Grant, after: u64, events: &[Arc<Recorded>]) {
    let mut book = index.book();
    for recorded in events.iter().filter(|recorded| recorded.seq > after) {
        let event = &recorded.event;
        match &event.body {
            EventBody::Telemetry { .. } => {
                if let Some(reading) = CloudReading::of_event(&event.device, &event.body) {
                    let heard = TimedReading { id: recorded.seq, at: event.at.floor(), reading };
                    book.hear(&event.device, heard, hub.now());
                }
            }
            EventBody::Twin(change) if change.change == ChangeKind::Deleted => book.forget(&event.device),
            _ => {}
        }
    }
}

/// Reads the newest reading of each sensor from the twins, and gives the sensors.
async fn read_newest(index: &SensorIndex, hub: &Grant) -> Result<Vec<IndexedSensor>, HistoryUnread> {
    let (mut sensors, mut from) = (Vec::new(), DeviceNumber(i64::MIN));
    loop {
        let limit = PAGE as u64;
        let query =
            DeviceQuery { numbers: Some((from, DeviceNumber(i64::MAX))), limit, ..DeviceQuery::default() };
        let twins = hub.ask(ListDevices(query)).await??.twins;
        for twin in &twins {
            sensors.extend(read_twin(index, hub, twin).await?);
        }
        match twins.last() {
            Some(last) if twins.len() == PAGE => from = DeviceNumber(last.number.0.saturating_add(1)),
            _ => return Ok(sensors),
        }
    }
}

async fn read_twin(
    index: &SensorIndex,
    hub: &Grant,
    twin: &Twin,
) -> Result<Vec<IndexedSensor>, HistoryUnread> {
    let mut sensors = Vec::new();
    for sensor_type in sensor_types(twin) {
        let (Some(reading), Some(property)) =
            (CloudReading::of_twin(twin, sensor_type), twin.reported.get(sensor_type))
        else {
            continue;
        };
        let id = history::number(hub, twin.number, sensor_type, property.at()).await?;
        index.book().recall(&twin.id, TimedReading { id, at: property.at().floor(), reading });
        sensors.push(IndexedSensor {
            device: twin.id.clone(),
            number: twin.number,
            sensor_type: sensor_type.into(),
        });
    }
    Ok(sensors)
}

//! The amount of a device's data, counted before it is removed.

use futures_util::TryStreamExt;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::SqlStore;
use super::chunks::{self, Stretch};
use super::entities::{alarm, command, event};
use super::rows::failed;
use super::{page, pieces, summaries};
use crate::{DeviceDataCounts, StoreError};
use twinhub_domain::{DeviceNumber, EventBody, Recorded};

const READ: &str = "count what a device has";

/// See [`crate::Store::extent`].
pub async fn extent(store: &SqlStore, device: DeviceNumber) -> Result<DeviceDataCounts, StoreError> {
    let events = event::Entity::find().filter(event::Column::Device.eq(device.0));
    let commands = command::Entity::find().filter(command::Column::Device.eq(device.0));
    let alarms = alarm::Entity::find().filter(alarm::Column::Device.eq(device.0));
    Ok(DeviceDataCounts {
        readings: readings(store, device).await?,
        events: page::count(store, READ, events, event::Column::Seq).await?,
        commands: page::count(store, READ, commands, command::Column::Id).await?,
        alarms: page::count(store, READ, alarms, alarm::Column::Id).await?,
    })
}

/// Chunks with a summary know how many readings are in them; all else is looked into.
async fn readings(store: &SqlStore, device: DeviceNumber) -> Result<u64, StoreError> {
    let view = store.memtable.view();
    let mut count = view.of_device(device).iter().map(|recorded| readings_of(recorded)).sum();
    let sql = chunks::snapshot(store, READ).await?;
    let pieces = pieces::stretches(pieces::in_time(device, None, None)).into_model::<Stretch>();
    let chunks = summaries::counted(chunks::in_time(device, None, None), view.after());
    for selected in [pieces, chunks] {
        let mut rows = selected.stream(&sql).await.map_err(failed(READ))?;
        while let Some(row) = rows.try_next().await.map_err(failed(READ))? {
            if row.body.is_empty() {
                count += summaries::count(READ, &row)?;
                continue;
            }
            let events = row.messages(READ)?;
            count += events.iter().filter(|e| e.seq <= view.after()).map(readings_of).sum::<u64>();
            tokio::task::yield_now().await; // a year of them is work for a second
        }
    }
    Ok(count)
}

fn readings_of(recorded: &Recorded) -> u64 {
    match &recorded.event.body {
        EventBody::Telemetry { readings, .. } => readings.len() as u64,
        _ => 0,
    }
}

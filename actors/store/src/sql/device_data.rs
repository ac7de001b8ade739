//! The amount of a device's data, counted before it is removed.

use futures_util::TryStreamExt;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::SqlStore;
use super::entities::{alarm, command, event};
use super::rows::{self, failed};
use super::{chunks, page};
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

/// A chunk knows its messages, and not how many readings are in them: it is looked into.
async fn readings(store: &SqlStore, device: DeviceNumber) -> Result<u64, StoreError> {
    let view = store.memtable.view();
    let mut count = view.of_device(device).iter().map(|recorded| readings_of(recorded)).sum();
    let mut rows = chunks::in_time(device, None, None).stream(&store.readers).await.map_err(failed(READ))?;
    while let Some(row) = rows.try_next().await.map_err(failed(READ))? {
        let events = rows::messages(READ, row.first_seq, &row.body)?;
        count += events.iter().filter(|e| e.seq <= view.after()).map(readings_of).sum::<u64>();
        tokio::task::yield_now().await; // a year of them is work for a second
    }
    Ok(count)
}

fn readings_of(recorded: &Recorded) -> u64 {
    match &recorded.event.body {
        EventBody::Telemetry { readings, .. } => readings.len() as u64,
        _ => 0,
    }
}

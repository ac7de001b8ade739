//! Messages to the archive: queries answered from the store, true to the last commit.

use std::sync::Arc;

use actix::Message;

use twinhub_domain::alarm::{Alarm, AlarmId};
use twinhub_domain::run::{RuleId, RunEntry, RunId};
use twinhub_domain::series::{Bucket, HistoryQuery, SeriesByName, StatisticsQuery, StoredReading};
use twinhub_domain::{CommandId, DeviceId, DeviceNumber, Recorded, Twin};
use twinhub_store::{
    AlarmPage, AlarmQuery, CommandPage, CommandQuery, CommandRecord, DeliveryPage, DeliveryQuery,
    DeviceDataCounts, DevicePage, DeviceQuery, EventQuery, JobDevicePage, JobDeviceQuery, RunPage, RunQuery,
    Store, StoreError,
};

/// A page of devices.
#[derive(Debug, Message)]
#[rtype(result = "Result<DevicePage, StoreError>")]
pub struct ListDevices(pub DeviceQuery);

/// Twins by serial number, or by id while they have none: the name in a claim.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<Twin>, StoreError>")]
pub struct FindSerial(pub String);

/// Asks whose a serial number is, or an id for want of one: another device may not have it.
#[derive(Debug, Message)]
#[rtype(result = "Result<SerialHolder, StoreError>")]
pub struct FindSerialHolder(pub String);

/// The device that a serial number belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SerialHolder {
    Nobody,
    Device(DeviceId),
    /// A device that the caller does not reach.
    Hidden,
}

/// The device whose token has this hash.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<DeviceId>, StoreError>")]
pub struct FindToken(pub String);

/// The device to which the certificate with this fingerprint is bound.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<DeviceId>, StoreError>")]
pub struct FindCertificate(pub String);

/// Raw readings of one device.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<StoredReading>, StoreError>")]
pub struct RawHistory(pub HistoryQuery);

/// The statistics of one device's readings, by name.
#[derive(Debug, Message)]
#[rtype(result = "Result<SeriesByName, StoreError>")]
pub struct ReadingStatistics(pub StatisticsQuery);

/// Readings of one device by clock-aligned interval.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Bucket>, StoreError>")]
pub struct BucketHistory(pub HistoryQuery);

/// Events of one device or all.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Arc<Recorded>>, StoreError>")]
pub struct FindEvents(pub EventQuery);

/// The extent of one device's data.
#[derive(Debug, Message)]
#[rtype(result = "Result<DeviceDataCounts, StoreError>")]
pub struct FindExtent(pub DeviceNumber);

/// A range of the sequence: events after `after`, up to and with `up_to`, `limit` at most.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<ReplayPage, StoreError>")]
pub struct Replay {
    pub after: u64,
    pub up_to: u64,
    pub limit: usize,
}

/// A page of the sequence.
#[derive(Clone, Debug, Default)]
pub struct ReplayPage {
    /// In order.
    pub events: Vec<Arc<Recorded>>,
    /// The first place that was read, and the last: events of devices that the caller does not reach are left out.
    pub range: Option<(u64, u64)>,
    /// The past asked for is gone: the first event still there has a `seq` above `after + 1`.
    pub pruned: bool,
}

/// The twins whose ids are listed, in no order; unknown ones are left out.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Twin>, StoreError>")]
pub struct LoadTwins(pub Vec<DeviceId>);

/// A page of commands.
#[derive(Debug, Message)]
#[rtype(result = "Result<CommandPage, StoreError>")]
pub struct ListCommands(pub CommandQuery);

/// A command, with its history.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<CommandRecord>, StoreError>")]
pub struct FindCommand(pub CommandId);

/// A page of runs of rules.
#[derive(Debug, Message)]
#[rtype(result = "Result<RunPage, StoreError>")]
pub struct ListRuns(pub RunQuery);

/// A run of a rule.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<RunEntry>, StoreError>")]
pub struct FindRun(pub RunId);

/// The last run of each of these rules.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<RunEntry>, StoreError>")]
pub struct LastRuns(pub Vec<RuleId>);

/// A page of alarms.
#[derive(Debug, Message)]
#[rtype(result = "Result<AlarmPage, StoreError>")]
pub struct ListAlarms(pub AlarmQuery);

/// An alarm.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<Alarm>, StoreError>")]
pub struct FindAlarm(pub AlarmId);

/// A page of requests outward.
#[derive(Debug, Message)]
#[rtype(result = "Result<DeliveryPage, StoreError>")]
pub struct ListDeliveries(pub DeliveryQuery);

/// A page of a job's devices.
#[derive(Debug, Message)]
#[rtype(result = "Result<JobDevicePage, StoreError>")]
pub struct ListJobDevices(pub JobDeviceQuery);

/// Events of these devices, or of all, for a backtest.
#[derive(Debug, Message)]
#[rtype(result = "Result<PastEvents, StoreError>")]
pub struct FindPastEvents {
    pub devices: Option<Vec<DeviceNumber>>,
    pub after: u64,
    pub limit: usize,
}

/// A page of past events.
#[derive(Clone, Debug, Default)]
pub struct PastEvents {
    pub events: Vec<Arc<Recorded>>,
    /// The last place that was read, where there may be more: events of devices that the caller does not reach are
    /// left out.
    pub more_after: Option<u64>,
}

impl PastEvents {
    /// Reads a page of them.
    ///
    /// # Errors
    /// As [`Store::past`].
    pub async fn read(
        store: &(impl Store + ?Sized),
        FindPastEvents { devices, after, limit }: FindPastEvents,
    ) -> Result<Self, StoreError> {
        let events = store.past(devices.as_deref(), after, limit).await?;
        let more_after = events.last().filter(|_| events.len() >= limit).map(|last| last.seq);
        Ok(Self { events, more_after })
    }
}

/// Stops compaction: the hub shuts down.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StopCompaction;

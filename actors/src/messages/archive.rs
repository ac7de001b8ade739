//! What the archive is asked: all that is answered from the store, true to the last commit.

use std::sync::Arc;

use actix::Message;

use crate::domain::series::{Bucket, HistoryQuery, StoredReading};
use crate::domain::{CommandId, DeviceId, Recorded, Twin};
use crate::store::{
    CommandPage, CommandQuery, CommandRecord, DevicePage, DeviceQuery, EventQuery, Replayed, StoreError,
};

/// A page of devices.
#[derive(Debug, Message)]
#[rtype(result = "Result<DevicePage, StoreError>")]
pub struct ListDevices(pub DeviceQuery);

/// Twins by serial number, or by id while they have none: what a claim names.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<Twin>, StoreError>")]
pub struct FindSerial(pub String);

/// Raw readings of one device.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<StoredReading>, StoreError>")]
pub struct RawHistory(pub HistoryQuery);

/// Readings of one device by clock-aligned interval.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Bucket>, StoreError>")]
pub struct BucketHistory(pub HistoryQuery);

/// Events of one device or all.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Arc<Recorded>>, StoreError>")]
pub struct FindEvents(pub EventQuery);

/// A stretch of the sequence: events after `after`, up to and with `up_to`, `limit` at most.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Replayed, StoreError>")]
pub struct Replay {
    pub after: u64,
    pub up_to: u64,
    pub limit: usize,
}

/// The twins whose ids are listed, in no order; unknown ones are left out.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Twin>, StoreError>")]
pub struct LoadTwins(pub Vec<DeviceId>);

/// A page of commands.
#[derive(Debug, Message)]
#[rtype(result = "Result<CommandPage, StoreError>")]
pub struct ListCommands(pub CommandQuery);

/// A command, with what became of it.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<CommandRecord>, StoreError>")]
pub struct FindCommand(pub CommandId);

/// Put nothing into order any more: the hub goes down.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Rest;

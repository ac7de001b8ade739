//! The group commit: one transaction, one row for all readings in it.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter};

use super::entities::{chunk, command, device, event, journal, meta, outbox, tag, tombstone, twin};
use super::layers::{self, NamedLayers};
use super::rows::{self, failed, int};
use super::{SqlStore, automation, events, fleet, head, list_columns, write};
use crate::{Batch, StoreError, codec};
use twinhub_domain::{DeviceNumber, EventBody, Purpose, Timestamp, Twin};

const COMMIT: &str = "commit";

/// See [`crate::Store::commit`].
pub async fn commit(store: &SqlStore, batch: &Batch) -> Result<(), StoreError> {
    let row = journal_row(store, batch);
    let turn = store.writer.begin(COMMIT).await?;
    if let Some(row) = &row {
        if row.first_seq <= int(store.memtable.last()) {
            turn.abandon().await.map(drop)?;
            return Ok(()); // committed before, and answered so
        }
        if store.in_doubt.load(Ordering::Acquire) && already_there(turn.sql(), row).await? {
            let done = turn.abandon().await?;
            append(store, batch);
            store.in_doubt.store(false, Ordering::Release);
            drop(done);
            return Ok(());
        }
    } else {
        fence(store, turn.sql(), COMMIT).await?;
    }
    let first_seq = row.as_ref().map(|row| row.first_seq);
    let has_events = first_seq.is_some();
    let named = match write(store, turn.sql(), batch, row).await {
        Ok(named) => named,
        Err(error) => {
            drop(turn); // with nothing written
            return Err(conflict(store, first_seq).await.unwrap_or(error));
        }
    };
    // Set before, not after, so that a caller that goes away while we wait leaves the doubt behind.
    store.in_doubt.fetch_or(has_events, Ordering::AcqRel);
    let done = turn.finish().await?;
    named.are_durable(&store.layers);
    append(store, batch);
    if has_events {
        store.in_doubt.store(false, Ordering::Release);
    }
    drop(done); // only now may another write: the next compaction or commit finds the memtable complete
    Ok(())
}

/// Makes the store know of a durable batch.
fn append(store: &SqlStore, batch: &Batch) {
    store.memtable.append(&batch.events, &batch.removed);
    if !batch.removed.is_empty() {
        store.unused_layers.note_removal();
    }
}

fn journal_row(store: &SqlStore, batch: &Batch) -> Option<journal::Model> {
    let (first, last) = (batch.events.first()?, batch.events.last()?);
    let times = || batch.events.iter().map(|event| event.event.at.floor().millis());
    Some(journal::Model {
        first_seq: int(first.seq),
        last_seq: int(last.seq),
        at: batch.at.millis(),
        first_at: times().min().unwrap_or_default(),
        last_at: times().max().unwrap_or_default(),
        body: codec::encode(batch.events.iter().map(|event| &**event), &store.layers),
    })
}

/// After a commit of which it is not known whether it took place: did it?
async fn already_there(sql: &DatabaseTransaction, row: &journal::Model) -> Result<bool, StoreError> {
    let found = journal::Entity::find_by_id(row.first_seq).one(sql).await.map_err(failed(COMMIT))?;
    match found {
        None => Ok(false),
        Some(found) if found.last_seq == row.last_seq && found.body == row.body => Ok(true),
        Some(_) => Err(others_from(COMMIT, row.first_seq)),
    }
}

/// After a commit that failed: is it because another program has committed events in their place?
async fn conflict(store: &SqlStore, first_seq: Option<i64>) -> Option<StoreError> {
    let first_seq = first_seq?;
    let last = head::last_seq(&store.readers).await.ok()?;
    (last >= first_seq).then(|| others_from(COMMIT, first_seq))
}

/// Has another program committed events since this one did? Events run into those in their place; a batch without any
/// would write over that program's rows.
///
/// # Errors
/// Another program has committed events, or the database does not answer.
pub(super) async fn fence(
    store: &SqlStore,
    sql: &DatabaseTransaction,
    operation: &'static str,
) -> Result<(), StoreError> {
    if store.in_doubt.load(Ordering::Acquire) {
        return Ok(()); // they may be our own: the next events find out
    }
    let own = int(store.memtable.last());
    match head::last_seq(sql).await? {
        last if last > own => Err(others_from(operation, own + 1)),
        _ => Ok(()),
    }
}

fn others_from(operation: &'static str, seq: i64) -> StoreError {
    StoreError::Conflict { operation, detail: format!("other events are stored from {seq} on") }
}

async fn write(
    store: &SqlStore,
    sql: &DatabaseTransaction,
    batch: &Batch,
    journal: Option<journal::Model>,
) -> Result<NamedLayers, StoreError> {
    let named = layers::write(store, sql, batch).await?;
    write::insert(sql, "write journal", journal.into_iter().collect(), None).await?;
    let removed: HashMap<DeviceNumber, u64> =
        batch.removed.iter().map(|(seq, number)| (*number, *seq)).collect();
    remove(sql, &removed).await?;
    write_events(store, sql, batch, &removed).await?;
    write_twins(sql, &latest_twins(batch, &removed)).await?;
    write_commands(sql, batch, &removed).await?;
    let is_gone = |number| removed.contains_key(&number) || store.memtable.removed(number).is_some();
    automation::write(store, sql, &batch.automation, is_gone).await?;
    fleet::write(store, sql, &batch.fleet).await?;
    write_outbox(sql, batch).await?;
    Ok(named)
}

/// Of a twin that is there more than once, the last.
fn latest_twins<'a>(batch: &'a Batch, removed: &HashMap<DeviceNumber, u64>) -> Vec<(u64, &'a Twin)> {
    let mut latest: HashMap<DeviceNumber, (u64, &Twin)> = HashMap::new();
    for (seq, twin) in batch.twins.iter().filter(|(_, twin)| !removed.contains_key(&twin.number)) {
        let entry = latest.entry(twin.number).or_insert((*seq, twin));
        if *seq >= entry.0 {
            *entry = (*seq, twin);
        }
    }
    let mut twins: Vec<_> = latest.into_values().collect();
    twins.sort_unstable_by_key(|(_, twin)| twin.number);
    twins
}

async fn write_twins(sql: &DatabaseTransaction, twins: &[(u64, &Twin)]) -> Result<(), StoreError> {
    if twins.is_empty() {
        return Ok(());
    }
    let devices = twins.iter().map(|(_, twin)| rows::of_device(twin)).collect();
    list_columns::devices(sql, devices).await?;
    let states: Result<Vec<_>, _> = twins.iter().map(|(seq, twin)| rows::of_twin(*seq, 0, twin)).collect();
    // The `seq` up to which its readings are compacted stays as it is.
    write::twins(sql, states?, &[twin::Column::Seq, twin::Column::State]).await?;
    list_columns::tags(sql, twins).await
}

/// Everything that is no telemetry gets a row, so that it is found without the readings around it.
async fn write_events(
    store: &SqlStore,
    sql: &DatabaseTransaction,
    batch: &Batch,
    removed: &HashMap<DeviceNumber, u64>,
) -> Result<(), StoreError> {
    let rows = batch
        .events
        .iter()
        .filter(|recorded| !matches!(recorded.event.body, EventBody::Telemetry { .. }))
        .filter(|recorded| removed.get(&recorded.event.number).is_none_or(|seq| recorded.seq >= *seq))
        .map(|recorded| event::Model {
            seq: int(recorded.seq),
            device: recorded.event.number.0,
            kind: events::word(&recorded.event).to_owned(),
            at: recorded.event.at.floor().millis(),
            body: codec::encode([&**recorded], &store.layers),
        })
        .collect();
    write::insert(sql, "write events", rows, None).await
}

/// A row a command, in its present state; the request in it stays as it was.
async fn write_commands(
    sql: &DatabaseTransaction,
    batch: &Batch,
    removed: &HashMap<DeviceNumber, u64>,
) -> Result<(), StoreError> {
    let living = batch.commands.iter().filter(|record| !removed.contains_key(&record.number));
    let rows: Result<Vec<_>, _> = living.map(rows::of_command).collect();
    let overwrite = OnConflict::column(command::Column::Id)
        .update_columns([command::Column::Status, command::Column::Body])
        .to_owned();
    write::insert(sql, "write commands", rows?, Some(overwrite)).await
}

async fn remove(sql: &DatabaseTransaction, removed: &HashMap<DeviceNumber, u64>) -> Result<(), StoreError> {
    const REMOVE: &str = "remove device";
    for (device, seq) in removed {
        let (device, seq) = (device.0, int(*seq));
        twin::Entity::delete_by_id(device).exec(sql).await.map_err(failed(REMOVE))?;
        device::Entity::delete_by_id(device).exec(sql).await.map_err(failed(REMOVE))?;
        tag::Entity::delete_many()
            .filter(tag::Column::Device.eq(device))
            .exec(sql)
            .await
            .map_err(failed(REMOVE))?;
        chunk::Entity::delete_many()
            .filter(chunk::Column::Device.eq(device))
            .exec(sql)
            .await
            .map_err(failed(REMOVE))?;
        event::Entity::delete_many()
            .filter(event::Column::Device.eq(device))
            .filter(event::Column::Seq.lt(seq))
            .exec(sql)
            .await
            .map_err(failed(REMOVE))?;
        command::Entity::delete_many()
            .filter(command::Column::Device.eq(device))
            .exec(sql)
            .await
            .map_err(failed(REMOVE))?;
        automation::forget(sql, device).await?;
        let overwrite =
            OnConflict::column(tombstone::Column::Device).update_column(tombstone::Column::Seq).to_owned();
        write::insert(sql, REMOVE, vec![tombstone::Model { device, seq }], Some(overwrite)).await?;
    }
    Ok(())
}

async fn write_outbox(sql: &DatabaseTransaction, batch: &Batch) -> Result<(), StoreError> {
    const OUTBOX: &str = "write outbox";
    let rows = batch.outgoing.iter().map(|message| outbox::Model {
        id: int(message.id),
        topic: message.topic.clone(),
        payload: message.payload.to_vec(),
        retain: message.retain,
        until: message.until.map(Timestamp::millis),
        purpose: message.purpose.as_deref().map(Purpose::to_string),
    });
    // A batch without events may come again: what it brought is there then.
    let keep = OnConflict::column(outbox::Column::Id).do_nothing().to_owned();
    write::insert(sql, OUTBOX, rows.collect(), Some(keep)).await?;
    if let Some(largest) = batch.outgoing.iter().map(|message| message.id).max() {
        write::meta(sql, meta::OUTGOING, int(largest)).await?;
    }
    for sent in batch.sent.chunks(write::AT_ONCE) {
        outbox::Entity::delete_many()
            .filter(outbox::Column::Id.is_in(sent.iter().map(|id| int(*id))))
            .exec(sql)
            .await
            .map_err(failed(OUTBOX))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::contract::support::{Fixture, TestFleet, history, open};
    use crate::{RetainedStore as _, Store};
    use twinhub_domain::retained::{RetainedChange, RetainedMessage};

    /// A commit's answer got lost, and it took place or not: the next try finds out.
    #[tokio::test]
    async fn a_doubtful_commit_is_looked_up() {
        for took_place in [false, true] {
            let fixture = Fixture::sql().await;
            let store = open(&fixture).await;
            let mut world = TestFleet::new();
            world.tell("a", r#"{"t": 1}"#);
            let batch = world.batch();
            if took_place {
                fixture.commit(&batch).await; // by another hand: `store` knows nothing of it
            }
            store.in_doubt.store(true, Ordering::Release);
            store.commit(&batch).await.unwrap();
            assert!(!store.in_doubt.load(Ordering::Acquire));
            let device = world.number("a");
            assert_eq!(store.raw_history(&history(device)).await.unwrap().len(), 1, "{took_place}");
            assert_eq!(store.load(&[world.twins["a"].id.clone()]).await.unwrap(), [world.twins["a"].clone()]);
        }
    }

    #[tokio::test]
    async fn other_events_in_the_place_of_a_doubtful_commit_are_refused() {
        let fixture = Fixture::sql().await;
        let store = open(&fixture).await;
        let (mut world, mut other) = (TestFleet::new(), TestFleet::new());
        world.tell("a", r#"{"t": 1}"#);
        other.tell("a", r#"{"t": 2}"#);
        fixture.commit(&world.batch()).await;
        store.in_doubt.store(true, Ordering::Release);
        let error = store.commit(&other.batch()).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    }

    /// A batch without events (messages that were sent, retained ones) writes over nothing either.
    #[tokio::test]
    async fn who_was_overtaken_writes_nothing_any_more() {
        let fixture = Fixture::sql().await;
        let store = open(&fixture).await;
        let mut world = TestFleet::new();
        world.tell("a", r#"{"t": 1}"#);
        store.commit(&world.batch()).await.unwrap();
        world.send("x");
        store.commit(&world.batch()).await.unwrap();
        let keep = |payload: &'static str| {
            vec![RetainedChange::Keep(Arc::new(RetainedMessage {
                topic: "t".into(),
                payload: payload.into(),
                qos: 1,
                properties: "".into(),
                stored_at: Timestamp::from_millis(0),
                expires_at: None,
            }))]
        };
        store.change_retained(&keep("ours")).await.unwrap();

        let other = open(&fixture).await;
        world.tell("a", r#"{"t": 2}"#);
        other.commit(&world.batch()).await.unwrap();
        let first = other.outgoing().await.unwrap()[0].id;
        world.sent(first);
        let batch = world.batch();
        assert!(batch.events.is_empty());
        let error = store.commit(&batch).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
        let error = store.change_retained(&keep("stale")).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
        assert_eq!(other.outgoing().await.unwrap().len(), 1);
        assert_eq!(&*other.retained().await.unwrap()[0].payload, b"ours");
        // Whether they are its own is found out by the next events.
        store.in_doubt.store(true, Ordering::Release);
        store.change_retained(&keep("in doubt")).await.unwrap();
        other.commit(&batch).await.unwrap();
        assert_eq!(other.outgoing().await.unwrap(), []);
    }

    #[tokio::test]
    async fn events_of_another_writer_are_a_conflict_and_other_failures_are_not() {
        let fixture = Fixture::sql().await;
        let store = open(&fixture).await;
        let (mut world, mut other) = (TestFleet::new(), TestFleet::new());
        world.tell("a", r#"{"t": 1}"#);
        other.tell("a", r#"{"t": 2}"#);
        let batch = other.batch();
        {
            let blocker = rusqlite::Connection::open(fixture.path()).unwrap();
            blocker.execute_batch("ALTER TABLE journal RENAME TO away").unwrap();
            let error = store.commit(&batch).await.unwrap_err();
            assert!(matches!(error, StoreError::Failed { .. }), "{error}");
            blocker.execute_batch("ALTER TABLE away RENAME TO journal").unwrap();
        }
        fixture.commit(&world.batch()).await;
        let error = store.commit(&batch).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    }
}

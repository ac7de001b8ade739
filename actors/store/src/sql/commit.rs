//! The group commit: one transaction, one row for all readings in it.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait, Statement,
};

use super::entities::{command, device, event, journal, meta, outbox, tag, tombstone, twin};
use super::layers::{self, NamedLayers};
use super::rows::{self, failed, int};
use super::write::WriteSql;
use super::write_thread::Fence;
use super::{SqlStore, automation, chunks, events, fleet, head, list_columns, write};
use crate::{Batch, BatchPlace, StoreError, codec};
use twinhub_domain::{DeviceNumber, EventBody, Purpose, Timestamp, Twin};

const COMMIT: &str = "commit";

/// See [`crate::Store::commit`].
pub async fn commit(store: &SqlStore, batch: &mut Batch) -> Result<BatchPlace, StoreError> {
    let turn = store.writer.gather(COMMIT).await?;
    if store.commit_places.is_committed(batch) {
        return Ok(batch.place()); // committed before, and answered so
    }
    store.commit_places.place(batch, store.memtable.last());
    let row = journal_row(store, batch);
    let is_doubted = store.in_doubt.load(Ordering::Acquire);
    if let Some(row) = &row
        && is_doubted
        && already_there(turn.reads(), row).await?
    {
        append(store, batch);
        store.in_doubt.store(false, Ordering::Release);
        return Ok(batch.place());
    }
    let first_seq = row.as_ref().map(|row| row.first_seq);
    // Events run into another program's in their place; a batch without any would write over that program's rows. While
    // it is in doubt whose they are, the next events find out.
    let fence = (first_seq.is_none() && !is_doubted).then(|| fence_at(store.memtable.last()));
    let named = write(store, &turn, batch, row).await?;
    // Set before, not after, so that a caller that goes away while we wait leaves the doubt behind.
    store.in_doubt.fetch_or(first_seq.is_some(), Ordering::AcqRel);
    let (done, result) = turn.finish(fence).await;
    match result {
        Ok(()) => {}
        Err(error @ StoreError::Unknown { .. }) => return Err(error),
        Err(error) => {
            store.in_doubt.store(is_doubted, Ordering::Release); // nothing was done
            drop(done);
            return Err(conflict(store, first_seq).await.unwrap_or(error));
        }
    }
    named.are_durable(&store.layers);
    append(store, batch);
    if first_seq.is_some() {
        store.in_doubt.store(false, Ordering::Release);
    }
    drop(done); // only now may another write: the next compaction or commit finds the memtable complete
    Ok(batch.place())
}

/// Makes the store know of a durable batch.
fn append(store: &SqlStore, batch: &Batch) {
    store.memtable.append(&batch.events, &batch.removed);
    store.commit_places.note_committed(batch);
    if !batch.removed.is_empty() {
        store.unused_layers.note_gone();
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

/// The text is built once: most commits are this one statement.
fn insert_journal(row: journal::Model) -> Statement {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let row =
            journal::Model { first_seq: 0, last_seq: 0, at: 0, first_at: 0, last_at: 0, body: Vec::new() };
        journal::Entity::insert(row.into_active_model()).build(DbBackend::Sqlite).sql
    });
    let journal::Model { first_seq, last_seq, at, first_at, last_at, body } = row;
    let values = [first_seq.into(), last_seq.into(), at.into(), first_at.into(), last_at.into(), body.into()];
    Statement::from_sql_and_values(DbBackend::Sqlite, &*SQL, values)
}

/// After a commit of which it is not known whether it took place: did it?
async fn already_there(sql: &impl ConnectionTrait, row: &journal::Model) -> Result<bool, StoreError> {
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

/// A fence against another program that has committed events since this one did.
pub(super) fn fence_at(own: u64) -> Fence {
    let query = journal::Entity::find()
        .select_only()
        .column(journal::Column::LastSeq)
        .order_by_desc(journal::Column::FirstSeq)
        .limit(1)
        .build(DbBackend::Sqlite);
    Fence { query, most: int(own), refusal: others_from(COMMIT, int(own) + 1) }
}

/// Has another program committed events since this one did? Where ours are in doubt, the next events find out.
///
/// # Errors
/// Another program has committed events, or the database does not answer.
pub(super) async fn fence(
    store: &SqlStore,
    sql: &DatabaseTransaction,
    operation: &'static str,
) -> Result<(), StoreError> {
    if store.in_doubt.load(Ordering::Acquire) {
        return Ok(());
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
    sql: &impl WriteSql,
    batch: &Batch,
    journal: Option<journal::Model>,
) -> Result<NamedLayers, StoreError> {
    let named = layers::write(store, sql, batch).await?;
    if let Some(journal) = journal {
        sql.take("write journal", insert_journal(journal)).await?;
    }
    let removed: HashMap<DeviceNumber, u64> =
        batch.removed.iter().map(|(seq, number)| (*number, *seq)).collect();
    remove(sql, &removed).await?;
    write_events(store, sql, batch, &removed).await?;
    let twins = latest_twins(batch, &removed);
    write_twins(sql, &twins).await?;
    write_commands(sql, batch, &removed).await?;
    let is_gone = |number| removed.contains_key(&number) || store.memtable.removed(number).is_some();
    automation::write(store, sql, &batch.automation, &twins, is_gone).await?;
    fleet::write(store, sql, &batch.fleet).await?;
    write_outbox(store, sql, batch).await?;
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

async fn write_twins(sql: &impl WriteSql, twins: &[(u64, &Twin)]) -> Result<(), StoreError> {
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
    sql: &impl WriteSql,
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
    sql: &impl WriteSql,
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

async fn remove(sql: &impl WriteSql, removed: &HashMap<DeviceNumber, u64>) -> Result<(), StoreError> {
    const REMOVE: &str = "remove device";
    for (device, seq) in removed {
        let (device, seq) = (device.0, int(*seq));
        sql.run(REMOVE, twin::Entity::delete_by_id(device)).await?;
        sql.run(REMOVE, device::Entity::delete_by_id(device)).await?;
        sql.run(REMOVE, tag::Entity::delete_many().filter(tag::Column::Device.eq(device))).await?;
        chunks::remove(sql, REMOVE, device).await?;
        let earlier = event::Entity::delete_many()
            .filter(event::Column::Device.eq(device))
            .filter(event::Column::Seq.lt(seq));
        sql.run(REMOVE, earlier).await?;
        sql.run(REMOVE, command::Entity::delete_many().filter(command::Column::Device.eq(device))).await?;
        automation::forget(sql, device).await?;
        let overwrite =
            OnConflict::column(tombstone::Column::Device).update_column(tombstone::Column::Seq).to_owned();
        write::insert(sql, REMOVE, vec![tombstone::Model { device, seq }], Some(overwrite)).await?;
    }
    Ok(())
}

async fn write_outbox(store: &SqlStore, sql: &impl WriteSql, batch: &Batch) -> Result<(), StoreError> {
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
    if !batch.outgoing.is_empty() {
        // Of all that were given: one that is tried again comes after later ones.
        write::meta(sql, meta::OUTGOING, int(store.commit_places.last_outgoing())).await?;
    }
    for sent in batch.sent.chunks(write::AT_ONCE) {
        let delivered = outbox::Column::Id.is_in(sent.iter().map(|id| int(*id)));
        sql.run(OUTBOX, outbox::Entity::delete_many().filter(delivered)).await?;
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
            let mut batch = world.batch();
            if took_place {
                fixture.commit(&mut batch).await; // by another hand: `store` knows nothing of it
            }
            store.in_doubt.store(true, Ordering::Release);
            store.commit(&mut batch).await.unwrap();
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
        fixture.commit(&mut world.batch()).await;
        store.in_doubt.store(true, Ordering::Release);
        let error = store.commit(&mut other.batch()).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    }

    /// A batch without events (messages that were sent, retained ones) writes over nothing either.
    #[tokio::test]
    async fn who_was_overtaken_writes_nothing_any_more() {
        let fixture = Fixture::sql().await;
        let store = open(&fixture).await;
        let mut world = TestFleet::new();
        world.tell("a", r#"{"t": 1}"#);
        store.commit(&mut world.batch()).await.unwrap();
        world.send("x");
        store.commit(&mut world.batch()).await.unwrap();
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
        other.commit(&mut world.batch()).await.unwrap();
        let first = other.outgoing().await.unwrap()[0].id;
        world.sent(first);
        let mut batch = world.batch();
        assert!(batch.events.is_empty());
        let error = store.commit(&mut batch).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
        let error = store.change_retained(&keep("stale")).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
        assert_eq!(other.outgoing().await.unwrap().len(), 1);
        assert_eq!(&*other.retained().await.unwrap()[0].payload, b"ours");
        // Whether they are its own is found out by the next events.
        store.in_doubt.store(true, Ordering::Release);
        store.change_retained(&keep("in doubt")).await.unwrap();
        other.commit(&mut batch).await.unwrap();
        assert_eq!(other.outgoing().await.unwrap(), []);
    }

    #[tokio::test]
    async fn events_of_another_writer_are_a_conflict_and_other_failures_are_not() {
        let fixture = Fixture::sql().await;
        let store = open(&fixture).await;
        let (mut world, mut other) = (TestFleet::new(), TestFleet::new());
        world.tell("a", r#"{"t": 1}"#);
        other.tell("a", r#"{"t": 2}"#);
        let mut batch = other.batch();
        {
            let blocker = rusqlite::Connection::open(fixture.path()).unwrap();
            blocker.execute_batch("ALTER TABLE journal RENAME TO away").unwrap();
            let error = store.commit(&mut batch).await.unwrap_err();
            assert!(matches!(error, StoreError::Failed { .. }), "{error}");
            blocker.execute_batch("ALTER TABLE away RENAME TO journal").unwrap();
        }
        fixture.commit(&mut world.batch()).await;
        let error = store.commit(&mut batch).await.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    }
}

//! The deletion of layers that no event names any more.
//!
//! # How it is known
//! A twin's row has its layer whole, and a template its own: a layer's row is for the events that name it. Those stand
//! in rows of their own as long as there is their device, and in the journal as long as that is kept. So a layer that
//! no event's row names is named by the journal at most, and there by no event after the last one when that was found:
//! a mark with this place says so. A commit with an event that names it takes the mark away. Once the journal begins
//! after the mark, the row goes.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entities::{event, fleet, meta};
use super::layers::KIND;
use super::rows::{failed, int, uint};
use super::write::{self, WriteSql};
use super::{SqlStore, events, head};
use crate::layers::LayerCache;
use crate::{StoreError, codec};
use twinhub_domain::{EventKind, Timestamp};

/// The interval between two looks at the events of all devices.
const LOOK_EVERY_MS: i64 = 24 * 60 * 60 * 1000;
/// Rows of events read at once. In tests few, so that a few make several pages.
const ROWS_AT_ONCE: u64 = if cfg!(test) { 3 } else { 500 };
/// Layers marked or deleted in one transaction; they have 64 KiB at most.
const LAYERS_AT_ONCE: usize = 50;
/// Before the name of a layer: the place in the sequence since which it is not used.
const MARK: &str = "layer_unused:";

const UNUSED: &str = "delete unused layers of templates";

/// The time of the next look.
pub struct UnusedLayerScan(Mutex<ScanState>);

struct ScanState {
    last: Option<Timestamp>,
    /// Events go with their devices, and when they are old. What went before the start is not known.
    are_events_gone: bool,
}

impl Default for UnusedLayerScan {
    fn default() -> Self {
        Self(Mutex::new(ScanState { last: None, are_events_gone: true }))
    }
}

impl UnusedLayerScan {
    /// Devices, or old events, are being removed.
    pub fn note_gone(&self) {
        self.state().are_events_gone = true;
    }

    /// No code in here can panic half way through a change.
    fn state(&self) -> MutexGuard<'_, ScanState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes in the marks.
pub async fn load(sql: &impl ConnectionTrait, layers: &LayerCache) -> Result<(), StoreError> {
    let marks = meta::Entity::find().filter(meta::Column::Name.starts_with(MARK)).all(sql).await;
    for row in marks.map_err(failed(UNUSED))? {
        if let Some(name) = row.name.strip_prefix(MARK) {
            layers.set_unused(name, Some(uint(row.value)));
        }
    }
    Ok(())
}

/// The layers of these names are used again: they lose their marks with the batch.
pub async fn unmark(sql: &impl WriteSql, names: &[Box<str>]) -> Result<(), StoreError> {
    for some in names.chunks(write::AT_ONCE) {
        let of_some = meta::Column::Name.is_in(some.iter().map(|name| mark(name)));
        sql.run(UNUSED, meta::Entity::delete_many().filter(of_some)).await?;
    }
    Ok(())
}

/// Marks layers that no event's row names, once a day where devices were removed, and deletes those that the journal
/// does not name either.
pub async fn expire(store: &SqlStore, now: Timestamp) -> Result<(), StoreError> {
    if is_time(store, now).await? {
        store.unused_layers.state().are_events_gone = false;
        if let Err(error) = mark_unnamed(store, now).await {
            store.unused_layers.note_gone();
            return Err(error);
        }
    }
    delete_unnamed(store).await
}

async fn is_time(store: &SqlStore, now: Timestamp) -> Result<bool, StoreError> {
    let (last, are_events_gone) = {
        let state = store.unused_layers.state();
        (state.last, state.are_events_gone)
    };
    if !are_events_gone || store.layers.kept().is_empty() {
        return Ok(false);
    }
    let last = match last {
        Some(last) => Some(last),
        None => head::meta_value(&store.readers, meta::LAYERS_LOOKED_AT).await?.map(Timestamp::from_millis),
    };
    Ok(last.is_none_or(|last| !(0..LOOK_EVERY_MS).contains(&(now.millis() - last.millis()))))
}

async fn mark_unnamed(store: &SqlStore, now: Timestamp) -> Result<(), StoreError> {
    store.layers.tidy();
    let mut unnamed: HashSet<Box<str>> =
        store.layers.kept().into_iter().filter(|name| !store.layers.is_unused(name)).collect();
    // In this order: what is committed after it is noted, and what was before is found.
    let until = store.memtable.last();
    strike_named(store, &mut unnamed, until).await?;
    let unnamed: Vec<Box<str>> = unnamed.into_iter().collect();
    for some in unnamed.chunks(LAYERS_AT_ONCE) {
        let turn = store.writer.begin(UNUSED).await?;
        for name in some.iter().filter(|name| !store.layers.is_named_after(name, until)) {
            write::meta(turn.sql(), &mark(name), int(until)).await?;
            // Before it is durable: a mark that is known and not there does no harm.
            store.layers.set_unused(name, Some(until));
        }
        drop(turn.finish().await?);
    }
    let turn = store.writer.begin(UNUSED).await?;
    write::meta(turn.sql(), meta::LAYERS_LOOKED_AT, now.millis()).await?;
    drop(turn.finish().await?);
    store.unused_layers.state().last = Some(now);
    Ok(())
}

/// Takes out of `names` those that a row of an event up to `until` names.
async fn strike_named(store: &SqlStore, names: &mut HashSet<Box<str>>, until: u64) -> Result<(), StoreError> {
    use event::Column as C;

    let mut after = 0;
    while !names.is_empty() {
        let rows: Vec<(i64, Vec<u8>)> = event::Entity::find()
            .filter(C::Kind.eq(EventKind::Twin.as_str()))
            .filter(C::Seq.gt(after))
            .filter(C::Seq.lte(int(until)))
            .order_by_asc(C::Seq)
            .limit(ROWS_AT_ONCE)
            .select_only()
            .columns([C::Seq, C::Body])
            .into_tuple()
            .all(&store.readers)
            .await
            .map_err(failed(UNUSED))?;
        for (seq, body) in &rows {
            let texts = codec::texts(body).map_err(|error| StoreError::Damaged {
                operation: UNUSED,
                detail: format!("the event {seq}: {error}"),
            })?;
            for text in texts {
                names.remove(text);
            }
        }
        match rows.last() {
            Some((last, _)) => after = *last,
            None => break,
        }
    }
    Ok(())
}

/// Deletes the layers that are marked from before the journal begins.
async fn delete_unnamed(store: &SqlStore) -> Result<(), StoreError> {
    let unused = store.layers.unused();
    if unused.is_empty() {
        return Ok(());
    }
    let first = events::first_in_journal(store).await?;
    let gone: Vec<Box<str>> = unused
        .into_iter()
        .filter(|(_, since)| first.is_none_or(|first| first > *since))
        .map(|(name, _)| name)
        .collect();
    for some in gone.chunks(LAYERS_AT_ONCE) {
        let turn = store.writer.begin(UNUSED).await?;
        for name in some {
            let marked = meta::Entity::delete_by_id(mark(name)).exec(turn.sql()).await;
            if marked.map_err(failed(UNUSED))?.rows_affected == 0 {
                store.layers.set_unused(name, None); // a commit of which nobody heard has named it
                continue;
            }
            let key = (KIND.to_owned(), name.to_string());
            fleet::Entity::delete_by_id(key).exec(turn.sql()).await.map_err(failed(UNUSED))?;
            // Before it is durable: an event that names it writes the row again, whether it is there or not.
            store.layers.let_go(name);
        }
        drop(turn.finish().await?);
    }
    Ok(())
}

fn mark(name: &str) -> String {
    format!("{MARK}{name}")
}

//! The layers that events name: a row each, written with the first event that has it. `unused_layers` deletes it when no
//! event that is kept names it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use twinhub_domain::fleet::Layer;
use twinhub_domain::twin::Part;
use twinhub_domain::{EventBody, Object, Recorded};

use super::entities::fleet;
use super::rows::{self, failed};
use super::write::{self, WriteSql};
use super::{SqlStore, unused_layers};
use crate::codec::CodecError;
use crate::layers::LayerCache;
use crate::{Batch, StoreError, history};

/// The word for them beside groups and templates.
pub const KIND: &str = "layer";
const READ: &str = "read the layers of templates";
const WRITE: &str = "write the layers of templates";

/// The layers that a batch's events name, by their names.
#[derive(Default)]
pub struct NamedLayers {
    /// Layers that have a row with this batch, and the last event that names each.
    fresh: BTreeMap<Box<str>, (Arc<Layer>, u64)>,
    /// Layers that were taken for unused.
    used_again: BTreeSet<Box<str>>,
}

impl NamedLayers {
    /// The batch is durable.
    pub fn are_durable(self, layers: &LayerCache) {
        self.fresh.into_iter().for_each(|(name, (layer, seq))| layers.mark_stored(name, layer, seq));
        self.used_again.iter().for_each(|name| layers.set_unused(name, None));
    }
}

/// Takes in the layers that have a row.
pub async fn load(sql: &impl ConnectionTrait, layers: &LayerCache) -> Result<(), StoreError> {
    let rows =
        fleet::Entity::find().filter(fleet::Column::Kind.eq(KIND)).all(sql).await.map_err(failed(READ))?;
    for row in rows.into_iter().filter(|row| !layers.is_stored(&row.id)) {
        let body: Object = rows::from_json(READ, || row.id.clone(), &row.body)?;
        let detail = || format!("{} does not say of which template it is", row.id);
        let layer =
            Layer::read(&body).ok_or_else(|| StoreError::Damaged { operation: READ, detail: detail() })?;
        layers.mark_stored(row.id.into(), Arc::new(layer), 0);
    }
    unused_layers::load(sql, layers).await
}

/// Writes the rows of the layers that the batch's events are the first to have. Once that is durable,
/// [`NamedLayers::are_durable`] is to be told.
pub async fn write(store: &SqlStore, sql: &impl WriteSql, batch: &Batch) -> Result<NamedLayers, StoreError> {
    let named = named(store, &batch.events);
    let mut models = Vec::with_capacity(named.fresh.len());
    for (key, (layer, _)) in &named.fresh {
        models.push(fleet::Model {
            kind: KIND.to_owned(),
            id: key.to_string(),
            updated_at: batch.at.millis(),
            body: rows::json(WRITE, &layer.to_object())?,
        });
    }
    // After a commit of which it was not known whether it took place, it may be there.
    let keep = OnConflict::columns([fleet::Column::Kind, fleet::Column::Id]).do_nothing().to_owned();
    write::insert(sql, WRITE, models, Some(keep)).await?;
    // Also of fresh ones: after a deletion of which it was not known whether it took place, the mark may be there.
    let marked: Vec<Box<str>> = named.fresh.keys().chain(&named.used_again).cloned().collect();
    unused_layers::unmark(sql, &marked).await?;
    Ok(named)
}

fn named(store: &SqlStore, events: &[Arc<Recorded>]) -> NamedLayers {
    let mut named = NamedLayers::default();
    for recorded in events {
        if let EventBody::Twin(change) = &recorded.event.body
            && let Some(Part::Template(Some(layer))) = change.patch.get("template")
        {
            let name = store.layers.name(layer);
            store.layers.note_named(&name, recorded.seq);
            if store.layers.is_unused(&name) {
                named.used_again.insert(name);
            } else if !store.layers.is_stored(&name) {
                named.fresh.insert(name, (Arc::clone(layer), recorded.seq));
            }
        }
    }
    named
}

impl SqlStore {
    /// The events in a blob; `operation` and `place` are for the error.
    pub(super) async fn events(
        &self,
        operation: &'static str,
        place: i64,
        blob: &[u8],
    ) -> Result<Vec<Recorded>, StoreError> {
        self.events_after(operation, place, blob, 0).await
    }

    /// The same with `after < seq` alone.
    pub(super) async fn events_after(
        &self,
        operation: &'static str,
        place: i64,
        blob: &[u8],
        after: u64,
    ) -> Result<Vec<Recorded>, StoreError> {
        match history::decode_block(blob, after, &self.layers) {
            // Another program has written it since the layers were read.
            Err(CodecError::Layer(_)) => load(&self.readers, &self.layers).await?,
            Ok(events) => return Ok(events),
            Err(_) => {}
        }
        rows::events(operation, place, blob, after, &self.layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store as _;
    use crate::contract::support::{Fixture, TestFleet, open};
    use crate::layers::key;
    use crate::sql::entities::event;

    /// Another program may have the database open, and have read the layers before this one came to be.
    #[tokio::test]
    async fn a_layer_that_is_written_later_is_found() {
        let fixture = Fixture::sql().await;
        let (store, other) = (open(&fixture).await, open(&fixture).await);
        let mut world = TestFleet::new();
        world.templates.put(r#"{"id": "pump", "version": 1, "tags": {"floor": "2"}}"#);
        world.register("a", r#"{"template": "pump"}"#);
        store.commit(&mut world.batch()).await.unwrap();
        let rows = event::Entity::find().all(&other.readers).await.unwrap();
        let mut layers = 0;
        for row in rows {
            let events = other.events(READ, row.seq, &row.body).await.unwrap();
            layers += named(&other, &events.into_iter().map(Arc::new).collect::<Vec<_>>()).fresh.len();
        }
        assert_eq!(layers, 0, "what was read is known to be kept");
        assert_eq!(
            other.layers.find(&key(world.twins["a"].layer().unwrap())).as_deref(),
            world.twins["a"].layer().map(|l| &**l)
        );
    }
}

//! The layers that events name: a row each, written with the first event that has it. Rows are never deleted: events
//! tell of a device as long as it is there, and a template has few layers in its life, of 64 KiB at most.

use std::collections::BTreeMap;
use std::sync::Arc;

use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter};
use twinhub_domain::fleet::Layer;
use twinhub_domain::twin::Part;
use twinhub_domain::{EventBody, Object, Recorded};

use super::entities::fleet;
use super::rows::{self, failed};
use super::{SqlStore, write};
use crate::codec::{self, CodecError};
use crate::layers::{LayerCache, key};
use crate::{Batch, StoreError};

/// The word for them beside groups and templates.
const KIND: &str = "layer";
const READ: &str = "read the layers of templates";
const WRITE: &str = "write the layers of templates";

/// Layers by their names.
pub type LayersByKey = BTreeMap<Box<str>, Arc<Layer>>;

/// Takes in the layers that have a row.
pub async fn load(sql: &impl ConnectionTrait, layers: &LayerCache) -> Result<(), StoreError> {
    let rows =
        fleet::Entity::find().filter(fleet::Column::Kind.eq(KIND)).all(sql).await.map_err(failed(READ))?;
    for row in rows.into_iter().filter(|row| !layers.is_stored(&row.id)) {
        let body: Object = rows::from_json(READ, || row.id.clone(), &row.body)?;
        let detail = || format!("{} does not say of which template it is", row.id);
        let layer =
            Layer::read(&body).ok_or_else(|| StoreError::Damaged { operation: READ, detail: detail() })?;
        layers.mark_stored(row.id.into(), Arc::new(layer));
    }
    Ok(())
}

/// Writes the rows of the layers that the batch's events are the first to have. Once that is durable,
/// [`LayerCache::mark_stored`] is to be told.
pub async fn write(
    store: &SqlStore,
    sql: &DatabaseTransaction,
    batch: &Batch,
) -> Result<LayersByKey, StoreError> {
    let fresh = fresh(store, &batch.events);
    let mut models = Vec::with_capacity(fresh.len());
    for (key, layer) in &fresh {
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
    Ok(fresh)
}

fn fresh(store: &SqlStore, events: &[Arc<Recorded>]) -> LayersByKey {
    let mut fresh = LayersByKey::new();
    for recorded in events {
        if let EventBody::Twin(change) = &recorded.event.body
            && let Some(Part::Template(Some(layer))) = change.patch.get("template")
        {
            let key = key(layer);
            if !store.layers.is_stored(&key) {
                fresh.entry(key).or_insert_with(|| Arc::clone(layer));
            }
        }
    }
    fresh
}

impl SqlStore {
    /// The events in a blob; `operation` and `place` are for the error.
    pub(super) async fn events(
        &self,
        operation: &'static str,
        place: i64,
        blob: &[u8],
    ) -> Result<Vec<Recorded>, StoreError> {
        match codec::decode(blob, &self.layers) {
            // Another program has written it since the layers were read.
            Err(CodecError::Layer(_)) => load(&self.readers, &self.layers).await?,
            Ok(events) => return Ok(events),
            Err(_) => {}
        }
        rows::events(operation, place, blob, &self.layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store as _;
    use crate::contract::support::{Fixture, TestFleet, open};
    use crate::sql::entities::event;

    /// Another program may have the database open, and have read the layers before this one came to be.
    #[tokio::test]
    async fn a_layer_that_is_written_later_is_found() {
        let fixture = Fixture::sql().await;
        let (store, other) = (open(&fixture).await, open(&fixture).await);
        let mut world = TestFleet::new();
        world.templates.put(r#"{"id": "pump", "version": 1, "tags": {"floor": "2"}}"#);
        world.register("a", r#"{"template": "pump"}"#);
        store.commit(&world.batch()).await.unwrap();
        let rows = event::Entity::find().all(&other.readers).await.unwrap();
        let mut layers = 0;
        for row in rows {
            let events = other.events(READ, row.seq, &row.body).await.unwrap();
            layers += fresh(&other, &events.into_iter().map(Arc::new).collect::<Vec<_>>()).len();
        }
        assert_eq!(layers, 0, "what was read is known to be kept");
        assert_eq!(
            other.layers.find(&key(world.twins["a"].layer().unwrap())).as_deref(),
            world.twins["a"].layer().map(|l| &**l)
        );
    }
}

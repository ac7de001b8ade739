//! The groups: a tree, and who stands in which of its groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::{Around, Shelf};
use crate::domain::fleet::RecordKind;
use crate::store::Record;

/// See the module.
pub struct Groups {
    shelf: Shelf,
    records: BTreeMap<Box<str>, Record>,
}

impl Groups {
    /// They read what the store knows of them as they start.
    #[must_use]
    pub fn new(around: Arc<Around>) -> Self {
        Self { shelf: Shelf::new(RecordKind::Group, around), records: BTreeMap::new() }
    }
}

impl Actor for Groups {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Whatever comes waits until it is known what there is.
        ctx.wait(self.shelf.clone().load().into_actor(self).map(|records, this, _| {
            this.records = records.into_iter().map(|record| (record.id.clone(), record)).collect();
        }));
    }
}

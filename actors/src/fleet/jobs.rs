//! The jobs: one thing done to many devices, each exactly once.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::{Around, Shelf};
use crate::domain::fleet::RecordKind;
use crate::store::Record;

/// See the module.
pub struct Jobs {
    shelf: Shelf,
    records: BTreeMap<Box<str>, Record>,
}

impl Jobs {
    /// They read what the store knows of them as they start.
    #[must_use]
    pub fn new(around: Arc<Around>) -> Self {
        Self { shelf: Shelf::new(RecordKind::Job, around), records: BTreeMap::new() }
    }
}

impl Actor for Jobs {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Whatever comes waits until it is known what there is.
        ctx.wait(self.shelf.clone().load().into_actor(self).map(|records, this, _| {
            this.records = records.into_iter().map(|record| (record.id.clone(), record)).collect();
        }));
    }
}

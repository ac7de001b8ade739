//! The firmware images that devices can be brought to.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::{Around, Shelf};
use crate::domain::fleet::RecordKind;
use crate::store::Record;

/// See the module.
pub struct Firmware {
    shelf: Shelf,
    records: BTreeMap<Box<str>, Record>,
}

impl Firmware {
    /// They read what the store knows of them as they start.
    #[must_use]
    pub fn new(around: Arc<Around>) -> Self {
        Self { shelf: Shelf::new(RecordKind::Firmware, around), records: BTreeMap::new() }
    }
}

impl Actor for Firmware {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Whatever comes waits until it is known what there is.
        ctx.wait(self.shelf.clone().load().into_actor(self).map(|records, this, _| {
            this.records = records.into_iter().map(|record| (record.id.clone(), record)).collect();
        }));
    }
}

//! The actors by which what happens is written down and told: the journal, which every message goes through, and those that
//! live with it.

use std::sync::Arc;

use actix::{Actor, Addr, ArbiterHandle};

use super::Settings;
use crate::archive::Archive;
use crate::counters::Counters;
use crate::feed::Feed;
use crate::journal::{Journal, JournalDeps};
use crate::outbox::Outbox;
use crate::places::Places;
use twinhub_domain::{Clock, Outgoing};
use twinhub_store::{Head, Store};

/// These actors, started.
pub(super) struct Recorders {
    pub feed: Addr<Feed>,
    pub outbox: Addr<Outbox>,
    pub archive: Addr<Archive>,
    pub journal: Addr<Journal>,
}

impl Recorders {
    /// Starts them on the thread `durable`, over `store`, which has come as far as `head`; `kept` is what is still to be
    /// published.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the hub")]
    pub(super) fn start(
        durable: &ArbiterHandle,
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
        counters: &Arc<Counters>,
        places: &Arc<Places>,
        settings: &Settings,
        head: &Head,
        kept: Vec<Outgoing>,
    ) -> Self {
        let feed = {
            let (seq, depth) = (head.seq, settings.feed_depth);
            Feed::start_in_arbiter(durable, move |_| Feed::new(seq, depth))
        };
        let outbox = {
            let (counters, clock) = (Arc::clone(counters), Arc::clone(clock));
            Outbox::start_in_arbiter(durable, move |_| Outbox::new(kept, clock, counters))
        };
        let archive = {
            let (store, clock) = (Arc::clone(store), Arc::clone(clock));
            // On this thread, which has nothing else to do: the queries run in the store's own.
            Archive::new(store, clock, head, settings.maintain_every, settings.keep_audit).start()
        };
        let journal = {
            let (store, clock, counters) = (Arc::clone(store), Arc::clone(clock), Arc::clone(counters));
            let (feed, outbox, places) = (feed.clone(), outbox.clone(), Arc::clone(places));
            let (head, most) = (head.clone(), settings.most_in_commit);
            let deps = JournalDeps { store, clock, feed, outbox, places, counters };
            Journal::start_in_arbiter(durable, move |_| Journal::new(deps, &head, most))
        };
        Self { feed, outbox, archive, journal }
    }
}

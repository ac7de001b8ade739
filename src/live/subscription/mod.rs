//! Subscriptions: the past from the store and then the present from the feed, in one sequence without a
//! gap or a repeat. One engine for all transports.
//!
//! A set of subscriptions has one place in the sequence, its `cursor`: all events up to it have been
//! taken from the live feed. A subscription that wants more of the past is *behind*: it is read from the store up
//! to the cursor while the live feed waits in its channel. Should the channel overflow meanwhile, the cursor moves
//! on and the missed events are read from the store as well, so catching up never causes a lag. A session whose
//! channel overflows while it reads the live feed is too slow, and gets a `lagged` notification.

mod filter;
mod globs;
mod group;
mod outlet;
mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tracing::warn;
use twinhub_actors::access::{ConfinedBatch, ConfinedFeed, Grant};
use twinhub_actors::counters::{Counters, down, get, up};
use twinhub_actors::messages::archive::{Replay, ReplayPage};
use twinhub_domain::{Recorded, Twin};

use filter::MOST_PATTERNS;
pub use filter::{EventFilter, kinds_named};
pub use group::in_group;
pub use outlet::{Outlet, SubscriberGone};
use snapshot::Snapshot;

/// Subscriptions in one session at most; a set of them fits the bits of [`SubscriptionSlots`].
pub const MOST_SUBSCRIPTIONS: usize = 64;
/// Events read from the store at once.
const PAGE: usize = 500;
/// Live events taken at once, but for what is more in one commit: all commits that wait are one turn of the pump.
const MOST_AT_ONCE: usize = 1_024;
/// The wait before the store is asked again after it failed.
const RETRY: Duration = Duration::from_millis(500);

/// The subscriptions of one session, at one place in the sequence.
pub struct LiveSubscriptions {
    hub: Grant,
    counters: Arc<Counters>,
    live: ConfinedFeed,
    cursor: u64,
    /// The store was read since the last live batch: an overflow meanwhile is no fault of the subscriber.
    detained: bool,
    /// Missed events are read from the store, without a `lagged` notification.
    resumes: bool,
    slots: Vec<Option<Subscription>>,
}

/// Subscriptions of a session, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscriptionSlots(u64);

/// A notification for a session.
#[derive(Debug)]
pub enum Notification {
    /// An event, and the subscriptions that take it.
    Event { slots: SubscriptionSlots, event: Arc<Recorded> },
    /// A page of twins in their present state; `last` is true on the last page.
    Snapshot { slot: usize, twins: Vec<Twin>, last: bool },
    /// `missed` events were skipped; a subscription since `resume` brings them.
    Lagged { missed: u64, resume: u64 },
    /// The past asked for is gone: later events come after `seq`.
    Resync { slots: SubscriptionSlots, seq: u64 },
}

impl Notification {
    /// The event, where it is one.
    #[must_use]
    pub fn into_event(self) -> Option<Arc<Recorded>> {
        if let Self::Event { event, .. } = self { Some(event) } else { None }
    }
}

/// The feed has ended: the hub is shutting down.
#[derive(Debug, thiserror::Error)]
#[error("the hub is shutting down")]
pub struct FeedEnded;

/// The reason why there is no further subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSubscribed {
    #[error("a session has {MOST_SUBSCRIPTIONS} subscriptions at most")]
    TooMany,
    #[error("there is a subscription of this id already")]
    Taken,
    #[error("the subscriptions of a session have {MOST_PATTERNS} patterns at most; ids do not count")]
    TooManyPatterns,
}

impl NotSubscribed {
    /// The stable word for it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::TooMany => "too_many_subscriptions",
            Self::Taken => "subscribed_already",
            Self::TooManyPatterns => "too_many_patterns",
        }
    }
}

struct Subscription {
    id: Box<str>,
    filter: EventFilter,
    /// Events up to this place are not wanted.
    after: u64,
    /// Events up to this place were sent; later ones, up to the cursor, are in the store.
    behind: Option<u64>,
    snapshot: Option<Snapshot>,
}

impl Subscription {
    /// True when all devices of its group are known, so that the next event can be filtered.
    fn is_ready(&self) -> bool {
        self.filter.unread().is_empty()
    }
}

impl LiveSubscriptions {
    /// No subscriptions yet, at the feed's present place.
    ///
    /// # Errors
    /// The hub is shutting down.
    pub async fn open(hub: &Grant) -> Result<Self, FeedEnded> {
        let live = hub.subscribe().await.map_err(|_| FeedEnded)?;
        let counters = hub.counters();
        up(&counters.subscribers);
        let (hub, slots, cursor) = (hub.clone(), Vec::new(), live.seq);
        Ok(Self { hub, counters, live, cursor, detained: false, resumes: false, slots })
    }

    /// The same, but a subscriber that is too slow gets no `lagged` notification: the missed events are read from the store.
    #[must_use]
    pub fn resuming(mut self) -> Self {
        self.resumes = true;
        self
    }

    /// The hub's counters.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The place in the sequence up to which all events have passed.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.cursor
    }

    /// Begins a subscription called `id`, after the event `since`, or from now on. Returns the place
    /// that it begins after, and a notification that comes first.
    ///
    /// # Errors
    /// There are too many, or too many patterns in them, or there is one of that id.
    pub fn subscribe(
        &mut self,
        id: &str,
        filter: EventFilter,
        since: Option<u64>,
        snapshot: bool,
    ) -> Result<(u64, Option<Notification>), NotSubscribed> {
        if self.slots.iter().flatten().any(|one| *one.id == *id) {
            return Err(NotSubscribed::Taken);
        }
        let patterns = self.slots.iter().flatten().map(|one| one.filter.patterns()).sum::<usize>();
        if patterns + filter.patterns() > MOST_PATTERNS {
            return Err(NotSubscribed::TooManyPatterns);
        }
        let slot = match self.slots.iter().position(Option::is_none) {
            Some(free) => free,
            None if self.slots.len() < MOST_SUBSCRIPTIONS => {
                self.slots.push(None);
                self.slots.len() - 1
            }
            None => return Err(NotSubscribed::TooMany),
        };
        let committed = get(&self.counters.seq).max(self.cursor);
        // A place beyond the last commit belongs to another past: to a store that was restored.
        let resync = since.is_some_and(|since| since > committed);
        let after = since.filter(|_| !resync).unwrap_or(self.cursor);
        self.slots[slot] = Some(Subscription {
            id: id.into(),
            filter,
            after,
            behind: Some(after).filter(|after| *after < self.cursor),
            snapshot: snapshot.then(Snapshot::default),
        });
        let first =
            resync.then(|| Notification::Resync { slots: SubscriptionSlots::one(slot), seq: self.cursor });
        Ok((after, first))
    }

    /// Ends a subscription. False when there was none of that id.
    pub fn unsubscribe(&mut self, id: &str) -> bool {
        self.slot(id).is_some_and(|slot| self.slots[slot].take().is_some())
    }

    /// The place of the subscription of this id.
    #[must_use]
    pub fn slot(&self, id: &str) -> Option<usize> {
        self.slots.iter().position(|slot| slot.as_ref().is_some_and(|one| *one.id == *id))
    }

    /// The ids of these subscriptions; those that have ended meanwhile are left out.
    pub fn ids(&self, slots: SubscriptionSlots) -> impl Iterator<Item = &str> {
        slots.iter().filter_map(|slot| self.slots.get(slot)?.as_ref()).map(|one| &*one.id)
    }

    /// The next notifications; there may be none. Dropping it half-way loses nothing.
    ///
    /// # Errors
    /// The feed has ended.
    pub async fn next(&mut self) -> Result<Vec<Notification>, FeedEnded> {
        let unread =
            |slot: &Option<Subscription>| slot.as_ref().is_some_and(|one| !one.filter.unread().is_empty());
        if let Some(slot) = self.slots.iter().position(unread) {
            self.detained = true;
            self.set_members(slot).await?;
            return Ok(Vec::new());
        }
        let with_snapshot = |slot: &Option<Subscription>| slot.as_ref().is_some_and(|s| s.snapshot.is_some());
        if let Some(slot) = self.slots.iter().position(with_snapshot) {
            self.detained = true;
            return self.snapshot(slot).await;
        }
        if let Some(after) = self.slots.iter().flatten().filter_map(|one| one.behind).min() {
            self.detained = true;
            return self.replay(after).await;
        }
        self.live().await
    }

    /// Reads the devices of groups that have come under a subscription's group.
    async fn set_members(&mut self, slot: usize) -> Result<(), FeedEnded> {
        let Some(one) = &mut self.slots[slot] else { return Ok(()) };
        match group::members_of(&self.hub, one.filter.unread()).await.map_err(|_| FeedEnded)? {
            Ok(members) => one.filter.set_members(members),
            Err(error) => {
                warn!(%error, "reading a group's devices failed, trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
        Ok(())
    }

    async fn snapshot(&mut self, slot: usize) -> Result<Vec<Notification>, FeedEnded> {
        let Some(Subscription { filter, snapshot: Some(snapshot), .. }) = &mut self.slots[slot] else {
            return Ok(Vec::new());
        };
        let Some(page) = snapshot.page(&self.hub, filter).await.map_err(|_| FeedEnded)? else {
            tokio::time::sleep(RETRY).await;
            return Ok(Vec::new());
        };
        if page.last
            && let Some(one) = &mut self.slots[slot]
        {
            one.snapshot = None;
        }
        Ok(vec![Notification::Snapshot { slot, twins: page.twins, last: page.last }])
    }

    async fn replay(&mut self, after: u64) -> Result<Vec<Notification>, FeedEnded> {
        let page = Replay { after, up_to: self.cursor, limit: PAGE };
        let replayed = match self.hub.ask(page).await.map_err(|_| FeedEnded)? {
            Ok(replayed) => replayed,
            Err(error) => {
                warn!(%error, "replay failed, trying again");
                tokio::time::sleep(RETRY).await;
                return Ok(Vec::new());
            }
        };
        Ok(self.catch_up(replayed))
    }

    fn catch_up(&mut self, ReplayPage { events, range, pruned }: ReplayPage) -> Vec<Notification> {
        let mut notifications = Vec::with_capacity(events.len());
        let cursor = self.cursor;
        if pruned {
            let first = range.map_or(cursor + 1, |(first, _)| first);
            let lost = |one: &Subscription| one.behind.is_some_and(|behind| behind + 1 < first);
            let slots = self.having(lost);
            for one in self.slots.iter_mut().flatten().filter(|one| lost(one)) {
                one.behind = None;
            }
            notifications.push(Notification::Resync { slots, seq: cursor });
        }
        let reached = range.map_or(cursor, |(_, last)| last);
        for event in events {
            let seq = event.seq;
            let slots = self.taking(&event, |one| one.is_ready() && one.behind.is_some_and(|b| b < seq));
            notifications.extend((!slots.is_empty()).then_some(Notification::Event { slots, event }));
        }
        for one in self.slots.iter_mut().flatten() {
            if one.is_ready() {
                one.behind = one.behind.map(|behind| behind.max(reached)).filter(|behind| *behind < cursor);
            }
        }
        notifications
    }

    async fn live(&mut self) -> Result<Vec<Notification>, FeedEnded> {
        let batch = loop {
            match self.live.recv().await {
                Ok(batch) => break batch,
                Err(RecvError::Lagged(_)) => {} // the next batch shows by its `seq` how much was missed
                Err(RecvError::Closed) => return Err(FeedEnded),
            }
        };
        let mut notifications = Vec::with_capacity(batch.events.len());
        self.add_live(&batch, &mut notifications);
        while notifications.len() < MOST_AT_ONCE && self.is_level() {
            match self.live.try_recv() {
                Ok(batch) => self.add_live(&batch, &mut notifications),
                Err(TryRecvError::Lagged(_)) => {} // as above
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        Ok(notifications)
    }

    /// True when the next event is the feed's, for all subscriptions.
    fn is_level(&self) -> bool {
        self.slots.iter().flatten().all(|one| one.behind.is_none() && one.is_ready())
    }

    fn add_live(
        &mut self,
        ConfinedBatch { first, last, events }: &ConfinedBatch,
        notifications: &mut Vec<Notification>,
    ) {
        let missed = first.saturating_sub(self.cursor + 1);
        if missed > 0 && !self.detained {
            up(&self.counters.subscribers_lagged);
        }
        if missed > 0 && (self.detained || self.resumes) {
            let cursor = self.cursor;
            for one in self.slots.iter_mut().flatten() {
                one.behind = Some(cursor.max(one.after));
            }
            self.cursor = *last; // this batch is read with the rest: it is durable
            return;
        }
        if missed > 0 {
            notifications.push(Notification::Lagged { missed, resume: self.cursor });
        }
        self.detained = false;
        for event in events.iter() {
            if event.seq <= self.cursor {
                continue;
            }
            let slots = self.taking(event, |one| one.is_ready() && one.after < event.seq);
            notifications
                .extend((!slots.is_empty()).then(|| Notification::Event { slots, event: Arc::clone(event) }));
        }
        self.cursor = self.cursor.max(*last);
    }

    fn taking(&mut self, event: &Recorded, wants: impl Fn(&Subscription) -> bool) -> SubscriptionSlots {
        let mut slots = SubscriptionSlots::default();
        for (slot, one) in self.slots.iter_mut().enumerate() {
            if let Some(one) = one
                && wants(one)
            {
                if one.filter.passes(event) {
                    slots.add(slot);
                }
                if !one.is_ready() {
                    one.behind = Some(event.seq); // it goes on from here once it knows
                }
            }
        }
        slots
    }

    fn having(&self, which: impl Fn(&Subscription) -> bool) -> SubscriptionSlots {
        let mut slots = SubscriptionSlots::default();
        for (slot, one) in self.slots.iter().enumerate() {
            if one.as_ref().is_some_and(&which) {
                slots.add(slot);
            }
        }
        slots
    }
}

impl Drop for LiveSubscriptions {
    fn drop(&mut self) {
        down(&self.counters.subscribers);
    }
}

impl SubscriptionSlots {
    /// This one alone.
    #[must_use]
    pub fn one(slot: usize) -> Self {
        let mut slots = Self::default();
        slots.add(slot);
        slots
    }

    /// The places that are in both, and those that are in these alone.
    #[must_use]
    pub fn parted(self, by: Self) -> (Self, Self) {
        (Self(self.0 & by.0), Self(self.0 & !by.0))
    }

    /// Adds one.
    pub fn add(&mut self, slot: usize) {
        self.0 |= 1 << slot; // below MOST_SUBSCRIPTIONS
    }

    /// Are there none?
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The place of each.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..MOST_SUBSCRIPTIONS).filter(move |slot| self.0 & (1 << slot) != 0)
    }
}

#[cfg(test)]
mod tests;

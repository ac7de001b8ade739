//! How the census comes to see what happens: events in their order, and the twins of devices that come into a group
//! and of which nothing is known yet.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::Groups;
use super::reading::{self, Begun};
use twinhub_domain::fleet::census::Seen;
use twinhub_domain::{DeviceId, DeviceNumber, EventBody, Recorded, Twin};

/// Twins read at once.
const TWINS: usize = 500;
/// Of so many numbers at most it is remembered that they were passed over.
const PASSED: usize = 10_000;

type Batch = Arc<[Arc<Recorded>]>;

/// How far the census has come.
#[derive(Default)]
pub(super) struct Following {
    /// None while it is read from.
    live: Option<broadcast::Receiver<Batch>>,
    /// The last event that was seen; none before the devices were read.
    cursor: Option<u64>,
    numbers: Numbers,
    /// Devices that came into a group and whose twins are not read yet.
    coming: HashMap<DeviceNumber, Coming>,
    /// Of these those that nobody reads yet.
    to_read: Vec<(DeviceId, DeviceNumber)>,
    reading: bool,
    /// How often it has begun anew: what was asked for before that is not wanted any more.
    begun: u32,
}

/// A device whose twin is not read yet.
struct Coming {
    since: u64,
    /// What happened to it after that.
    events: Vec<Arc<Recorded>>,
}

/// Whose first event an event is: it is then known what the device was before, which is nothing.
#[derive(Default)]
struct Numbers {
    highest: i64,
    /// Lower ones that were not seen: twins begin side by side, and their first events come in any order.
    passed: BTreeSet<i64>,
}

impl Following {
    /// Up to where the census is true; none while it is not.
    pub fn seen(&self) -> Option<u64> {
        let before = self.coming.values().map(|coming| coming.since - 1).min();
        let cursor = self.cursor?;
        Some(before.map_or(cursor, |before| before.min(cursor)))
    }
}

impl Groups {
    /// Counts all that there is, and follows from there.
    pub(super) fn read_all(&mut self, ctx: &mut Context<Self>) {
        self.following = Following { begun: self.following.begun + 1, ..Following::default() };
        let around = Arc::clone(&self.around);
        let read = async move { reading::everything(&around).await };
        ctx.spawn(read.into_actor(self).map(|begun, this, ctx| {
            let Some(Begun { seq, live, census, highest }) = begun else { return }; // the hub goes down
            this.census = census;
            this.around.counters.groups_counted.store(1, Ordering::Relaxed);
            this.following.live = Some(live);
            this.following.cursor = Some(seq);
            this.following.numbers.highest = highest.0;
            let groups: Vec<Box<str>> = this.census.groups().map(Into::into).collect();
            groups.iter().for_each(|group| this.adopt(group, ctx));
            this.after(ctx);
        }));
    }

    fn after(&mut self, ctx: &mut Context<Self>) {
        self.read_twins(ctx);
        self.serve(ctx);
        self.pull(ctx);
    }

    /// Waits for the next batch of the feed.
    fn pull(&mut self, ctx: &mut Context<Self>) {
        let Some(mut live) = self.following.live.take() else { return }; // it is waited for already
        let next = async move {
            let got = live.recv().await;
            (live, got)
        };
        ctx.spawn(next.into_actor(self).map(|(mut live, got), this, ctx| {
            let mut got = got.map_err(|error| matches!(error, RecvError::Closed));
            while let Ok(batch) = &got {
                batch.iter().for_each(|recorded| this.see(recorded, ctx));
                // What has come meanwhile, without a wait between.
                got = match live.try_recv() {
                    Ok(batch) => Ok(batch),
                    Err(broadcast::error::TryRecvError::Lagged(_)) => Err(false),
                    Err(_) => break,
                };
            }
            match got {
                Err(true) => return, // the hub goes down
                Err(false) => return this.catch_up(live, ctx),
                Ok(_) => {}
            }
            this.following.live = Some(live);
            this.after(ctx);
        }));
    }

    /// Reads what the feed has dropped because the census was behind.
    fn catch_up(&mut self, live: broadcast::Receiver<Batch>, ctx: &mut Context<Self>) {
        let Some(after) = self.following.cursor else { return };
        let around = Arc::clone(&self.around);
        let read = async move { reading::missed(&around, after).await };
        ctx.spawn(read.into_actor(self).map(move |missed, this, ctx| {
            let Some(missed) = missed else { return this.read_all(ctx) };
            missed.iter().for_each(|recorded| this.see(recorded, ctx));
            this.following.live = Some(live);
            this.after(ctx);
        }));
    }

    /// The next event, unless it was seen already.
    fn see(&mut self, recorded: &Arc<Recorded>, ctx: &mut Context<Self>) {
        if self.following.cursor.is_none_or(|cursor| recorded.seq <= cursor) {
            return;
        }
        self.following.cursor = Some(recorded.seq);
        if let EventBody::Fleet(change) = &recorded.event.body {
            self.tree.redo(recorded.seq, change); // of groups alone
        }
        if recorded.event.device.is_none() {
            self.census.see(&recorded.event, false); // the clock may have been set
        } else {
            let is_first = self.following.numbers.is_first(recorded.event.number);
            self.count(recorded, is_first, ctx);
        }
    }

    fn count(&mut self, recorded: &Arc<Recorded>, is_first: bool, ctx: &mut Context<Self>) {
        let event = &recorded.event;
        if let Some(coming) = self.following.coming.get_mut(&event.number) {
            coming.events.push(Arc::clone(recorded));
            return;
        }
        match self.census.see(event, is_first) {
            Seen::Nothing => {}
            Seen::Came(group) => self.adopt(group, ctx),
            Seen::Unknown => {
                let coming = Coming { since: recorded.seq, events: Vec::new() };
                self.following.coming.insert(event.number, coming);
                self.following.to_read.push((event.device.clone(), event.number));
            }
        }
    }

    /// Reads the twins of those who came, some at a time.
    fn read_twins(&mut self, ctx: &mut Context<Self>) {
        if self.following.reading || self.following.to_read.is_empty() {
            return;
        }
        self.following.reading = true;
        let most = self.following.to_read.len().min(TWINS);
        let some: Vec<_> = self.following.to_read.drain(..most).collect();
        let (begun, around) = (self.following.begun, Arc::clone(&self.around));
        let read = async move {
            let ids = some.iter().map(|(id, _)| id.clone()).collect();
            let twins = reading::twins(&around, ids).await;
            (some, twins)
        };
        ctx.spawn(read.into_actor(self).map(move |(asked, twins), this, ctx| {
            if this.following.begun != begun {
                return;
            }
            this.following.reading = false;
            for twin in twins {
                this.meet(&twin, ctx);
            }
            for (_, number) in asked {
                // Of one that is gone already, it is among these that it went.
                let events = this.following.coming.remove(&number).map(|coming| coming.events);
                events.into_iter().flatten().for_each(|recorded| this.count(&recorded, false, ctx));
            }
            this.after(ctx);
        }));
    }

    /// A twin as it stands now: perhaps later than the census does, which catches up with it.
    fn meet(&mut self, twin: &Twin, ctx: &mut Context<Self>) {
        // Of another device that has this one's id by now its own events will tell.
        if self.following.coming.contains_key(&twin.number) {
            self.census.know(twin);
            let group = twin.profile.text("group_id");
            if !group.is_empty() {
                self.adopt(group, ctx);
            }
        }
    }
}

impl Numbers {
    fn is_first(&mut self, DeviceNumber(number): DeviceNumber) -> bool {
        if number > self.highest {
            self.passed.extend(self.highest + 1..number);
            while self.passed.len() > PASSED {
                self.passed.pop_first();
            }
            self.highest = number;
            return true;
        }
        self.passed.remove(&number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_events_come_in_any_order() {
        let mut numbers = Numbers { highest: 5, ..Numbers::default() };
        let mut check = |number: i64, expected: bool| {
            assert_eq!(numbers.is_first(DeviceNumber(number)), expected, "{number}");
        };
        check(3, false);
        check(5, false);
        check(8, true);
        check(7, true);
        check(7, false);
        check(8, false);
        check(6, true);
        check(9, true);
    }
}

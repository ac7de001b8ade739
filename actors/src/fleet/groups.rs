//! The groups: a tree, and who stands in which of its groups.
//!
//! Changes by people are in memory at once, become durable by the journal, and are answered and seen by others
//! after that. The census follows the feed, and answers wait until it has seen all that was committed when they were
//! asked for: a caller that just moved a device finds it counted.
//!
//! A group that a device stands in and that nobody made is made by the hub: in stores from before there were groups
//! any text could stand there.

mod following;
mod reading;
mod removing;
mod requests;
mod tree_now;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{Notify, oneshot};
use tracing::{info, warn};
use uuid::ContextV7;

use self::following::CensusFollower;
pub use self::tree_now::TreeNow;
use super::{FleetDeps, RecordRepository};
use crate::clock::new_id_at;
use crate::counters::get;
use crate::mailbox::{send_reply, try_send_unbounded};
use crate::messages::feed::EventBatch;
use crate::messages::groups::{GroupRefusal, GroupView, PutGroupReply};
use twinhub_access::Reach;
use twinhub_domain::fleet::tree::body_of_change;
use twinhub_domain::fleet::{FleetChange, Group, GroupId, GroupTree, RecordChange, RecordKind};
use twinhub_domain::receipt::{Accepted, Receipt};
use twinhub_domain::{Cause, EventBody, Object, Recorded};

/// The feed is looked at so often where nobody asks: each look costs a wake-up of this thread, and readings, which are
/// the many, move no device. Far less than a feed keeps comes meanwhile.
const REST: Duration = Duration::from_millis(20);

/// A change of a group is durable now.
#[derive(Message)]
#[rtype(result = "()")]
struct GroupChangeSettled {
    /// With its place in the sequence; none where nothing was to be changed.
    change: Option<(u64, FleetChange)>,
    then: GroupContinuation,
}

/// The work to do once a change is durable and others see it.
type GroupContinuation = Box<dyn FnOnce(&mut Groups, &mut Context<Groups>) + Send>;

/// Something that must be true to the place in the sequence beside it.
type WorkAfterSeq = (u64, Box<dyn FnOnce(&mut Groups, &mut Context<Groups>)>);

/// The actor that keeps the tree of groups.
pub struct Groups {
    repository: RecordRepository,
    deps: Arc<FleetDeps>,
    /// The tree as it is committed, for everybody.
    tree: Arc<TreeNow>,
    /// With what is on its way to the store.
    planned: GroupTree,
    /// Groups that are being emptied, to be removed.
    leaving: HashSet<GroupId>,
    following: CensusFollower,
    waiting: Vec<WorkAfterSeq>,
    /// Notified of what comes to `waiting`.
    asked: Arc<Notify>,
    ids: ContextV7,
}

impl Groups {
    /// The groups of `tree`, which is what the store has. Who stands in them is read as they start.
    #[must_use]
    pub fn new(deps: Arc<FleetDeps>, tree: Arc<TreeNow>) -> Self {
        Self {
            repository: RecordRepository::new(RecordKind::Group, Arc::clone(&deps)),
            deps,
            planned: GroupTree::clone(&tree.now()),
            tree,
            leaving: HashSet::new(),
            following: CensusFollower::default(),
            waiting: Vec::new(),
            asked: Arc::default(),
            ids: ContextV7::new(),
        }
    }

    /// Counts all that there is, and follows from there.
    fn read_all(&mut self, ctx: &mut Context<Self>) {
        self.following.restart();
        let deps = Arc::clone(&self.deps);
        let read = async move { reading::everything(&deps).await };
        ctx.spawn(read.into_actor(self).map(|begun, this, ctx| {
            let Some(begun) = begun else { return }; // the hub is shutting down
            this.following.begin(begun);
            this.deps.counters.groups_counted.store(1, Ordering::Relaxed);
            let groups: Vec<Box<str>> = this.following.census.groups().map(Into::into).collect();
            groups.iter().for_each(|group| this.adopt(group, ctx));
            this.after(ctx);
        }));
    }

    fn after(&mut self, ctx: &mut Context<Self>) {
        self.read_twins(ctx);
        self.serve(ctx);
        self.read_feed(ctx);
    }

    /// Waits for the next batch of the feed.
    fn read_feed(&mut self, ctx: &mut Context<Self>) {
        let Some(mut live) = self.following.live.take() else { return }; // it is waited for already
        let (asked, is_asked) = (Arc::clone(&self.asked), !self.waiting.is_empty());
        let next = async move {
            if !is_asked {
                let _ = tokio::time::timeout(REST, asked.notified()).await; // either is well
            }
            let got = live.recv().await;
            (live, got)
        };
        ctx.spawn(next.into_actor(self).map(|(mut live, got), this, ctx| {
            let mut got = got.map_err(|error| matches!(error, RecvError::Closed));
            while let Ok(batch) = &got {
                batch.iter().for_each(|recorded| this.observe(recorded, ctx));
                // Batches that have come meanwhile, without a wait between.
                got = match live.try_recv() {
                    Ok(batch) => Ok(batch),
                    Err(TryRecvError::Lagged(_)) => Err(false),
                    Err(_) => break,
                };
            }
            match got {
                Err(true) => return, // the hub is shutting down
                Err(false) => return this.catch_up(live, ctx),
                Ok(_) => {}
            }
            this.following.live = Some(live);
            this.after(ctx);
        }));
    }

    /// Reads what the feed has dropped because the census was behind.
    fn catch_up(&mut self, live: Receiver<EventBatch>, ctx: &mut Context<Self>) {
        let Some(after) = self.following.cursor else { return };
        let deps = Arc::clone(&self.deps);
        let read = async move { reading::missed(&deps, after).await };
        ctx.spawn(read.into_actor(self).map(move |missed, this, ctx| {
            let Some(missed) = missed else { return this.read_all(ctx) };
            missed.iter().for_each(|recorded| this.observe(recorded, ctx));
            this.following.live = Some(live);
            this.after(ctx);
        }));
    }

    /// The next event, unless it was seen already.
    fn observe(&mut self, recorded: &Arc<Recorded>, ctx: &mut Context<Self>) {
        if !self.following.is_next(recorded.seq) {
            return;
        }
        if let EventBody::Fleet(change) = &recorded.event.body {
            self.tree.redo(recorded.seq, change); // of groups alone
        }
        if let Some(group) = self.following.count(recorded) {
            self.adopt(&group, ctx);
        }
    }

    /// Reads the twins of those who came into a group, some at a time.
    fn read_twins(&mut self, ctx: &mut Context<Self>) {
        let Some(some) = self.following.next_to_read() else { return };
        let (begun, deps) = (self.following.begun, Arc::clone(&self.deps));
        let read = async move {
            let ids = some.iter().map(|(id, _)| id.clone()).collect();
            let twins = reading::twins(&deps, ids).await;
            (some, twins)
        };
        ctx.spawn(read.into_actor(self).map(move |(asked, twins), this, ctx| {
            if this.following.begun == begun {
                let groups = this.following.add_twins(asked, &twins);
                groups.iter().for_each(|group| this.adopt(group, ctx));
                this.after(ctx);
            }
        }));
    }

    /// Does it once the census has seen all that is committed now.
    fn when_true(
        &mut self,
        ctx: &mut Context<Self>,
        what: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        let committed = get(&self.deps.counters.seq);
        self.waiting.push((committed, Box::new(what)));
        self.serve(ctx);
        if !self.waiting.is_empty() {
            self.asked.notify_one();
        }
    }

    /// Does what waited for the census.
    fn serve(&mut self, ctx: &mut Context<Self>) {
        if self.waiting.is_empty() {
            return;
        }
        let Some(seen) = self.following.seen() else { return };
        let (now, later) = std::mem::take(&mut self.waiting).into_iter().partition(|(seq, _)| *seq <= seen);
        self.waiting = later;
        let now: Vec<WorkAfterSeq> = now;
        for (_, what) in now {
            what(self, ctx);
        }
    }

    /// Has a group become what it is to be, in memory at once.
    fn commit(&mut self, group: Group, cause: Cause, ctx: &mut Context<Self>, then: GroupContinuation) {
        let (change, body) = match self.planned.get(group.id.as_str()) {
            Some(before) => (RecordChange::Changed, body_of_change(before, &group)),
            None => (RecordChange::Made, group.to_object()),
        };
        let id = group.id.clone();
        self.planned.put(Arc::new(group));
        self.put(&id, change, body, cause, ctx, then);
    }

    fn put(
        &self,
        id: &GroupId,
        change: RecordChange,
        body: Object,
        cause: Cause,
        ctx: &mut Context<Self>,
        then: GroupContinuation,
    ) {
        let fleet_change =
            FleetChange { what: RecordKind::Group, id: id.as_str().into(), change, body: body.clone() };
        let receipt = receipt(ctx, Some(fleet_change), then);
        self.repository.put(id.as_str(), change, body, Vec::new(), cause, receipt);
    }

    /// Nothing is to be changed. What is answered may be on its way to the store still, so this goes behind that.
    fn commit_nothing(&self, ctx: &mut Context<Self>, then: GroupContinuation) {
        self.repository.commit_job_ops(Vec::new(), receipt(ctx, None, then));
    }

    /// A device came into this group. There is one then, made by any caller.
    fn adopt(&mut self, group: &str, ctx: &mut Context<Self>) {
        if self.planned.contains(group) {
            return;
        }
        let Some(id) = GroupId::as_stored(group) else {
            warn!(group, "devices are in a group whose id is too long: move them to another");
            return;
        };
        info!(group, "made a missing group that devices are in");
        let made = Group::new(id, group, self.deps.clock.now());
        self.commit(made, Cause::hub(), ctx, Box::new(|_, _| ()));
    }

    /// The tree as it is committed, as far as a caller reaches.
    fn tree_within(&self, reach: &Reach) -> Arc<GroupTree> {
        reach.part_of(self.tree.now())
    }

    /// The group as a caller sees it who may see it.
    fn view(&self, id: &GroupId, reach: &Reach) -> Option<GroupView> {
        let tree = match self.tree.now() {
            tree if reach.is_everywhere() => tree,
            // It may have been made since the reach was found out.
            tree => Arc::new(tree.part(|other| {
                other == id || tree.get(other.as_str()).is_some_and(|other| reach.has_group(other))
            })),
        };
        let group = Arc::clone(tree.get(id.as_str())?);
        let standing = self.following.census.standing(&tree, id);
        Some(GroupView { group, path: tree.path(id.as_str()), depth: 0, standing })
    }

    /// The next group's id, in the order of time.
    fn next_id(&self) -> GroupId {
        GroupId::made(new_id_at(&self.ids, self.deps.clock.now()))
    }

    /// Answers with the group once it is counted: by `replied`, which has the rest of the answer.
    fn answer(
        &mut self,
        id: GroupId,
        replied: impl FnOnce(GroupView) -> PutGroupReply + 'static,
        reach: Reach,
        reply: oneshot::Sender<Result<PutGroupReply, GroupRefusal>>,
        ctx: &mut Context<Self>,
    ) {
        self.when_true(ctx, move |this, _| {
            // Somebody else may have removed it by now.
            let stored = this.view(&id, &reach).map(replied);
            send_reply(reply, stored.ok_or_else(|| GroupRefusal::Unknown(id.as_str().into())));
        });
    }
}

fn receipt(ctx: &mut Context<Groups>, change: Option<FleetChange>, then: GroupContinuation) -> Receipt {
    let me = ctx.address();
    Receipt::new(move |settled| {
        // Lost only when the hub shuts down; then no caller may be told that it was done.
        if let Ok(Accepted { seq, .. }) = settled {
            let _ = try_send_unbounded(&me, GroupChangeSettled { change: seq.zip(change), then });
        }
    })
}

impl Actor for Groups {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.read_all(ctx);
    }
}

impl Handler<GroupChangeSettled> for Groups {
    type Result = ();

    fn handle(&mut self, GroupChangeSettled { change, then }: GroupChangeSettled, ctx: &mut Context<Self>) {
        if let Some((seq, change)) = change {
            self.tree.redo(seq, &change);
        }
        then(self, ctx);
    }
}

//! The one timer wheel. Every wait, for a schedule's next run, a command's time-out, a mode's end, a silence, is one
//! entry here: a moment and the one to wake then: a device, automation, or the dialects. The twin itself knows what is
//! due, so an entry too many does no harm, and none is ever taken out.
//!
//! The deadlines are durable with the twins' rows, and are read from there at start. A moment here is of the wall
//! clock: schedules are about nothing else. When that is set, every sleeper is first notified of the difference, and
//! then woken: a wait for the end of a time span begins anew for the rest of it, and a schedule goes on by the new
//! time. No device is taken for silent over a time that never passed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture, SpawnHandle, WrapFuture,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::backoff::until_answered;
use crate::clock::new_id;
use crate::mailbox::{send_reply, try_send_unbounded};
use crate::messages::automation::AutomationDue;
use crate::messages::dialects::DialectsDue;
use crate::messages::supervisor::{Deliver, IfUnknown};
use crate::messages::timers::{Arm, ArmAutomation, ArmDialects, ClockMoved, StartTimers, Tick};
use crate::silence::HeardSince;
use twinhub_domain::clock::CLOCK_JUMP_MS;
use twinhub_domain::receipt::{NotAccepted, Receipt};
use twinhub_domain::{Cause, Clock, CommandId, DeviceId, DeviceNumber, Input, Timestamp};
use twinhub_store::{Deadline, Store};

/// Moments are rounded up to this many ms, so that many share an entry.
const GRAIN_MS: i64 = 10;
/// Moments further away than this many ms are rounded up to whole seconds.
const FAR_MS: i64 = 10_000;
/// The longest sleep while anything waits: the clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// Twins woken at once; the rest follows in the next turn, a millisecond later: so a message waits that long at most for
/// the many whose time has come together, and a start after a long night wakes a million twins without filling memory
/// with their messages.
const MOST_AT_ONCE: usize = 200;
const BETWEEN_TURNS: Duration = Duration::from_millis(20);
/// A twin that could not be woken is tried again after this.
const AGAIN_MS: i64 = 1_000;
/// Deadlines read from the store with one query.
const PAGE: u64 = 10_000;

/// The actor of the timers.
pub struct Timers {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// None before [`StartTimers`].
    begun: Option<StartTimers>,
    wheel: BTreeMap<Timestamp, Vec<WakeTarget>>,
    /// Sleepers that are due, in order, and wait for their turn.
    due: VecDeque<WakeTarget>,
    heard: Arc<HeardSince>,
    /// The sleep until the next look at the clock, and when it ends.
    sleeping: Option<(SpawnHandle, Instant)>,
    /// The clock and the one that only counts, when they were last compared.
    compared: (Timestamp, u64),
    /// The deadlines of the store are being read.
    loading: bool,
    /// The clock was set while they were: the hub follows once all are there.
    moved: Vec<(ClockMoved, Option<oneshot::Sender<()>>)>,
    /// Devices that are still to be notified that the clock was set, with both times. No sleeper is woken before all
    /// were.
    to_tell: VecDeque<(DeviceId, ClockMoved)>,
}

/// A sleeper. As large as a device's id alone.
#[derive(Debug)]
enum WakeTarget {
    Twin(DeviceId),
    Automation,
    Dialects,
}

impl Timers {
    /// Timers that wake no sleeper before [`StartTimers`].
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, heard: Arc<HeardSince>) -> Self {
        let now = clock.now();
        let compared = (now, clock.uptime_ms());
        Self {
            store,
            clock,
            begun: None,
            wheel: BTreeMap::new(),
            due: VecDeque::new(),
            heard,
            sleeping: None,
            compared,
            loading: false,
            moved: Vec::new(),
            to_tell: VecDeque::new(),
        }
    }

    /// Reads the deadlines that the store knows, page by page.
    fn load(&mut self, after: DeviceNumber, ctx: &mut Context<Self>) {
        let store = Arc::clone(&self.store);
        let page = async move { until_answered("what waits", || store.deadlines(after, PAGE)).await };
        ctx.spawn(page.into_actor(self).map(|page, this, ctx| {
            let Some(last) = page.last().map(|deadline| deadline.number) else { return this.loaded(ctx) };
            for deadline in page {
                this.add(deadline);
            }
            this.sleep(ctx);
            this.load(last, ctx);
        }));
    }

    /// Arms the deadlines from before the hub's shutdown. A silence begins anew: no device was heard meanwhile.
    fn add(&mut self, Deadline { device, wake_at, silence, .. }: Deadline) {
        if let Some(at) = wake_at {
            self.arm(WakeTarget::Twin(device.clone()), at);
        }
        if let Some((last_seen, silence_ms)) = silence {
            // A message from the future, by a clock that was set back since, proves nothing.
            let since = self.heard.since();
            let is_wrong = last_seen.millis() - self.hub_time().millis() > CLOCK_JUMP_MS;
            let heard = if is_wrong { since } else { last_seen.max(since) };
            self.arm(WakeTarget::Twin(device), heard.plus_millis(silence_ms));
        }
    }

    fn arm(&mut self, who: WakeTarget, at: Timestamp) {
        let far = at.millis() - self.hub_time().millis() > FAR_MS;
        let grain = if far { 1_000 } else { GRAIN_MS };
        let rounded = at.millis().saturating_add(grain - 1).div_euclid(grain) * grain;
        self.wheel.entry(Timestamp::from_millis(rounded)).or_default().push(who);
    }

    /// All deadlines are there.
    fn loaded(&mut self, ctx: &mut Context<Self>) {
        self.loading = false;
        for (moved, done) in std::mem::take(&mut self.moved) {
            self.follow(moved, done.is_some(), ctx);
            if let Some(done) = done {
                send_reply(done, ());
            }
        }
    }

    /// Follows a set clock. Sleepers are notified, then woken. `set_now`: the hub's clock is to follow; not where it
    /// began with the new time.
    fn follow(&mut self, moved: ClockMoved, set_now: bool, ctx: &mut Context<Self>) {
        if set_now {
            self.clock.follow(moved.to.millis().saturating_sub(moved.from.millis()));
        }
        let now = self.clock.now();
        self.compared = (now, self.clock.uptime_ms());
        self.heard.begin_again(now);
        let mut devices = BTreeSet::new();
        let waiting = std::mem::take(&mut self.wheel).into_values().flatten();
        for sleeper in self.due.drain(..).chain(waiting) {
            if let WakeTarget::Twin(device) = sleeper {
                devices.insert(device);
            }
        }
        self.to_tell.extend(devices.iter().map(|device| (device.clone(), moved)));
        let everybody =
            devices.into_iter().map(WakeTarget::Twin).chain([WakeTarget::Automation, WakeTarget::Dialects]);
        self.wheel.insert(now, everybody.collect());
        self.sleep(ctx);
    }

    /// Tells the next devices that the clock was set.
    fn notify_next(&mut self, ctx: &mut Context<Self>) {
        for _ in 0..MOST_AT_ONCE {
            let Some((device, ClockMoved { from, to })) = self.to_tell.pop_front() else { return };
            self.deliver(
                device,
                Input::ClockMoved { from, to },
                |device| NotifyClockMoved { device, moved: ClockMoved { from, to } },
                ctx,
            );
        }
    }

    /// Wakes the sleepers that are due, and sleeps until the next is.
    fn wake_due(&mut self, ctx: &mut Context<Self>) {
        if self.begun.is_none() || self.loading && !self.moved.is_empty() {
            return; // what is due then is found as soon as they have
        }
        self.notify_next(ctx);
        if !self.to_tell.is_empty() {
            return self.sleep(ctx);
        }
        let now = self.clock.now();
        self.compared = (now, self.clock.uptime_ms());
        while let Some(first) = self.wheel.first_entry()
            && *first.key() <= now
        {
            self.due.extend(first.remove());
        }
        for _ in 0..MOST_AT_ONCE {
            match self.due.pop_front() {
                Some(WakeTarget::Twin(device)) => self.wake(device, ctx),
                Some(WakeTarget::Automation) => self.tell_automation(),
                Some(WakeTarget::Dialects) => self.tell_dialects(),
                None => break,
            }
        }
        self.sleep(ctx);
    }

    fn tell_automation(&self) {
        if let Some(StartTimers { automation, .. }) = &self.begun {
            let _ = try_send_unbounded(automation, AutomationDue); // gone, it reads its deadlines at the next start
        }
    }

    fn tell_dialects(&self) {
        if let Some(StartTimers { dialects, .. }) = &self.begun {
            let _ = try_send_unbounded(dialects, DialectsDue); // gone, they begin again with the hub
        }
    }

    fn wake(&self, device: DeviceId, ctx: &mut Context<Self>) {
        let at = self.hub_time().plus_millis(AGAIN_MS);
        let input = Input::Wake { hearing: self.heard.hearing(), first_id: CommandId(new_id()) };
        self.deliver(device, input, |device| Arm { device, at }, ctx);
    }

    /// Tells a twin something; where that is lost on its way, `again` comes back to here.
    fn deliver<M>(
        &self,
        device: DeviceId,
        input: Input,
        again: impl FnOnce(DeviceId) -> M,
        ctx: &mut Context<Self>,
    ) where
        Self: Handler<M>,
        M: Message<Result = ()> + Send + 'static,
    {
        let Some(StartTimers { supervisor, .. }) = &self.begun else { return };
        let me = ctx.address();
        let again = again(device.clone());
        let deliver = Deliver {
            device,
            input,
            cause: Cause::hub(),
            receipt: Receipt::new(move |settled| {
                // Refused is one that is no more; lost is one that must not be forgotten.
                if let Err(NotAccepted::Lost) = settled {
                    let _ = try_send_unbounded(&me, again); // a hub that shuts down reads it from the store again
                }
            }),
            if_unknown: IfUnknown::Refuse,
            if_version: None,
            want_twin: false,
        };
        let _ = try_send_unbounded(supervisor, deliver); // the receipt is lost
    }

    /// The present time by reckoning, without reading the clock.
    fn hub_time(&self) -> Timestamp {
        let (wall, counted) = self.compared;
        let passed = self.clock.uptime_ms().saturating_sub(counted);
        wall.plus_millis(i64::try_from(passed).unwrap_or(i64::MAX))
    }

    fn sleep(&mut self, ctx: &mut Context<Self>) {
        let has_turn = !self.to_tell.is_empty() || !self.due.is_empty();
        let first = if has_turn { Some(Timestamp::default()) } else { self.wheel.keys().next().copied() };
        let Some(first) = first else { return };
        let wait = first.millis() - self.hub_time().millis();
        let wait = Duration::from_millis(u64::try_from(wait).unwrap_or(0));
        let wait = wait.clamp(BETWEEN_TURNS / 20, LONGEST_SLEEP);
        let until = Instant::now() + wait;
        if let Some((handle, ends)) = self.sleeping {
            if ends <= until && ends > Instant::now() {
                return;
            }
            ctx.cancel_future(handle);
        }
        let handle = ctx.run_later(wait, |this, ctx| {
            this.sleeping = None;
            this.wake_due(ctx);
        });
        self.sleeping = Some((handle, until));
    }
}

impl Actor for Timers {
    type Context = Context<Self>;
}

impl Handler<StartTimers> for Timers {
    type Result = ();

    fn handle(&mut self, begin: StartTimers, ctx: &mut Context<Self>) {
        self.loading = true;
        self.moved.extend(begin.moved.map(|moved| (moved, None)));
        self.begun = Some(begin);
        self.sleep(ctx);
        self.load(DeviceNumber::default(), ctx);
    }
}

impl Handler<Arm> for Timers {
    type Result = ();

    fn handle(&mut self, Arm { device, at }: Arm, ctx: &mut Context<Self>) {
        self.arm(WakeTarget::Twin(device), at);
        self.sleep(ctx);
    }
}

impl Handler<ClockMoved> for Timers {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, moved: ClockMoved, ctx: &mut Context<Self>) -> ResponseFuture<()> {
        let (done, followed) = oneshot::channel();
        self.moved.push((moved, Some(done)));
        if !self.loading {
            self.loaded(ctx);
        }
        Box::pin(async move {
            let _ = followed.await; // an error means the hub is shutting down
        })
    }
}

/// Tell this device that the clock was set: it was lost on its way.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct NotifyClockMoved {
    device: DeviceId,
    moved: ClockMoved,
}

impl Handler<NotifyClockMoved> for Timers {
    type Result = ();

    fn handle(&mut self, NotifyClockMoved { device, moved }: NotifyClockMoved, ctx: &mut Context<Self>) {
        self.to_tell.push_back((device, moved));
        ctx.run_later(BETWEEN_TURNS, Self::wake_due);
    }
}

impl Handler<ArmAutomation> for Timers {
    type Result = ();

    fn handle(&mut self, ArmAutomation { at }: ArmAutomation, ctx: &mut Context<Self>) {
        self.arm(WakeTarget::Automation, at);
        self.sleep(ctx);
    }
}

impl Handler<ArmDialects> for Timers {
    type Result = ();

    fn handle(&mut self, ArmDialects { at }: ArmDialects, ctx: &mut Context<Self>) {
        self.arm(WakeTarget::Dialects, at);
        self.sleep(ctx);
    }
}

impl Handler<Tick> for Timers {
    type Result = ();

    fn handle(&mut self, _: Tick, ctx: &mut Context<Self>) {
        self.wake_due(ctx);
    }
}

//! The engine's view of what happens: events in their order, and between them the time.
//!
//! When it is late, after a stall or a sleep of the machine, it goes from deadline to deadline, and what comes of one
//! is done before the next: then too it does what it would have done in time.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

use crate::messages::feed::EventBatch;
use twinhub_domain::run::AutomationSignal;
use twinhub_domain::{EventBody, Recorded, Timestamp};
use twinhub_rules::Engine;

/// A deadline that comes later than this is late.
const LATE_MS: i64 = 1_000;
/// Effects that were asked for hold the time back no longer than this.
const LONGEST_HOLD_MS: u64 = 2_000;
/// No more is read from the feed while so many events wait to be seen.
const ENOUGH: usize = 10_000;

/// The place of the engine in what happens, and its next step.
#[derive(Default)]
pub(super) struct EventFollower {
    /// None while it is read from.
    pub live: Option<broadcast::Receiver<EventBatch>>,
    /// Events that came and were not seen yet.
    pub queue: VecDeque<Arc<Recorded>>,
    /// The last event that the engine has seen.
    pub cursor: u64,
    /// Effects that were asked for and not answered yet.
    pub under_way: usize,
    /// Since when they hold the time back, on the clock that only counts.
    held_since: Option<u64>,
    /// The moment that the engine's time is to go on to, once it has seen everything up to there in the sequence.
    pub due: Option<(Timestamp, u64)>,
    /// It waits for the journal before the time goes on.
    pub comes_due: bool,
    /// The deadline that the timers know.
    pub armed: Option<Timestamp>,
    /// The number of times that it has seen the clock set.
    pub moves: u32,
    /// The feed has dropped events that were not taken from it: they are to be read from the store.
    missing: bool,
    /// There are rules, so that somebody waits for what comes of an event.
    pub has_rules: bool,
    rest: FeedRest,
}

/// The rest between two looks at the feed while there are no rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FeedRest {
    #[default]
    Due,
    Begun,
    Over,
}

/// The engine's next step.
pub(super) enum NextStep {
    See(Arc<Recorded>),
    Advance(Timestamp),
}

impl EventFollower {
    /// The feed, to be read from; none while it is, and where enough waits to be seen.
    pub fn feed(&mut self) -> Option<broadcast::Receiver<EventBatch>> {
        if self.queue.len() >= ENOUGH {
            return None;
        }
        self.rest = FeedRest::Due;
        self.live.take()
    }

    /// Is the feed not to be read from before a rest? It costs each commit the wake-up of this thread, which without
    /// rules is for nothing.
    pub fn rests(&self) -> bool {
        !self.has_rules && self.rest != FeedRest::Over && self.live.is_some()
    }

    /// Begins the rest; false where it was begun before.
    pub fn begin_rest(&mut self) -> bool {
        std::mem::replace(&mut self.rest, FeedRest::Begun) != FeedRest::Begun
    }

    /// The rest is over.
    pub fn end_rest(&mut self) {
        self.rest = FeedRest::Over;
    }

    /// Has the feed dropped events since this was asked last? Then they are to be caught up with before anything goes on.
    #[must_use]
    pub fn take_missing(&mut self) -> bool {
        std::mem::take(&mut self.missing)
    }

    /// Takes what has come during a rest.
    pub fn enqueue_waiting(&mut self) {
        self.enqueue(&EventBatch::from([]));
    }

    /// A batch has come, and perhaps more meanwhile.
    pub fn enqueue(&mut self, batch: &EventBatch) {
        self.queue.extend(batch.iter().cloned());
        while let Some(live) = &mut self.live
            && self.queue.len() < ENOUGH
            && !self.missing
        {
            match live.try_recv() {
                Ok(batch) => self.queue.extend(batch.iter().cloned()),
                // It goes on behind what it has dropped, which must come first.
                Err(TryRecvError::Lagged(_)) => self.missing = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// The engine's next step, as far as everything before it was seen.
    pub fn next(&mut self, engine: &Engine, uptime_ms: u64) -> Option<NextStep> {
        let (until, is_event) = match (self.queue.front(), self.due) {
            (Some(recorded), _) => (time_before(engine, recorded), true),
            (None, Some((now, seq))) if self.cursor >= seq => (engine.by_new_clock(now), false),
            _ => return None,
        };
        let late = engine.next().filter(|next| until.millis() - next.millis() > LATE_MS);
        match late {
            Some(_) if self.holds_time(uptime_ms) => None,
            Some(late) => Some(NextStep::Advance(late)),
            None if is_event => self.queue.pop_front().map(NextStep::See),
            None => {
                self.due = None;
                Some(NextStep::Advance(until))
            }
        }
    }

    /// The engine is about to see this event.
    pub fn mark_seen(&mut self, recorded: &Recorded) {
        self.cursor = recorded.seq;
        if let EventBody::Signal(signal) = &recorded.event.body
            && matches!(**signal, AutomationSignal::ClockMoved { .. })
        {
            self.moves = self.moves.wrapping_add(1);
        }
    }

    /// Late as it is, what was asked for is done first, unless that takes too long.
    fn holds_time(&mut self, uptime_ms: u64) -> bool {
        if self.under_way == 0 {
            self.held_since = None;
            return false;
        }
        let since = *self.held_since.get_or_insert(uptime_ms);
        uptime_ms.saturating_sub(since) < LONGEST_HOLD_MS
    }

    /// Must the timers be armed for this deadline?
    pub fn arm(&mut self, next: Timestamp) -> bool {
        let is_sooner = self.armed.is_none_or(|armed| next < armed);
        if is_sooner {
            self.armed = Some(next);
        }
        is_sooner
    }
}

/// Up to when the engine's time goes on before it sees this.
fn time_before(engine: &Engine, recorded: &Recorded) -> Timestamp {
    let received = || engine.by_new_clock(recorded.event.received_at);
    match &recorded.event.body {
        EventBody::Signal(signal) => match **signal {
            AutomationSignal::Started { down_since } => down_since,
            AutomationSignal::ClockMoved { from, .. } => from,
            _ => received(),
        },
        _ => received(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinhub_domain::{Cause, DeviceId, DeviceNumber, Event};
    use twinhub_rules::RuleFile;
    use twinhub_rules::model::RuleOrigin;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    /// An engine at the beginning of time with a rule that is due each minute.
    fn engine() -> Engine {
        let text = "rules: { r: { triggers: { every: 1m }, actions: { log: x } } }";
        let mut engine = Engine::new(at(0));
        engine.exchange(RuleFile::parse(text, &RuleOrigin::Api).unwrap().rules);
        engine
    }

    fn event(seq: u64, received_at: Timestamp) -> Arc<Recorded> {
        let body = EventBody::Signal(Box::new(AutomationSignal::Run {
            rule: twinhub_domain::run::RuleId::parse("r").unwrap(),
            unconditional: false,
        }));
        let (device, number) = (DeviceId::none(), DeviceNumber::default());
        let event = Event { device, number, at: received_at.into(), received_at, body, cause: Cause::hub() };
        Arc::new(Recorded::new(seq, event))
    }

    fn shown(next: Option<NextStep>) -> String {
        match next {
            None => "nothing".to_owned(),
            Some(NextStep::See(recorded)) => format!("see {}", recorded.seq),
            Some(NextStep::Advance(to)) => format!("advance {}", to.millis()),
        }
    }

    #[test]
    fn a_late_deadline_comes_before_the_event() {
        let mut following = EventFollower::default();
        following.queue.extend([event(1, at(60_500)), event(2, at(90_000))]);
        let engine = engine();
        assert_eq!(shown(following.next(&engine, 0)), "see 1", "half a second is on time");
        assert_eq!(shown(following.next(&engine, 0)), "advance 60000");
        following.under_way = 1;
        assert_eq!(shown(following.next(&engine, 10)), "nothing", "what was asked for comes first");
        assert_eq!(shown(following.next(&engine, 2_009)), "nothing");
        assert_eq!(shown(following.next(&engine, 2_010)), "advance 60000", "but not for ever");
    }

    #[test]
    fn without_rules_the_feed_is_read_after_a_rest() {
        let (feed, live) = broadcast::channel(10);
        let mut following = EventFollower { live: Some(live), ..EventFollower::default() };
        assert!(following.rests() && following.begin_rest());
        assert!(following.rests() && !following.begin_rest(), "one rest at a time");
        feed.send(EventBatch::from([event(1, at(1))])).unwrap();
        following.enqueue_waiting();
        assert_eq!(following.queue.len(), 1, "before the first rule, what came before it is seen");
        following.end_rest();
        assert!(!following.rests());
        let live = following.feed();
        assert!(!following.rests(), "it is read from");
        following.live = live;
        assert!(following.rests());
        following.has_rules = true;
        assert!(!following.rests());
    }

    #[test]
    fn events_that_the_feed_has_dropped_are_missed() {
        let (feed, live) = broadcast::channel(2);
        let mut following = EventFollower { live: Some(live), ..EventFollower::default() };
        let send = |seqs: std::ops::Range<u64>| {
            for seq in seqs {
                feed.send(EventBatch::from([event(seq, at(1))])).unwrap();
            }
        };
        send(1..6);
        following.enqueue_waiting();
        assert!(following.queue.is_empty(), "what stands behind a gap waits");
        assert!(following.take_missing() && !following.take_missing());
        following.enqueue_waiting();
        assert_eq!(following.queue.len(), 2, "what is left in the feed; what was dropped is read before");
        send(6..11);
        following.enqueue(&EventBatch::from([event(5, at(1))]));
        assert!(following.take_missing(), "also behind a batch that came");
    }

    #[test]
    fn time_goes_on_once_all_before_was_seen() {
        let mut following = EventFollower { due: Some((at(500), 3)), ..EventFollower::default() };
        let engine = engine();
        assert_eq!(shown(following.next(&engine, 0)), "nothing");
        following.cursor = 3;
        assert_eq!(shown(following.next(&engine, 0)), "advance 500");
        assert_eq!(shown(following.next(&engine, 0)), "nothing");
    }
}

//! A trigger has fired: does its rule run?

use super::latch::Latch;
use super::program::List;
use super::run::{Run, Turn, Waits};
use super::scope::{Folded, Key};
use super::work::{Work, key};
use super::{ActId, ActResult};
use crate::domain::rules::model::RunMode;
use crate::domain::rules::record::{
    ConditionSeen, RunEntry, RunId, RunKind, RunOutcome, TriggerSeen, WhyNot,
};
use crate::domain::{Cause, DeviceId, DeviceNumber, Json, Object, Timestamp};

use super::state::Job;

/// So many runs stand above a run at most: deeper, rules set each other off in a circle.
pub(super) const DEEPEST: u8 = 8;

/// So many firings wait for a decision at most: the world takes that long over acts only when it is stuck.
const MOST_UNDECIDED: usize = 1_000;

/// In place of a trigger's number in a run's name, where no trigger fired it.
pub(super) const BY_HAND: u16 = u16::MAX;
pub(super) const BY_RULE: u16 = u16::MAX - 1;
/// Set in the trigger's number in the name of what is done when it is over.
const OVER: u16 = 0x8000;

/// A trigger that fired.
#[derive(Clone, Debug)]
pub(super) struct Firing {
    pub rule: u32,
    pub device: Option<(DeviceId, DeviceNumber)>,
    pub kind: RunKind,
    /// The trigger; or [`BY_HAND`], [`BY_RULE`].
    pub index: u16,
    pub word: &'static str,
    pub data: Object,
    pub seq: Option<u64>,
    pub cause: Option<Cause>,
    /// What distinguishes it from others of this trigger and device: a place in the sequence, a moment.
    pub what: i64,
    pub at: Timestamp,
    /// The trigger has a latch.
    pub latch: bool,
    pub unconditional: bool,
    /// It makes up for a time that passed: it waits for its turn, whatever the mode, and the breaker lets it be.
    pub made_up: bool,
    /// The act that is answered with what comes of it.
    pub caller: Option<ActId>,
    /// It is done after this run: what that ran for is over.
    pub after: Option<RunId>,
}

/// Why not, a sentence, and which condition it was.
type Refusal = (WhyNot, String, Option<u16>);

impl Firing {
    /// One of an ordinary trigger.
    pub fn new(
        rule: u32,
        index: u16,
        word: &'static str,
        device: Option<(DeviceId, DeviceNumber)>,
        data: Object,
        at: Timestamp,
    ) -> Self {
        Self {
            rule,
            device,
            kind: RunKind::Trigger,
            index,
            word,
            data,
            seq: None,
            cause: None,
            what: at.millis(),
            at,
            latch: false,
            unconditional: false,
            made_up: false,
            caller: None,
            after: None,
        }
    }

    /// The same, brought about by an event.
    pub fn by(mut self, seq: u64, cause: &Cause) -> Self {
        self.seq = Some(seq);
        self.cause = Some(cause.clone());
        self.what = i64::try_from(seq).unwrap_or(i64::MAX);
        self
    }
}

impl Work<'_> {
    /// Decides what becomes of a firing, and answers whoever asked for it.
    pub fn fire(&mut self, firing: Firing) {
        let caller = firing.caller;
        let at = firing.at;
        let result = self.decide_firing(firing);
        if let Some(caller) = caller {
            let (made, failed) = match result {
                Ok(run) => (Some(run.to_string().into()), None),
                Err((why, detail, _)) => {
                    (None, Some(("skipped".into(), format!("{}: {detail}", why.as_str()))))
                }
            };
            let result = ActResult { made, failed, ..ActResult::default() };
            self.state.jobs.push_back(Job::Answer(caller, result, at));
        }
    }

    /// A firing of which nothing comes, and why.
    pub fn pass_over(&mut self, firing: Firing, why: WhyNot, detail: String) {
        self.state.counts.evaluations += 1;
        let key = key(firing.rule, firing.device.as_ref());
        let run = self.run_of(firing);
        self.refuse(key, run, &(why, detail, None));
    }

    fn decide_firing(&mut self, firing: Firing) -> Result<RunId, Refusal> {
        self.state.counts.evaluations += 1;
        let (rule, at) = (firing.rule, firing.at);
        let (unconditional, after) = (firing.unconditional, firing.after);
        let key = key(rule, firing.device.as_ref());
        let mut run = self.run_of(firing);
        if run.entry.depth >= DEEPEST {
            let refusal = (
                WhyNot::Depth,
                format!("{} runs stand above it: rules go in a circle", run.entry.depth),
                None,
            );
            let is_in_circle = self.is_above(&run.entry);
            self.refuse(key, run, &refusal);
            if is_in_circle {
                self.stop(rule, "rules set each other off in a circle", at);
            }
            return Err(refusal);
        }
        if let Some(why) = self.state.levels[rule as usize].stopped.clone() {
            let refusal = (WhyNot::Stopped, why.into_string(), None);
            self.refuse(key, run, &refusal);
            return Err(refusal);
        }
        if let Some(after) = after {
            return Ok(self.put_after(key, run, after, at));
        }
        if !unconditional && let Err(refusal) = self.ask_conditions(rule, &mut run.entry) {
            self.refuse(key, run, &refusal);
            if refusal.0 == WhyNot::Panic {
                self.stop(rule, "a condition died: a fault of the program", at);
            }
            return Err(refusal);
        }
        let id = run.entry.id;
        self.mark_latch(key, &run, Some(id));
        self.decide(key, run, at, false).map(|()| id)
    }

    fn run_of(&self, firing: Firing) -> Run {
        let Firing { rule, device, kind, index, word, data, seq, cause, what, at, .. } = firing;
        let rule = self.book.rule(rule);
        let (id, number) = device.unzip();
        let number = number.unwrap_or_default();
        let above = cause.as_ref().and_then(|cause| cause.run.as_deref());
        let named = if kind == RunKind::Release { index | OVER } else { index };
        let entry = RunEntry {
            id: RunId::of(&rule.id, named, number, what, at),
            rule: rule.id.clone(),
            device: id,
            number,
            at,
            ended_at: None,
            kind,
            parent: above.map(|above| above.id),
            depth: above.map_or(0, |above| above.depth.saturating_add(1)),
            trigger: TriggerSeen {
                index: if index >= BY_RULE { 0 } else { index },
                kind: word.into(),
                data,
                seq,
                cause,
            },
            conditions: Vec::new(),
            outcome: RunOutcome::Running,
            actions: Vec::new(),
            count: 1,
            last_at: at,
        };
        Run {
            entry,
            list: if kind == RunKind::Release { List::OnRelease } else { List::Actions },
            at: 0,
            waits: Waits::Turn(Turn::Undecided),
            latch: firing.latch.then_some(index),
            made_up: firing.made_up,
            confirms: Vec::new(),
        }
    }

    fn ask_conditions(&self, rule: u32, entry: &mut RunEntry) -> Result<(), Refusal> {
        let conditions = &self.book.rule(rule).conditions;
        let mut refusal = None;
        if conditions.is_empty() {
            // A rule without conditions can die in a test, too.
            self.guard(rule, || ()).map_err(|_| died())?;
        }
        for (index, condition) in conditions.iter().enumerate() {
            let sight = (&entry.trigger.data, entry.device.as_ref());
            let seen = self.look(rule, condition, sight, entry.at).map_err(|_| died())?;
            if refusal.is_none() && seen.holds != Some(true) {
                refusal = Some(refusal_of(&seen, u16::try_from(index).unwrap_or(u16::MAX)));
            }
            entry.conditions.push(seen);
        }
        refusal.map_or(Ok(()), Err)
    }

    /// What the mode, the cooldown and the breaker say to a run whose conditions hold. `again`: it has waited for
    /// this decision.
    fn decide(&mut self, key: Key, mut run: Run, at: Timestamp, again: bool) -> Result<(), Refusal> {
        let rule = self.book.rule(key.rule);
        let max = usize::from(rule.max.max(1));
        let (mut going, mut queued, mut undecided) = (0, 0, 0);
        if let Some(scope) = self.state.scopes.get(&key) {
            for other in &scope.runs {
                match other.waits {
                    Waits::Turn(Turn::Queued) => queued += 1,
                    Waits::Turn(Turn::Undecided) => undecided += 1,
                    _ => going += usize::from(other.is_main()),
                }
            }
        }
        if self.is_unsettled(key) || (undecided > 0 && !again) {
            if undecided >= MOST_UNDECIDED {
                return Err(self.refuse_run(key, run, WhyNot::TooMany, "the hub does not come after"));
            }
            self.put_run(key, run);
            return Ok(());
        }
        let rests_until = self.state.scopes.get(&key).and_then(|scope| scope.rests_until);
        if let Some(until) = rests_until.filter(|until| *until > run.entry.at)
            && run.entry.kind != RunKind::Manual
        {
            return Err(self.refuse_run(key, run, WhyNot::Cooldown, &format!("it rests until {until}")));
        }
        let mode = if run.made_up { RunMode::Queued } else { rule.mode };
        match mode {
            RunMode::Single if going > 0 => {
                let detail = "it still runs for this device, and its mode is single";
                return Err(self.refuse_run(key, run, WhyNot::StillRunning, detail));
            }
            RunMode::Parallel if going >= max => {
                return Err(self.refuse_run(key, run, WhyNot::TooMany, &format!("{going} run at once")));
            }
            RunMode::Queued if going > 0 && queued >= max && !run.made_up => {
                return Err(self.refuse_run(key, run, WhyNot::TooMany, &format!("{queued} wait already")));
            }
            RunMode::Queued if going > 0 => {
                run.waits = Waits::Turn(Turn::Queued);
                self.state.say(run.entry.clone(), true);
                self.put_run(key, run);
                return Ok(());
            }
            RunMode::Restart => self.abort_where(key, "restart", at, Run::is_main),
            RunMode::Single | RunMode::Queued | RunMode::Parallel => {}
        }
        self.begin(key, run, at)
    }

    /// Is a run about to come to its end or to a wait, so that what is to become of others is not clear yet?
    fn is_unsettled(&self, key: Key) -> bool {
        let Some(scope) = self.state.scopes.get(&key) else { return false };
        let rule = self.book.rule(key.rule);
        let hurries = scope.runs.iter().any(Run::is_hurrying);
        let going = scope.runs.iter().filter(|run| run.is_main()).count();
        hurries && (rule.mode != RunMode::Parallel || going >= usize::from(rule.max.max(1)))
    }

    fn begin(&mut self, key: Key, mut run: Run, at: Timestamp) -> Result<(), Refusal> {
        let breaker = self.book.rule(key.rule).breaker;
        let from = run.entry.at.plus_millis(-breaker.within_ms);
        let device = run.entry.device.clone();
        let scope = self.state.scope(key, device.as_ref());
        scope.recent.retain(|began| *began > from);
        if !run.made_up && scope.recent.len() >= usize::from(breaker.runs) {
            let why = format!("{} runs within {} s", scope.recent.len(), breaker.within_ms / 1_000);
            let refusal = self.refuse_run(key, run, WhyNot::Stopped, &why);
            self.stop(key.rule, &why, at);
            return Err(refusal);
        }
        if !run.made_up {
            scope.recent.push(run.entry.at);
        }
        scope.folded = None;
        if let Some(latch) = run.latch {
            // What it ran for was over, and is there again.
            let over = |other: &Run| other.entry.kind == RunKind::Release && other.latch == Some(latch);
            self.abort_where(key, "restart", at, over);
        }
        self.state.counts.runs += 1;
        self.state.remember(&run.entry);
        run.waits = Waits::Acts { open: Vec::new(), failed: None };
        self.start(key, run, at);
        Ok(())
    }

    fn start(&mut self, key: Key, run: Run, at: Timestamp) {
        let id = run.entry.id;
        self.state.say(run.entry.clone(), true);
        self.put_run(key, run);
        self.drive(id, at);
    }

    /// Does a run of its own rule stand above it? Then it is in the circle, and not only at its end.
    fn is_above(&self, entry: &RunEntry) -> bool {
        let mut above = entry.parent;
        while let Some((rule, parent)) = above.and_then(|id| self.state.parent_of(id)) {
            if *rule == entry.rule {
                return true;
            }
            above = parent;
        }
        false
    }

    fn put_after(&mut self, key: Key, mut run: Run, after: RunId, at: Timestamp) -> RunId {
        let id = run.entry.id;
        let goes_on = |run: &Run| run.entry.id == after;
        if self.state.scopes.get(&key).is_some_and(|scope| scope.runs.iter().any(goes_on)) {
            run.waits = Waits::Turn(Turn::After(after));
            self.put_run(key, run);
        } else {
            run.waits = Waits::Acts { open: Vec::new(), failed: None };
            self.start(key, run, at);
        }
        id
    }

    /// Lets those begin whose turn has come.
    pub fn give_turns(&mut self, key: Key, at: Timestamp) {
        while let Some(id) = self.next_turn(key) {
            let Some((_, mut run)) = self.take_run(id) else { return };
            match run.waits {
                Waits::Turn(Turn::Undecided) => {
                    // What comes of it is told by its entry.
                    let _ = self.decide(key, run, at, true);
                }
                Waits::Turn(Turn::Queued) => {
                    let _ = self.begin(key, run, at);
                }
                _ => {
                    run.waits = Waits::Acts { open: Vec::new(), failed: None };
                    self.start(key, run, at);
                }
            }
        }
    }

    fn next_turn(&self, key: Key) -> Option<RunId> {
        let runs = &self.state.scopes.get(&key)?.runs;
        let is_busy = runs.iter().any(Run::is_main);
        let is_unsettled = self.is_unsettled(key);
        let may = |run: &&Run| match run.waits {
            Waits::Turn(Turn::Undecided) => !is_unsettled,
            Waits::Turn(Turn::Queued) => !is_busy,
            Waits::Turn(Turn::After(before)) => !runs.iter().any(|other| other.entry.id == before),
            _ => false,
        };
        runs.iter().find(may).map(|run| run.entry.id)
    }

    /// Gives up those runs of a scope that `which` says.
    pub fn abort_where(&mut self, key: Key, reason: &str, at: Timestamp, which: impl Fn(&Run) -> bool) {
        let Some(scope) = self.state.present(key) else { return };
        let (given_up, stay) = std::mem::take(&mut scope.runs).into_iter().partition(|run| which(run));
        scope.runs = stay;
        let given_up: Vec<Run> = given_up;
        for run in given_up {
            self.abort(run, reason, at);
        }
    }

    fn refuse_run(&mut self, key: Key, run: Run, why: WhyNot, detail: &str) -> Refusal {
        let refusal = (why, detail.to_owned(), None);
        self.refuse(key, run, &refusal);
        refusal
    }

    /// Says that a rule did not run. The same again is counted where it was said first.
    fn refuse(&mut self, key: Key, run: Run, (why, detail, condition): &Refusal) {
        self.mark_latch(key, &run, None);
        self.state.running.remove(&run.entry.id);
        let device = run.entry.device.clone();
        let id = run.entry.id;
        let mut entry = run.entry;
        entry.outcome = RunOutcome::NotRun { why: *why, detail: detail.as_str().into() };
        let scope = self.state.scope(key, device.as_ref());
        // What was to be done after it is not: it did not run.
        scope.runs.retain(|other| !matches!(other.waits, Waits::Turn(Turn::After(before)) if before == id));
        let index = entry.trigger.index;
        let same =
            |folded: &Folded| folded.why == *why && folded.condition == *condition && folded.index == index;
        let mut tell = true;
        match scope.folded.as_deref_mut().filter(|folded| same(folded)) {
            Some(folded) => {
                folded.count = folded.count.saturating_add(1);
                (entry.id, entry.at, entry.count) = (folded.id, folded.at, folded.count);
                tell = false;
            }
            None => {
                let (id, at) = (entry.id, entry.at);
                let folded = Folded { id, at, count: 1, index, why: *why, condition: *condition };
                scope.folded = Some(Box::new(folded));
            }
        }
        entry.ended_at = Some(entry.last_at);
        self.state.say(entry, tell);
    }

    /// Writes down at a run's latch whether it ran.
    fn mark_latch(&mut self, key: Key, run: &Run, ran: Option<RunId>) {
        let Some(trigger) = run.latch else { return };
        let Some(scope) = self.state.present(key) else { return };
        let is_of_run = |of: &Option<RunId>| of.is_none() || *of == Some(run.entry.id);
        if let Some(Latch::Fired { ran: before }) = scope.latch(trigger)
            && is_of_run(before)
        {
            scope.set_latch(trigger, Some(Latch::Fired { ran }));
        }
    }
}

fn died() -> Refusal {
    (WhyNot::Panic, "the evaluation died: a fault of the program".to_owned(), None)
}

fn refusal_of(seen: &ConditionSeen, index: u16) -> Refusal {
    if seen.holds == Some(false) {
        return (WhyNot::Condition, format!("{} does not hold", seen.text), Some(index));
    }
    let why =
        seen.terms.iter().find_map(|term| term.unknown.as_deref()).unwrap_or("something in it is not known");
    (WhyNot::Unknown, format!("{} is not known: {why}", seen.text), Some(index))
}

/// What `trigger` is in conditions and messages.
pub(super) fn data<const N: usize>(id: &str, kind: &'static str, more: [(&'static str, Json); N]) -> Object {
    // There is always a value, and one before it: a message that names them is no mistake.
    let is_said =
        |(name, value): &(&str, Json)| *value != Json::Null || matches!(*name, "value" | "previous");
    let mut data: Object = more.into_iter().filter(is_said).collect();
    data.insert("kind", kind.into());
    if !id.is_empty() {
        data.insert("id", id.into());
    }
    data
}

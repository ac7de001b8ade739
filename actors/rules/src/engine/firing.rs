//! A trigger has fired: does its rule run?

use super::arbitration::Arbiter;
use super::evaluator::Evaluator;
use super::index::RuleIndex;
use super::program::List;
use super::run::{RunState, RunWait, TurnWait};
use super::scope::ScopeKey;
use super::state::Followup;
use super::{EffectId, EffectResult};
use twinhub_domain::run::{ConditionSeen, RunEntry, RunId, RunKind, RunOutcome, TriggerSeen, WhyNot};
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Json, Object, Timestamp};

/// So many runs stand above a run at most: deeper, rules set each other off in a circle.
const DEEPEST: u8 = 8;

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
    /// The number that distinguishes it from others of this trigger and device: a place in the sequence, a moment.
    pub what: i64,
    pub at: Timestamp,
    /// The trigger has a latch.
    pub latch: bool,
    pub unconditional: bool,
    /// It makes up for a time that passed: it waits for its turn, whatever the mode, and the breaker lets it be.
    pub made_up: bool,
    /// The act that is answered with what comes of it.
    pub caller: Option<EffectId>,
    /// It is done after this run: what that ran for is over.
    pub after: Option<RunId>,
}

/// The reason, a sentence, and which condition it was.
pub(super) type RunRefusal = (WhyNot, String, Option<u16>);

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

    /// The run that it may become.
    fn into_run(self, index: &RuleIndex) -> RunState {
        let latch = self.latch.then_some(self.index);
        let Self { rule, device, kind, index: trigger, word, data, seq, cause, what, at, made_up, .. } = self;
        let rule = index.rule(rule);
        let (id, number) = device.unzip();
        let number = number.unwrap_or_default();
        let above = cause.as_ref().and_then(|cause| cause.run.as_deref());
        let named = if kind == RunKind::Release { trigger | OVER } else { trigger };
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
                index: if trigger >= BY_RULE { 0 } else { trigger },
                kind: word.into(),
                data,
                seq,
                cause,
            },
            conditions: Vec::new(),
            outcome: RunOutcome::Running,
            actions: Vec::new(),
            targets: Vec::new(),
            count: 1,
            last_at: at,
        };
        RunState {
            entry,
            list: if kind == RunKind::Release { List::OnRelease } else { List::Actions },
            at: 0,
            waits: RunWait::Turn(TurnWait::Undecided),
            latch,
            made_up,
            shifted_ms: 0,
            confirms: Vec::new(),
        }
    }
}

impl Arbiter<'_> {
    /// Decides what becomes of a firing, and answers whoever asked for it.
    pub fn fire(&mut self, firing: Firing) {
        let caller = firing.caller;
        let at = firing.at;
        let result = self.decide_firing(firing);
        if let Some(caller) = caller {
            let result = match result {
                Ok(run) => EffectResult { made: Some(run.to_string().into()), ..EffectResult::default() },
                Err((why, detail, _)) => {
                    EffectResult::failed("skipped", format!("{}: {detail}", why.as_str()))
                }
            };
            self.state.follow_up(Followup::Answer(caller, result, at));
        }
    }

    /// A firing of which nothing comes, and why.
    pub fn pass_over(&mut self, firing: Firing, why: WhyNot, detail: String) {
        self.state.counts.evaluations += 1;
        let key = ScopeKey::new(firing.rule, firing.device.as_ref());
        let run = firing.into_run(self.index);
        self.refuse(key, run, &(why, detail, None));
    }

    fn decide_firing(&mut self, firing: Firing) -> Result<RunId, RunRefusal> {
        self.state.counts.evaluations += 1;
        let (rule, at) = (firing.rule, firing.at);
        let (unconditional, after) = (firing.unconditional, firing.after);
        let key = ScopeKey::new(rule, firing.device.as_ref());
        let mut run = firing.into_run(self.index);
        if run.entry.depth >= DEEPEST {
            let refusal = (
                WhyNot::Depth,
                format!("{} runs stand above it: rules go in a circle", run.entry.depth),
                None,
            );
            let is_in_circle = self.state.runs.is_in_circle(&run.entry);
            self.refuse(key, run, &refusal);
            if is_in_circle {
                self.state.stop(self.index, rule, "rules set each other off in a circle", at);
            }
            return Err(refusal);
        }
        if let Some(why) = self.state.scopes.rule(rule).stopped.clone() {
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
                self.state.stop(self.index, rule, "a condition died: a fault of the program", at);
            }
            return Err(refusal);
        }
        let id = run.entry.id;
        self.mark_latch(key, &run, Some(id));
        self.decide(key, run, at, false).map(|()| id)
    }

    fn ask_conditions(&self, rule: u32, entry: &mut RunEntry) -> Result<(), RunRefusal> {
        let conditions = &self.index.rule(rule).conditions;
        let evaluator = Evaluator { index: self.index, world: self.world, dies: self.state.dies() };
        let mut refusal = None;
        if conditions.is_empty() {
            // A rule without conditions can die in a test, too.
            evaluator.guard(rule, || ()).map_err(|_| died())?;
        }
        for (index, condition) in conditions.iter().enumerate() {
            let seen = evaluator.condition(rule, condition, entry, entry.at).map_err(|_| died())?;
            if refusal.is_none() && seen.holds != Some(true) {
                refusal = Some(refusal_of(&seen, u16::try_from(index).unwrap_or(u16::MAX)));
            }
            entry.conditions.push(seen);
        }
        refusal.map_or(Ok(()), Err)
    }
}

fn died() -> RunRefusal {
    (WhyNot::Panic, "the evaluation died: a fault of the program".to_owned(), None)
}

fn refusal_of(seen: &ConditionSeen, index: u16) -> RunRefusal {
    if seen.holds == Some(false) {
        return (WhyNot::Condition, format!("{} does not hold", seen.text), Some(index));
    }
    let why =
        seen.terms.iter().find_map(|term| term.unknown.as_deref()).unwrap_or("something in it is not known");
    (WhyNot::Unknown, format!("{} is not known: {why}", seen.text), Some(index))
}

/// The value of `trigger` in conditions and messages.
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

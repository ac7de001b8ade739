//! Backtest: the runs of rules over the events of the past.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use super::engine::{Effect, EffectRequest, EffectResult, Engine, EngineOutput};
use super::expression::Twins as _;
use twinhub_domain::run::AutomationSignal;
use twinhub_domain::run::RuleId;
use twinhub_domain::run::{RunEntry, RunId, RunOutcome, WhyNot};
use twinhub_domain::{DeviceId, DeviceNumber, EventBody, Mode, Recorded, Timestamp};

/// A replay on a virtual clock. Feed it every event in the order of the sequence, then finish it.
///
/// Effects of the rules are answered at once, and not carried out: the past has its own consequences in it. A device in
/// manual mode refuses, and so does one that is offline; a command counts as executed.
#[derive(Debug)]
pub struct Backtest {
    engine: Engine,
    from: Timestamp,
    to: Timestamp,
    runs: Vec<RunEntry>,
    /// The place of each run in `runs`.
    places: HashMap<RunId, usize>,
    stopped: Vec<(RuleId, Box<str>)>,
}

/// The difference between two sets of runs.
#[derive(Debug, Default)]
pub struct Difference {
    /// Runs of both, by their number.
    pub same: usize,
    pub only_first: Vec<RunEntry>,
    pub only_second: Vec<RunEntry>,
}

impl Backtest {
    /// A replay of `engine`'s rules that reports runs in `from <= at < to`.
    #[must_use]
    pub fn new(engine: Engine, from: Timestamp, to: Timestamp) -> Self {
        Self { engine, from, to, runs: Vec::new(), places: HashMap::new(), stopped: Vec::new() }
    }

    /// The next event.
    pub fn observe(&mut self, recorded: &Recorded) {
        // Dues of before are done before, each at its time: the world had answered by then.
        self.go_to(match &recorded.event.body {
            EventBody::Signal(signal) => match **signal {
                AutomationSignal::Started { down_since } => down_since,
                AutomationSignal::ClockMoved { from, .. } => from,
                _ => self.engine.by_new_clock(recorded.event.received_at),
            },
            _ => self.engine.by_new_clock(recorded.event.received_at),
        });
        let step = self.engine.observe(recorded);
        if !is_empty(&step) {
            self.take(step);
        }
    }

    /// Rules that were stopped on the way, and why.
    #[must_use]
    pub fn stopped(&self) -> &[(RuleId, Box<str>)] {
        &self.stopped
    }

    /// Lets the time go on to the end, and gives the entries in their order.
    #[must_use]
    pub fn finish(mut self) -> Vec<RunEntry> {
        self.go_to(self.to.plus_millis(-1)); // what is due at the end itself is not before it
        self.runs
    }

    fn go_to(&mut self, until: Timestamp) {
        while let Some(next) = self.engine.next().filter(|next| *next <= until) {
            let step = self.engine.advance(next);
            self.take(step);
        }
    }

    fn take(&mut self, step: EngineOutput) {
        let EngineOutput { effects, entries, stopped } = step;
        self.stopped.extend(stopped);
        for entry in entries {
            self.note(entry.entry);
        }
        for request in effects {
            let result = self.answer(&request);
            let now = self.engine.now();
            let step = self.engine.done(request.id, result, now);
            if !is_empty(&step) {
                self.take(step);
            }
        }
    }

    fn note(&mut self, entry: RunEntry) {
        match self.places.get(&entry.id) {
            Some(place) => self.runs[*place] = entry,
            None if entry.at >= self.from && entry.at < self.to => {
                self.places.insert(entry.id, self.runs.len());
                self.runs.push(entry);
            }
            None => {}
        }
    }

    fn answer(&self, EffectRequest { effect, cause, .. }: &EffectRequest) -> EffectResult {
        let Some(device) = effect.device() else { return EffectResult::default() };
        let goes_through = cause.run.as_ref().is_some_and(|run| run.even_in_manual);
        let failed = match self.engine.twin(device.as_str()) {
            None => Some(("unknown_device", format!("there was no device {device}"))),
            Some(twin)
                if twin.control.mode == Mode::Manual
                    && !goes_through
                    && !matches!(effect, Effect::Mode { .. }) =>
            {
                Some(("manual_mode", "the device was in manual mode".to_owned()))
            }
            Some(_) => None,
        };
        EffectResult { failed: failed.map(|(word, detail)| (word.into(), detail)), ..EffectResult::default() }
    }
}

fn is_empty(step: &EngineOutput) -> bool {
    step.effects.is_empty() && step.entries.is_empty() && step.stopped.is_empty()
}

/// The identity of a run over two sets: the rule, the device, the time, and whether it ran or why it did not.
type RunIdentity = (RuleId, Option<DeviceId>, DeviceNumber, Timestamp, Option<&'static str>);

fn name(entry: &RunEntry) -> RunIdentity {
    let why: Option<WhyNot> = match entry.outcome {
        RunOutcome::NotRun { why, .. } => Some(why),
        _ => None,
    };
    (entry.rule.clone(), entry.device.clone(), entry.number, entry.at, why.map(WhyNot::as_str))
}

/// Compares the runs of one version of a rule with those of another.
#[must_use]
pub fn difference(first: &[RunEntry], second: &[RunEntry]) -> Difference {
    let mut by_name: BTreeMap<RunIdentity, Vec<&RunEntry>> = BTreeMap::new();
    for entry in second.iter().rev() {
        by_name.entry(name(entry)).or_default().push(entry);
    }
    let mut difference = Difference::default();
    for entry in first {
        match by_name.get_mut(&name(entry)).and_then(Vec::pop) {
            Some(_) => difference.same += 1,
            None => difference.only_first.push(entry.clone()),
        }
    }
    let mut left: Vec<&RunEntry> = by_name.into_values().flatten().collect();
    left.sort_by_key(|entry| (entry.at, entry.id));
    difference.only_second = left.into_iter().cloned().collect();
    difference
}

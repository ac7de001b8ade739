//! What automation keeps and tells: entries of the journal of runs, signals, scopes of the engine, gathered for a
//! moment and committed with the place in the sequence up to which they are true.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context};
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::Automation;
use crate::counters::up;
use crate::messages::alarms::Raise;
use crate::messages::journal::Append;
use crate::post::post;
use twinhub_domain::alarm::{Originator, Severity};
use twinhub_domain::cause::{RunCause, Source};
use twinhub_domain::receipt::Receipt;
use twinhub_domain::run::{RuleId, RunEntry, RunId, RunOutcome, Signal};
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Event, EventBody};
use twinhub_rules::Kept;
use twinhub_store::Progress;

/// What is to be kept gathers for so long: one commit for many runs, beside what they ask for.
const GATHER: Duration = Duration::from_millis(25);
/// What the alarm of a rule that was stopped is called.
const STOPPED: &str = "rule-stopped";

/// What is to be kept and told with the next save.
#[derive(Default)]
pub(super) struct News {
    pub entries: BTreeMap<RunId, RunEntry>,
    pub events: Vec<Event>,
    pub scopes: Vec<Kept>,
    /// What one rule said of another.
    pub rules: Vec<twinhub_store::RuleRecord>,
}

impl Automation {
    pub(super) fn note(&mut self, entry: RunEntry, tell: bool) {
        let counters = &self.around.counters;
        match entry.outcome {
            RunOutcome::NotRun { .. } => up(&counters.rule_refusals),
            RunOutcome::Running => {}
            _ => up(&counters.rule_runs),
        }
        if let RunOutcome::Failed { reason } = &entry.outcome
            && let Some(left_out) = self.loud.may(entry.rule.as_str(), self.around.clock.uptime_ms())
        {
            let device = entry.device.as_ref().map(tracing::field::display);
            let bad =
                entry.actions.iter().rfind(|action| !["ok", "waiting", "skipped"].contains(&&*action.result));
            let action = bad.map(|action| &*action.path);
            let on = bad.and_then(|action| action.device.as_ref()).map(tracing::field::display);
            let detail = bad.map(|action| &*action.detail).filter(|detail| !detail.is_empty());
            warn!(rule = %entry.rule, device, run_id = %entry.id.0, %reason, action, on, detail, left_out, "run failed");
        }
        if tell {
            let event = self.event_of(&entry);
            self.news.events.push(event);
        }
        self.news.entries.insert(entry.id, entry);
    }

    fn event_of(&self, entry: &RunEntry) -> Event {
        let run = RunCause { id: entry.id, depth: entry.depth, even_in_manual: false };
        let cause = Cause { run: Some(Arc::new(run)), ..Cause::new(Source::Rule, entry.rule.as_str()) };
        let device = entry.device.clone().unwrap_or_else(DeviceId::none);
        let now = self.around.clock.now();
        let body = EventBody::Rule(Box::new(entry.clone()));
        Event { device, number: entry.number, at: now, received_at: now, body, cause }
    }

    pub(super) fn signal(&self, signal: Signal, cause: Cause) -> Event {
        let now = self.around.clock.now();
        let body = EventBody::Signal(Box::new(signal));
        let (device, number) = (DeviceId::none(), DeviceNumber::default());
        Event { device, number, at: now, received_at: now, body, cause }
    }

    /// A rule was stopped, by the breaker or by a panic: people are told by an alarm.
    pub(super) fn tell_stopped(&mut self, rule: &RuleId, why: Box<str>) {
        error!(%rule, "rule stopped: {why}");
        let raise = Raise {
            of: Originator::Rule(rule.clone()),
            number: DeviceNumber::default(),
            alarm_type: STOPPED.into(),
            severity: Severity::Major,
            message: format!("the rule was stopped: {why}"),
            rule: Some(rule.clone()),
            cause: Cause::new(Source::Rule, rule.as_str()),
            reply: oneshot::channel().0, // nobody waits for it
        };
        let _ = post(&self.around.alarms, raise); // it goes with us
        let signal = self.signal(Signal::Stopped { rule: rule.clone(), why }, Cause::hub());
        self.news.events.push(signal);
    }

    /// What is new is kept in a moment, with all that comes until then.
    pub(super) fn gather(&mut self, ctx: &mut Context<Self>) {
        self.news.scopes.extend(self.engine.take_changes());
        if !self.news.is_empty() && !self.gathering {
            self.gathering = true;
            ctx.run_later(GATHER, |this, _| {
                this.gathering = false;
                this.save();
            });
        }
    }

    /// Commits what is new, with the place up to which it is true.
    pub(super) fn save(&mut self) {
        self.news.scopes.extend(self.engine.take_changes());
        if self.news.is_empty() && self.cursor == self.kept {
            return;
        }
        let News { entries, events, scopes, rules } = std::mem::take(&mut self.news);
        self.kept = self.cursor;
        let kept = twinhub_store::Automation {
            progress: Some(Progress { seq: self.cursor, time: self.engine.now() }),
            kept: scopes,
            runs: entries.into_values().collect(),
            rules,
            ..twinhub_store::Automation::default()
        };
        let journal = self.around.journal.clone();
        // The journal does it before all that is told to it later; it tries for ever.
        let append = Append::with_kept(events, Vec::new(), kept, Receipt::nobody());
        if post(&journal, append).is_err() {
            warn!("the journal is gone, what rules did last is made again at the next start");
        }
    }
}

impl News {
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.events.is_empty() && self.scopes.is_empty() && self.rules.is_empty()
    }
}

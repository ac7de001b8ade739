//! Pending writes and events for the next checkpoint: entries of the journal of runs, signals, scopes of the engine,
//! committed with the place in the sequence up to which they are true.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::{error, warn};

use super::AutomationDeps;
use crate::counters::up;
use crate::log_throttle::LogThrottle;
use crate::mailbox::try_send_unbounded;
use crate::messages::alarms::Raise;
use crate::messages::journal::Append;
use twinhub_domain::alarm::{Originator, Severity};
use twinhub_domain::cause::{RunCause, Source};
use twinhub_domain::receipt::Receipt;
use twinhub_domain::run::{AutomationSignal, RuleId, RunEntry, RunId, RunOutcome};
use twinhub_domain::{Cause, Clock, DeviceId, DeviceNumber, Event, EventBody, Timestamp};
use twinhub_rules::ScopeSnapshot;
use twinhub_store::{AutomationChanges, EngineProgress, RuleRecord};

/// The name of the alarm of a rule that was stopped.
const STOPPED: &str = "rule-stopped";

/// The writes of the next checkpoint.
#[derive(Default)]
pub(super) struct PendingWrites {
    entries: BTreeMap<RunId, RunEntry>,
    pub events: Vec<Event>,
    pub scopes: Vec<ScopeSnapshot>,
    /// The word of one rule on another.
    pub rules: Vec<RuleRecord>,
    /// The last place in the sequence that was written as seen.
    pub written: u64,
    /// It is written in a moment.
    pub is_scheduled: bool,
    /// Failed runs in the log.
    log_throttle: LogThrottle,
}

impl PendingWrites {
    /// An entry of the journal of runs, new or further.
    pub fn add(&mut self, deps: &AutomationDeps, entry: RunEntry, tell: bool) {
        match &entry.outcome {
            RunOutcome::NotRun { .. } => up(&deps.counters.rule_refusals),
            RunOutcome::Running => {}
            _ => up(&deps.counters.rule_runs),
        }
        if let RunOutcome::Failed { reason } = &entry.outcome
            && let Some(left_out) = self.log_throttle.permit(entry.rule.as_str(), deps.clock.uptime_ms())
        {
            log_failure(&entry, reason, left_out);
        }
        if tell {
            self.events.push(event_of(&entry, deps.clock.now()));
        }
        self.entries.insert(entry.id, entry);
    }

    /// A rule was stopped, by the breaker or by a panic: an alarm is raised.
    pub fn stopped(&mut self, deps: &AutomationDeps, rule: &RuleId, why: Box<str>) {
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
        let _ = try_send_unbounded(&deps.alarms, raise); // it goes with us
        let signal = AutomationSignal::Stopped { rule: rule.clone(), why };
        self.events.push(signal_event(&*deps.clock, signal, Cause::hub()));
    }

    /// Is there nothing to write but the place in the sequence?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.events.is_empty() && self.scopes.is_empty() && self.rules.is_empty()
    }

    /// The commit of all that is pending, with the place up to which it is true; none where that changes nothing.
    pub fn take(&mut self, progress: EngineProgress) -> Option<Append> {
        if self.is_empty() && progress.seq == self.written {
            return None;
        }
        self.written = progress.seq;
        let kept = AutomationChanges {
            progress: Some(progress),
            kept: std::mem::take(&mut self.scopes),
            runs: std::mem::take(&mut self.entries).into_values().collect(),
            rules: std::mem::take(&mut self.rules),
            ..AutomationChanges::default()
        };
        Some(Append::with_kept(std::mem::take(&mut self.events), Vec::new(), kept, Receipt::ignored()))
    }
}

/// The event of a signal.
pub(super) fn signal_event(clock: &dyn Clock, signal: AutomationSignal, cause: Cause) -> Event {
    let now = clock.now();
    let body = EventBody::Signal(Box::new(signal));
    let (device, number) = (DeviceId::none(), DeviceNumber::default());
    Event { device, number, at: now.into(), received_at: now, body, cause }
}

fn event_of(entry: &RunEntry, now: Timestamp) -> Event {
    let run = RunCause { id: entry.id, depth: entry.depth, even_in_manual: false };
    let cause = Cause { run: Some(Arc::new(run)), ..Cause::new(Source::Rule, entry.rule.as_str()) };
    let device = entry.device.clone().unwrap_or_else(DeviceId::none);
    let body = EventBody::Rule(Box::new(entry.clone()));
    Event { device, number: entry.number, at: now.into(), received_at: now, body, cause }
}

fn log_failure(entry: &RunEntry, reason: &str, left_out: u64) {
    let device = entry.device.as_ref().map(tracing::field::display);
    let bad = entry.actions.iter().rfind(|action| !["ok", "waiting", "skipped"].contains(&&*action.result));
    let action = bad.map(|action| &*action.path);
    let on = bad.and_then(|action| action.device.as_ref()).map(tracing::field::display);
    let detail = bad.map(|action| &*action.detail).filter(|detail| !detail.is_empty());
    warn!(rule = %entry.rule, device, run_id = %entry.id.0, %reason, action, on, detail, left_out, "run failed");
}

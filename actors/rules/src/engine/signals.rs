//! The firings of signals: messages on topics, webhooks, and people who run a rule.

use super::firing::{BY_HAND, Firing, data};
use super::index::RuleIndex;
use super::trigger_context::has;
use super::trigger_ref::TriggerRef;
use crate::model::TriggerKind;
use twinhub_domain::run::{AutomationSignal, RunKind};
use twinhub_domain::{EventBody, Json, Recorded};

/// The firings of a signal. `runs` tells whether a rule does.
pub(super) fn fired(index: &RuleIndex, runs: &dyn Fn(u32) -> bool, recorded: &Recorded) -> Vec<Firing> {
    let event = &recorded.event;
    let EventBody::Signal(signal) = &event.body else { return Vec::new() };
    let at = Json::from(event.received_at.to_string());
    match &**signal {
        AutomationSignal::Mqtt { topic, payload } if !event.cause.retained => {
            let fits = |found: &&TriggerRef| match &index.trigger(**found).kind {
                TriggerKind::Mqtt { topic: filter, payload: wanted } => {
                    topic_fits(filter, topic)
                        && wanted.as_ref().is_none_or(|wanted| payload_fits(payload, wanted))
                }
                _ => false,
            };
            let seen = [
                ("topic", Json::from(&**topic)),
                ("payload", payload.clone()),
                ("value", payload.clone()),
                ("at", at),
            ];
            let found = index.topics.iter().filter(fits).filter(|found| runs(found.rule));
            found.map(|found| firing(index, *found, "mqtt", seen.clone(), recorded)).collect()
        }
        AutomationSignal::Webhook { name, body } => {
            let fits = |found: &&TriggerRef| match &index.trigger(**found).kind {
                TriggerKind::Webhook { name: of, .. } => of == name,
                _ => false,
            };
            let seen = [
                ("name", Json::from(&**name)),
                ("payload", body.clone()),
                ("value", body.clone()),
                ("at", at),
            ];
            let found = index.webhooks.iter().filter(fits).filter(|found| runs(found.rule));
            found.map(|found| firing(index, *found, "webhook", seen.clone(), recorded)).collect()
        }
        AutomationSignal::Run { rule, unconditional } => {
            let Some(rule) = index.find(rule) else { return Vec::new() };
            let device = (!event.device.is_none()).then(|| (event.device.clone(), event.number));
            let name = device.as_ref().map_or(Json::Null, |(id, _)| id.as_str().into());
            let seen = data("", "manual", [("device", name), ("at", at)]);
            let firing = Firing::new(rule, BY_HAND, "manual", device, seen, event.received_at);
            let mut firing = firing.by(recorded.seq, &event.cause);
            firing.kind = RunKind::Manual;
            firing.unconditional = *unconditional;
            vec![firing]
        }
        _ => Vec::new(),
    }
}

fn firing<const N: usize>(
    index: &RuleIndex,
    found: TriggerRef,
    word: &'static str,
    seen: [(&'static str, Json); N],
    recorded: &Recorded,
) -> Firing {
    let event = &recorded.event;
    let seen = data(&index.trigger(found).id, word, seen);
    let firing = Firing::new(found.rule, found.trigger, word, None, seen, event.received_at);
    firing.by(recorded.seq, &event.cause)
}

/// Is it this payload, or an object that has all of its members?
fn payload_fits(payload: &Json, wanted: &Json) -> bool {
    match (payload, wanted) {
        (Json::Object(payload), Json::Object(wanted)) => has(payload, wanted),
        (payload, wanted) => payload == wanted,
    }
}

/// Does a topic fit a filter, as MQTT says? Topics that begin with `$` fit no wildcard at their first level.
pub(super) fn topic_fits(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filters, mut levels) = (filter.split('/'), topic.split('/'));
    loop {
        match (filters.next(), levels.next()) {
            (Some("#"), _) => return true,
            (Some("+"), Some(_)) => {}
            (Some(filter), Some(level)) if filter == level => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::topic_fits;

    #[test]
    fn topics_fit_as_in_mqtt() {
        let check = |filter: &str, topic: &str, expected: bool| {
            assert_eq!(topic_fits(filter, topic), expected, "{filter} {topic}");
        };
        check("a/b", "a/b", true);
        check("a/b", "a/c", false);
        check("a/+", "a/b", true);
        check("a/+", "a/b/c", false);
        check("a/+/c", "a/b/c", true);
        check("a/#", "a/b/c", true);
        check("a/#", "a", true);
        check("#", "a/b", true);
        check("#", "$SYS/x", false);
        check("a", "a/b", false);
    }
}

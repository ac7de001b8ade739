//! A rule's fingerprint: equal for two rules that do the same, however they are written.
//!
//! Everything is taken apart by name, so that a member that comes to the model cannot be forgotten here.

use crate::model::{
    Action, Condition, Glob, Path, Rule, Secret, Selector, Trigger, TriggerKind, Webhook, What,
};
use twinhub_domain::Number;
use twinhub_domain::fingerprint::Fingerprint;
use twinhub_domain::json::EXACT;

/// The fingerprint of `rule`'s behaviour.
pub(super) fn fingerprint(rule: &Rule) -> u64 {
    let Rule {
        id,
        alias: _,
        description: _,
        origin: _,
        enabled: _,
        mode,
        max,
        priority,
        even_in_manual,
        cooldown,
        breaker,
        on_error,
        triggers,
        conditions,
        actions,
        on_release,
        fingerprint: _,
        source: _,
    } = rule;
    let mut print = Print::default();
    print.text(id.as_str());
    print.debug(&(mode, max, priority, even_in_manual, cooldown, breaker, on_error));
    print.each(triggers, Print::trigger);
    print.each(conditions, Print::condition);
    print.each(actions, Print::action);
    print.each(on_release, Print::action);
    print.0.value()
}

#[derive(Default)]
struct Print(Fingerprint);

impl Print {
    fn text(&mut self, text: &str) {
        self.0.field(text.as_bytes());
    }

    /// For numbers, words of ours and values made of them: their debug form is one to one.
    fn debug(&mut self, value: &impl std::fmt::Debug) {
        self.text(&format!("{value:?}"));
    }

    fn each<T>(&mut self, items: &[T], of_one: impl Fn(&mut Self, &T)) {
        self.debug(&items.len());
        for item in items {
            of_one(self, item);
        }
    }

    fn trigger(&mut self, trigger: &Trigger) {
        let Trigger { id, kind, for_ms, across_downtime } = trigger;
        self.text(id);
        self.debug(&(for_ms, across_downtime));
        match kind {
            TriggerKind::Numeric { of, property, above, below, release, max_age } => {
                self.text("numeric");
                self.selector(of);
                self.text(property);
                let bounds = [above, below, release];
                let [above, below, release] = bounds.map(|bound| bound.as_ref().map(Number::as_f64));
                self.debug(&(above, below, release, max_age));
                // What no double holds, by its digits.
                for bound in bounds.into_iter().flatten().filter(|bound| bound.as_f64().abs() >= EXACT) {
                    self.text(bound.as_str());
                }
            }
            TriggerKind::Changed { of, path, from, to } => {
                self.text("changed");
                self.selector(of);
                self.path(path);
                for value in [from, to] {
                    self.text(&value.as_ref().map_or_else(String::new, ToString::to_string));
                }
            }
            TriggerKind::Event { of, kinds, data } => {
                self.text("event");
                self.selector(of);
                self.debug(kinds);
                self.object(data);
            }
            TriggerKind::Presence { of, status } => {
                self.text("presence");
                self.selector(of);
                self.debug(status);
            }
            TriggerKind::Command { of, command_type, status } => {
                self.text("command");
                self.selector(of);
                self.debug(&(command_type, status));
            }
            TriggerKind::Alarm { of, alarm_type, at_least, becomes } => {
                self.text("alarm");
                self.each(of.as_slice(), Self::selector);
                self.debug(&(alarm_type, at_least, becomes));
            }
            TriggerKind::Cron { cron, missed, missed_within_ms } => {
                self.text("cron");
                self.text(&cron.text);
                self.text(cron.zone.name());
                self.debug(&(missed, missed_within_ms));
            }
            TriggerKind::Every { every_ms } => {
                self.text("every");
                self.debug(every_ms);
            }
            TriggerKind::Mqtt { topic, payload } => {
                self.text("mqtt");
                self.text(topic);
                self.text(&payload.as_ref().map_or_else(String::new, ToString::to_string));
            }
            TriggerKind::Webhook { name } => {
                self.text("webhook");
                self.text(name);
            }
        }
    }

    fn object(&mut self, object: &twinhub_domain::Object) {
        let mut text = String::new();
        object.write(&mut text);
        self.text(&text);
    }

    fn path(&mut self, path: &Path) {
        self.debug(path);
    }

    fn selector(&mut self, selector: &Selector) {
        match selector {
            Selector::Device(id) => {
                self.text("device");
                self.text(id.as_str());
            }
            Selector::Glob(Glob { text, matcher: _ }) => {
                self.text("glob");
                self.text(text);
            }
            Selector::Where { group, device_type, tags, template } => {
                self.text("where");
                self.debug(&(group, device_type, tags));
                if let Some(template) = template {
                    self.text(template);
                }
            }
            Selector::Trigger => self.text("trigger"),
        }
    }

    fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::Expression(expression) => {
                self.text("expression");
                self.text(expression.text());
            }
            Condition::Time { after, before, weekdays, zone } => {
                self.text("time");
                self.debug(&(after, before, weekdays));
                self.text(zone.name());
            }
            Condition::All(all) => {
                self.text("all");
                self.each(all, Self::condition);
            }
            Condition::Any(any) => {
                self.text("any");
                self.each(any, Self::condition);
            }
            Condition::Not(inner) => {
                self.text("not");
                self.condition(inner);
            }
        }
    }

    fn action(&mut self, action: &Action) {
        let Action { what, on_error } = action;
        self.debug(on_error);
        match what {
            What::Command { to, command_type, parameters, options, confirm } => {
                self.text("command");
                self.selector(to);
                self.text(command_type);
                self.text(&parameters.json().to_string());
                self.object(options);
                self.debug(confirm);
            }
            What::Desired { to, set } => {
                self.text("desired");
                self.selector(to);
                self.text(&set.json().to_string());
            }
            What::Mode { of, mode, for_ms } => {
                self.text("mode");
                self.selector(of);
                self.debug(&(mode, for_ms));
            }
            What::Alarm { alarm_type, severity, message, of } => {
                self.text("alarm");
                self.text(alarm_type);
                self.debug(severity);
                self.text(message.text());
                self.each(of.as_slice(), Self::selector);
            }
            What::Clear { alarm_type, of } => {
                self.text("clear");
                self.text(alarm_type);
                self.each(of.as_slice(), Self::selector);
            }
            What::Publish { topic, payload, retain } => {
                self.text("publish");
                self.text(topic.text());
                self.text(&payload.json().to_string());
                self.debug(retain);
            }
            What::Webhook(webhook) => self.webhook(webhook),
            What::Delay { ms } => {
                self.text("delay");
                self.debug(ms);
            }
            What::Wait { until, timeout } => {
                self.text("wait");
                self.condition(until);
                self.debug(timeout);
            }
            What::Choose { branches, otherwise } => {
                self.text("choose");
                self.each(branches, |print, (when, actions)| {
                    print.condition(when);
                    print.each(actions, Self::action);
                });
                self.each(otherwise, Self::action);
            }
            What::Run { rule } => {
                self.text("run");
                self.text(rule.as_str());
            }
            What::Enable { rule } => {
                self.text("enable");
                self.text(rule.as_str());
            }
            What::Disable { rule } => {
                self.text("disable");
                self.text(rule.as_str());
            }
            What::Log { level, message } => {
                self.text("log");
                self.debug(level);
                self.text(message.text());
            }
        }
    }

    fn webhook(&mut self, webhook: &Webhook) {
        let Webhook { url, method, headers, body, secret, timeout_ms, max_attempts } = webhook;
        self.text("webhook");
        self.text(url.text());
        self.text(method);
        self.each(headers, |print, (name, value)| {
            print.text(name);
            print.text(value.text());
        });
        self.text(&body.as_ref().map_or_else(String::new, |body| body.json().to_string()));
        match secret {
            None => self.text("none"),
            Some(Secret::Text(key)) => {
                self.text("text");
                self.text(key);
            }
            Some(Secret::Environment(name)) => {
                self.text("environment");
                self.text(name);
            }
        }
        self.debug(&(timeout_ms, max_attempts));
    }
}

//! A rule's fingerprint: equal for two rules that do the same, however they are written.
//!
//! Everything is taken apart by name, so that a member that comes to the model cannot be forgotten here.

use crate::action::Action;
use crate::model::{Condition, Glob, Path, Rule, Selector, Trigger, TriggerKind, WebhookSecret};
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
    let mut print = FingerprintWriter::default();
    print.text(id.as_str());
    print.debug(&(mode, max, priority, even_in_manual, cooldown, breaker, on_error));
    print.each(triggers, FingerprintWriter::trigger);
    print.each(conditions, FingerprintWriter::condition);
    print.each(actions, FingerprintWriter::action);
    print.each(on_release, FingerprintWriter::action);
    print.0.value()
}

#[derive(Default)]
pub(crate) struct FingerprintWriter(Fingerprint);

impl FingerprintWriter {
    pub(crate) fn text(&mut self, text: &str) {
        self.0.field(text.as_bytes());
    }

    /// For numbers, words of ours and what is made of them: their debug form is one to one.
    pub(crate) fn debug(&mut self, value: &impl std::fmt::Debug) {
        self.text(&format!("{value:?}"));
    }

    pub(crate) fn each<T>(&mut self, items: &[T], of_one: impl Fn(&mut Self, &T)) {
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
                // Bounds that no double holds, by their digits.
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
            TriggerKind::Webhook { name, secret } => {
                self.text("webhook");
                self.text(name);
                // One without a secret has the fingerprint that it had before there were any.
                if secret.is_some() {
                    self.secret(secret.as_ref());
                }
            }
        }
    }

    pub(crate) fn secret(&mut self, secret: Option<&WebhookSecret>) {
        match secret {
            None => self.text("none"),
            Some(WebhookSecret::Text(key)) => {
                self.text("text");
                self.text(key);
            }
            Some(WebhookSecret::Environment(name)) => {
                self.text("environment");
                self.text(name);
            }
        }
    }

    pub(crate) fn object(&mut self, object: &twinhub_domain::Object) {
        let mut text = String::new();
        object.write(&mut text);
        self.text(&text);
    }

    fn path(&mut self, path: &Path) {
        self.debug(path);
    }

    pub(crate) fn selector(&mut self, selector: &Selector) {
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

    pub(crate) fn condition(&mut self, condition: &Condition) {
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

    pub(crate) fn action(&mut self, action: &Action) {
        let Action { kind, on_error } = action;
        self.debug(on_error);
        kind.behaviour().fingerprint(self);
    }
}

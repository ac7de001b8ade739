//! Signals: what comes from beyond the twins.

use super::fire::{BY_HAND, Firing, data};
use super::scope::Key;
use super::sight::has;
use super::watch::Spot;
use super::work::Work;
use crate::model::TriggerKind;
use twinhub_domain::run::RunKind;
use twinhub_domain::run::Signal;
use twinhub_domain::{DeviceNumber, Json, Recorded};

impl Work<'_> {
    /// Takes a signal in.
    pub fn signal(&mut self, signal: &Signal, recorded: &Recorded) {
        let event = &recorded.event;
        let at = event.received_at;
        match signal {
            Signal::Started { down_since } => return self.started(*down_since, at),
            Signal::ClockMoved { from, to, while_down } => return self.moved(*from, *to, *while_down),
            Signal::Mqtt { topic, payload } if !event.cause.retained => {
                for spot in self.book.topics.clone() {
                    let TriggerKind::Mqtt { topic: filter, payload: wanted } = &self.book.trigger(spot).kind
                    else {
                        continue;
                    };
                    let fits = topic_fits(filter, topic)
                        && wanted.as_ref().is_none_or(|wanted| payload_fits(payload, wanted));
                    if fits {
                        let seen = [
                            ("topic", Json::from(&**topic)),
                            ("payload", payload.clone()),
                            ("value", payload.clone()),
                            ("at", at.to_string().into()),
                        ];
                        self.fire_signal(spot, "mqtt", seen, recorded);
                    }
                }
            }
            Signal::Webhook { name, body } => {
                for spot in self.book.webhooks.clone() {
                    let TriggerKind::Webhook { name: of } = &self.book.trigger(spot).kind else { continue };
                    if of == name {
                        let seen = [
                            ("name", Json::from(&**name)),
                            ("payload", body.clone()),
                            ("value", body.clone()),
                            ("at", at.to_string().into()),
                        ];
                        self.fire_signal(spot, "webhook", seen, recorded);
                    }
                }
            }
            Signal::Run { rule, unconditional } => {
                if let Some(rule) = self.book.find(rule) {
                    let device = (!event.device.is_none()).then(|| (event.device.clone(), event.number));
                    let name = device.as_ref().map_or(Json::Null, |(id, _)| id.as_str().into());
                    let seen = data("", "manual", [("device", name), ("at", at.to_string().into())]);
                    let firing = Firing::new(rule, BY_HAND, "manual", device, seen, at);
                    let mut firing = firing.by(recorded.seq, &event.cause);
                    firing.kind = RunKind::Manual;
                    firing.unconditional = *unconditional;
                    self.fire(firing);
                }
            }
            Signal::Enabled { rule, enabled } => self.enable(rule, *enabled, at),
            Signal::Mqtt { .. } | Signal::Rules { .. } | Signal::Stopped { .. } => {}
        }
        self.drain();
    }

    fn fire_signal<const N: usize>(
        &mut self,
        spot: Spot,
        word: &'static str,
        seen: [(&'static str, Json); N],
        recorded: &Recorded,
    ) {
        if self.state.is_enabled(self.book, spot.rule) {
            let event = &recorded.event;
            let seen = data(&self.book.trigger(spot).id, word, seen);
            let firing = Firing::new(spot.rule, spot.trigger, word, None, seen, event.received_at);
            self.fire(firing.by(recorded.seq, &event.cause));
            self.drain();
        }
    }

    /// A trigger does not watch a device any more: it fits its pattern no longer.
    pub fn unwatch(&mut self, spot: Spot, device: DeviceNumber) {
        if let Some(scope) = self.state.present(Key { rule: spot.rule, device }) {
            scope.set_latch(spot.trigger, None);
        }
        self.state.settle(self.book);
    }
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

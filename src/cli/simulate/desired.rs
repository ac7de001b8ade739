//! The desired state of a device: it sets the properties that it can, in the order of the versions, and reports the
//! others as failed. Pure.

use serde_json::{Map, Value};

use super::machine::{Machine, SetOutcome};

/// The desired state as a device knows it.
#[derive(Clone, Debug, Default)]
pub(super) struct DesiredState {
    /// The version that it last followed.
    version: u64,
    /// Desired properties that its machine does not have: it keeps and reports them as they are.
    others: Map<String, Value>,
}

/// The outcome of a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum DesiredOutcome {
    Unreadable,
    /// It is older than what was followed before.
    PassedOver,
    /// The properties to report, and those that failed with the reason. Both empty: it was so already, and reported.
    Now {
        reported: Map<String, Value>,
        failed: Map<String, Value>,
    },
}

impl DesiredState {
    /// Follows a message such as `{"version": 42, "desired": {…}, "delta": {…}}`. All of `desired` counts,
    /// not the `delta` alone: that was made from what the hub had heard by then, and a report may have
    /// crossed it on the way.
    pub(super) fn follow(&mut self, machine: &mut Machine, message: &[u8]) -> DesiredOutcome {
        let Ok(Value::Object(mut message)) = serde_json::from_slice(message) else {
            return DesiredOutcome::Unreadable;
        };
        let version = message.get("version").and_then(Value::as_u64);
        let (Some(version), Some(Value::Object(desired))) = (version, message.remove("desired")) else {
            return DesiredOutcome::Unreadable;
        };
        if version < self.version {
            return DesiredOutcome::PassedOver;
        }
        self.version = version;
        let delta = message.get("delta").and_then(Value::as_object);
        let (mut reported, mut failed) = (Map::new(), Map::new());
        for (name, value) in desired {
            let before = self.state(machine).remove(&name);
            match machine.set(&name, &value) {
                SetOutcome::Done => {}
                SetOutcome::NotMine => {
                    self.others.insert(name.clone(), value);
                }
                SetOutcome::Impossible(why) => {
                    failed.insert(name, why.into());
                    continue;
                }
            }
            let now = self.state(machine).remove(&name);
            let is_news = before != now || delta.is_some_and(|delta| delta.contains_key(&name));
            if let Some(now) = now.filter(|_| is_news) {
                reported.insert(name, now);
            }
        }
        DesiredOutcome::Now { reported, failed }
    }

    /// Forgets the last version: the hub may have begun to count anew.
    pub(super) fn begin_anew(&mut self) {
        self.version = 0;
    }

    /// All that the device reports of its state.
    pub(super) fn state(&self, machine: &Machine) -> Map<String, Value> {
        let mut state = self.others.clone();
        state.append(&mut machine.state());
        state
    }
}

#[cfg(test)]
mod tests {
    use super::super::rng::Rng;
    use super::*;

    /// The pump, off, follows `messages`; what comes of the last.
    fn pump(messages: &[&str]) -> String {
        follow(3, messages)
    }

    fn follow(index: u32, messages: &[&str]) -> String {
        let mut machine = Machine::new(index, &mut Rng::new(1, index));
        let mut desired = DesiredState::default();
        let mut shown = String::new();
        for message in messages {
            shown = match desired.follow(&mut machine, message.as_bytes()) {
                DesiredOutcome::Unreadable => "unreadable".into(),
                DesiredOutcome::PassedOver => "passed over".into(),
                DesiredOutcome::Now { reported, failed } => {
                    format!("{} {}", Value::Object(reported), Value::Object(failed))
                }
            };
        }
        shown
    }

    const ON_2: &str = r#"{"version":2,"desired":{"power":"on"},"delta":{"power":"on"}}"#;

    #[test]
    fn becomes_what_it_can_and_says_what_it_cannot() {
        let check = |messages: &[&str], expected: &str| assert_eq!(pump(messages), expected, "{messages:?}");
        check(&[ON_2], r#"{"power":"on"} {}"#);
        check(&[ON_2, ON_2], r#"{"power":"on"} {}"#); // the hub has not heard it yet
        check(&[ON_2, r#"{"version":3,"desired":{"power":"on"},"delta":{}}"#], "{} {}");
        check(&[r#"{"version":2,"desired":{"power":"on"}}"#], r#"{"power":"on"} {}"#);
        check(
            &[r#"{"version":2,"desired":{"power":"sideways"},"delta":{"power":"sideways"}}"#],
            r#"{} {"power":"power is `on` or `off`, not \"sideways\""}"#,
        );
        check(
            &[r#"{"version":2,"desired":{"power":"on","flow":9,"colour":"red"}}"#],
            r#"{"colour":"red","power":"on"} {"flow":"flow is measured, not set"}"#,
        );
        // A report has crossed the change back: the delta knows nothing of it.
        check(&[ON_2, r#"{"version":3,"desired":{"power":"off"},"delta":{}}"#], r#"{"power":"off"} {}"#);
    }

    #[test]
    fn keeps_the_order_of_the_versions() {
        let check = |messages: &[&str], expected: &str| assert_eq!(pump(messages), expected, "{messages:?}");
        let (off_1, off_3) =
            (r#"{"version":1,"desired":{"power":"off"}}"#, r#"{"version":3,"desired":{"power":"off"}}"#);
        check(&[ON_2, off_1], "passed over");
        check(&[ON_2, off_3], r#"{"power":"off"} {}"#);
        check(&[off_3, ON_2], "passed over");
        check(&[off_3, ON_2, off_3], "{} {}");

        let mut machine = Machine::new(3, &mut Rng::new(1, 3));
        let mut desired = DesiredState::default();
        assert_ne!(desired.follow(&mut machine, off_3.as_bytes()), DesiredOutcome::PassedOver);
        desired.begin_anew();
        assert_ne!(desired.follow(&mut machine, ON_2.as_bytes()), DesiredOutcome::PassedOver);
    }

    #[test]
    fn other_machines_have_other_properties() {
        assert_eq!(
            follow(0, &[r#"{"version":2,"desired":{"target":21}}"#]),
            format!("{} {{}}", r#"{"target":21.0}"#)
        );
        assert_eq!(
            follow(1, &[r#"{"version":2,"desired":{"lock":"locked"}}"#]),
            format!("{} {{}}", r#"{"lock":"locked"}"#)
        );
    }

    #[test]
    fn understands_nothing_else() {
        for message in
            ["", "on", "[]", "{}", r#"{"version":1}"#, r#"{"version":-1,"desired":{}}"#, r#"{"desired":{}}"#]
        {
            assert_eq!(pump(&[message]), "unreadable", "{message}");
        }
        assert_eq!(pump(&[r#"{"version":1,"desired":{}}"#]), "{} {}");
    }
}

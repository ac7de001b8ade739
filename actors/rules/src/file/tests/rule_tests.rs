//! Tests in rules, as they are read.

use super::{file, parse};
use crate::scenario::{Expectation, Happening, Test};
use twinhub_domain::run::WhyNot;
use twinhub_domain::{CommandStatus, Json, Mode, Status};

fn test(lines: &str) -> Test {
    let head = "triggers: { numeric: a.t, above: 1, for: 5m }\nactions: [ { delay: 10s }, { log: x } ]\ntests:\n  - ";
    let text = file(&format!("{head}{}", lines.replace('\n', "\n    ")));
    let mut file = parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    file.tests.remove(0).1
}

/// The events, short: `3m a {"t":29}`.
fn shown(test: &Test) -> Vec<String> {
    let one = |what: &Happening| match what {
        Happening::Reported { device, values } => format!("{device} {}", Json::from(values.clone())),
        Happening::Twin { device, patch } => format!("{device}: {}", Json::from(patch.clone())),
        other => format!("{other:?}"),
    };
    test.given.iter().map(|given| format!("{}s {}", given.at_ms / 1_000, one(&given.what))).collect()
}

#[test]
fn a_series() {
    let test = test("given: { a.t: [27, 29, 29.50], b.on: [true, false], every: 3m }\nexpect: [ log ]");
    assert_eq!(
        shown(&test),
        [
            r#"0s a {"t":27}"#,
            r#"0s b {"on":true}"#,
            r#"180s a {"t":29}"#,
            r#"180s b {"on":false}"#,
            r#"360s a {"t":29.50}"#
        ]
    );
    // The last value holds: for the longest `for`, what the actions wait for, and one `every` more.
    assert_eq!(test.until_ms, 360_000 + 300_000 + 10_000 + 180_000);
    assert_eq!((test.name.as_str(), test.exactly, test.commands), ("1", false, CommandStatus::Executed));
}

#[test]
fn steps() {
    let test = test(
        "name: all\nstart: 2026-01-01T22:30:00+01:00\ninitially: { a.mode: manual, a.desired.x.y: 1, a.status: offline }\n\
         given:\n  - { at: 2m, a.t: 1, a.u: 2, b.tags.floor: 3 }\n  - { after: 5m, mqtt: { topic: x/y, payload: on } }\n  \
         - { reported: { device: c.d, values: { t: 1 } }, run: true }\n  - { down: 1h }\n  - { a.t: [5, 6], every: 1m }\n  \
         - { webhook: { name: bell }, alarm: { type: hot, becomes: cleared } }\n  \
         - { command: { device: a, status: failed } }\nfor: 0\nexpect: nothing",
    );
    assert_eq!(test.name, "all");
    assert_eq!(test.start.unwrap().to_string(), "2026-01-01T21:30:00.000Z");
    assert_eq!(test.initially.len(), 3);
    assert!(matches!(test.initially[2], Happening::Status { status: Status::Offline, .. }));
    let shown = shown(&test);
    assert_eq!(shown[0], r#"120s a {"t":1,"u":2}"#); // one message
    assert_eq!(shown[1], r#"120s b: {"tags":{"floor":3}}"#);
    assert!(shown[2].starts_with("420s Mqtt"), "{shown:?}");
    assert!(shown[3].starts_with("420s c.d"), "{shown:?}");
    assert!(shown[4].starts_with("420s Run"), "{shown:?}");
    assert!(shown[5].starts_with("420s Down { ms: 3600000 }"), "{shown:?}");
    assert_eq!(shown[6..8], [r#"4020s a {"t":5}"#, r#"4080s a {"t":6}"#]);
    assert!(shown[8].starts_with("4080s Webhook") && shown[9].starts_with("4080s Alarm"), "{shown:?}");
    assert!(shown[10].starts_with("4080s Command"), "{shown:?}");
    assert_eq!(test.until_ms, 4_080_000);
    assert!(test.expect.is_empty());
}

#[test]
fn expectations() {
    let test = test(
        "until: 1h\nexactly:\n  - command fan\n  - { command fan: { type: set }, at: 9m }\n  - not desired\n  \
         - not stale\n  - mode fan manual\n  - log it is hot\n  - alarm",
    );
    assert!(test.exactly);
    assert_eq!(test.until_ms, 3_600_000);
    let [fan, later, not, stale, mode, log, alarm] = &test.expect[..] else { panic!("{test:?}") };
    assert!(
        !fan.not
            && matches!(&fan.what, Expectation::Effect { word: "command", subject: Some(id), .. } if &**id == "fan")
    );
    assert_eq!((later.at_ms, later.details.len(), &*later.text), (Some(540_000), 1, "command fan"));
    assert!(not.not && matches!(not.what, Expectation::Effect { word: "desired", subject: None, .. }));
    assert!(!stale.not && stale.what == Expectation::NotRun(WhyNot::Stale));
    assert!(matches!(&mode.what, Expectation::Effect { word: "mode", mode: Some(Mode::Manual), .. }));
    assert!(
        matches!(&log.what, Expectation::Effect { word: "log", subject: Some(text), .. } if &**text == "it is hot")
    );
    assert!(matches!(&alarm.what, Expectation::Effect { word: "alarm", subject: None, .. }));
}

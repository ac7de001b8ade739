//! Every trigger.

use super::*;
use crate::model::Path;

#[test]
fn numeric() {
    passes(
        r#"
  above:
    triggers: { numeric: pump.temperature, above: 80 }
    actions: { log: "{{ trigger.value }} after {{ trigger.previous }} at {{ trigger.device }}" }
    tests:
      - name: once, and again only after it was back
        given: { pump.temperature: [79, 80, 81, 85, 80, 82], every: 1m }
        exactly:
          - { log: { message: "81 after 80 at pump" }, at: 2m }
          - { log: { message: "82 after 80 at pump" }, at: 5m }
      - name: what is no number changes nothing
        given: { pump.temperature: [81, "hot", 82], every: 1m }
        exactly: [ log ]
  release:
    triggers: { numeric: pump.level, below: 10, release: 20 }
    actions: { log: low }
    on_release: { log: fine }
    tests:
      - given: { pump.level: [15, 9, 15, 9, 20, 9], every: 1m }
        exactly:
          - { log low: , at: 1m }
          - { log fine: , at: 4m }
          - { log low: , at: 5m }
  between:
    triggers: { numeric: pump.ph, above: 6, below: 8 }
    actions: { log: within }
    tests:
      - given: { pump.ph: [5, 7, 7.5, 9, 7], every: 1m }
        exactly: [ { log: , at: 1m }, { log: , at: 4m } ]
  outside:
    triggers: { numeric: pump.pressure, above: 8, below: 2 }
    actions: { log: outside }
    tests:
      - given: { pump.pressure: [5, 9, 1, 5, 1], every: 1m }
        exactly: [ { log: , at: 1m }, { log: , at: 4m } ]
  held:
    triggers: { numeric: pump.rpm, above: 100, for: 5m }
    actions: { log: "since {{ trigger.since }}" }
    tests:
      - name: it must stay
        given: { pump.rpm: [101, 102, 99, 103], every: 2m }
        exactly: [ { "log since 2026-06-01T12:06:00.000Z": , at: 11m } ]
      - name: one value stays a value
        given: { pump.rpm: 101 }
        exactly: [ { log: , at: 5m } ]
  deep:
    triggers: { numeric: pump.motor.rpm, above: 100 }
    actions: { log: fast }
    tests:
      - name: a reading by a dotted name
        given: { reported: { device: pump, values: { "motor.rpm": 101 } } }
        exactly: [ log ]
      - name: a member of an object
        given: { reported: { device: pump, values: { motor: { rpm: 101 } } } }
        exactly: [ log ]
"#,
    );
}

#[test]
fn a_first_value_beyond_the_threshold_fires() {
    let mut sim = world("  r: { triggers: { numeric: a.x, above: 1 }, actions: { log: beyond } }");
    sim.reports("a", "x", 5.0);
    assert_eq!(sim.deeds(), ["0 log beyond"]);
}

#[test]
fn a_value_from_before_the_one_that_is_there_does_nothing() {
    let mut sim = world("  r: { triggers: { numeric: a.x, above: 1 }, actions: { log: beyond } }");
    sim.reports("a", "x", 0.0);
    sim.pass(60_000);
    let earlier = noon().plus_millis(-1_000);
    sim.tell(&id("a"), readings(&[("x", 5.into())], Some(earlier)), &device()).unwrap();
    assert!(sim.done.is_empty());
    // Nor does it end anything.
    sim.reports("a", "x", 5.0);
    sim.tell(&id("a"), readings(&[("x", 0.into())], Some(earlier)), &device()).unwrap();
    sim.reports("a", "x", 6.0);
    assert_eq!(sim.deeds(), ["60 log beyond"]);
}

/// The present value lies beyond the threshold, and has not fired: no late one fires for it.
#[test]
fn a_late_value_does_not_fire_for_the_present_one() {
    let mut sim = world("  r: { triggers: { numeric: a.x, above: 1 }, actions: { log: beyond } }");
    let mut retained = device();
    retained.retained = true;
    sim.tell(&id("a"), readings(&[("x", 5.into())], None), &retained).unwrap();
    let earlier = noon().plus_millis(-1_000);
    for late in [0, 5, 9] {
        sim.tell(&id("a"), readings(&[("x", late.into())], Some(earlier)), &device()).unwrap();
    }
    assert!(sim.done.is_empty() && sim.entries.is_empty(), "{:?}", sim.journal());
    sim.reports("a", "x", 5.0);
    assert_eq!(sim.deeds(), ["0 log beyond"]);
}

#[test]
fn a_value_that_is_too_old_fires_nothing() {
    let text = "  r: { triggers: { numeric: a.x, above: 1, max_age: 1m }, actions: { log: beyond } }";
    let mut sim = world(text);
    let old = noon().plus_millis(-61_000);
    sim.tell(&id("a"), readings(&[("x", 5.into())], Some(old)), &device()).unwrap();
    assert_eq!(sim.journal(), ["r a 0 stale"]);
    // It stays armed.
    sim.reports("a", "x", 5.0);
    assert_eq!(sim.deeds(), ["0 log beyond"]);
    // Nor does one that has become old while it had to stay.
    let mut sim = world(
        "  r: { triggers: { numeric: a.x, above: 1, for: 5m, max_age: 1m }, actions: { log: beyond } }",
    );
    sim.reports("a", "x", 5.0);
    sim.pass(600_000);
    assert_eq!(sim.journal(), ["r a 300 stale"]);
    assert!(sim.done.is_empty());
}

#[test]
fn what_was_retained_restores_state_and_fires_nothing() {
    let text = "
  n: { triggers: { numeric: a.x, above: 1 }, actions: { log: beyond } }
  c: { triggers: { changed: a.x }, actions: { log: changed } }
  e: { triggers: { event: any, device: a }, actions: { log: anything } }
  m: { triggers: { mqtt: t }, actions: { log: message } }";
    let mut sim = world(text);
    let mut retained = device();
    retained.retained = true;
    sim.tell(&id("a"), readings(&[("x", 5.into())], None), &retained).unwrap();
    sim.signal(AutomationSignal::Mqtt { topic: "t".into(), payload: Json::Null }, &retained);
    assert!(sim.done.is_empty() && sim.entries.is_empty());
    assert_eq!(sim.engine.twin("a").unwrap().reported.get("x").unwrap().value, Json::from(5));
    sim.reports("a", "x", 5.0);
    assert_eq!(sim.deeds(), ["0 log anything", "0 log beyond"]); // and not: changed
}

#[test]
fn a_device_that_returns_with_the_value_it_had_fires_nothing() {
    passes(
        r#"
  r:
    triggers: { numeric: a.x, above: 1 }
    actions: { log: beyond }
    tests:
      - given:
          - { a.x: 5 }
          - { after: 1m, a.status: offline }
          - { after: 1m, a.status: online, a.x: 5 }
          - { after: 1m, down: 1h }
          - { a.x: 5 }
        exactly: [ { log: , at: 0 } ]
  c:
    triggers: { changed: b.x }
    actions: { log: "{{ trigger.value }}" }
    tests:
      - given:
          - { b.x: 5 }
          - { after: 1m, b.status: offline }
          - { after: 1m, b.status: online, b.x: 5 }
          - { down: 1h }
          - { b.x: 5 }
        exactly: [ { log: , at: 0 } ]
"#,
    );
}

#[test]
fn changed() {
    passes(
        r#"
  any:
    triggers: { changed: door.open }
    actions: { log: "{{ trigger.property }} {{ trigger.value }}" }
    tests:
      - given: { door.open: [true, true, false], every: 1m }
        exactly: [ { log open true: , at: 0 }, { log open false: , at: 2m } ]
  from:
    triggers: { changed: door.state, from: shut, to: ajar }
    actions: { log: ajar }
    on_release: { log: no more }
    tests:
      - given: { door.state: [ajar, shut, ajar, ajar, open, ajar], every: 1m }
        exactly: [ { log ajar: , at: 2m }, { log no more: , at: 4m } ]
  stays:
    triggers: { changed: door.lock, to: true, for: 10m }
    actions: { log: locked }
    tests:
      - given: { door.lock: [true, false, true, true], every: 8m }
        exactly: [ { log locked: , at: 26m } ]
  document:
    triggers:
      - { changed: fan.mode, to: manual, id: mode }
      - { changed: fan.desired.speed, id: desired }
      - { changed: fan.tags.floor, id: tag }
      - { changed: fan.configuration.x.y, id: configuration }
      - { changed: fan.name, id: name }
      - { changed: fan.status, to: offline, id: status }
    actions: { log: "{{ trigger.id }}" }
    tests:
      - given:
          - { fan.mode: manual }
          - { fan.desired.speed: 3 }
          - { fan.desired.speed: 3 }
          - { fan.tags.floor: 2 }
          - { fan.configuration.x.y: 1 }
          - { fan.configuration.x.z: 1 }
          - { fan.name: Fan }
          - { fan.status: offline }
          - { fan.mode: schedule }
        exactly: [ log mode, log desired, log tag, log configuration, log name, log status ]
"#,
    );
}

#[test]
fn presence() {
    passes(
        r#"
  gone:
    triggers: { presence: meter, becomes: offline, for: 10m }
    actions: { alarm: silent, message: "{{ trigger.device }}" }
    on_release: { clear: silent }
    tests:
      - given:
          - { meter.status: offline }
          - { after: 5m, meter.status: online }
          - { after: 5m, meter.status: offline }
          - { after: 20m, meter.status: online }
        exactly:
          - { alarm silent: { message: meter, device: meter }, at: 20m }
          - { clear silent: , at: 30m }
  back:
    triggers: { presence: meter, becomes: online }
    actions: { log: back }
    tests:
      - name: it has been there all the time
        given: [ { meter.status: online }, { after: 1m, meter.x: 1 } ]
        exactly: []
      - name: heard again
        given: [ { meter.status: offline }, { after: 1m, meter.x: 1 } ]
        exactly: [ { log: , at: 1m } ]
"#,
    );
}

#[test]
fn events_commands_and_alarms() {
    passes(
        r#"
  event:
    triggers: { event: [telemetry, twin], device: a, data: { x: 1 } }
    actions: { log: "{{ trigger.event }} {{ trigger.data.x }}" }
    tests:
      - given: [ { a.x: 1 }, { a.x: 2 }, { b.x: 1 }, { a.x: 1, a.y: 2 } ]
        exactly: [ log telemetry 1, log telemetry 1 ]
  command:
    triggers: { command: fan, type: set }
    actions: { log: "{{ trigger.command.type }} {{ trigger.value }}" }
    tests:
      - given:
          - { command: { device: fan, type: set, status: executed } }
          - { command: { device: fan, type: set, status: failed } }
          - { command: { device: fan, type: other, status: failed } }
          - { command: { device: fan, type: set, status: expired } }
        exactly: [ log set failed, log set expired ]
  alarm:
    triggers: { alarm: leak, severity: major }
    actions: { log: "{{ trigger.alarm.severity }}" }
    tests:
      - given:
          - { alarm: { type: leak, severity: minor, device: a } }
          - { alarm: { type: leak, becomes: cleared, device: a } }
          - { alarm: { type: fire, severity: critical, device: a } }
          - { alarm: { type: leak, severity: critical, device: a } }
          - { alarm: { type: leak, severity: critical, device: a } }
          - { alarm: { type: leak, severity: major } }
        exactly: [ log critical, log major ]
  cleared:
    triggers: { alarm: any, becomes: cleared, device: a }
    actions: { log: over }
    tests:
      - given:
          - { alarm: { type: leak, device: a } }
          - { alarm: { type: leak, device: b } }
          - { alarm: { type: leak, becomes: cleared, device: b } }
          - { alarm: { type: leak, becomes: cleared, device: a } }
        exactly: [ log over ]
"#,
    );
}

#[test]
fn the_clock_and_what_comes_from_beyond() {
    passes(
        r#"
  cron:
    triggers: { cron: "0 30 22 * * Mon-Fri", timezone: Europe/Berlin }
    actions: { log: "{{ trigger.at }}" }
    tests:
      - start: "2026-06-05T12:00:00+02:00"
        until: 4d
        exactly: [ { "log 2026-06-05T20:30:00.000Z": , at: 630m }, { "log 2026-06-08": , at: 4950m } ]
  every:
    triggers: { every: 15m }
    actions: { log: again }
    tests:
      - start: "2026-06-05T12:05:00Z"
        until: 30m
        exactly: [ { log: , at: 10m }, { log: , at: 25m } ]
  mqtt:
    triggers: { mqtt: home/+/button, payload: { action: press } }
    actions: { log: "{{ trigger.topic }} {{ trigger.payload.action }}" }
    tests:
      - given:
          - { mqtt: { topic: home/hall/button, payload: { action: press, n: 1 } } }
          - { mqtt: { topic: home/hall/button, payload: { action: release } } }
          - { mqtt: { topic: home/button, payload: { action: press } } }
        exactly: [ log home/hall/button press ]
  webhook:
    triggers: { webhook: deploy }
    actions: { log: "{{ trigger.payload.version }}" }
    tests:
      - given: [ { webhook: { name: deploy, body: { version: 3 } } }, { webhook: { name: other, body: {} } } ]
        exactly: [ log 3 ]
  by-hand:
    conditions: [ home.occupied == true ]
    actions: { log: done }
    tests:
      - given: [ { run: true }, { home.occupied: true }, { run: true } ]
        exactly: [ log done ]
"#,
    );
}

#[test]
fn a_part_of_tags_is_found_however_it_is_written() {
    let mut twin = Twin::new(id("a"), DeviceNumber(1), noon());
    let document = r#"{"x.y": 1, "z": {"w": 2}, "v": {"u.t": 3}}"#.parse::<Json>().unwrap();
    twin.setup.tags = document.as_object().unwrap().clone();
    twin.setup.configuration = twin.setup.tags.clone();
    for (path, expected) in
        [("x.y", Some(1)), ("z.w", Some(2)), ("v.u.t", Some(3)), ("x", None), ("z.x", None)]
    {
        for path in [Path::Tag(path.into()), Path::Configuration(path.into())] {
            let found = watched_twins::value_at(&twin, &path);
            assert_eq!(found, expected.map(Json::from), "{path:?}");
        }
    }
}

#[test]
fn the_status_of_before_for_a_device_never_heard_is_offline() {
    passes(
        r#"
  gone:
    triggers: { changed: meter.status, from: online, to: unknown }
    actions: { log: gone }
    tests:
      - given: [ { meter.status: offline } ]
        exactly: [ log gone ]
"#,
    );
}

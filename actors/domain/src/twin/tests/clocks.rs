//! Clocks of devices: believed or not, and times without a zone.

use super::*;
use crate::reading::{ClockWindow, Quality, Telemetry};

const NOW: &str = "2026-11-29T12:00:00Z";

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn now() -> Timestamp {
    time(NOW)
}

/// A device that was registered a month ago.
fn old() -> Twin {
    Twin::new(DeviceId::parse("pump-1").unwrap(), DeviceNumber(1), now().plus_millis(-30 * 86_400_000))
}

fn hear(twin: &mut Twin, text: &str, later_ms: i64) -> Outcome {
    twin.apply(readings(text), now().plus_millis(later_ms), &cause()).unwrap()
}

fn shown(twin: &Twin, name: &str) -> String {
    let property = twin.reported.get(name).unwrap();
    let claimed = property.claimed_at().map_or(String::new(), |at| format!(" claimed {at}"));
    format!("{} at {} {}{claimed}", property.value, property.at(), property.quality().as_str())
}

#[test]
fn the_twin_is_at_the_newest_value_whose_time_can_be_believed() {
    let mut twin = old();
    let outcome = hear(&mut twin, r#"{"temperature": 99, "timestamp": "2036-11-29T12:00:00Z"}"#, 500);
    let telemetry = outcome.events.last().unwrap();
    assert_eq!(telemetry.at, now().plus_millis(500), "filed when it came");
    let EventBody::Telemetry { claimed, .. } = telemetry.body else { panic!("{telemetry:?}") };
    assert_eq!(claimed, Some(time("2036-11-29T12:00:00Z").into()));
    assert_eq!(
        shown(&twin, "temperature"),
        "99 at 2026-11-29T12:00:00.500Z uncertain claimed 2036-11-29T12:00:00.000Z"
    );
    // In whole seconds: from before the first came.
    hear(&mut twin, r#"{"temperature": 21.5, "timestamp": "2026-11-29T12:00:00Z"}"#, 600);
    assert_eq!(shown(&twin, "temperature"), "21.5 at 2026-11-29T12:00:00.000Z good");
    hear(&mut twin, r#"{"temperature": 22.0}"#, 700);
    assert_eq!(shown(&twin, "temperature"), "22.0 at 2026-11-29T12:00:00.700Z good");
    hear(&mut twin, r#"{"temperature": 20, "timestamp": "2026-11-29T11:00:00Z"}"#, 800);
    assert_eq!(shown(&twin, "temperature"), "22.0 at 2026-11-29T12:00:00.700Z good", "late as ever");
}

#[test]
fn a_clock_that_starts_at_zero_is_not_believed() {
    for said in
        ["\"1970-01-01T00:00:03Z\"", "7", "1.5", "\"1999-12-31T23:59:59Z\"", "\"2016-01-01T00:00:00Z\""]
    {
        let mut twin = old();
        hear(&mut twin, r#"{"t": 1}"#, 0);
        hear(&mut twin, &format!(r#"{{"t": 2, "timestamp": {said}}}"#), 1_000);
        assert!(shown(&twin, "t").starts_with("2 at 2026-11-29T12:00:01.000Z uncertain claimed "), "{said}");
    }
}

#[test]
fn one_event_says_that_a_clock_is_wrong_and_one_that_it_is_right_again() {
    let mut twin = old();
    let kinds = |outcome: &Outcome| {
        outcome.events.iter().map(|event| Json::from(event.data()).to_string()).collect::<Vec<_>>()
    };
    let wrong = hear(&mut twin, r#"{"t": 1, "timestamp": 7}"#, 0);
    assert_eq!(
        kinds(&wrong)[1],
        r#"{"change":"device_clock","device_clock":{"at":"2026-11-29T12:00:00.000Z","claimed_at":"1970-01-01T00:00:07.000Z"}}"#
    );
    assert_eq!(hear(&mut twin, r#"{"t": 1, "timestamp": 8}"#, 1_000).events.len(), 1, "told once");
    let document = twin.document(now()).get("clock").cloned().unwrap();
    assert_eq!(document.as_object().unwrap().get("state").unwrap().as_str(), Some("wrong"));
    assert_eq!(hear(&mut twin, r#"{"t": 1}"#, 2_000).events.len(), 1, "no time says nothing of the clock");
    let right = hear(&mut twin, r#"{"t": 1, "timestamp": "2026-11-29T12:00:03Z"}"#, 3_000);
    assert_eq!(kinds(&right)[0], r#"{"change":"device_clock","device_clock":null}"#);
    assert_eq!(twin.document(now()).get("clock"), Some(&Json::Null));
}

#[test]
fn a_value_from_the_future_of_before_gives_way() {
    let mut twin = old();
    let believing = |text: &str| {
        let Input::Telemetry(telemetry) = readings(text) else { unreachable!() };
        Input::Telemetry(Telemetry { window: ClockWindow::ANY, ..telemetry })
    };
    let far = believing(r#"{"t": 99, "timestamp": "2036-11-29T12:00:00Z"}"#);
    twin.apply(far, now(), &cause()).unwrap();
    assert_eq!(shown(&twin, "t"), "99 at 2036-11-29T12:00:00.000Z good", "as it was stored once");
    hear(&mut twin, r#"{"t": 21.5, "timestamp": "2026-11-29T12:00:00Z"}"#, 1_000);
    assert_eq!(shown(&twin, "t"), "21.5 at 2026-11-29T12:00:00.000Z good");
}

#[test]
fn repeats_go_by_the_time_that_was_claimed() {
    let mut twin = old();
    let far = r#"{"t": 99, "timestamp": "2036-11-29T12:00:00Z"}"#;
    assert!(!hear(&mut twin, far, 0).repeated);
    assert!(hear(&mut twin, far, 5_000).repeated);
    assert!(!hear(&mut twin, r#"{"t": 98, "timestamp": "2036-11-29T12:00:00Z"}"#, 6_000).repeated);
    assert!(!hear(&mut twin, r#"{"t": 99, "timestamp": "2036-11-29T12:00:01Z"}"#, 6_000).repeated);
    // After its next start a clock says the same again, of another reading.
    let start = r#"{"t": 1, "timestamp": 3}"#;
    assert!(!hear(&mut twin, start, 0).repeated);
    assert!(hear(&mut twin, start, 9 * 60_000).repeated);
    assert!(!hear(&mut twin, start, 11 * 60_000).repeated);
    // An id holds for longer.
    let with_id = r#"{"t": 1, "timestamp": 3, "message_id": "a"}"#;
    assert!(!hear(&mut twin, with_id, 0).repeated);
    assert!(hear(&mut twin, with_id, 86_400_000).repeated);
    let telemetry = payload::telemetry(with_id.as_bytes()).unwrap();
    assert_eq!(twin.repeat(&telemetry, now()), Repeat::Yes, "the store is not asked");
}

#[test]
fn readings_a_tenth_of_a_millisecond_apart_are_all_taken_in_once() {
    let mut twin = old();
    let pulse = |n: u8| format!(r#"{{"pulse": 1, "timestamp": "2026-11-29T12:00:00.0001{n}0Z"}}"#);
    for n in 0..5 {
        assert!(!hear(&mut twin, &pulse(n), i64::from(n)).repeated, "{n}");
    }
    for n in 0..5 {
        assert!(hear(&mut twin, &pulse(n), 100).repeated, "{n}");
    }
    assert_eq!(twin.intake.messages, 5);
}

#[test]
fn the_latest_within_a_millisecond_is_the_latest() {
    let mut twin = old();
    let said = |value: u8, nanos: &str| {
        format!(r#"{{"t": {value}, "timestamp": "2026-11-29T12:00:00.000{nanos}Z"}}"#)
    };
    hear(&mut twin, &said(1, "000002"), 1_000);
    assert_eq!(shown(&twin, "t"), "1 at 2026-11-29T12:00:00.000000002Z good");
    hear(&mut twin, &said(2, "000001"), 1_001);
    assert_eq!(shown(&twin, "t"), "1 at 2026-11-29T12:00:00.000000002Z good", "late by a nanosecond");
    hear(&mut twin, &said(3, "001"), 1_002);
    assert_eq!(shown(&twin, "t"), "3 at 2026-11-29T12:00:00.000001Z good");
    let document = Json::from(twin.document(now())).to_string();
    assert!(document.contains(r#""reported_at":"2026-11-29T12:00:00.000001Z""#), "{document}");
    let stored = serde_json::to_string(&twin).unwrap();
    assert_eq!(serde_json::from_str::<Twin>(&stored).unwrap(), twin);
}

#[test]
fn a_repeat_is_known_however_its_time_is_written() {
    let mut twin = old();
    let sent = |time: &str| format!(r#"{{"t": 1, "timestamp": {time}}}"#);
    assert!(!hear(&mut twin, &sent("\"2026-11-29T12:00:00.123456789Z\""), 200).repeated);
    for same in [
        "\"2026-11-29T13:00:00.123456789+01:00\"",
        "1795953600123456789",
        "1795953600.123456789",
        "\"1795953600123.456789\"",
    ] {
        assert!(hear(&mut twin, &sent(same), 300).repeated, "{same}");
    }
    assert!(!hear(&mut twin, &sent("1795953600123456788"), 300).repeated);
    assert!(
        !hear(&mut twin, &sent("\"2026-11-29T12:00:00.123456789001Z\""), 300).repeated,
        "finer than is kept"
    );
}

#[test]
fn a_time_that_is_not_believed_is_kept_as_it_was_sent() {
    let mut twin = old();
    hear(&mut twin, r#"{"t": 1, "timestamp": "2036-11-29T12:00:00.123456789Z"}"#, 0);
    assert_eq!(
        shown(&twin, "t"),
        "1 at 2026-11-29T12:00:00.000Z uncertain claimed 2036-11-29T12:00:00.123456789Z"
    );
}

#[test]
fn a_time_without_a_zone_is_read_in_that_of_the_device() {
    let mut twin = old();
    let bare = r#"{"t": 1, "timestamp": "2026-11-29 12:30:00"}"#;
    let before = twin.clone();
    let refused = twin.apply(readings(bare), now(), &cause()).unwrap_err();
    assert_eq!(refused, Refusal::NoZone(time("2026-11-29T12:30:00Z").into()));
    assert_eq!(
        refused.to_string(),
        "`timestamp`: 2026-11-29T12:30:00.000 says no zone: send one such as Z or +01:00, or set `settings.timezone` of \
         the device or its template to UTC or a zone such as Europe/Madrid"
    );
    assert_eq!(twin, before);
    for (zone, expected) in
        [("Europe/Madrid", "2026-11-29T11:30:00.000Z"), ("UTC", "2026-11-29T12:30:00.000Z")]
    {
        let set = format!(r#"{{"settings": {{"timezone": "{zone}"}}}}"#);
        twin.apply(change(&set), now(), &cause()).unwrap();
        let outcome = hear(&mut twin, bare, 0);
        assert_eq!(outcome.events.last().unwrap().at.to_string(), expected, "{zone}");
        assert_eq!(twin.intake.messages, 1, "{zone}");
        twin = before.clone();
    }
}

#[test]
fn a_batch_is_taken_in_but_for_what_makes_no_sense() {
    let batch = |text: &str, strict: bool| {
        let mut samples = payload::readings(text.as_bytes()).unwrap().samples;
        samples.iter_mut().for_each(|sample| sample.strict = strict);
        Input::of_readings(samples).unwrap()
    };
    let text = r#"[{"t": 1, "timestamp": "2026-11-29T11:00:00Z"}, {"u": 5, "timestamp": "2026-11-29 11:00"},
        {"t": 3, "timestamp": "2026-11-29T11:02:00Z"}, {"t": 2, "timestamp": "2026-11-29T11:01:00Z"},
        {"t": 1, "timestamp": "2026-11-29T11:00:00Z"}, {"t": 9, "timestamp": 7}]"#;
    let mut twin = old();
    let before = twin.clone();
    assert!(matches!(twin.apply(batch(text, true), now(), &cause()), Err(Refusal::NoZone(_))));
    assert_eq!(twin, before, "strict: all or nothing");
    let outcome = twin.apply(batch(text, false), now(), &cause()).unwrap();
    let rejected: Vec<_> = outcome.rejected.iter().map(|rejected| &*rejected.name).collect();
    assert_eq!(rejected, ["u"]);
    assert_eq!(twin.intake.messages, 4, "one was there twice");
    assert_eq!(twin.reported.get("t").unwrap().value, Json::from(9));
    assert_eq!(twin.reported.get("t").unwrap().quality(), Quality::Uncertain);
    let again = twin.apply(batch(text, false), now(), &cause()).unwrap();
    assert!(again.events.is_empty() && again.repeated);
}

#[test]
fn a_long_batch_knows_its_own_repeats() {
    let mut twin = old();
    let minute = |n: i64| format!(r#"{{"t": 1, "timestamp": "{}"}}"#, now().plus_millis(-60_000 * n));
    // The newest first, so that the twin's short memory has let the first go when it comes again.
    let items: Vec<_> = (0..100).chain(0..100).map(minute).collect();
    let samples = payload::readings(format!("[{}]", items.join(",")).as_bytes()).unwrap().samples;
    let outcome = twin.apply(Input::of_readings(samples).unwrap(), now(), &cause()).unwrap();
    assert_eq!(twin.intake.messages, 100);
    assert!(!outcome.repeated);
}

use super::*;

const START: &[u8] = br#"{"id":"c1","type":"start","parameters":{}}"#;

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1_000)
}

fn pump() -> SimulatedDevice {
    SimulatedDevice::new(1, 3)
}

/// `about payload`, one line each.
fn lines(messages: &[DeviceMessage]) -> Vec<String> {
    messages.iter().map(|report| format!("{} {}", report.about, report.payload)).collect()
}

fn day(seed: u64, index: u32) -> Vec<Value> {
    let mut device = SimulatedDevice::new(seed, index);
    let minutes = (0..1_440).map(|minute| device.measure(f64::from(minute) * 60.0).payload);
    minutes.map(|readings| serde_json::from_str(&readings).unwrap()).collect()
}

#[test]
fn greets_with_what_it_is() {
    let messages = pump().greet(None);
    assert_eq!(
        lines(&messages),
        [
            r#"status {"firmware_version":"1.4.2","model":"sim-pump","status":"online"}"#,
            r#"state {"power":"off"}"#,
            "get "
        ]
    );
    assert_eq!(messages.iter().map(|report| report.retain).collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn obeys_a_command_once_and_answers_again() {
    let mut pump = pump();
    let first = pump.hear_command(START, at(1));
    assert_eq!(lines(&first.messages), [r#"commands/c1 {"status":"delivered"}"#]);
    assert_eq!(first.carry_out.as_deref(), Some("c1"));

    let again = pump.hear_command(START, at(1));
    assert_eq!(again, CommandReaction { messages: first.messages, carry_out: None });

    let executed = r#"commands/c1 {"response":{"power":"on"},"status":"executed"}"#;
    assert_eq!(lines(&pump.carry_out("c1", 0.0, at(2))), [executed, r#"state {"power":"on"}"#]);
    assert_eq!(pump.carry_out("c1", 0.0, at(2)), []);
    let once_more = pump.hear_command(START, at(3));
    assert_eq!((lines(&once_more.messages), once_more.carry_out), (vec![executed.to_owned()], None));

    assert_eq!(lines(&pump.greet(Some(at(4))))[1], executed, "it may not have been heard");
    assert_eq!(pump.greet(Some(at(4_000))).len(), 3, "it was heard long ago");
    assert_eq!(pump.hear_command(b"nonsense", at(4)), CommandReaction::default());
}

#[test]
fn bad_luck_has_a_reason_and_changes_nothing() {
    let mut pump = pump();
    let (mut failed, mut rejected) = (0, 0);
    for number in 0..100 {
        let message = format!(r#"{{"id":"{number}","type":"start"}}"#);
        let id = pump.hear_command(message.as_bytes(), at(1)).carry_out.unwrap();
        let messages = lines(&pump.carry_out(&id, 1.0, at(2)));
        assert_eq!(messages.len(), 1, "no state has changed");
        let report: Value = serde_json::from_str(messages[0].split_once(' ').unwrap().1).unwrap();
        assert!(!report["reason"].as_str().unwrap().is_empty());
        failed += usize::from(report["status"] == "failed");
        rejected += usize::from(report["status"] == "rejected");
    }
    assert!(failed > 20 && rejected > 20 && failed + rejected == 100, "{failed} and {rejected}");
}

#[test]
fn follows_what_is_desired() {
    let mut pump = pump();
    let messages = pump.hear_desired(br#"{"version":5,"desired":{"power":"on","flow":1},"delta":{}}"#);
    assert_eq!(
        lines(&messages),
        [r#"state {"power":"on"}"#, r#"desired/failed {"flow":"flow is measured, not set"}"#]
    );
    assert_eq!(pump.hear_desired(br#"{"version":4,"desired":{"power":"off"},"delta":{}}"#), []);
    assert_eq!(lines(&pump.greet(None))[1], r#"state {"power":"on"}"#);
}

#[test]
fn the_same_seed_gives_the_same_day() {
    assert_eq!(day(7, 0), day(7, 0));
    assert_ne!(day(7, 0), day(8, 0));
    assert_ne!(day(7, 0), day(7, 2));
}

#[test]
fn rooms_are_warmer_in_the_afternoon_and_never_absurd() {
    fn mean(day: &[Value], hours: std::ops::Range<usize>) -> f64 {
        let minutes = &day[hours.start * 60..hours.end * 60];
        #[expect(clippy::cast_precision_loss, reason = "minutes of a day")]
        let count = minutes.len() as f64;
        minutes.iter().map(|m| m["temperature"].as_f64().unwrap()).sum::<f64>() / count
    }
    for index in (0..100).step_by(2) {
        let day = day(1, index);
        assert!(mean(&day, 13..17) > mean(&day, 1..5) + 2.0, "room {index}");
        for minute in &day {
            let temperature = minute["temperature"].as_f64().unwrap();
            assert!((5.0..=40.0).contains(&temperature), "room {index}: {temperature} °C");
            assert!((5.0..=99.0).contains(&minute["humidity"].as_f64().unwrap()), "room {index}");
        }
    }
}

#[test]
fn doors_open_and_close_again() {
    let day = day(1, 1);
    let open = day.iter().filter(|minute| minute["open"] == true).count();
    assert!((10..400).contains(&open), "{open} minutes of a day");
    assert!(day[1_439]["openings"].as_u64().unwrap() > 20);
}

#[test]
fn drops_out_as_often_as_it_should() {
    let mut device = SimulatedDevice::new(1, 0);
    let waits: Vec<f64> = (0..1_000).filter_map(|_| device.drops_out_after(2.0)).collect();
    let minutes = waits.iter().sum::<f64>() / 60.0;
    assert!((400.0..600.0).contains(&minutes), "a thousand times in {minutes} minutes");
    assert_eq!(device.drops_out_after(0.0), None);
    assert!((0..100).all(|_| (0.5..=1.5).contains(&device.absence())));
}

use proptest::prelude::*;

use super::*;

/// Every sample on a line of its own, with its errors behind it.
fn check(payload: &str, expected: &str) {
    let told = match readings(payload.as_bytes()) {
        Ok(ParsedPayload { samples, bad }) => {
            let samples = samples.iter().map(|sample| {
                let readings = sample.readings.iter().map(|r| {
                    let unit = r.unit.as_deref().unwrap_or_default();
                    format!("{}={}{unit}", r.name, r.value)
                });
                let at = sample.at.as_ref().map(|claim| claim.written.at.to_string());
                readings.chain(at).collect::<Vec<_>>().join(" ")
            });
            let bad = bad.iter().map(|error| format!("{}: {error}", error.reason()));
            samples.chain(bad).collect::<Vec<_>>().join("\n")
        }
        Err(error) => format!("{}: {error}", error.reason()),
    };
    assert_eq!(told, expected, "{payload}");
}

#[test]
fn reads_both_forms() {
    check(r#"{"temperature": 23.50, "ok": true, "door": "open"}"#, "door=open ok=true temperature=23.50");
    check(r#"{"a": {"b": {"c": 1}}, "gps": [1.5, 2]}"#, "a.b.c=1 gps.0=1.5 gps.1=2");
    check(r#"{"t": 1, "x": null, "timestamp": 1767268800}"#, "t=1 2026-01-01T12:00:00.000Z");
    check(r#"{"t": 1, "units": {"t": "°C"}, "device_id": "x"}"#, "t=1°C");
    check(
        r#"{"motor": {"rpm": 5, "u": 6}, "units": {"motor": {"rpm": "1/min"}, "motor.u": "V"}}"#,
        "motor.rpm=51/min motor.u=6V",
    );
    check(
        r#"{"sensor_readings": [{"sensor_type": "t", "value": 1, "unit": "°C", "quality_score": 98}],
            "timestamp": "2026-01-01T12:00:00Z", "device_status": "ok"}"#,
        "t=1°C device_status=ok 2026-01-01T12:00:00.000Z",
    );
}

#[test]
fn readings_may_stand_by_their_names() {
    check(
        r#"{"sensor_readings": {"t": 23.50, "door": "open", "none": null}, "timestamp": 1767268800, "device_status": "ok"}"#,
        "door=open t=23.50 device_status=ok 2026-01-01T12:00:00.000Z",
    );
    check(
        r#"{"sensor_readings": {"h": {"value": 40, "unit": "%"}, "t": 1}, "units": {"t": "°C", "h": "g"}}"#,
        "h=40% t=1°C",
    );
    check(
        r#"{"sensor_readings": {"h": {"value": 40, "timestamp": 1767268740}, "t": {"value": []}}}"#,
        "h=40 2026-01-01T11:59:00.000Z\nwrong_type: `sensor_readings.t.value`: expected a number, a boolean or a string, \
         found an array",
    );
    check(r#"{"sensor_readings": {}}"#, "no_readings: there are no readings in it");
    check(
        r#"{"sensor_readings": 5}"#,
        "wrong_type: `sensor_readings`: expected an array or an object, found a number",
    );
}

#[test]
fn a_reading_has_a_time_of_its_own() {
    check(
        r#"{"sensor_readings": [{"sensor_type": "t", "value": 1, "timestamp": 1767268740},
                                {"sensor_type": "h", "value": 40, "timestamp": "2026-01-01T13:00:00+0100"},
                                {"sensor_type": "p", "value": 2}], "timestamp": 1767268800}"#,
        "t=1 2026-01-01T11:59:00.000Z\nh=40 p=2 2026-01-01T12:00:00.000Z",
    );
}

#[test]
fn reads_batches() {
    check(
        r#"[{"t": 1, "timestamp": 1767268740}, {"t": 2, "timestamp": 1767268800}, {"t": 3}]"#,
        "t=1 2026-01-01T11:59:00.000Z\nt=2 2026-01-01T12:00:00.000Z\nt=3",
    );
    check(
        r#"{"readings": [{"t": 1, "timestamp": 1767268740}, {"t": 2}], "timestamp": 1767268800}"#,
        "t=1 2026-01-01T11:59:00.000Z\nt=2 2026-01-01T12:00:00.000Z",
    );
    check(
        r#"{"readings": [{"sensor_type": "t", "value": 1, "unit": "K", "timestamp": 1767268740}]}"#,
        "t=1K 2026-01-01T11:59:00.000Z",
    );
    check(r#"[{"sensor_readings": [{"sensor_type": "t", "value": 1}]}]"#, "t=1");
    // A device may have a reading of that name.
    check(r#"{"readings": [1, 2]}"#, "readings.0=1 readings.1=2");
    check(r#"{"readings": 7}"#, "readings=7");
    for nothing in
        ["[]", "[{}]", r#"{"readings": [{}]}"#, r#"{"readings": []}"#, r#"[{"timestamp": 1}]"#, "{}"]
    {
        check(nothing, "no_readings: there are no readings in it");
    }
    check("7", "wrong_type: expected an object, found a number");
}

#[test]
fn what_stands_beside_a_batch_is_a_sample_too() {
    check(
        r#"{"temperature": 21, "readings": [{"probe": 1, "v": 2}], "device_id": "x", "timestamp": 1767268800}"#,
        "probe=1 v=2 2026-01-01T12:00:00.000Z\ntemperature=21 2026-01-01T12:00:00.000Z",
    );
    check(
        r#"{"readings": [{"t": 1}, {"t": 2, "units": {"t": "K"}}, {"sensor_type": "m.rpm", "value": 3}],
            "units": {"t": "°C", "m": {"rpm": "1/min"}}, "t": 4}"#,
        "t=1°C\nt=2K\nm.rpm=31/min\nt=4°C",
    );
    check(
        &format!(r#"{{"readings": [{{"t": 1, "h": 2}}], "units": {{"t": "{}"}}}}"#, "x".repeat(65)),
        "h=2\nbad_value: `readings.t`: a unit has 64 bytes at most, this one has 65",
    );
    check(r#"{"readings": [{"t": 1}], "units": 7}"#, "t=1\nunits=7");
}

#[test]
fn a_bad_first_item_leaves_a_batch_a_batch() {
    check(
        r#"{"readings": [null, {"t": 2, "timestamp": 1767268800}]}"#,
        "t=2 2026-01-01T12:00:00.000Z\nwrong_type: `readings[0]`: expected an object, found null",
    );
}

#[test]
fn a_value_that_was_left_out_is_named_once() {
    let named = |place: &str| format!("number_out_of_range: `{place}`: the number 1e999 is out of range");
    let no_time = |place: &str| {
        format!("bad_timestamp: `{place}`: `\"1e999\"` is no time: RFC 3339, or epoch seconds, ms, µs or ns")
    };
    check(
        r#"{"sensor_readings": [{"sensor_type": "t", "value": 1e999}, {"sensor_type": "h", "value": 1}]}"#,
        &format!("h=1\n{}", named("sensor_readings.0.value")),
    );
    check(
        r#"[{"sensor_type": "t", "value": 1e999}, 1e999, {"t": 2}]"#,
        &format!("t=2\n{}\n{}", named("0.value"), named("1")),
    );
    check(r#"{"t": 1, "timestamp": 1e999}"#, &no_time("timestamp"));
    check(r#"[{"t": 1, "timestamp": 1e999}, {"t": 2}]"#, &format!("t=2\n{}", no_time("[0].timestamp")));
    check(
        r#"{"sensor_readings": [{"sensor_type": "t", "value": 1, "timestamp": 1e999}], "device_status": "ok"}"#,
        &format!("device_status=ok\n{}", no_time("sensor_readings[0].timestamp")),
    );
    check(r#"{"motor": {"timestamp": 1e999}, "t": 1}"#, &format!("t=1\n{}", named("motor.timestamp")));
}

#[test]
fn a_long_name_is_refused_before_it_is_joined_to_others() {
    let long = "k".repeat(500_000);
    check(
        &format!(r#"{{"{long}": [{}], "t": 1}}"#, vec!["[]"; 150_000].join(",")),
        &format!(
            "t=1\nbad_value: `{}`: a reading's name has 1 to 256 bytes, this one has 500000",
            &long[..64]
        ),
    );
    check(&format!(r#"{{"{long}": null, "t": 1}}"#), "t=1");
    let too_many = "too_many_readings: more than 1000 readings in one message";
    for nothing in ["null", "[]", "{}"] {
        check(&format!(r#"{{"a": [{}], "t": 1}}"#, vec![nothing; 10_000].join(",")), too_many);
        check(&format!(r#"{{"a": [{}], "t": 1}}"#, vec![nothing; 1_001].join(",")), "t=1");
    }
}

#[test]
fn a_message_has_a_thousand_readings_at_most() {
    let batch = |count: usize| format!("[{}]", vec![r#"{"t": 1}"#; count].join(","));
    assert_eq!(readings(batch(1_000).as_bytes()).unwrap().samples.len(), 1_000);
    check(&batch(1_001), "too_many_readings: more than 1000 readings in one message");
    check(
        &format!("[{}]", vec!["{}"; 1_001].join(",")),
        "too_many_readings: more than 1000 readings in one message",
    );
    let wide = format!(
        "[{{{}}}, {{\"a\": 1}}]",
        (0..1_000).map(|n| format!("\"{n}\":1")).collect::<Vec<_>>().join(",")
    );
    check(&wide, "too_many_readings: more than 1000 readings in one message");
    let listed = format!(r#"{{"sensor_readings": [{}]}}"#, vec!["{}"; 1_001].join(","));
    check(&listed, "too_many_readings: more than 1000 readings in one message");
}

#[test]
fn a_bad_reading_takes_no_good_one_with_it() {
    check(
        r#"{"sensor_readings": [{"sensor_type": "temperature", "value": null}, {"sensor_type": "h0", "value": 40}]}"#,
        "h0=40\nwrong_type: `sensor_readings[0].value`: expected a number, a boolean or a string, found null",
    );
    let long = "x".repeat(LONGEST_TEXT + 1);
    check(
        &format!(
            r#"{{"sensor_readings": [{{"sensor_type": "a", "value": []}}, {{"sensor_type": "", "value": 1}},
                {{"sensor_type": "b", "value": "{long}"}}, {{"sensor_type": "c", "value": 1, "quality_score": 101}},
                {{"value": 1}}, 7, {{"sensor_type": "d", "value": 1, "timestamp": "soon"}},
                {{"sensor_type": "good", "value": 1}}]}}"#
        ),
        "good=1\n\
         wrong_type: `sensor_readings[0].value`: expected a number, a boolean or a string, found an array\n\
         bad_value: `sensor_readings[1].sensor_type`: a reading's name has 1 to 256 bytes, this one has 0\n\
         bad_value: `sensor_readings[2].sensor_type`: a text has 16384 bytes at most, this one has 16385\n\
         bad_value: `sensor_readings[3].quality_score`: 101 is no number from 0 to 100\n\
         wrong_type: `sensor_readings[4].sensor_type`: expected a string, found nothing\n\
         wrong_type: `sensor_readings[5]`: expected an object, found a number\n\
         bad_timestamp: `sensor_readings[6].timestamp`: `\"soon\"` is no time: RFC 3339, or epoch seconds, ms, µs or ns",
    );
    check(
        &format!(r#"{{"": 1, "note": "{long}", "t": 1}}"#),
        "t=1\nbad_value: ``: a reading's name has 1 to 256 bytes, this one has 0\n\
         bad_value: `note`: a text has 16384 bytes at most, this one has 16385",
    );
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    check(
        &format!(r#"{{"t": 1, "x": 1e999, "gps": [1, -1e999, 3], "deep": {deep}}}"#),
        &format!(
            "gps.0=1 gps.2=3 t=1\nnumber_out_of_range: `x`: the number 1e999 is out of range\n\
         number_out_of_range: `gps.1`: the number -1e999 is out of range\n\
         too_deep: `deep{}`: nested deeper than 32 levels",
            ".0".repeat(30)
        ),
    );
    check(
        r#"[{"t": 1, "timestamp": "soon"}, 5, {"t": 2}, {"": 3}]"#,
        "t=2\nbad_timestamp: `[0].timestamp`: `\"soon\"` is no time: RFC 3339, or epoch seconds, ms, µs or ns\n\
         wrong_type: `[1]`: expected an object, found a number\n\
         bad_value: `[3].`: a reading's name has 1 to 256 bytes, this one has 0",
    );
}

#[test]
fn says_what_is_wrong_and_where() {
    check("{\"t\": NaN}", "not_json: not JSON: expected value at line 1 column 7");
    check(r#"{"t": 1e999}"#, "number_out_of_range: `t`: the number 1e999 is out of range");
    check(
        r#"{"t": 1, "timestamp": "soon"}"#,
        "bad_timestamp: `timestamp`: `\"soon\"` is no time: RFC 3339, or epoch seconds, ms, µs or ns",
    );
    for name in [r"a\u0000b", r"a\nb", r"\u007f", r"\u0085"] {
        for payload in [
            format!("{{\"{name}\": 1}}"),
            format!("{{\"motor\": {{\"{name}\": 1}}}}"),
            format!("{{\"sensor_readings\": [{{\"sensor_type\": \"{name}\", \"value\": 1}}]}}"),
        ] {
            let told = telemetry(payload.as_bytes()).expect_err(&payload).to_string();
            assert!(told.ends_with("a reading's name has no control characters"), "{payload}: {told}");
            assert!(!told.contains(char::is_control), "{payload}: {told:?}");
        }
    }
    check(
        r#"{"sensor_readings": 1}"#,
        "wrong_type: `sensor_readings`: expected an array or an object, found a number",
    );
}

#[test]
fn what_stands_around_the_json_is_passed_over() {
    for text in [
        "{\"t\": 1}\0",
        "{\"t\": 1}\0\0\0",
        "{\"t\": 1}\0\"t\": 9}",
        "\u{feff}{\"t\": 1}",
        "\u{feff}{\"t\": 1}\r\n\0",
        " \t\r\n{\"t\": 1} \n",
        "{\"t\": 1}\n\0\n",
    ] {
        check(text, "t=1");
    }
    check("\u{feff}[{\"t\": 1}]\0", "t=1");
    assert!(readings(b"\0{\"t\": 1}").is_err());
    assert_eq!(word(b"\xef\xbb\xbfonline\0\0rest"), "online");
    assert_eq!(word(b" \"offline\"\r\n"), "offline");
}

#[test]
fn identity_is_of_the_message_not_of_the_moment() {
    let of = |payload: &str| telemetry(payload.as_bytes()).unwrap().identity(true);
    assert_eq!(of(r#"{"t": 1}"#), None);
    assert_eq!(of(r#"{"t": 1, "timestamp": 5}"#), of(r#"{"timestamp": 5, "t": 1}"#));
    assert_ne!(of(r#"{"t": 1, "timestamp": 5}"#), of(r#"{"t": 2, "timestamp": 5}"#));
    assert_ne!(of(r#"{"t": 1, "timestamp": 5}"#), of(r#"{"t": 1, "timestamp": 6}"#));
    assert_eq!(of(r#"{"t": 1, "message_id": "a"}"#), of(r#"{"t": 2, "message_id": "a"}"#));
}

#[test]
fn times_that_differ_by_less_than_a_millisecond_are_of_different_messages() {
    let times = [
        r#""2026-01-01T12:00:00.0001Z""#,
        r#""2026-01-01T12:00:00.00011Z""#,
        r#""2026-01-01T12:00:00.0000000000001Z""#,
        r#""2026-01-01T12:00:00Z""#,
        "1767268800000200",
        "1767268800000300",
        "1767268800.0004",
        "1767268800000000500",
        "1767268800000000501",
    ];
    let of = |time: &str| {
        telemetry(format!(r#"{{"pulse": 1, "timestamp": {time}}}"#).as_bytes()).unwrap().identity(true)
    };
    let all: HashSet<_> = times.iter().map(|time| of(time)).collect();
    assert_eq!(all.len(), times.len());
    let again: HashSet<_> = times.iter().map(|time| of(time)).collect();
    assert_eq!(all, again);
}

#[test]
fn parts_of_a_message_under_one_id_are_not_repeats_of_each_other() {
    let of = |payload: &str| {
        let heard = readings(payload.as_bytes()).unwrap();
        heard.samples.iter().map(|sample| sample.identity(true)).collect::<Vec<_>>()
    };
    let batch = r#"{"readings": [{"t": 1}, {"t": 1}, {"t": 1, "message_id": "b"}], "message_id": "a"}"#;
    let identities = of(batch);
    assert_eq!(identities.iter().collect::<HashSet<_>>().len(), 3);
    assert_eq!(identities, of(batch));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        r#"[\[{]{1,3}"(sensor_readings|readings|timestamp|t)": ?[\[{"0-9a-z:, }\]]{0,40}"#.prop_map(String::into_bytes),
    ]) {
        let _ = readings(&bytes);
    }
}

/// Subscribers are shown a message as it came where it says what its readings are, and nothing that was left out.
#[test]
fn the_text_is_kept_of_one_payload_alone() {
    let kept = |text: &str| readings(text.as_bytes()).unwrap().samples.pop().unwrap().payload;
    for text in
        [r#"{"t": 1.50, "more": {"a": []}}"#, r#"{"sensor_readings": [{"sensor_type": "t", "value": 1}]}"#]
    {
        assert_eq!(kept(text).as_deref(), Some(text));
    }
    for text in [r#"[{"t": 1}]"#, r#"{"readings": [{"t": 1}]}"#, r#"{"t": 1, "u": 1e999}"#] {
        assert_eq!(kept(text), None, "{text}");
    }
}

use proptest::prelude::*;

use super::*;
use crate::dialects::{Dialects, LARGEST_PAYLOAD};
use twinhub_domain::json::Number;
use twinhub_domain::{Cause, DeviceNumber, Timestamp, Twin};

fn decode(topic: &str, payload: &str) -> Result<Decoded, DecodeError> {
    Dialects::default().decode(LARGEST_PAYLOAD, topic, payload.as_bytes())
}

/// The readings of a message, with their device.
fn telemetry(decoded: Decoded) -> (DeviceId, Telemetry) {
    let found = decoded.inputs.into_iter().find_map(|(device, input)| match input {
        Input::Telemetry(telemetry) => Some((device, telemetry)),
        _ => None,
    });
    found.expect("readings")
}

fn told(topic: &str, payload: &str) -> String {
    let decoded = match decode(topic, payload) {
        Ok(decoded) => decoded,
        Err(error) => return error.to_string(),
    };
    let (device, telemetry) = telemetry(decoded);
    let readings: Vec<String> = telemetry
        .readings
        .iter()
        .filter(|reading| !reading.name.ends_with(".raw"))
        .map(|reading| format!("{}={}{}", reading.name, reading.value, reading.unit.as_deref().unwrap_or("")))
        .collect();
    let at = telemetry.at.map(|at| format!(" at {}", at.written.at)).unwrap_or_default();
    format!("{device} {}{at}", readings.join(" "))
}

#[test]
fn a_sensor_s_message_is_readings_of_its_twin() {
    let check = |topic: &str, payload: &str, expected: &str| {
        assert_eq!(told(topic, payload), expected, "{payload}");
    };
    check(
        "sensors/temperature/temp-001",
        r#"{"value": 23.5, "unit": "°C", "origin": "edge", "source_protocol": "modbus", "anomaly": true,
            "ts": "2026-01-01T12:00:00Z", "timestamp": "2020-01-01T00:00:00Z"}"#,
        "temp-001 temperature=23.5°C temperature.anomaly=true temperature.origin=edge \
         temperature.source_protocol=modbus at 2026-01-01T12:00:00.000Z",
    );
    check(
        "sensors/humidity/h1",
        r#"{"value": "55", "timestamp": "2026-01-01T12:00:00.250000"}"#,
        "h1 humidity=55 humidity.anomaly=false humidity.origin=unknown humidity.source_protocol=mqtt \
         at 2026-01-01T12:00:00.250Z",
    );
    check(
        "sensors/a/b",
        r#"{"value": true, "type": "co2", "sensor_id": "room 7/2", "ts": "some day"}"#,
        "room-7-2-9b7eaaeea63de8af co2=1 co2.anomaly=false co2.origin=unknown co2.sensor_id=room 7/2 \
         co2.source_protocol=mqtt co2.topic=a_b",
    );
    for (payload, expected) in [
        (r#"{"unit": "°C"}"#, "`value`: expected a number, found nothing"),
        (r#"{"value": null}"#, "`value`: expected a number, found null"),
        (r#"{"value": "warm"}"#, "`value`: expected a number, found the text `warm`"),
        (r#"{"value": "nan"}"#, "`value`: expected a number, found the text `nan`"),
        (r#"{"value": [1]}"#, "`value`: expected a number, found an array"),
        (r#"{"value": 1, "type": {}}"#, "`type`: expected a text, found an object"),
        ("23.5", "expected an object, found a number"),
    ] {
        check("sensors/temperature/t", payload, expected);
    }
    assert!(told("sensors/temperature/t", "{").starts_with("not JSON"));
}

#[test]
fn a_payload_too_long_to_be_kept_leaves_its_value() {
    let payload = format!(r#"{{"value": 1, "note": "{}"}}"#, "x".repeat(LONGEST_TEXT));
    let decoded = decode("sensors/t/s", &payload).unwrap();
    assert_eq!(decoded.bad.len(), 1, "{:?}", decoded.bad);
    assert_eq!(telemetry(decoded).1.readings.len(), 4);
}

#[test]
fn topics_are_known() {
    let dialect = CloudBackend;
    for (topic, expected) in [
        ("sensors/t/s", true),
        ("sensors/t", false),
        ("sensors/t/s/x", false),
        ("system/up", true),
        ("system", false),
        ("system/a/b", false),
        ("nodered/status", true),
        ("nodered/state", false),
    ] {
        assert_eq!(dialect.takes(topic), expected, "{topic}");
    }
    assert_eq!(decode("system/up", "anything").unwrap().inputs.len(), 0);
    let (device, status) = telemetry(decode("nodered/status", "{\"state\":\"up\"}").unwrap());
    let body =
        EventBody::Telemetry { readings: status.readings, identity: None, claimed: None, payload: None };
    assert_eq!(node_red_status(&device, &body), Some("{\"state\":\"up\"}"));
    assert!(decode("nodered/status", &"x".repeat(LONGEST_TEXT + 1)).is_err());
}

#[test]
fn a_twin_has_its_type_and_knows_its_sensors() {
    let mut twin = Twin::new(DeviceId::parse("s").unwrap(), DeviceNumber(1), Timestamp::default());
    for topic in ["sensors/temperature/s", "sensors/humidity/s"] {
        for (_, input) in decode(topic, r#"{"value": 7}"#).unwrap().inputs {
            twin.apply(input, Timestamp::from_millis(1_000), &Cause::hub()).unwrap();
        }
    }
    assert_eq!(twin.profile.text("type"), "temperature");
    assert_eq!(sensor_types(&twin).collect::<Vec<_>>(), ["humidity", "temperature"]);
    let newest = CloudReading::of_twin(&twin, "humidity").unwrap();
    assert_eq!((&*newest.sensor_id, newest.topic_key().as_str()), ("s", "humidity_s"));
    assert_eq!(newest.value_as_float().as_str(), "7.0");
}

proptest! {
    /// The words of a reading are read back out of its twin's readings, whatever the type is called.
    #[test]
    fn a_reading_comes_back(
        kind in "[a-z]{1,3}(\\.(origin|source_protocol|anomaly|raw|topic|sensor_id)){0,2}",
        id in "[a-z0-9 é/]{1,12}", topic in proptest::option::of("[a-z_]{1,8}"), raw in proptest::option::of(".{0,8}"),
        number in any::<i32>(), unit in "[a-z%]{0,3}", origin in ".{0,5}", protocol in ".{0,5}", anomaly in any::<bool>(),
    ) {
        let device = id_of_sensor(&id).unwrap();
        let reading = CloudReading {
            sensor_type: kind.into(), sensor_id: id.into(), value: Number::whole(number.into()), unit: unit.into(),
            origin: origin.into(), source_protocol: protocol.into(), anomaly, raw: raw.map(Into::into),
            topic: topic.map(Into::into),
        };
        let readings = reading.clone().into_readings(&device);
        let body = EventBody::Telemetry { readings, identity: None, claimed: None, payload: None };
        prop_assert_eq!(CloudReading::of_event(&device, &body), Some(reading));
    }
}

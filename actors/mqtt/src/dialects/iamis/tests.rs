use twinhub_domain::{Cause, DeviceNumber, Timestamp, Twin};

use super::*;

fn iamis() -> Iamis {
    Iamis::new(TOPIC.into(), DeviceId::parse(DEVICE).unwrap())
}

fn twin() -> Twin {
    Twin::new(DeviceId::parse(DEVICE).unwrap(), DeviceNumber(1), Timestamp::default())
}

fn decoded(payload: &str) -> Result<Decoded, DecodeError> {
    iamis().decode(TOPIC, payload.as_bytes()).unwrap()
}

/// The twin hears a payload; gives the number of events of it.
fn hear(twin: &mut Twin, payload: &str, at: i64) -> usize {
    let (device, input) = decoded(payload).unwrap().inputs.remove(0);
    assert_eq!(device.as_str(), DEVICE);
    twin.apply(input, Timestamp::from_millis(at), &Cause::hub()).unwrap().events.len()
}

fn shown(twin: &Twin) -> String {
    twinhub_domain::Json::from(twin.reported.to_object()).to_string()
}

#[test]
fn readings_are_numbered_over_all_types_and_lead_to_the_one_before() {
    let mut twin = twin();
    hear(&mut twin, r#"{"sensor_type": "temperature", "value": 22.5, "unit": "°C"}"#, 1_000);
    assert_eq!(shown(&twin), r##"{"temperature":22.5,"temperature#gap":false,"temperature#id":1}"##);
    assert_eq!(twin.reported.get("temperature").unwrap().unit(), Some("°C"));
    hear(&mut twin, r#"{"sensor_type": "humidity", "value": "40", "unit": "%"}"#, 2_000);
    hear(&mut twin, r#"{"sensor_type": "temperature", "value": 23, "unit": "°C", "id": 99}"#, 3_500);
    assert_eq!(
        shown(&twin),
        concat!(
            r##"{"humidity":40,"humidity#gap":false,"humidity#id":2,"##,
            r##""temperature":23,"temperature#gap":2500,"temperature#id":3}"##
        )
    );
}

#[test]
fn a_message_is_one_event() {
    let mut twin = twin();
    let payload = r#"{"sensor_type": "temperature", "value": 22.5, "unit": "°C"}"#;
    hear(&mut twin, payload, 1_000); // it appears, too
    assert_eq!(hear(&mut twin, payload, 2_000), 1);
    assert_eq!(twin.intake.messages, 2);
}

#[test]
fn a_clock_that_is_set_back_numbers_on() {
    let mut twin = twin();
    let payload = r#"{"sensor_type": "temperature", "value": 22.5, "unit": "°C"}"#;
    hear(&mut twin, payload, 9_000);
    hear(&mut twin, payload, 4_000);
    hear(&mut twin, payload, 5_000);
    assert_eq!(shown(&twin), r##"{"temperature":22.5,"temperature#gap":1000,"temperature#id":3}"##);
}

#[test]
fn what_does_not_validate_is_refused_by_name() {
    let check = |payload: &str, expected: &str| {
        assert_eq!(decoded(payload).unwrap_err().to_string(), expected, "{payload}");
    };
    check(r#"{"value": 1, "unit": "x"}"#, "`sensor_type`: expected a string, found nothing");
    check(r#"{"sensor_type": "t", "unit": "x"}"#, "`value`: expected a number, found nothing");
    check(
        r#"{"sensor_type": "t", "value": "warm", "unit": "x"}"#,
        "`value`: expected a number, found a string",
    );
    check(r#"{"sensor_type": "t", "value": "inf", "unit": "x"}"#, "`value`: is not finite");
    check(r#"{"sensor_type": "t", "value": 1, "unit": null}"#, "`unit`: expected a string, found null");
    check(
        r##"{"sensor_type": "t#id", "value": 1, "unit": "x"}"##,
        "`sensor_type`: ends in neither `#id` nor `#gap`: the hub's own properties do",
    );
    check(r#"{"sensor_type": "", "value": 1, "unit": "x"}"#, "`sensor_type`: must not be empty");
    for payload in ["", "[]", "22.5"] {
        assert!(decoded(payload).is_err(), "{payload}");
    }
    let long = format!(r#"{{"sensor_type": "{}", "value": 1, "unit": "x"}}"#, "t".repeat(253));
    assert!(decoded(&long).is_err());
}

#[test]
fn its_topic_is_the_devices_own() {
    let iamis = Iamis::new("plant/+/sensor".into(), DeviceId::parse("plant").unwrap());
    assert!(iamis.takes("plant/1/sensor") && !iamis.takes(TOPIC));
    let device = Some(TopicDevice::Named(DeviceId::parse("plant").unwrap()));
    assert_eq!(iamis.device_of("plant/1/sensor", Direction::FromDevice), device);
    assert_eq!(iamis.device_of("plant/1/sensor", Direction::ToDevice), None);
    assert_eq!(iamis.device_of(TOPIC, Direction::FromDevice), None);
    assert!(iamis.decode(TOPIC, b"{}").is_none());
}

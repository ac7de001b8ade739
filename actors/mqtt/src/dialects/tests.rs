use std::sync::Arc;

use proptest::prelude::*;

use super::dispositivos::DispositivoView;
use super::*;
use twinhub_domain::{Cause, DeviceNumber, Json, Timestamp, Twin};

fn decode(topic: &str, payload: &[u8]) -> Result<Decoded, DecodeError> {
    Dialects::default().decode(LARGEST_PAYLOAD, topic, payload)
}

fn only(decoded: Decoded) -> (DeviceId, Input, Vec<PayloadError>) {
    let Ok([(device, input)]) = decoded.inputs.into_inner() else { panic!("one input") };
    (device, input, decoded.bad)
}

fn check(topic: &str, payload: &[u8], expected: &str) {
    let told = match decode(topic, payload).map(only) {
        Ok((device, input, bad)) => match input {
            _ if !bad.is_empty() => {
                let bad: Vec<_> = bad.iter().map(|error| format!("{}: {error}", error.reason())).collect();
                format!("{device} but {}", bad.join(", "))
            }
            Input::Telemetry(telemetry) => {
                let readings: Vec<_> =
                    telemetry.readings.iter().map(|r| format!("{}={}", r.name, r.value)).collect();
                format!("{device} reads {}", readings.join(" "))
            }
            Input::Report(patch) => format!("{device} reports {}", Json::from(patch)),
            Input::Presence { online, details } => {
                format!("{device} online={online} {}", Json::from(details))
            }
            Input::GetDesired => format!("{device} asks"),
            Input::Translate(message) => {
                let serial = message.serial().unwrap_or_default().to_owned();
                let mut twin = Twin::new(device.clone(), DeviceNumber(1), Timestamp::default());
                twin.apply(Input::Translate(message), Timestamp::default(), &Cause::hub()).unwrap();
                let view = DispositivoView::of(&twin);
                format!("{device} is {serial} {:?} {}", view.estado(), Json::from(view.parametros()))
            }
            other => format!("{device} {other:?}"),
        },
        Err(error) => format!("{}: {error}", error.reason()),
    };
    assert_eq!(told, expected, "{topic}");
}

#[test]
fn reads_what_devices_say() {
    check("iot/devices/test_device/data", br#"{"temperature": 23.5}"#, "test_device reads temperature=23.5");
    check("iot/devices/p/state", br#"{"power":"on","old":null}"#, r#"p reports {"old":null,"power":"on"}"#);
    check("iot/devices/p/get", b"\xff\xfe anything", "p asks");
}

#[test]
fn reads_every_form_of_a_status() {
    check("iot/devices/p/status", b"online", "p online=true {}");
    check("iot/devices/p/status", b" Offline\n", "p online=false {}");
    check("iot/devices/p/status", br#""online""#, "p online=true {}");
    check(
        "iot/devices/p/status",
        br#"{"status": "online", "firmware_version": "1.2"}"#,
        r#"p online=true {"firmware_version":"1.2"}"#,
    );
}

#[test]
fn takes_c_strings_and_byte_order_marks() {
    check("iot/devices/p/status", b"online\0", "p online=true {}");
    check("iot/devices/p/status", b"\xef\xbb\xbfoffline\0\0junk", "p online=false {}");
    check("iot/devices/p/status", b"{\"status\": \"online\"}\0", "p online=true {}");
    check("iot/devices/p/data", b"\xef\xbb\xbf{\"t\": 1}\0{\"t\": 2}", "p reads t=1");
    check("iot/devices/p/state", b"{\"a\": 1}\r\n\0", r#"p reports {"a":1}"#);
}

#[test]
fn names_what_is_bad_beside_what_is_good() {
    check(
        "iot/devices/p/state",
        br#"{"a": 1e999, "b": 1}"#,
        "p but number_out_of_range: `a`: the number 1e999 is out of range",
    );
    check(
        "iot/devices/p/data",
        br#"{"a": 1e999}"#,
        "number_out_of_range: `a`: the number 1e999 is out of range",
    );
    let long =
        format!(r#"{{"serial_number": "S", "parametros": {{"note": "{}", "t": 1}}}}"#, "x".repeat(16_385));
    check(
        "dispositivos/estado",
        long.as_bytes(),
        "S but bad_value: `note`: a text has 16384 bytes at most, this one has 16385",
    );
}

#[test]
fn says_why_it_does_not_understand() {
    let status = "bad_status: a status is `online` or `offline`, alone or as `status` of an object; this is";
    check("iot/devices/p/status", b"unknown", &format!("{status} `unknown`"));
    check("iot/devices/p/status", b"", &format!("{status} ``"));
    check("iot/devices/p/status", b"\xff", &format!("{status} `\u{fffd}`"));
    check("iot/devices/p/status", b"{}", "wrong_type: `status`: expected a string, found null");
    check("iot/devices//data", b"{}", "bad_device_id: a device id must not be empty");
    check(
        "iot/devices/a b/data",
        b"{}",
        "bad_device_id: a device id is made of A-Z a-z 0-9 . _ : - and this one has ` `",
    );
    check("iot/devices/p/state", b"[]", "wrong_type: expected an object, found an array");
    check("iot/devices/p/data", b"{}", "no_readings: there are no readings in it");
    check("iot/devices/p/desired", b"{}", "bad_topic: no dialect knows this topic");
    check("home/kitchen", b"{}", "bad_topic: no dialect knows this topic");
}

#[test]
fn devices_of_one_topic_say_who_they_are() {
    let topic = "dispositivos/estado";
    check(
        topic,
        br#"{"serial_number": "TMP0603IF1WD", "estado": "activo", "parametros": {"temp": 23.40}, "extra": []}"#,
        r#"TMP0603IF1WD is TMP0603IF1WD Some(true) {"temp":23.40}"#,
    );
    check(
        topic,
        "{\"serial_number\": \"N\u{ba} 7\"}".as_bytes(),
        "N--7-e72543e6dc05b431 is N\u{ba} 7 None {}",
    );
    check(topic, b"{}", "wrong_type: `serial_number`: expected a string, found nothing");
    check(topic, br#"{"serial_number": ""}"#, "bad_value: `serial_number`: must not be empty");
    check(
        topic,
        br#"{"serial_number": "a", "parametros": [1]}"#,
        "wrong_type: `parametros`: expected an object, found an array",
    );
    check(topic, b"activo", "not_json: not JSON: expected value at line 1 column 1");
    check("dispositivos/estado/x", b"{}", "bad_topic: no dialect knows this topic");
}

#[test]
fn a_payload_has_a_limit() {
    let error = Dialects::default().decode(4, "iot/devices/p/data", b"12345").unwrap_err();
    assert_eq!(error.reason(), "too_large");
    assert_eq!(error.to_string(), "a payload has 4 bytes at most, this one has 5");
    assert!(Dialects::default().decode(8, "iot/devices/p/data", br#"{"t": 1}"#).is_ok());
}

#[test]
fn ours_is_what_a_subscription_brings() {
    let dialects = Dialects::default();
    let is_ours = |topic: &str| dialects.is_ours(topic);
    for filter in dialects.filters() {
        assert!(is_ours(&filter.replace('+', "pump-1")), "{filter}");
        assert!(is_ours(&filter.replace('+', "no good")), "{filter}: to be rejected, not ignored");
    }
    for topic in [
        "iot/devices/p/desired",
        "iot/devices/p/commands",
        "iot/devices/p/commands/1/2",
        "iot/devices/p/data/x",
        "a/b",
        "",
    ] {
        assert!(!is_ours(topic), "{topic}");
    }
}

/// A dialect on one filter, which has a state.
struct On(&'static str, &'static str);

impl StatefulDialect for On {
    fn name(&self) -> &'static str {
        self.0
    }

    fn filters(&self) -> Vec<String> {
        vec![self.1.into()]
    }

    fn hub_filters(&self) -> Vec<String> {
        vec![format!("hub/{}", self.1)]
    }

    fn take(&mut self, _: DialectEvent, _: Timestamp) -> Result<Effects, DecodeError> {
        Ok(Effects::default())
    }

    fn deadline(&self) -> Option<Timestamp> {
        None
    }
}

/// Sends every device its own name.
struct NameEncoder;

impl DeviceEncoder for NameEncoder {
    fn encode(&self, device: &DeviceId, _: &Publish) -> Encoded {
        let topic = device.to_string();
        let message =
            Outgoing { id: 0, topic, payload: Default::default(), retain: false, until: None, purpose: None };
        Encoded { messages: vec![message], keep: Vec::new() }
    }
}

#[test]
fn the_first_dialect_that_takes_a_topic_has_it() {
    let added = AddedDialects::default()
        .with_stateful(|| On("all", "iot/#"))
        .with_stateful(|| On("some", "tele/+/state"))
        .with_stateful(|| On("more", "tele/#"));
    let dialects = Dialects::new(&added);
    let filters = ["dispositivos/estado", "sensors/+/+", "nodered/status", "system/+", "iot/#", "tele/#"];
    assert_eq!(dialects.filters(), filters, "none within another");
    let check = |topic: &str, expected: Option<&str>| {
        assert_eq!(dialects.stateful_for(topic).map(|id| dialects.name(id)), expected, "{topic}");
    };
    check("iot/devices/p/data", None);
    check("iot/devices/p/desired", Some("all"));
    check("tele/plug/state", Some("some"));
    check("tele/plug/sensor", Some("more"));
    check("home/kitchen", None);
    assert!(dialects.is_ours("tele/plug/sensor") && !dialects.is_ours("hub/tele/plug"));
    assert!(dialects.is_hubs("hub/tele/plug") && dialects.is_hubs("iot/devices/p/desired"));
    assert!(!dialects.is_hubs("tele/plug/sensor"));
}

#[test]
fn a_device_is_told_things_as_it_speaks() {
    let added = AddedDialects::default().with_stateful(|| On("a", "a")).with_stateful(|| On("b", "b"));
    let dialects = Dialects::new(&added);
    let [a, b] = dialects.stateful_ids().collect::<Vec<_>>()[..] else { panic!("two") };
    let device = DeviceId::parse("lamp").unwrap();
    let speaks = |expected: Option<StatefulId>| {
        let (dialect, Encoded { messages, .. }) = dialects.encode(&device, &Publish::Desired(Json::Null));
        let topic = if expected.is_some() { "lamp" } else { "iot/devices/lamp/desired" };
        assert_eq!((dialect, &*messages[0].topic), (expected, topic));
        assert_eq!(dialects.is_told_natively(&device), expected.is_none());
    };
    speaks(None);
    dialects.set_encoders(a, &[(device.clone(), Some(Arc::new(NameEncoder)))]);
    speaks(Some(a));
    dialects.set_encoders(b, &[(device.clone(), None)]);
    speaks(Some(a)); // it was not b's to give up
    dialects.set_encoders(b, &[(device.clone(), Some(Arc::new(NameEncoder)))]);
    speaks(Some(b));
    dialects.set_encoders(b, &[(device.clone(), None)]);
    speaks(None);
}

proptest! {
    #[test]
    fn no_message_makes_it_panic(
        topic in prop_oneof![any::<String>(), "iot/devices/[a-z ]{0,3}/(data|state|status|get)", "dispositivos/estado"],
        payload in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..100),
            "[{\\[\"]?[ -~]{0,40}[}\\]\"]?".prop_map(String::into_bytes),
        ],
    ) {
        let _ = decode(&topic, &payload);
        let _ = Dialects::default().is_ours(&topic);
    }
}

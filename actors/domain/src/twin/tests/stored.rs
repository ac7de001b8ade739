//! The stored form of a twin: a flat document whose members and their order outlast the parts that a twin is made of.

use super::*;

/// A row with nearly all that a twin can have, in the order in which every version has written it.
const ROW: &str = concat!(
    r#"{"id":"pump-1","number":1,"profile":{"name":"Pump","more":{"model":"P"}},"claimed":true,"status":"online","#,
    r#""last_seen":"1970-01-01T00:00:05.000Z","mode":"manual","mode_until":"1970-01-01T01:00:00.000Z","#,
    r#""reported":[{"name":"t","value":1.50,"at":"1970-01-01T00:00:05.000Z","#,
    r#""changed_at":"1970-01-01T00:00:04.000Z","quality":"good","units":[["","°C"]]}],"#,
    r#""desired":[{"name":"t","value":2,"at":"1970-01-01T00:00:03.000Z","#,
    r#""changed_at":"1970-01-01T00:00:03.000Z","quality":"good","by":"user:ann"}],"#,
    r#""tags":{"floor":2},"configuration":{"interval":5},"standing":"suspended","version":7,"#,
    r#""created_at":"1970-01-01T00:00:01.000Z","updated_at":"1970-01-01T00:00:05.000Z","messages":3,"#,
    r#""repeats":{"timed":[["1970-01-01T00:00:05.000Z",4]],"untimed":[7]},"polls":true,"#,
    r#""clock":{"claimed_at":"2036-01-01T00:00:00.000Z","since":"1970-01-01T00:00:05.000Z"},"#,
    r#""rhythm":[65535,65535,65535,65535,60],"queue":[],"#,
    r#""plan":{"entries":"[]","done":"1970-01-01T00:00:01.000Z","next":null},"settings":{"in_flight":2},"#,
    r#""unmet":[{"name":"t","since":"1970-01-01T00:00:03.000Z"}],"#,
    r#""line":{"changed_at":"1970-01-01T00:00:02.000Z","disconnect_reason":"silent","disconnects":1,"#,
    r#""recent":["1970-01-01T00:00:01.000Z"]},"layers":{"limits":{"t":{"max":40}}},"#,
    r#""firmware":{"image":"i","version":"2","url":"u","sha256":"s","size":1,"state":"queued","#,
    r#""at":"1970-01-01T00:00:05.000Z","timeout_ms":5}}"#,
);

#[test]
fn a_row_is_written_as_it_was_read() {
    let twin: Twin = serde_json::from_str(ROW).unwrap();
    assert_eq!(serde_json::to_string(&twin).unwrap(), ROW);
    assert_eq!(twin.control.mode_until(), Some(at(3_600)));
    assert_eq!(twin.lifecycle(), Lifecycle::Suspended);
    assert_eq!(twin.firmware().map(|task| task.state), Some(FirmwareState::Queued));
}

#[test]
fn a_row_of_the_first_version_is_a_twin() {
    let first = r#"{"id":"pump-1","number":1,"claimed":false,"status":"unknown","last_seen":null,"mode":"schedule",
        "mode_until":null,"reported":[],"desired":[],"version":0,"created_at":"1970-01-01T00:00:00Z",
        "updated_at":"1970-01-01T00:00:00Z"}"#;
    assert_eq!(serde_json::from_str::<Twin>(first).unwrap(), twin());
}

/// A million twins are in memory at once: a word more in each of them is eight megabytes.
#[cfg(target_pointer_width = "64")]
#[test]
fn a_twin_takes_no_more_than_392_bytes() {
    assert!(size_of::<Twin>() <= 392, "{} bytes", size_of::<Twin>());
}

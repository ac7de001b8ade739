//! The form `name, trigger_conditions, actions, schedule, enabled_status`.

use super::object;
use crate::file::parse_rule;
use twinhub_domain::Json;

/// The rule of ours that it becomes.
fn becomes(text: &str) -> String {
    let (rule, _) = parse_rule(&object(text)).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    let again = parse_rule(&rule.source.object()).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    assert_eq!(again.0.fingerprint, rule.fingerprint);
    Json::from(rule.source.object()).to_string()
}

fn wrong(text: &str) -> Vec<(String, String)> {
    let problems = parse_rule(&object(text)).map(|(rule, _)| rule).unwrap_err();
    problems.into_iter().map(|problem| (problem.pointer, problem.message)).collect()
}

#[test]
fn one_condition() {
    let text = r#"{"name": "Fan on!", "enabled_status": false,
        "trigger_conditions": {"device_id": "pump", "sensor_type": "temperature", "operator": ">", "value": 28},
        "actions": [{"type": "command", "device_id": "fan", "command": "set", "parameters": {"power": "on"}}]}"#;
    let expected =
        r#"{"actions":[{"command":"fan","parameters":{"power":"on"},"type":"set"}],"alias":"Fan on!","#
            .to_owned()
            + r#""conditions":"pump.reported.temperature > 28","enabled":false,"id":"fan-on","#
            + r#""triggers":[{"above":28,"numeric":{"device":"pump","property":"temperature"}}]}"#;
    assert_eq!(becomes(text), expected);
}

#[test]
fn nested_groups() {
    let text = r#"{"id": "r1", "name": "x", "trigger_conditions": {"operator": "OR", "conditions": [
            {"device_id": "a-1", "property": "flow rate", "operator": "lte", "value": "5"},
            {"operator": "and", "conditions": [
                {"device_id": "b", "field": "open", "operator": "==", "value": true},
                {"device_id": "b", "field": "state", "operator": "!=", "value": "a\"b"}]}]},
        "actions": {"action_type": "notification", "message": "hello", "severity": "info"},
        "schedule": {"cron": "0 7 * * Mon-Fri", "timezone": "Europe/Madrid"}}"#;
    let becomes = becomes(text);
    for part in [
        r#""actions":[{"alarm":"r1","message":"hello","severity":"info"}]"#,
        r#"{"any":["twin[\"a-1\"].reported[\"flow rate\"] <= 5",{"all":["b.reported.open == true","b.reported.state != \"a\\\"b\""]}]}"#,
        r#"{"below":5.000000000000001,"numeric":{"device":"a-1","property":"flow rate"}}"#,
        r#"{"changed":{"device":"b","property":"open"},"to":true}"#,
        r#"{"changed":{"device":"b","property":"state"},"from":"a\"b"}"#,
        r#"{"cron":"0 7 * * Mon-Fri","timezone":"Europe/Madrid"}"#,
    ] {
        assert!(becomes.contains(part), "{part}\n{becomes}");
    }
}

#[test]
fn a_list_means_all_and_a_schedule_may_stand_alone() {
    let text = r#"{"name": "x", "trigger_conditions": [
            {"device_id": "a", "property": "t", "operator": "gte", "value": 5},
            {"device_id": "a", "property": "t", "operator": "lt", "value": 9}],
        "actions": [{"command_type": "stop", "device_id": "a"}, {"type": "delay", "duration": "5s"},
            {"type": "set_state", "device_id": "a", "state": {"on": true}}]}"#;
    let becomes_all = becomes(text);
    assert!(
        becomes_all.contains(r#""conditions":{"all":["a.reported.t >= 5","a.reported.t < 9"]}"#),
        "{becomes_all}"
    );
    assert!(becomes_all.contains(r#"{"above":4.999999999999999"#), "{becomes_all}");
    assert!(becomes_all.contains(r#"{"desired":"a","set":{"on":true}}"#), "{becomes_all}");
    let text = r#"{"name": "x", "schedule": "@daily", "actions": {"type": "webhook", "url": "https://example.org"}}"#;
    assert!(becomes(text).contains(r#""triggers":[{"cron":"@daily"}]"#));
}

#[test]
fn errors_point_into_the_sent_document() {
    let told = wrong(
        r#"{"name": "x", "trigger_conditions": [{"device_id": "a", "property": "t", "operator": "=>", "value": 5}],
            "actions": [{"type": "comand"}, {"type": "command", "device_id": "a"}]}"#,
    );
    let pointers: Vec<&str> = told.iter().map(|(pointer, _)| pointer.as_str()).collect();
    assert_eq!(pointers, ["/actions/0/type", "/actions/1", "/trigger_conditions/0/operator"], "{told:?}");
    let told = wrong(
        r#"{"name": "x", "schedule": "61 * * * *", "actions": [{"type": "set_state", "device_id": "a b",
            "parameters": {"x": 1}}]}"#,
    );
    assert_eq!(told[0].0, "/actions/0");
    assert!(told[0].1.contains("made of A-Z"), "{told:?}");
    assert_eq!(told[1].0, "/schedule");
    assert!(told[1].1.contains("does not name minutes"), "{told:?}");
    let told = wrong(r#"{"name": "!!", "actions": [], "trigger_conditions": []}"#);
    assert!(told.iter().any(|(pointer, _)| pointer == "/name"), "{told:?}");
    let told = wrong(r#"{"name": "x", "actions": [{"type": "log", "message": "m"}]}"#);
    assert!(told[0].1.contains("`trigger_conditions` or a `schedule`"), "{told:?}");
    let told = wrong(r#"{"name": "x", "trigger": [], "enabled_status": true, "actions": []}"#);
    assert!(told.iter().any(|(pointer, _)| pointer == "/trigger"), "{told:?}");
}

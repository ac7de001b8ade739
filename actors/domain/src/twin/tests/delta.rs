//! Properties that converge, whichever way they are written.

use super::scene::{Scene, mqtt, told};
use super::*;
use crate::payload::telemetry;

impl Scene {
    fn measure(&mut self, payload: &str) {
        self.input(Input::Telemetry(telemetry(payload.as_bytes()).unwrap()), &mqtt());
    }

    fn delta(&self) -> String {
        let unmet: Vec<&str> = self.twin.unmet().iter().map(|note| &*note.name).collect();
        let delta = self.twin.delta();
        assert_eq!(unmet, delta.iter().map(|(name, _)| name).collect::<Vec<_>>(), "notes and delta agree");
        Json::from(delta).to_string()
    }
}

/// `steps`: what comes on `state` (`s`) and `data` (`d`), one after the other.
fn check(desired: &str, steps: &[(char, &str)], expected: &str) {
    let mut scene = Scene::online();
    scene.desire(desired);
    for (topic, payload) in steps {
        scene.now += 1;
        match topic {
            's' => drop(scene.report(payload)),
            _ => scene.measure(payload),
        }
    }
    assert_eq!(scene.delta(), expected, "{desired} after {steps:?}");
}

#[test]
fn the_delta_names_what_is_missing() {
    check(r#"{"power":"on"}"#, &[('s', r#"{"power":"off","t":1}"#)], r#"{"power":"on"}"#);
    check(r#"{"a":{"b":1,"c":2}}"#, &[('s', r#"{"a":{"b":1,"c":3}}"#)], r#"{"a":{"c":2}}"#);
    check(r#"{"a":{"b":1}}"#, &[('s', r#"{"a":5}"#)], r#"{"a":{"b":1}}"#);
    check(r#"{"a":{}}"#, &[], r#"{"a":{}}"#);
    check(r#"{"a":{}}"#, &[('s', r#"{"a":{"b":1}}"#)], "{}");
    check(r#"{"a":[{"b":1}]}"#, &[('s', r#"{"a":[{"b":1,"c":2}]}"#)], r#"{"a":[{"b":1}]}"#);
}

#[test]
fn equal_numbers_converge() {
    for (desired, reported) in [
        ("21.5", "21.500000000000000"),
        ("0.1", "0.10000000000000001"),
        ("100", "100.00000000000000000"),
        ("1e2", "100"),
        ("9007199254740993", "9007199254740993.0"),
        (r#"{"a":[1,{"b":21.5}]}"#, r#"{"a":[1.0,{"b":21.500000000000000}]}"#),
    ] {
        check(&format!(r#"{{"x":{desired}}}"#), &[('s', &format!(r#"{{"x":{reported}}}"#))], "{}");
    }
    let other = ('s', r#"{"x":9007199254740992}"#);
    check(r#"{"x":9007199254740993}"#, &[other], r#"{"x":9007199254740993}"#);
}

#[test]
fn a_row_of_an_earlier_version_settles() {
    let mut scene = Scene::online();
    scene.desire(r#"{"x": 21.5, "y": 1}"#);
    let noted = serde_json::to_value(scene.twin.unmet()).unwrap();
    scene.report(r#"{"x": 21.500000000000000}"#);
    let mut row = serde_json::to_value(&scene.twin).unwrap();
    row["unmet"] = noted;
    let mut twin: Twin = serde_json::from_str(&row.to_string()).unwrap();
    assert_eq!(twin.unmet().len(), 2);
    twin.settle();
    assert_eq!(twin.unmet(), scene.twin.unmet());
    assert_eq!(twin.unmet().len(), 1);
}

#[test]
fn nested_and_flat_converge() {
    let nested = r#"{"motor":{"rpm":1450}}"#;
    let flat = r#"{"motor.rpm":1450}"#;
    for desired in [nested, flat] {
        for topic in ['s', 'd'] {
            for said in [nested, flat] {
                check(desired, &[(topic, said)], "{}");
            }
        }
        check(desired, &[('d', r#"{"motor":{"rpm":1400}}"#)], desired);
    }
    check(r#"{"motor":{"rpm":1450,"mode":"eco"}}"#, &[('d', nested)], r#"{"motor":{"mode":"eco"}}"#);
    // The spelling that was said last counts, and the nested one where both came at once.
    check(nested, &[('s', r#"{"motor":{"rpm":1400}}"#), ('d', nested)], "{}");
    check(nested, &[('d', nested), ('s', r#"{"motor":{"rpm":1400}}"#)], nested);
    check(nested, &[('s', r#"{"motor.rpm":1400,"motor":{"rpm":1450}}"#)], "{}");
    // Arrays, item by item.
    check(r#"{"gps":[1.5,2]}"#, &[('d', r#"{"gps":[1.50,2]}"#)], "{}");
    check(r#"{"gps":[1.5,2]}"#, &[('d', r#"{"gps":[1.5]}"#)], r#"{"gps":[1.5,2]}"#);
    check(r#"{"gps":[1.5]}"#, &[('d', r#"{"gps":[1.5,2]}"#)], r#"{"gps":[1.5]}"#);
    check(r#"{"gps":[1.5]}"#, &[('d', r#"{"gps":[1.5,2]}"#), ('d', r#"{"gps":[1.5]}"#)], "{}");
    check(r#"{"gps":[1,2]}"#, &[('s', r#"{"gps":[1,2,3]}"#)], r#"{"gps":[1,2]}"#);
}

#[test]
fn documents_stay_as_they_were_written() {
    let mut scene = Scene::online();
    scene.desire(r#"{"motor.rpm": 1, "motor": {"rpm": 2}}"#);
    scene.measure(r#"{"motor": {"rpm": 2}}"#);
    scene.now += 1;
    scene.report(r#"{"motor": {"rpm": 2}}"#);
    let document = scene.twin.document(at(scene.now));
    let section = |name: &str| document.get(name).unwrap().to_string();
    assert_eq!(section("desired"), r#"{"motor":{"rpm":2},"motor.rpm":1}"#);
    assert_eq!(section("reported"), r#"{"motor":{"rpm":2},"motor.rpm":2}"#);
    assert_eq!(section("delta"), r#"{"motor.rpm":1}"#);
}

#[test]
fn a_reason_is_found_whichever_way_it_is_written() {
    for (desired, reasons) in [
        (r#"{"motor": {"rpm": 9}}"#, r#"{"motor.rpm": "too fast"}"#),
        (r#"{"motor": {"rpm": 9}}"#, r#"{"motor": "too fast"}"#),
        (r#"{"motor.rpm": 9}"#, r#"{"motor": {"rpm": "too fast"}}"#),
    ] {
        let mut scene = Scene::online();
        scene.desire(desired);
        scene.input(Input::DesiredFailed(object(reasons)), &mqtt());
        assert_eq!(
            scene.twin.sync("motor.rpm", at(scene.now)).unwrap().as_str(),
            "failed",
            "{desired} {reasons}"
        );
    }
}

#[test]
fn declared_words_converge_and_others_stay_exact() {
    let on = [('s', r#"{"power": "ON"}"#)];
    check(r#"{"power": true}"#, &on, r#"{"power":true}"#);
    check(r#"{"power": "on"}"#, &on, r#"{"power":"on"}"#);
    let with = |patch: &str, desired: &str, expected: &str| {
        let mut scene = Scene::online();
        scene.desire(desired);
        scene.report(r#"{"power": "ON", "m": {"fan": "OFF"}}"#);
        let change = Change { patch: object(patch) };
        scene.input(Input::Change(Box::new(change)), &mqtt());
        assert_eq!(scene.delta(), expected, "{desired} with {patch}");
    };
    for patch in [
        r#"{"limits": {"power": {"words": ["off", "on"]}, "m.fan": {"words": ["OFF", "ON"]}}}"#,
        r#"{"settings": {"words": ["OFF", "ON"]}}"#,
    ] {
        with(patch, r#"{"power": true}"#, "{}");
        with(patch, r#"{"power": "on"}"#, "{}");
        with(patch, r#"{"power": false}"#, r#"{"power":false}"#);
        with(patch, r#"{"power": "auto"}"#, r#"{"power":"auto"}"#);
        with(patch, r#"{"m": {"fan": false}}"#, "{}");
    }
    with(r#"{"limits": {"m.fan": {"words": ["OFF", "ON"]}}}"#, r#"{"power": true}"#, r#"{"power":true}"#);
    // The words of one property go before those of all.
    let both = r#"{"settings": {"words": ["no", "yes"]}, "limits": {"power": {"words": ["OFF", "ON"]}}}"#;
    with(both, r#"{"power": true}"#, "{}");
}

#[test]
fn a_device_told_of_its_delta_is_told_in_the_desired_shape() {
    let mut scene = Scene::online();
    scene.measure(r#"{"motor": {"rpm": 1}}"#);
    let told_of = told(&scene.desire(r#"{"motor": {"rpm": 2, "mode": "eco"}}"#));
    assert_eq!(told_of.as_deref(), Some(r#"{"motor":{"mode":"eco","rpm":2}}"#));
}

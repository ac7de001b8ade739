//! Units: named with readings or with state, and kept.

use super::scene::{Scene, mqtt};
use super::*;
use crate::payload::telemetry;

fn reported(scene: &Scene) -> String {
    scene.twin.document(at(scene.now)).get("reported").unwrap().to_string()
}

fn unit(scene: &Scene, path: &str) -> String {
    scene.twin.reported.unit_at(path).unwrap_or("none").to_owned()
}

fn metadata(scene: &Scene, name: &str, member: &str) -> String {
    let metadata = scene.twin.document(at(scene.now)).get("metadata").unwrap().clone();
    let reported = inside(&metadata, "reported").unwrap().as_object().unwrap().clone();
    let about = reported.get(name).unwrap().as_object().unwrap().clone();
    about.get(member).map_or("none".into(), ToString::to_string)
}

#[test]
fn a_readings_unit_is_in_the_metadata() {
    let mut scene = Scene::online();
    let said = r#"{"temperature": 21.5, "motor": {"rpm": 9}, "h": 40, "units": {"temperature": "°C", "motor": {"rpm": "1/min"}}}"#;
    let outcome = scene.input(Input::Telemetry(telemetry(said.as_bytes()).unwrap()), &mqtt());
    assert_eq!(metadata(&scene, "temperature", "unit"), r#""°C""#);
    assert_eq!(metadata(&scene, "motor.rpm", "unit"), r#""1/min""#);
    assert_eq!(metadata(&scene, "h", "unit"), "none");
    let event = outcome.events.last().unwrap();
    assert_eq!(Json::from(event.units()).to_string(), r#"{"motor.rpm":"1/min","temperature":"°C"}"#);
    let shown = crate::Recorded::new(7, event.clone());
    assert!(shown.json_members().contains(r#""units":{"motor.rpm":"1/min","temperature":"°C"},"cause""#));
}

#[test]
fn a_report_of_state_may_name_units() {
    let mut scene = Scene::online();
    scene.report(
        r#"{"temperature": 21.5, "motor": {"rpm": 9}, "units": {"temperature": "°C", "motor.rpm": "1/min"}}"#,
    );
    assert_eq!(reported(&scene), r#"{"motor":{"rpm":9},"temperature":21.5}"#);
    assert_eq!((unit(&scene, "temperature"), unit(&scene, "motor.rpm")), ("°C".into(), "1/min".into()));
    assert_eq!(metadata(&scene, "motor", "units"), r#"{"rpm":"1/min"}"#);
    scene.report(r#"{"temperature": 22}"#);
    assert_eq!(unit(&scene, "temperature"), "°C", "it is named once");
    scene.report(r#"{"units": {"temperature": "K"}}"#);
    assert_eq!(unit(&scene, "temperature"), "K", "also by itself");
    scene.report(r#"{"units": {"temperature": null}}"#);
    assert_eq!(unit(&scene, "temperature"), "none");
}

#[test]
fn a_property_called_units_stays_one() {
    for said in [
        r#"{"temperature":1,"units":"metric"}"#,
        r#"{"temperature":1,"units":{"display":"°F"}}"#,
        r#"{"temperature":1,"units":{"temperature":5}}"#,
        r#"{"temperature":1,"units":{}}"#,
    ] {
        let mut scene = Scene::online();
        scene.report(said);
        assert_eq!(reported(&scene), said);
    }
    let mut scene = Scene::online();
    scene.desire(r#"{"units": {"temperature": "°F"}}"#);
    scene.report(r#"{"temperature":1,"units":{"temperature":"°F"}}"#);
    assert!(scene.twin.delta().is_empty(), "what is desired is a property");
}

#[test]
fn a_table_of_units_is_one_though_not_all_of_it_is_reported_yet() {
    let mut scene = Scene::online();
    scene.report(r#"{"temperature": 21, "units": {"temperature": "°C", "humidity": "%"}}"#);
    assert_eq!(reported(&scene), r#"{"temperature":21}"#);
    assert_eq!((unit(&scene, "temperature"), unit(&scene, "humidity")), ("°C".into(), "none".into()));
    scene.report(r#"{"humidity": 40, "units": {"temperature": "°C", "humidity": "%"}}"#);
    assert_eq!(unit(&scene, "humidity"), "%");
}

#[test]
fn a_table_that_was_kept_as_a_property_is_one_no_more() {
    let mut scene = Scene::online();
    scene.report(r#"{"units": {"temperature": "°F", "humidity": "%"}}"#);
    scene.report(r#"{"temperature": 21, "humidity": 40}"#);
    assert_eq!(
        reported(&scene),
        r#"{"humidity":40,"temperature":21,"units":{"humidity":"%","temperature":"°F"}}"#
    );
    scene.report(r#"{"units": {"temperature": "°C"}}"#);
    assert_eq!(reported(&scene), r#"{"humidity":40,"temperature":21}"#);
    assert_eq!((unit(&scene, "temperature"), unit(&scene, "humidity")), ("°C".into(), "%".into()));
    // One that is no such table stays what it is.
    let mut scene = Scene::online();
    scene.report(r#"{"units": "metric", "temperature": 21}"#);
    scene.report(r#"{"units": {"temperature": "°C"}}"#);
    assert_eq!(reported(&scene), r#"{"temperature":21,"units":{"temperature":"°C"}}"#);
}

#[test]
fn units_last_with_the_twin() {
    let mut scene = Scene::online();
    scene.report(r#"{"temperature": 21.5, "units": {"temperature": "°C"}}"#);
    let row = serde_json::to_string(&scene.twin).unwrap();
    let again: Twin = serde_json::from_str(&row).unwrap();
    assert_eq!(again, scene.twin);
    assert_eq!(again.reported.unit_at("temperature"), Some("°C"));
}

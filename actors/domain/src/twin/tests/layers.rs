//! A device's own words lie over its template's, and come out again as they were.

use std::sync::Arc;

use super::scene::Scene;
use super::*;
use crate::fleet::Layer;

const PUMP: &str = r#"{"id": "pump", "version": 2, "configuration": {"interval": 60, "net": {"ssid": "hall", "retry": 3}},
    "tags": {"floor": "2", "kind": "pump"}, "schedule": [{"cron": "0 7 * * *", "set": {"power": "on"}}],
    "settings": {"heartbeat": "90s", "in_flight": 3}, "limits": {"t": {"min": -10, "max": 40.0, "unit": "°C"}}}"#;

fn layer(text: &str) -> Arc<Layer> {
    Arc::new(Layer::read(&object(text)).unwrap())
}

impl Scene {
    fn lay(&mut self, text: Option<&str>) -> Outcome {
        self.input(Input::Template { layer: text.map(layer), only_of: None }, &cause())
    }

    /// The value at a place of the document, such as `metadata/tags/floor/from`.
    fn shows(&self, place: &str) -> String {
        let document = self.twin.document(at(self.now));
        let (first, rest) = place.split_once('/').unwrap_or((place, ""));
        let mut found = document.get(first).unwrap();
        for part in rest.split('/').filter(|part| !part.is_empty()) {
            found = found.as_object().and_then(|object| object.get(part)).unwrap_or(&Json::Null);
        }
        found.to_string()
    }
}

#[test]
fn what_the_device_says_wins_and_each_is_known() {
    let mut scene = Scene::new();
    scene.set(
        r#"{"configuration": {"net": {"retry": 9}, "own": 1}, "tags": {"floor": "3"}, "settings": {"in_flight": 1},
            "limits": {"t": {"max": 30}, "h": {"unit": "%"}}}"#,
    );
    assert_eq!(scene.shows("template"), "null");
    assert_eq!(scene.shows("metadata/tags/floor/from"), r#""device""#);
    scene.lay(Some(PUMP));
    for (place, shown) in [
        ("template", r#"{"id":"pump","version":2}"#),
        ("configuration", r#"{"interval":60,"net":{"retry":9,"ssid":"hall"},"own":1}"#),
        ("tags", r#"{"floor":"3","kind":"pump"}"#),
        ("settings", r#"{"heartbeat":"90s","in_flight":1}"#),
        ("limits", r#"{"h":{"unit":"%"},"t":{"max":30,"min":-10,"unit":"°C"}}"#),
        (
            "metadata/configuration",
            r#"{"interval":{"from":"template"},"net":{"from":"both"},"own":{"from":"device"}}"#,
        ),
        ("metadata/tags", r#"{"floor":{"from":"device"},"kind":{"from":"template"}}"#),
        ("metadata/settings", r#"{"heartbeat":{"from":"template"},"in_flight":{"from":"device"}}"#),
        ("metadata/limits", r#"{"h":{"from":"device"},"t":{"from":"both"}}"#),
        ("metadata/schedule", r#"{"from":"template"}"#),
    ] {
        assert_eq!(scene.shows(place), shown, "{place}");
    }
    assert_eq!(scene.twin.silence_ms(0), Some(90_000));

    // Another version: what the device said stays.
    scene.lay(Some(
        r#"{"id": "pump", "version": 3, "configuration": {"net": {"ssid": "yard"}}, "tags": {"floor": "5"}}"#,
    ));
    assert_eq!(scene.shows("configuration"), r#"{"net":{"retry":9,"ssid":"yard"},"own":1}"#);
    assert_eq!((scene.shows("tags"), scene.shows("schedule")), (r#"{"floor":"3"}"#.into(), "[]".into()));
    assert_eq!(scene.shows("limits"), r#"{"h":{"unit":"%"},"t":{"max":30}}"#);

    // And when the template goes, it is all there is.
    scene.lay(None);
    assert_eq!(scene.shows("configuration"), r#"{"net":{"retry":9},"own":1}"#);
    assert_eq!(scene.shows("settings"), r#"{"in_flight":1}"#);
    assert_eq!(scene.shows("limits"), r#"{"h":{"unit":"%"},"t":{"max":30}}"#);
}

#[test]
fn null_lets_the_template_show_again() {
    let mut scene = Scene::new();
    scene.lay(Some(PUMP));
    let own = r#"{"configuration": {"interval": 5}, "tags": {"floor": 1}, "settings": {"heartbeat": "never"},
        "schedule": [], "limits": {"t": {"max": 30}}}"#;
    let nothing = r#"{"configuration": {"interval": null}, "tags": {"floor": null}, "settings": {"heartbeat": null},
        "schedule": null, "limits": {"t": null}}"#;
    let shown = |scene: &Scene| {
        ["configuration/interval", "tags/floor", "settings/heartbeat", "limits/t/max"]
            .map(|place| scene.shows(place))
    };
    let of_template = shown(&scene);
    assert_eq!(of_template, ["60", r#""2""#, r#""90s""#, "40.0"]);
    scene.set(own);
    assert_eq!(shown(&scene), ["5", "1", r#""never""#, "30"]);
    assert_eq!((scene.twin.plan(), scene.shows("metadata/schedule/from")), (None, r#""device""#.into()));
    scene.set(nothing);
    assert_eq!(shown(&scene), of_template);
    assert!(scene.twin.plan().is_some());
    scene.lay(None);
    assert_eq!((scene.twin.plan(), scene.shows("configuration")), (None, "{}".into()));
    assert_eq!(scene.twin.limits(), Limits::default());
}

#[test]
fn the_device_is_told_of_a_configuration_that_changed() {
    let mut scene = Scene::new();
    let configurations = |outcome: &Outcome| {
        let told = outcome.publishes.iter().filter(|publish| matches!(publish, Publish::Configuration(_)));
        told.count()
    };
    assert_eq!(configurations(&scene.lay(Some(PUMP))), 1);
    assert_eq!(scene.lay(Some(PUMP)), Outcome::default(), "the same again is nothing");
    let named = r#"{"id": "pump", "version": 4, "configuration": {"interval": 60, "net": {"ssid": "hall", "retry": 3}}}"#;
    let quiet = scene.lay(Some(named));
    assert_eq!((quiet.events.len(), configurations(&quiet)), (1, 0), "its configuration is as it was");
    assert_eq!(configurations(&scene.lay(None)), 1);
    assert_eq!(scene.lay(None), Outcome::default());
    // Over what it says itself, nothing changes.
    scene.set(r#"{"configuration": {"interval": 60, "net": {"ssid": "hall", "retry": 3}}}"#);
    assert_eq!(configurations(&scene.lay(Some(named))), 0);
}

#[test]
fn what_is_meant_for_those_of_a_template_reaches_no_others() {
    let mut scene = Scene::new();
    let of = |of: &str, layer| Input::Template { layer, only_of: Some(of.into()) };
    assert_eq!(scene.input(of("pump", Some(layer(PUMP))), &cause()), Outcome::default());
    scene.lay(Some(PUMP));
    assert_eq!(scene.input(of("fan", None), &cause()), Outcome::default());
    assert_eq!(scene.input(of("pump", None), &cause()).events.len(), 1);
}

#[test]
fn a_template_comes_with_a_registration_under_what_is_said_there() {
    let mut scene = Scene::new();
    let mut patch = object(r#"{"name": "Pump", "configuration": {"interval": 5}, "schedule": []}"#);
    patch.insert("template", "pump".into());
    scene.templates.push(layer(PUMP));
    scene.input(Input::Register(Box::new(Registration { patch })), &cause());
    assert_eq!(scene.shows("configuration"), r#"{"interval":5,"net":{"retry":3,"ssid":"hall"}}"#);
    assert_eq!((scene.twin.plan(), scene.twin.version), (None, 1));
    // A template that nobody put there by its layer is nobody's.
    let refused = scene.try_input(change(r#"{"template": "fan"}"#), &cause());
    let Err(Refusal::Invalid { field, detail }) = refused else { panic!("{refused:?}") };
    assert_eq!((&*field, &*detail), ("template_id", "there is no template `fan`"));
}

#[test]
fn a_schedule_goes_on_where_a_new_version_has_the_same() {
    let mut scene = Scene::new();
    let often = |version: i64, more: &str| {
        format!(
            r#"{{"id": "p", "version": {version}, "schedule": [{{"cron": "0 * * * * *", "set": {{"n": 1}}, "missed": "run_once"}}]{more}}}"#
        )
    };
    scene.lay(Some(&often(1, "")));
    scene.now = 3_600 * 24; // nobody woke it meanwhile
    scene.lay(Some(&often(2, r#", "tags": {"a": 1}"#)));
    assert_eq!(scene.deadline(), Some(at(60)), "what is missed is not forgotten");
    scene.lay(Some(r#"{"id": "p", "version": 3, "schedule": [{"cron": "30 * * * * *", "set": {"n": 1}}]}"#));
    assert_eq!(scene.deadline(), Some(at(3_600 * 24 + 30)));
}

#[test]
fn limits_that_cross_are_refused_and_the_difference_is_told() {
    let mut scene = Scene::new();
    scene.lay(Some(PUMP));
    for wrong in [r#"{"t": {"min": 41}}"#, r#"{"t": {"max": -11}}"#] {
        let refused = scene.try_input(change(&format!(r#"{{"limits": {wrong}}}"#)), &cause());
        assert!(matches!(refused, Err(Refusal::Invalid { field, .. }) if field == "limits.t.min"), "{wrong}");
    }
    scene.set(r#"{"configuration": {"interval": 5}}"#);
    let other = r#"{"id": "pump", "version": 3, "configuration": {"interval": 7}, "tags": {"floor": "2", "kind": "fan"},
        "settings": {"heartbeat": "90s"}}"#;
    let told = Json::from(scene.twin.setup.difference(Some(layer(other)), at(0)));
    let expected = r#"{"configuration": {"net": {"from": {"retry": 3, "ssid": "hall"}, "to": null}},
        "tags": {"kind": {"from": "pump", "to": "fan"}}, "settings": {"in_flight": {"from": 3, "to": null}},
        "limits": {"t": {"from": {"max": 40.0, "min": -10, "unit": "°C"}, "to": null}}}"#;
    let Json::Object(mut told) = told else { panic!("{told}") };
    assert!(told.remove("schedule").is_some());
    assert_eq!(told, object(expected));
}

#[test]
fn limits_are_checked_over_the_template_that_comes_with_them() {
    let cold = layer(r#"{"id": "cold", "version": 1, "limits": {"t": {"max": 40}}}"#);
    let with = |template: Json, limits: &str| {
        let mut patch = object(&format!(r#"{{"limits": {limits}}}"#));
        patch.insert("template", template);
        patch
    };
    let hot = r#"{"t": {"min": 50}}"#;
    let register = |patch| Input::Register(Box::new(Registration { patch }));
    let mut scene = Scene::new();
    scene.templates.push(Arc::clone(&cold));
    let refused = scene.try_input(register(with("cold".into(), hot)), &cause());
    assert!(matches!(refused, Err(Refusal::Invalid { field, .. }) if field == "limits.t.min"));

    scene.input(register(with("cold".into(), "{}")), &cause());
    let patch = with(Json::Null, hot);
    scene.input(Input::Change(Box::new(Change { patch })), &cause());
    assert_eq!(scene.shows("limits"), r#"{"t":{"min":50}}"#, "without the template nothing crosses");

    // A crossing that came with another version of the template stands in the way of its own reading alone.
    scene.input(Input::Template { layer: Some(cold), only_of: None }, &cause());
    scene.set(r#"{"limits": {"h": {"unit": "%"}}}"#);
    let refused = scene.try_input(change(r#"{"limits": {"t": {"min": 45}}}"#), &cause());
    assert!(matches!(refused, Err(Refusal::Invalid { field, .. }) if field == "limits.t.min"));
    scene.set(r#"{"limits": {"t": null}}"#);
    assert_eq!(scene.shows("limits"), r#"{"h":{"unit":"%"},"t":{"max":40}}"#);
}

/// The words possible on one thing, by the device or by the template.
fn section() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("{}"),
        Just(r#"{"a": 1}"#),
        Just(r#"{"a": null}"#),
        Just(r#"{"a": {"x": 1.50, "y": null}}"#),
        Just(r#"{"a": {"y": "b"}, "b": [1, {"c": null}]}"#),
        Just(r#"{"b": "c"}"#),
    ]
}

fn settings() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("{}"),
        Just(r#"{"heartbeat": "90s"}"#),
        Just(r#"{"heartbeat": null, "in_flight": 4}"#),
        Just(r#"{"in_flight": null}"#)
    ]
}

fn limits() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("{}"),
        Just(r#"{"t": {"min": 1, "max": 5}}"#),
        Just(r#"{"t": {"min": 4.0}}"#),
        Just(r#"{"t": null, "h": {"unit": "%", "interval": 30}}"#),
        Just(r#"{"t": {"max": 3}}"#),
    ]
}

fn schedule() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("null"),
        Just("[]"),
        Just(r#"[{"cron": "0 7 * * *", "set": {"power": "on"}}]"#),
        Just(r#"[{"cron": "0 8 * * *", "set": {"power": "on"}}]"#),
    ]
}

/// A document of all sections, as a patch of the device or as a template.
fn document() -> impl Strategy<Value = String> {
    (section(), section(), settings(), limits(), proptest::option::of(schedule())).prop_map(
        |(configuration, tags, settings, limits, schedule)| {
            let schedule = schedule.map(|entries| format!(r#", "schedule": {entries}"#)).unwrap_or_default();
            format!(
                r#"{{"configuration": {configuration}, "tags": {tags}, "settings": {settings}, "limits": {limits}{schedule}}}"#
            )
        },
    )
}

fn any_layer() -> impl Strategy<Value = Option<Arc<Layer>>> {
    let made = (document(), 1..4u8, prop_oneof![Just("p"), Just("q")]).prop_map(|(text, version, id)| {
        // A template has no nulls: it is what they leave.
        let mut document = Object::default();
        document.merge(&object(&text));
        document.insert("id", id.into());
        document.insert("version", i64::from(version).into());
        let schedule = document.get("schedule").and_then(|said| change::schedule(said, at(0)).ok().flatten());
        document.insert("schedule", schedule.map_or(Json::Null, |entries| entries.to_json()));
        let read = Layer::read(&document).unwrap();
        Arc::new(Layer::read(&object(&Json::from(read.to_object()).to_string())).unwrap())
    });
    proptest::option::weighted(0.8, made)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A twin whose device says things, and whose template comes, changes and goes, is the fold of its events, is
    /// read as it is stored, shows its own word over the template's, and without the template is what a twin is that
    /// never had one.
    #[test]
    fn a_template_leaves_what_the_device_said(
        inputs in prop::collection::vec(prop_oneof![document().prop_map(Ok), any_layer().prop_map(Err)], 0..12)
    ) {
        let (mut live, mut redone, mut alone) = (twin(), twin(), twin());
        live.apply(Input::Appear, at(0), &cause()).unwrap().events.iter().for_each(|event| redone.redo(event));
        alone.apply(Input::Appear, at(0), &cause()).unwrap();
        for (second, input) in inputs.into_iter().enumerate() {
            let now = at(i64::try_from(second).unwrap());
            let outcome = match input {
                Ok(text) => {
                    let said = live.apply(change(&text), now, &cause());
                    if said.is_ok() {
                        // A limit that crosses the template's alone is refused; by itself it may be fine, or not.
                        alone.apply(change(&text), now, &cause()).unwrap();
                    }
                    said
                }
                Err(layer) => live.apply(Input::Template { layer, only_of: None }, now, &cause()),
            };
            let Ok(outcome) = outcome else { continue };
            outcome.events.iter().for_each(|event| redone.redo(event));
            if let Some(layer) = live.layer() {
                let over = |base: &Object, own: &Object| {
                    let mut all = base.clone();
                    all.merge(own);
                    all
                };
                prop_assert_eq!(&live.setup.configuration, &over(&layer.configuration, &alone.setup.configuration));
                prop_assert_eq!(&live.setup.tags, &over(&layer.tags, &alone.setup.tags));
                prop_assert_eq!(live.settings(), alone.settings().over(&layer.settings));
                prop_assert_eq!(live.limits(), alone.limits().over(&layer.limits));
                if let Some(own) = alone.plan() {
                    prop_assert!(live.plan().is_some_and(|plan| plan.has_entries_of(own)));
                }
            }
        }
        prop_assert_eq!(&live, &redone);
        let stored = serde_json::to_string(&live).unwrap();
        let read = serde_json::from_str::<Twin>(&stored).unwrap();
        prop_assert_eq!(&read, &live);

        live.apply(Input::Template { layer: None, only_of: None }, at(100), &cause()).unwrap();
        prop_assert_eq!(&live.setup.configuration, &alone.setup.configuration);
        prop_assert_eq!(&live.setup.tags, &alone.setup.tags);
        prop_assert_eq!(live.settings(), alone.settings());
        prop_assert_eq!(live.limits(), alone.limits());
        prop_assert_eq!(live.plan(), alone.plan());
    }
}

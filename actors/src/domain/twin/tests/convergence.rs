//! Desired meets reported, whatever comes between.

use super::scene::{Scene, mqtt, told};
use super::*;

fn sync(scene: &Scene, name: &str) -> String {
    let document = Json::from(scene.twin.document(at(scene.now)));
    let metadata = document.as_object().unwrap().get("metadata").unwrap().as_object().unwrap();
    let desired = metadata.get("desired").unwrap().as_object().unwrap();
    let about = desired.get(name).unwrap().as_object().unwrap();
    about.get("sync").unwrap().as_str().unwrap().to_owned()
}

#[test]
fn each_property_says_how_far_it_is() {
    let mut scene = Scene::new();
    scene.desire(r#"{"power": "on", "speed": 5}"#);
    assert_eq!(sync(&scene, "power"), "pending");
    scene.now = 10;
    let told_of = told(&scene.say(true));
    assert_eq!(told_of.as_deref(), Some(r#"{"power":"on","speed":5}"#));
    assert_eq!(sync(&scene, "power"), "sent");
    scene.report(r#"{"power": "on"}"#);
    assert_eq!((sync(&scene, "power"), sync(&scene, "speed")), ("applied".into(), "sent".into()));
    scene.input(Input::CouldNot(object(r#"{"speed": "the belt is off"}"#)), &mqtt());
    assert_eq!(sync(&scene, "speed"), "failed");
    scene.desire(r#"{"speed": 6}"#);
    assert_eq!(sync(&scene, "speed"), "sent", "a new wish, a new try");
    scene.now += 600;
    assert_eq!(sync(&scene, "speed"), "stale");
    scene.report(r#"{"speed": 6}"#);
    assert_eq!((sync(&scene, "speed"), scene.twin.drifting_since()), ("applied".into(), None));
}

#[test]
fn drift_begins_when_they_part() {
    let mut scene = Scene::online();
    scene.now = 5;
    scene.desire(r#"{"power": "on", "limits": {"low": 1, "high": 9}}"#);
    assert_eq!(scene.twin.drifting_since(), Some(at(5)));
    scene.now = 6;
    scene.report(r#"{"power": "on", "limits": {"low": 1, "high": 9, "more": 0}}"#);
    assert_eq!(scene.twin.drifting_since(), None, "it may say more than it was asked for");
    scene.now = 50;
    scene.report(r#"{"power": "off"}"#);
    assert_eq!(scene.twin.drifting_since(), Some(at(50)), "somebody switched it off by hand");
    scene.now = 60;
    scene.desire(r#"{"power": null}"#);
    assert_eq!(scene.twin.drifting_since(), None);
}

#[derive(Clone, Debug)]
enum Deed {
    Desire(u8, Option<u8>),
    /// The device reports something of its own accord.
    Report(u8, u8),
    Drop,
    Return,
    /// The connection loses what is published next.
    Lose,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => (0..3_u8, proptest::option::of(0..4_u8)).prop_map(|(name, value)| Deed::Desire(name, value)),
        2 => (0..3_u8, 0..4_u8).prop_map(|(name, value)| Deed::Report(name, value)),
        1 => Just(Deed::Drop),
        1 => Just(Deed::Return),
        1 => Just(Deed::Lose),
    ];
    proptest::collection::vec(deed, 0..40)
}

/// A device that does what it is told, but can never set `c` to 3.
fn obey(scene: &mut Scene, delta: &str) {
    let (mut did, mut could_not) = (Object::default(), Object::default());
    for (name, value) in object(delta).iter() {
        if name == "c" && *value == Json::from(3) {
            could_not.insert(name, "c cannot be 3".into());
        } else {
            did.insert(name, value.clone());
        }
    }
    if !did.is_empty() {
        scene.input(Input::Report(did), &mqtt());
    }
    if !could_not.is_empty() {
        scene.input(Input::CouldNot(could_not), &mqtt());
    }
}

proptest! {
    /// Whatever the order of patches, drop-outs and reports: in the end reported equals desired, or it is
    /// said why not.
    #[test]
    fn in_the_end_they_agree_or_it_is_said_why(deeds in deeds()) {
        let mut scene = Scene::online();
        let (mut connected, mut losing) = (true, false);
        for deed in deeds {
            scene.now += 1;
            let outcome = match deed {
                Deed::Desire(name, value) => {
                    let value = value.map_or("null".to_owned(), |value| value.to_string());
                    scene.desire(&format!(r#"{{"{}": {value}}}"#, ["a", "b", "c"][usize::from(name)]))
                }
                Deed::Report(name, value) if connected => {
                    scene.report(&format!(r#"{{"{}": {value}}}"#, ["a", "b", "c"][usize::from(name)]))
                }
                Deed::Drop => {
                    connected = false;
                    scene.say(false)
                }
                Deed::Return => {
                    connected = true;
                    scene.say(true)
                }
                Deed::Lose => {
                    losing = true;
                    continue;
                }
                Deed::Report(..) => continue,
            };
            if connected && let Some(delta) = told(&outcome) && !std::mem::take(&mut losing) {
                obey(&mut scene, &delta);
            }
        }
        // What was lost with a connection is told again on the next one.
        scene.say(false);
        let back = scene.say(true);
        if let Some(delta) = told(&back) {
            obey(&mut scene, &delta);
        }
        let delta = scene.twin.delta();
        for (name, _) in delta.iter() {
            prop_assert_eq!(name, "c");
            prop_assert_eq!(sync(&scene, name), "failed");
        }
        let unmet: Vec<&str> = scene.twin.unmet().iter().map(|note| &*note.name).collect();
        prop_assert_eq!(unmet, delta.iter().map(|(name, _)| name).collect::<Vec<_>>());
    }
}

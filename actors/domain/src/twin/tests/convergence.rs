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
    scene.input(Input::DesiredFailed(object(r#"{"speed": "the belt is off"}"#)), &mqtt());
    assert_eq!(sync(&scene, "speed"), "failed");
    scene.desire(r#"{"speed": 6}"#);
    assert_eq!(sync(&scene, "speed"), "sent", "a new wish, a new try");
    scene.now += 600;
    assert_eq!(sync(&scene, "speed"), "stale");
    scene.report(r#"{"speed": 6}"#);
    assert_eq!((sync(&scene, "speed"), scene.twin.drifting_since()), ("applied".into(), None));
}

#[test]
fn of_what_is_not_desired_any_more_nothing_is_left_to_come_to() {
    let mut scene = Scene::online();
    scene.desire(r#"{"motor": {"rpm": 5}}"#);
    let told_of = told(&scene.desire(r#"{"motor": {"rpm": null}}"#));
    assert_eq!((told_of.as_deref(), scene.twin.desired.len()), (Some("{}"), 0));
    assert_eq!((scene.twin.drifting_since(), scene.twin.delta().len()), (None, 0));
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

/// Wishes and reports: places, whichever way they are written, and values, some of which are equal.
const PLACES: [&str; 6] = ["a", "b", "c", "m.x", "m.y", "m.deep.z"];
const VALUES: [&str; 14] = [
    "0", "1", "1.0", "1e0", "2.50", "25e-1", "3", "3.0", "30e-1", "\"on\"", "\"ON\"", "\"off\"", "true",
    "false",
];

#[derive(Clone, Debug)]
enum Deed {
    Desire(usize, Option<usize>),
    /// The device reports something of its own accord.
    Report(usize, usize, Manner),
    /// It sends a reading that it took so many seconds ago.
    Late(usize, usize, i64),
    Drop,
    Return,
    /// The connection loses what is published next.
    Lose,
}

/// In which way a device says what it says.
#[derive(Clone, Copy, Debug)]
struct Manner {
    form: Form,
    /// It writes an equal number with other digits, and other words that mean the same.
    is_other: bool,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    /// `{"m": {"x": 1}}`
    Nested,
    /// `{"m.x": 1}`
    Dotted,
    /// As readings without a time.
    Undated,
    /// As readings of now.
    Dated,
}

/// The habits of a device for the whole of its life. It says what has members either nested or with dots: a nested
/// report dates the whole of an object anew, also the members that it leaves out, so what was said of those with dots
/// in between would seem older than it is.
#[derive(Clone, Copy, Debug)]
struct Habit {
    /// Wishes are written with dots.
    is_dotted: bool,
    /// It is declared which words mean the same.
    has_words: bool,
    answers: Manner,
}

fn manner() -> impl Strategy<Value = Manner> {
    let form = prop_oneof![Just(Form::Nested), Just(Form::Dotted), Just(Form::Undated), Just(Form::Dated)];
    (form, any::<bool>()).prop_map(|(form, is_other)| Manner { form, is_other })
}

fn habit() -> impl Strategy<Value = Habit> {
    (any::<bool>(), any::<bool>(), manner()).prop_map(|(is_dotted, has_words, answers)| Habit {
        is_dotted,
        has_words,
        answers,
    })
}

impl Habit {
    fn is_nested(self) -> bool {
        matches!(self.answers.form, Form::Nested)
    }

    /// The manner in which it says something of this place.
    fn manner(self, place: &str, manner: Manner) -> Manner {
        let is_nested = matches!(manner.form, Form::Nested);
        let form = if place.contains('.') && is_nested != self.is_nested() {
            self.answers.form
        } else {
            manner.form
        };
        Manner { form, ..manner }
    }
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let (place, value) = (|| 0..PLACES.len(), || 0..VALUES.len());
    let deed = prop_oneof![
        4 => (place(), proptest::option::weighted(0.8, value())).prop_map(|(place, value)| Deed::Desire(place, value)),
        2 => (place(), value(), manner()).prop_map(|(place, value, manner)| Deed::Report(place, value, manner)),
        1 => (place(), value(), 1..60_i64).prop_map(|(place, value, ago)| Deed::Late(place, value, ago)),
        1 => Just(Deed::Drop),
        1 => Just(Deed::Return),
        1 => Just(Deed::Lose),
    ];
    proptest::collection::vec(deed, 0..40)
}

/// `value` at `place`, nested.
fn nested(place: &str, value: &str) -> String {
    place.rsplit('.').fold(value.to_owned(), |inner, name| format!(r#"{{"{name}": {inner}}}"#))
}

fn dotted(place: &str, value: &str) -> String {
    format!(r#"{{"{place}": {value}}}"#)
}

/// The places of a delta and what is wanted there.
fn leaves(value: &Json, place: &str, found: &mut Vec<(String, String)>) {
    match value {
        Json::Object(members) if !members.is_empty() => {
            for (name, value) in members.iter() {
                let place = if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
                leaves(value, &place, found);
            }
        }
        value => found.push((place.to_owned(), value.to_string())),
    }
}

/// The same value as another device would write it.
fn otherwise(value: &str, has_words: bool) -> String {
    let other = match value {
        "0" => "0.00",
        "1" => "1.0",
        "1.0" => "10e-1",
        "1e0" => "1",
        "2.50" => "2.5",
        "25e-1" => "2.500",
        "3" => "3.00",
        "\"on\"" | "\"ON\"" if has_words => "true",
        "true" if has_words => "\"On\"",
        "\"off\"" if has_words => "false",
        "false" if has_words => "\"OFF\"",
        other => other,
    };
    other.to_owned()
}

fn say(scene: &mut Scene, said: &[(String, String)], manner: Manner, has_words: bool) {
    let written = |value: &String| if manner.is_other { otherwise(value, has_words) } else { value.clone() };
    let mut patch = Object::default();
    for (place, value) in said {
        let value = written(value);
        let is_nested = matches!(manner.form, Form::Nested);
        let one = if is_nested { nested(place, &value) } else { dotted(place, &value) };
        let mut all = Json::from(std::mem::take(&mut patch));
        all.merge(&Json::from(object(&one)));
        let Json::Object(merged) = all else { unreachable!("both are objects") };
        patch = merged;
    }
    let input = match manner.form {
        Form::Nested | Form::Dotted => Input::Report(patch),
        Form::Undated => readings(&Json::from(patch).to_string()),
        Form::Dated => {
            patch.insert("timestamp", at(scene.now).to_string().into());
            readings(&Json::from(patch).to_string())
        }
    };
    scene.input(input, &mqtt());
}

/// A device that does what it is told, but can never set `c` to 3.
fn obey(scene: &mut Scene, delta: &str, habit: Habit) {
    let (mut did, mut could_not) = (Vec::new(), Object::default());
    let mut wanted = Vec::new();
    leaves(&Json::from(object(delta)), "", &mut wanted);
    for (place, value) in wanted {
        if place == "c" && value.parse() == Ok(3.0) {
            could_not.insert(&*place, "c cannot be 3".into());
        } else {
            did.push((place, value));
        }
    }
    // An object without members is no reading: it can only be reported.
    let is_reported = did.iter().any(|(_, value)| value == "{}");
    let manner = if is_reported { Manner { form: Form::Nested, ..habit.answers } } else { habit.answers };
    if !did.is_empty() {
        say(scene, &did, manner, habit.has_words);
    }
    if !could_not.is_empty() {
        scene.input(Input::DesiredFailed(could_not), &mqtt());
    }
}

proptest! {
    /// Reported equals desired in the end, or it is said why not, whatever the order of patches, drop-outs and reports,
    /// and however each is written.
    #[test]
    fn in_the_end_they_agree_or_it_is_said_why(deeds in deeds(), habit in habit()) {
        let mut scene = Scene::online();
        scene.now = 1_000_000_000; // long after any clock was set, so that devices' times are believed
        scene.set(r#"{"settings": {"heartbeat": "never"}}"#);
        if habit.has_words {
            scene.set(r#"{"settings": {"words": ["OFF", "ON"]}}"#);
        }
        let written = if habit.is_dotted { dotted } else { nested };
        let (mut connected, mut losing) = (true, false);
        for deed in deeds {
            scene.now += 1;
            let outcome = match deed {
                Deed::Desire(place, value) => {
                    let value = value.map_or("null", |value| VALUES[value]);
                    scene.desire(&written(PLACES[place], value))
                }
                Deed::Report(place, value, manner) if connected => {
                    let said = [(PLACES[place].to_owned(), VALUES[value].to_owned())];
                    say(&mut scene, &said, habit.manner(PLACES[place], manner), habit.has_words);
                    continue;
                }
                // A reading has dots.
                Deed::Late(place, ..) if habit.is_nested() && PLACES[place].contains('.') => continue,
                Deed::Late(place, value, ago) if connected => {
                    let at = at(scene.now - ago);
                    let known = scene.twin.reported.get(PLACES[place]).cloned();
                    let (place, value) = (PLACES[place], VALUES[value]);
                    scene.input(readings(&format!(r#"{{"{place}": {value}, "timestamp": "{at}"}}"#)), &mqtt());
                    if let Some(known) = known.filter(|known| known.at() > at.into()) {
                        prop_assert_eq!(scene.twin.reported.get(place), Some(&known), "the twin is past it");
                    }
                    continue;
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
                Deed::Report(..) | Deed::Late(..) => continue,
            };
            if connected && let Some(delta) = told(&outcome) && !std::mem::take(&mut losing) {
                obey(&mut scene, &delta, habit);
            }
        }
        // The delta that was lost with a connection is told again on the next one.
        scene.now += 1;
        scene.say(false);
        let back = scene.say(true);
        if let Some(delta) = told(&back) {
            obey(&mut scene, &delta, habit);
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

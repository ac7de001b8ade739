//! Filters as tables: every name that they know, twins that they are not true of, refusals with their places; and sort
//! keys.

use std::cmp::Ordering;

use super::super::twin_names::more;
use super::*;

/// The world's twins, with further values of `fan`.
fn world() -> TestTwins {
    let mut world = TestTwins::new();
    let said = r#"{"firmware_version": "1.2.0", "ip_address": "10.0.0.7", "signal": -60, "list": [1, 2],
        "model": "F-9", "mac_address": "aa:bb:cc:dd:ee:ff", "note": "ok"}"#;
    world.input("fan", Input::Presence { online: true, details: object(said) });
    world.report("fan", r#"{"motor": {"rpm": 900}, "status": "bent", "a b": 1}"#);
    let patch = object(
        r#"{"serial_number": "S-1", "description": "the one upstairs", "settings": {"heartbeat": "90s"},
            "desired": {"motor": {"rpm": 1200, "mode": "eco"}, "signal": -60, "axis.x": 3},
            "schedule": [{"cron": "0 0 7 * * *", "set": {"power": "on"}}]}"#,
    );
    world.input("fan", Input::Change(Box::new(Change { patch })));
    world
}

fn filter(text: &str) -> TwinFilter {
    TwinFilter::compile(text).unwrap_or_else(|bad| panic!("{text}: {bad:?}"))
}

/// The ids of the twins that a filter is true of.
fn found(world: &TestTwins, text: &str) -> String {
    let filter = filter(text);
    let found = world.twins.iter().filter(|twin| filter.matches(twin, world.now));
    found.map(|twin| twin.id.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn versions_compare_as_versions() {
    let world = world(); // the fan's firmware is 1.2.0
    let check = |text: &str, expected: &str| assert_eq!(found(&world, text), expected, "{text}");
    for holds in [
        "firmware_version < '1.10.0'",
        "'1.10.0' > firmware_version",
        "firmware_version >= 'v1.2'",
        "firmware_version == 'v1.2.0' && !(firmware_version != '1.2')",
        "firmware_version > '1.2.0-rc.1' && firmware_version < '1.2.0.1'",
        "firmware_version in ['1.1', 'V1.2']",
        "firmware_version < 'spring'",
        "firmware_version.startsWith('1.')",
    ] {
        check(holds, "fan");
    }
    check("firmware_version < '1.2.0' || firmware_version > '1.2.0'", "");
    // Other texts are compared as they are written.
    check("model == 'f-9'", "");
    check("version > 3", "fan");
}

#[test]
fn sorts_texts_by_the_numbers_in_them_and_versions_as_versions() {
    let mut world = TestTwins::new();
    let mut order = |field: &str, texts: &[&str]| {
        let field = SortField::compile(field).unwrap();
        let keys = texts.iter().map(|text| {
            let said = format!("{{\"fw_version\": \"{text}\", \"room\": \"{text}\"}}");
            world.report("fan", &said);
            let fan = world.twins.iter().find(|twin| twin.id.as_str() == "fan").unwrap();
            field.key(fan, world.now)
        });
        let keys: Vec<SortKey> = keys.collect();
        for pair in keys.windows(2) {
            assert_eq!(pair[0].compare(&pair[1], false), Ordering::Less, "{pair:?}");
            assert_eq!(pair[0].compare(&pair[1], true), Ordering::Greater, "{pair:?}");
        }
    };
    order("fw_version", &["0.9", "v1.2.0-rc.1", "1.2.0", "1.10", "1.10.0.1", "2"]);
    order("fw_version", &["spring-2", "spring-10"]);
    order("room", &["1.2.0", "1.10.0-rc.1", "hall 2", "hall 10", "hall 10b"]);
}

#[test]
fn knows_everything_of_a_twin() {
    let world = world();
    let check = |text: &str, expected: &str| assert_eq!(found(&world, text), expected, "{text}");
    check("true", "pump pump-1 fan");
    // The state that it reports, short and in full.
    check("speed == 80", "pump");
    check("reported.speed == 80 && device.speed == 80 && device.reported.speed > 79", "pump");
    check("motor.rpm > 0", "pump fan");
    check("axis.x == 7 && humidity.quality == 'uncertain' && humidity.age == 600", "pump");
    check("reported['a b'] == 1 && device['a b'] == 1", "fan");
    check("reported.status == 'bent' && status == 'online'", "fan");
    check("list.exists(x, x == 2)", "fan");
    check("now - speed.at == duration('10m')", "pump");
    // The words of rules.
    check("status == 'online'", "pump pump-1 fan");
    check("mode == 'schedule' && version > 3", "fan");
    check("type == 'fan' && name == 'Fan' && group_id == 'attic' && id == 'fan' && claimed", "fan");
    check("!claimed && name == id", "pump pump-1");
    check("last_seen < now && age == 600", "pump pump-1 fan");
    check("tags.floor == 2 && tag.floor == 2 && device.tag.floor == 2 && 'floor' in tags", "fan");
    check("tag.floor == '2' && '2' == tag['floor'] && device.tag.floor != '3'", "fan");
    check("tags.floor == '2'", "");
    check("configuration.limits.top == 3", "fan");
    check(
        "desired.power == 'off' && desired.power.sync != 'applied' && desired.signal.sync == 'applied'",
        "fan",
    );
    // And those of filters alone.
    check("number == 2", "pump-1");
    check("device_id == 'pump-1' && device_id == id && device.device_id == 'pump-1'", "pump-1");
    check("serial_number == 'S-1' && model == 'F-9' && description.contains('upstairs')", "fan");
    check(
        "firmware_version == '1.2.0' && ip_address == '10.0.0.7' && mac_address == 'aa:bb:cc:dd:ee:ff'",
        "fan",
    );
    check("created_at <= updated_at && created_at.getFullYear() == 2026 && number > 2", "fan");
    check("delta.motor.rpm == 1200 && delta.power == 'off' && delta.axis.x == 3", "fan");
    check("has(delta.signal) || has(delta.speed)", "");
    check("size(delta) == 3 && size(desired) == 4 && 'motor' in reported", "fan");
    check("has(drifting_since)", "fan");
    check("settings.heartbeat == '90s' && size(schedule) == 1 && schedule[0].set.power == 'on'", "fan");
    check("lifecycle == 'active' && !has(firmware.state) && limits == {}", "pump pump-1 fan");
    check("!has(mode_until) && !has(owner_id) && !has(settings.in_flight)", "pump pump-1 fan");
}

#[test]
fn what_is_not_known_is_not_found() {
    let world = world();
    let check = |text: &str, expected: &str| assert_eq!(found(&world, text), expected, "{text}");
    check("reported.nothing < 20", "");
    check("!(reported.nothing < 20)", "");
    check("reported.nothing < 20 || speed == 80", "pump");
    check("has(note) && note == 'ok'", "fan");
    check("!has(note)", "pump pump-1");
    check("power == 'on'", "pump");
    check("power", "pump-1");
    check("speed > 'fast'", "");
    check("delta.speed == 80", "");
    check("delta.motor == null || delta.motor != null", "fan");
}

#[test]
fn every_word_can_be_asked_for() {
    for word in HEAD.into_iter().chain(more()).chain(["tag", "device.status", "now", "anything"]) {
        let text = format!("has({word}) || true");
        if word != "now" {
            assert_eq!(found(&world(), &text), "pump pump-1 fan", "{word}");
        }
        assert!(word == "now" || SortField::compile(word).is_ok(), "{word}");
    }
    // Words that a rule knows mean in a filter what they mean there.
    let world = world();
    for word in HEAD.iter().filter(|word| !["reported", "desired"].contains(word)) {
        for twin in &world.twins {
            let id = &twin.id;
            let there = compile(&format!("has(twin['{id}'].{word})")).evaluate(&world.scope()).holds;
            assert_eq!(there, Some(filter(&format!("has({word})")).matches(twin, world.now)), "{id} {word}");
        }
    }
}

#[test]
fn says_what_is_wrong_with_a_filter_and_where() {
    let check = |text: &str, at: usize, detail: &str| {
        let bad = TwinFilter::compile(text).expect_err(text);
        assert_eq!((bad.at, bad.detail.as_str()), (at, detail), "{text}");
    };
    check("", 0, "there is no expression here");
    check("battery <", 9, "a value is missing: the expression ends here");
    check("battery < 20 and x", 13, "`and` is written `&&`");
    check("x == 1 && trigger.value > 2", 10, "nothing has fired here: `trigger` is known to rules alone");
    let one = "a filter looks at one twin at a time: write what it is about alone, power, reported.power, tags.floor…";
    check("x == 1 && twin['pump-1'].x", 10, one);
    check("twin.x == 1", 0, one);
    check("device", 0, "`device` is the twin itself: write device.power, or power");
    check(
        "status.x == 1",
        0,
        "`status` of a twin has no parts: what it reports by that name is reported.status.x",
    );
    check(
        "x > 1 || model.a",
        9,
        "`model` of a twin has no parts: what it reports by that name is reported.model.a",
    );
    let never = "this is neither true nor false of any twin: write a condition, battery < 20";
    check("5", 0, never);
    check("'online'", 0, never);
    check("1 < 'a'", 0, never);
    check("  1 + 1", 2, never);
    check("now.x", 0, "`now` is a time and has no parts: its hour is now.getHours(\"Europe/Berlin\")");
    check("battery = 5", 8, "a single `=` compares nothing: write `==`");
    let long = "a".repeat(LONGEST + 1);
    assert_eq!(TwinFilter::compile(&long).unwrap_err().at, LONGEST);
}

#[test]
fn a_slip_in_a_word_of_the_twin_is_found_in_lists_too() {
    for (text, at) in [
        ("status == 'onlin'", 10),
        ("status in ['onlin']", 11),
        ("!(mode in ['manual', 'manul'])", 21),
        ("lifecycle in [1]", 14),
        ("claimed in ['yes']", 12),
    ] {
        assert_eq!(filter(text).check().expect_err(text).at, at, "{text}");
    }
    for good in ["status in ['online', 'unknown']", "mode in tags.modes", "'a' in tags", "name in ['onlin']"]
    {
        assert!(filter(good).check().is_ok(), "{good}");
    }
}

#[test]
fn a_text_is_the_same_in_each_of_its_forms() {
    let [composed, decomposed] = ["b\u{fc}ro", "bu\u{308}ro"];
    for (said, asked) in [(composed, decomposed), (decomposed, composed)] {
        let world = reporting(&format!(r#"{{"room": "{said} 2"}}"#), r#"{"seen": 1}"#);
        for holds in [
            format!("room == '{asked} 2' && room in ['{asked} 2'] && !(room != '{asked} 2')"),
            format!("room.startsWith('{asked}') && room.contains('{asked}')"),
            format!("room <= '{asked} 2' && room < '{asked} 3'"),
        ] {
            assert_eq!(found(&world, &holds), "a", "{holds}");
        }
    }
}

#[test]
fn a_field_is_one_thing_of_a_twin() {
    let world = world();
    let check = |text: &str, expected: [SortKey; 3]| {
        let field = SortField::compile(text).unwrap_or_else(|bad| panic!("{text}: {bad:?}"));
        let keys: Vec<_> = world.twins.iter().map(|twin| field.key(twin, world.now)).collect();
        assert_eq!(keys, expected, "{text}");
    };
    let text = SortKey::ordered;
    check("motor.rpm", [SortKey::double(1_200.0), SortKey::Missing, SortKey::double(900.0)]);
    check("reported.power", [text("on"), SortKey::Bool(true), SortKey::Missing]);
    check("tags.floor", [SortKey::Missing, SortKey::Missing, SortKey::double(2.0)]);
    check("name", [text("pump"), text("pump-1"), text("Fan")]);
    check("reported['a b']", [SortKey::Missing, SortKey::Missing, SortKey::double(1.0)]);
    check("list", [SortKey::Other, SortKey::Missing, SortKey::Other]);
    check("speed.age", [SortKey::double(600.0), SortKey::Missing, SortKey::Missing]);
    for (wrong, at) in
        [("", 0), ("1 + 1", 0), ("speed + 1", 0), ("now", 0), ("speed speed", 6), ("status.x", 0)]
    {
        assert_eq!(SortField::compile(wrong).expect_err(wrong).at, at, "{wrong}");
    }
}

#[test]
fn what_is_missing_comes_last_in_both_directions() {
    let keys = || {
        [
            SortKey::double(-1.5),
            SortKey::double(20.0),
            SortKey::Bool(false),
            SortKey::Text("a".into()),
            SortKey::Text("b".into()),
            SortKey::Other,
            SortKey::Missing,
        ]
    };
    let sorted = |descending: bool| {
        let mut keys = keys();
        keys.reverse();
        keys.sort_by(|one, other| one.compare(other, descending));
        keys
    };
    assert_eq!(sorted(false), keys());
    let [low, high, truth, a, b, other, missing] = keys();
    assert_eq!(sorted(true), [high, low, truth, b, a, other, missing]);
    assert_eq!(SortKey::text(&"é".repeat(300)), SortKey::Text("é".repeat(190).into()));
}

/// One twin that reports `said` on `state` and `measured` as telemetry.
fn reporting(said: &str, measured: &str) -> TestTwins {
    let mut world = TestTwins::new();
    world.twins.clear();
    world.report("a", said);
    world.telemetry("a", measured);
    world
}

#[test]
fn counters_of_64_bits_are_compared_exactly() {
    let world =
        reporting("{}", r#"{"n": 9007199254740993, "u": 18446744073709551615, "x": 0.10000000000000001}"#);
    for holds in [
        "n > 9007199254740992",
        "n != 9007199254740992 && n != 9007199254740992.0 && n == 9007199254740993",
        "n in [9007199254740993] && !(n in [9007199254740992])",
        "n - 9007199254740992 == 1 && n + 1 == 9007199254740994",
        "u == 18446744073709551615 && u > 18446744073709551614 && -u < 0",
        "max(n, 9007199254740992) == n && min(u, n) == n && abs(n) == n && round(n, 2) == n",
        "string(u) == '18446744073709551615' && int('18446744073709551615') == u",
        "x == 0.1",
    ] {
        assert_eq!(found(&world, holds), "a", "{holds}");
    }
    let key = |text: &str| SortField::compile(text).unwrap().key(&world.twins[0], world.now);
    let below = SortKey::Number(9_007_199_254_740_992.0, 0);
    assert_eq!(key("n").compare(&below, false), Ordering::Greater);
    assert_eq!(key("n").compare(&below, true), Ordering::Less);
    assert_eq!(
        key("u").compare(&SortKey::Number(18_446_744_073_709_551_616.0, -2), false),
        Ordering::Greater
    );
}

#[test]
fn a_path_leads_to_nested_then_to_flat() {
    let check = |said: &str, measured: &str, holds: &str| {
        assert_eq!(found(&reporting(said, measured), holds), "a", "{holds}");
    };
    let some = r#"{"seen": 1}"#;
    check(
        r#"{"motor": {"rpm": 5}}"#,
        some,
        "motor.rpm == 5 && reported.motor.rpm == 5 && motor.rpm.age == 600",
    );
    check(
        "{}",
        r#"{"motor": {"rpm": 5}}"#,
        "motor.rpm == 5 && reported['motor.rpm'] == 5 && motor.rpm.age == 600",
    );
    let both = r#"motor.rpm == 5 && reported["motor.rpm"] == 6 && reported["motor"].rpm == 5"#;
    check(r#"{"motor": {"rpm": 5}}"#, r#"{"motor": {"rpm": 6}}"#, both);
    check(
        r#"{"motor": {"mode": "eco"}}"#,
        r#"{"motor": {"rpm": 6}}"#,
        "motor.rpm == 6 && motor.mode == 'eco'",
    );
    check(r#"{"a": {"b.c": 1}}"#, some, "a.b.c == 1 && has(a.b.c) && !has(a.b.d)");
    let measured = r#"{"t": 5, "motor": {"rpm": 6}, "units": {"t": "°C", "motor": {"rpm": "1/min"}}}"#;
    check("{}", measured, "t.unit == '°C' && motor.rpm.unit == '1/min' && !has(seen.unit)");
    let said = r#"{"motor": {"rpm": 6}, "units": {"motor": {"rpm": "Hz"}}}"#;
    check(said, some, "motor.rpm.unit == 'Hz'");
}

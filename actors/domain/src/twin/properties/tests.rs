//! Properties one by one.

use super::*;

#[test]
fn a_large_patch_does_what_many_small_ones_do() {
    let at = Timestamp::from_millis;
    let base: Object = (0..50).map(|n| (format!("k{:02}", n * 2), Json::from(n))).collect();
    let patch: Object = (0..50)
        .map(|n| (format!("k{n:02}"), if n % 5 == 0 { Json::Null } else { Json::from(n + 1) }))
        .collect();
    let cause = Cause::new(crate::cause::Source::Rest, "user:ann");
    let (mut whole, mut single) = (Properties::default(), Properties::default());
    for (properties, by_one) in [(&mut whole, false), (&mut single, true)] {
        for (said, ms) in [(&base, 1), (&patch, 2)] {
            if by_one {
                for (name, value) in said.iter() {
                    properties.merge(&[(name, value.clone())].into_iter().collect(), at(ms), Some(&cause));
                }
            } else {
                properties.merge(said, at(ms), Some(&cause));
            }
        }
    }
    assert_eq!(whole, single);
}

#[test]
fn an_object_that_loses_its_last_member_goes() {
    let object = |text: &str| -> Object { serde_json::from_str(text).unwrap() };
    for (before, patch, expected) in [
        (r#"{"m":{"x":1}}"#, r#"{"m":{"x":null}}"#, "{}"),
        (r#"{"m":{"x":1,"y":2}}"#, r#"{"m":{"x":null}}"#, r#"{"m":{"y":2}}"#),
        (r#"{"m":{"x":1,"y":2}}"#, r#"{"m":{"x":null,"y":null}}"#, "{}"),
        (r#"{"m":{"x":1}}"#, r#"{"m":{"x":null,"y":2}}"#, r#"{"m":{"y":2}}"#),
        (r#"{"m":{"x":{"z":1}}}"#, r#"{"m":{"x":{"z":null}}}"#, "{}"),
        (r#"{"m":{"x":{"z":1},"y":2}}"#, r#"{"m":{"x":{"z":null}}}"#, r#"{"m":{"y":2}}"#),
        (r#"{"a":1}"#, r#"{"m":{"x":null}}"#, r#"{"a":1}"#),
        (r#"{"m":"text"}"#, r#"{"m":{"x":null}}"#, "{}"),
        // Asked for as such.
        ("{}", r#"{"m":{}}"#, r#"{"m":{}}"#),
        (r#"{"m":{"x":1}}"#, r#"{"m":{}}"#, r#"{"m":{"x":1}}"#),
        (r#"{"m":{"x":1}}"#, r#"{"m":{"x":{}}}"#, r#"{"m":{"x":{}}}"#),
        (r#"{"m":{"e":{}}}"#, r#"{"m":{"x":null}}"#, r#"{"m":{"e":{}}}"#),
        // A list is a value, whatever is in it.
        (r#"{"m":{"x":1}}"#, r#"{"m":{"x":[]}}"#, r#"{"m":{"x":[]}}"#),
    ] {
        let mut properties = Properties::default();
        properties.merge(&object(before), Timestamp::from_millis(1), None);
        let meant = properties.without_emptied(object(patch));
        properties.merge(&meant, Timestamp::from_millis(2), None);
        assert_eq!(Json::from(properties.to_object()).to_string(), expected, "{before} and {patch}");
    }
}

#[test]
fn a_property_is_small_and_is_stored_as_ever() {
    assert_eq!(size_of::<Property>(), 64);
    for text in [
        r#"{"name":"t","value":21.50,"at":"2026-01-01T00:00:00.000Z","changed_at":"2026-01-01T00:00:00.000Z","quality":"good"}"#,
        r#"{"name":"t","value":1,"at":"2026-01-01T00:00:01.000Z","changed_at":"2026-01-01T00:00:00.000Z","quality":"bad","by":"user:ann"}"#,
        r#"{"name":"t","value":1,"at":"2026-01-01T00:00:01.000Z","changed_at":"2026-01-01T00:00:00.000Z","quality":"uncertain","claimed_at":"2036-01-01T00:00:00.000Z"}"#,
        r#"{"name":"t","value":1,"at":"2026-01-01T00:00:01.123456789Z","changed_at":"2026-01-01T00:00:00.000001Z","quality":"uncertain","claimed_at":"2036-01-01T00:00:00.000000001Z"}"#,
        r#"{"name":"t","value":1,"at":"2026-01-01T00:00:01.000Z","changed_at":"2026-01-01T00:00:00.000Z","quality":"good","units":[["","°C"],["in","K"]]}"#,
    ] {
        let property: Property = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&property).unwrap(), text);
    }
    let bare =
        r#"{"name":"t","value":1,"at":"2026-01-01T00:00:00.000Z","changed_at":"2026-01-01T00:00:00.000Z"}"#;
    let property: Property = serde_json::from_str(bare).unwrap();
    assert_eq!((property.quality(), property.by(), property.unit()), (Quality::Good, None, None));
}

#[test]
fn a_unit_stays_until_another_is_named() {
    let mut properties = Properties::default();
    let mut read = |unit: Option<&str>, at: i64| {
        let value = crate::reading::Scalar::Bool(true);
        let reading = Reading { name: "t".into(), value, unit: unit.map(Into::into), quality_score: None };
        properties.read(
            &reading,
            Timestamp::from_millis(at).into(),
            Arrival { received: Timestamp::from_millis(9), claimed: None },
        );
        properties.get("t").unwrap().unit().map(str::to_owned)
    };
    assert_eq!(read(None, 1), None);
    assert_eq!(read(Some("°C"), 2).as_deref(), Some("°C"));
    assert_eq!(read(None, 3).as_deref(), Some("°C"));
    assert_eq!(read(Some("K"), 2).as_deref(), Some("°C"), "a late reading changes nothing");
    assert_eq!(read(Some("K"), 4).as_deref(), Some("K"));
    properties.merge(
        &[("m", "{\"rpm\": 5}".parse().unwrap())].into_iter().collect(),
        Timestamp::default(),
        None,
    );
    let units = |text: &str| text.parse::<Json>().unwrap().as_object().unwrap().clone();
    properties.set_units(&units(r#"{"m.rpm": "1/min", "m.no": "V"}"#));
    assert_eq!(properties.unit_at("m.rpm"), Some("1/min"));
    assert_eq!(properties.get("m").unwrap().inner_units().count(), 1);
    properties.set_units(&units(r#"{"m.rpm": null}"#));
    assert_eq!(properties.unit_at("m.rpm"), None);
}

#[test]
fn units_have_an_end_and_go_with_what_they_are_of() {
    let mut properties = Properties::default();
    let object = |text: &str| text.parse::<Json>().unwrap().as_object().unwrap().clone();
    let at = Timestamp::from_millis;
    let members: Object = (0..500).map(|n| (format!("k{n:03}"), Json::from(n))).collect();
    properties.merge(&[("m", Json::Object(members))].into_iter().collect(), at(1), None);
    let units = (0..500).map(|n| (format!("m.k{n:03}"), Json::from("V"))).collect();
    properties.set_units(&units);
    assert_eq!(properties.get("m").unwrap().inner_units().count(), 100);
    properties.set_units(&object(r#"{"m.k000": "A", "m.k499": "A"}"#));
    assert_eq!(properties.unit_at("m.k000"), Some("A"), "those that are known can be changed");
    properties.merge(&object(r#"{"m": {"k000": null, "k001": 7}}"#), at(2), None);
    assert_eq!((properties.unit_at("m.k000"), properties.unit_at("m.k001")), (None, Some("V")));
    properties.merge(&object(r#"{"m": 5}"#), at(3), None);
    assert_eq!(properties.get("m").unwrap().inner_units().count(), 0);
}

#[test]
fn a_believed_reading_that_is_days_ahead_is_the_newest() {
    let hour = |n: i64| Timestamp::from_millis(n * 3_600_000);
    let mut properties = Properties::default();
    let mut read = |value: i64, at: Timestamp| {
        let value = crate::reading::Scalar::Number(value.into());
        let reading = Reading { name: "t".into(), value, unit: None, quality_score: None };
        properties.read(&reading, at.into(), Arrival { received: hour(1).plus_millis(5), claimed: None })
    };
    assert!(read(1, hour(37)));
    assert!(!read(2, hour(1)), "`device-clock-ahead` may be 2d");
    assert!(read(3, hour(24 * 40)) && read(4, hour(1)), "nobody believes 40 days");
}

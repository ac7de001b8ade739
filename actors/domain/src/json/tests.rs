//! JSON as tables and properties, against the other JSON type and RFC 7396's own examples.

use proptest::prelude::*;

use super::*;

fn json(text: &str) -> Json {
    text.parse().expect("test JSON")
}

#[test]
fn numbers_keep_their_digits() {
    for text in ["23.50", "12345678901234567890123", "-0", "1E5", "0.1000"] {
        assert_eq!(json(text).to_string(), text);
        assert_eq!(serde_json::to_string(&json(text)).unwrap(), text);
    }
    assert_eq!(json("1.0"), json("1.00"));
    assert_ne!(json("12345678901234567890123"), json("12345678901234567890124"));
}

#[test]
fn refuses_what_a_twin_cannot_hold() {
    for text in ["NaN", "1e999", "{", "{\"a\":}", "", "[1,]", "01", "\u{fffd}"] {
        assert!(text.parse::<Json>().is_err(), "{text}");
    }
    assert!(matches!(Json::parse("[".repeat(40).as_bytes()), Err(JsonError::Syntax(_))));
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(deep.parse::<Json>().is_err());
    assert!(Json::parse(&[0xff, 0xfe]).is_err());
}

/// The examples of RFC 7396, appendix A.
#[test]
fn merges_as_rfc_7396_says() {
    for (target, patch, expected) in [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"a":"foo"}"#, "null", "null"),
        (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
        ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ] {
        let mut merged = json(target);
        merged.merge(&json(patch));
        assert_eq!(merged, json(expected), "{target} with {patch}");
    }
}

#[test]
fn of_equal_keys_the_last_counts() {
    assert_eq!(json(r#"{"b":1,"a":1,"b":2,"a":2,"b":3}"#).to_string(), r#"{"a":2,"b":3}"#);
    let object: Object =
        [("b", Json::from(1)), ("a", Json::from(2)), ("b", Json::from(3))].into_iter().collect();
    assert_eq!(Json::from(object).to_string(), r#"{"a":2,"b":3}"#);
}

/// Half a million members, the last first: sorted once, or this would take minutes.
#[test]
fn members_in_descending_order_are_read() {
    let members: Vec<_> = (0..500_000).rev().map(|n| format!(r#""k{n:06}":{n}"#)).collect();
    let Json::Object(mut object) = json(&format!("{{{}}}", members.join(","))) else { panic!("an object") };
    assert_eq!((object.len(), object.iter().next()), (500_000, Some(("k000000", &Json::from(0)))));
    let gone: Object = object.iter().map(|(key, _)| (key.to_owned(), Json::Null)).collect();
    let mut other = Object::default();
    other.merge(&object);
    assert_eq!(other, object);
    object.merge(&gone);
    assert!(object.is_empty());
}

#[test]
fn sizes_are_those_of_the_text() {
    for text in ["{}", r#"{"a":1,"b":[1,"x",null,true,false],"c":{"d":{"e":-1.50}}}"#, "[]", "[[],{}]"] {
        let DocumentSize { bytes, members } = json(text).size();
        assert!(bytes.abs_diff(text.len()) <= 8, "{text}: {bytes}"); // a comma more for each container
        assert_eq!(members, text.matches(':').count(), "{text}");
    }
    let before = DocumentSize { bytes: 70_000, members: 2_000 };
    assert!(before.excess(DocumentSize::default()).is_some());
    assert_eq!(before.excess(before), None, "what is too large already may stay so");
}

#[test]
fn a_value_that_no_twin_can_hold_is_left_out() {
    let mut bad = Vec::new();
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    let text = format!("{{\"a\": 1e999, \"b\": {{\"c\": [1, 2e999, {deep}]}}, \"d\": 1}}\0");
    assert!(Json::parse(text.as_bytes()).is_err());
    let kept =
        Json::parse_leaving_out(text.as_bytes(), |_, _| None, 3, &mut bad).unwrap().unwrap().to_string();
    assert!(kept.starts_with(r#"{"b":{"c":[1,null,[["#) && kept.ends_with(r#"]]]},"d":1}"#), "{kept}");
    let places: Vec<_> = bad.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places[..2], ["a", "b.c.1"]);
    assert!(places[2].starts_with("b.c.2.0.0"), "{places:?}");
}

#[test]
fn bad_values_without_end_are_not_all_kept() {
    let long = "k".repeat(512 * 1024);
    for text in [
        format!("{{\"{long}\":[{}]}}", vec!["1e999"; 90_000].join(",")),
        format!("{{\"{long}\":{{{}}}}}", vec!["\"é\":1e999"; 40_000].join(",")),
    ] {
        let mut bad = Vec::new();
        let read = Json::parse_leaving_out(text.as_bytes(), |_, _| None, 1_000, &mut bad).unwrap();
        assert_eq!((read, bad.len()), (None, 1_001));
        assert!(bad.iter().all(|(path, _)| path.len() <= 256), "{}", bad[0].0.len());
    }
    let number = "9".repeat(100_000);
    assert!(Json::parse(number.as_bytes()).unwrap_err().to_string().len() < 200);
}

fn any_wide() -> impl Strategy<Value = serde_json::Value> {
    prop::collection::btree_map("[a-z]{1,2}", prop::option::of(0..9i32), 0..60).prop_map(|m| {
        serde_json::Value::Object(m.into_iter().map(|(key, value)| (key, value.into())).collect())
    })
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        "[ -~é\\n\"\\\\]{0,6}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[a-d]", inner, 0..4)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

/// RFC 7396's own pseudo-code, on the other JSON type.
fn merge_by_the_book(target: serde_json::Value, patch: &serde_json::Value) -> serde_json::Value {
    let serde_json::Value::Object(patch) = patch else { return patch.clone() };
    let mut target = if let serde_json::Value::Object(map) = target { map } else { serde_json::Map::new() };
    for (key, value) in patch {
        let old = target.remove(key);
        if !value.is_null() {
            target.insert(key.clone(), merge_by_the_book(old.unwrap_or_default(), value));
        }
    }
    serde_json::Value::Object(target)
}

proptest! {
    #[test]
    fn text_and_back(value in any_json()) {
        let text = value.to_string();
        let ours = json(&text);
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&ours.to_string()).unwrap(), value.clone());
        prop_assert_eq!(serde_json::to_value(&ours).unwrap(), value);
    }

    #[test]
    fn merge_agrees_with_the_book(target in any_json(), patch in any_json()) {
        let mut ours = json(&target.to_string());
        ours.merge(&json(&patch.to_string()));
        prop_assert_eq!(serde_json::to_value(&ours).unwrap(), merge_by_the_book(target, &patch));
    }

    #[test]
    fn merge_of_many_members_agrees_with_the_book(target in any_wide(), patch in any_wide()) {
        let mut ours = json(&target.to_string());
        ours.merge(&json(&patch.to_string()));
        prop_assert_eq!(serde_json::to_value(&ours).unwrap(), merge_by_the_book(target, &patch));
    }
}

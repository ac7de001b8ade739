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
}

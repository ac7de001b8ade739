//! The changes that a merge patch would make.

use super::{Json, Object};

/// The smallest merge patch (RFC 7396) that has the same effect on `current` as `patch`.
#[must_use]
pub fn difference(current: &Object, patch: &Object) -> Object {
    let mut difference = Object::default();
    for (key, wanted) in patch.iter() {
        match (current.get(key), wanted) {
            (None, Json::Null) => {}
            (Some(Json::Object(had)), Json::Object(wanted)) => {
                let inner = self::difference(had, wanted);
                if !inner.is_empty() {
                    difference.insert(key, Json::Object(inner));
                }
            }
            (had, wanted) => {
                let mut fresh = Json::Null;
                fresh.merge(wanted); // without the nulls in it
                if *wanted == Json::Null || had != Some(&fresh) {
                    difference.insert(key, fresh);
                }
            }
        }
    }
    difference
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(current: &str, patch: &str, expected: &str) {
        let object = |text: &str| match text.parse().unwrap() {
            Json::Object(object) => object,
            other => panic!("{other:?}"),
        };
        let difference = difference(&object(current), &object(patch));
        assert_eq!(Json::Object(difference).to_string(), expected, "{patch} onto {current}");
    }

    #[test]
    fn what_is_so_already_is_no_difference() {
        check("{}", "{}", "{}");
        check(r#"{"a":1}"#, r#"{"a":1}"#, "{}");
        check(r#"{"a":1}"#, r#"{"a":2,"b":3}"#, r#"{"a":2,"b":3}"#);
        check(r#"{"a":1}"#, r#"{"a":null,"b":null}"#, r#"{"a":null}"#);
        check(r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"b":1,"c":3}}"#, r#"{"a":{"c":3}}"#);
        check(r#"{"a":{"b":1}}"#, r#"{"a":{"b":1}}"#, "{}");
        check(r#"{"a":1}"#, r#"{"a":{"b":null}}"#, r#"{"a":{}}"#);
        check("{}", r#"{"a":{"b":null,"c":1}}"#, r#"{"a":{"c":1}}"#);
        check(r#"{"a":[1,2]}"#, r#"{"a":[1,2]}"#, "{}");
        check(r#"{"a":[1,2]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#);
    }

    fn documents() -> impl Strategy<Value = Object> {
        let leaf = prop_oneof![Just(Json::Null), (0..3_i64).prop_map(Json::from)];
        let value = leaf.prop_recursive(3, 12, 3, |inner| {
            prop::collection::btree_map("[ab]", inner, 0..3)
                .prop_map(|map| Json::Object(map.into_iter().collect()))
        });
        prop::collection::btree_map("[ab]", value, 0..3).prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_does_what_the_patch_does(document in documents(), patch in documents()) {
            let mut current = Object::default();
            current.merge(&document); // documents have no nulls
            let difference = difference(&current, &patch);
            let (mut by_patch, mut by_difference) = (current.clone(), current.clone());
            by_patch.merge(&patch);
            by_difference.merge(&difference);
            prop_assert_eq!(&by_patch, &by_difference);
            prop_assert_eq!(difference.is_empty(), by_patch == current);
        }
    }
}

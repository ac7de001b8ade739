//! The language is CEL: the texts that the crate `cel` takes have the same values here, but for the differences in the
//! module's documentation.

use ::cel::{Context, Program, Value};
use proptest::prelude::*;

use super::*;

/// The result of `cel`.
fn theirs(text: &str) -> Option<bool> {
    match Program::compile(text).ok()?.execute(&Context::default()) {
        Ok(Value::Bool(holds)) => Some(holds),
        _ => None,
    }
}

#[test]
fn as_cel_has_it() {
    let world = TestTwins::new();
    for text in [
        "1 + 2 * 3 == 7",
        "(1 + 2) * 3 == 9",
        "10 - 3 - 2 == 5",
        "7 % 3 == 1",
        "-7 % 3 == -1",
        "2 < 3 == true || true",
        "!true || true && false",
        "true || false && false",
        "false ? true : false ? false : true",
        "!!true",
        "- -1 == 1",
        "'a' < 'b'",
        "'a' + 'b' == 'ab'",
        "\"\\n\\t\\\"\\\\\" == '\\n\\t\"\\\\'",
        "r'\\n' == '\\\\n'",
        "'\\x41\\101\\u0041' == 'AAA'",
        "1 in [1, 2]",
        "!(3 in [1, 2])",
        "'k' in {'k': 1}",
        "[1, 2] == [1, 2]",
        "[1, 2][1] == 2",
        "{'a': {'b': 1}}.a.b == 1",
        "size([1, 2]) == 2",
        "size('häh') == 3",
        "'abc'.startsWith('ab')",
        "'abc'.endsWith('bc')",
        "'abc'.contains('x')",
        "'abc'.matches('^a.*c$')",
        "[1, 2, 3].all(x, x > 0)",
        "[1, 2, 3].exists(x, x > 2)",
        "[1, 2, 3].exists_one(x, x > 2)",
        "[1, 2, 3].map(x, x * 2) == [2, 4, 6]",
        "[1, 2, 3].filter(x, x > 1) == [2, 3]",
        "has({'a': 1}.a)",
        "has({'a': 1}.b)",
        "1.5 + 1.5 == 3.0",
        "1e3 == 1000.0",
        "0x10 == 16",
        "int('7') == 7",
        "double('1.5') == 1.5",
        "string(7) == '7'",
        "duration('1h30m') > duration('89m')",
        "timestamp('2026-01-01T00:00:00Z') < timestamp('2026-01-02T00:00:00Z')",
        "timestamp('2026-01-02T00:00:00Z') - timestamp('2026-01-01T00:00:00Z') == duration('24h')",
        "timestamp('2026-03-01T06:07:08Z').getHours() == 6",
        "timestamp('2026-03-01T06:07:08Z').getDayOfWeek() == 0",
        "timestamp('2026-03-01T06:07:08Z').getMonth() == 2",
        "timestamp('2026-03-01T06:07:08Z').getDayOfYear() == 59",
        "timestamp('2026-03-01T06:07:08Z').getDate() == 1",
        "timestamp('2026-03-01T06:07:08Z').getDayOfMonth() == 0",
        "1 == 1.0",
        "1 < 1.5",
        "null == null",
        "[1, 2, 3].map(x, x > 1, x * 10) == [20, 30]",
    ] {
        let ours = world.verdict(text).holds;
        assert!(ours.is_some(), "{text} is unknown");
        assert_eq!(ours, theirs(text), "{text}");
    }
}

#[derive(Clone, Debug)]
enum Sum {
    Number(i16),
    Of(Box<(Sum, &'static str, Sum)>),
    Negative(Box<Sum>),
}

impl Sum {
    /// With no more brackets than chance puts there: the order of operators is under test.
    fn text(&self, bracket: bool) -> String {
        match self {
            Self::Number(value) if *value < 0 => format!("({value})"),
            Self::Number(value) => value.to_string(),
            Self::Of(parts) => {
                let inner = format!("{} {} {}", parts.0.text(!bracket), parts.1, parts.2.text(bracket));
                if bracket { format!("({inner})") } else { inner }
            }
            Self::Negative(of) => format!("-({})", of.text(false)),
        }
    }
}

fn sum() -> impl Strategy<Value = Sum> {
    any::<i16>().prop_map(Sum::Number).prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            (inner.clone(), prop::sample::select(vec!["+", "-", "*", "%"]), inner.clone())
                .prop_map(|parts| Sum::Of(Box::new(parts))),
            inner.prop_map(|of| Sum::Negative(Box::new(of))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sums_come_to_the_same(a in sum(), b in sum(), sign in prop::sample::select(vec!["<", "<=", ">", "==", "!="])) {
        let text = format!("{} {sign} {}", a.text(false), b.text(false));
        // Where they overflow or divide by zero they fail; we go on with the nearest number, or say so.
        if let Some(theirs) = theirs(&text) {
            prop_assert_eq!(TestTwins::new().verdict(&text).holds, Some(theirs), "{}", text);
        }
    }
}

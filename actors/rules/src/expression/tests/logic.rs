//! Kleene's logic: as tables, and against a second evaluator that is too small to be wrong.

use proptest::prelude::*;

use super::*;

/// `pump.yes` and `pump.no` are known, `pump.nothing` is not.
fn world() -> TestTwins {
    let mut world = TestTwins::new();
    world.report("pump", r#"{"yes": true, "no": false}"#);
    world
}

#[test]
fn kleene() {
    let world = world();
    let (yes, no, unknown) = ("pump.yes", "pump.no", "pump.nothing");
    let all = [(yes, Some(true)), (no, Some(false)), (unknown, None)];
    for (a, known_a) in all {
        assert_eq!(world.verdict(&format!("!{a}")).holds, known_a.map(|known| !known));
        for (b, known_b) in all {
            let and = match (known_a, known_b) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            };
            let or = match (known_a, known_b) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            };
            // At the top, and within a value.
            assert_eq!(world.verdict(&format!("{a} && {b}")).holds, and, "{a} && {b}");
            assert_eq!(world.verdict(&format!("{a} || {b}")).holds, or, "{a} || {b}");
            assert_eq!(world.verdict(&format!("({a} && {b}) == true")).holds, and, "{a} && {b}");
            assert_eq!(world.verdict(&format!("({a} || {b}) == true")).holds, or, "{a} || {b}");
            for (c, known_c) in all {
                let chosen = match known_a {
                    Some(true) => known_b,
                    Some(false) => known_c,
                    None => known_b.filter(|_| known_b == known_c),
                };
                assert_eq!(world.verdict(&format!("{a} ? {b} : {c}")).holds, chosen, "{a} ? {b} : {c}");
            }
        }
    }
}

/// A formula, and its value.
#[derive(Clone, Debug)]
enum Formula {
    Known(bool),
    Unknown,
    Not(Box<Formula>),
    And(Vec<Formula>),
    Or(Vec<Formula>),
    Choose(Box<(Formula, Formula, Formula)>),
}

impl Formula {
    fn text(&self) -> String {
        let join = |parts: &[Self], sign: &str| {
            format!("({})", parts.iter().map(Self::text).collect::<Vec<_>>().join(sign))
        };
        match self {
            Self::Known(true) => "pump.yes".into(),
            Self::Known(false) => "pump.speed == 81".into(),
            Self::Unknown => "pump.nothing > 3".into(),
            Self::Not(of) => format!("!({})", of.text()),
            Self::And(parts) => join(parts, " && "),
            Self::Or(parts) => join(parts, " || "),
            Self::Choose(parts) => format!("({} ? {} : {})", parts.0.text(), parts.1.text(), parts.2.text()),
        }
    }

    /// Kleene's logic as numbers: false 0, unknown 1, true 2.
    fn reference(&self) -> u8 {
        match self {
            Self::Known(value) => 2 * u8::from(*value),
            Self::Unknown => 1,
            Self::Not(of) => 2 - of.reference(),
            Self::And(parts) => parts.iter().map(Self::reference).min().unwrap(),
            Self::Or(parts) => parts.iter().map(Self::reference).max().unwrap(),
            Self::Choose(parts) => match (parts.0.reference(), parts.1.reference(), parts.2.reference()) {
                (2, yes, _) => yes,
                (0, _, no) => no,
                (_, yes, no) if yes == no => yes,
                _ => 1,
            },
        }
    }
}

fn formula() -> impl Strategy<Value = Formula> {
    let leaf = prop_oneof![any::<bool>().prop_map(Formula::Known), Just(Formula::Unknown)];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|of| Formula::Not(Box::new(of))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Formula::And),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Formula::Or),
            (inner.clone(), inner.clone(), inner).prop_map(|parts| Formula::Choose(Box::new(parts))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_formula_comes_to_what_it_should(formula in formula()) {
        let verdict = world().verdict(&formula.text());
        let found = verdict.holds.map_or(1, |holds| 2 * u8::from(holds));
        prop_assert_eq!(found, formula.reference(), "{}", formula.text());
        for term in &verdict.terms {
            prop_assert_eq!(term.holds.is_none(), term.unknown.is_some());
        }
    }
}

//! No text, however long, deep or mean, costs more than a little.

use proptest::prelude::*;

use super::*;

#[test]
fn says_what_is_wrong_and_where() {
    let check = |text: &str, at: usize, detail: &str| {
        let bad = Expression::compile(text).expect_err(text);
        assert_eq!((bad.at, bad.detail.as_str()), (at, detail), "{text}");
    };
    check("", 0, "there is no expression here");
    check("a.x = 5", 4, "a single `=` compares nothing: write `==`");
    check("a.x & b.x", 4, "a single `&` means nothing: write `&&`");
    check("a.x and b.x", 4, "`and` is written `&&`");
    check("not a.x", 0, "`not` is written `!`");
    check("a.x ==", 6, "a value is missing: the expression ends here");
    check("a.x == )", 7, "a value is missing: `)` is here");
    check("(a.x", 4, "a `)` is missing: the expression ends here");
    check("a.x)", 3, "this `)` closes nothing");
    check("a.x b.x", 4, "an operator (`&&`, `||`, `==`, `<`…) is missing before `b`");
    check("a.x ? 1", 7, "`? … :` has no `:`: the expression ends here");
    check("a.x == 'on", 7, "this text has no end: a `'` is missing");
    check(r"a.x == '\q'", 8, r"this `\` begins nothing: write `\\`");
    check("1 < a.x < 5", 8, "comparisons do not chain: write `a < b && b < c`");
    check("a.age > 5m", 8, "a length of time is written duration(\"5m\")");
    const NINES: &str = "9999999999999999999999999999999999999999";
    check(&format!("{NINES} > 1"), 0, &format!("the number {NINES} is too large"));
    check("a.x.staartsWith('b')", 4, "there is no function `staartsWith`; did you mean `startsWith`?");
    check("frobnicate(1)", 0, "there is no function `frobnicate`");
    check("size(1, 2)", 0, "`size` takes one value, and not 2");
    check("contains('a', 'b')", 0, "`contains` is written behind a dot: x.contains(…)");
    check("duration('5x') > a.age", 9, "\"5x\" is no length of time: write \"5m\", \"1h30m\", \"10s\"");
    check("a.x.matches('(')", 12, "this is no pattern: unclosed group");
    check(
        "pump == 5",
        0,
        "`pump` is a device and not a value: write pump.power, pump.status… (an id with `-` in it \
        is written twin['pump-1'], a text \"pump\")",
    );
    check("now.x", 0, "`now` is a time and has no parts: its hour is now.getHours(\"Europe/Berlin\")");
    check(
        "twin[a.x].y",
        5,
        "between `twin[` and `]` goes an id as a text, twin['pump-1']: what a rule looks at must \
        be known before it runs (the device that fired it is `device`)",
    );
    check("twin['a b'].y", 5, "a device id is made of A-Z a-z 0-9 . _ : - and this one has ` `");
    check("[1].all(x, [2].all(y, [3].all(z, true)))", 30, "`all`, `exists`, `map`… go at most 2 deep");
    check("a.x == ü", 7, "`\\u{fc}` means nothing here");
    let long = "a".repeat(LONGEST + 1);
    assert_eq!(Expression::compile(&long).unwrap_err().at, LONGEST);
}

#[test]
fn deep_texts_are_refused_and_cost_no_stack() {
    // A small stack, so that what is too deep for it is seen here and not at somebody's.
    let run = || {
        for (open, close) in [
            ("(", ")"),
            ("[", "]"),
            ("!", ""),
            ("-", ""),
            ("a.x ? ", " : 1"),
            ("{1:", "}"),
            ("has(", ")"),
            ("abs(", ")"),
            ("1 + (", ")"),
            ("a.x && !(", ")"),
            ("x[", "]"),
            ("1 ? 1 : ", ""),
        ] {
            for times in [10, 60, 500, 1_300] {
                let text = format!("{}1{}", open.repeat(times), close.repeat(times));
                if let Ok(expression) = Expression::compile(&text) {
                    assert!(times < 60, "{open} {times}");
                    let _ = expression.evaluate(&TestTwins::new().scope());
                }
            }
        }
        for chain in ["1+", "a.x&&", "a.x||", "1==1&&", "'a'+", "1*"] {
            let text = format!("{}1", chain.repeat(LONGEST / chain.len() - 1));
            let _ = Expression::compile(&text).map(|it| it.evaluate(&TestTwins::new().scope()));
        }
        let members = format!("a{}", ".b".repeat(2_000));
        assert!(Expression::compile(&members).is_ok()); // one name, however long
        assert!(Expression::compile(&format!("[1]{}", ".b".repeat(2_000))).is_err());
        assert!(Expression::compile(&format!("f{}", "()".repeat(1_000))).is_err());
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn mean_ones_are_unknown_and_not_slow() {
    let world = TestTwins::new();
    let hundred = format!("[{}]", vec!["1"; 100].join(","));
    let check = |text: &str| {
        let verdict = world.verdict(text);
        assert_eq!(verdict.holds, None, "{text}");
        let why = verdict.terms[0].unknown.clone().unwrap();
        assert!(why.contains("too much") || why.contains("too long"), "{why}");
    };
    // A hundred times a hundred times a hundred.
    check(&format!("{hundred}.all(x, {hundred}.all(y, x + y + 1 + 1 + 1 > 0))"));
    // A list that holds itself twice, thirty times over.
    check(&format!("[1]{0} == [1]{0}", ".map(x, [x, x])".repeat(30)));
    check(&format!("string([1]{})  == ''", ".map(x, [x, x])".repeat(30)));
    // Texts that double.
    check(&format!("['aaaaaaaaaaaaaaaaaaaaaaaa']{} == ['']", ".map(x, x + x)".repeat(20)));
    assert!(Expression::compile("a.x.matches('(a{1000}){1000}')").unwrap_err().detail.contains("no pattern"));
}

/// Texts made of the parts of expressions.
fn shaped() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "a",
        "pump.power",
        "twin['pump-1'].x",
        "trigger.value",
        "now",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "!",
        "-",
        "+",
        "*",
        "/",
        "%",
        "?",
        ":",
        ".",
        ",",
        "&&",
        "||",
        "==",
        "!=",
        "<",
        ">=",
        " in ",
        "1",
        "0.5",
        "1e9",
        "'t'",
        "\"",
        "'",
        "r'\\",
        "\\",
        "has(",
        ".all(x,",
        ".map(x,",
        ".exists(",
        "size(",
        "matches('",
        "duration('5m')",
        "true",
        "null",
        "ä",
        "//",
        "\n",
        "0x",
        "9223372036854775808",
        "b'",
        "'''",
        "twin[",
        "x",
        "device.",
        " ",
        "u",
    ]);
    prop::collection::vec(word, 0..200).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(text in shaped()) {
        look(&text)?;
    }

    #[test]
    fn nothing_at_all_panics(text in any::<String>()) {
        look(&text)?;
    }
}

/// Compiles and evaluates it; an error lies within the text, on a character.
fn look(text: &str) -> Result<(), TestCaseError> {
    let world = TestTwins::new();
    match Expression::compile(text) {
        Ok(expression) => {
            let first = expression.evaluate(&world.scope());
            prop_assert_eq!(&first, &expression.evaluate(&world.scope()));
            prop_assert!(first.holds.is_some() || first.terms.iter().any(|term| term.unknown.is_some()));
            let _ = (expression.fill(&world.scope()), expression.facts(), expression.constant());
        }
        Err(bad) => prop_assert!(text.is_char_boundary(bad.at) && !bad.detail.is_empty(), "{:?}", bad),
    }
    Ok(())
}

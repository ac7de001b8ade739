//! Anything at all: no panic, and nothing without bounds.

use proptest::prelude::*;

use super::{SHIPPED, parse};
use crate::file::{parse_rule, yaml};
use twinhub_domain::Json;

/// Bits of YAML and of rules, in any order.
fn soup() -> impl Strategy<Value = String> {
    let bits = prop::sample::select(vec![
        "rules:",
        "\n",
        "  ",
        "    ",
        "- ",
        "a: ",
        "{",
        "}",
        "[",
        "]",
        ",",
        ": ",
        "&a ",
        "*a",
        "!t ",
        "<<: ",
        "|\n",
        ">\n",
        "\"",
        "'",
        "#",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "? ",
        "\t",
        "\r\n",
        "\u{feff}",
        "numeric: a.b",
        "above: ",
        "5",
        "-.5e9",
        "triggers:",
        "actions:",
        "tests:",
        "given: ",
        "every: 5m",
        "expect: ",
        "a.b",
        "*",
        "conditions: ",
        "choose: ",
        "when: ",
        "do: ",
        "{{ x }}",
        "{% if",
        "~",
        "null",
        "999999999999999999d",
        "ü",
        "𝄞",
    ]);
    prop::collection::vec(bits, 0..60).prop_map(|bits| bits.concat())
}

/// A shipped file with a few places changed.
fn mutated() -> impl Strategy<Value = String> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), "[ -~\\n\\t]{0,3}", 0..4usize), 1..6);
    (0..SHIPPED.len(), edits).prop_map(|(file, edits)| {
        let mut text: Vec<char> = SHIPPED[file].1.chars().collect();
        for (at, put, cut) in edits {
            let at = at.index(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, put.chars());
        }
        text.into_iter().collect()
    })
}

fn is_sound(text: &str) {
    match parse(text) {
        Ok(file) => {
            for rule in file.rules {
                let again = parse_rule(&rule.source.object()).map(|(rule, _)| rule);
                let again = again.unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
                assert_eq!(again.fingerprint, rule.fingerprint, "{text}");
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            let lines = u32::try_from(text.split('\n').count()).unwrap() + 1;
            for problem in problems {
                assert!(problem.line >= 1 && problem.line <= lines, "{problem:?}\n{text}");
                assert!(problem.column >= 1 && !problem.message.is_empty(), "{problem:?}\n{text}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in "\\PC{0,400}") {
        is_sound(&text);
    }

    #[test]
    fn any_soup(text in soup()) {
        is_sound(&text);
        is_sound(&format!("rules:\n  r:\n    {text}"));
    }

    #[test]
    fn any_change_of_a_good_file(text in mutated()) {
        is_sound(&text);
    }

    #[test]
    fn any_document_over_the_api(text in mutated()) {
        if let Ok(yaml::YamlDocument { root: Some(root), .. }) = yaml::read(&text)
            && let Some(Json::Object(rule)) = root.get("rules").and_then(|rules| rules.as_map())
                .and_then(|rules| rules.first()).map(|(_, rule)| rule.to_json())
        {
            let _ = parse_rule(&rule);
            let mut seed = rule;
            seed.insert("trigger_conditions", Json::from(text.as_str()));
            prop_assert!(parse_rule(&seed).is_err());
        }
    }
}

use proptest::prelude::*;

use super::*;
use crate::expression::{OneTwin, Twins};
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Input, Timestamp, Twin, payload};

struct TemplateTwins {
    twin: Twin,
    trigger: Object,
}

impl TemplateTwins {
    /// `fan` has spoken and fired.
    fn new() -> Self {
        let now = Timestamp::from_millis(1_772_344_800_000);
        let mut twin = Twin::new(DeviceId::parse("fan").unwrap(), DeviceNumber(1), now);
        let said =
            r#"{"power": "on", "speed": 80, "level": 2.50, "motor": {"rpm": 1200}, "list": ["a", "b"]}"#;
        twin.apply(Input::Report(payload::object(said.as_bytes()).unwrap()), now, &Cause::hub()).unwrap();
        let measured = payload::telemetry(br#"{"pipe": {"flow": 3}, "n": 18446744073709551615}"#).unwrap();
        twin.apply(Input::Telemetry(measured), now, &Cause::hub()).unwrap();
        let details = payload::object(br#"{"firmware_version": "1.2.0"}"#).unwrap();
        twin.apply(Input::Presence { online: true, details }, now, &Cause::hub()).unwrap();
        let trigger =
            r#"{"value": 23.50, "device": "fan", "payload": {"a": [1, 2.0]}, "yes": true, "none": null}"#;
        Self { twin, trigger: payload::object(trigger.as_bytes()).unwrap() }
    }

    fn with<T>(&self, act: impl FnOnce(&EvaluationScope<'_>) -> T) -> T {
        let twins = OneTwin(&self.twin);
        let twins: &dyn Twins = &twins;
        let now = Timestamp::from_millis(1_772_344_860_000);
        act(&EvaluationScope { twins, now, trigger: &self.trigger, device: Some(&self.twin.id) })
    }

    fn fill(&self, text: &str) -> Result<String, BadTextTemplate> {
        self.with(|scope| TextTemplate::compile(text)?.fill(scope))
    }

    fn fill_json(&self, text: &str) -> Result<String, BadTextTemplate> {
        let template = JsonTemplate::compile(text.parse().unwrap()).map_err(|(_, bad)| bad)?;
        self.with(|scope| template.fill(scope)).map(|json| json.to_string())
    }
}

#[test]
fn fills_in() {
    let world = TemplateTwins::new();
    let check = |text: &str, expected: &str| assert_eq!(world.fill(text).as_deref(), Ok(expected), "{text}");
    check("nothing to do, not even } or { }", "nothing to do, not even } or { }");
    check("Greenhouse {{ trigger.value }} °C\n", "Greenhouse 23.50 °C\n");
    check("{{fan.power}}/{{ twin['fan'].speed }}/{{ device.motor.rpm }}", "on/80/1200");
    check("{{ fan.level }} {{ fan.level.age }}s {{ fan.power.quality }}", "2.50 60s good");
    check("{{ trigger.value * 2 + 1 }} {{ trigger.value > 20 ? 'hot' : 'cold' }}", "48.0 hot");
    check("{{ trigger.payload }} at {{ now }}", r#"{"a":[1,2.0]} at 2026-03-01T06:01:00.000Z"#);
    check("{{ '}}' + \"{{\" }}", "}}{{");
    // Filters and statements that only Jinja knows.
    check("{{ trigger.value | round(1) }} {{ (trigger.value * 2) | int }}", "23.5 47");
    check("{{ fan.power | upper }}, {{ fan.nothing | default('?') }}", "ON, ?");
    check("{{ nobody.power | default('?') }}", "?");
    check("{% if fan.speed > 50 %}fast {{ trigger.value }}{% else %}slow{% endif %}", "fast 23.50");
    check("{% if device.power == 'on' and trigger.yes %}x{% endif %}", "x");
    check("{% if twin['fan'].power == 'on' %}x{% endif %}", "x");
    check("{% for x in fan.list %}{{ x }}{{ loop.index }} {% endfor %}", "a1 b2 ");
    check("{% for fan in trigger.payload.a %}{{ fan }};{% endfor %}", "1;2.0;");
    check("{{ fan.list | join(', ') }}{# a remark #}", "a, b");
    check("a {{- fan.speed -}} b", "a80b");
    check("{{ 'on' if trigger.yes else 'off' }}", "on");
    check(
        "{% if fan.pipe.flow == 3 and fan.n == 18446744073709551615 %}{{ fan.n | tojson }}{% endif %}",
        "18446744073709551615",
    );
    check("{% if fan.firmware_version == '1.2.0' %}{{ fan.firmware_version }}{% endif %}", "1.2.0");
    check("{% if fan.status in ['online', 'offline'] and trigger.device != 'unknown' %}x{% endif %}", "x");
    check("{% raw %}{{ x }}{% endraw %}", "{{ x }}");
    check("{{ fan.motor | tojson }}", r#"{"rpm":1200}"#);
}

#[test]
fn fills_documents_in_with_values() {
    let world = TemplateTwins::new();
    let check = |text: &str, expected: &str| {
        assert_eq!(world.fill_json(text).as_deref(), Ok(expected), "{text}");
    };
    check(r#"{"power": "on", "n": 1.50}"#, r#"{"n":1.50,"power":"on"}"#);
    check(r#"{"n": "{{ trigger.value }}"}"#, r#"{"n":23.50}"#);
    check(
        r#"["{{ trigger.yes }}", "{{trigger.none}}", "{{ trigger.payload }}"]"#,
        r#"[true,null,{"a":[1,2.0]}]"#,
    );
    check(
        r#"["{{ trigger.value + 1 }}", "{{ fan.speed | int }}", "{{ fan.power | upper }}"]"#,
        r#"[24.5,80,"ON"]"#,
    );
    check(r#"["{{ trigger.value }} °C", "{{ fan.speed }}{{ fan.speed }}"]"#, r#"["23.50 °C","8080"]"#);
    let template = JsonTemplate::compile(r#"{"a": {"b~/c": ["x", "{{ 1 + }}"]}}"#.parse().unwrap());
    assert_eq!(template.unwrap_err().0, "/a/b~0~1c/1");
}

#[test]
fn says_what_is_wrong() {
    let world = TemplateTwins::new();
    let check = |text: &str, at: usize, detail: &str| {
        let bad = world.fill(text).expect_err(text);
        assert_eq!((bad.at, bad.detail.as_str()), (at, detail), "{text}");
    };
    check("ab {{ fan.nothing }}", 3, "`fan` has not reported `nothing`");
    check("{{ nobody.power }}", 0, "there is no device `nobody`");
    check("{{ trigger.no }}", 0, "what fired this rule has no `no`");
    check("ab {{ trigger.value", 3, "this `{{` is not closed: `}}` is missing");
    check("ab {{ trigger.value + }}", 21, "a value is missing: the expression ends here");
    check(
        "{{ fan }}",
        3,
        "`fan` is a device and not a value: write fan.power, fan.status… (an id with `-` in it is \
        written twin['fan-1'], a text \"fan\")",
    );
    check(
        "x{% set a = 1 %}",
        1,
        "`{% set %}` may not stand here: only if, elif, else, endif, for, endfor may",
    );
    check(
        "{% include 'x' %}",
        0,
        "`{% include %}` may not stand here: only if, elif, else, endif, for, endfor may",
    );
    check("{% if fan.power == 'on' %}x", 26, "syntax error: unexpected end of input, expected end of block");
    check(
        "{{ 'x' | upper }}{% if 'x' * 3 %}{% endif %}",
        19,
        "`*` may stand only between `{{` and `}}`, before the first \
        `|`, in an expression",
    );
    check("{% if nobody.power %}x{% endif %}", 0, "there is no device `nobody`");
}

#[test]
fn what_can_only_fail_is_found_when_the_template_is_read() {
    let check = |text: &str, word: &str, detail: &str| {
        let bad = TextTemplate::compile(text).expect_err(text);
        assert_eq!((bad.at, bad.detail.as_str()), (text.find(word).unwrap(), detail), "{text}");
    };
    check("ab {{ fan.speed | frobnicate }}", "frobnicate", "there is no filter `frobnicate`");
    check("{{ fan.power | uper }}", "uper", "there is no filter `uper`; did you mean `upper`?");
    check(
        "{{ '%.1f' | format(trigger.value) }}",
        "format",
        "there is no filter `format`; a number is rounded by `round(1)`",
    );
    check(
        "{{ fan.speed }} ä {{ fan.power | upper | regex_replace('o', 'x') }}",
        "regex_replace",
        "there is no filter `regex_replace`; `replace('a', 'b')` replaces a text",
    );
    check("{% if fan.speed is numeric %}x{% endif %}", "numeric", "there is no test `is numeric`");
    check(
        "{% if fan.speed is numbr %}x{% endif %}",
        "numbr",
        "there is no test `is numbr`; did you mean `number`?",
    );
    check(
        "{% for n in range(3) %}x{% endfor %}",
        "range",
        "there is no function `range` here; a filter follows `|`",
    );
    check(
        "{% if fan.power.startswith('o') %}x{% endif %}",
        "fan.power",
        "values have no methods here: a filter follows `|`, fan.power | upper",
    );
    check(
        "{% for x in fan.list %}{{ loop.indx }}{% endfor %}",
        "loop.",
        "`loop` has no `indx`; did you mean `index`?",
    );
    for (text, word) in [
        ("{% if speed > 50 %}x{% endif %}", "speed"),
        ("{% for room in fan.list %}{{ rom }}{% endfor %}", "rom }"),
        ("{% for x in fan.list %}{{ x }}{% endfor %}{{ x }}", "x }}{% endfor"),
        ("{% if fan.power == on %}x{% endif %}", "on %"),
        ("{% for r in rooms %}x{% endfor %}", "rooms"),
        ("{% if true %}{{ fan.speed | default(limit) }}{% endif %}", "limit"),
    ] {
        let bad = TextTemplate::compile(text).expect_err(text);
        assert!(bad.detail.contains("is a device and not a value"), "{text}: {}", bad.detail);
        if !text.ends_with("{{ x }}") {
            assert_eq!(bad.at, text.find(word).unwrap(), "{text}");
        }
    }
    for test in [
        "fan.status == 'unknown'",
        "'unknown' != device.status",
        "twin['fan'].status in ['online', 'unknown']",
        "fan.status not in ('unknown', 'online')",
    ] {
        let text = format!("{{% if {test} %}}x{{% endif %}}");
        let bad = TextTemplate::compile(&text).expect_err(&text);
        assert!(bad.detail.starts_with("no status is `unknown`"), "{text}: {}", bad.detail);
    }
    let bad = TextTemplate::compile("{% for room in fan.list %}{{ rom }}{% endfor %}").unwrap_err();
    assert!(bad.detail.ends_with("did you mean `room`?"), "{}", bad.detail);
    for good in [
        "{% for x in fan.list if x != 'a' %}{{ loop.cycle('a', 'b') }}{{ x }}{% else %}none{% endfor %}",
        "{% for name, value in fan.motor | items %}{{ name }}={{ value | round(1) }}{% endfor %}",
        "{% if trigger and now and fan.nothing is defined %}x{% endif %}",
        "{{ nobody | default('?') }}",
        "{% for row in trigger.payload.rows %}{% for cell in row %}{{ cell }}{% endfor %}{% endfor %}",
        "{{ [fan.speed, 3] | max }}",
    ] {
        assert!(TextTemplate::compile(good).is_ok(), "{good}: {:?}", TextTemplate::compile(good));
    }
}

#[test]
fn all_filters_and_tests_are_there() {
    let world = TemplateTwins::new();
    for filter in jinja::FILTERS {
        let value = match filter {
            "first" | "last" | "max" | "min" | "join" => "fan.list",
            "items" => "fan.motor",
            "replace" => continue,
            "abs" | "float" | "int" | "round" => "fan.speed",
            _ => "fan.power",
        };
        let text = format!("{{{{ {value} | {filter} }}}}");
        assert!(world.fill(&text).is_ok(), "{text}: {:?}", world.fill(&text));
    }
    // None that is added is forgotten in the lists, by which templates are checked.
    let source = include_str!("jinja/environment.rs");
    assert_eq!(source.matches("env.add_filter(").count(), jinja::FILTERS.len());
    assert_eq!(source.matches("env.add_test(").count(), jinja::TESTS.len());
    for test in jinja::TESTS {
        let text = format!("{{% if fan.power is {test} %}}{{% endif %}}");
        assert!(world.fill(&text).is_ok(), "{text}");
    }
}

#[test]
fn costs_have_an_end() {
    let world = TemplateTwins::new();
    let bad = |text: &str| world.fill(text).map(|text| text.len()).expect_err(text).detail;
    let long = format!("filled in, it is longer than {LONGEST_FILLED} bytes");
    let loops = "{% for a in fan.list %}".repeat(16);
    let ends = "{% endfor %}".repeat(16);
    assert_eq!(bad(&format!("{loops}x{ends}")), "it costs too much time");
    assert_eq!(bad(&format!("{}{}{}", &loops[..23 * 10], "y".repeat(200), &ends[..12 * 10])), long);
    assert_eq!(bad(&format!("{{{{ fan.power {} }}}}", "| replace('o', 'oooooooooo')".repeat(30))), long);
    assert_eq!(bad(&format!("{{{{ '\"' {} }}}}", "| tojson".repeat(100))), long);
    assert!(world.fill(&"{{ fan.speed }}".repeat(2_000)).is_err());
    assert!(
        TextTemplate::compile(&format!(
            "{{% if {}1{} %}}x{{% endif %}}",
            "(".repeat(3_000),
            ")".repeat(3_000)
        ))
        .is_err()
    );
}

#[test]
fn depends_on_what_it_names() {
    let dependencies = |text: &str| {
        let found = TextTemplate::compile(text).unwrap().dependencies();
        let mut found: Vec<_> = found
            .into_iter()
            .map(|dependency| match dependency {
                Dependency::Device(id) => id.to_string(),
                Dependency::TriggerDevice => "*".into(),
            })
            .collect();
        found.sort();
        found
    };
    assert_eq!(
        dependencies("{{ fan.power }} {{ device.x }} {{ trigger.value }} {{ fan.speed }}"),
        ["*", "fan"]
    );
    assert_eq!(dependencies("{% if a.x and twin['b-1'].y %}{{ c.z | upper }}{% endif %}"), ["a", "b-1", "c"]);
    assert_eq!(dependencies("{% for x in a.list %}{{ x.y }}{% endfor %}"), ["a"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(words in prop::collection::vec(prop::sample::select(vec![
        "{{", "}}", "{%", "%}", "{#", "#}", " if ", " for x in ", "endif", "endfor", "else", "raw", "endraw", "fan.list",
        "fan.power", "trigger.value", "|", "upper", "round(1)", "'", "\"", "-", "(", ")", "x", "loop.index", "ä", "~", "*", "\n",
        "1", "twin['fan']", "twin[", ".", ":", "?", "default('x')",
    ]), 0..40)) {
        let text = words.concat();
        match TemplateTwins::new().fill(&text) {
            Ok(filled) => prop_assert!(filled.len() <= LONGEST_FILLED),
            Err(bad) => prop_assert!(!bad.detail.is_empty()),
        }
        let _ = TemplateTwins::new().fill_json(&Json::from(text).to_string());
    }
}

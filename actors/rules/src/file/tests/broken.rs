//! Broken files: the place, the error, and perhaps a suggestion.

use super::{FileProblem, file, parse};

/// A rule that is whole but for the lines that are tested.
const ACTIONS: &str = "actions: { log: hello }";
const TRIGGER: &str = "triggers: { every: 5m }";

/// The problems of a file, shown as `line:column pointer message [hint]`.
fn show(problems: &[FileProblem]) -> String {
    let line = |p: &FileProblem| {
        format!("{}:{} {} {} [{}]\n", p.line, p.column, p.pointer, p.message, p.hint.as_deref().unwrap_or(""))
    };
    problems.iter().map(line).collect()
}

#[track_caller]
fn check_file(text: &str, expected: &[(u32, u32, &str, &str, &str)]) {
    let Err(problems) = parse(text) else { panic!("nothing was found wrong with\n{text}") };
    assert_eq!(problems.len(), expected.len(), "{}\n{text}", show(&problems));
    for (problem, (line, column, pointer, message, hint)) in problems.iter().zip(expected) {
        let shown = show(std::slice::from_ref(problem));
        assert_eq!((problem.line, problem.column), (*line, *column), "{shown}\n{text}");
        assert_eq!(problem.pointer, *pointer, "{shown}\n{text}");
        assert!(problem.message.contains(message), "{message}\n{shown}\n{text}");
        assert_eq!(problem.hint.as_deref().unwrap_or(""), *hint, "{shown}\n{text}");
    }
}

/// One problem in the first lines of a rule: line (the rule's first is the third), column, pointer below the rule,
/// part of the message, hint.
#[track_caller]
fn check(lines: &str, rest: &str, at: (u32, u32), pointer: &str, message: &str, hint: &str) {
    let text = file(&format!("{lines}\n{rest}"));
    check_file(&text, &[(at.0, at.1, &format!("/rules/r{pointer}"), message, hint)]);
}

#[test]
fn keys() {
    check("trigers: { every: 5m }", ACTIONS, (3, 5), "/trigers", "`trigers` is no key of a rule", "triggers");
    check("name: x", ACTIONS, (3, 5), "/name", "no key of a rule", "alias");
    check("frobnicate: x", ACTIONS, (3, 5), "/frobnicate", "which may have `id`, `alias`", "");
    check("alias: a", TRIGGER, (3, 5), "", "a rule needs `actions`", "");
    check("actions:", TRIGGER, (3, 5), "/actions", "`actions` is empty", "");
    check("actions: []", TRIGGER, (3, 14), "/actions", "expected an action, found a list", "");
    check("enabled: true\nenabled: false", ACTIONS, (4, 5), "/enabled", "a duplicate: it is in line 3", "");
    let text = "version: 1\nrule:\n  a: { actions: { log: x } }\n";
    check_file(text, &[(2, 1, "/rule", "`rule` is no key of a rule file", "rules")]);
    let text = "rules:\n  \"a b\": { actions: { log: x } }\n";
    check_file(text, &[(2, 3, "/rules/a b", "a rule's name is made of", "")]);
    let text = "rules:\n  a: { id: b, actions: { log: x } }\n";
    check_file(text, &[(2, 12, "/rules/a/id", "rule's key is `a`", "")]);
}

#[test]
fn values_of_a_rule() {
    check(
        "enabled: on",
        ACTIONS,
        (3, 14),
        "/enabled",
        "true or false, without quotes, found the text \"on\"",
        "true",
    );
    check("enabled: \"false\"", ACTIONS, (3, 14), "/enabled", "true or false", "false");
    check("mode: singel", ACTIONS, (3, 11), "/mode", "one of `single`, `restart`", "single");
    check("mode: [single]", ACTIONS, (3, 11), "/mode", "found a list", "");
    check("mode: queued\nmax: 0", ACTIONS, (4, 10), "/max", "a whole number from 1 to 100, found 0", "");
    check("max: 3", ACTIONS, (3, 10), "/max", "goes with `mode: queued`", "");
    check("priority: high", ACTIONS, (3, 15), "/priority", "a whole number from -1000 to 1000", "");
    check(
        "cooldown: 5 minuets",
        ACTIONS,
        (3, 15),
        "/cooldown",
        "90s, 1h 30m, 00:05:00 or { minutes: 5 }: `minuets`",
        "",
    );
    check("cooldown: 00:05", ACTIONS, (3, 15), "/cooldown", "`00:05` is no HH:MM:SS: write 00:05:00", "");
    check("cooldown: 1month", ACTIONS, (3, 15), "/cooldown", "a month has no fixed length: write days", "");
    check("cooldown: -5", ACTIONS, (3, 15), "/cooldown", "`-5` is negative", "");
    check("cooldown: 400d", ACTIONS, (3, 15), "/cooldown", "400d is too long: write 366d or less", "");
    check("cooldown: [5m]", ACTIONS, (3, 15), "/cooldown", "expected a duration such as 90s", "");
    check("cooldown: {}", ACTIONS, (3, 15), "/cooldown", "it is empty", "");
    check(
        "cooldown: { minute: 5 }",
        ACTIONS,
        (3, 17),
        "/cooldown/minute",
        "no unit of a duration: `weeks`",
        "minutes",
    );
    check("cooldown: { minutes: -5 }", ACTIONS, (3, 15), "/cooldown", "`-5` is negative", "");
    check("cooldown: { minutes: [5] }", ACTIONS, (3, 26), "/cooldown/minutes", "expected a number", "");
    check(
        "breaker: { runs: 5, within: 0s }",
        ACTIONS,
        (3, 33),
        "/breaker/within",
        "0 is too short: write 1s",
        "",
    );
    check("timezone: Europe/Belrin", ACTIONS, (3, 15), "/timezone", "a time zone", "Europe/Berlin");
    check(
        "breaker: { runs: 5, within: soon }",
        ACTIONS,
        (3, 33),
        "/breaker/within",
        "`soon` is no number",
        "",
    );
    check("alias: [a]", ACTIONS, (3, 12), "/alias", "expected a text, found a list", "");
    check_file("version: 2\nrules: {}\n", &[(1, 10, "/version", "expected 1, found 2", "")]);
    check_file("rules: [a]\n", &[(1, 8, "/rules", "rules by their ids, found a list", "")]);
}

#[test]
fn triggers() {
    let check = |lines: &str, at: (u32, u32), pointer: &str, message: &str, hint: &str| {
        check(
            &format!("triggers:\n  - {}", lines.replace('\n', "\n    ")),
            ACTIONS,
            at,
            pointer,
            message,
            hint,
        );
    };
    check(
        "numeric: a.t\nabvoe: 5\nbelow: 2",
        (5, 9),
        "/triggers/0/abvoe",
        "no key of a numeric trigger",
        "above",
    );
    check(
        "numerik: a.t\nabove: 5",
        (4, 9),
        "/triggers/0/numerik",
        "one of the keys `numeric`, `changed`",
        "numeric",
    );
    check(
        "every: 5m\nfor: 5m",
        (5, 9),
        "/triggers/0/for",
        "it goes with `numeric`, `changed`, `presence`",
        "",
    );
    check("cron: \"* * * * *\"\nmax_age: 5m", (5, 9), "/triggers/0/max_age", "it goes with `numeric`", "");
    check("every: 5m\ncron: \"@daily\"", (5, 9), "/triggers/0/cron", "`every` and `cron`", "");
    check("every: 10ms", (4, 16), "/triggers/0/every", "1s at least", "");
    check("a.temperature > 5", (4, 9), "/triggers/0", "expected a trigger, a map", "");
    check("numeric: temperature\nabove: 1", (4, 18), "/triggers/0/numeric", "a device's property", "");
    check(
        "numeric: a.t\nabove: \"5\"",
        (5, 16),
        "/triggers/0/above",
        "expected a number",
        "5 without quotes",
    );
    check("numeric: a.t", (4, 9), "/triggers/0", "needs `above` or `below`", "");
    check("numeric: a.t\nabove: 5\nbelow: 5", (6, 16), "/triggers/0/below", "the same number", "");
    check("numeric: a.t\nabove: 28\nrelease: 30", (6, 18), "/triggers/0/release", "not be greater than", "");
    check("numeric: a.t\nbelow: 2\nrelease: 1", (6, 18), "/triggers/0/release", "not be less than", "");
    check("numeric: a.t\nabove: 1\nbelow: 9\nrelease: 1", (7, 18), "/triggers/0/release", "both", "");
    check("numeric: a.desired.t\nabove: 1", (4, 18), "/triggers/0/numeric", "are for `changed`", "");
    check("numeric: a b.t\nabove: 1", (4, 18), "/triggers/0/numeric", "made of A-Z", "");
    check(
        "numeric: { device: a.b, propertie: t }\nabove: 1",
        (4, 33),
        "/triggers/0/numeric/propertie",
        "no key",
        "property",
    );
    check("changed: a.b\nfor: 5m", (5, 14), "/triggers/0/for", "say `to`", "");
    check("changed: a.b\nto: 1\nacross_downtime: hold", (6, 26), "/triggers/0/across_downtime", "`for`", "");
    check("changed: a.mode\nto: auto", (5, 13), "/triggers/0/to", "one of `manual`, `schedule`", "");
    let same = "`from` and `to` are the same";
    check("changed: a.status\nfrom: offline\nto: unknown", (6, 13), "/triggers/0/to", same, "");
    check("changed: a.version", (4, 18), "/triggers/0/changed", "`reported.version`", "");
    check("changed: a.tags", (4, 18), "/triggers/0/changed", "say which member", "");
    check("changed: a..b", (4, 18), "/triggers/0/changed", "an empty part", "");
    check("event: [twin, telemetri]", (4, 23), "/triggers/0/event/1", "one of `any`", "telemetry");
    check(
        "presence: trigger.device\nbecomes: online",
        (4, 19),
        "/triggers/0/presence",
        "in actions only",
        "",
    );
    check("presence: a\nbecomes: offlin", (5, 18), "/triggers/0/becomes", "one of `online`", "offline");
    check("presence: a", (4, 9), "/triggers/0", "needs `becomes`", "");
    check("presence: \"a[\"\nbecomes: online", (4, 19), "/triggers/0/presence", "no pattern of ids", "");
    check("presence: {}\nbecomes: online", (4, 19), "/triggers/0/presence", "say which devices", "");
    check("command: a\nstatus: [failed, timedout]", (5, 26), "/triggers/0/status/1", "one of", "timed_out");
    check("alarm: hot\nseverity: mayor", (5, 19), "/triggers/0/severity", "one of `info`", "major");
    check("cron: \"0 25 * * *\"", (4, 15), "/triggers/0/cron", "`25` does not name hours", "");
    check("cron: \"@daily\"\nmissed_within: 2h", (5, 24), "/triggers/0/missed_within", "run_once", "");
    check("cron: \"@daily\"\nmissed: once", (5, 17), "/triggers/0/missed", "one of `skip`", "");
    check("mqtt: a/b#", (4, 15), "/triggers/0/mqtt", "one whole level", "");
    check("webhook: \"a b\"", (4, 18), "/triggers/0/webhook", "made of", "");
    check("webhook: a\nsecret: fifteen letters", (5, 17), "/triggers/0/secret", "16 characters at least", "");
    check(
        "webhook: a\nsecret_env: PATH",
        (5, 21),
        "/triggers/0/secret_env",
        "no variable for rules",
        "TWINHUB_SECRET_PATH",
    );
}

#[test]
fn conditions() {
    let check = |lines: &str, at: (u32, u32), pointer: &str, message: &str, hint: &str| {
        check(&format!("conditions:\n  - {lines}"), ACTIONS, at, pointer, message, hint);
    };
    check("{ al: [a.b] }", (4, 11), "/conditions/0/al", "one of the keys `time`, `all`", "all");
    check("{ any: [] }", (4, 16), "/conditions/0/any", "expected conditions, found a list", "");
    check("{ not: [a.b, c.d] }", (4, 16), "/conditions/0/not", "takes one condition", "not: { any: […] }");
    check("{ time: { after: 25:00 } }", (4, 26), "/conditions/0/time/after", "a time of day such as", "");
    check("{ time: {} }", (4, 17), "/conditions/0/time", "needs `after`, `before` or `weekdays`", "");
    check("{ time: { weekdays: Mon-Fry } }", (4, 29), "/conditions/0/time/weekdays", "days such as", "");
    check(
        "{ time: { weekdays: [Tusday] } }",
        (4, 30),
        "/conditions/0/time/weekdays/0",
        "days such as",
        "tue",
    );
    check("{ time: { after: 7:00, before: \"07:00\" } }", (4, 17), "/conditions/0/time", "the same time", "");
    check("[a.b]", (4, 9), "/conditions/0", "expected a condition", "");
    let hint = "an expression with a colon and a space in it, or one that ends in a colon, must be in quotes";
    check("a.b > 1 ? true : false", (4, 9), "/conditions/0/a.b > 1 ? true", "for a key and its value", hint);
    check("!a.b", (4, 9), "/conditions/0", "`!a.b` is a tag", "");
}

#[test]
fn actions() {
    let check = |lines: &str, at: (u32, u32), pointer: &str, message: &str, hint: &str| {
        check(
            &format!("actions:\n  - {}", lines.replace('\n', "\n    ")),
            TRIGGER,
            at,
            pointer,
            message,
            hint,
        );
    };
    check("service: fan", (4, 9), "/actions/0/service", "one of the keys `command`", "command");
    check("command: fan", (4, 9), "/actions/0", "a command action needs `type`", "");
    check(
        "command: fan\ntype: set\nparameter: {}",
        (6, 9),
        "/actions/0/parameter",
        "no key of",
        "parameters",
    );
    check("command: fan\ntype: set\nparameters: [1]", (6, 21), "/actions/0/parameters", "a map of keys", "");
    check(
        "command: fan\ntype: set\npriority: 10",
        (6, 19),
        "/actions/0/priority",
        "from 0 to 9, found 10",
        "",
    );
    check("command: fan\ntype: set\nttl: 0", (6, 14), "/actions/0/ttl", "0 is too short: write 1s", "");
    check("command: trigger.device\ntype: set", (4, 18), "/actions/0/command", "no trigger of this rule", "");
    check(
        "command: fan\ntype: set\nseverity: major",
        (6, 9),
        "/actions/0/severity",
        "it goes with `alarm`",
        "",
    );
    check("desired: fan\nset: {}", (5, 14), "/actions/0/set", "`set` is empty", "");
    check("desired: fan\nsets: { a: 1 }", (5, 9), "/actions/0/sets", "no key of a desired action", "set");
}

#[test]
fn more_actions() {
    let check = |lines: &str, at: (u32, u32), pointer: &str, message: &str, hint: &str| {
        check(
            &format!("actions:\n  - {}", lines.replace('\n', "\n    ")),
            TRIGGER,
            at,
            pointer,
            message,
            hint,
        );
    };
    check("mode: fan\nto: auto", (5, 13), "/actions/0/to", "one of `manual`, `schedule`", "");
    check("alarm: hot\nseverity: bad", (5, 19), "/actions/0/severity", "one of `info`", "");
    check("publish: home/+", (4, 18), "/actions/0/publish", "one topic", "");
    check("webhook: ftp://example.org", (4, 18), "/actions/0/webhook", "a URL that begins with", "");
    check("webhook: https://a.example\nmethod: post", (5, 17), "/actions/0/method", "one of `POST`", "POST");
    check("webhook: https://a.example\ntimeout: 5m", (5, 18), "/actions/0/timeout", "1m at most", "");
    check("webhook: https://a.example\nmethod: GET\nbody: {}", (6, 15), "/actions/0/body", "no body", "");
    check(
        "webhook: https://a.example\nheaders: { a b: c }",
        (5, 20),
        "/actions/0/headers/a b",
        "no name",
        "",
    );
    check(
        "webhook: https://a.example\nsecret: a\nsecret_env: TWINHUB_SECRET_B",
        (6, 21),
        "/actions/0/secret_env",
        "not both",
        "",
    );
    check(
        "webhook: https://a.example\nsecret_env: PATH",
        (5, 21),
        "/actions/0/secret_env",
        "`PATH` is no variable for rules",
        "TWINHUB_SECRET_PATH",
    );
    check("delay: a while", (4, 16), "/actions/0/delay", "`a while` is no number with its unit", "");
    check(
        "wait: { until: a.b, timout: 5m }",
        (4, 29),
        "/actions/0/wait/timout",
        "no key of a wait",
        "timeout",
    );
    check("choose: []", (4, 17), "/actions/0/choose", "a list of branches", "");
    check(
        "choose: { when: a.b, then: { log: x } }",
        (4, 30),
        "/actions/0/choose/then",
        "no key of a branch",
        "do",
    );
    check("run: \"\"", (4, 14), "/actions/0/run", "must not be empty", "");
    check("log: x\nlevel: warning", (5, 16), "/actions/0/level", "one of `debug`", "warn");
    check("log: x\non_error: go on", (5, 19), "/actions/0/on_error", "one of `stop`", "");
}

#[test]
fn tests_in_rules() {
    let check = |lines: &str, at: (u32, u32), pointer: &str, message: &str, hint: &str| {
        let rest = format!("{TRIGGER}\n{ACTIONS}");
        check(&format!("tests:\n  - {}", lines.replace('\n', "\n    ")), &rest, at, pointer, message, hint);
    };
    check("given: { a.b: 1 }", (4, 9), "/tests/0", "needs `expect`", "");
    check("given: { a.b: [1, 2] }\nexpect: log", (4, 23), "/tests/0/given/a.b", "needs `every`", "");
    check("given: { afer: 5m }\nexpect: log", (4, 18), "/tests/0/given/afer", "no key of a step", "after");
    check(
        "given: [{ at: 5m }, { at: 4m }]\nexpect: log",
        (4, 35),
        "/tests/0/given/1/at",
        "order of time",
        "",
    );
    check(
        "initially: { door: open }\nexpect: log",
        (4, 22),
        "/tests/0/initially/door",
        "a device's property",
        "",
    );
    check(
        "given: { a.status: gone }\nexpect: log",
        (4, 28),
        "/tests/0/given/a.status",
        "one of `online`",
        "",
    );
    check("start: noon\nexpect: log", (4, 16), "/tests/0/start", "a time such as 2026-", "");
    check("expect: comand fan", (4, 17), "/tests/0/expect", "nothing that a rule does", "command");
    check("expect: [ not stail ]", (4, 19), "/tests/0/expect/0", "nothing that a rule does", "stale");
    check(
        "expect: { command fan: { typ: x } }",
        (4, 34),
        "/tests/0/expect/command fan/typ",
        "can be said",
        "type",
    );
    check(
        "expect: { command fan: , at: soon }",
        (4, 38),
        "/tests/0/expect/at",
        "`soon` is no number with its unit",
        "",
    );
    check("expect: log\nexactly: log", (5, 18), "/tests/0/exactly", "say the same thing", "");
}

#[test]
fn no_yaml() {
    let spaces = "indent with spaces: YAML takes no tabs";
    check_file("rules:\n\ta: 1\n", &[(2, 2, "", "no YAML: tabs", spaces)]);
    let colon = "a text with a colon and a space in it must be in quotes";
    check_file("rules:\n  a:\n    alias: Hot: cold\n", &[(3, 15, "", "no YAML", colon)]);
    check_file("rules: { a: [1, 2 }\n", &[(1, 13, "", "no YAML: mismatched bracket", "")]);
    check_file(
        "rules:\n  a: \"open\n",
        &[(3, 1, "", "no YAML: invalid indentation in multiline quoted", "")],
    );
    let sign = "a text that begins with a sign of YAML's own must be in quotes as a whole";
    check_file("rules:\n  a:\n    alias: @home\n", &[(3, 12, "", "no YAML", sign)]);
    check_file("rules: {}\n---\nrules: {}\n", &[(2, 1, "", "one document", "")]);
    check_file("? [a]\n: b\n", &[(1, 3, "", "a key is a text", "")]);
    check_file("<<: { a: b }\n", &[(1, 1, "", "merges nothing", "")]);
    check_file("- a\n", &[(1, 1, "", "a rule file: a map", "")]);
    check_file("nonsense\n", &[(1, 1, "", "a rule file: a map", "")]);
    let text = file("triggers: { presence: *pump, becomes: online }\nactions: { log: x }");
    check_file(&text, &[(3, 27, "/rules/r/triggers/presence", "must be in quotes", "\"*pump\"")]);
}

#[test]
fn all_errors_are_reported_in_the_order_of_the_text() {
    let text = "\
version: 3
rules:
  cool:
    triggers:
      - numeric: greenhouse.temperature
        abov: 28
        for: 5 x
    actions:
      - command: fan
      - desired: fan
        set: 5
  warm:
    mode: parallell
    actions:
      - log: [a]
";
    check_file(
        text,
        &[
            (1, 10, "/version", "expected 1", ""),
            (5, 9, "/rules/cool/triggers/0", "needs `above` or `below`", ""),
            (6, 9, "/rules/cool/triggers/0/abov", "no key", "above"),
            (7, 14, "/rules/cool/triggers/0/for", "`x` is no unit", ""),
            (9, 9, "/rules/cool/actions/0", "needs `type`", ""),
            (11, 14, "/rules/cool/actions/1/set", "a map of keys", ""),
            (13, 11, "/rules/warm/mode", "one of `single`", "parallel"),
            (15, 14, "/rules/warm/actions/0/log", "expected a text", ""),
        ],
    );
}

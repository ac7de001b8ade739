//! Files that check out, and the rules that they make.

use chrono::Weekday;
use chrono_tz::Tz;

use super::{SHIPPED, file, object, parse, rule, rules};
use crate::action::{
    ActionKind, AlarmAction, ChooseAction, ClearAction, CommandAction, DelayAction, DesiredAction,
    DisableAction, EnableAction, ModeAction, PublishAction, RunAction, WaitAction,
};
use crate::file::{LARGEST, parse_rule};
use crate::model::{
    AcrossDowntime, AlarmBecomes, Breaker, Condition, MissedTimes, OnError, Path, RunMode, Selector,
    TimeOfDay, TriggerKind, WebhookSecret,
};
use crate::scenario;
use twinhub_domain::alarm::Severity;
use twinhub_domain::{CommandStatus, EventKind, Json, Mode, Number, Status, Timestamp};

const ACTIONS: &str = "actions: { log: hello }";

/// The one trigger of a rule.
fn trigger(lines: &str) -> TriggerKind {
    let rule = rule(&format!("triggers:\n  {}\n{ACTIONS}", lines.replace('\n', "\n  ")));
    rule.triggers[0].kind.clone()
}

/// The one action of a rule that a device fires.
fn action(lines: &str) -> ActionKind {
    let text =
        format!("triggers: {{ presence: a, becomes: online }}\nactions:\n  {}", lines.replace('\n', "\n  "));
    let rule = rule(&text);
    rule.actions[0].kind.clone()
}

fn condition(text: &str) -> Condition {
    rule(&format!("conditions: {text}\n{ACTIONS}")).conditions[0].clone()
}

#[test]
fn the_shipped_rules_check_out_and_have_tests() {
    for (name, text) in SHIPPED {
        let file = parse(text).unwrap_or_else(|problems| panic!("{name}: {problems:#?}"));
        assert!(!file.rules.is_empty(), "{name}");
        for (index, rule) in file.rules.iter().enumerate() {
            assert!(file.tests.iter().any(|(of, _)| *of == index), "{name}: {} has no test", rule.id);
        }
    }
}

#[test]
fn the_shipped_rules_pass_their_tests() {
    for (name, text) in SHIPPED {
        let file = parse(text).unwrap();
        for index in 0..file.rules.len() {
            let tests: Vec<_> =
                file.tests.iter().filter(|(of, _)| *of == index).map(|(_, test)| test).collect();
            let start = Timestamp::parse("2026-03-02T10:00:00Z").unwrap();
            for verdict in scenario::run(&file.rules, index, &tests, start) {
                assert_eq!(verdict.failure, None, "{name}: {}", verdict.name);
            }
        }
    }
}

#[test]
fn a_whole_rule() {
    let rule = &rules(SHIPPED[0].1)[0];
    assert_eq!(rule.id.as_str(), "greenhouse-cool");
    assert_eq!(&*rule.alias, "Cool the greenhouse");
    assert_eq!((rule.enabled, rule.mode, rule.max, rule.priority), (false, RunMode::Single, 10, 0));
    assert_eq!(rule.breaker, Breaker { runs: 60, within_ms: 10_000 });
    let trigger = &rule.triggers[0];
    assert_eq!((trigger.for_ms, trigger.across_downtime), (Some(300_000), AcrossDowntime::Hold));
    let TriggerKind::Numeric { of: Selector::Device(device), property, above, below, release, max_age } =
        &trigger.kind
    else {
        panic!("{trigger:?}");
    };
    assert_eq!((device.as_str(), &**property), ("greenhouse", "temperature"));
    let number = Number::parse;
    assert_eq!((above, below, release, *max_age), (&number("28"), &None, &number("26"), Some(900_000)));
    let ActionKind::Command(CommandAction { command_type, parameters, options, confirm, .. }) =
        &rule.actions[0].kind
    else {
        panic!("{:?}", rule.actions[0]);
    };
    assert_eq!((&**command_type, *confirm), ("set", Some(30_000)));
    // Quoted or not, a word stays one.
    assert_eq!(parameters.json().to_string(), r#"{"power":"on","speed":80}"#);
    assert_eq!(Json::from(options.clone()).to_string(), r#"{"ttl":"600000ms"}"#);
    let ActionKind::Alarm(AlarmAction { severity: Severity::Major, message, of: None, .. }) =
        &rule.actions[1].kind
    else {
        panic!("{:?}", rule.actions[1]);
    };
    assert_eq!(message.text(), "Greenhouse {{ trigger.value }} °C");
    assert_eq!(rule.on_release.len(), 2);
    assert_eq!(rule.source.object().get("id").and_then(Json::as_str), Some("greenhouse-cool"));
    assert_eq!(rule.source.object().get("timezone").and_then(Json::as_str), Some("Europe/Berlin"));
}

#[test]
fn what_a_rule_says_of_itself() {
    let rule = rule(
        "description: why\nenabled: false\nmode: queued\nmax: 3\npriority: -5\neven_in_manual: true\n\
         cooldown: 90s\nbreaker: { runs: 5, within: 1m }\non_error: continue\nactions: { log: x, on_error: stop }",
    );
    assert_eq!((rule.enabled, rule.mode, rule.max, rule.priority), (false, RunMode::Queued, 3, -5));
    assert_eq!((rule.even_in_manual, rule.cooldown), (true, Some(90_000)));
    assert_eq!(rule.breaker, Breaker { runs: 5, within_ms: 60_000 });
    assert_eq!((rule.on_error, rule.actions[0].on_error), (OnError::Continue, Some(OnError::Stop)));
}

#[test]
fn durations_as_people_write_them() {
    for written in [
        "5m",
        "300s",
        "5 minutes",
        "0h 5m",
        "PT5M",
        "\"00:05:00\"",
        "00:05:00",
        "0:05:00.000",
        "300",
        "\"300\"",
        "{ minutes: 5 }",
        "{ hours: 0, minutes: 4, seconds: 59.5, milliseconds: 500 }",
        "\n        minutes: 5",
    ] {
        let read = rule(&format!("actions:\n  - delay: {written}"));
        assert!(
            matches!(read.actions[0].kind, ActionKind::Delay(DelayAction { ms: 300_000 })),
            "{written}: {:?}",
            read.actions
        );
    }
    // Waiting for nothing is not waiting.
    let rule = rule(
        "triggers: { numeric: a.t, above: 5, for: 0s }\ncooldown: 0\nactions: [ { delay: 0s }, { wait: a.t > 1, timeout: 00:00:00 } ]",
    );
    assert_eq!((rule.triggers[0].for_ms, rule.cooldown), (None, None));
    assert!(matches!(rule.actions[0].kind, ActionKind::Delay(DelayAction { ms: 0 })));
    assert!(matches!(rule.actions[1].kind, ActionKind::Wait(WaitAction { timeout: Some(0), .. })));
}

#[test]
fn every_trigger() {
    let TriggerKind::Numeric { of: Selector::Glob(glob), property, .. } =
        trigger("numeric: pump-*.motor.temp\nbelow: -1.5e1")
    else {
        panic!()
    };
    assert!(glob.matcher.is_match("pump-7") && !glob.matcher.is_match("fan"));
    assert_eq!(&*property, "motor.temp");
    let TriggerKind::Numeric { of: Selector::Device(device), property, .. } =
        trigger("numeric: { device: site.pump, property: temp }\nabove: 1")
    else {
        panic!()
    };
    assert_eq!((device.as_str(), &*property), ("site.pump", "temp"));
    let TriggerKind::Changed { of: Selector::Where { group, device_type, tags, .. }, path, from, to } =
        trigger(
            "changed: { device: { group: g, type: t, tag: { floor: 2 } }, property: desired.speed }\nto: 5",
        )
    else {
        panic!()
    };
    assert_eq!((group.as_deref(), device_type.as_deref()), (Some("g"), Some("t")));
    assert_eq!(tags, [("floor".into(), "2".into())]);
    assert_eq!((path, from, to), (Path::Desired("speed".into()), None, Some(5.into())));
    for (text, path) in [
        ("a.mode", Path::Mode),
        ("a.status", Path::Status),
        ("a.name", Path::Profile("name".into())),
        ("a.reported.mode", Path::Reported("mode".into())),
        ("a.tags.floor", Path::Tag("floor".into())),
        ("a.configuration.x.y", Path::Configuration("x.y".into())),
        ("a.open", Path::Reported("open".into())),
    ] {
        assert!(
            matches!(trigger(&format!("changed: {text}")), TriggerKind::Changed { path: p, .. } if p == path)
        );
    }
    let TriggerKind::Event { of: Selector::Glob(glob), kinds, data } =
        trigger("event: [twin, alarm]\ndata: { change: registered }")
    else {
        panic!()
    };
    assert_eq!((&*glob.text, kinds, data.len()), ("*", vec![EventKind::Twin, EventKind::Alarm], 1));
    assert!(matches!(trigger("event: any\ndevice: a"), TriggerKind::Event { kinds, .. } if kinds.is_empty()));
    assert!(matches!(
        trigger("presence: a\nbecomes: offline"),
        TriggerKind::Presence { status: Status::Offline, .. }
    ));
    let TriggerKind::Command { command_type, status, .. } = trigger("command: a\ntype: set") else {
        panic!()
    };
    assert_eq!((command_type.as_deref(), status.len()), (Some("set"), 4));
    let TriggerKind::Command { status, .. } = trigger("command: a\nstatus: executed") else { panic!() };
    assert_eq!(status, [CommandStatus::Executed]);
    assert!(matches!(
        trigger("alarm: any\nseverity: major\nbecomes: acknowledged"),
        TriggerKind::Alarm {
            of: None,
            alarm_type: None,
            at_least: Some(Severity::Major),
            becomes: AlarmBecomes::Acknowledged
        }
    ));
    let TriggerKind::Cron { cron, missed, missed_within_ms } =
        trigger("cron: 30 22 * * Mon-Fri\ntimezone: Asia/Tokyo\nmissed: run_all\nmissed_within: 2h")
    else {
        panic!()
    };
    assert_eq!((&*cron.text, cron.zone), ("30 22 * * Mon-Fri", Tz::Asia__Tokyo));
    assert_eq!((missed, missed_within_ms), (MissedTimes::RunAll, Some(7_200_000)));
    assert!(matches!(trigger("every: 5m"), TriggerKind::Every { every_ms: 300_000 }));
    assert!(
        matches!(trigger("mqtt: home/+/x/#\npayload: on"), TriggerKind::Mqtt { payload: Some(Json::String(on)), .. } if &*on == "on")
    );
    assert!(
        matches!(trigger("webhook: doorbell"), TriggerKind::Webhook { name, secret: None } if &*name == "doorbell")
    );
    let TriggerKind::Webhook { secret, .. } = trigger("webhook: door\nsecret: sixteen letters.") else {
        panic!()
    };
    assert_eq!(secret, Some(WebhookSecret::Text("sixteen letters.".into())));
    let TriggerKind::Webhook { secret, .. } = trigger("webhook: door\nsecret_env: TWINHUB_SECRET_DOOR")
    else {
        panic!()
    };
    assert_eq!(secret, Some(WebhookSecret::Environment("TWINHUB_SECRET_DOOR".into())));
}

#[test]
fn every_condition() {
    assert!(
        matches!(condition("fan.power == \"on\""), Condition::Expression(e) if e.text() == "fan.power == \"on\"")
    );
    assert!(matches!(condition("true"), Condition::Expression(e) if e.text() == "true"));
    let Condition::Time { after, before, weekdays, zone } =
        condition("{ time: { after: 22:00, before: \"06:00:30\", weekdays: \"Fri-Mon, wed\" } }")
    else {
        panic!()
    };
    assert_eq!((after, before, zone), (Some(TimeOfDay(79_200)), Some(TimeOfDay(21_630)), Tz::UTC));
    assert_eq!(weekdays, [Weekday::Mon, Weekday::Wed, Weekday::Fri, Weekday::Sat, Weekday::Sun]);
    let Condition::Any(any) = condition("{ any: [ a.b == 1, { all: [ c.d, { not: e.f } ] } ] }") else {
        panic!()
    };
    let Condition::All(all) = &any[1] else { panic!() };
    assert!(matches!(&all[1], Condition::Not(inner) if matches!(&**inner, Condition::Expression(_))));
    // A zone of the file goes down to where times are.
    let text = "timezone: Europe/Madrid\nrules: { r: { conditions: { time: { before: 24:00 } }, actions: { log: x } } }";
    assert!(matches!(
        &rules(text)[0].conditions[0],
        Condition::Time { zone: Tz::Europe__Madrid, before: Some(TimeOfDay(86_400)), .. }
    ));
}

#[test]
fn every_action() {
    assert!(matches!(
        action("command: trigger.device\ntype: reboot\npriority: 9\nmax_attempts: 1\nsupersedes: k\ntimeout: 5s"),
        ActionKind::Command(CommandAction { to: Selector::Trigger, options, confirm: None, .. }) if options.len() == 4
    ));
    assert!(matches!(
        action("desired: { type: lamp }\nset: { on: yes, level: 007 }"),
        ActionKind::Desired(DesiredAction { set, .. }) if set.json().to_string() == r#"{"level":"007","on":"yes"}"#
    ));
    assert!(matches!(
        action("mode: fan\nto: manual\nfor: 2h"),
        ActionKind::Mode(ModeAction { mode: Mode::Manual, for_ms: Some(7_200_000), .. })
    ));
    assert!(matches!(
        action("alarm: hot\ndevice: \"*\""),
        ActionKind::Alarm(AlarmAction { severity: Severity::Warning, message, of: Some(_), .. }) if message.text() == "hot"
    ));
    assert!(matches!(action("clear: hot"), ActionKind::Clear(ClearAction { of: None, .. })));
    assert!(matches!(
        action("publish: a/b\npayload: [1, on]\nretain: true"),
        ActionKind::Publish(PublishAction { retain: true, payload, .. }) if payload.json().to_string() == r#"[1,"on"]"#
    ));
    let ActionKind::Webhook(webhook) = action(
        "webhook: https://example.org/{{ trigger.device }}\nmethod: PUT\nheaders: { X-B: 1, X-A: x }\n\
         body: { a: 1 }\nsecret_env: TWINHUB_SECRET_HOOK\ntimeout: 2s\nmax_attempts: 2",
    ) else {
        panic!()
    };
    assert_eq!((&*webhook.method, webhook.timeout_ms, webhook.max_attempts), ("PUT", 2_000, 2));
    assert_eq!(webhook.headers.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["X-A", "X-B"]);
    assert!(
        matches!(webhook.secret, Some(WebhookSecret::Environment(name)) if &*name == "TWINHUB_SECRET_HOOK")
    );
    assert!(matches!(action("delay: 10s"), ActionKind::Delay(DelayAction { ms: 10_000 })));
    assert!(matches!(
        action("wait: { until: a.b, timeout: 5m }"),
        ActionKind::Wait(WaitAction { until: Condition::Expression(_), timeout: Some(300_000) })
    ));
    assert!(matches!(
        action("wait: { any: [a.b, c.d] }\ntimeout: 5m"),
        ActionKind::Wait(WaitAction { until: Condition::Any(_), timeout: Some(300_000) })
    ));
    let ActionKind::Choose(ChooseAction { branches, otherwise }) = action(
        "choose:\n  - when: [a.b, c.d]\n    do: [ { log: one }, { delay: 1s } ]\n  - { when: e.f, do: { log: two } }\n\
         else: { log: three }",
    ) else {
        panic!()
    };
    assert_eq!((branches.len(), branches[0].1.len(), otherwise.len()), (2, 2, 1));
    assert!(matches!(&branches[0].0, Condition::All(all) if all.len() == 2));
    assert!(matches!(action("run: other"), ActionKind::Run(RunAction { rule }) if rule.as_str() == "other"));
    assert!(matches!(action("enable: other"), ActionKind::Enable(EnableAction { .. })));
    assert!(matches!(action("disable: other"), ActionKind::Disable(DisableAction { .. })));
}

#[test]
fn empty_files_have_no_rules() {
    for text in
        ["", "\n", "# nothing\n", "\u{feff}", "---\n", "~", "rules:\n", "rules: {}", "version: 1\nrules: ~\n"]
    {
        assert!(rules(text).is_empty(), "{text:?}");
    }
}

#[test]
fn the_same_rule_has_the_same_fingerprint_however_it_is_written() {
    let yaml = file(
        "cooldown: 5m\ntriggers:\n  - { cron: '@daily' }\nactions:\n  - { command: fan, type: set, ttl: 60s }",
    );
    let other = [
        format!("\u{feff}{}", yaml.replace('\n', "\r\n")),
        yaml.replace("cooldown: 5m", "cooldown: 300s\n    alias: named\n    enabled: false"),
        yaml.replace("ttl: 60s", "ttl: \"1m\""),
        r#"{"rules": {"r": {"actions": {"type": "set", "command": "fan", "ttl": "1m"},
            "triggers": [{"cron": "@daily"}], "cooldown": "5m"}}}"#
            .to_owned(),
        "x: &a { command: fan, type: set, ttl: 60s }\n"
            .replace("x: &a", "version: &v")
            .replace("version: &v { command: fan, type: set, ttl: 60s }\n", "")
            + &yaml,
    ];
    let print = rules(&yaml)[0].fingerprint;
    for text in other {
        assert_eq!(rules(&text)[0].fingerprint, print, "{text}");
    }
    for change in [("5m", "6m"), ("@daily", "@hourly"), ("fan", "lamp"), ("60s", "61s"), ("  r:", "  q:")] {
        assert_ne!(rules(&yaml.replace(change.0, change.1))[0].fingerprint, print, "{change:?}");
    }
}

#[test]
fn a_rule_read_from_its_source_is_the_same() {
    for (name, text) in SHIPPED {
        for rule in rules(text) {
            let (again, _) =
                parse_rule(&rule.source.object()).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
            assert_eq!(again.fingerprint, rule.fingerprint, "{name}");
            assert_eq!(again.source, rule.source, "{name}");
            let stored = Json::from(rule.source.object()).to_string();
            let (again, _) = parse_rule(&object(&stored)).unwrap();
            assert_eq!(again.fingerprint, rule.fingerprint, "{name}");
        }
    }
}

#[test]
fn aliases_are_copies() {
    let text = "\
rules:
  one: { actions: &do [ { log: hello } ] }
  two: { actions: *do }
";
    let rules = rules(text);
    assert_eq!(rules[0].actions.len(), rules[1].actions.len());
}

#[test]
fn a_problem_in_an_alias_points_to_its_definition_and_its_use() {
    let text =
        "rules:\n  one: { alias: &a [x], actions: { log: x } }\n  two: { alias: *a, actions: { log: x } }\n";
    let problems = parse(text).unwrap_err();
    let told: Vec<_> = problems.iter().map(|p| (p.line, p.column, p.pointer.as_str())).collect();
    assert_eq!(told, [(2, 20, "/rules/one/alias"), (2, 20, "/rules/two/alias")]);
}

#[test]
fn what_is_too_much_is_refused() {
    let large = "#".repeat(LARGEST + 1);
    assert!(parse(&large).unwrap_err()[0].message.contains("bytes at most"));
    let many: String = (0..10_001).map(|n| format!("  r{n}: {{ actions: {{ log: x }} }}\n")).collect();
    let problems = parse(&format!("rules:\n{many}")).unwrap_err();
    assert!(
        problems[0].message.contains("10000 rules at most") && problems[0].line == 10_002,
        "{problems:?}"
    );
    let most: String = (0..10_000).map(|n| format!("  r{n}: {{ actions: {{ log: x }} }}\n")).collect();
    assert_eq!(rules(&format!("rules:\n{most}")).len(), 10_000);
    let deep = format!("rules: {}{}", "[".repeat(1_000), "]".repeat(1_000));
    assert_eq!(parse(&deep).unwrap_err().len(), 1);
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let inner = format!("*a{}, ", n - 1).repeat(10);
        bomb.push_str(&format!("a{n}: &a{n} [{inner}]\n"));
    }
    assert!(parse(&bomb).unwrap_err()[0].message.contains("too many values"));
    let text = "x".repeat(500_000);
    let long = format!("a: &a {text}\nb: [{}]\n", "*a, ".repeat(1_000));
    assert!(parse(&long).unwrap_err()[0].message.contains("too many values"));
    assert!(parse("a: &a [*a]\n").unwrap_err()[0].message.contains("within its own anchor"));
    let deep = "a: ".repeat(3) + &"{b: ".repeat(40) + "c" + &"}".repeat(40);
    assert_eq!(parse(&deep).unwrap_err().len(), 1);
}

#[test]
fn api_problems_have_pointers_and_no_lines() {
    let problems =
        parse_rule(&object(r#"{"triggers": [{"numeric": "a.t", "abov": 5}], "actions": []}"#)).unwrap_err();
    let told: Vec<_> = problems.iter().map(|p| (p.line, p.pointer.as_str(), p.hint.as_deref())).collect();
    assert_eq!(
        told,
        [
            (0, "", None),
            (0, "/actions", None),
            (0, "/triggers/0", None),
            (0, "/triggers/0/abov", Some("above")),
        ]
    );
    assert!(problems[0].message.contains("needs an `id`"));
}

//! Fingerprints of rules as they were always made: stored state of a rule is taken up again by its fingerprint.

use super::parse;

/// The fingerprint of a rule that does this.
fn of(actions: &str) -> String {
    let text = format!(
        "version: 1\nrules:\n  r:\n    triggers: {{ numeric: a.t, above: 1 }}\n    actions:\n      - {}\n",
        actions.replace('\n', "\n        ")
    );
    let file = parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    format!("{:016x}", file.rules[0].fingerprint)
}

#[test]
fn every_action_has_the_fingerprint_that_it_had_in_earlier_versions() {
    let check = |actions: &str, expected: &str| assert_eq!(of(actions), expected, "{actions}");
    check(
        "{ command: fan, type: set, parameters: { speed: \"{{ trigger.value }}\" }, ttl: 1h, priority: 7, confirm: 30s }",
        "c290e9415b34ecef",
    );
    check("{ command: trigger.device, type: reboot, on_error: continue }", "36c81a2e7ecb2e5e");
    check("{ desired: \"fan-*\", set: { power: on, level: 1.50 } }", "cf6a3a4aaf097fae");
    check("{ mode: { group: hall, tag: { a: b } }, to: manual, for: 2h }", "9ec7036d11c0b402");
    check(
        "{ alarm: hot, severity: major, message: \"{{ trigger.value }} °C\", device: fan }",
        "b30043749ff84716",
    );
    check("{ alarm: hot }", "52abd79984944a7e");
    check("{ clear: hot, device: { template: t } }", "4dc8a879e459fce9");
    check("{ publish: \"a/{{ trigger.device }}\", payload: [1, on], retain: true }", "61873aef8830944b");
    check(
        "{ webhook: \"https://a.b/c\", method: PUT, headers: { b: c, A: d }, body: { a: 1 }, secret: s, timeout: 5s, max_attempts: 2 }",
        "58313d442bdbec3a",
    );
    check("{ webhook: \"https://a.b/c\", secret_env: TWINHUB_SECRET_A }", "1dc36d7bb1b9c6f5");
    check("{ delay: 90s }", "5b1c22c4706f1d08");
    check("{ wait: a.t > 1 && !(b.u == 2), timeout: 5m }", "10366e9a885857ce");
    check(
        "{ choose: [ { when: { time: { after: \"22:00\", weekdays: Mon-Fri } }, do: { log: a } }, { when: { any: [ a.t > 1, b.t > 2 ] }, do: [ { delay: 1s }, { run: x } ] } ], else: { log: b } }",
        "67a76e6d85f18e3d",
    );
    check("{ run: x }", "cc22fac3309d7bbb");
    check("{ enable: x }", "ac7e766418644ab7");
    check("{ disable: x }", "c9a02fc83dfe5618");
    check("{ log: \"it is {{ trigger.value }}\", level: error }", "aa990eefcf8ce4cb");
    check("{ log: x }", "31e75cd4ad368a53");
}

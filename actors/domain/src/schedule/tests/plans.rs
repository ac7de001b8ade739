//! Plans: the contents of an entry, the due times, and the cost of waiting.

use super::*;
use crate::schedule::{DueOccurrences, ScheduleAction};

/// The due occurrences, in short: `<entry>@<time>`, with `!` for a missed one and `-` for one passed over.
fn short(due: &DueOccurrences) -> Vec<String> {
    let name = |mark: &str, run: &crate::schedule::DueOccurrence| {
        format!("{mark}{}@{}", run.entry, run.at.to_string().replace(".000Z", "Z"))
    };
    let runs = due.runs.iter().map(|run| name(if run.missed { "!" } else { "" }, run));
    runs.chain(due.skipped.iter().map(|run| name("-", run))).collect()
}

/// At each of the times in turn, the expected occurrences are due, and are then dealt with.
fn check(schedule: &str, set: &str, steps: &[(&str, &[&str])]) {
    let mut plan = plan(schedule, set);
    for (now, expected) in steps {
        let due = plan.due(at(now));
        assert_eq!(short(&due), *expected, "at {now}");
        plan.passed(due.done);
        assert_eq!(short(&plan.due(at(now))), [""; 0], "again at {now}");
        assert!(!plan.is_due(at(now)), "again at {now}");
    }
}

fn daily(missed: &str) -> String {
    format!(r#"[{{"cron":"0 7 * * *","set":{{"power":"on"}},"missed":"{missed}"}}]"#)
}

#[test]
fn runs_on_time_once() {
    check(
        &daily("skip"),
        "2026-01-01T06:00:00Z",
        &[
            ("2026-01-01T06:59:59.999Z", &[]),
            ("2026-01-01T07:00:00Z", &["0@2026-01-01T07:00:00Z"]),
            ("2026-01-01T07:00:00.001Z", &[]),
            ("2026-01-02T07:01:00Z", &["0@2026-01-02T07:00:00Z"]), // 60 s late is on time
            ("2026-01-03T07:01:00.001Z", &["-0@2026-01-03T07:00:00Z"]),
        ],
    );
    check(&daily("skip"), "2026-01-01T07:00:00Z", &[("2026-01-01T07:00:01Z", &[])]); // set too late
}

#[test]
fn what_was_missed_is_skipped_or_run_once() {
    check(
        &daily("skip"),
        "2026-01-01T00:00:00Z",
        &[
            ("2026-01-10T12:00:00Z", &["-0@2026-01-10T07:00:00Z"]),
            ("2026-01-20T07:00:05Z", &["0@2026-01-20T07:00:00Z", "-0@2026-01-19T07:00:00Z"]),
        ],
    );
    check(
        &daily("run_once"),
        "2026-01-01T00:00:00Z",
        &[
            ("2026-01-10T12:00:00Z", &["!0@2026-01-10T07:00:00Z"]),
            ("2026-01-20T07:00:05Z", &["0@2026-01-20T07:00:00Z"]),
        ],
    );
}

#[test]
fn runs_in_the_order_of_time_then_of_entries() {
    let schedule = format!(
        "[{},{},{}]",
        switch("30 0 7 * * *", "UTC"),
        switch("0 0 7 * * *", "UTC"),
        switch("0 0 8 * * *", "Europe/Madrid")
    );
    let runs: &[&str] = &["1@2026-01-01T07:00:00Z", "2@2026-01-01T07:00:00Z", "0@2026-01-01T07:00:30Z"];
    check(&schedule, "2026-01-01T00:00:00Z", &[("2026-01-01T07:00:30Z", runs)]);
}

#[test]
fn a_second_of_every_minute_of_a_year_costs_little() {
    let schedule = r#"[{"cron":"* * * * * *","set":{"tick":true},"missed":"run_once"}]"#;
    check(
        schedule,
        "2025-01-01T00:00:00Z",
        &[
            ("2026-01-01T00:00:00.500Z", &["0@2026-01-01T00:00:00Z"]),
            ("2026-01-01T00:00:00.900Z", &[]),
            ("2026-01-01T00:00:07.100Z", &["0@2026-01-01T00:00:07Z"]), // the latest of seven
        ],
    );
}

#[test]
fn a_clock_that_goes_back_repeats_nothing() {
    check(
        &daily("run_once"),
        "2026-01-01T00:00:00Z",
        &[
            ("2026-01-01T07:00:00Z", &["0@2026-01-01T07:00:00Z"]),
            ("2026-01-01T06:59:00Z", &[]),
            ("2026-01-01T07:00:00Z", &[]),
            ("2026-01-02T07:00:00Z", &["0@2026-01-02T07:00:00Z"]),
            ("2026-01-01T08:00:00Z", &[]), // by 23 hours
            ("2026-01-02T07:00:00Z", &[]),
            ("2026-01-03T07:00:00Z", &["0@2026-01-03T07:00:00Z"]),
        ],
    );
}

/// An entry that runs more often than the clock was put back by goes on by the new time, and does not wait for the old.
#[test]
fn a_clock_that_goes_back_silences_nothing() {
    let each_minute = r#"[{"cron":"* * * * *","set":{"a":1}},{"cron":"0 12 * * *","set":{"b":1}}]"#;
    check(
        each_minute,
        "2026-01-01T11:58:30Z",
        &[
            ("2026-01-01T11:59:00Z", &["0@2026-01-01T11:59:00Z"]),
            ("2026-01-01T12:00:00Z", &["0@2026-01-01T12:00:00Z", "1@2026-01-01T12:00:00Z"]),
            ("2026-01-01T11:57:30Z", &[]), // two and a half minutes back
            ("2026-01-01T11:58:00Z", &["0@2026-01-01T11:58:00Z"]),
            ("2026-01-01T11:59:00Z", &["0@2026-01-01T11:59:00Z"]),
            ("2026-01-01T12:00:00Z", &["0@2026-01-01T12:00:00Z"]), // noon has been
            ("2026-01-01T12:01:00Z", &["0@2026-01-01T12:01:00Z"]),
        ],
    );
}

#[test]
fn a_clock_put_right_by_far_starts_over_from_now() {
    check(
        &daily("run_once"),
        "2031-05-05T00:00:00Z",
        &[
            ("2031-05-05T07:00:00Z", &["0@2031-05-05T07:00:00Z"]),
            ("2026-01-01T12:00:00Z", &[]),
            ("2026-01-02T07:00:00Z", &["0@2026-01-02T07:00:00Z"]),
        ],
    );
    let ahead = plan(&daily("skip"), "2031-05-05T00:00:00Z");
    assert!(ahead.is_due(at("2026-01-01T12:00:00Z")), "it wants to be asked");
    assert!(ahead.is_due(at("2031-05-04T00:00:00Z")));
    assert!(!ahead.is_due(at("2031-05-04T23:59:55Z")), "seconds are nothing");
    let shown = ahead.document(at("2026-01-01T12:00:00Z")).to_string();
    assert!(shown.contains(r#""next_runs":["2026-01-02T07:00:00.000Z","#), "{shown}");
}

#[test]
fn a_clock_that_jumps_ahead_is_as_if_it_had_been_off() {
    check(
        &daily("skip"),
        "2026-01-01T00:00:00Z",
        &[
            ("2029-06-01T07:30:00Z", &["-0@2029-06-01T07:00:00Z"]),
            ("2029-06-02T07:00:00Z", &["0@2029-06-02T07:00:00Z"]),
        ],
    );
}

#[test]
fn a_done_that_is_seconds_earlier_changes_nothing() {
    let mut plan = plan(&daily("skip"), "2026-01-02T08:00:00Z");
    let before = plan.clone();
    plan.passed(at("2026-01-02T07:59:56Z"));
    assert_eq!(plan, before);
}

#[test]
fn entries_that_are_off_or_over_wait_for_nothing() {
    let schedule =
        r#"[{"cron":"@hourly","set":{"a":1},"enabled":false},{"cron":"0 0 0 1 1 * 2020","set":{"a":1}}]"#;
    let plan = plan(schedule, "2026-01-01T00:00:00Z");
    assert_eq!(plan.next(), None);
    assert_eq!(plan.due(at("2027-01-01T00:00:00Z")).runs, []);
    assert!(plan.document(at("2026-01-01T00:00:00Z")).to_string().contains(r#""next_runs":[]"#));
}

#[test]
fn entries_are_normalised() {
    let given = r#"[{"cron":"0 7 * * 1-5","set":{"power":"on","level":2.50},"timezone":null,"next_runs":["x"]},
        {"cron":"@daily","timezone":"Europe/Madrid","missed":"run_once","enabled":false,
         "command":{"command_type":"reboot","parameters":{"delay":5},"priority":9,"ttl":"1h","timeout":"30s",
                    "max_attempts":3,"supersedes":"boot"}}]"#;
    let plan = plan(given, "2026-01-01T00:00:00Z");
    let expected = json(
        r#"[{"cron":"0 0 7 * * Mon-Fri","timezone":"UTC","set":{"power":"on","level":2.50},"missed":"skip","enabled":true},
            {"cron":"0 0 0 * * *","timezone":"Europe/Madrid","missed":"run_once","enabled":false,
             "command":{"command_type":"reboot","parameters":{"delay":5},"priority":9,"ttl":"1h","timeout":"30s",
                        "max_attempts":3,"supersedes":"boot"}}]"#,
    );
    assert_eq!(plan.entries().to_string(), expected.to_string());
    let again = CompactSchedule::parse(&plan.entries(), at("2026-01-01T00:00:00Z")).unwrap().unwrap();
    assert_eq!(again, plan);
    let stored: CompactSchedule = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(stored, plan);
}

#[test]
fn gives_the_action_as_it_was_set() {
    let command = r#"[{"cron":"0 7 * * *","command":{"command_type":"reboot","ttl":"1h"}}]"#;
    let due = plan(command, "2026-01-01T00:00:00Z").due(at("2026-01-01T07:00:00Z"));
    let Json::Object(expected) = json(r#"{"command_type":"reboot","ttl":"1h"}"#) else { unreachable!() };
    assert_eq!(due.runs[0].action, ScheduleAction::Command(expected));
    assert_eq!(&*due.runs[0].cron, "0 0 7 * * *");
}

#[test]
fn nothing_is_no_plan() {
    for nothing in ["null", "[]", "{}", r#"{"lunes":[]}"#, r#"{"timezone":"Europe/Madrid"}"#] {
        assert_eq!(CompactSchedule::parse(&json(nothing), at("2026-01-01T00:00:00Z")), Ok(None), "{nothing}");
    }
}

#[test]
fn says_which_field_does_not_fit() {
    let check = |schedule: &str, expected: &str| assert_eq!(refusal(schedule).to_string(), expected);
    let entry = |rest: &str| format!(r#"[{{"cron":"@daily",{rest}}}]"#);
    let command = |rest: &str| entry(&format!(r#""command":{{"command_type":"go",{rest}}}"#));

    check("true", "`schedule`: expected an array of entries or an object of days, found a boolean");
    check("[7]", "`schedule[0]`: expected an object, found a number");
    check(r#"[{"set":{"a":1}}]"#, "`schedule[0].cron`: is needed");
    check(r#"[{"cron":7}]"#, "`schedule[0].cron`: expected a string, found `7`");
    check(&entry(r#""enabled":true"#), "`schedule[0]`: needs exactly one of `set` and `command`");
    check(
        &entry(r#""set":{"a":1},"command":{"command_type":"go"}"#),
        "`schedule[0]`: needs exactly one of `set` and `command`",
    );
    check(&entry(r#""set":{}"#), "`schedule[0].set`: expected an object that is not empty, found an object");
    check(&entry(r#""set":{"a":1},"colour":1"#), "`schedule[0].colour`: there is no such field");
    check(
        &entry(r#""set":{"a":1},"enabled":"yes""#),
        "`schedule[0].enabled`: expected a boolean, found `yes`",
    );
    check(
        &entry(r#""set":{"a":1},"missed":"all""#),
        "`schedule[0].missed`: expected skip or run_once, found `all`",
    );
    check(
        &entry(r#""set":{"a":1},"timezone":"Madrid""#),
        "`schedule[0].timezone`: there is no time zone `Madrid`; names are like Europe/Madrid",
    );
    check(&entry(r#""command":{"ttl":"1h"}"#), "`schedule[0].command.command_type`: is needed");
    check(&command(r#""colour":1"#), "`schedule[0].command.colour`: there is no such field");
    check(
        &command(r#""parameters":[]"#),
        "`schedule[0].command.parameters`: expected an object, found an array",
    );
    check(
        &command(r#""priority":10"#),
        "`schedule[0].command.priority`: expected a whole number from 0 to 9, found 10",
    );
    check(
        &command(r#""ttl":"5""#),
        "`schedule[0].command.ttl`: expected a duration such as 90s, 1h 30m or PT1H30M, or seconds: `5` has no unit: write 5s for seconds, \
         5m for minutes",
    );
    check(
        &command(r#""max_attempts":0"#),
        "`schedule[0].command.max_attempts`: expected a whole number from 1 to 20, found 0",
    );
    let many = vec![switch("@daily", "UTC"); 101].join(",");
    check(&format!("[{many}]"), "`schedule`: 100 entries at most, this has 101");
}

#[test]
fn entries_without_a_zone_are_in_the_one_given() {
    let schedule =
        json(r#"[{"cron":"0 7 * * *","set":{"a":1}},{"cron":"0 7 * * *","timezone":"UTC","set":{"a":1}}]"#);
    let plan =
        CompactSchedule::parse_in(&schedule, "Europe/Madrid", at("2026-01-01T00:00:00Z")).unwrap().unwrap();
    assert_eq!(texts(&plan.entries(), "timezone"), ["Europe/Madrid", "UTC"]);
    assert_eq!(plan.next(), Some(at("2026-01-01T06:00:00Z")));
    let error = CompactSchedule::parse_in(&schedule, "Madrid", at("2026-01-01T00:00:00Z")).unwrap_err();
    assert_eq!(error.field, "timezone");
}

/// 100,000 schedules are to cost less than 200 bytes each.
#[test]
fn a_plan_that_waits_is_small() {
    let typical = format!("[{}]", switch("0 0 7 * * Mon-Fri", "Europe/Madrid"));
    let plan = plan(&typical, "2026-01-01T00:00:00Z");
    let bytes = size_of::<CompactSchedule>() + plan.entries.len();
    assert!(bytes < 200, "{bytes} bytes");
    assert_eq!(size_of::<Option<CompactSchedule>>(), size_of::<CompactSchedule>());
}

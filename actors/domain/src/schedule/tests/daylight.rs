//! The two nights a year on which clocks are changed, with the expected moments written out in UTC.

use super::*;

/// All occurrences after `from` and before `until` are `expected`.
fn check(cron: &str, zone: &str, from: &str, until: &str, expected: &[&str]) {
    let mut plan = plan(&format!("[{}]", switch(cron, zone)), from);
    let mut found = Vec::new();
    while let Some(next) = plan.next().filter(|next| *next < at(until)) {
        found.push(next.to_string().replace(":00.000Z", "Z"));
        plan.passed(next);
    }
    assert_eq!(found, expected, "{cron} in {zone}");
}

// 2026-03-29 01:00 UTC: 02:00 becomes 03:00.
#[test]
fn madrid_in_spring() {
    let check = |cron: &str, expected: &[&str]| {
        check(cron, "Europe/Madrid", "2026-03-28T20:00:00Z", "2026-03-29T06:00:00Z", expected);
    };
    check("0 30 1 * * *", &["2026-03-29T00:30Z"]);
    check("0 0 2 * * *", &["2026-03-29T01:00Z"]);
    check("0 30 2 * * *", &["2026-03-29T01:00Z"]);
    check("0 */10 2 * * *", &["2026-03-29T01:00Z"]); // six fall into the gap: one run
    check("* * 2 * * *", &["2026-03-29T01:00Z"]);
    check("0 30 2,3 * * *", &["2026-03-29T01:00Z", "2026-03-29T01:30Z"]);
    check("0 0 2,3 * * *", &["2026-03-29T01:00Z"]); // 03:00 is the first moment after the gap
    check("0 0 3 * * *", &["2026-03-29T01:00Z"]);
    check("0 30 2 29 3 * 2026", &["2026-03-29T01:00Z"]);
    check(
        "0 30 1-4 * * *",
        &["2026-03-29T00:30Z", "2026-03-29T01:00Z", "2026-03-29T01:30Z", "2026-03-29T02:30Z"],
    );
    check(
        "0 30 * * * *",
        &[
            "2026-03-28T20:30Z",
            "2026-03-28T21:30Z",
            "2026-03-28T22:30Z",
            "2026-03-28T23:30Z",
            "2026-03-29T00:30Z",
            "2026-03-29T01:30Z",
            "2026-03-29T02:30Z",
            "2026-03-29T03:30Z",
            "2026-03-29T04:30Z",
            "2026-03-29T05:30Z",
        ],
    );
    check("0 15 */2 29 3 *", &["2026-03-28T23:15Z", "2026-03-29T02:15Z", "2026-03-29T04:15Z"]); // not 02:15
    check("0 0 0-6/2 * * *", &["2026-03-28T23:00Z", "2026-03-29T02:00Z", "2026-03-29T04:00Z"]);
}

// 2026-10-25 01:00 UTC: 03:00 becomes 02:00.
#[test]
fn madrid_in_autumn() {
    let check = |cron: &str, expected: &[&str]| {
        check(cron, "Europe/Madrid", "2026-10-24T22:00:00Z", "2026-10-25T04:00:00Z", expected);
    };
    check("0 59 1 * * *", &["2026-10-24T23:59Z"]);
    check("0 0 2 * * *", &["2026-10-25T00:00Z"]);
    check("0 30 2 * * *", &["2026-10-25T00:30Z"]);
    check("0 0 3 * * *", &["2026-10-25T02:00Z"]);
    check(
        "0 */30 2,3 * * *",
        &["2026-10-25T00:00Z", "2026-10-25T00:30Z", "2026-10-25T02:00Z", "2026-10-25T02:30Z"],
    );
    check(
        "0 30 * * * *",
        &[
            "2026-10-24T22:30Z",
            "2026-10-24T23:30Z",
            "2026-10-25T00:30Z",
            "2026-10-25T01:30Z",
            "2026-10-25T02:30Z",
            "2026-10-25T03:30Z",
        ],
    );
    // 02:15 comes twice:
    check(
        "0 15 */2 * * *",
        &["2026-10-24T22:15Z", "2026-10-25T00:15Z", "2026-10-25T01:15Z", "2026-10-25T03:15Z"],
    );
}

// 2026-03-08 07:00 UTC: 02:00 becomes 03:00.
#[test]
fn new_york_in_spring() {
    let check = |cron: &str, expected: &[&str]| {
        check(cron, "America/New_York", "2026-03-08T04:00:00Z", "2026-03-08T10:00:00Z", expected);
    };
    check("0 30 1 * * *", &["2026-03-08T06:30Z"]);
    check("0 30 2 * * *", &["2026-03-08T07:00Z"]);
    check("0 0,15,30 2 * * *", &["2026-03-08T07:00Z"]);
    check("0 30 3 * * *", &["2026-03-08T07:30Z"]);
    check(
        "0 0 */1 * * *",
        &[
            "2026-03-08T05:00Z",
            "2026-03-08T06:00Z",
            "2026-03-08T07:00Z",
            "2026-03-08T08:00Z",
            "2026-03-08T09:00Z",
        ],
    );
}

// 2026-11-01 06:00 UTC: 02:00 becomes 01:00.
#[test]
fn new_york_in_autumn() {
    let check = |cron: &str, expected: &[&str]| {
        check(cron, "America/New_York", "2026-11-01T04:10:00Z", "2026-11-01T08:10:00Z", expected);
    };
    check("0 30 1 * * *", &["2026-11-01T05:30Z"]);
    check("0 0 1 * * *", &["2026-11-01T05:00Z"]);
    check("0 0 2 * * *", &["2026-11-01T07:00Z"]);
    check(
        "0 0 * * * *",
        &["2026-11-01T05:00Z", "2026-11-01T06:00Z", "2026-11-01T07:00Z", "2026-11-01T08:00Z"],
    );
    check("0 45 1-23/2 * * *", &["2026-11-01T05:45Z", "2026-11-01T06:45Z"]);
}

// 2026-10-03 15:30 UTC: 02:00 becomes 02:30.
#[test]
fn lord_howe_in_spring() {
    let check = |cron: &str, expected: &[&str]| {
        check(cron, "Australia/Lord_Howe", "2026-10-03T14:15:00Z", "2026-10-03T17:15:00Z", expected);
    };
    check("0 0 2 * * *", &["2026-10-03T15:30Z"]);
    check("0 15 2 * * *", &["2026-10-03T15:30Z"]);
    check("0 45 2 * * *", &["2026-10-03T15:45Z"]);
    check("0 */15 2 * * *", &["2026-10-03T15:30Z", "2026-10-03T15:45Z"]);
    check("0 15 * * * *", &["2026-10-03T14:45Z", "2026-10-03T16:15Z"]);
    check("0 45 * * * *", &["2026-10-03T15:15Z", "2026-10-03T15:45Z", "2026-10-03T16:45Z"]);
}

// 2026-04-04 15:00 UTC: 02:00 becomes 01:30.
#[test]
fn lord_howe_in_autumn() {
    let check = |cron: &str, expected: &[&str]| {
        check(cron, "Australia/Lord_Howe", "2026-04-04T13:50:00Z", "2026-04-04T16:50:00Z", expected);
    };
    check("0 15 1 * * *", &["2026-04-04T14:15Z"]);
    check("0 30 1 * * *", &["2026-04-04T14:30Z"]);
    check("0 45 1 * * *", &["2026-04-04T14:45Z"]);
    check("0 0 2 * * *", &["2026-04-04T15:30Z"]);
    check("0 15 * * * *", &["2026-04-04T14:15Z", "2026-04-04T15:45Z", "2026-04-04T16:45Z"]);
    check("0 45 * * * *", &["2026-04-04T14:45Z", "2026-04-04T15:15Z", "2026-04-04T16:15Z"]);
}

// Samoa had no 30 December 2011: it went from the day's beginning, 10:00 UTC, to the next day's.
#[test]
fn a_day_that_never_was() {
    let check = |cron: &str, expected: &[&str]| {
        check(cron, "Pacific/Apia", "2011-12-30T05:00:00Z", "2011-12-30T14:00:00Z", expected);
    };
    check("0 0 7 * * *", &["2011-12-30T10:00Z"]);
    check("0 0 */4 * * *", &["2011-12-30T06:00Z", "2011-12-30T10:00Z"]);
}

#[test]
fn one_missed_in_the_gap_is_dealt_with_once() {
    let mut plan = plan(&format!("[{}]", switch("0 */10 2 * * *", "Europe/Madrid")), "2026-03-29T00:00:00Z");
    let due = plan.due(at("2026-03-29T01:00:00.050Z"));
    assert_eq!(due.runs.iter().map(|run| run.at).collect::<Vec<_>>(), [at("2026-03-29T01:00:00Z")]);
    plan.passed(due.done);
    assert_eq!(plan.next(), Some(at("2026-03-30T00:00:00Z")));
}

/// Zones keep their rules for as long as expressions go on.
#[test]
fn decades_ahead() {
    check(
        "0 0 12 1 1,7 *",
        "Europe/Madrid",
        "2089-06-01T00:00:00Z",
        "2090-06-01T00:00:00Z",
        &["2089-07-01T10:00Z", "2090-01-01T11:00Z"],
    );
}

//! Properties of any expression, zone and time.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike as _, MappedLocalTime, TimeDelta, TimeZone as _};
use chrono_tz::{GapInfo, Tz};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::schedule::expression::CronExpression;
use crate::schedule::recurrence::Recurrence;

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Madrid",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "America/Havana",
    "Pacific/Apia",
];

/// Nights on which clocks were changed, in UTC, one or more for each zone.
const NIGHTS: [(&str, &str); 11] = [
    ("Europe/Madrid", "2026-03-29T01:00:00Z"),
    ("Europe/Madrid", "2026-10-25T01:00:00Z"),
    ("America/New_York", "2026-03-08T07:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("America/Havana", "2026-03-08T05:00:00Z"), // midnight becomes 01:00
    ("America/Havana", "2026-11-01T05:00:00Z"), // 01:00 becomes midnight
    ("Africa/Casablanca", "2026-02-15T02:00:00Z"),
    ("Africa/Casablanca", "2026-03-22T02:00:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00:00Z"), // a whole day is left out
];

fn recurrence(cron: &str, zone: &str) -> Recurrence {
    Recurrence { expression: CronExpression::parse(cron).unwrap(), zone: zone.parse().unwrap() }
}

/// One field: any, a step, a point, a range or a list.
fn field(low: u32, high: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        1 => (2..=(high - low)).prop_map(|step| format!("*/{step}")),
        3 => (low..=high).prop_map(|point| point.to_string()),
        2 => (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (low..=high, low..=high, 1..=5_u32).prop_map(|(a, b, step)| format!("{}-{}/{step}", a.min(b), a.max(b))),
        2 => (low..=high, low..=high).prop_map(|(a, b)| format!("{a},{b}")),
    ]
}

/// Seconds as they are written, and which they are.
const SECONDS: [(&str, &[u32]); 7] = [
    ("0", &[0]),
    ("30", &[30]),
    ("59", &[59]),
    ("*/20", &[0, 20, 40]),
    ("1,17", &[1, 17]),
    ("50-58/4", &[50, 54, 58]),
    ("10-11", &[10, 11]),
];

/// Days of the month, months and weekdays that are those of the night, in its zone, or lie beside it.
fn days_about(night: (&str, &str)) -> impl Strategy<Value = String> {
    let zone: Tz = night.0.parse().unwrap();
    let local = DateTime::from_timestamp_millis(at(night.1).millis()).unwrap().with_timezone(&zone);
    let (day, month) = (local.day(), local.month());
    let weekday = local.weekday().num_days_from_sunday();
    let (before, after) = (day.max(2) - 1, (day + 1).min(31));
    let days = vec![
        "*".to_owned(),
        day.to_string(),
        before.to_string(),
        after.to_string(),
        format!("{before}-{after}"),
        format!("{before},{after}"),
        "*/2".to_owned(),
    ];
    let months = vec!["*".to_owned(), month.to_string(), format!("1-{month}")];
    let weekdays = vec![
        "*".to_owned(),
        "*".to_owned(),
        weekday.to_string(),
        ((weekday + 6) % 7).to_string(),
        format!("{},{}", weekday, (weekday + 1) % 7),
        "Mon-Fri".to_owned(),
    ];
    (select(days), select(months), select(weekdays))
        .prop_map(|(day, month, weekday)| format!("{day} {month} {weekday}"))
}

/// Is an expression with these hours about elapsed time? All hours, or several of them by a step.
fn is_elapsed(hour: &str) -> bool {
    let (base, step) = hour.split_once('/').unwrap_or((hour, ""));
    let several = base.split_once('-').is_none_or(|(from, to)| {
        let [from, to, step] = [from, to, step].map(|text| text.parse().unwrap_or(0));
        from + step <= to
    });
    hour == "*" || hour.contains('/') && several
}

/// An expression whose days are few enough restricted that it happens.
fn cron() -> impl Strategy<Value = String> {
    (field(0, 59), field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 7)).prop_map(
        |(second, minute, hour, day, month, weekday)| {
            format!("{second} {minute} {hour} {day} {month} {weekday}")
        },
    )
}

/// From 2020 to 2060, to the millisecond.
fn moment() -> impl Strategy<Value = Timestamp> {
    (1_577_836_800_000..2_840_140_800_000_i64).prop_map(Timestamp::from_millis)
}

proptest! {
    #[test]
    fn occurrences_strictly_increase(cron in cron(), zone in select(ZONES.to_vec()), from in moment()) {
        let recurrence = recurrence(&cron, zone);
        let mut last = from;
        for _ in 0..20 {
            let Some(next) = recurrence.after(last) else { break };
            prop_assert!(next > last, "{next} after {last}");
            // Whatever the moment between two, the next is the same.
            prop_assert_eq!(recurrence.after(next.plus_millis(-1)), Some(next));
            last = next;
        }
    }

    #[test]
    fn the_latest_is_the_last_that_comes(cron in cron(), zone in select(ZONES.to_vec()), from in moment(), span in 0..200_000_000_i64) {
        let recurrence = recurrence(&cron, zone);
        let until = from.plus_millis(span);
        let mut last = None;
        let mut at = from;
        for _ in 0..2_000 {
            match recurrence.after(at).filter(|next| *next <= until) {
                Some(next) => { last = Some(next); at = next }
                None => { prop_assert_eq!(recurrence.latest(from, until), last); break }
            }
        }
    }

    #[test]
    fn a_plan_always_waits_for_what_is_to_come(cron in cron(), zone in select(ZONES.to_vec()), set in moment(), passed in moment()) {
        let schedule = json(&format!("[{}]", switch(&cron, zone)));
        let mut plan = CompactSchedule::parse(&schedule, set).unwrap().unwrap();
        prop_assert!(plan.next() > Some(set));
        let again = CompactSchedule::parse(&plan.entries(), set).unwrap().unwrap();
        prop_assert_eq!(&again, &plan);
        let due = plan.due(passed);
        prop_assert!(due.runs.iter().chain(&due.skipped).all(|run| run.at > set && run.at <= passed));
        plan.passed(due.done);
        prop_assert!(plan.next() > Some(due.done));
        prop_assert!(plan.due(passed).runs.is_empty() && !plan.is_due(passed));
    }

    /// Over the nights when clocks are changed, occurrences are as documented: worked out here by trying.
    #[test]
    fn nights_match_their_description(
        second in select(SECONDS.to_vec()),
        minute in field(0, 59),
        hour in field(0, 6),
        wide in any::<bool>(),
        (night, days) in select(NIGHTS.to_vec()).prop_flat_map(|night| (Just(night), days_about(night))),
    ) {
        let hour = if wide && !hour.contains(['-', ',']) { "*".to_owned() } else { hour };
        let cron = format!("{} {minute} {hour} {days}", second.0);
        let recurrence = recurrence(&cron, night.0);
        let change = at(night.1);
        let (from, until) = (change.plus_millis(-4 * 3_600_000), change.plus_millis(5 * 3_600_000));
        let expected = by_the_minute(&recurrence, is_elapsed(&hour), second.1, from, until);
        let mut moment = from;
        while moment < until {
            let next = expected.range(moment.plus_millis(1)..).next().copied();
            let found = recurrence.after(moment).filter(|next| *next <= until);
            prop_assert_eq!(found, next, "{} in {} after {}", &cron, night.0, moment);
            moment = moment.plus_millis(217_311); // never the same place in a minute
        }
    }

    #[test]
    fn no_text_is_too_strange(text in any::<String>()) {
        let _ = CronExpression::parse(&text);
    }

    #[test]
    fn no_cron_like_text_is_too_strange(text in "([-0-9*?/,@LW# MonJa]{0,12} ){0,8}", zone in select(ZONES.to_vec()), from in moment()) {
        if let Ok(expression) = CronExpression::parse(&text) {
            let again = CronExpression::parse(&expression.text).map(|again| again.text);
            prop_assert_eq!(again.as_ref(), Ok(&expression.text));
            let next = Recurrence { expression, zone: zone.parse().unwrap() }.after(from);
            prop_assert!(next.is_none_or(|next| next > from));
        }
    }
}

/// All occurrences after `from` and up to `until`, by trying these seconds of every minute.
fn by_the_minute(
    recurrence: &Recurrence,
    is_elapsed: bool,
    seconds: &[u32],
    from: Timestamp,
    until: Timestamp,
) -> BTreeSet<Timestamp> {
    let utc = |moment: Timestamp| DateTime::from_timestamp_millis(moment.millis()).unwrap();
    let schedule = &recurrence.expression.schedule;
    let zone: Tz = recurrence.zone;
    let mut found = BTreeSet::new();
    let mut minute = utc(from) - TimeDelta::days(2);
    while minute <= utc(until) + TimeDelta::days(2) {
        for second in seconds {
            let moment = minute + TimeDelta::seconds(i64::from(*second));
            if is_elapsed {
                if schedule.includes(moment.with_timezone(&zone).naive_local().and_utc()) {
                    found.insert(moment);
                }
                continue;
            }
            let wall = moment.naive_utc();
            if schedule.includes(wall.and_utc()) {
                found.insert(match zone.from_local_datetime(&wall) {
                    MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => at.to_utc(),
                    MappedLocalTime::None => GapInfo::new(&wall, &zone).unwrap().end.unwrap().to_utc(),
                });
            }
        }
        minute += TimeDelta::minutes(1);
    }
    let found = found.into_iter().map(|at| Timestamp::from_millis(at.timestamp_millis()));
    found.filter(|at| *at > from && *at <= until).collect()
}

#[test]
fn times_at_the_ends_of_the_range() {
    for zone in ZONES {
        for cron in ["* * * * * *", "0 0 7 * * *", "0 0 0 29 2 Mon"] {
            let recurrence = recurrence(cron, zone);
            let earliest = Timestamp::from_millis(i64::MIN);
            let latest = Timestamp::from_millis(i64::MAX);
            assert!(recurrence.after(earliest).is_some());
            assert_eq!(recurrence.after(latest), None);
            assert!(recurrence.latest(earliest, latest).is_some());
        }
    }
}

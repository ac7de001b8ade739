//! Cron expressions: the forms of crontab users, brought into the one form that we keep.

use std::str::FromStr;

use cron::{Schedule, TimeUnitSpec as _};

/// A cron expression that has been read.
#[derive(Clone, Debug)]
pub(super) struct CronExpression {
    /// In six fields (seconds, minutes, hours, days of the month, months, weekdays), or seven where years are given.
    /// Weekdays are names.
    pub text: Box<str>,
    /// The wall times that it matches.
    pub schedule: Schedule,
    /// The expression is about elapsed time, not about times of day: its hours are `*`, all 24, or have a step.
    pub elapsed: bool,
}

/// No expression that means something is longer, in bytes.
const LONGEST: usize = 200;

/// The fields in order, with the bounds of each. The crate `cron` knows no year beyond 2100.
const FIELDS: [(&str, &str); 7] = [
    ("seconds", "0-59"),
    ("minutes", "0-59"),
    ("hours", "0-23"),
    ("days of the month", "1-31"),
    ("months", "1-12 or Jan-Dec"),
    ("weekdays", "Mon-Sun or 0-7, where 0 and 7 are Sunday"),
    ("years", "1970-2100"),
];
const HOURS: usize = 2;
const DAYS: usize = 3;
const WEEKDAYS: usize = 5;
const YEARS: usize = 6;

/// Names for whole expressions, as in crontab.
const SHORTHANDS: [(&str, &str); 7] = [
    ("@hourly", "0 0 * * * *"),
    ("@daily", "0 0 0 * * *"),
    ("@midnight", "0 0 0 * * *"),
    ("@weekly", "0 0 0 * * Sun"),
    ("@monthly", "0 0 0 1 * *"),
    ("@yearly", "0 0 0 1 1 *"),
    ("@annually", "0 0 0 1 1 *"),
];

impl CronExpression {
    /// Reads five fields (as in crontab: the second is 0), six (seconds first), seven (years last), or
    /// a shorthand such as `@daily`.
    ///
    /// Weekdays are names or, however many fields there are, crontab's numbers: 0 and 7 are Sunday, 1 is Monday. Where
    /// both days of the month and weekdays are given, a day must be both (crontab would take either): `0 0 9 1-7 * Mon`
    /// is the month's first Monday.
    ///
    /// The error is a sentence for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("longer than {LONGEST} bytes"));
        }
        let shorthand = SHORTHANDS.iter().find(|(name, _)| text.trim().eq_ignore_ascii_case(name));
        let text = shorthand.map_or(text, |(_, fields)| fields);
        let mut fields: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        match fields.len() {
            5 => fields.insert(0, "0".into()),
            6 | 7 => {}
            count => {
                return Err(format!("expected five to seven fields or a name like @daily, found {count}"));
            }
        }
        for (index, field) in fields.iter_mut().enumerate() {
            *field = normalise(index, field).ok_or_else(|| does_not_fit(index, field))?;
        }
        if fields.get(YEARS).is_some_and(|years| years == "*") {
            fields.truncate(YEARS);
        }
        let text = fields.join(" ");
        let schedule = Schedule::from_str(&text).map_err(|_| find_fault(&fields))?;
        if schedule.after(&chrono::DateTime::UNIX_EPOCH).next().is_none() {
            return Err("never happens".into());
        }
        let hours = schedule.hours();
        let elapsed = hours.is_all() || (fields[HOURS].contains('/') && hours.count() > 1);
        Ok(Self { text: text.into(), schedule, elapsed })
    }
}

/// One field as we keep it; none where it has not the shape of one. The crate would read `**` as two.
fn normalise(index: usize, field: &str) -> Option<String> {
    if !field.split(',').all(is_well_formed) {
        return None;
    }
    match (index, field) {
        (WEEKDAYS, _) => weekdays(field),
        (DAYS, "?") => Some("*".into()), // elsewhere the crate refuses it
        _ => Some(field.to_owned()),
    }
}

/// Finds the field that the crate refuses; its own message is a drawing of its parser's position.
fn find_fault(fields: &[String]) -> String {
    for (index, field) in fields.iter().enumerate() {
        let mut alone = ["*"; FIELDS.len()];
        alone[index] = field;
        if Schedule::from_str(&alone.join(" ")).is_err() {
            return does_not_fit(index, field);
        }
    }
    "is no cron expression".into()
}

fn does_not_fit(index: usize, field: &str) -> String {
    let (name, allowed) = FIELDS[index];
    format!("`{field}` does not name {name} ({allowed})")
}

/// `*`, `5`, `Mon`, `1-5`, `Mon-Fri`, each perhaps with a step: `*/5`.
fn is_well_formed(item: &str) -> bool {
    let is_word = |text: &str| {
        let bytes = text.as_bytes();
        !bytes.is_empty()
            && (bytes.iter().all(u8::is_ascii_digit) || bytes.iter().all(u8::is_ascii_alphabetic))
    };
    let (base, step) = item.split_once('/').map_or((item, "1"), |(base, step)| (base, step));
    let is_number = step.bytes().all(|byte| byte.is_ascii_digit());
    is_number
        && is_word(step)
        && (base == "*"
            || base == "?"
            || base.split_once('-').map_or_else(|| is_word(base), |(from, to)| is_word(from) && is_word(to)))
}

/// Weekdays as names, Monday first. A range may go over the end of the week: `Fri-Mon`.
fn weekdays(field: &str) -> Option<String> {
    let mut chosen = [false; 7]; // Sunday is 0
    for item in field.split(',') {
        let (base, step) = item.split_once('/').map_or((item, None), |(base, step)| (base, Some(step)));
        let (first, last) = match base.split_once('-') {
            Some((from, to)) => (weekday(from)?, weekday(to)?),
            None if base == "*" || base == "?" => (0, 6),
            None if step.is_some() => (weekday(base)? % 7, 6),
            None => (weekday(base)?, weekday(base)?),
        };
        let last = if last < first { last + 7 } else { last };
        let step = step.map_or(Some(1), |step| step.parse().ok().filter(|step| (1..=7).contains(step)))?;
        for day in (first..=last).step_by(step) {
            chosen[day % 7] = true;
        }
    }
    Some(name_weekdays(&chosen))
}

/// The day's number in crontab, 0 to 7, from a number or an English name of three letters or more.
fn weekday(text: &str) -> Option<usize> {
    const NAMES: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
    if let Ok(number) = text.parse() {
        return (number <= 7).then_some(number);
    }
    let text = text.to_ascii_lowercase();
    (text.len() >= 3).then(|| NAMES.iter().position(|name| name.starts_with(&text))).flatten()
}

/// `Mon-Fri`, `Sat,Sun`, `*`. A range never ends in Sunday: the crate's week begins with it.
fn name_weekdays(chosen: &[bool; 7]) -> String {
    const WEEK: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    if chosen.iter().all(|chosen| *chosen) {
        return "*".into();
    }
    let is_on = |day: usize| chosen[(day + 1) % 7];
    let mut names = Vec::new();
    let mut day = 0;
    while day < WEEK.len() {
        let end = (day..6).find(|day| !is_on(*day)).unwrap_or(6);
        if end >= day + 3 {
            names.push(format!("{}-{}", WEEK[day], WEEK[end - 1]));
            day = end;
            continue;
        }
        if is_on(day) {
            names.push(WEEK[day].to_owned());
        }
        day += 1;
    }
    names.join(",")
}

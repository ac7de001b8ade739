//! The weekly timetable by days, which people write in Spanish or English: `{"lunes": [["07:00", true], ["22:30", false]]}`.

use super::BadSchedule;
use crate::json::{Json, Object};

/// The days' names as they are compared: lower case, without accents. With what cron calls the day.
const DAYS: [(&str, &[&str]); 7] = [
    ("Mon", &["lunes", "monday", "mon"]),
    ("Tue", &["martes", "tuesday", "tue"]),
    ("Wed", &["miercoles", "wednesday", "wed"]),
    ("Thu", &["jueves", "thursday", "thu"]),
    ("Fri", &["viernes", "friday", "fri"]),
    ("Sat", &["sabado", "saturday", "sat"]),
    ("Sun", &["domingo", "sunday", "sun"]),
];

/// The keys that name the time zone, in both languages.
const ZONE_KEYS: [&str; 2] = ["timezone", "zona_horaria"];

/// A timetable's rows as entries, Monday's first, each with where it stands: `schedule.lunes[0]`.
///
/// Days map to lists of `[time, value]`, where time is `HH:MM` or `HH:MM:SS`, and value is true,
/// false, `"on"` or `"off"`: it becomes `power`. `timezone` or `zona_horaria` says where, else it is
/// left to the entries' default.
///
/// # Errors
/// Names the key or row that is not like that.
pub(super) fn entries(timetable: &Object) -> Result<Vec<(String, Json)>, BadSchedule> {
    let zone = zone(timetable)?;
    let mut week: [Vec<(String, Json)>; 7] = Default::default();
    for (key, rows) in timetable.iter() {
        if ZONE_KEYS.contains(&key) || *rows == Json::Null {
            continue;
        }
        let field = format!("schedule.{key}");
        let Some(day) = weekday(key) else {
            return Err(BadSchedule::new(field, "is no day of the week, such as lunes or monday"));
        };
        let Json::Array(rows) = rows else {
            let detail = format!("expected a list like [[\"07:00\", true]], found {}", rows.kind());
            return Err(BadSchedule::new(field, detail));
        };
        for (index, row) in rows.iter().enumerate() {
            let field = format!("{field}[{index}]");
            let entry = entry(DAYS[day].0, row, zone).ok_or_else(|| {
                BadSchedule::new(&field, format!("expected [\"HH:MM\", true or false], found {row}"))
            })?;
            week[day].push((field, entry));
        }
    }
    Ok(week.into_iter().flatten().collect())
}

/// The day of the week of this name, from 0 for Monday.
#[must_use]
pub fn weekday(name: &str) -> Option<usize> {
    let name = fold(name);
    DAYS.iter().position(|(_, names)| names.contains(&&*name))
}

fn zone(timetable: &Object) -> Result<Option<&Json>, BadSchedule> {
    for key in ZONE_KEYS {
        match timetable.get(key) {
            None | Some(Json::Null) => {}
            Some(zone) => {
                super::entry::zone(zone, &format!("schedule.{key}"))?;
                return Ok(Some(zone));
            }
        }
    }
    Ok(None)
}

/// `["07:00", true]` on `Mon`: `{"cron": "0 0 7 * * Mon", "set": {"power": "on"}}`.
fn entry(day: &str, row: &Json, zone: Option<&Json>) -> Option<Json> {
    let Json::Array(row) = row else { return None };
    let [time, value] = &**row else { return None };
    let (hour, minute, second) = time_of_day(time.as_str()?)?;
    let power = match value {
        Json::Bool(true) => "on",
        Json::Bool(false) => "off",
        Json::String(word) if word.eq_ignore_ascii_case("on") => "on",
        Json::String(word) if word.eq_ignore_ascii_case("off") => "off",
        _ => return None,
    };
    let set: Object = [("power", Json::from(power))].into_iter().collect();
    let mut entry: Object =
        [("cron", Json::from(format!("{second} {minute} {hour} * * {day}"))), ("set", set.into())]
            .into_iter()
            .collect();
    if let Some(zone) = zone {
        entry.insert("timezone", zone.clone());
    }
    Some(entry.into())
}

/// Hour, minute and second of `07:00`, `7:00` or `07:00:30`.
fn time_of_day(text: &str) -> Option<(u8, u8, u8)> {
    let mut parts = text.trim().split(':').map(|part| {
        let digits = (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse::<u8>().ok()).flatten()
    });
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    (parts.next().is_none() && hour < 24 && minute < 60 && second < 60).then_some((hour, minute, second))
}

/// Lower case without accents, whether these are letters of their own or combined.
fn fold(name: &str) -> String {
    const COMBINING_ACUTE: char = '\u{301}';
    name.trim()
        .to_lowercase()
        .chars()
        .filter(|letter| *letter != COMBINING_ACUTE)
        .map(|letter| match letter {
            'á' => 'a',
            'é' => 'e',
            other => other,
        })
        .collect()
}

//! The forms in which `horarios` come, brought into the one that schedules are read from. Beside
//! `{"lunes": [["07:00", true], ["22:30", false]]}` there are windows, by day or in a list:
//!
//! ```json
//! {"lunes": [{"inicio": "07:00", "fin": "22:30"}]}
//! [{"dias": ["lunes", "martes"], "inicio": "22:00", "fin": "06:00"}, {"dias": "todos", "inicio": "12:00", "fin": "13:00"}]
//! ```

use twinhub_domain::schedule::weekday;
use twinhub_domain::{Json, Object};

/// The names of the days in the timetable that comes out, Monday first.
const WEEK: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Rows of a timetable, by day.
type TimetableRows = [Vec<Json>; 7];

/// The timetable that a schedule is read from. A value of none of the forms is left as it is: the schedule's reader
/// reports what is wrong with it.
pub(super) fn timetable(horarios: &Json) -> Json {
    let brought = match horarios {
        Json::Array(windows) => of_list(windows),
        Json::Object(days) => of_days(days),
        _ => None,
    };
    brought.unwrap_or_else(|| horarios.clone())
}

fn of_list(windows: &[Json]) -> Option<Json> {
    let mut rows = TimetableRows::default();
    for window in windows {
        let window = window.as_object()?;
        for day in days(window.get("dias").or_else(|| window.get("days")))? {
            add(&mut rows, day, window)?;
        }
    }
    let week = WEEK.iter().zip(rows).filter(|(_, rows)| !rows.is_empty());
    Some(Json::Object(week.map(|(day, rows)| (*day, Json::Array(rows.into()))).collect()))
}

/// None where no day has a window: then there is nothing to bring into another form.
fn of_days(timetable: &Object) -> Option<Json> {
    let is_window = |row: &Json| matches!(row, Json::Object(_));
    let has_windows = |(_, rows): (&str, &Json)| match rows {
        Json::Array(rows) => rows.iter().any(is_window),
        _ => false,
    };
    if !timetable.iter().any(has_windows) {
        return None;
    }
    let mut rows = TimetableRows::default();
    let mut others = Object::default();
    for (name, said) in timetable.iter() {
        match (weekday(name), said) {
            (Some(day), Json::Array(said)) => {
                for row in said {
                    match row.as_object() {
                        Some(window) => add(&mut rows, day, window)?,
                        None => rows[day].push(row.clone()),
                    }
                }
            }
            _ => {
                others.insert(name, said.clone());
            }
        }
    }
    for (day, rows) in WEEK.iter().zip(rows) {
        others.insert(*day, Json::Array(rows.into()));
    }
    Some(others.into())
}

/// On at the window's beginning and off at its end, which is on the day after where it is not later.
fn add(rows: &mut TimetableRows, day: usize, window: &Object) -> Option<()> {
    let time = |one: &str, other: &str| window.get(one).or_else(|| window.get(other));
    let (from, to) = (time("inicio", "start")?, time("fin", "end")?);
    let (begins, ends) = (minutes(from)?, minutes(to)?);
    if begins == ends {
        return None; // all day or never: nobody can tell
    }
    let last = if ends < begins { (day + 1) % WEEK.len() } else { day };
    rows[day].push(Json::Array(Box::new([from.clone(), true.into()])));
    rows[last].push(Json::Array(Box::new([to.clone(), false.into()])));
    Some(())
}

fn minutes(time: &Json) -> Option<u32> {
    let (hour, rest) = time.as_str()?.trim().split_once(':')?;
    let minute = rest.split(':').next()?;
    let (hour, minute) = (hour.parse::<u8>().ok()?, minute.parse::<u8>().ok()?);
    (hour < 24 && minute < 60).then(|| u32::from(hour) * 60 + u32::from(minute))
}

/// The days that a window is for: all of them where it names none.
fn days(named: Option<&Json>) -> Option<Vec<usize>> {
    let all = || (0..WEEK.len()).collect();
    let is_all = |name: &str| matches!(name.trim().to_lowercase().as_str(), "todos" | "all");
    match named {
        None | Some(Json::Null) => Some(all()),
        Some(Json::String(name)) if is_all(name) => Some(all()),
        Some(Json::String(name)) => Some(vec![weekday(name)?]),
        Some(Json::Array(names)) if names.iter().any(|name| name.as_str().is_some_and(is_all)) => Some(all()),
        Some(Json::Array(names)) => names.iter().map(|name| weekday(name.as_str()?)).collect(),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(horarios: &str, expected: &str) {
        assert_eq!(timetable(&horarios.parse().unwrap()).to_string(), expected, "{horarios}");
    }

    fn stays(horarios: &str) {
        check(horarios, horarios);
    }

    #[test]
    fn windows_become_rows() {
        check(
            r#"{"lunes":[{"inicio":"07:00","fin":"22:30"}],"zona_horaria":"Europe/Madrid"}"#,
            r#"{"friday":[],"monday":[["07:00",true],["22:30",false]],"saturday":[],"sunday":[],"thursday":[],"tuesday":[],"wednesday":[],"zona_horaria":"Europe/Madrid"}"#,
        );
        check(
            r#"[{"dias":["domingo"],"inicio":"22:00","fin":"06:00"}]"#,
            r#"{"monday":[["06:00",false]],"sunday":[["22:00",true]]}"#,
        );
        check(
            r#"[{"dias":["Miércoles","sat"],"start":"8:00","end":"9:30"}]"#,
            r#"{"saturday":[["8:00",true],["9:30",false]],"wednesday":[["8:00",true],["9:30",false]]}"#,
        );
        for all in [r#"{"inicio":"1:00","fin":"2:00"}"#, r#"{"dias":"todos","inicio":"1:00","fin":"2:00"}"#] {
            let week = timetable(&format!("[{all}]").parse().unwrap());
            assert_eq!(week.as_object().unwrap().len(), 7, "{all}");
        }
    }

    #[test]
    fn what_is_no_window_stays() {
        stays(r#"{"lunes":[["07:00",true],["22:30",false]]}"#);
        stays(r#"[{"cron":"0 7 * * *","set":{"power":"on"}}]"#);
        stays(r#"[{"dias":["lunes"],"inicio":"07:00"}]"#);
        stays(r#"[{"dias":["hoy"],"fin":"22:00","inicio":"07:00"}]"#);
        stays(r#"[{"dias":["lunes"],"fin":"07:00","inicio":"07:00"}]"#);
        stays(r#"[{"dias":["lunes"],"fin":"99999999999:00","inicio":"07:00"}]"#);
        stays(r#"{"lunes":[{"fin":"7","inicio":"25:00"}]}"#);
        stays("7");
        stays("null");
    }
}

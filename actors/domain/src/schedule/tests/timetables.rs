//! Timetables by days.

use super::*;

#[test]
fn days_in_both_languages_with_and_without_accents() {
    let check = |name: &str, day: &str| {
        let plan = plan(&format!(r#"{{"{name}":[["07:00",true]]}}"#), "2026-01-01T00:00:00Z");
        assert_eq!(texts(&plan.entries(), "cron"), [format!("0 0 7 * * {day}")], "{name}");
    };
    let days = [
        ("Mon", ["lunes", "Monday", "mon"]),
        ("Tue", ["MARTES", "tuesday", "Tue"]),
        ("Wed", ["miércoles", "Wednesday", "wed"]),
        ("Thu", ["jueves", "Thursday", "THU"]),
        ("Fri", ["viernes", "friday", "fri"]),
        ("Sat", ["sábado", "Saturday", "sat"]),
        ("Sun", ["Domingo", "sunday", "sun"]),
    ];
    for (day, names) in days {
        for name in names {
            check(name, day);
        }
    }
    check("miercoles", "Wed");
    check("MIÉRCOLES", "Wed");
    check("sabado", "Sat");
    check("sa\u{301}bado", "Sat");
}

#[test]
fn rows_become_entries_in_the_order_of_the_week() {
    let timetable = r#"{"monday":[["7:05","off"]],"domingo":[["23:59:58",false]],"zona_horaria":"Europe/Madrid",
                        "lunes":[["07:00",true],["22:30","ON"]]}"#;
    let plan = plan(timetable, "2026-01-01T00:00:00Z");
    let crons = ["0 0 7 * * Mon", "0 30 22 * * Mon", "0 5 7 * * Mon", "58 59 23 * * Sun"];
    assert_eq!(texts(&plan.entries(), "cron"), crons);
    assert_eq!(texts(&plan.entries(), "timezone"), ["Europe/Madrid"; 4]);
    let Json::Array(entries) = plan.entries() else { unreachable!() };
    let powers: Vec<_> =
        entries.iter().map(|entry| entry.as_object().unwrap().get("set").unwrap().to_string()).collect();
    assert_eq!(
        powers,
        [r#"{"power":"on"}"#, r#"{"power":"on"}"#, r#"{"power":"off"}"#, r#"{"power":"off"}"#]
    );
    assert_eq!(plan.next(), Some(at("2026-01-04T22:59:58Z")));
}

#[test]
fn takes_the_zone_given_where_it_names_none() {
    let timetable = json(r#"{"lunes":[["07:00",true]]}"#);
    let plan =
        CompactSchedule::parse_in(&timetable, "America/Bogota", at("2026-01-01T00:00:00Z")).unwrap().unwrap();
    assert_eq!(texts(&plan.entries(), "timezone"), ["America/Bogota"]);
}

#[test]
fn says_which_row_does_not_fit() {
    let check = |timetable: &str, expected: &str| assert_eq!(refusal(timetable).to_string(), expected);
    check(r#"{"lundi":[]}"#, "`schedule.lundi`: is no day of the week, such as lunes or monday");
    check(r#"{"lunes":true}"#, "`schedule.lunes`: expected a list like [[\"07:00\", true]], found a boolean");
    check(
        r#"{"timezone":"Madrid"}"#,
        "`schedule.timezone`: there is no time zone `Madrid`; names are like Europe/Madrid",
    );
    for row in [
        r#"["24:00",true]"#,
        r#"["07:60",true]"#,
        r#"["07",true]"#,
        r#"["07:00:00:00",true]"#,
        r#"["+7:00",true]"#,
        r#"["07:00"]"#,
        r#"["07:00",1]"#,
        r#"[7,true]"#,
        r#""07:00""#,
    ] {
        let expected = format!("`schedule.lunes[1]`: expected [\"HH:MM\", true or false], found {row}");
        check(&format!(r#"{{"lunes":[["07:00",true],{row}]}}"#), &expected);
    }
}

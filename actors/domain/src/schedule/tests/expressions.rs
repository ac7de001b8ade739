//! Cron expressions: the accepted texts, and their stored forms.

use super::*;
use crate::schedule::expression::CronExpression;

fn check(text: &str, expected: &str) {
    let read = CronExpression::parse(text).map(|expression| expression.text);
    assert_eq!(read.as_deref().map_err(String::as_str), Ok(expected), "{text}");
    let again = CronExpression::parse(expected).map(|expression| expression.text);
    assert_eq!(again.as_deref().map_err(String::as_str), Ok(expected), "{expected}");
}

fn check_refused(text: &str, detail: &str) {
    let error = CronExpression::parse(text).map(|expression| expression.text).unwrap_err();
    assert!(error.contains(detail), "{text}: {error}");
}

#[test]
fn five_six_and_seven_fields() {
    check("30 7 * * *", "0 30 7 * * *");
    check("15 30 7 * * *", "15 30 7 * * *");
    check("15 30 7 * * * 2027", "15 30 7 * * * 2027");
    check("15 30 7 * * * *", "15 30 7 * * *");
    check("  0  0 7\t1 Jan-Mar ? ", "0 0 7 1 Jan-Mar *");
    check("*/10 * ? * *", "0 */10 * * * *");
    check("0 0 29 2 *", "0 0 0 29 2 *");
    check("0 0 0 1 1 * 2020", "0 0 0 1 1 * 2020"); // over, but it could happen
}

#[test]
fn shorthands() {
    check("@hourly", "0 0 * * * *");
    check("@daily", "0 0 0 * * *");
    check(" @Weekly ", "0 0 0 * * Sun");
    check("@monthly", "0 0 0 1 * *");
    check("@yearly", "0 0 0 1 1 *");
    check_refused("@reboot", "found 1");
}

#[test]
fn weekdays_by_name_and_by_crontab_number() {
    check("0 7 * * 1-5", "0 0 7 * * Mon-Fri");
    check("0 0 7 * * 1-5", "0 0 7 * * Mon-Fri");
    check("0 0 7 * * 0", "0 0 7 * * Sun");
    check("0 0 7 * * 7", "0 0 7 * * Sun");
    check("0 0 7 * * 6,0", "0 0 7 * * Sat,Sun");
    check("0 0 7 * * 5-7", "0 0 7 * * Fri,Sat,Sun");
    check("0 0 7 * * 0-6", "0 0 7 * * *");
    check("0 0 7 * * 0-7", "0 0 7 * * *");
    check("0 0 7 * * 0-5", "0 0 7 * * Mon-Fri,Sun");
    check("0 0 7 * * */2", "0 0 7 * * Tue,Thu,Sat,Sun");
    check("0 0 7 * * 1-5/2", "0 0 7 * * Mon,Wed,Fri");
    check("0 0 7 * * monday,THURS", "0 0 7 * * Mon,Thu");
    check("0 0 7 * * Fri-Mon", "0 0 7 * * Mon,Fri,Sat,Sun");
    check("0 0 7 * * Mon-Sun", "0 0 7 * * *");
    check("0 0 7 * * 2-6", "0 0 7 * * Tue-Sat");
    for wrong in
        ["8", "Mo", "Funday", "1-", "1-8", "*/0", "*/8", "1/2/3", "L", "5#2", "", "99999999999999999999999"]
    {
        check_refused(&format!("0 0 7 * * {wrong},1"), "weekdays");
    }
}

#[test]
fn says_what_is_wrong() {
    check_refused("0 60 7 * * *", "`60` does not name minutes (0-59)");
    check_refused("0 0 24 * * *", "`24` does not name hours (0-23)");
    check_refused("0 0 7 0 * *", "`0` does not name days of the month (1-31)");
    check_refused("0 0 7 * 13 *", "`13` does not name months");
    check_refused("0 0 7 * * * 1969", "`1969` does not name years");
    check_refused("? 0 7 * * *", "seconds");
    check_refused("0 0 7 ** *", "`**` does not name months"); // the crate would take it for two fields
    check_refused("0 0 -7 * * *", "hours");
    check_refused("0 0 7 * *ñ *", "months");
    check_refused("0 0 7", "expected five to seven fields");
    check_refused("", "found 0");
    check_refused(&"1,".repeat(200), "longer than 200 bytes");
}

#[test]
fn what_cannot_be_is_refused() {
    for never in ["0 0 0 30 2 *", "0 0 30 2 *", "0 0 0 31 4,6,9,11 *", "0 0 0 29 2 * 2027", "0 0 0 31 2 Mon"]
    {
        check_refused(never, "never happens");
    }
    let refusal = refusal(&format!("[{},{}]", switch("@daily", "UTC"), switch("0 0 0 30 2 *", "UTC")));
    assert_eq!(refusal.to_string(), "`schedule[1].cron`: never happens");
}

#[test]
fn elapsed_time_or_time_of_day() {
    let check = |hours: &str, elapsed: bool| {
        let expression = CronExpression::parse(&format!("0 0 {hours} * * *")).unwrap();
        assert_eq!(expression.elapsed, elapsed, "{hours}");
    };
    for hours in ["*", "*/2", "*/23", "0-23", "1-23/2", "8-18/5", "3/4"] {
        check(hours, true);
    }
    for hours in ["7", "0-22", "2,3", "2/23", "2-3/4", "23/1"] {
        check(hours, false);
    }
}

#[test]
fn days_of_the_month_and_weekdays_are_both_meant() {
    let plan = plan(&format!("[{}]", switch("0 9 1-7 * Mon", "UTC")), "2026-01-01T00:00:00Z");
    let Json::Array(entries) = plan.document(at("2026-01-01T00:00:00Z")) else { unreachable!() };
    let runs = entries[0].as_object().unwrap().get("next_runs").unwrap();
    let first_mondays =
        r#"["2026-01-05T09:00:00.000Z","2026-02-02T09:00:00.000Z","2026-03-02T09:00:00.000Z"]"#;
    assert_eq!(runs.to_string(), first_mondays);
}

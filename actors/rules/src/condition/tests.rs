use chrono_tz::Europe::Berlin;

use super::*;
use crate::Expression;
use crate::expression::Twins;
use twinhub_domain::{Object, Twin};

struct NoDevices;

impl Twins for NoDevices {
    fn twin(&self, _id: &str) -> Option<&Twin> {
        None
    }
}

fn seen(condition: &Condition, at: &str) -> ConditionSeen {
    let trigger: Object = [("value", 5_i64.into())].into_iter().collect();
    let now = Timestamp::parse(at).unwrap();
    condition.evaluate(&EvaluationScope { twins: &NoDevices, now, trigger: &trigger, device: None })
}

fn time(after: &str, before: &str, weekdays: &[Weekday]) -> Condition {
    let read = |text: &str| {
        let (hours, minutes) = text.split_once(':')?;
        Some(TimeOfDay(hours.parse::<u32>().unwrap() * 3_600 + minutes.parse::<u32>().unwrap() * 60))
    };
    Condition::Time { after: read(after), before: read(before), weekdays: weekdays.to_vec(), zone: Berlin }
}

fn expression(text: &str) -> Condition {
    Condition::Expression(Expression::compile(text).unwrap())
}

#[test]
fn times_of_day() {
    use Weekday::{Fri, Mon, Sat, Sun};
    let check = |after: &str, before: &str, days: &[Weekday], at: &str, expected: bool| {
        let found = seen(&time(after, before, days), at);
        assert_eq!(found.holds, Some(expected), "{} at {at}: {:?}", found.text, found.terms);
    };
    // In winter Berlin is an hour ahead. 2026-01-16 is a Friday.
    check("08:00", "17:00", &[], "2026-01-16T07:00:00Z", true);
    check("08:00", "17:00", &[], "2026-01-16T06:59:59Z", false);
    check("08:00", "17:00", &[], "2026-01-16T16:00:00Z", false);
    check("08:00", "", &[], "2026-01-16T22:59:59Z", true);
    check("", "08:00", &[], "2026-01-16T22:59:59Z", false);
    check("", "", &[Fri], "2026-01-16T22:59:59Z", true);
    check("", "", &[Fri], "2026-01-16T23:00:00Z", false); // Saturday in Berlin
    check("08:00", "08:00", &[], "2026-01-16T07:00:00Z", false);
    // Over midnight: the day is that on which it began.
    check("22:00", "06:00", &[], "2026-01-16T21:00:00Z", true);
    check("22:00", "06:00", &[], "2026-01-17T04:59:59Z", true);
    check("22:00", "06:00", &[], "2026-01-17T05:00:00Z", false);
    check("22:00", "06:00", &[Fri], "2026-01-16T21:00:00Z", true);
    check("22:00", "06:00", &[Fri], "2026-01-17T03:00:00Z", true);
    check("22:00", "06:00", &[Sat], "2026-01-17T03:00:00Z", false);
    check("22:00", "06:00", &[Fri], "2026-01-16T03:00:00Z", false); // Thursday's night
    check("22:00", "06:00", &[Sun], "2026-01-19T03:00:00Z", true);
    check("22:00", "06:00", &[Mon], "2026-01-19T03:00:00Z", false);
    // Spring: at 02:00 it is 03:00 (01:00Z); autumn: 02:30 comes twice.
    check("02:00", "03:00", &[], "2026-03-29T00:59:59Z", false);
    check("02:00", "03:00", &[], "2026-03-29T01:00:00Z", false);
    check("01:30", "03:30", &[], "2026-03-29T01:00:00Z", true);
    check("02:00", "03:00", &[], "2026-10-25T00:30:00Z", true);
    check("02:00", "03:00", &[], "2026-10-25T01:30:00Z", true);
    check("02:00", "03:00", &[], "2026-10-25T02:00:00Z", false);
    // Summer time: two hours ahead.
    check("08:00", "17:00", &[], "2026-07-01T06:00:00Z", true);
}

#[test]
fn says_what_was_seen() {
    let condition = Condition::All(vec![
        Condition::Any(vec![expression("trigger.value > 9"), expression("trigger.value == 5")]),
        Condition::Not(Box::new(expression("nobody.x"))),
        time("22:00", "06:00", &[Weekday::Fri]),
    ]);
    let found = seen(&condition, "2026-01-16T12:00:00Z");
    assert_eq!(
        &*found.text,
        "all: [any: [trigger.value > 9, trigger.value == 5], not: nobody.x, \
         time after 22:00 before 06:00 on Fri (Europe/Berlin)]"
    );
    assert_eq!(found.holds, Some(false)); // unknown and false is false
    let terms: Vec<_> = found.terms.iter().map(|term| (&*term.text, term.holds)).collect();
    assert_eq!(
        terms,
        [
            ("trigger.value > 9", Some(false)),
            ("trigger.value == 5", Some(true)),
            ("nobody.x", None),
            ("time after 22:00 before 06:00 on Fri (Europe/Berlin)", Some(false)),
        ]
    );
    assert_eq!(found.terms[3].values.get("time"), Some(&"13:00:00".into()));
    let unknown = Condition::All(vec![expression("nobody.x"), expression("true")]);
    assert_eq!(seen(&unknown, "2026-01-16T12:00:00Z").holds, None);
    assert_eq!(condition.dependencies().len(), 1);
}

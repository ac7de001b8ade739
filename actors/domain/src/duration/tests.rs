use proptest::prelude::*;

use super::*;

#[track_caller]
fn reads(text: &str, expected: i64) {
    assert_eq!(duration_ms(text), Ok(expected), "{text}");
}

#[test]
fn reads_durations() {
    reads("500ms", 500);
    reads("90s", 90_000);
    reads("5m", 300_000);
    reads("7d", 604_800_000);
    reads("2w", 1_209_600_000);
    reads("1h 30m", 5_400_000);
    reads("1h30m", 5_400_000);
    reads(" 1h  30m ", 5_400_000);
    reads("5 minutes", 300_000);
    reads("2min 1 sec", 121_000);
    reads("1day", DAY_MS);
    reads("1week 1hr", 7 * DAY_MS + HOUR_MS);
    reads("1.5h", 5_400_000);
    reads("0.5s", 500);
    reads("0s", 0);
    reads("0", 0);
    reads("PT1H30M", 5_400_000);
    reads("PT90S", 90_000);
    reads("PT0.5S", 500);
    reads("P1DT2H", 26 * HOUR_MS);
    reads("P2W", 14 * DAY_MS);
    reads("P0D", 0);
}

#[test]
fn reads_the_forms_of_rule_files() {
    let check = |text: &str, expected: i64| assert_eq!(file_duration_ms(text), Ok(expected), "{text}");
    check("00:05:00", 300_000);
    check("0:00:01.500", 1_500);
    check("100:00:00", 100 * HOUR_MS);
    check("300", 300_000);
    check("0", 0);
    check("1.5", 1_500);
    check("1h 30m", 5_400_000);
    check("PT5M", 300_000);
    let refused = |text: &str, expected: &str| {
        assert_eq!(file_duration_ms(text).unwrap_err().to_string(), expected, "{text}");
    };
    for wrong in ["00:05", "00:60:00", "00:00:60", "00:00:00:00", "00:-1:00", "1.5:00:00", "a:b:c", "::"] {
        refused(wrong, &format!("`{wrong}` is no HH:MM:SS: write 00:05:00 for five minutes"));
    }
    refused("00:00:00.0005", "`00.0005s` is finer than a millisecond: write 1ms or more");
}

#[test]
fn says_what_is_wrong() {
    let refused = |text: &str, expected: &str| {
        assert_eq!(duration_ms(text).unwrap_err().to_string(), expected, "{text}");
    };
    refused("", "it is empty: write a number and its unit, as 5m");
    refused(" ", "it is empty: write a number and its unit, as 5m");
    refused("5", "`5` has no unit: write 5s for seconds, 5m for minutes");
    refused("1h 30", "`30` has no unit: write 30s for seconds, 30m for minutes");
    refused("soon", "`soon` is no number with its unit, as 90s, 1h 30m or PT1H30M");
    refused("m", "`m` is no number with its unit, as 90s, 1h 30m or PT1H30M");
    refused("00:05:00", "`00:05:00` is no number with its unit, as 90s, 1h 30m or PT1H30M");
    refused("5x", "`x` is no unit: ms, s, m, h, d and w are, as in 1h 30m");
    refused("5us", "`5us` is finer than a millisecond: write 1ms or more");
    refused("5 ns", "`5ns` is finer than a millisecond: write 1ms or more");
    refused("0.5ms", "`0.5ms` is finer than a millisecond: write 1ms or more");
    refused(
        "0.00000000000000000000001s",
        "`0.00000000000000000000001s` is finer than a millisecond: write 1ms or more",
    );
    refused("5M", "a month has no fixed length: write days, as 30d (minutes are `m`)");
    refused("P1M", "a month has no fixed length: write days, as 30d (minutes are `m`)");
    refused("1 year", "a year has no fixed length: write days, as 365d");
    refused("P1Y", "a year has no fixed length: write days, as 365d");
    refused("-5m", "`-5m` is negative: write it without the sign, as 5m");
    refused("-PT5M", "`-PT5M` is negative: write it without the sign, as 5m");
    for wrong in ["P", "PT", "P1DT", "P1H", "PT1D", "PT1M1H", "PT1H1H", "P1", "PH", "Pump"] {
        refused(wrong, &format!("`{wrong}` is no ISO 8601 duration: write PT1H30M, P1DT2H or P2W"));
    }
    for long in
        ["99999999999999999d", "99999999999999999999s", "9223372036854775807ms 1ms", "PT99999999999999999H"]
    {
        refused(long, "it is longer than can be counted: write 1h, 30d");
    }
    assert_eq!(positive_ms("0s"), Err(BadDuration::Zero));
    assert_eq!(within(5_000, 1..=1_000).unwrap_err().to_string(), "5s is too long: write 1s or less");
    assert_eq!(
        within(500, 1_000..=i64::MAX).unwrap_err().to_string(),
        "500ms is too short: write 1s or more"
    );
}

#[test]
fn writes_the_largest_units() {
    let check = |ms: i64, text: &str| assert_eq!(duration_text(ms), text);
    check(0, "0s");
    check(300_000, "5m");
    check(90_000, "1m 30s");
    check(5_400_000, "1h 30m");
    check(DAY_MS, "1d");
    check(7 * DAY_MS, "7d");
    check(1_500, "1s 500ms");
}

#[test]
fn is_shown_as_it_was_given() {
    let check = |json: &str, expected: Result<(&str, i64), BadDuration>| {
        let given = GivenDuration::of(&json.parse().unwrap());
        assert_eq!(
            given.as_ref().map(|given| (given.text(), given.ms())).map_err(Clone::clone),
            expected,
            "{json}"
        );
        if let Ok(given) = given {
            let stored = serde_json::to_string(&given).unwrap();
            assert_eq!(serde_json::from_str::<GivenDuration>(&stored).unwrap(), given);
        }
    };
    check(r#""300s""#, Ok(("300s", 300_000)));
    check(r#"" PT5M ""#, Ok(("PT5M", 300_000)));
    check(&format!(r#""5{}m""#, " ".repeat(100)), Ok(("5m", 300_000)));
    check("300", Ok(("5m", 300_000)));
    check("1.5", Ok(("1s 500ms", 1_500)));
    check("0", Err(BadDuration::Zero));
    check("-5", Err(BadDuration::Negative("-5".into())));
    check("1e300", Err(BadDuration::Uncountable));
    check("true", Err(BadDuration::Kind("a boolean")));
    check(r#""0s""#, Err(BadDuration::Zero));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), like in "[-P]?([0-9]{0,20}[.:TPYMWDHSmshdwµ ]{0,3}){0,4}") {
        for text in [text, like] {
            let _ = duration_ms(&text);
            let _ = file_duration_ms(&text);
            if let Ok(ms) = duration_ms(&text) {
                prop_assert!(ms >= 0);
                prop_assert_eq!(duration_ms(&duration_text(ms)), Ok(ms), "{}", text);
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back(ms in 0..=i64::MAX) {
        prop_assert_eq!(duration_ms(&duration_text(ms)), Ok(ms));
        prop_assert_eq!(file_duration_ms(&duration_text(ms)), Ok(ms));
    }
}

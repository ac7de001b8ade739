//! Summaries against the readings that they are of.

use super::*;

fn of(texts: &[&str]) -> NumberSummary {
    let events = series(texts.iter().map(|text| number(text)));
    Summary::of(&refs(&events)).series.remove("x").and_then(|series| series.numbers).unwrap()
}

#[test]
fn sums_of_decimals_are_exact() {
    let tenths = of(&["0.1"; 10]);
    assert_eq!((tenths.sum(), tenths.mean(), tenths.standard_deviation()), (1.0, 0.1, 0.0));
    let mixed = of(&["1", "2.5", "-0.25", "1e1"]);
    assert_eq!((mixed.sum(), mixed.mean()), (13.25, 3.3125));
    let wide = of(&["1000000000.1", "1000000000.2", "1000000000.3"]);
    assert!(
        (wide.standard_deviation() - (0.02f64 / 3.0).sqrt()).abs() < 1e-12,
        "{}",
        wide.standard_deviation()
    );
    // The squares are too large, and the sum is exact all the same.
    let counters = of(&["18446744073709551615", "18446744073709551613", "18446744073709551614", "0.5"]);
    let NumberSums::ExactSum { scale: 1, sum, squared_differences } = counters.sums else {
        panic!("{:?}", counters.sums);
    };
    assert_eq!(sum, 3 * 184_467_440_737_095_516_140 + 5);
    let expected = 0.75 * 2f64.powi(128);
    assert!((squared_differences / expected - 1.0).abs() < 1e-9, "{squared_differences} and not {expected}");
    let large = of(&["1e300", "-1e300", "1e308", "1e308"]);
    assert!(large.sum().is_finite() && large.mean().is_finite() && large.standard_deviation().is_finite());
}

#[test]
fn first_and_last_are_by_time_and_then_by_place() {
    let events = [
        message(5, 100, vec![reading("x", number("1.0"))]),
        message(4, 100, vec![reading("x", number("2")), reading("x", number("3"))]),
        message(6, 50, vec![reading("x", Scalar::Text("off".into()))]),
        message(7, 90, vec![reading("x", Scalar::Bool(true))]),
    ];
    let summary = Summary::of(&refs(&events));
    assert_eq!((summary.messages, summary.first_at.millis(), summary.last_at.millis()), (4, 50, 100));
    assert_eq!((summary.first_seq, summary.last_seq), (4, 7));
    let found = &summary.series["x"];
    assert_eq!((found.count(), found.texts, found.is_numeric()), (5, 1, false));
    let numbers = found.numbers.as_ref().unwrap();
    let told = |edge: &Edge| (edge.at.millis(), edge.seq, edge.value.as_str().to_owned());
    assert_eq!(told(&numbers.first), (90, 7, "1".into()));
    assert_eq!(told(&numbers.last), (100, 5, "1.0".into()));
    assert_eq!((numbers.count, numbers.booleans), (4, 1));
    assert_eq!((numbers.min.as_str(), numbers.max.as_str()), ("1.0", "3"));
}

#[test]
fn quality_is_counted_by_class() {
    let scored = |quality_score| Reading { quality_score, ..reading("x", number("1")) };
    let scores = [None, Some(0), Some(33), Some(34), Some(66), Some(67), Some(100), Some(255)];
    let summary = Summary::of(&[&message(1, 0, scores.map(scored).into())]);
    let found = &summary.series["x"];
    assert_eq!((found.count(), found.uncertain, found.bad), (8, 2, 2));
}

/// Additions of a later version behind a series are passed over.
#[test]
fn what_is_added_later_is_passed_over() {
    let summary = Summary::of(&refs(&series([number("1.5")])));
    let mut bytes = summary.encode();
    bytes.truncate(bytes.len() - 8);
    let length = bytes.len() - 1;
    let at = (0..length).find(|at| usize::from(bytes[*at]) == length - at).unwrap();
    bytes[at] += 2;
    bytes.extend([1, 2]);
    assert_eq!(Summary::decode(&close(bytes)).unwrap(), summary);
}

proptest! {
    #[test]
    fn a_sum_is_the_double_nearest_to_its_digits(digits in any::<i64>(), shift in 0_u32..63, scale in 0_usize..19) {
        let digits = (digits >> shift).to_string();
        let (sign, size) = digits.strip_prefix('-').map_or(("", &*digits), |size| ("-", size));
        let padded = format!("{size:0>19}");
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        let text = format!("{sign}{}{}{fraction}", whole.trim_start_matches('0'), if scale > 0 { "." } else { "" });
        let text = text.replace("-.", "-0.");
        let text = if text.starts_with('.') { format!("0{text}") } else { text };
        let text = if text.is_empty() || text == "-" { "0".to_owned() } else { text };
        let expected: f64 = text.parse().unwrap();
        prop_assert_eq!(NumberSums::of(&text).sum(1).abs().to_bits(), expected.abs().to_bits(), "{}", text);
    }

    #[test]
    fn summaries_of_pieces_are_that_of_all(events in messages(), cut in 0usize..80) {
        let cut = cut.min(events.len());
        let mut merged = Summary::of(&refs(&events[..cut]));
        merged.merge(&Summary::decode(&Summary::of(&refs(&events[cut..])).encode()).unwrap());
        let whole = Summary::of(&refs(&events));
        prop_assert_eq!(merged.messages, whole.messages);
        prop_assert_eq!((merged.first_at, merged.last_at), (whole.first_at, whole.last_at));
        prop_assert_eq!(merged.series.len(), whole.series.len());
        for (name, of_all) in &whole.series {
            let found = &merged.series[name];
            prop_assert_eq!((found.count(), found.uncertain, found.bad), (of_all.count(), of_all.uncertain, of_all.bad));
            let (Some(found), Some(of_all)) = (&found.numbers, &of_all.numbers) else {
                prop_assert_eq!(found.numbers.is_some(), of_all.numbers.is_some());
                continue;
            };
            prop_assert_eq!((found.count, found.booleans), (of_all.count, of_all.booleans));
            prop_assert_eq!((&found.min, &found.max), (&of_all.min, &of_all.max));
            prop_assert_eq!((&found.first, &found.last), (&of_all.first, &of_all.last));
            prop_assert_eq!((found.min.as_str(), found.max.as_str()), (of_all.min.as_str(), of_all.max.as_str()));
            if let (NumberSums::Exact { .. }, NumberSums::Exact { .. }) = (found.sums, of_all.sums) {
                prop_assert_eq!(found.sums, of_all.sums);
            }
            let greatest = of_all.max.as_f64().max(-of_all.min.as_f64()); // squares of greater ones are no doubles
            let off = found.standard_deviation() - of_all.standard_deviation();
            prop_assert!(greatest > 1e100 || off.abs() <= 1e-6 * greatest, "{off}");
        }
    }

    /// Against the plain way over doubles.
    #[test]
    fn mean_and_deviation_are_those_of_doubles(values in prop::collection::vec(-1e6..1e6f64, 1..60)) {
        let texts: Vec<String> = values.iter().map(|value| format!("{value:.3}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let found = of(&texts);
        let values: Vec<f64> = texts.iter().map(|text| text.parse().unwrap()).collect();
        let count = f64::from(u32::try_from(values.len()).unwrap());
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        prop_assert!((found.mean() - mean).abs() < 1e-6);
        prop_assert!((found.standard_deviation() - variance.sqrt()).abs() < 1e-5);
    }
}

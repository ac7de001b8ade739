//! Weather that is made up, where no service tells of the real one: plausible for the city, and the same for as long as a
//! real report would be.

use twinhub_domain::Timestamp;
use twinhub_domain::fingerprint::Fingerprint;

use super::WeatherReport;

/// The time for which a report stays the same.
const SLOT_MS: i64 = 600_000;
/// The usual temperature of cities that are known, and of others, in °C.
const CITIES: [(&str, f64); 9] = [
    ("london", 15.0),
    ("manchester", 15.0),
    ("glasgow", 15.0),
    ("madrid", 25.0),
    ("barcelona", 25.0),
    ("sevilla", 25.0),
    ("stockholm", 10.0),
    ("oslo", 10.0),
    ("helsinki", 10.0),
];
const ELSEWHERE: f64 = 20.0;
const SKIES: [&str; 6] =
    ["clear sky", "few clouds", "scattered clouds", "broken clouds", "light rain", "moderate rain"];

/// The weather of a city at this moment.
pub(super) fn made_up(city: &str, now: Timestamp) -> WeatherReport {
    let slot = now.millis().div_euclid(SLOT_MS);
    let known = CITIES.iter().find(|(known, _)| city.eq_ignore_ascii_case(known));
    let usual = known.map_or(ELSEWHERE, |(_, usual)| *usual);
    let draw = |of: &str| {
        let mut print = Fingerprint::default();
        print.field(city.to_lowercase().as_bytes()).field(&slot.to_le_bytes()).field(of.as_bytes());
        print.value()
    };
    WeatherReport {
        temperature: between(usual - 5.0, usual + 5.0, draw("temperature")),
        humidity: between(40.0, 80.0, draw("humidity")),
        pressure: between(1_000.0, 1_025.0, draw("pressure")),
        description: SKIES[usize::try_from(draw("sky") % SKIES.len() as u64).unwrap_or_default()].into(),
    }
}

/// A number between these two, with one decimal.
fn between(least: f64, most: f64, drawn: u64) -> f64 {
    const STEPS: u64 = 10_000;
    #[expect(clippy::cast_precision_loss, reason = "both are below 2^53")]
    let part = (drawn % (STEPS + 1)) as f64 / STEPS as f64;
    ((least + (most - least) * part) * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_city_has_the_weather_of_its_place() {
        let now = Timestamp::parse("2026-01-01T12:00:00Z").unwrap();
        for (city, usual) in
            [("London", 15.0), ("MADRID", 25.0), ("oslo", 10.0), ("Nairobi", 20.0), ("", 20.0)]
        {
            let report = made_up(city, now);
            assert!((report.temperature - usual).abs() <= 5.0, "{city}: {report:?}");
            assert_eq!(report, made_up(&city.to_uppercase(), now.plus_millis(599_999)));
            assert_ne!(report, made_up(city, now.plus_millis(600_000)), "{city}");
        }
        assert_ne!(made_up("Paris", now), made_up("Rome", now));
    }

    proptest! {
        #[test]
        fn no_weather_leaves_its_range(city in ".{0,20}", at in any::<i64>()) {
            let report = made_up(&city, Timestamp::from_millis(at));
            prop_assert!((5.0..=30.0).contains(&report.temperature));
            prop_assert!((40.0..=80.0).contains(&report.humidity));
            prop_assert!((1_000.0..=1_025.0).contains(&report.pressure));
            for number in [report.temperature, report.humidity, report.pressure] {
                prop_assert!(((number * 10.0).round() - number * 10.0).abs() < 1e-6, "{}", number);
            }
        }
    }
}

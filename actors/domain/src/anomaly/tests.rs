use proptest::prelude::*;

use super::*;

/// The time between two numbers of a series.
const MINUTE: i64 = 60_000;
const NUMBERS: u32 = 4_000;
const SEEDS: u64 = 8;
/// The first number that is wrong: nothing is known of a series before.
const QUIET: u32 = 200;

/// A series with the places of what is wrong in it: each from a number to one behind the last that may tell it.
struct Labelled {
    numbers: Vec<f64>,
    wrong: Vec<(usize, usize)>,
}

/// Noise that is the same for the same seed (xorshift64*).
struct Noise(u64);

impl Noise {
    /// From 0 to 1.
    fn even(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        f64::from((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32) / f64::from(u32::MAX)
    }

    /// Normal, by the sum of twelve.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.even()).sum::<f64>() - 6.0
    }
}

fn series(seed: u64, mut number: impl FnMut(u32, &mut Noise) -> f64) -> Labelled {
    let mut noise = Noise(0x9E37_79B9_7F4A_7C15 ^ (seed + 1));
    let numbers = (0..NUMBERS).map(|n| number(n, &mut noise)).collect();
    Labelled { numbers, wrong: Vec::new() }
}

impl Labelled {
    /// Adds a spike of `size` at every 97th number, up and down.
    fn with_spikes(mut self, size: f64) -> Self {
        for (n, at) in (QUIET..NUMBERS).step_by(97).enumerate() {
            let at = at as usize;
            self.numbers[at] += if n % 2 == 0 { size } else { -size };
            self.wrong.push((at, at + 1));
        }
        self
    }

    /// Moves all from every 500th number on by `size`, up and down.
    fn with_levels(mut self, size: f64) -> Self {
        for (n, at) in (QUIET..NUMBERS).step_by(500).enumerate() {
            let at = at as usize;
            let by = if n % 2 == 0 { size } else { -size };
            self.numbers[at..].iter_mut().for_each(|number| *number += by);
            self.wrong.push((at, at + 1));
        }
        self
    }

    /// Holds every 500th number for 120 more.
    fn with_stuck(mut self) -> Self {
        for at in (QUIET..NUMBERS).step_by(500) {
            let at = at as usize;
            let end = (at + 121).min(self.numbers.len());
            let held = self.numbers[at];
            self.numbers[at..end].fill(held);
            self.wrong.push((at, end));
        }
        self
    }

    /// Findings that were right, findings that were wrong, labels that were not found.
    fn judge(&self, settings: &AnomalySettings) -> [usize; 3] {
        let mut watch = SeriesWatch::default();
        let found: Vec<usize> = (0..)
            .zip(&self.numbers)
            .filter(|(n, number)| !watch.take(settings, at(*n), **number).is_empty())
            .filter_map(|(n, _)| usize::try_from(n).ok())
            .collect();
        let is_in = |n: usize, (from, to): (usize, usize)| n >= from && n < to;
        let right = found.iter().filter(|n| self.wrong.iter().any(|label| is_in(**n, *label))).count();
        let missed = self.wrong.iter().filter(|label| !found.iter().any(|n| is_in(*n, **label))).count();
        [right, found.len() - right, missed]
    }
}

fn at(n: i64) -> Timestamp {
    Timestamp::from_millis(1_767_225_600_000 + n * MINUTE)
}

fn usual() -> AnomalySettings {
    AnomalySettings { deviation: Some(6.0), ..AnomalySettings::default() }
}

/// The day of a sensor with a reading a minute.
fn day(n: u32) -> f64 {
    20.0 + 5.0 * (f64::from(n) * std::f64::consts::TAU / 1_440.0).sin()
}

/// A property takes no more than this.
const _: () = assert!(SeriesWatch::BYTES <= 64);

/// The floors stand a little below what was measured; the table is printed by `-- --nocapture`.
#[test]
fn labelled_series_are_told_from_quiet_ones() {
    type Make = fn(u64) -> Labelled;
    let noise: Make = |seed| series(seed, |_, noise| 20.0 + 0.2 * noise.normal());
    let stuck = AnomalySettings { stuck_ms: Some(60 * MINUTE), ..usual() };
    let cases: [(&str, AnomalySettings, f64, Make); 8] = [
        ("spikes of 6 sigma", usual(), 0.8, |seed| {
            series(seed, |_, noise| 20.0 + 0.2 * noise.normal()).with_spikes(1.2)
        }),
        ("spikes of 10 sigma", usual(), 0.95, |seed| {
            series(seed, |_, noise| 20.0 + 0.2 * noise.normal()).with_spikes(2.0)
        }),
        ("spikes on a day's curve", usual(), 0.95, |seed| {
            series(seed, |n, noise| day(n) + 0.2 * noise.normal()).with_spikes(2.0)
        }),
        ("spikes on a drift", usual(), 0.95, |seed| {
            series(seed, |n, noise| f64::from(n) * 0.01 + 0.2 * noise.normal()).with_spikes(2.0)
        }),
        ("spikes, whole numbers", usual(), 0.95, |seed| {
            series(seed, |_, noise| (20.0 + noise.normal()).round()).with_spikes(10.0)
        }),
        ("levels", usual(), 0.95, |seed| {
            series(seed, |_, noise| 20.0 + 0.2 * noise.normal()).with_levels(3.0)
        }),
        ("stuck", stuck, 0.95, |seed| series(seed, |_, noise| 20.0 + 0.2 * noise.normal()).with_stuck()),
        ("stuck, a day's curve", stuck, 0.95, |seed| {
            series(seed, |n, noise| day(n) + 0.2 * noise.normal()).with_stuck()
        }),
    ];
    for (name, settings, floor, make) in cases {
        let sums = sum(make, &settings);
        let [right, wrong, missed] = sums.map(|count| f64::from(u32::try_from(count).unwrap()));
        let (precision, recall) = (right / (right + wrong), right / (right + missed));
        println!("{name}: precision {precision:.3}, recall {recall:.3} of {}", right + missed);
        assert!(precision >= 0.95 && recall >= floor, "{name}: {sums:?}");
    }
    let quiet: [(&str, Make); 9] = [
        ("noise", noise),
        ("day", |seed| series(seed, |n, noise| day(n) + 0.2 * noise.normal())),
        ("day without noise", |seed| series(seed, |n, _| day(n))),
        ("drift", |seed| series(seed, |n, noise| f64::from(n) * 0.01 + 0.2 * noise.normal())),
        ("whole numbers", |seed| series(seed, |_, noise| (20.0 + 0.3 * noise.normal()).round())),
        ("switch", |seed| series(seed, |_, noise| f64::from(u8::from(noise.even() < 0.1)))),
        ("switch of long times", |seed| series(seed, |n, _| f64::from(n / 300 % 2))),
        ("counter that starts again", |seed| {
            let mut count = 0.0;
            series(seed, move |n, noise| {
                count = if n % 700 == 699 { 0.0 } else { count + (noise.even() * 10.0).floor() };
                count
            })
        }),
        ("constant", |seed| series(seed, |_, _| 20.0)),
    ];
    for (name, make) in quiet {
        let [_, wrong, _] = sum(make, &usual());
        println!("{name}: {wrong} false of {}", u64::from(NUMBERS) * SEEDS);
        assert!(wrong <= 4, "{name}: {wrong}");
    }
}

fn sum(make: fn(u64) -> Labelled, settings: &AnomalySettings) -> [usize; 3] {
    (0..SEEDS).map(|seed| make(seed).judge(settings)).fold([0; 3], |all, one| {
        let [a, b, c] = all;
        [a + one[0], b + one[1], c + one[2]]
    })
}

#[track_caller]
fn tells(settings: AnomalySettings, numbers: &[(i64, f64)], expected: &[(i64, AnomalyKind, f64)]) {
    let mut watch = SeriesWatch::default();
    let mut told = Vec::new();
    for (second, number) in numbers {
        let found = watch.take(&settings, Timestamp::from_millis(second * 1_000), *number);
        told.extend(found.iter().map(|one| (*second, one.kind, one.score)));
    }
    assert_eq!(told, expected);
}

#[test]
fn each_kind_is_told_once_with_its_score() {
    use AnomalyKind::{Jump, Range, Rate, Silence, Stuck};
    let none = AnomalySettings::default();
    tells(none, &[(0, 1.0), (1, 1e9), (2, f64::NAN)], &[]);
    let jump = AnomalySettings { jump: Some(5.0), ..none };
    tells(jump, &[(0, 10.0), (1, 15.0), (2, 5.0), (3, 6.0)], &[(2, Jump, 2.0)]);
    let rate = AnomalySettings { rate: Some(0.5), ..none };
    tells(
        rate,
        &[(0, 10.0), (10, 15.0), (12, 13.0), (14, 11.0), (15, 13.0)],
        &[(12, Rate, 2.0), (14, Rate, 2.0), (15, Rate, 4.0)],
    );
    let silence = AnomalySettings { silence_ms: Some(10_000), ..none };
    tells(silence, &[(0, 1.0), (10, 1.0), (40, 2.0), (30, 2.0), (41, 2.0)], &[(40, Silence, 3.0)]);
    let stuck = AnomalySettings { stuck_ms: Some(10_000), ..none };
    let numbers = [(0, 1.0), (10, 1.0), (15, 1.0), (90, 1.0), (91, 2.0), (100, 2.0), (111, 2.0)];
    tells(stuck, &numbers, &[(15, Stuck, 1.5), (111, Stuck, 2.0)]);
    let range = AnomalySettings { range: (Some(0.0), Some(10.0)), ..none };
    tells(
        range,
        &[(0, 11.0), (1, 12.0), (2, 10.0), (3, -1.0)],
        &[(0, Range, 1.0), (3, Range, 1.0 + 1.0 / watch_scale())],
    );
}

/// The scale of the numbers 11, 12, 10, -1 at the last of them.
fn watch_scale() -> f64 {
    let mut watch = SeriesWatch::default();
    for (second, number) in [(0, 11.0), (1, 12.0), (2, 10.0), (3, -1.0)] {
        watch.take(&AnomalySettings::default(), Timestamp::from_millis(second * 1_000), number);
    }
    watch.spread.max(watch.step)
}

#[test]
fn an_anomaly_has_its_expected_range() {
    let mut watch = SeriesWatch::default();
    let settings = AnomalySettings { jump: Some(5.0), ..AnomalySettings::default() };
    assert!(watch.take(&settings, at(0), 20.0).is_empty());
    let found = watch.take(&settings, at(1), 30.0);
    assert_eq!(found[0].expected, (Some(15.0), Some(25.0)));
    let quiet = Noise(7);
    let mut watch = SeriesWatch::default();
    let mut noise = quiet;
    for n in 0..200 {
        assert!(watch.take(&usual(), at(n), 20.0 + 0.1 * noise.normal()).is_empty());
    }
    let found = watch.take(&usual(), at(200), 25.0);
    let (Some(least), Some(greatest)) = found[0].expected else { panic!("{found:?}") };
    assert!(least > 19.0 && least < 20.0 && greatest > 20.0 && greatest < 21.0, "{found:?}");
    assert!(found[0].score > 5.0);
}

#[test]
fn kinds_are_known_by_their_names() {
    for kind in AnomalyKind::ALL {
        assert_eq!(AnomalyKind::parse(kind.as_str()), Some(kind));
    }
    assert_eq!(AnomalyKind::parse("colour"), None);
}

proptest! {
    #[test]
    fn whatever_comes_is_judged_with_a_score_above_one(
        numbers in proptest::collection::vec((any::<i64>(), any::<f64>()), 0..200),
    ) {
        let settings = AnomalySettings {
            stuck_ms: Some(1),
            jump: Some(1.0),
            rate: Some(1.0),
            silence_ms: Some(1),
            range: (Some(-1.0), Some(1.0)),
            ..usual()
        };
        let mut watch = SeriesWatch::default();
        for (ms, number) in numbers {
            for found in watch.take(&settings, Timestamp::from_millis(ms / 4), number) {
                prop_assert!(found.score >= 1.0, "{found:?}");
            }
        }
    }
}

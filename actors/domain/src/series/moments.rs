//! Numbers over time, summed up so that sums of parts are the sum of the whole: mean, spread and trend.

use statrs::function::beta::beta_reg;

/// The moments of some numbers and their times, to the second order. Sums of parts are joined as Chan, Golub and LeVeque
/// have it (Algorithms for computing the sample variance, 1983).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TimedMoments {
    pub count: u64,
    /// The mean of the times, in seconds since the epoch.
    pub time: f64,
    /// The mean of the numbers.
    pub mean: f64,
    /// The sum of the squared differences of the times to their mean, in s².
    pub time_squares: f64,
    /// The same of the numbers.
    pub squares: f64,
    /// The sum of the products of both differences.
    pub products: f64,
}

/// A straight line through numbers over time, by least squares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// The growth in a second.
    pub slope: f64,
    /// The standard error of the slope.
    pub standard_error: f64,
    /// The probability of such a slope, or a steeper one, where there is none: two-sided, by Student's t of `count - 2` degrees
    /// of freedom. It takes the readings for independent of each other.
    pub p_value: f64,
}

impl TimedMoments {
    /// The moments of one number, `time` seconds after the epoch.
    #[must_use]
    pub fn of(time: f64, number: f64) -> Self {
        Self { count: 1, time, mean: number, ..Self::default() }
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        if self.count == 0 {
            return other;
        }
        if other.count == 0 {
            return self;
        }
        let (one, two) = (float(self.count), float(other.count));
        let share = two / (one + two);
        let (later, more) = (other.time - self.time, other.mean - self.mean);
        Self {
            count: self.count.saturating_add(other.count),
            time: self.time + later * share,
            mean: self.mean + more * share,
            time_squares: self.time_squares + other.time_squares + later * later * one * share,
            squares: self.squares + other.squares + more * more * one * share,
            products: self.products + other.products + later * more * one * share,
        }
    }

    /// The standard deviation of the numbers, taken as all there are.
    #[must_use]
    pub fn standard_deviation(self) -> f64 {
        if self.count == 0 { 0.0 } else { (self.squares.max(0.0) / float(self.count)).sqrt() }
    }

    /// The line through the numbers; none where there are fewer than three, or all are of one time, or no double holds it.
    #[must_use]
    pub fn trend(self) -> Option<Trend> {
        if self.count < 3 || self.time_squares <= 0.0 {
            return None;
        }
        let slope = self.products / self.time_squares;
        let freedom = float(self.count - 2);
        let rest = (self.squares - slope * self.products).max(0.0);
        let standard_error = (rest / freedom / self.time_squares).sqrt();
        let p_value = match slope / standard_error {
            _ if slope == 0.0 => 1.0,
            t if t.is_finite() => beta_reg(freedom / 2.0, 0.5, freedom / (freedom + t * t)),
            _ => 0.0, // all lie on the line
        };
        (slope.is_finite() && standard_error.is_finite()).then_some(Trend { slope, standard_error, p_value })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(points: &[(f64, f64)]) -> TimedMoments {
        points
            .iter()
            .fold(TimedMoments::default(), |sum, (time, number)| sum.with(TimedMoments::of(*time, *number)))
    }

    fn near(one: f64, two: f64, size: f64) -> bool {
        (one - two).abs() <= 1e-9 * size.abs().max(1.0)
    }

    /// Reckoned in fractions: the slope is 839/420.
    #[test]
    fn a_line_is_that_of_least_squares() {
        let points: Vec<_> =
            (1..9).map(f64::from).zip([2.1, 3.9, 6.2, 7.8, 10.1, 12.2, 13.8, 16.1]).collect();
        let trend = of(&points).trend().unwrap();
        assert!(near(trend.slope, 839.0 / 420.0, 1.0), "{trend:?}");
        assert!((trend.standard_error - 0.027_800).abs() < 1e-6, "{trend:?}");
        assert!(trend.p_value < 1e-9, "{trend:?}");
    }

    #[test]
    fn a_slope_by_chance_is_no_slope() {
        let trend = of(&[(0.0, 1.0), (1.0, 3.0), (2.0, 0.0), (3.0, 2.0), (4.0, 1.5)]).trend().unwrap();
        assert!(trend.p_value > 0.9, "{trend:?}");
        // t of 2 with 3 degrees of freedom is 0.1393 of both sides, as tables have it.
        let p = beta_reg(1.5, 0.5, 3.0 / (3.0 + 4.0));
        assert!((p - 0.139_326).abs() < 1e-6, "{p}");
        assert_eq!(
            of(&[(0.0, 5.0), (1.0, 5.0), (2.0, 5.0)]).trend().unwrap().p_value.to_bits(),
            1f64.to_bits()
        );
        assert_eq!(
            of(&[(0.0, 5.0), (1.0, 6.0), (2.0, 7.0)]).trend().unwrap().p_value.to_bits(),
            0f64.to_bits()
        );
        for few in
            [vec![], vec![(0.0, 1.0)], vec![(0.0, 1.0), (1.0, 2.0)], vec![(5.0, 1.0), (5.0, 2.0), (5.0, 3.0)]]
        {
            assert_eq!(of(&few).trend(), None);
        }
    }

    proptest! {
        #[test]
        fn parts_are_together_what_the_whole_is(
            points in prop::collection::vec((0.0..1e6, -1e3..1e3), 1..60),
            cut in 0_usize..60,
        ) {
            let (first, second) = points.split_at(cut.min(points.len()));
            let (all, parted) = (of(&points), of(first).with(of(second)));
            let n = float(all.count);
            let mean = points.iter().map(|(_, number)| number).sum::<f64>() / n;
            let time = points.iter().map(|(time, _)| time).sum::<f64>() / n;
            let products: f64 = points.iter().map(|(t, v)| (t - time) * (v - mean)).sum();
            let squares: f64 = points.iter().map(|(_, v)| (v - mean).powi(2)).sum();
            for sum in [all, parted] {
                prop_assert_eq!(sum.count, all.count);
                prop_assert!(near(sum.mean, mean, 1e3) && near(sum.time, time, 1e6));
                prop_assert!(near(sum.squares, squares, 1e6 * n) && near(sum.products, products, 1e9 * n));
            }
        }
    }
}

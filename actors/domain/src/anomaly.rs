//! Anomalies of a series of numbers, found as they come, with little kept in mind.
//!
//! A [`SeriesWatch`] takes 56 bytes, whatever it is asked to look for, and 12 to 16 ns a number (optimised, even
//! noise, on a machine of two busy cores). Its centre is a mean that forgets, with a weight of 1/8 for the newest number,
//! and its spread the mean distance from that, with 1/64. A number far off moves the centre by no more than two spreads
//! and counts as three in the spread, so that a spike changes little (Huber's estimate of location, one step at a
//! time). For normal noise the spread is about 0.8 standard deviations.
//!
//! Numbers with few steps (a switch, a set point, a sensor of whole degrees) are judged against their least step as
//! well, and a number that stays as it was teaches nothing about the spread. A counter is known by never falling, and
//! neither its growth nor its start at zero is told.
//!
//! Measured on the series of `anomaly/tests.rs`, 4,000 numbers and eight seeds each, with a deviation of 6 (σ is that of the
//! noise):
//!
//! | series | labels | precision | recall |
//! |---|---|---|---|
//! | spikes of 6 σ | 320 | 1.00 | 0.85 |
//! | spikes of 10 σ: on noise, a day's curve, a drift, whole numbers | 320 each | 1.00 | 1.00 |
//! | levels that move by 15 σ | 64 | 1.00 | 1.00 |
//! | stuck for two hours, on noise and on a day's curve, with `stuck` 1h | 64 each | 1.00 | 1.00 |
//!
//! Nothing was told of 32,000 numbers each of noise, a day's curve with and without noise, a drift, whole numbers, switches,
//! a counter that starts again, and a constant. A slow drift is not told by intent: the centre goes along, and the trend among
//! the statistics has it.

#[cfg(test)]
mod tests;

use crate::clock::Timestamp;

/// The things to look for; each that is none is not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AnomalySettings {
    /// Spreads from the centre at most.
    pub deviation: Option<f64>,
    /// Time for which a number may stay the same, in ms.
    pub stuck_ms: Option<i64>,
    /// Difference from the number before at most.
    pub jump: Option<f64>,
    /// Change in a second at most.
    pub rate: Option<f64>,
    /// Time between two numbers at most, in ms.
    pub silence_ms: Option<i64>,
    /// The least and the greatest number that is right.
    pub range: (Option<f64>, Option<f64>),
}

/// The reason for which a number is an anomaly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnomalyKind {
    /// It is far from where the numbers were. Told of the first of several that are off to one side: when they stay
    /// there, this is the new level.
    Deviation,
    /// It is the same for long. Told once.
    Stuck,
    /// It is far from the one before.
    Jump,
    /// It changed fast.
    Rate,
    /// It comes long after the one before.
    Silence,
    /// It is out of its range. Told of the first of several.
    Range,
}

/// An anomaly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anomaly {
    pub kind: AnomalyKind,
    /// The multiple of what is allowed, above 1. Out of a range it is 1 and the spreads beyond.
    pub score: f64,
    /// The least and the greatest number that would have been none; none where the kind has no such bound.
    pub expected: (Option<f64>, Option<f64>),
}

/// A series of numbers, as far as it has to be known to judge the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesWatch {
    last: f64,
    centre: f64,
    spread: f64,
    /// The least step between two different numbers; 0 before there was one.
    step: f64,
    last_ms: i64,
    /// When the last number was first there.
    since_ms: i64,
    /// Numbers that differ from those before, since the watch began anew; no more than it has to know ([`LEARNT`]).
    learnt: u16,
    /// Rises since the last fall.
    rises: u16,
    /// Numbers off to one side in a row, below the centre as negative.
    run: i8,
    begun: bool,
    stuck: bool,
    out: bool,
}

/// Numbers that differ from those before, from which on deviations are told.
const LEARNT: u16 = 32;
/// The weights of a new number in the centre and in the spread.
const CENTRE_GAIN: f64 = 1.0 / 8.0;
const SPREAD_GAIN: f64 = 1.0 / 64.0;
/// Spreads by which a number moves the centre at most, before its weight, and as which it counts in the spread.
const CENTRE_CLIP: f64 = 2.0;
const SPREAD_CLIP: f64 = 3.0;
/// Numbers in a row, off to one side, that are a new level.
const LEVEL: i8 = 5;
/// Rises without a fall between, that only a counter has.
const COUNTER: u16 = 16;

impl AnomalyKind {
    pub const ALL: [Self; 6] =
        [Self::Deviation, Self::Stuck, Self::Jump, Self::Rate, Self::Silence, Self::Range];

    /// The word for it on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deviation => "deviation",
            Self::Stuck => "stuck",
            Self::Jump => "jump",
            Self::Rate => "rate",
            Self::Silence => "silence",
            Self::Range => "range",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl SeriesWatch {
    /// The memory that it takes.
    pub const BYTES: usize = size_of::<Self>();

    /// Takes the number in that was measured `at`, and says what is wrong with it. One that is not later than the one
    /// before, or not finite, is passed over.
    pub fn take(&mut self, settings: &AnomalySettings, at: Timestamp, number: f64) -> Vec<Anomaly> {
        let now = at.millis();
        if !number.is_finite() || (self.begun && now <= self.last_ms) {
            return Vec::new();
        }
        let mut found = Vec::new();
        if self.begun {
            let (was_counter, was_stuck) = (self.is_counter(), self.stuck);
            self.count(number);
            // A counter's steps are its own affair, the one back to zero among them.
            if !was_counter {
                found.extend(self.jump(settings, number));
                found.extend(self.rate(settings, now, number));
            }
            found.extend(self.silence(settings, now));
            found.extend(self.stuck(settings, now, number));
            if was_counter && self.rises == 0 && is_restart(self.last, number) {
                self.begin_level(number, 0);
                self.spread = 0.0;
            } else if was_stuck && !self.stuck {
                // It comes loose, wherever it went meanwhile; that it was stuck has been told.
                self.begin_level(number, self.learnt);
            } else {
                found.extend(self.deviation(settings, number, was_counter));
            }
        } else {
            (self.begun, self.centre, self.since_ms) = (true, number, now);
        }
        found.extend(self.range(settings, number));
        (self.last, self.last_ms) = (number, now);
        found
    }

    /// Does it rise and never fall?
    fn is_counter(&self) -> bool {
        self.rises >= COUNTER
    }

    /// Takes the step to `number` into account.
    fn count(&mut self, number: f64) {
        let step = (number - self.last).abs();
        if step > 0.0 && (self.step == 0.0 || step < self.step) {
            self.step = step;
        }
        self.rises = match number.total_cmp(&self.last) {
            std::cmp::Ordering::Greater => self.rises.saturating_add(1),
            std::cmp::Ordering::Equal => self.rises,
            std::cmp::Ordering::Less => 0,
        };
    }

    fn jump(&self, settings: &AnomalySettings, number: f64) -> Option<Anomaly> {
        let most = settings.jump?;
        self.beyond(AnomalyKind::Jump, most, number)
    }

    fn rate(&self, settings: &AnomalySettings, now: i64, number: f64) -> Option<Anomaly> {
        #[expect(clippy::cast_precision_loss, reason = "a stretch of time to reckon with")]
        let seconds = now.saturating_sub(self.last_ms) as f64 / 1e3;
        self.beyond(AnomalyKind::Rate, settings.rate? * seconds, number)
    }

    /// An anomaly where the number is more than `most` from the last.
    fn beyond(&self, kind: AnomalyKind, most: f64, number: f64) -> Option<Anomaly> {
        let step = (number - self.last).abs();
        let expected = (Some(self.last - most), Some(self.last + most));
        (step > most).then(|| Anomaly { kind, score: step / most, expected })
    }

    fn silence(&self, settings: &AnomalySettings, now: i64) -> Option<Anomaly> {
        let (most, silent) = (settings.silence_ms?, now.saturating_sub(self.last_ms));
        let found =
            Anomaly { kind: AnomalyKind::Silence, score: ratio(silent, most), expected: (None, None) };
        (silent > most).then_some(found)
    }

    #[expect(clippy::float_cmp, reason = "a number that stays is the very same")]
    fn stuck(&mut self, settings: &AnomalySettings, now: i64, number: f64) -> Option<Anomaly> {
        if number != self.last {
            (self.since_ms, self.stuck) = (now, false);
            return None;
        }
        let (most, same) = (settings.stuck_ms?, now.saturating_sub(self.since_ms));
        if self.stuck || same <= most {
            return None;
        }
        self.stuck = true;
        Some(Anomaly { kind: AnomalyKind::Stuck, score: ratio(same, most), expected: (None, None) })
    }

    /// Judges the number by the centre and the spread, and takes it into them.
    #[expect(clippy::float_cmp, reason = "a number that stays is the very same")]
    fn deviation(&mut self, settings: &AnomalySettings, number: f64, is_counter: bool) -> Option<Anomaly> {
        let scale = self.spread.max(self.step);
        let off = number - self.centre;
        let (is_known, most) = (self.learnt >= LEARNT, settings.deviation.unwrap_or(f64::INFINITY) * scale);
        let mut found = None;
        if is_known && !is_counter && off.abs() > most {
            let side: i8 = if off > 0.0 { 1 } else { -1 };
            let is_first = self.run.signum() != side;
            self.run = if is_first { side } else { self.run + side };
            if is_first {
                let expected = (Some(self.centre - most), Some(self.centre + most));
                found = Some(Anomaly { kind: AnomalyKind::Deviation, score: off.abs() / most, expected });
            }
            if self.run.abs() >= LEVEL {
                self.begin_level(number, LEARNT);
                return found;
            }
        } else {
            self.run = 0;
        }
        // The first numbers weigh what they have a part in.
        let first = 1.0 / (f64::from(self.learnt) + 2.0);
        let clip = |clip: f64| if is_known && !is_counter { clip * scale } else { f64::INFINITY };
        if number != self.last {
            let distance = off.abs().min(clip(SPREAD_CLIP));
            self.spread += SPREAD_GAIN.max(first) * (distance - self.spread);
            self.learnt = (self.learnt + 1).min(LEARNT);
        }
        let most = clip(CENTRE_CLIP);
        self.centre += CENTRE_GAIN.max(first) * off.clamp(-most, most);
        if !(self.centre.is_finite() && self.spread.is_finite()) {
            // Two numbers were too far apart to reckon with.
            (self.spread, self.step) = (0.0, 0.0);
            self.begin_level(number, 0);
        }
        found
    }

    /// Goes on from another level.
    fn begin_level(&mut self, number: f64, learnt: u16) {
        (self.centre, self.learnt, self.run) = (number, learnt, 0);
    }

    fn range(&mut self, settings: &AnomalySettings, number: f64) -> Option<Anomaly> {
        let (least, greatest) = settings.range;
        let below = least.map_or(0.0, |least| least - number);
        let beyond = greatest.map_or(below, |greatest| below.max(number - greatest));
        let was_out = std::mem::replace(&mut self.out, beyond > 0.0);
        if !self.out || was_out {
            return None;
        }
        let scale = self.spread.max(self.step);
        let score = if scale > 0.0 { 1.0 + beyond / scale } else { 1.0 };
        Some(Anomaly { kind: AnomalyKind::Range, score, expected: settings.range })
    }
}

/// Is it a counter that begins again, and no fall by a little?
fn is_restart(last: f64, number: f64) -> bool {
    number >= 0.0 && number <= last / 2.0
}

#[expect(clippy::cast_precision_loss, reason = "a score")]
fn ratio(found: i64, most: i64) -> f64 {
    found as f64 / (most as f64).max(1.0)
}

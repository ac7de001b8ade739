//! Counters of a group's devices.

use super::exact_sum::ExactSum;
use super::word_table::WordNumber;
use crate::json::{EXACT, Number};
use crate::series::mean;
use crate::{Mode, Status};

/// Counts by status, mode and type, and sums of readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupCounters {
    pub total: u64,
    pub by_status: [u64; Status::ALL.len()],
    pub by_mode: [u64; Mode::ALL.len()],
    /// By type, in the order of their numbers.
    pub by_type: Vec<(WordNumber, u64)>,
    /// By name, in the order of their numbers.
    pub readings: Vec<(WordNumber, LatestReadings)>,
}

/// The latest readings of one name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LatestReadings {
    pub count: u64,
    sum: ExactSum,
    /// The number of whole numbers among them, and their sum.
    wholes: u64,
    whole_sum: i128,
}

/// A number in the sums: the nearest double, and the remainder of a whole number that no double holds.
#[derive(Clone, Copy, Debug)]
pub struct SummedNumber {
    /// Not a number where it is none.
    pub nearest: f64,
    pub rest: i16,
}

impl SummedNumber {
    pub fn of(number: Option<&Number>) -> Self {
        let Some(number) = number else { return Self { nearest: f64::NAN, rest: 0 } };
        let nearest = number.as_f64();
        #[expect(clippy::cast_possible_truncation, reason = "a double from 2^53 on is whole")]
        let lacks = |whole: i128| whole.saturating_sub(nearest as i128);
        let rest = if nearest.abs() >= EXACT { number.as_whole().map_or(0, lacks) } else { 0 };
        Self { nearest, rest: i16::try_from(rest).unwrap_or(0) }
    }

    pub fn is_same(self, other: Self) -> bool {
        self.nearest.to_bits() == other.nearest.to_bits() && self.rest == other.rest
    }

    /// The whole number that it is, up to counters of 64 bits and some more.
    fn whole(self) -> Option<i128> {
        const MOST: f64 = 1e21;
        #[expect(clippy::cast_possible_truncation, reason = "whole, and below the limit")]
        let nearest = self.nearest as i128;
        (self.nearest.fract() == 0.0 && self.nearest.abs() < MOST).then(|| nearest + i128::from(self.rest))
    }
}

impl LatestReadings {
    /// The mean of all: of counters that no double holds, to their last digit.
    pub fn mean(&self) -> Number {
        let rounded = self.sum.mean(self.count.max(1));
        if self.wholes == self.count && rounded.abs() >= EXACT {
            return mean(self.whole_sum, self.count);
        }
        Number::from_f64(rounded).unwrap_or_else(|| Number::from(0)) // the mean of finite numbers is finite
    }

    fn add(&mut self, number: SummedNumber) {
        self.count += 1;
        self.sum.add(number.nearest);
        if let Some(whole) = number.whole() {
            self.wholes += 1;
            self.whole_sum += whole;
        }
    }

    fn remove(&mut self, number: SummedNumber) {
        self.count -= 1;
        self.sum.remove(number.nearest);
        if let Some(whole) = number.whole() {
            self.wholes -= 1;
            self.whole_sum -= whole;
        }
    }

    fn add_all(&mut self, other: &Self) {
        self.count += other.count;
        self.sum.add_all(&other.sum);
        self.wholes += other.wholes;
        self.whole_sum += other.whole_sum;
    }
}

impl GroupCounters {
    /// A device came.
    pub fn add(&mut self, status: Status, mode: Mode, device_type: WordNumber) {
        self.total += 1;
        self.by_status[status as usize] += 1;
        self.by_mode[mode as usize] += 1;
        *at(&mut self.by_type, device_type) += 1;
    }

    /// A device left. Its readings are taken away one by one.
    pub fn remove(&mut self, status: Status, mode: Mode, device_type: WordNumber) {
        self.total -= 1;
        self.by_status[status as usize] -= 1;
        self.by_mode[mode as usize] -= 1;
        let left = at(&mut self.by_type, device_type);
        *left -= 1;
        if *left == 0 {
            self.by_type.retain(|(word, _)| *word != device_type);
        }
    }

    /// Adds a device's reading; a value that is no number is not summed up.
    pub fn add_reading(&mut self, name: WordNumber, number: SummedNumber) {
        if number.nearest.is_finite() {
            at(&mut self.readings, name).add(number);
        }
    }

    /// Removes a reading that the device does not have any more.
    pub fn remove_reading(&mut self, name: WordNumber, number: SummedNumber) {
        if number.nearest.is_finite() {
            let readings = at(&mut self.readings, name);
            readings.remove(number);
            if readings.count == 0 {
                self.readings.retain(|(word, _)| *word != name);
            }
        }
    }

    /// Adds the counters of another.
    pub fn add_all(&mut self, other: &Self) {
        self.total += other.total;
        self.by_status.iter_mut().zip(other.by_status).for_each(|(count, more)| *count += more);
        self.by_mode.iter_mut().zip(other.by_mode).for_each(|(count, more)| *count += more);
        for (word, count) in &other.by_type {
            *at(&mut self.by_type, *word) += count;
        }
        for (word, more) in &other.readings {
            at(&mut self.readings, *word).add_all(more);
        }
    }
}

fn at<T: Default>(list: &mut Vec<(WordNumber, T)>, word: WordNumber) -> &mut T {
    let index = match list.binary_search_by_key(&word, |(word, _)| *word) {
        Ok(index) => index,
        Err(index) => {
            list.insert(index, (word, T::default()));
            index
        }
    };
    &mut list[index].1
}

//! What there is of a group's devices.

use super::sum::ExactSum;
use super::words::Word;
use crate::domain::twin::{Mode, Status};

/// Counts by status, mode and type, and sums of what is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    pub total: u64,
    pub by_status: [u64; Status::ALL.len()],
    pub by_mode: [u64; Mode::ALL.len()],
    /// By type, in the order of their numbers.
    pub by_type: Vec<(Word, u64)>,
    /// By name, in the order of their numbers.
    pub readings: Vec<(Word, Readings)>,
}

/// The latest readings of one name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readings {
    pub count: u64,
    pub sum: ExactSum,
}

impl Tally {
    /// A device came.
    pub fn add(&mut self, status: Status, mode: Mode, device_type: Word) {
        self.total += 1;
        self.by_status[status as usize] += 1;
        self.by_mode[mode as usize] += 1;
        *at(&mut self.by_type, device_type) += 1;
    }

    /// A device left. Its readings are taken away one by one.
    pub fn take(&mut self, status: Status, mode: Mode, device_type: Word) {
        self.total -= 1;
        self.by_status[status as usize] -= 1;
        self.by_mode[mode as usize] -= 1;
        let left = at(&mut self.by_type, device_type);
        *left -= 1;
        if *left == 0 {
            self.by_type.retain(|(word, _)| *word != device_type);
        }
    }

    /// A device reads this; what is no number is not summed up.
    pub fn add_reading(&mut self, name: Word, number: f64) {
        if number.is_finite() {
            let readings = at(&mut self.readings, name);
            readings.count += 1;
            readings.sum.add(number);
        }
    }

    /// It reads it no longer.
    pub fn take_reading(&mut self, name: Word, number: f64) {
        if number.is_finite() {
            let readings = at(&mut self.readings, name);
            readings.count -= 1;
            readings.sum.take(number);
            if readings.count == 0 {
                self.readings.retain(|(word, _)| *word != name);
            }
        }
    }

    /// Adds what there is elsewhere.
    pub fn add_all(&mut self, other: &Self) {
        self.total += other.total;
        self.by_status.iter_mut().zip(other.by_status).for_each(|(count, more)| *count += more);
        self.by_mode.iter_mut().zip(other.by_mode).for_each(|(count, more)| *count += more);
        for (word, count) in &other.by_type {
            *at(&mut self.by_type, *word) += count;
        }
        for (word, more) in &other.readings {
            let readings = at(&mut self.readings, *word);
            readings.count += more.count;
            readings.sum.add_all(&more.sum);
        }
    }
}

fn at<T: Default>(list: &mut Vec<(Word, T)>, word: Word) -> &mut T {
    let index = match list.binary_search_by_key(&word, |(word, _)| *word) {
        Ok(index) => index,
        Err(index) => {
            list.insert(index, (word, T::default()));
            index
        }
    };
    &mut list[index].1
}

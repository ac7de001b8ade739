//! The moment of a counted value in as few bytes as there are beside it.

use crate::clock::{ReadingTime, Timestamp};

/// The moment of a value, whether it is doubted, and the remainder of the value where that is a counter that no double
/// holds. Twelve bytes: a time of the calendar has 69 bits of nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct CountedMoment([u32; 3]);

/// Bits below the nanoseconds: of the remainder, and the doubt.
const BELOW: u32 = 17;
/// Nanoseconds from the beginning of the calendar to the epoch: counted from there, no moment is below zero.
const BEFORE_EPOCH: i128 = 62_135_596_800_000_000_000;

impl CountedMoment {
    pub fn new(at: ReadingTime, is_doubted: bool, rest: i16) -> Self {
        let since = (at.nanos() + BEFORE_EPOCH).unsigned_abs();
        let all = since << BELOW | u128::from(rest.cast_unsigned()) << 1 | u128::from(is_doubted);
        let word = |from: u32| u32::try_from((all >> from) & u128::from(u32::MAX)).unwrap_or_default();
        Self([word(0), word(32), word(64)])
    }

    pub fn at(self) -> ReadingTime {
        let since = i128::try_from(self.all() >> BELOW).unwrap_or_default();
        ReadingTime::from_nanos(since - BEFORE_EPOCH).unwrap_or_default()
    }

    pub fn is_doubted(self) -> bool {
        self.all() & 1 == 1
    }

    pub fn rest(self) -> i16 {
        let bits = self.all() >> 1 & u128::from(u16::MAX);
        u16::try_from(bits).unwrap_or_default().cast_signed()
    }

    /// The same, dated no later than `now`.
    pub fn no_later_than(self, now: Timestamp) -> Self {
        Self::new(self.at().min(now.into()), self.is_doubted(), self.rest())
    }

    fn all(self) -> u128 {
        let [low, middle, high] = self.0.map(u128::from);
        high << 64 | middle << 32 | low
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_gives_back_what_it_holds(
            millis in any::<i64>(),
            nanos in 0..1_000_000_u32,
            is_doubted in any::<bool>(),
            rest in any::<i16>(),
        ) {
            let at = ReadingTime::new(Timestamp::from_millis(millis), nanos);
            let moment = CountedMoment::new(at, is_doubted, rest);
            prop_assert_eq!((moment.at(), moment.is_doubted(), moment.rest()), (at, is_doubted, rest));
        }
    }
}

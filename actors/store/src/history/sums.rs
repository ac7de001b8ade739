//! The sum of numbers, and of their squares: what mean and standard deviation are made of. Exact while the numbers are
//! decimals that fit, whatever the order in which they come; a double otherwise.

use crate::codec::CodecError;
use crate::codec::bytes::{ByteReader, Decimal, put_varint};

/// The sums of some numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NumberSums {
    /// The sum of the numbers as whole numbers of a place `scale` behind the point, and of these squared.
    Exact { scale: u8, sum: i128, squares: u128 },
    /// The same where the squares became too large: the sum of the squared differences of the numbers to their mean.
    ExactSum { scale: u8, sum: i128, squared_differences: f64 },
    /// The mean, and the sum of the squared differences to it.
    Rounded { mean: f64, squared_differences: f64 },
}

const EXACT: u8 = 0;
const EXACT_SUM: u8 = 1;
const ROUNDED: u8 = 2;
/// Numbers with more places than this hardly fit with others.
const MOST_SCALE: u8 = 18;

impl Default for NumberSums {
    fn default() -> Self {
        Self::Exact { scale: 0, sum: 0, squares: 0 }
    }
}

impl NumberSums {
    /// The sums of one number.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let exact = match Decimal::exactly(text) {
            Some(Decimal { negative, digits, scale }) if scale <= MOST_SCALE => {
                let size = i128::from(digits);
                Some((scale, if negative { -size } else { size }))
            }
            _ => text.parse::<i128>().ok().map(|whole| (0, whole)), // a counter of 64 bits has 20 digits
        };
        match exact {
            Some((scale, sum)) => match sum.unsigned_abs().checked_pow(2) {
                Some(squares) => Self::Exact { scale, sum, squares },
                None => Self::ExactSum { scale, sum, squared_differences: 0.0 },
            },
            // A number has a value.
            None => Self::Rounded { mean: text.parse().unwrap_or_default(), squared_differences: 0.0 },
        }
    }

    /// The sums of both, of `count` and `others` numbers.
    #[must_use]
    pub fn with(self, count: u64, other: Self, others: u64) -> Self {
        if others == 0 {
            return self;
        }
        if count == 0 {
            return other;
        }
        let exact = self.exact_sum_with(other);
        if let Some((scale, sum)) = exact
            && let (Some(squares), Some(more)) = (self.squares_at(scale), other.squares_at(scale))
            && let Some(squares) = squares.checked_add(more)
        {
            return Self::Exact { scale, sum, squares };
        }
        // Chan, Golub, LeVeque: Algorithms for computing the sample variance (1983).
        let ((mean, squares), (other_mean, more)) = (self.rounded(count), other.rounded(others));
        let share = float(others) / (float(count) + float(others));
        let difference = other_mean - mean;
        let squared_differences = finite(squares + more + difference * difference * (float(count) * share));
        match exact {
            Some((scale, sum)) => Self::ExactSum { scale, sum, squared_differences },
            None => Self::Rounded { mean: finite(mean + difference * share), squared_differences },
        }
    }

    fn exact_sum(self) -> Option<(u8, i128)> {
        match self {
            Self::Exact { scale, sum, .. } | Self::ExactSum { scale, sum, .. } => Some((scale, sum)),
            Self::Rounded { .. } => None,
        }
    }

    fn exact_sum_with(self, other: Self) -> Option<(u8, i128)> {
        let ((one, sum), (two, more)) = (self.exact_sum()?, other.exact_sum()?);
        let scale = one.max(two);
        let at_scale = |of: u8, sum: i128| sum.checked_mul(10i128.checked_pow(u32::from(scale - of))?);
        Some((scale, at_scale(one, sum)?.checked_add(at_scale(two, more)?)?))
    }

    fn squares_at(self, to: u8) -> Option<u128> {
        let Self::Exact { scale, squares, .. } = self else { return None };
        squares.checked_mul(10u128.checked_pow(u32::from(to.checked_sub(scale)?) * 2)?)
    }

    /// The sum of `count` numbers.
    #[must_use]
    pub fn sum(self, count: u64) -> f64 {
        match self {
            Self::Exact { scale, sum, .. } | Self::ExactSum { scale, sum, .. } => nearest(sum, scale),
            Self::Rounded { mean, .. } => finite(mean * float(count)),
        }
    }

    /// The mean of `count` numbers.
    #[must_use]
    pub fn mean(self, count: u64) -> f64 {
        match self {
            _ if count == 0 => 0.0,
            Self::Rounded { mean, .. } => mean,
            exact => exact.sum(count) / float(count),
        }
    }

    /// The variance of `count` numbers, taken as all there are (not as a sample): the mean of the squared differences to
    /// their mean.
    #[must_use]
    pub fn variance(self, count: u64) -> f64 {
        if count == 0 { 0.0 } else { self.rounded(count).1 / float(count) }
    }

    /// The sum of the squared differences of `count` numbers to their mean.
    #[must_use]
    pub fn squared_differences(self, count: u64) -> f64 {
        if count == 0 { 0.0 } else { self.rounded(count).1 }
    }

    /// The mean, and the sum of the squared differences to it.
    fn rounded(self, count: u64) -> (f64, f64) {
        let squared_differences = match self {
            Self::Exact { scale, sum, squares } => {
                // They are `squares - sum²/count`: two large numbers that are nearly equal, so whole numbers do it where
                // they can.
                let differences = match (squares.checked_mul(count.into()), sum.unsigned_abs().checked_pow(2))
                {
                    (Some(more), Some(less)) => wide(more.saturating_sub(less)) / float(count.max(1)),
                    _ => {
                        let sum = wide(sum.unsigned_abs());
                        (wide(squares) - sum * (sum / float(count.max(1)))).max(0.0)
                    }
                };
                let unit = nearest(1, scale);
                differences * unit * unit
            }
            Self::ExactSum { squared_differences, .. } | Self::Rounded { squared_differences, .. } => {
                squared_differences
            }
        };
        (self.mean(count), squared_differences)
    }

    pub(super) fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::Exact { scale, sum, squares } => {
                out.extend([EXACT, scale]);
                put_wide(out, zigzag(sum));
                put_wide(out, squares);
            }
            Self::ExactSum { scale, sum, squared_differences } => {
                out.extend([EXACT_SUM, scale]);
                put_wide(out, zigzag(sum));
                out.extend(squared_differences.to_bits().to_le_bytes());
            }
            Self::Rounded { mean, squared_differences } => {
                out.push(ROUNDED);
                out.extend(mean.to_bits().to_le_bytes());
                out.extend(squared_differences.to_bits().to_le_bytes());
            }
        }
    }

    pub(super) fn get(bytes: &mut ByteReader<'_>) -> Result<Self, CodecError> {
        const NONSENSE: CodecError = CodecError::Nonsense("sums make no sense");
        let scale = |bytes: &mut ByteReader<'_>| {
            let scale = bytes.byte()?;
            Some(scale).filter(|scale| *scale <= MOST_SCALE).ok_or(NONSENSE)
        };
        let double = |bytes: &mut ByteReader<'_>| {
            let double = f64::from_bits(bytes.u64()?);
            Some(double).filter(|double| double.is_finite()).ok_or(NONSENSE)
        };
        Ok(match bytes.byte()? {
            EXACT => Self::Exact {
                scale: scale(bytes)?,
                sum: from_zigzag(wide_varint(bytes)?),
                squares: wide_varint(bytes)?,
            },
            EXACT_SUM => Self::ExactSum {
                scale: scale(bytes)?,
                sum: from_zigzag(wide_varint(bytes)?),
                squared_differences: double(bytes)?,
            },
            ROUNDED => Self::Rounded { mean: double(bytes)?, squared_differences: double(bytes)? },
            _ => return Err(NONSENSE),
        })
    }
}

fn zigzag(value: i128) -> u128 {
    (value.cast_unsigned() << 1) ^ (value >> 127).cast_unsigned()
}

fn from_zigzag(value: u128) -> i128 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// The double nearest to digits with a point.
fn nearest(digits: i128, scale: u8) -> f64 {
    /// Whole numbers up to here are doubles, as are the powers of ten up to the 22nd: their quotient is rounded once.
    const EXACT_DIGITS: u128 = 1 << 53;
    match TENS.get(usize::from(scale)) {
        #[expect(clippy::cast_precision_loss, reason = "it is a double")]
        Some(ten) if digits.unsigned_abs() <= EXACT_DIGITS => digits as f64 / ten,
        _ => format!("{digits}e-{scale}").parse().unwrap_or_default(),
    }
}

/// Powers of ten.
const TENS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// Sums may leave the range of doubles; JSON has no infinity.
fn finite(value: f64) -> f64 {
    value.clamp(f64::MIN, f64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "the nearest double is meant")]
fn wide(value: u128) -> f64 {
    value as f64
}

fn put_wide(out: &mut Vec<u8>, value: u128) {
    let (low, high) = (value & u128::from(u64::MAX), value >> 64);
    // Both are of 64 bits.
    put_varint(out, u64::try_from(low).unwrap_or_default());
    put_varint(out, u64::try_from(high).unwrap_or_default());
}

fn wide_varint(bytes: &mut ByteReader<'_>) -> Result<u128, CodecError> {
    let (low, high) = (bytes.varint()?, bytes.varint()?);
    Ok(u128::from(high) << 64 | u128::from(low))
}

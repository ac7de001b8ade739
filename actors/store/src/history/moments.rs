//! The sum of numbers, and of their squares: what mean and standard deviation are made of. Exact while the numbers are
//! decimals that fit, whatever the order in which they come; a double otherwise.

use crate::codec::CodecError;
use crate::codec::bytes::{ByteReader, Decimal, put_varint};

/// The sums of some numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moments {
    /// The sum of the numbers as whole numbers of a place `scale` behind the point, and of these squared.
    Exact { scale: u8, sum: i128, squares: u128 },
    /// The mean, and the sum of the squared differences to it.
    Rounded { mean: f64, squared_differences: f64 },
}

const EXACT: u8 = 0;
const ROUNDED: u8 = 1;
/// Squares of numbers with more places than this hardly fit.
const MOST_SCALE: u8 = 18;

impl Default for Moments {
    fn default() -> Self {
        Self::Exact { scale: 0, sum: 0, squares: 0 }
    }
}

impl Moments {
    /// The moments of one number.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let exact = Decimal::exactly(text).and_then(|Decimal { negative, digits, scale }| {
            let (size, squares) = (i128::from(digits), u128::from(digits).checked_mul(digits.into())?);
            let sum = if negative { -size } else { size };
            (scale <= MOST_SCALE).then_some(Self::Exact { scale, sum, squares })
        });
        exact.unwrap_or_else(|| Self::Rounded {
            mean: text.parse().unwrap_or_default(), // a number has a value
            squared_differences: 0.0,
        })
    }

    /// The moments of both, of `count` and `others` numbers.
    #[must_use]
    pub fn with(self, count: u64, other: Self, others: u64) -> Self {
        if let Some(exact) = self.exactly_with(other) {
            return exact;
        }
        match (count, others) {
            (_, 0) => self,
            (0, _) => other,
            _ => {
                // Chan, Golub, LeVeque: Algorithms for computing the sample variance (1983).
                let ((mean, squares), (other_mean, other_squares)) = (self.rounded(count), other.rounded(others));
                let (count, others) = (float(count), float(others));
                let (all, difference) = (count + others, other_mean - mean);
                let mean = mean + difference * (others / all);
                let between = difference * difference * (count * (others / all));
                Self::Rounded { mean: finite(mean), squared_differences: finite(squares + other_squares + between) }
            }
        }
    }

    fn exactly_with(self, other: Self) -> Option<Self> {
        let (Self::Exact { scale: one, .. }, Self::Exact { scale: two, .. }) = (self, other) else { return None };
        let scale = one.max(two);
        let ((sum, squares), (other_sum, other_squares)) = (self.at_scale(scale)?, other.at_scale(scale)?);
        let (sum, squares) = (sum.checked_add(other_sum)?, squares.checked_add(other_squares)?);
        Some(Self::Exact { scale, sum, squares })
    }

    fn at_scale(self, to: u8) -> Option<(i128, u128)> {
        let Self::Exact { scale, sum, squares } = self else { return None };
        let more = u32::from(to.checked_sub(scale)?);
        let sum = sum.checked_mul(10i128.checked_pow(more)?)?;
        Some((sum, squares.checked_mul(10u128.checked_pow(more * 2)?)?))
    }

    /// The sum of `count` numbers.
    #[must_use]
    pub fn sum(self, count: u64) -> f64 {
        match self {
            Self::Exact { scale, sum, .. } => nearest(&sum.to_string(), scale),
            Self::Rounded { mean, .. } => finite(mean * float(count)),
        }
    }

    /// The mean of `count` numbers.
    #[must_use]
    pub fn mean(self, count: u64) -> f64 {
        self.rounded(count).0
    }

    /// The variance of `count` numbers, taken as all there are (not as a sample): the mean of the squared differences to
    /// their mean.
    #[must_use]
    pub fn variance(self, count: u64) -> f64 {
        if count == 0 { 0.0 } else { self.rounded(count).1 / float(count) }
    }

    /// The mean, and the sum of the squared differences to it.
    fn rounded(self, count: u64) -> (f64, f64) {
        let Self::Exact { scale, sum, squares } = self else {
            let Self::Rounded { mean, squared_differences } = self else { return (0.0, 0.0) };
            return (mean, squared_differences);
        };
        if count == 0 {
            return (0.0, 0.0);
        }
        let (mean, rest) = (sum.div_euclid(count.into()), sum.rem_euclid(count.into()));
        let unit = nearest("1", scale);
        let exact_mean = if scale == 0 && rest == 0 { wide(mean) } else { self.sum(count) / float(count) };
        // The squared differences to the mean are `squares - sum²/count`: two large numbers that are nearly equal, so
        // whole numbers do it where they can.
        let less = sum.unsigned_abs().checked_pow(2);
        let differences = match (squares.checked_mul(count.into()), less) {
            (Some(more), Some(less)) => wide_unsigned(more.saturating_sub(less)) / float(count),
            _ => (wide_unsigned(squares) - wide(sum) / float(count) * wide(sum)).max(0.0),
        };
        (exact_mean, differences * unit * unit)
    }

    pub(super) fn put(self, out: &mut Vec<u8>) {
        match self {
            Self::Exact { scale, sum, squares } => {
                out.extend([EXACT, scale]);
                put_wide(out, (sum.cast_unsigned() << 1) ^ (sum >> 127).cast_unsigned());
                put_wide(out, squares);
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
        match bytes.byte()? {
            EXACT => {
                let scale = Some(bytes.byte()?).filter(|scale| *scale <= MOST_SCALE).ok_or(NONSENSE)?;
                let sum = wide_varint(bytes)?;
                let sum = (sum >> 1).cast_signed() ^ -(sum & 1).cast_signed();
                Ok(Self::Exact { scale, sum, squares: wide_varint(bytes)? })
            }
            ROUNDED => {
                let (mean, squared_differences) = (f64::from_bits(bytes.u64()?), f64::from_bits(bytes.u64()?));
                let is_one = mean.is_finite() && squared_differences.is_finite();
                is_one.then_some(Self::Rounded { mean, squared_differences }).ok_or(NONSENSE)
            }
            _ => Err(NONSENSE),
        }
    }
}

/// The double nearest to digits with a point.
fn nearest(digits: &str, scale: u8) -> f64 {
    format!("{digits}e-{scale}").parse().unwrap_or_default()
}

/// Sums may leave the range of doubles; JSON has no infinity.
fn finite(value: f64) -> f64 {
    value.clamp(f64::MIN, f64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "the nearest double is meant")]
fn wide(value: i128) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "the nearest double is meant")]
fn wide_unsigned(value: u128) -> f64 {
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

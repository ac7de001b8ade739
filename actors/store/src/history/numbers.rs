//! The numbers of one series, with the digits they came with.
//!
//! ```text
//! decimals = scale:u8 style:u8 [places column] digits column
//! ```
//! A decimal is stored as a whole number of its last place; those of a series all have the same `scale`, and `style` says
//! how many of its places each was written with. Doubles are stored in the order of their size, as whole numbers.

use super::integers;
use crate::codec::CodecError;
use crate::codec::bytes::{ByteReader, Decimal};
use twinhub_domain::Number;

/// Powers of ten up to this are whole numbers of 64 bits.
const MOST_SCALE: u8 = 18;
/// Powers of ten up to this, and whole numbers up to 2^53, are doubles: their quotient is the nearest double.
const EXACT_SCALE: u8 = 22;
const EXACT: u64 = 1 << 53;
/// One number in so many may be none of the column's decimals: as a double it takes some 50 bits more, the others with
/// its places some 3 bits a place.
const RARE: usize = 32;

/// The places behind the point with which decimals are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PlacesStyle {
    /// All: `23.50`.
    All = 0,
    /// None that is zero at the end: `23.5`, `23`.
    Trimmed = 1,
    /// The same, but one at least: `23.5`, `23.0`.
    TrimmedToOne = 2,
    /// Each as many as a column says.
    Each = 3,
}

/// Decimals that have one scale.
pub struct Decimals {
    scale: u8,
    digits: Vec<i64>,
    places: Vec<u8>,
}

/// Decimals that are read.
pub struct DecimalReader {
    scale: u8,
    style: PlacesStyle,
    digits: std::vec::IntoIter<i64>,
    places: std::vec::IntoIter<i64>,
}

/// A number as it is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StoredNumber {
    Decimal(Decimal),
    /// As Rust displays it: without an exponent.
    Displayed(f64),
    /// As Rust shows it for debugging: `1.0`, `1e16`.
    Shown(f64),
    Text,
}

impl StoredNumber {
    /// The form of the number `text`, which is this `decimal` if it is one, in a column of this scale.
    pub fn of(text: &str, decimal: Option<Decimal>, scale: u8) -> Self {
        if let Some(decimal) = decimal.filter(|decimal| scaled(*decimal, scale).is_some()) {
            return Self::Decimal(decimal);
        }
        let Ok(value) = text.parse::<f64>() else { return Self::Text };
        if format!("{value}") == text {
            Self::Displayed(value)
        } else if format!("{value:?}") == text {
            Self::Shown(value)
        } else {
            Self::Text
        }
    }
}

/// The scale that nearly all of these decimals have room with: the smallest, for one number with many places would make
/// all others long.
pub fn best_scale(decimals: impl Iterator<Item = Decimal>) -> u8 {
    const SCALES: usize = MOST_SCALE as usize + 1;
    // By the places behind the point and the digits needed before it.
    let mut found = [[0usize; 20]; SCALES];
    for decimal in decimals {
        let digits = decimal.digits.checked_ilog10().map_or(0, |last| last as usize + 1);
        let whole = digits.saturating_sub(decimal.scale.into());
        if let Some(count) = found.get_mut(usize::from(decimal.scale)).and_then(|of| of.get_mut(whole)) {
            *count += 1;
        }
    }
    let fitting = |scale: usize| -> usize {
        let most_whole = 18 - scale; // 10^18 is below 2^63
        found[..=scale].iter().flat_map(|by_whole| &by_whole[..=most_whole]).sum()
    };
    let most = (0..SCALES).map(fitting).max().unwrap_or_default();
    let enough = most - most / RARE;
    let best = (0..SCALES).find(|scale| fitting(*scale) >= enough).unwrap_or_default();
    best.to_le_bytes()[0]
}

/// The decimal as a whole number of places `scale` behind the point.
fn scaled(decimal: Decimal, scale: u8) -> Option<i64> {
    if decimal.negative && decimal.digits == 0 {
        return None; // -0
    }
    let more = scale.checked_sub(decimal.scale)?;
    let digits = i64::try_from(decimal.digits).ok()?.checked_mul(10i64.checked_pow(more.into())?)?;
    Some(if decimal.negative { -digits } else { digits })
}

impl Decimals {
    pub fn new(scale: u8) -> Self {
        Self { scale, digits: Vec::new(), places: Vec::new() }
    }

    /// Takes one in; it fits, see [`StoredNumber::of`].
    pub fn push(&mut self, decimal: Decimal) {
        self.digits.push(scaled(decimal, self.scale).unwrap_or_default());
        self.places.push(decimal.scale);
    }

    pub fn put(&self, out: &mut Vec<u8>, groups: &[usize]) {
        let style =
            [PlacesStyle::All, PlacesStyle::Trimmed, PlacesStyle::TrimmedToOne].into_iter().find(|style| {
                let mut written = self.digits.iter().zip(&self.places);
                written.all(|(digits, places)| style.places(*digits, self.scale) == *places)
            });
        let style = style.unwrap_or(PlacesStyle::Each);
        out.extend([self.scale, style as u8]);
        if style == PlacesStyle::Each {
            let places: Vec<i64> = self.places.iter().copied().map(i64::from).collect();
            integers::put(out, &places, groups);
        }
        integers::put(out, &self.digits, groups);
    }
}

impl PlacesStyle {
    fn of(code: u8) -> Result<Self, CodecError> {
        Ok(match code {
            0 => Self::All,
            1 => Self::Trimmed,
            2 => Self::TrimmedToOne,
            3 => Self::Each,
            _ => return Err(CodecError::Nonsense("there is no such style of decimals")),
        })
    }

    fn places(self, digits: i64, scale: u8) -> u8 {
        let least = match self {
            Self::All | Self::Each => return scale,
            Self::Trimmed => 0,
            Self::TrimmedToOne => scale.min(1),
        };
        let (mut rest, mut places) = (digits, scale);
        while places > least && rest % 10 == 0 {
            rest /= 10;
            places -= 1;
        }
        places
    }
}

impl DecimalReader {
    pub fn get(bytes: &mut ByteReader<'_>, groups: &[usize]) -> Result<Self, CodecError> {
        let scale = bytes.byte()?;
        let style = PlacesStyle::of(bytes.byte()?)?;
        if scale > MOST_SCALE {
            return Err(CodecError::Nonsense("a number has too many places"));
        }
        let places = if style == PlacesStyle::Each { integers::get(bytes, groups)? } else { Vec::new() };
        let digits = integers::get(bytes, groups)?;
        Ok(Self { scale, style, digits: digits.into_iter(), places: places.into_iter() })
    }

    /// The next one, as it was written.
    pub fn next(&mut self, text: &mut String) -> Option<Number> {
        let digits = self.digits.next()?;
        let places = match self.style {
            PlacesStyle::Each => {
                u8::try_from(self.places.next()?).ok().filter(|places| *places <= self.scale)?
            }
            style => style.places(digits, self.scale),
        };
        let fewer = 10u64.pow(u32::from(self.scale - places)); // 10^18 at most
        let decimal = Decimal { negative: digits < 0, digits: digits.unsigned_abs() / fewer, scale: places };
        text.clear();
        decimal.write(text);
        Number::parse(text)
    }

    /// The next one, as the nearest double.
    pub fn next_f64(&mut self) -> Option<f64> {
        self.digits.next().map(|digits| to_f64(digits, self.scale))
    }
}

/// The double nearest to a decimal.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
pub fn to_f64(digits: i64, scale: u8) -> f64 {
    if digits.unsigned_abs() <= EXACT && scale <= EXACT_SCALE {
        return digits as f64 / 10f64.powi(scale.into());
    }
    format!("{digits}e-{scale}").parse().unwrap_or_default()
}

/// A double as a whole number: the order is that of the doubles.
pub fn to_ordered(value: f64) -> i64 {
    flip(value.to_bits().cast_signed())
}

/// The double of [`to_ordered`].
pub fn from_ordered(ordered: i64) -> f64 {
    f64::from_bits(flip(ordered).cast_unsigned())
}

fn flip(bits: i64) -> i64 {
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

//! A column of whole numbers.
//!
//! ```text
//! column   = ZERO | CONSTANT value | tag [unit] center [step] [firsts] length frames     nothing for no number
//! firsts   = value | column                              the first number of each group, where there are differences
//! frames   = (mode:7 remainder*)*                        64 remainders each, in bits
//! ```
//! A remainder is what is left of a number (order 0), of its difference to the one before (1) or of that difference's
//! difference to the one before (2), without their `center`, in `unit`s, the greatest that divides them all. It is at or
//! above zero where `center` is the least, or has its sign in its lowest bit where `center` is the median. Differences do
//! not reach from one group (the messages of one device) into the next. The order is the one that leaves the shortest
//! remainders.
//!
//! The remainders of a frame are written by Golomb and Rice's code with the parameter that suits them best (Rice, Plaunt
//! 1971), or with as many bits as the greatest has.

use super::bits::{BitReader, BitWriter, WINDOW, mask};
use crate::codec::CodecError;
use crate::codec::bytes::{ByteReader, put_signed, put_varint};

/// Remainders in a frame: more adapt less, fewer cost more modes.
const FRAME: usize = 64;
const MODE_BITS: u32 = 7;
/// Modes up to this are parameters of Rice's code, the others the width of each remainder.
const MOST_RICE: u32 = 62;
const FIRST_WIDTH: u32 = MOST_RICE + 1;
/// A quotient of so much or more is not written: the remainder is, whole.
const MOST_UNARY: u32 = 24;

/// Tags. The lowest two bits are the order.
const ORDER: u8 = 0b11;
const CONSTANT: u8 = 0b11;
const ZERO: u8 = 0b111;
const UNSIGNED: u8 = 1 << 2;
const UNIT: u8 = 1 << 3;
const HIGHEST_ORDER: u8 = 2;

/// The form of a column.
struct IntegerForm {
    order: u8,
    is_unsigned: bool,
    center: i64,
    step: i64,
    /// The rest, as it is written but for the unit.
    remainders: Vec<u64>,
    firsts: Vec<i64>,
}

/// Writes `values`, which lie in groups of these lengths.
pub fn put(out: &mut Vec<u8>, values: &[i64], groups: &[usize]) {
    let Some(first) = values.first() else { return };
    if values.iter().all(|value| value == first) {
        if *first == 0 {
            out.push(ZERO);
        } else {
            out.push(CONSTANT);
            put_signed(out, *first);
        }
        return;
    }
    let forms = (0..=HIGHEST_ORDER).map(|order| IntegerForm::of(order, values, groups));
    let Some(mut form) = forms.min_by_key(IntegerForm::cost) else { return };
    let unit = form.take_unit();
    let mut tag = form.order;
    tag |= if form.is_unsigned { UNSIGNED } else { 0 } | if unit > 1 { UNIT } else { 0 };
    out.push(tag);
    if unit > 1 {
        put_varint(out, unit);
    }
    put_signed(out, form.center);
    if form.order == HIGHEST_ORDER {
        put_signed(out, form.step);
    }
    match form.firsts.as_slice() {
        [] => {}
        [only] => put_signed(out, *only),
        firsts => put(out, firsts, &[firsts.len()]),
    }
    let mut bits = BitWriter::default();
    for frame in form.remainders.chunks(FRAME) {
        put_frame(&mut bits, frame);
    }
    let bits = bits.finish();
    put_varint(out, bits.len() as u64);
    out.extend(bits);
}

/// A column before its remainders are read.
enum ColumnHead<'a> {
    Constant(i64),
    Coded(CodedColumn<'a>),
}

struct CodedColumn<'a> {
    order: u8,
    is_unsigned: bool,
    unit: i64,
    center: i64,
    step: i64,
    firsts: Vec<i64>,
    frames: &'a [u8],
}

/// Reads a column of as many numbers as are in all groups.
pub fn get(bytes: &mut ByteReader<'_>, groups: &[usize]) -> Result<Vec<i64>, CodecError> {
    match ColumnHead::get(bytes, groups)? {
        ColumnHead::Constant(value) => Ok(vec![value; groups.iter().sum()]),
        ColumnHead::Coded(column) => column.values(groups),
    }
}

/// Passes over a column.
pub fn pass(bytes: &mut ByteReader<'_>, groups: &[usize]) -> Result<(), CodecError> {
    ColumnHead::get(bytes, groups).map(drop)
}

impl<'a> ColumnHead<'a> {
    fn get(bytes: &mut ByteReader<'a>, groups: &[usize]) -> Result<Self, CodecError> {
        if groups.iter().all(|length| *length == 0) {
            return Ok(Self::Constant(0)); // of no number
        }
        let tag = bytes.byte()?;
        if tag == ZERO {
            return Ok(Self::Constant(0));
        }
        if tag == CONSTANT {
            return bytes.signed().map(Self::Constant);
        }
        let order = tag & ORDER;
        if order > HIGHEST_ORDER || tag > ORDER | UNSIGNED | UNIT {
            return Err(CodecError::Nonsense("there is no such form of a column"));
        }
        let unit = if tag & UNIT == 0 { 1 } else { bytes.varint()?.cast_signed() };
        let center = bytes.signed()?;
        let step = if order == HIGHEST_ORDER { bytes.signed()? } else { 0 };
        let firsts = match (order, groups.iter().filter(|length| **length > 0).count()) {
            (0, _) => Vec::new(),
            (_, 1) => vec![bytes.signed()?],
            (_, some) => get(bytes, &[some])?,
        };
        let length = bytes.count()?;
        let frames = bytes.take(length)?;
        Ok(Self::Coded(CodedColumn {
            order,
            is_unsigned: tag & UNSIGNED != 0,
            unit,
            center,
            step,
            firsts,
            frames,
        }))
    }
}

impl CodedColumn<'_> {
    fn values(self, groups: &[usize]) -> Result<Vec<i64>, CodecError> {
        let mut frames = RemainderReader::new(BitReader::new(self.frames));
        let mut remainder = || {
            let written = frames.read();
            let remainder = if self.is_unsigned { written.cast_signed() } else { from_zigzag(written) };
            self.center.wrapping_add(remainder.wrapping_mul(self.unit))
        };
        let mut values = Vec::with_capacity(groups.iter().sum());
        let mut firsts = self.firsts.iter().copied();
        for length in groups.iter().copied().filter(|length| *length > 0) {
            if self.order == 0 {
                values.extend((0..length).map(|_| remainder()));
                continue;
            }
            let mut value = firsts.next().unwrap_or_default(); // as many as there are groups
            values.push(value);
            let mut difference = self.step;
            for _ in 1..length {
                let change = remainder();
                difference = if self.order == 1 { change } else { difference.wrapping_add(change) };
                value = value.wrapping_add(difference);
                values.push(value);
            }
        }
        match frames.bits.is_beyond() {
            true => Err(CodecError::Short),
            false => Ok(values),
        }
    }
}

impl IntegerForm {
    fn of(order: u8, values: &[i64], groups: &[usize]) -> Self {
        let mut left = Vec::with_capacity(values.len());
        let (mut firsts, mut step) = (Vec::new(), 0);
        if order == 0 {
            left.extend_from_slice(values);
        } else {
            let mut rest = values;
            for length in groups.iter().copied().filter(|length| *length > 0) {
                let (group, others) = rest.split_at(length);
                rest = others;
                firsts.push(group[0]);
                left.extend(group.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
            }
        }
        if order == HIGHEST_ORDER {
            step = median(&left);
            let mut at = 0;
            for length in groups.iter().copied().filter(|length| *length > 0) {
                let mut before = step;
                for difference in &mut left[at..at + length - 1] {
                    let change = difference.wrapping_sub(before);
                    before = std::mem::replace(difference, change);
                }
                at += length - 1;
            }
        }
        let (least, middle) = (left.iter().min().copied().unwrap_or_default(), median(&left));
        let above = |left: &i64| left.wrapping_sub(least).cast_unsigned();
        let around = |left: &i64| zigzag(left.wrapping_sub(middle));
        let is_unsigned = bits(left.iter().map(above)) <= bits(left.iter().map(around));
        let remainders = match is_unsigned {
            true => left.iter().map(above).collect(),
            false => left.iter().map(around).collect(),
        };
        let center = if is_unsigned { least } else { middle };
        Self { order, is_unsigned, center, step, remainders, firsts }
    }

    /// About how many bits it takes.
    fn cost(&self) -> u64 {
        let firsts = self.firsts.windows(2).map(|pair| zigzag(pair[1].wrapping_sub(pair[0])));
        bits(self.remainders.iter().copied()) + bits(firsts)
    }

    /// The greatest number that all differences to the center can be divided by; they are divided by it.
    fn take_unit(&mut self) -> u64 {
        let size =
            |written: u64| if self.is_unsigned { written } else { from_zigzag(written).unsigned_abs() };
        let mut unit = 0;
        for remainder in &self.remainders {
            unit = greatest_divisor(unit, size(*remainder));
            if unit == 1 {
                return 1;
            }
        }
        let Some(signed) = i64::try_from(unit).ok().filter(|unit| *unit > 1) else { return 1 };
        for remainder in &mut self.remainders {
            *remainder = match self.is_unsigned {
                true => *remainder / unit,
                false => zigzag(from_zigzag(*remainder) / signed),
            };
        }
        unit
    }
}

/// About how many bits numbers take: each its own, and as many again as to tell how many these are.
fn bits(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.map(|number| u64::from(width(number)) * 2).sum()
}

fn median(values: &[i64]) -> i64 {
    let mut sorted = values.to_vec();
    let middle = sorted.len() / 2;
    if sorted.is_empty() {
        return 0;
    }
    *sorted.select_nth_unstable(middle).1
}

fn greatest_divisor(mut one: u64, mut other: u64) -> u64 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

fn from_zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn width(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

fn put_frame(bits: &mut BitWriter, frame: &[u64]) {
    let mode = best_mode(frame);
    bits.put(mode.into(), MODE_BITS);
    if let Some(width) = mode.checked_sub(FIRST_WIDTH) {
        for remainder in frame {
            bits.put(*remainder, width);
        }
        return;
    }
    for remainder in frame {
        match u32::try_from(remainder >> mode) {
            Ok(quotient) if quotient < MOST_UNARY => {
                bits.put(1 << quotient, quotient + 1);
                bits.put(remainder & mask(mode), mode);
            }
            _ => {
                bits.put(0, MOST_UNARY);
                bits.put(*remainder, u64::BITS);
            }
        }
    }
}

/// The mode in which a frame takes the fewest bits.
fn best_mode(frame: &[u64]) -> u32 {
    let widest = width(frame.iter().copied().max().unwrap_or_default());
    let fixed = u64::from(widest) * frame.len() as u64;
    let (mut mode, mut least) = (FIRST_WIDTH + widest, fixed);
    for parameter in 0..=widest.min(MOST_RICE) {
        let one = |remainder: &u64| match remainder >> parameter {
            quotient if quotient < MOST_UNARY.into() => quotient + 1 + u64::from(parameter),
            _ => (MOST_UNARY + u64::BITS).into(),
        };
        let cost = frame.iter().map(one).sum();
        if cost < least {
            (mode, least) = (parameter, cost);
        }
    }
    mode
}

/// Reads the remainders of frames, one after the other.
struct RemainderReader<'a> {
    bits: BitReader<'a>,
    left: usize,
    mode: u32,
}

impl<'a> RemainderReader<'a> {
    fn new(bits: BitReader<'a>) -> Self {
        Self { bits, left: 0, mode: 0 }
    }

    #[inline]
    fn read(&mut self) -> u64 {
        if self.left == 0 {
            self.left = FRAME;
            // Seven bits.
            self.mode = u32::try_from(self.bits.get(MODE_BITS)).unwrap_or_default();
        }
        self.left -= 1;
        if self.mode >= FIRST_WIDTH {
            return self.bits.get(self.mode - FIRST_WIDTH);
        }
        let window = self.bits.window();
        let quotient = window.trailing_zeros();
        if quotient >= MOST_UNARY {
            self.bits.skip(MOST_UNARY);
            return self.bits.get(u64::BITS);
        }
        let written = quotient + 1 + self.mode;
        let low = if written <= WINDOW {
            self.bits.skip(written);
            window >> (quotient + 1) & mask(self.mode)
        } else {
            self.bits.skip(quotient + 1);
            self.bits.get(self.mode)
        };
        u64::from(quotient) << self.mode | low
    }
}

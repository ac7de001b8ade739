//! One series: the readings of one name, column by column.
//!
//! ```text
//! series = name:text units qualities kinds:u8 [kind column] [decimals] [doubles shown] [doubles displayed] [booleans]
//!          [number texts] [texts]
//! ```
//! `units` has a text's place and one more for each reading, 0 without a unit; `qualities` the score and one more, 0
//! without. The lowest bits of `kinds` say which kinds of values there are; where there are several, a column says of which
//! each is. Nearly always all of these columns are constant, which takes a byte or two each.

use super::integers;
use super::numbers::{self, DecimalReader, Decimals, StoredNumber};
use super::texts::{TextTable, Texts};
use crate::codec::CodecError;
use crate::codec::bytes::{ByteReader, Decimal};
use twinhub_domain::{Number, Reading, Scalar};

/// Kinds of values, in the order of their columns.
const DECIMAL: usize = 0;
const SHOWN: usize = 1;
const DISPLAYED: usize = 2;
const BOOLEAN: usize = 3;
const NUMBER_TEXT: usize = 4;
const TEXT: usize = 5;
const KINDS: usize = 6;

/// Groups and columns by kind.
type ByKind<T> = [T; KINDS];

/// The readings of a series to write, in their order, with the messages' groups that they are of.
#[derive(Default)]
pub struct SeriesColumn<'a> {
    pub readings: Vec<&'a Reading>,
    /// For each group of messages that has any, how many.
    pub groups: Vec<usize>,
}

/// The readings of a series that is read, one after the other.
pub struct SeriesReader {
    pub name: Box<str>,
    units: std::vec::IntoIter<i64>,
    qualities: std::vec::IntoIter<i64>,
    values: ValueReader,
}

/// The values of a series that is read, one after the other.
pub struct ValueReader {
    /// Of each value; of all where there is one alone.
    kinds: Vec<i64>,
    next: usize,
    decimals: Option<DecimalReader>,
    whole: ByKind<std::vec::IntoIter<i64>>,
    number_text: String,
}

/// Lengths of the groups of readings of each kind.
fn groups_by_kind(kinds: &[i64], groups: &[usize]) -> ByKind<Vec<usize>> {
    let mut by_kind = ByKind::<Vec<usize>>::default();
    if let [only] = kinds {
        if let Some(of_kind) = usize::try_from(*only).ok().and_then(|kind| by_kind.get_mut(kind)) {
            of_kind.extend(groups);
        }
        return by_kind;
    }
    let mut rest = kinds;
    for length in groups {
        let (group, others) = rest.split_at(*length);
        rest = others;
        let mut counts = ByKind::<usize>::default();
        for kind in group {
            if let Some(count) = usize::try_from(*kind).ok().and_then(|kind| counts.get_mut(kind)) {
                *count += 1;
            }
        }
        for (of_kind, count) in by_kind.iter_mut().zip(counts) {
            of_kind.push(count);
        }
    }
    by_kind
}

impl<'a> SeriesColumn<'a> {
    pub fn put(&self, out: &mut Vec<u8>, texts: &mut TextTable<'a>) {
        let mut place = |text: &'a str| i64::try_from(texts.index(text)).unwrap_or(i64::MAX); // nobody has 2^63
        let units: Vec<i64> = self
            .readings
            .iter()
            .map(|reading| reading.unit.as_deref().map_or(0, |unit| place(unit) + 1))
            .collect();
        let quality = |reading: &&Reading| reading.quality_score.map_or(0, |score| i64::from(score) + 1);
        let qualities: Vec<i64> = self.readings.iter().map(quality).collect();
        integers::put(out, &units, &self.groups);
        integers::put(out, &qualities, &self.groups);

        let exact: Vec<Option<Decimal>> = self.readings.iter().map(|reading| decimal(reading)).collect();
        let scale = numbers::best_scale(exact.iter().copied().flatten());
        let mut decimals = Decimals::new(scale);
        let mut kinds = Vec::with_capacity(self.readings.len());
        let mut whole = ByKind::<Vec<i64>>::default();
        for (reading, exact) in self.readings.iter().zip(exact) {
            let kind = match &reading.value {
                Scalar::Bool(value) => {
                    whole[BOOLEAN].push(i64::from(*value));
                    BOOLEAN
                }
                Scalar::Text(text) => {
                    whole[TEXT].push(place(text));
                    TEXT
                }
                Scalar::Number(number) => match StoredNumber::of(number.as_str(), exact, scale) {
                    StoredNumber::Decimal(decimal) => {
                        decimals.push(decimal);
                        DECIMAL
                    }
                    StoredNumber::Shown(value) => {
                        whole[SHOWN].push(numbers::to_ordered(value));
                        SHOWN
                    }
                    StoredNumber::Displayed(value) => {
                        whole[DISPLAYED].push(numbers::to_ordered(value));
                        DISPLAYED
                    }
                    StoredNumber::Text => {
                        whole[NUMBER_TEXT].push(place(number.as_str()));
                        NUMBER_TEXT
                    }
                },
            };
            kinds.push(i64::try_from(kind).unwrap_or_default());
        }
        let there = kinds.iter().fold(0u8, |there, kind| there | 1 << kind);
        out.push(there);
        if there.is_power_of_two() {
            kinds.truncate(1);
        } else {
            integers::put(out, &kinds, &self.groups);
        }
        let groups = groups_by_kind(&kinds, &self.groups);
        if there & 1 << DECIMAL != 0 {
            decimals.put(out, &groups[DECIMAL]);
        }
        for (values, groups) in whole.iter().zip(&groups) {
            integers::put(out, values, groups);
        }
    }
}

fn decimal(reading: &Reading) -> Option<Decimal> {
    if let Scalar::Number(number) = &reading.value { Decimal::exactly(number.as_str()) } else { None }
}

impl SeriesReader {
    /// Reads the series called `name`, with as many readings in each group of messages.
    pub fn get(bytes: &mut ByteReader<'_>, name: Box<str>, groups: &[usize]) -> Result<Self, CodecError> {
        let units = integers::get(bytes, groups)?.into_iter();
        let qualities = integers::get(bytes, groups)?.into_iter();
        Ok(Self { name, units, qualities, values: ValueReader::get(bytes, groups)? })
    }

    /// The next reading.
    pub fn next(&mut self, texts: &mut Texts) -> Result<Reading, CodecError> {
        const FEWER: CodecError = CodecError::Nonsense("a series has fewer readings than were counted");
        let unit = match self.units.next().ok_or(FEWER)? {
            0 => None,
            place => Some(spelled(texts, place.wrapping_sub(1))?),
        };
        let quality_score = match self.qualities.next().ok_or(FEWER)? {
            0 => None,
            more => {
                let score = u8::try_from(more.wrapping_sub(1));
                Some(score.map_err(|_| CodecError::Nonsense("a score is none"))?)
            }
        };
        texts.spend(self.name.len())?;
        Ok(Reading { name: self.name.clone(), value: self.values.next(texts)?, unit, quality_score })
    }
}

impl ValueReader {
    fn get(bytes: &mut ByteReader<'_>, groups: &[usize]) -> Result<Self, CodecError> {
        let there = bytes.byte()?;
        let kinds = match there.is_power_of_two() {
            true => vec![there.trailing_zeros().into()],
            false => integers::get(bytes, groups)?,
        };
        if u32::from(there) >> KINDS != 0
            || kinds.iter().any(|kind| !(0..8).contains(kind) || there >> kind & 1 == 0)
        {
            return Err(CodecError::Nonsense("there is no such kind of value"));
        }
        let groups = groups_by_kind(&kinds, groups);
        let decimals = match there & 1 << DECIMAL {
            0 => None,
            _ => Some(DecimalReader::get(bytes, &groups[DECIMAL])?),
        };
        let mut whole = ByKind::<std::vec::IntoIter<i64>>::default();
        for (values, groups) in whole.iter_mut().zip(&groups).skip(1) {
            *values = integers::get(bytes, groups)?.into_iter();
        }
        Ok(Self { kinds, next: 0, decimals, whole, number_text: String::new() })
    }

    /// Passes over the columns that are read before the values, with as many readings in each group.
    pub fn of_series(bytes: &mut ByteReader<'_>, groups: &[usize]) -> Result<Self, CodecError> {
        integers::pass(bytes, groups)?;
        integers::pass(bytes, groups)?;
        Self::get(bytes, groups)
    }

    fn kind(&mut self) -> usize {
        let kind = match self.kinds.as_slice() {
            [only] => *only,
            kinds => kinds.get(self.next).copied().unwrap_or_default(),
        };
        self.next += 1;
        usize::try_from(kind).unwrap_or_default()
    }

    fn next_whole(&mut self, kind: usize) -> Result<i64, CodecError> {
        let values = self.whole.get_mut(kind);
        values
            .and_then(Iterator::next)
            .ok_or(CodecError::Nonsense("a series has fewer values than were counted"))
    }

    fn next(&mut self, texts: &mut Texts) -> Result<Scalar, CodecError> {
        const NO_NUMBER: CodecError = CodecError::Nonsense("a number is none");
        let kind = self.kind();
        if kind == DECIMAL {
            let decimal = self.decimals.as_mut().and_then(|decimals| decimals.next(&mut self.number_text));
            return decimal.map(Scalar::Number).ok_or(NO_NUMBER);
        }
        let whole = self.next_whole(kind)?;
        Ok(match kind {
            BOOLEAN => Scalar::Bool(whole != 0),
            TEXT => Scalar::Text(spelled(texts, whole)?),
            NUMBER_TEXT => Scalar::Number(Number::parse(&spelled(texts, whole)?).ok_or(NO_NUMBER)?),
            SHOWN => {
                let text = format!("{:?}", numbers::from_ordered(whole));
                Scalar::Number(Number::parse(&text).ok_or(NO_NUMBER)?)
            }
            _ => {
                let text = numbers::from_ordered(whole).to_string();
                Scalar::Number(Number::parse(&text).ok_or(NO_NUMBER)?)
            }
        })
    }

    /// The next value as a double, a boolean as 0 or 1; none for a text.
    pub fn next_f64(&mut self, texts: &Texts) -> Result<Option<f64>, CodecError> {
        const NO_NUMBER: CodecError = CodecError::Nonsense("a number is none");
        let kind = self.kind();
        if kind == DECIMAL {
            let decimal = self.decimals.as_mut().and_then(DecimalReader::next_f64);
            return decimal.map(Some).ok_or(NO_NUMBER);
        }
        let whole = self.next_whole(kind)?;
        Ok(match kind {
            BOOLEAN => Some(f64::from(u8::from(whole != 0))),
            TEXT => None,
            NUMBER_TEXT => {
                let text = texts.text(u64::try_from(whole).unwrap_or(u64::MAX))?;
                Some(Number::parse(text).ok_or(NO_NUMBER)?.as_f64())
            }
            _ => Some(numbers::from_ordered(whole)).filter(|value| value.is_finite()),
        })
    }
}

fn spelled(texts: &mut Texts, place: i64) -> Result<Box<str>, CodecError> {
    let text: Box<str> = texts.text(u64::try_from(place).unwrap_or(u64::MAX))?.into();
    texts.spend(text.len())?;
    Ok(text)
}

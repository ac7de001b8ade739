//! The knowledge of a chunk's readings without its body: enough for count, minimum, maximum, sum, mean, standard
//! deviation, first and last. Summaries of several chunks are merged into one.
//!
//! ```text
//! summary = 0xa1 messages first_at last_at first_seq last_seq count series* checksum     ends as differences
//! series  = length name texts uncertain bad booleans count [min max first last sums [moments]]  what follows is passed over
//! moments = mean of times, squares, products                                       as doubles, see TimedMoments
//! edge    = at nanoseconds seq number                                                    as differences to the firsts
//! number  = digits of a decimal and its places, or a text
//! ```

use std::collections::BTreeMap;

use ahash::AHashMap;

use super::sums::NumberSums;
use super::{SUMMARY, close, open, times};
use crate::codec::CodecError;
use crate::codec::bytes::{ByteReader, Decimal, put_signed, put_varint};
use twinhub_domain::json::EXACT;
use twinhub_domain::reading::Quality;
use twinhub_domain::series::TimedMoments;
use twinhub_domain::{EventBody, Number, Reading, ReadingTime, Recorded, Scalar, Timestamp};

/// The summary of some messages of one device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// The number of messages. Where it is 0, all else is nothing.
    pub messages: u64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub first_seq: u64,
    pub last_seq: u64,
    /// By name.
    pub series: BTreeMap<Box<str>, SeriesSummary>,
}

/// The summary of the readings of one name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesSummary {
    /// The number of texts among the readings.
    pub texts: u64,
    /// The number of readings, texts among them, whose score says that they are uncertain.
    pub uncertain: u64,
    /// The number of those whose score says that they are bad. All others are good.
    pub bad: u64,
    /// None where all are texts.
    pub numbers: Option<NumberSummary>,
}

/// The summary of numbers. Booleans count as 0 and 1.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberSummary {
    pub count: u64,
    /// The number of them that are booleans.
    pub booleans: u64,
    /// With the digits of the first of the least.
    pub min: Number,
    /// With the digits of the first of the greatest.
    pub max: Number,
    pub first: Edge,
    pub last: Edge,
    pub sums: NumberSums,
    /// Their times; none in summaries that were written before there was this, and where no double holds it.
    pub times: Option<TimeMoments>,
}

/// The part of [`TimedMoments`] that is not in the sums.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeMoments {
    time: f64,
    time_squares: f64,
    products: f64,
}

/// The first or the last of some numbers, by time and, within the same time, by place in the sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// The millisecond that it is in.
    pub at: Timestamp,
    /// Nanoseconds behind it.
    pub nanos: u32,
    pub seq: u64,
    pub value: Number,
}

/// A number that is no decimal of 64 bits is written as a text.
const AS_TEXT: u8 = u8::MAX;

/// The summary of readings as they come.
#[derive(Default)]
struct SeriesFold {
    summary: SeriesSummary,
    /// The doubles nearest to minimum and maximum.
    range: Option<(f64, f64)>,
    moments: TimedMoments,
}

impl SeriesFold {
    fn add(&mut self, reading: &Reading, (at, nanos): (Timestamp, u32), seq: u64) {
        let SeriesSummary { texts, uncertain, bad, numbers } = &mut self.summary;
        let at_second = ReadingTime::new(at, nanos).seconds();
        match Quality::of_score(reading.quality_score) {
            Quality::Good => {}
            Quality::Uncertain => *uncertain += 1,
            Quality::Bad => *bad += 1,
        }
        let (value, booleans) = match &reading.value {
            Scalar::Text(_) => {
                *texts += 1;
                return;
            }
            Scalar::Bool(value) => (Number::from(i64::from(*value)), 1),
            Scalar::Number(number) => (number.clone(), 0),
        };
        let nearest = value.as_f64();
        let sums = NumberSums::of(value.as_str());
        self.moments = self.moments.with(TimedMoments::of(at_second, nearest));
        let (Some(numbers), Some((least, greatest))) = (numbers.as_mut(), &mut self.range) else {
            let first = Edge { at, nanos, seq, value: value.clone() };
            let (min, max, last) = (value.clone(), value, first.clone());
            *numbers = Some(NumberSummary { count: 1, booleans, min, max, first, last, sums, times: None });
            self.range = Some((nearest, nearest));
            return;
        };
        numbers.sums = numbers.sums.with(numbers.count, sums, 1);
        numbers.count += 1;
        numbers.booleans += booleans;
        // Different doubles say which is less; counters that are the same double are told apart by their digits.
        if nearest < *least || (nearest == *least && nearest.abs() >= EXACT && value < numbers.min) {
            (*least, numbers.min) = (nearest, value.clone());
        }
        if nearest > *greatest || (nearest == *greatest && nearest.abs() >= EXACT && value > numbers.max) {
            (*greatest, numbers.max) = (nearest, value.clone());
        }
        let edge = Edge { at, nanos, seq, value };
        // One message may have the name twice: its later one is the last.
        if edge.place() >= numbers.last.place() {
            numbers.last = edge;
        } else if edge.place() < numbers.first.place() {
            numbers.first = edge;
        }
    }

    fn finish(self) -> SeriesSummary {
        let mut summary = self.summary;
        if let Some(numbers) = &mut summary.numbers {
            numbers.times = TimeMoments::of(self.moments);
        }
        summary
    }
}

impl Summary {
    /// The summary of `messages`; events that are no telemetry are passed over.
    #[must_use]
    pub fn of(messages: &[&Recorded]) -> Self {
        let mut all = Self::default();
        let mut series: AHashMap<&str, SeriesFold> = AHashMap::new();
        for Recorded { seq, event, .. } in messages {
            let EventBody::Telemetry { readings, .. } = &event.body else { continue };
            let (millis, nanos) = times::split(event.at);
            let at = Timestamp::from_millis(millis);
            all.stretch(1, (at, at), (*seq, *seq));
            for reading in readings {
                series.entry(&reading.name).or_default().add(reading, (at, nanos), *seq);
            }
        }
        all.series = series.into_iter().map(|(name, fold)| (name.into(), fold.finish())).collect();
        all
    }

    /// Takes in the summary of other messages of the same device.
    pub fn merge(&mut self, other: &Self) {
        self.stretch(other.messages, (other.first_at, other.last_at), (other.first_seq, other.last_seq));
        for (name, other) in &other.series {
            match self.series.get_mut(name) {
                Some(series) => series.merge(other),
                None => drop(self.series.insert(name.clone(), other.clone())),
            }
        }
    }

    fn stretch(&mut self, messages: u64, at: (Timestamp, Timestamp), seq: (u64, u64)) {
        if messages == 0 {
            return;
        }
        if self.messages == 0 {
            (self.first_at, self.last_at) = at;
            (self.first_seq, self.last_seq) = seq;
        }
        (self.first_at, self.last_at) = (self.first_at.min(at.0), self.last_at.max(at.1));
        (self.first_seq, self.last_seq) = (self.first_seq.min(seq.0), self.last_seq.max(seq.1));
        self.messages = self.messages.saturating_add(messages);
    }

    /// The summary as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![SUMMARY];
        put_varint(&mut out, self.messages);
        put_signed(&mut out, self.first_at.millis());
        put_signed(&mut out, self.last_at.millis().wrapping_sub(self.first_at.millis()));
        put_varint(&mut out, self.first_seq);
        put_varint(&mut out, self.last_seq.wrapping_sub(self.first_seq));
        put_varint(&mut out, self.series.len() as u64);
        for (name, series) in &self.series {
            let mut written = Vec::new();
            put_text(&mut written, name);
            series.put(&mut written, self);
            put_varint(&mut out, written.len() as u64);
            out.extend(written);
        }
        close(out)
    }

    /// Reads the result of [`Summary::encode`].
    ///
    /// # Errors
    /// Says why the bytes are no summary.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut bytes = ByteReader(open(bytes, SUMMARY)?);
        let messages = bytes.varint()?;
        let first_at = bytes.signed()?;
        let last_at = Timestamp::from_millis(first_at.wrapping_add(bytes.signed()?));
        let (first_at, first_seq) = (Timestamp::from_millis(first_at), bytes.varint()?);
        let last_seq = first_seq.wrapping_add(bytes.varint()?);
        let mut summary = Self { messages, first_at, last_at, first_seq, last_seq, series: BTreeMap::new() };
        for _ in 0..bytes.count()? {
            let length = bytes.count()?;
            let mut written = ByteReader(bytes.take(length)?);
            let name = text(&mut written)?.into();
            let series = SeriesSummary::get(&mut written, &summary)?;
            summary.series.insert(name, series);
        }
        Ok(summary)
    }
}

impl SeriesSummary {
    /// The number of readings.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.texts.saturating_add(self.numbers.as_ref().map_or(0, |numbers| numbers.count))
    }

    /// Are all of them numbers, without a boolean or a text?
    #[must_use]
    pub fn is_numeric(&self) -> bool {
        self.texts == 0 && self.numbers.as_ref().is_some_and(|numbers| numbers.booleans == 0)
    }

    fn merge(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.texts, other.texts),
            (&mut self.uncertain, other.uncertain),
            (&mut self.bad, other.bad),
        ] {
            *sum = sum.saturating_add(more);
        }
        match (&mut self.numbers, &other.numbers) {
            (_, None) => {}
            (Some(numbers), Some(other)) => numbers.merge(other),
            (none, Some(other)) => *none = Some(other.clone()),
        }
    }

    fn put(&self, out: &mut Vec<u8>, whole: &Summary) {
        let numbers = self.numbers.as_ref();
        put_varint(out, self.texts);
        put_varint(out, self.uncertain);
        put_varint(out, self.bad);
        put_varint(out, numbers.map_or(0, |numbers| numbers.booleans));
        put_varint(out, numbers.map_or(0, |numbers| numbers.count));
        let Some(NumberSummary { min, max, first, last, sums, times, .. }) = numbers else { return };
        put_number(out, min);
        put_number(out, max);
        for edge in [first, last] {
            put_signed(out, edge.at.millis().wrapping_sub(whole.first_at.millis()));
            put_varint(out, edge.nanos.into());
            put_varint(out, edge.seq.wrapping_sub(whole.first_seq));
            put_number(out, &edge.value);
        }
        sums.put(out);
        for double in times.iter().flat_map(|times| [times.time, times.time_squares, times.products]) {
            out.extend(double.to_bits().to_le_bytes());
        }
    }

    fn get(bytes: &mut ByteReader<'_>, whole: &Summary) -> Result<Self, CodecError> {
        let (texts, uncertain, bad) = (bytes.varint()?, bytes.varint()?, bytes.varint()?);
        let (booleans, count) = (bytes.varint()?, bytes.varint()?);
        if count == 0 {
            return Ok(Self { texts, uncertain, bad, numbers: None });
        }
        let (min, max) = (number(bytes)?, number(bytes)?);
        let mut edge = || {
            let at = whole.first_at.millis().wrapping_add(bytes.signed()?);
            let nanos = u32::try_from(bytes.varint()?);
            let nanos = nanos.map_err(|_| CodecError::Nonsense("there are too many nanoseconds"))?;
            let seq = whole.first_seq.wrapping_add(bytes.varint()?);
            Ok(Edge { at: Timestamp::from_millis(at), nanos, seq, value: number(bytes)? })
        };
        let (first, last) = (edge()?, edge()?);
        let sums = NumberSums::get(bytes)?;
        let times = if bytes.0.len() < TimeMoments::SIZE { None } else { Some(TimeMoments::get(bytes)?) };
        let numbers = NumberSummary { count, booleans, min, max, first, last, sums, times };
        Ok(Self { texts, uncertain, bad, numbers: Some(numbers) })
    }
}

impl NumberSummary {
    /// Takes in those of other readings. Where two are alike, the digits of this one stay.
    fn merge(&mut self, other: &Self) {
        let moments = self.moments().zip(other.moments()).map(|(one, other)| one.with(other));
        self.times = moments.and_then(TimeMoments::of);
        self.sums = self.sums.with(self.count, other.sums, other.count);
        self.count = self.count.saturating_add(other.count);
        self.booleans = self.booleans.saturating_add(other.booleans);
        if other.min < self.min {
            self.min = other.min.clone();
        }
        if other.max > self.max {
            self.max = other.max.clone();
        }
        if other.first.place() < self.first.place() {
            self.first = other.first.clone();
        }
        // One message may have the name twice: its later one is the last.
        if other.last.place() >= self.last.place() {
            self.last = other.last.clone();
        }
    }

    /// The moments of the numbers and their times, where these are known.
    #[must_use]
    pub fn moments(&self) -> Option<TimedMoments> {
        let TimeMoments { time, time_squares, products } = self.times?;
        let (count, mean) = (self.count, self.mean());
        let squares = self.sums.squared_differences(count);
        Some(TimedMoments { count, time, mean, time_squares, squares, products })
    }

    /// The mean.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sums.mean(self.count)
    }

    /// The sum.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sums.sum(self.count)
    }

    /// The standard deviation of the numbers, taken as all there are.
    #[must_use]
    pub fn standard_deviation(&self) -> f64 {
        self.sums.variance(self.count).sqrt()
    }
}

impl TimeMoments {
    /// Bytes of one.
    const SIZE: usize = 24;

    /// None where no double holds it.
    fn of(moments: TimedMoments) -> Option<Self> {
        let TimedMoments { time, time_squares, products, .. } = moments;
        let is_held = [time, time_squares, products].into_iter().all(f64::is_finite);
        is_held.then_some(Self { time, time_squares, products })
    }

    fn get(bytes: &mut ByteReader<'_>) -> Result<Self, CodecError> {
        let mut double = || {
            let double = f64::from_bits(bytes.u64()?);
            Some(double)
                .filter(|double| double.is_finite())
                .ok_or(CodecError::Nonsense("moments make no sense"))
        };
        Ok(Self { time: double()?, time_squares: double()?, products: double()? })
    }
}

impl Edge {
    fn place(&self) -> (Timestamp, u32, u64) {
        (self.at, self.nanos, self.seq)
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend(text.as_bytes());
}

fn text<'a>(bytes: &mut ByteReader<'a>) -> Result<&'a str, CodecError> {
    let length = bytes.count()?;
    std::str::from_utf8(bytes.take(length)?).map_err(|_| CodecError::Nonsense("a text is not UTF-8"))
}

/// The sign is the lowest bit of the scale's byte, as row by row.
fn put_number(out: &mut Vec<u8>, number: &Number) {
    match Decimal::exactly(number.as_str()) {
        Some(Decimal { negative, digits, scale }) => {
            out.push(scale << 1 | u8::from(negative));
            put_varint(out, digits);
        }
        None => {
            out.push(AS_TEXT);
            put_text(out, number.as_str());
        }
    }
}

fn number(bytes: &mut ByteReader<'_>) -> Result<Number, CodecError> {
    const NONSENSE: CodecError = CodecError::Nonsense("a number is none");
    let scale = bytes.byte()?;
    if scale == AS_TEXT {
        return Number::parse(text(bytes)?).ok_or(NONSENSE);
    }
    let (scale, negative) = (Some(scale >> 1).filter(|scale| *scale <= 20).ok_or(NONSENSE)?, scale & 1 == 1);
    let mut written = String::new();
    Decimal { negative, digits: bytes.varint()?, scale }.write(&mut written);
    Number::parse(&written).ok_or(NONSENSE)
}

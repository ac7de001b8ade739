//! Telemetry column by column: the content of a chunk, and most of a block.
//!
//! ```text
//! messages = count readings length content padding
//! content  = texts senders at nanos delay seq is_claimed claimed claimed_nanos identities shapes (length series)*
//! shapes   = series:count names:text* count (count series*)* column
//! ```
//! `at` and `seq` are columns of [`integers`]; `delay` is the time from `at` to the receipt, `claimed` by how much a claimed
//! time is before the receipt, and `nanos` what times have below the millisecond: a byte where all have none. A shape is the list of the series that a message's readings are
//! of; most devices send the same few in every message. Columns of differences begin anew with every device, so the
//! fewest bytes come of messages in the order of their devices, and of each in the order of their times.

use ahash::AHashMap;

use super::identity::{Identities, IdentityColumn};
use super::integers;
use super::senders::{MessageSender, SenderColumn, Senders};
use super::series::{SeriesColumn, SeriesReader, ValueReader};
use super::texts::{TextTable, Texts};
use super::times;
use crate::codec::CodecError;
use crate::codec::bytes::{ByteReader, put_varint};
use twinhub_domain::{Event, EventBody, Reading, Recorded, Timestamp};

/// Messages and readings at most: some hundreds of megabytes when they are spelled out. In tests fewer.
const MOST: usize = if cfg!(test) { 1 << 17 } else { 1 << 21 };
/// Messages and readings for each byte at most, lest a few bytes name a million. What is all alike is padded to it.
const MOST_FOR_BYTE: usize = 512;

/// Can these events be written here? Telemetry can, unless there is too much of it.
pub fn fit(events: &[&Recorded]) -> bool {
    let things = |recorded: &&Recorded| readings(&recorded.event).map(|readings| readings.len() + 1);
    events.iter().try_fold(0, |sum: usize, event| Some(sum + things(event)?)).is_some_and(|sum| sum <= MOST)
}

fn readings(event: &Event) -> Option<&[Reading]> {
    if let EventBody::Telemetry { readings, .. } = &event.body { Some(readings) } else { None }
}

/// The columns of times, places and identities.
#[derive(Default)]
struct MessageColumns {
    at: Vec<i64>,
    nanos: Vec<i64>,
    delay: Vec<i64>,
    seq: Vec<i64>,
    is_claimed: Vec<i64>,
    claimed: Vec<i64>,
    claimed_nanos: Vec<i64>,
    identities: IdentityColumn,
}

/// The series of messages, and which of them each message has.
#[derive(Default)]
struct ReadingShapes<'a> {
    series: AHashMap<&'a str, usize>,
    names: Vec<&'a str>,
    known: AHashMap<Vec<usize>, usize>,
    in_order: Vec<Vec<usize>>,
    indexes: Vec<i64>,
}

/// Writes messages, in their order. They [`fit`].
pub fn put(out: &mut Vec<u8>, messages: &[&Recorded]) {
    let (mut columns, mut shapes) = (MessageColumns::default(), ReadingShapes::default());
    let mut senders = SenderColumn::default();
    for recorded in messages {
        columns.push(recorded);
        senders.push(&recorded.event);
        shapes.push(&recorded.event);
    }
    let groups = senders.groups();
    let (mut texts, mut rest) = (TextTable::default(), Vec::new());
    senders.put(&mut rest, &mut texts);
    columns.put(&mut rest, &groups);
    shapes.put(&mut rest, &mut texts);
    for series in shapes.columns(messages, &groups) {
        let mut written = Vec::new();
        series.put(&mut written, &mut texts);
        put_varint(&mut rest, written.len() as u64);
        rest.extend(written);
    }
    let mut content = Vec::new();
    texts.put(&mut content);
    content.extend(rest);
    let readings: usize =
        messages.iter().filter_map(|recorded| readings(&recorded.event)).map(<[Reading]>::len).sum();
    content.resize(content.len().max((messages.len() + readings).div_ceil(MOST_FOR_BYTE)), 0);
    put_varint(out, messages.len() as u64);
    put_varint(out, readings as u64);
    put_varint(out, content.len() as u64);
    out.extend(content);
}

impl MessageColumns {
    fn push(&mut self, Recorded { seq, event, .. }: &Recorded) {
        let ((at, nanos), received) = (times::split(event.at), event.received_at.millis());
        self.at.push(at);
        self.nanos.push(nanos.into());
        self.delay.push(received.wrapping_sub(at));
        self.seq.push(seq.cast_signed());
        let EventBody::Telemetry { readings, identity, claimed, .. } = &event.body else { return };
        let claimed = claimed.map(times::split);
        self.is_claimed.push(claimed.is_some().into());
        self.claimed.extend(claimed.map(|(claimed, _)| received.wrapping_sub(claimed)));
        self.claimed_nanos.extend(claimed.map(|(_, nanos)| i64::from(nanos)));
        self.identities.push(*identity, claimed.unwrap_or((at, nanos)), readings);
    }

    fn put(&self, out: &mut Vec<u8>, groups: &[usize]) {
        integers::put(out, &self.at, groups);
        integers::put(out, &self.nanos, groups);
        integers::put(out, &self.delay, groups);
        integers::put(out, &self.seq, groups);
        integers::put(out, &self.is_claimed, groups);
        integers::put(out, &self.claimed, &[self.claimed.len()]);
        integers::put(out, &self.claimed_nanos, &[self.claimed.len()]);
        self.identities.put(out);
    }
}

impl<'a> ReadingShapes<'a> {
    fn push(&mut self, event: &'a Event) {
        let mut shape = Vec::new();
        for Reading { name, .. } in readings(event).unwrap_or_default() {
            let next = self.names.len();
            let series = *self.series.entry(name).or_insert(next);
            if series == next {
                self.names.push(name);
            }
            shape.push(series);
        }
        let next = self.in_order.len();
        let index = *self.known.entry(shape).or_insert_with_key(|shape| {
            self.in_order.push(shape.clone());
            next
        });
        self.indexes.push(i64::try_from(index).unwrap_or(i64::MAX)); // nobody has 2^63
    }

    fn put(&self, out: &mut Vec<u8>, texts: &mut TextTable<'a>) {
        put_varint(out, self.names.len() as u64);
        for name in &self.names {
            put_varint(out, texts.index(*name) as u64);
        }
        put_varint(out, self.in_order.len() as u64);
        for shape in &self.in_order {
            put_varint(out, shape.len() as u64);
            for series in shape {
                put_varint(out, *series as u64);
            }
        }
        integers::put(out, &self.indexes, &[self.indexes.len()]);
    }

    /// The readings by series.
    fn columns(&self, messages: &[&'a Recorded], groups: &[usize]) -> Vec<SeriesColumn<'a>> {
        let mut columns: Vec<SeriesColumn<'a>> = self.names.iter().map(|_| SeriesColumn::default()).collect();
        let mut counts = GroupCounts::new(self.names.len());
        let mut rest = messages;
        for length in groups {
            let (group, others) = rest.split_at(*length);
            rest = others;
            counts.begin_group();
            for reading in group.iter().filter_map(|recorded| readings(&recorded.event)).flatten() {
                let Some(series) = self.series.get(&*reading.name) else { continue };
                counts.add(*series, 1);
                if let Some(column) = columns.get_mut(*series) {
                    column.readings.push(reading);
                }
            }
        }
        for (column, groups) in columns.iter_mut().zip(counts.finish()) {
            column.groups = groups;
        }
        columns
    }
}

/// Counts the readings of each series in each group of messages. A group without any has no count: a thousand devices
/// with a thousand series of their own do not have a million.
struct GroupCounts {
    group: usize,
    /// By series: the last group that has any, and the counts.
    series: Vec<(usize, Vec<usize>)>,
}

impl GroupCounts {
    fn new(series: usize) -> Self {
        Self { group: 0, series: vec![(0, Vec::new()); series] }
    }

    fn begin_group(&mut self) {
        self.group += 1;
    }

    fn add(&mut self, series: usize, more: usize) {
        let Some((group, counts)) = self.series.get_mut(series) else { return };
        match counts.last_mut().filter(|_| *group == self.group) {
            Some(count) => *count += more,
            None => counts.push(more),
        }
        *group = self.group;
    }

    fn finish(self) -> impl Iterator<Item = Vec<usize>> {
        self.series.into_iter().map(|(_, counts)| counts)
    }
}

/// Messages that are read: their texts, senders and columns.
struct ColumnReader<'a> {
    bytes: ByteReader<'a>,
    texts: Texts,
    senders: Senders,
    groups: Vec<usize>,
    at: Vec<i64>,
    nanos: Vec<i64>,
    /// Before the column of delays.
    delay: ByteReader<'a>,
    seq: Vec<i64>,
    is_claimed: Vec<i64>,
    claimed: Vec<i64>,
    claimed_nanos: Vec<i64>,
    identities: Identities,
    names: Vec<u64>,
    shapes: Vec<Vec<usize>>,
    /// Of each message.
    shape: Vec<usize>,
}

/// The numbers of one series with their times and places, in the order of their messages. Booleans count as 0 and 1, and
/// texts not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NumberColumn {
    /// The time of each, in ms since the epoch.
    pub at: Vec<i64>,
    /// The nanoseconds of each behind its millisecond.
    pub nanos: Vec<u32>,
    pub seq: Vec<u64>,
    pub values: Vec<f64>,
}

const FEWER: CodecError = CodecError::Nonsense("a column is shorter than was counted");

/// Reads what [`put`] wrote.
pub fn get(bytes: &mut ByteReader<'_>) -> Result<Vec<Recorded>, CodecError> {
    let mut content = ColumnReader::get(bytes)?;
    let mut series = Vec::with_capacity(content.names.len());
    for (index, groups) in content.groups_of_series().into_iter().enumerate() {
        let name = content.names.get(index).ok_or(FEWER)?;
        let name = content.texts.text(*name)?.into();
        let length = content.bytes.count()?;
        series.push(SeriesReader::get(&mut ByteReader(content.bytes.take(length)?), name, &groups)?);
    }
    let delay = integers::get(&mut content.delay, &content.groups)?;
    let mut events = Vec::with_capacity(content.at.len());
    let mut claims = content.claimed.iter().zip(&content.claimed_nanos);
    for (index, sender) in content.senders.indexes.iter().enumerate() {
        let column = |column: &[i64]| column.get(index).copied().ok_or(FEWER);
        let (at, seq) = (column(&content.at)?, column(&content.seq)?.cast_unsigned());
        let received_at = at.wrapping_add(column(&delay)?);
        let at = times::join(at, column(&content.nanos)?)?;
        let claimed = match column(&content.is_claimed)? {
            0 => None,
            _ => {
                let (before, nanos) = claims.next().ok_or(FEWER)?;
                Some(times::join(received_at.wrapping_sub(*before), *nanos)?)
            }
        };
        let shape = content.shape.get(index).and_then(|shape| content.shapes.get(*shape)).ok_or(FEWER)?;
        let mut readings = Vec::with_capacity(shape.len());
        for series_of in shape {
            readings.push(series.get_mut(*series_of).ok_or(FEWER)?.next(&mut content.texts)?);
        }
        let identity = content.identities.next(times::split(claimed.unwrap_or(at)), &readings)?;
        let body = EventBody::Telemetry { readings, identity, claimed, payload: None };
        let MessageSender { device, number, cause } = content.senders.all.get(*sender).ok_or(FEWER)?.clone();
        let received_at = Timestamp::from_millis(received_at);
        events.push(Recorded::new(seq, Event { device, number, at, received_at, body, cause }));
    }
    Ok(events)
}

/// Passes over what [`put`] wrote.
pub fn pass(bytes: &mut ByteReader<'_>) -> Result<(), CodecError> {
    bytes.varint()?;
    bytes.varint()?;
    let length = bytes.count()?;
    bytes.take(length).map(drop)
}

/// Reads the numbers of the series called `name` alone.
pub fn numbers(bytes: &mut ByteReader<'_>, name: &str) -> Result<NumberColumn, CodecError> {
    let mut content = ColumnReader::get(bytes)?;
    let mut found = NumberColumn::default();
    for (series, groups) in content.groups_of_series().into_iter().enumerate() {
        let length = content.bytes.count()?;
        let mut written = ByteReader(content.bytes.take(length)?);
        if content.texts.text(*content.names.get(series).ok_or(FEWER)?)? != name {
            continue;
        }
        let mut values = ValueReader::of_series(&mut written, &groups)?;
        let count = groups.iter().sum();
        found.at.reserve(count);
        found.nanos.reserve(count);
        found.seq.reserve(count);
        found.values.reserve(count);
        let times: Vec<usize> =
            content.shapes.iter().map(|shape| shape.iter().filter(|of| **of == series).count()).collect();
        let places = content.at.iter().zip(&content.nanos).zip(&content.seq);
        for (((at, nanos), seq), shape) in places.zip(&content.shape) {
            for _ in 0..times.get(*shape).copied().unwrap_or_default() {
                if let Some(value) = values.next_f64(&content.texts)? {
                    found.at.push(*at);
                    found.nanos.push(u32::try_from(*nanos).unwrap_or_default());
                    found.seq.push(seq.cast_unsigned());
                    found.values.push(value);
                }
            }
        }
    }
    Ok(found)
}

impl<'a> ColumnReader<'a> {
    fn get(bytes: &mut ByteReader<'a>) -> Result<Self, CodecError> {
        let (count, readings) = (bytes.varint()?, bytes.varint()?);
        let length = bytes.count()?;
        let mut bytes = ByteReader(bytes.take(length)?);
        let most = (length.saturating_mul(MOST_FOR_BYTE)).min(MOST) as u64;
        let count = match usize::try_from(count) {
            Ok(small) if count.saturating_add(readings) <= most => small,
            _ => return Err(CodecError::Nonsense("there are too many messages")),
        };
        let mut texts = Texts::get(&mut bytes)?;
        let senders = Senders::get(&mut bytes, &mut texts, count)?;
        let groups = senders.groups();
        let at = integers::get(&mut bytes, &groups)?;
        let nanos = integers::get(&mut bytes, &groups)?;
        let delay = ByteReader(bytes.0);
        integers::pass(&mut bytes, &groups)?;
        let seq = integers::get(&mut bytes, &groups)?;
        let is_claimed = integers::get(&mut bytes, &groups)?;
        let some_claimed = is_claimed.iter().filter(|claimed| **claimed != 0).count();
        let claimed = integers::get(&mut bytes, &[some_claimed])?;
        let claimed_nanos = integers::get(&mut bytes, &[some_claimed])?;
        let identities = Identities::get(&mut bytes, count)?;
        let mut names = Vec::new();
        for _ in 0..bytes.count()? {
            names.push(bytes.varint()?);
        }
        let shapes = shapes(&mut bytes, names.len())?;
        let place = |shape: i64| usize::try_from(shape).ok().filter(|shape| *shape < shapes.len());
        let shape = integers::get(&mut bytes, &[count])?.into_iter().map(place);
        let shape: Vec<usize> =
            shape.collect::<Option<_>>().ok_or(CodecError::Nonsense("there is no such list of series"))?;
        let counted: usize = shape.iter().filter_map(|shape| shapes.get(*shape)).map(Vec::len).sum();
        if counted as u64 != readings {
            return Err(CodecError::Nonsense("there are not as many readings as were counted"));
        }
        Ok(Self {
            bytes,
            texts,
            senders,
            groups,
            at,
            nanos,
            delay,
            seq,
            is_claimed,
            claimed,
            claimed_nanos,
            identities,
            names,
            shapes,
            shape,
        })
    }

    /// For each series, the number of its readings in each group of messages that has any.
    fn groups_of_series(&self) -> Vec<Vec<usize>> {
        let mut counts = GroupCounts::new(self.names.len());
        let mut rest = self.shape.as_slice();
        for length in &self.groups {
            let (group, others) = rest.split_at(*length);
            rest = others;
            counts.begin_group();
            for alike in group.chunk_by(|one, next| one == next) {
                let shape = alike.first().and_then(|shape| self.shapes.get(*shape));
                for series in shape.into_iter().flatten() {
                    counts.add(*series, alike.len());
                }
            }
        }
        counts.finish().collect()
    }
}

fn shapes(bytes: &mut ByteReader<'_>, series: usize) -> Result<Vec<Vec<usize>>, CodecError> {
    let mut shapes = Vec::new();
    for _ in 0..bytes.count()? {
        let length = bytes.count()?;
        let mut shape = Vec::with_capacity(length);
        for _ in 0..length {
            let index = usize::try_from(bytes.varint()?).ok().filter(|index| *index < series);
            shape.push(index.ok_or(CodecError::Nonsense("there is no such series"))?);
        }
        shapes.push(shape);
    }
    Ok(shapes)
}

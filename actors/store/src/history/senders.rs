//! The devices and causes of messages: each once, and for each message which.
//!
//! ```text
//! senders = count column{5} run* column     the last column says of which each message is
//! ```
//! The columns of senders are the device's id (a text's place), its number, the source with its flags (see `codec`), whether
//! `by` is a pattern, and `by` (a text's place).
//!
//! A `by` with the device's id in it (a topic) is a pattern with [`PLACE`] for the id: one text for a thousand devices.

use std::borrow::Cow;
use std::sync::Arc;

use ahash::AHashMap;

use super::integers;
use super::texts::{TextTable, Texts};
use crate::codec::bytes::{ByteReader, put_varint};
use crate::codec::{CodecError, put_run, run, source, source_code, source_of};
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Event};

/// Columns of senders.
const COLUMNS: usize = 5;
/// Stands for the device's id in a pattern.
const PLACE: char = '\u{1a}';

/// A device and a cause.
#[derive(Clone)]
pub struct MessageSender {
    pub device: DeviceId,
    pub number: DeviceNumber,
    pub cause: Cause,
}

/// Gathers the senders of messages.
#[derive(Default)]
pub struct SenderColumn<'a> {
    known: AHashMap<(i64, &'a str, &'a str), Vec<usize>>,
    in_order: Vec<&'a Event>,
    indexes: Vec<i64>,
}

/// The senders of a stretch that is read, and which of them each message is of.
pub struct Senders {
    pub all: Vec<MessageSender>,
    pub indexes: Vec<usize>,
}

impl<'a> SenderColumn<'a> {
    pub fn push(&mut self, event: &'a Event) {
        // Nearly always it is the one before.
        if let Some(last) = self.indexes.last().copied() {
            let before = usize::try_from(last).ok().and_then(|index| self.in_order.get(index));
            let is_same = |before: &&&Event| {
                before.number == event.number && before.device == event.device && before.cause == event.cause
            };
            if before.as_ref().is_some_and(is_same) {
                self.indexes.push(last);
                return;
            }
        }
        let key = (event.number.0, event.device.as_str(), &*event.cause.by);
        let alike = self.known.entry(key).or_default();
        let found = alike.iter().find(|index| self.in_order[**index].cause == event.cause);
        let index = found.copied().unwrap_or_else(|| {
            alike.push(self.in_order.len());
            self.in_order.push(event);
            self.in_order.len() - 1
        });
        self.indexes.push(i64::try_from(index).unwrap_or(i64::MAX)); // nobody has 2^63
    }

    /// The lengths of the runs of messages of one device.
    pub fn groups(&self) -> Vec<usize> {
        let numbers: Vec<_> = self.in_order.iter().map(|event| event.number).collect();
        groups(&numbers, self.indexes.iter().map(|index| usize::try_from(*index).unwrap_or_default()))
    }

    pub fn put(&self, out: &mut Vec<u8>, texts: &mut TextTable<'a>) {
        let count = self.in_order.len();
        put_varint(out, count as u64);
        let mut place = |text: Cow<'a, str>| i64::try_from(texts.index(text)).unwrap_or(i64::MAX); // nobody has 2^63
        let (mut columns, mut runs) = (<[Vec<i64>; COLUMNS]>::default(), Vec::new());
        for Event { device, number, cause, .. } in &self.in_order {
            let Cause { source, by, run, retained } = cause;
            let pattern = pattern(device, by);
            let mut bits = source_code(*source);
            bits |=
                if *retained { source::RETAINED } else { 0 } | if run.is_some() { source::RUN } else { 0 };
            let sender = [
                place(device.as_str().into()),
                number.0,
                bits.into(),
                pattern.is_some().into(),
                place(pattern.map_or(Cow::Borrowed(&**by), Cow::Owned)),
            ];
            for (column, value) in columns.iter_mut().zip(sender) {
                column.push(value);
            }
            if let Some(run) = run {
                put_run(&mut runs, run);
            }
        }
        for column in &columns {
            integers::put(out, column, &[count]);
        }
        out.extend(runs);
        integers::put(out, &self.indexes, &[self.indexes.len()]);
    }
}

impl Senders {
    /// Reads those of `count` messages.
    pub fn get(bytes: &mut ByteReader<'_>, texts: &mut Texts, count: usize) -> Result<Self, CodecError> {
        // Each is that of a message at least.
        let senders = usize::try_from(bytes.varint()?).ok().filter(|senders| *senders <= count);
        let senders = senders.ok_or(CodecError::Nonsense("there are more senders than messages"))?;
        let mut columns = <[Vec<i64>; COLUMNS]>::default();
        for column in &mut columns {
            *column = integers::get(bytes, &[senders])?;
        }
        let [devices, numbers, bits, is_pattern, by] = columns;
        let mut all = Vec::with_capacity(senders);
        let words = bits.into_iter().zip(is_pattern).zip(by);
        for ((device, number), ((bits, is_pattern), by)) in devices.into_iter().zip(numbers).zip(words) {
            let device = texts.text(device.cast_unsigned())?;
            let pattern = texts.text(by.cast_unsigned())?;
            let by: Arc<str> = match is_pattern {
                0 => pattern.into(),
                _ => pattern.replacen(PLACE, device, 1).into(),
            };
            let device = match device {
                "" => DeviceId::none(),
                id => DeviceId::parse(id).map_err(|_| CodecError::Nonsense("a device's id is none"))?,
            };
            texts.spend(by.len())?;
            let bits = u8::try_from(bits).map_err(|_| CodecError::Nonsense("there is no such source"))?;
            let run = if bits & source::RUN == 0 { None } else { Some(run(bytes)?) };
            let source = source_of(bits & source::CODE)?;
            let cause = Cause { source, by, run, retained: bits & source::RETAINED != 0 };
            all.push(MessageSender { device, number: DeviceNumber(number), cause });
        }
        let indexes = integers::get(bytes, &[count])?.into_iter().map(|index| {
            let index = usize::try_from(index).ok().filter(|index| *index < all.len());
            index.ok_or(CodecError::Nonsense("there is no such sender"))
        });
        let indexes = indexes.collect::<Result<_, _>>()?;
        Ok(Self { all, indexes })
    }

    /// The lengths of the runs of messages of one device.
    pub fn groups(&self) -> Vec<usize> {
        let numbers: Vec<_> = self.all.iter().map(|sender| sender.number).collect();
        groups(&numbers, self.indexes.iter().copied())
    }
}

fn groups(numbers: &[DeviceNumber], indexes: impl Iterator<Item = usize>) -> Vec<usize> {
    let (mut groups, mut before) = (Vec::<usize>::new(), None);
    for index in indexes {
        let number = numbers.get(index);
        match groups.last_mut().filter(|_| number == before) {
            Some(length) => *length += 1,
            None => groups.push(1),
        }
        before = number;
    }
    groups
}

fn pattern(device: &DeviceId, by: &str) -> Option<String> {
    let id = device.as_str();
    let is_one = !id.is_empty() && !by.contains(PLACE) && by.contains(id);
    is_one.then(|| by.replacen(id, PLACE.encode_utf8(&mut [0; 4]), 1))
}

//! From bytes to events. Damaged bytes give an error: no panic, no allocation beyond the bytes that are read.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::bytes::{ByteReader, Decimal, checksum};
use super::{CodecError, FIRST_VERSION, LAYER, VERSION, head, source, tag};
use crate::layers::LayerCache;
use twinhub_domain::cause::{RunCause, Source};
use twinhub_domain::clock::NS_IN_MS;
use twinhub_domain::event::{ChangeKind, TwinChange};
use twinhub_domain::fleet::Layer;
use twinhub_domain::run::RunId;
use twinhub_domain::twin::{Part, Patch};
use twinhub_domain::{
    Cause, DeviceId, DeviceNumber, Event, EventBody, Json, Number, Object, Reading, ReadingTime, Recorded,
    Scalar, Status, Timestamp,
};

/// Documents nest 32 levels deep at most where they come in; a patch by section adds one.
const DEEPEST: usize = 64;
/// The text of one blob's events, spelled out. A short blob can name a long text a million times: no blob
/// that was written does.
const MOST_TEXT: usize = 1 << 30;

/// Reads the form of [`super::encode`].
///
/// The layers of templates that events name are among `layers`.
///
/// # Errors
/// Says why the bytes are no events; nothing of them is used then.
pub fn decode(blob: &[u8], layers: &LayerCache) -> Result<Vec<Recorded>, CodecError> {
    match blob.first() {
        None => return Err(CodecError::Short),
        Some(FIRST_VERSION..=VERSION) => {}
        Some(other) => return Err(CodecError::Version(*other)),
    }
    let (checked, sum) = blob.split_last_chunk::<8>().ok_or(CodecError::Short)?;
    if checksum(checked) != u64::from_le_bytes(*sum) {
        return Err(CodecError::Checksum);
    }
    let mut bytes = ByteReader(checked.get(1..).ok_or(CodecError::Short)?);
    let count = bytes.count()?;
    let texts = all_texts(&mut bytes)?;
    let mut decoder = Decoder { bytes, texts, text_left: MOST_TEXT, number_text: String::new(), layers };
    let mut events: Vec<Recorded> = Vec::with_capacity(count.min(decoder.bytes.left() / SHORTEST_EVENT + 1));
    for _ in 0..count {
        let event = decoder.event(events.last())?;
        events.push(event);
    }
    match decoder.bytes.left() {
        0 => Ok(events),
        _ => Err(CodecError::Nonsense("there is more than was counted")),
    }
}

/// The texts of a blob, each once: the names in its events, and much else. Its checksum is not looked at.
///
/// # Errors
/// Says why the bytes are no events.
pub fn texts(blob: &[u8]) -> Result<Vec<&str>, CodecError> {
    match blob.split_first() {
        None => Err(CodecError::Short),
        Some((FIRST_VERSION..=VERSION, rest)) => {
            let mut bytes = ByteReader(rest);
            bytes.count()?;
            Ok(all_texts(&mut bytes)?.into_iter().map(|text| text.spelled).collect())
        }
        Some((other, _)) => Err(CodecError::Version(*other)),
    }
}

/// Head, seq, time, and a body of two bytes.
const SHORTEST_EVENT: usize = 5;
/// Tag, name, and a boolean's nothing.
const SHORTEST_READING: usize = 2;

struct Decoder<'a> {
    bytes: ByteReader<'a>,
    texts: Vec<SharedText<'a>>,
    text_left: usize,
    number_text: String,
    layers: &'a LayerCache,
}

/// A text of the blob, and its parsed form: a thousand events share one cause.
struct SharedText<'a> {
    spelled: &'a str,
    device: Option<DeviceId>,
    shared: Option<Arc<str>>,
}

fn all_texts<'a>(bytes: &mut ByteReader<'a>) -> Result<Vec<SharedText<'a>>, CodecError> {
    let count = bytes.count()?;
    let mut texts = Vec::with_capacity(count);
    for _ in 0..count {
        let length = bytes.count()?;
        let text = std::str::from_utf8(bytes.take(length)?)
            .map_err(|_| CodecError::Nonsense("a text is not UTF-8"))?;
        texts.push(SharedText { spelled: text, device: None, shared: None });
    }
    Ok(texts)
}

impl<'a> Decoder<'a> {
    fn event(&mut self, before: Option<&Recorded>) -> Result<Recorded, CodecError> {
        let bits = self.bytes.byte()?;
        let (seq_before, received_before) =
            before.map_or((0, 0), |before| (before.seq, before.event.received_at.millis()));
        let seq = seq_before.wrapping_add_signed(self.bytes.signed()?);
        let received = received_before.wrapping_add(self.bytes.signed()?);
        let at = match bits & head::AT_RECEIPT {
            0 => received.wrapping_add(self.bytes.signed()?),
            _ => received,
        };
        let claimed = match bits & head::CLAIMED {
            0 => None,
            _ => Some(Timestamp::from_millis(received.wrapping_add(self.bytes.signed()?))),
        };
        let (at, claimed) = self.finer(bits, Timestamp::from_millis(at), claimed)?;
        let (device, number, cause) = match (bits & head::SAME_SENDER, before) {
            (0, _) => self.sender()?,
            (_, Some(Recorded { event, .. })) => (event.device.clone(), event.number, event.cause.clone()),
            (_, None) => return Err(CodecError::Nonsense("there is no event before the first")),
        };
        let body = match bits & head::KIND {
            head::TELEMETRY => self.telemetry(bits & head::IDENTITY != 0, claimed)?,
            head::TWIN => {
                let change = change_of(self.bytes.byte()?)?;
                let document = self.object(0)?;
                EventBody::Twin(TwinChange { change, patch: self.patch(document)? })
            }
            head::PRESENCE => {
                let status = status_of(self.bytes.byte()?)?;
                EventBody::Presence { status, reason: self.text()?.into() }
            }
            head::COMMAND => EventBody::Command(self.serde("a command's step makes no sense")?),
            head::ALARM => EventBody::Alarm(self.serde("an alarm's step makes no sense")?),
            head::RULE => EventBody::Rule(self.serde("a rule's run makes no sense")?),
            head::SIGNAL => EventBody::Signal(self.serde("a signal makes no sense")?),
            head::FLEET => EventBody::Fleet(self.serde("a change of the fleet makes no sense")?),
            _ => return Err(CodecError::Nonsense("there is no such kind of event")),
        };
        let received_at = Timestamp::from_millis(received);
        Ok(Recorded::new(seq, Event { device, number, at, received_at, body, cause }))
    }

    /// The times with the nanoseconds behind their milliseconds.
    fn finer(
        &mut self,
        bits: u8,
        at: Timestamp,
        claimed: Option<Timestamp>,
    ) -> Result<(ReadingTime, Option<ReadingTime>), CodecError> {
        if bits & head::FINER == 0 {
            return Ok((at.into(), claimed.map(Into::into)));
        }
        let at = ReadingTime::new(at, self.nanos()?);
        Ok((
            at,
            match claimed {
                Some(claimed) => Some(ReadingTime::new(claimed, self.nanos()?)),
                None => None,
            },
        ))
    }

    fn nanos(&mut self) -> Result<u32, CodecError> {
        match u32::try_from(self.bytes.varint()?) {
            Ok(nanos) if nanos < NS_IN_MS => Ok(nanos),
            _ => Err(CodecError::Nonsense("a millisecond has fewer nanoseconds")),
        }
    }

    fn sender(&mut self) -> Result<(DeviceId, DeviceNumber, Cause), CodecError> {
        let known = self.known_text()?;
        let device = match &known.device {
            Some(device) => device.clone(),
            None if known.spelled.is_empty() => known.device.insert(DeviceId::none()).clone(),
            None => known
                .device
                .insert(
                    DeviceId::parse(known.spelled)
                        .map_err(|_| CodecError::Nonsense("a device's id is none"))?,
                )
                .clone(),
        };
        let number = DeviceNumber(self.bytes.signed()?);
        Ok((device, number, self.cause()?))
    }

    fn cause(&mut self) -> Result<Cause, CodecError> {
        let bits = self.bytes.byte()?;
        let source = source_of(bits & source::CODE)?;
        let known = self.known_text()?;
        let by = Arc::clone(known.shared.get_or_insert_with(|| known.spelled.into()));
        let run = if bits & source::RUN == 0 { None } else { Some(run(&mut self.bytes)?) };
        Ok(Cause { source, by, run, retained: bits & source::RETAINED != 0 })
    }

    fn serde<T: DeserializeOwned>(&mut self, nonsense: &'static str) -> Result<Box<T>, CodecError> {
        let length = self.bytes.count()?;
        let value = serde_json::from_slice(self.bytes.take(length)?);
        value.map(Box::new).map_err(|_| CodecError::Nonsense(nonsense))
    }

    /// The change in a document. Version 4 has a template's layer whole in it.
    fn patch(&self, mut document: Object) -> Result<Patch, CodecError> {
        let Some(Json::Object(template)) = document.get("template") else { return Ok(Patch::read(document)) };
        let layer = match template.get(LAYER).and_then(Json::as_str) {
            Some(key) => self.layers.find(key).ok_or_else(|| CodecError::Layer(key.into()))?,
            None => match Layer::read(template) {
                Some(layer) => self.layers.share(Arc::new(layer)),
                None => return Ok(Patch::read(document)),
            },
        };
        document.remove("template");
        let mut patch = Patch::read(document);
        patch.set(Part::Template(Some(layer)));
        Ok(patch)
    }

    fn telemetry(
        &mut self,
        has_identity: bool,
        claimed: Option<ReadingTime>,
    ) -> Result<EventBody, CodecError> {
        let identity = if has_identity { Some(self.bytes.u64()?) } else { None };
        let count = self.bytes.count()?;
        let mut readings = Vec::with_capacity(count.min(self.bytes.left() / SHORTEST_READING + 1));
        for _ in 0..count {
            readings.push(self.reading()?);
        }
        Ok(EventBody::Telemetry { readings, identity, claimed, payload: None })
    }

    fn reading(&mut self) -> Result<Reading, CodecError> {
        let bits = self.bytes.byte()?;
        let name = self.text()?.into();
        let value = match bits & tag::KIND {
            tag::FALSE => Scalar::Bool(false),
            tag::TRUE => Scalar::Bool(true),
            tag::TEXT => Scalar::Text(self.text()?.into()),
            tag::DECIMAL => Scalar::Number(self.decimal()?),
            tag::NUMBER_TEXT => Scalar::Number(self.number_text()?),
            _ => return Err(CodecError::Nonsense("a reading is no scalar")),
        };
        let unit = if bits & tag::UNIT == 0 { None } else { Some(self.text()?.into()) };
        let quality_score = if bits & tag::QUALITY == 0 { None } else { Some(self.bytes.byte()?) };
        Ok(Reading { name, value, unit, quality_score })
    }

    fn json(&mut self, depth: usize) -> Result<Json, CodecError> {
        Ok(match self.bytes.byte()? {
            tag::NULL => Json::Null,
            tag::FALSE => Json::Bool(false),
            tag::TRUE => Json::Bool(true),
            tag::TEXT => Json::String(self.text()?.into()),
            tag::DECIMAL => Json::Number(self.decimal()?),
            tag::NUMBER_TEXT => Json::Number(self.number_text()?),
            _ if depth >= DEEPEST => return Err(CodecError::Nonsense("a document is nested too deep")),
            tag::ARRAY => {
                // No reserve: an empty item takes one byte here and many there.
                let mut items = Vec::new();
                for _ in 0..self.bytes.count()? {
                    items.push(self.json(depth + 1)?);
                }
                Json::Array(items.into())
            }
            tag::OBJECT => Json::Object(self.object(depth + 1)?),
            _ => return Err(CodecError::Nonsense("there is no such kind of value")),
        })
    }

    fn object(&mut self, depth: usize) -> Result<Object, CodecError> {
        let mut object = Object::default();
        for _ in 0..self.bytes.count()? {
            let key = self.text()?;
            let value = self.json(depth)?;
            object.insert(key, value);
        }
        Ok(object)
    }

    fn decimal(&mut self) -> Result<Number, CodecError> {
        let scale_and_sign = self.bytes.byte()?;
        let (scale, negative) = (scale_and_sign >> 1, scale_and_sign & 1 == 1);
        if scale > 20 {
            return Err(CodecError::Nonsense("a number has too many places"));
        }
        let decimal = Decimal { negative, digits: self.bytes.varint()?, scale };
        self.number_text.clear();
        decimal.write(&mut self.number_text);
        number(&self.number_text)
    }

    fn number_text(&mut self) -> Result<Number, CodecError> {
        self.text().and_then(number)
    }

    fn text(&mut self) -> Result<&'a str, CodecError> {
        let text = self.known_text()?.spelled;
        self.text_left =
            self.text_left.checked_sub(text.len()).ok_or(CodecError::Nonsense("there is too much text"))?;
        Ok(text)
    }

    fn known_text(&mut self) -> Result<&mut SharedText<'a>, CodecError> {
        let index = usize::try_from(self.bytes.varint()?).unwrap_or(usize::MAX);
        self.texts.get_mut(index).ok_or(CodecError::Nonsense("there is no such text"))
    }
}

fn number(text: &str) -> Result<Number, CodecError> {
    Number::parse(text).ok_or(CodecError::Nonsense("a number is none"))
}

/// Reads what [`put_run`](super::put_run) wrote.
pub fn run(bytes: &mut ByteReader<'_>) -> Result<Arc<RunCause>, CodecError> {
    let id = bytes.take(16)?.try_into().map_err(|_| CodecError::Short)?;
    let (depth, flags) = (bytes.byte()?, bytes.byte()?);
    let even_in_manual = flags & source::EVEN_IN_MANUAL != 0;
    Ok(Arc::new(RunCause { id: RunId(Uuid::from_bytes(id)), depth, even_in_manual }))
}

pub fn source_of(code: u8) -> Result<Source, CodecError> {
    Ok(match code {
        0 => Source::Mqtt,
        1 => Source::Rest,
        2 => Source::WebSocket,
        3 => Source::Rule,
        4 => Source::Schedule,
        5 => Source::Hub,
        6 => Source::Job,
        7 => Source::Import,
        _ => return Err(CodecError::Nonsense("there is no such source")),
    })
}

fn change_of(code: u8) -> Result<ChangeKind, CodecError> {
    Ok(match code {
        0 => ChangeKind::Registered,
        1 => ChangeKind::Claimed,
        2 => ChangeKind::Updated,
        3 => ChangeKind::Reported,
        4 => ChangeKind::Deleted,
        5 => ChangeKind::Scheduled,
        6 => ChangeKind::Skipped,
        7 => ChangeKind::Lifecycle,
        8 => ChangeKind::Firmware,
        9 => ChangeKind::Clock,
        10 => ChangeKind::Told,
        11 => ChangeKind::DeviceClock,
        12 => ChangeKind::Token,
        13 => ChangeKind::Certificate,
        _ => return Err(CodecError::Nonsense("there is no such change")),
    })
}

fn status_of(code: u8) -> Result<Status, CodecError> {
    Ok(match code {
        // 0: earlier versions told a device that was never heard from one that has gone.
        0 | 2 => Status::Offline,
        1 => Status::Online,
        _ => return Err(CodecError::Nonsense("there is no such status")),
    })
}

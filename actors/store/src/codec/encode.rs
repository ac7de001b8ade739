//! From events to bytes.

use ahash::AHashMap;
use serde::Serialize;

use super::bytes::{Decimal, checksum, put_signed, put_varint};
use super::{LAYER, VERSION, head, source, tag};
use crate::layers::LayerCache;
use twinhub_domain::cause::{RunCause, Source};
use twinhub_domain::event::{ChangeKind, TwinChange};
use twinhub_domain::{Cause, Event, EventBody, Json, Number, Object, Reading, Recorded, Scalar, Status};

/// Writes `events`, in any order of their `seq`; the fewest bytes come from similar neighbours. The names of the layers
/// in them come from `layers`.
pub fn encode<'a>(events: impl IntoIterator<Item = &'a Recorded>, layers: &LayerCache) -> Vec<u8> {
    let events: Vec<(&Recorded, Option<Object>)> =
        events.into_iter().map(|recorded| (recorded, document(&recorded.event.body, layers))).collect();
    let mut writer = BlobWriter::default();
    for (recorded, document) in &events {
        writer.event(recorded, document.as_ref());
    }
    writer.finish(events.len() as u64)
}

/// The stored form of a change of a twin.
fn document(body: &EventBody, layers: &LayerCache) -> Option<Object> {
    let EventBody::Twin(TwinChange { patch, .. }) = body else { return None };
    let mut document = patch.to_object();
    if let Some(Some(layer)) = patch.template() {
        let mut template = layer.shown();
        template.insert(LAYER, Json::String(layers.name(layer)));
        document.insert("template", template.into());
    }
    Some(document)
}

#[derive(Default)]
struct BlobWriter<'a> {
    out: Vec<u8>,
    texts: AHashMap<&'a str, u64>,
    in_order: Vec<&'a str>,
    before: Option<&'a Recorded>,
}

impl<'a> BlobWriter<'a> {
    fn event(&mut self, recorded: &'a Recorded, document: Option<&'a Object>) {
        let Event { device, number, at, received_at, body, cause } = &recorded.event;
        let (seq_before, received_before) =
            self.before.map_or((0, 0), |before| (before.seq, before.event.received_at.millis()));
        let same_sender = self.before.is_some_and(|Recorded { event: before, .. }| {
            before.number == *number && before.cause == *cause && before.device == *device
        });
        let claimed = if let EventBody::Telemetry { claimed, .. } = body { *claimed } else { None };
        let mut bits = match body {
            EventBody::Telemetry { identity, .. } => {
                let identity = if identity.is_some() { head::IDENTITY } else { 0 };
                head::TELEMETRY | identity | if claimed.is_some() { head::CLAIMED } else { 0 }
            }
            EventBody::Twin(_) => head::TWIN,
            EventBody::Presence { .. } => head::PRESENCE,
            EventBody::Command(_) => head::COMMAND,
            EventBody::Alarm(_) => head::ALARM,
            EventBody::Rule(_) => head::RULE,
            EventBody::Signal(_) => head::SIGNAL,
            EventBody::Fleet(_) => head::FLEET,
        };
        if at == received_at {
            bits |= head::AT_RECEIPT;
        }
        if same_sender {
            bits |= head::SAME_SENDER;
        }
        let is_finer = at.nanos_behind() > 0 || claimed.is_some_and(|claimed| claimed.nanos_behind() > 0);
        if is_finer {
            bits |= head::FINER;
        }
        self.out.push(bits);
        put_signed(&mut self.out, recorded.seq.wrapping_sub(seq_before).cast_signed());
        put_signed(&mut self.out, received_at.millis().wrapping_sub(received_before));
        if at != received_at {
            put_signed(&mut self.out, at.floor().millis().wrapping_sub(received_at.millis()));
        }
        if let Some(claimed) = claimed {
            put_signed(&mut self.out, claimed.floor().millis().wrapping_sub(received_at.millis()));
        }
        if is_finer {
            put_varint(&mut self.out, at.nanos_behind().into());
            claimed.iter().for_each(|claimed| put_varint(&mut self.out, claimed.nanos_behind().into()));
        }
        if !same_sender {
            self.text(device.as_str());
            put_signed(&mut self.out, number.0);
            self.cause(cause);
        }
        self.body(body, document);
        self.before = Some(recorded);
    }

    fn cause(&mut self, Cause { source, by, run, retained }: &'a Cause) {
        let mut bits = source_code(*source);
        if *retained {
            bits |= source::RETAINED;
        }
        if run.is_some() {
            bits |= source::RUN;
        }
        self.out.push(bits);
        self.text(by);
        if let Some(run) = run {
            put_run(&mut self.out, run);
        }
    }

    fn body(&mut self, body: &'a EventBody, document: Option<&'a Object>) {
        match body {
            EventBody::Telemetry { readings, identity, .. } => {
                if let Some(identity) = identity {
                    self.out.extend(identity.to_le_bytes());
                }
                self.length(readings.len());
                for reading in readings {
                    self.reading(reading);
                }
            }
            EventBody::Twin(change) => {
                self.out.push(change_code(change.change));
                if let Some(document) = document {
                    self.object(document);
                }
            }
            EventBody::Presence { status, reason } => {
                self.out.push(status_code(*status));
                self.text(reason);
            }
            EventBody::Command(change) => self.serde(change),
            EventBody::Alarm(change) => self.serde(change),
            EventBody::Rule(entry) => self.serde(entry),
            EventBody::Signal(signal) => self.serde(signal),
            EventBody::Fleet(change) => self.serde(change),
        }
    }

    /// Encodes rare values of many forms by their serde form.
    fn serde(&mut self, value: &impl Serialize) {
        let json = serde_json::to_vec(value).unwrap_or_default(); // texts, numbers and JSON alone
        self.length(json.len());
        self.out.extend(json);
    }

    fn reading(&mut self, Reading { name, value, unit, quality_score }: &'a Reading) {
        let decimal =
            if let Scalar::Number(number) = value { Decimal::exactly(number.as_str()) } else { None };
        let mut bits = match (value, decimal) {
            (Scalar::Bool(false), _) => tag::FALSE,
            (Scalar::Bool(true), _) => tag::TRUE,
            (Scalar::Text(_), _) => tag::TEXT,
            (Scalar::Number(_), Some(_)) => tag::DECIMAL,
            (Scalar::Number(_), None) => tag::NUMBER_TEXT,
        };
        if unit.is_some() {
            bits |= tag::UNIT;
        }
        if quality_score.is_some() {
            bits |= tag::QUALITY;
        }
        self.out.push(bits);
        self.text(name);
        match (value, decimal) {
            (Scalar::Bool(_), _) => {}
            (Scalar::Text(text), _) => self.text(text),
            (Scalar::Number(_), Some(decimal)) => self.decimal(decimal),
            (Scalar::Number(number), None) => self.text(number.as_str()),
        }
        if let Some(unit) = unit {
            self.text(unit);
        }
        self.out.extend(quality_score);
    }

    fn json(&mut self, json: &'a Json) {
        match json {
            Json::Null => self.out.push(tag::NULL),
            Json::Bool(false) => self.out.push(tag::FALSE),
            Json::Bool(true) => self.out.push(tag::TRUE),
            Json::Number(number) => self.number(number),
            Json::String(text) => {
                self.out.push(tag::TEXT);
                self.text(text);
            }
            Json::Array(items) => {
                self.out.push(tag::ARRAY);
                self.length(items.len());
                for item in items {
                    self.json(item);
                }
            }
            Json::Object(object) => {
                self.out.push(tag::OBJECT);
                self.object(object);
            }
        }
    }

    fn object(&mut self, object: &'a Object) {
        self.length(object.len());
        for (key, value) in object.iter() {
            self.text(key);
            self.json(value);
        }
    }

    fn number(&mut self, number: &'a Number) {
        if let Some(decimal) = Decimal::exactly(number.as_str()) {
            self.out.push(tag::DECIMAL);
            self.decimal(decimal);
        } else {
            self.out.push(tag::NUMBER_TEXT);
            self.text(number.as_str());
        }
    }

    /// The sign is the lowest bit of the scale's byte, so that 64 bits of digits have room.
    fn decimal(&mut self, Decimal { negative, digits, scale }: Decimal) {
        self.out.push(scale << 1 | u8::from(negative));
        put_varint(&mut self.out, digits);
    }

    fn text(&mut self, text: &'a str) {
        let next = self.in_order.len() as u64;
        let index = *self.texts.entry(text).or_insert(next);
        if index == next {
            self.in_order.push(text);
        }
        put_varint(&mut self.out, index);
    }

    fn length(&mut self, length: usize) {
        put_varint(&mut self.out, length as u64);
    }

    fn finish(self, count: u64) -> Vec<u8> {
        let texts: usize = self.in_order.iter().map(|text| text.len() + 2).sum();
        let mut blob = Vec::with_capacity(self.out.len() + texts + 32);
        blob.push(VERSION);
        put_varint(&mut blob, count);
        put_varint(&mut blob, self.in_order.len() as u64);
        for text in self.in_order {
            put_varint(&mut blob, text.len() as u64);
            blob.extend(text.as_bytes());
        }
        blob.extend(self.out);
        blob.extend(checksum(&blob).to_le_bytes());
        blob
    }
}

/// Writes the run of a cause.
pub fn put_run(out: &mut Vec<u8>, run: &RunCause) {
    out.extend(run.id.0.as_bytes());
    out.push(run.depth);
    out.push(if run.even_in_manual { source::EVEN_IN_MANUAL } else { 0 });
}

pub fn source_code(source: Source) -> u8 {
    match source {
        Source::Mqtt => 0,
        Source::Rest => 1,
        Source::WebSocket => 2,
        Source::Rule => 3,
        Source::Schedule => 4,
        Source::Hub => 5,
        Source::Job => 6,
        Source::Import => 7,
    }
}

fn change_code(change: ChangeKind) -> u8 {
    match change {
        ChangeKind::Registered => 0,
        ChangeKind::Claimed => 1,
        ChangeKind::Updated => 2,
        ChangeKind::Reported => 3,
        ChangeKind::Deleted => 4,
        ChangeKind::Scheduled => 5,
        ChangeKind::Skipped => 6,
        ChangeKind::Lifecycle => 7,
        ChangeKind::Firmware => 8,
        ChangeKind::Clock => 9,
        ChangeKind::Told => 10,
        ChangeKind::DeviceClock => 11,
        ChangeKind::Token => 12,
        ChangeKind::Certificate => 13,
    }
}

fn status_code(status: Status) -> u8 {
    match status {
        Status::Online => 1,
        Status::Offline => 2,
    }
}

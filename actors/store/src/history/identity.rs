//! The identities of messages. That of a message with a time and no id is a hash of what is stored anyway: it is made
//! again instead of written, which saves eight bytes a message that nothing else can.
//!
//! This is part of the format: it says the same as [`Telemetry::identity`](twinhub_domain::Telemetry::identity) did when
//! the format began, and stays as it is. An identity that it does not give is written.

use super::integers;
use super::times::SplitTime;
use crate::codec::CodecError;
use crate::codec::bytes::ByteReader;
use twinhub_domain::fingerprint::Fingerprint;
use twinhub_domain::{Reading, Scalar};

/// Forms of an identity.
const NONE: i64 = 0;
const WRITTEN: i64 = 1;
/// By the time and the readings. The form is this plus the zone, in quarter hours, in which the time was written without
/// saying so.
const OF_UTC: i64 = 100;
const QUARTER_MS: i64 = 15 * 60_000;
/// The zones of the earth: UTC-12 to UTC+14.
const FARTHEST: i64 = 14 * 4;

/// Gathers the identities of messages.
#[derive(Default)]
pub struct IdentityColumn {
    forms: Vec<i64>,
    written: Vec<u64>,
    /// The zone in which the message before was written.
    zone: i64,
    /// Messages for which no zone was right, in a row: soon no more is tried than the one before.
    failed: usize,
}

/// Gives identities back.
pub struct Identities {
    forms: std::vec::IntoIter<i64>,
    written: std::vec::IntoIter<u64>,
}

/// With this many messages in a row of no zone, zones are not tried any more.
const HOPELESS: usize = 4;

impl IdentityColumn {
    /// Takes in that of a message of `readings` that says the time `at`.
    pub fn push(&mut self, identity: Option<u64>, at: SplitTime, readings: &[Reading]) {
        let Some(identity) = identity else {
            self.forms.push(NONE);
            return;
        };
        let is = |zone: &i64| of_content(written_in(*zone, at), readings) == identity;
        let elsewhere = (self.failed < HOPELESS).then_some(-FARTHEST..=FARTHEST);
        match [self.zone].into_iter().chain(elsewhere.into_iter().flatten()).find(is) {
            Some(zone) => {
                self.forms.push(OF_UTC + zone);
                (self.zone, self.failed) = (zone, 0);
            }
            None => {
                self.failed += 1;
                self.forms.push(WRITTEN);
                self.written.push(identity);
            }
        }
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        integers::put(out, &self.forms, &[self.forms.len()]);
        for identity in &self.written {
            out.extend(identity.to_le_bytes());
        }
    }
}

impl Identities {
    /// Reads those of `count` messages.
    pub fn get(bytes: &mut ByteReader<'_>, count: usize) -> Result<Self, CodecError> {
        let forms = integers::get(bytes, &[count])?;
        let mut written = Vec::new();
        for _ in forms.iter().filter(|form| **form == WRITTEN) {
            written.push(bytes.u64()?);
        }
        Ok(Self { forms: forms.into_iter(), written: written.into_iter() })
    }

    /// The identity of the next message.
    pub fn next(&mut self, at: SplitTime, readings: &[Reading]) -> Result<Option<u64>, CodecError> {
        match self.forms.next() {
            None | Some(NONE) => Ok(None),
            Some(WRITTEN) => Ok(self.written.next()),
            Some(form) => {
                let zone = form.wrapping_sub(OF_UTC);
                if !(-FARTHEST..=FARTHEST).contains(&zone) {
                    return Err(CodecError::Nonsense("there is no such form of an identity"));
                }
                Ok(Some(of_content(written_in(zone, at), readings)))
            }
        }
    }
}

/// The time as it was written, as if it were UTC.
fn written_in(zone: i64, (millis, nanos): SplitTime) -> SplitTime {
    (millis.wrapping_add(zone * QUARTER_MS), nanos)
}

fn of_content((millis, nanos): SplitTime, readings: &[Reading]) -> u64 {
    let mut print = Fingerprint::default();
    print.field(&millis.to_le_bytes());
    if nanos > 0 {
        print.field(&nanos.to_le_bytes());
    }
    for Reading { name, value, .. } in readings {
        print.field(name.as_bytes());
        match value {
            Scalar::Number(number) => print.field(number.as_str().as_bytes()),
            Scalar::Bool(true) => print.field(b"true"),
            Scalar::Bool(false) => print.field(b"false"),
            Scalar::Text(text) => print.field(text.as_bytes()),
        };
    }
    print.value() & !1
}

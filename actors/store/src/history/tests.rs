//! Tests of the codec: what comes back, what is refused, and how much it takes.

mod columns;
mod damage;
#[path = "../../examples/history_codec/generated.rs"]
mod generated;
mod round_trips;
mod sizes;
mod summaries;

use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use twinhub_domain::cause::{RunCause, Source};
use twinhub_domain::reading::{ClaimedTime, Telemetry};
use twinhub_domain::run::RunId;
use twinhub_domain::{
    Cause, DeviceId, DeviceNumber, Event, EventBody, Number, Reading, ReadingTime, Recorded, Scalar,
    Timestamp,
};

/// Numbers are equal by value; what is stored must be equal by digit.
fn told<'a>(events: impl IntoIterator<Item = &'a Recorded>) -> Vec<String> {
    events.into_iter().map(|recorded| format!("{} {:?}", recorded.seq, recorded.event)).collect()
}

fn refs(events: &[Recorded]) -> Vec<&Recorded> {
    events.iter().collect()
}

fn number(text: &str) -> Scalar {
    Scalar::Number(Number::parse(text).unwrap_or_else(|| panic!("{text} is a number")))
}

/// A message without identity, of a device called `pump`.
fn message(seq: u64, at: i64, readings: Vec<Reading>) -> Recorded {
    let at = Timestamp::from_millis(at);
    let body = EventBody::Telemetry { readings, identity: None, claimed: None, payload: None };
    let cause = Cause::new(Source::Mqtt, "iot/devices/pump/data");
    let device = DeviceId::parse("pump").unwrap();
    Recorded::new(seq, Event { device, number: DeviceNumber(1), at: at.into(), received_at: at, body, cause })
}

fn reading(name: &str, value: Scalar) -> Reading {
    Reading { name: name.into(), value, unit: None, quality_score: None }
}

/// Messages of one series with these values, ten seconds apart.
fn series(values: impl IntoIterator<Item = Scalar>) -> Vec<Recorded> {
    let numbered = (1..).zip(values);
    numbered
        .map(|(seq, value)| message(seq, i64::try_from(seq).unwrap() * 10_000, vec![reading("x", value)]))
        .collect()
}

/// Numbers as texts, of all forms that JSON has.
fn numbers() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (-3_000i64..3_000).prop_map(|tenths| format!("{}{}.{}", if tenths < 0 { "-" } else { "" }, tenths.abs() / 10, tenths.abs() % 10)),
        3 => any::<i64>().prop_map(|whole| whole.to_string()),
        2 => "-?(0|[1-9][0-9]{0,12})(\\.[0-9]{1,12})?",
        2 => any::<f64>().prop_filter("JSON has no others", |value| value.is_finite()).prop_map(|value| format!("{value:?}")),
        2 => (-1e3..1e3f64).prop_map(|value| value.to_string()),
        1 => "-?[1-9][0-9]{17,40}",
        1 => "-?[1-9](\\.[0-9]{1,4})?[eE][+-]?[0-9]{1,2}",
        1 => prop::sample::select(vec!["0", "-0", "-0.0", "0.00", "23.50", "1e3", "1E-7", "1e308", "5e-324", "18446744073709551615",
            "-9223372036854775808", "0.1234567890123456789", "9999999999999999999"]).prop_map(str::to_owned),
    ]
}

fn scalars() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        8 => numbers().prop_map(|text| number(&text)),
        1 => any::<bool>().prop_map(Scalar::Bool),
        1 => prop_oneof!["[a-c]{0,2}", "\\PC{0,20}", Just("\u{1a}\0".to_owned())].prop_map(|text| Scalar::Text(text.into())),
    ]
}

fn readings() -> impl Strategy<Value = Reading> {
    let name = prop_oneof![4 => "[tuv]", 1 => "\\PC{0,12}"];
    let unit = prop_oneof![3 => Just(None), 1 => Just(Some("°C".into())), 1 => Just(Some("".into()))];
    let score = prop_oneof![3 => Just(None), 1 => any::<u8>().prop_map(Some)];
    (name, scalars(), unit, score).prop_map(|(name, value, unit, quality_score)| Reading {
        name: name.into(),
        value,
        unit,
        quality_score,
    })
}

fn causes() -> impl Strategy<Value = Cause> {
    let by = prop_oneof![
        "iot/d-1/data",
        "d-[1-3]",
        "\\PC{0,8}",
        Just("\u{1a}d-1".to_owned()),
        Just(String::new())
    ];
    let run = (any::<u128>(), any::<u8>(), any::<bool>()).prop_map(|(id, depth, even_in_manual)| {
        Arc::new(RunCause { id: RunId(Uuid::from_u128(id)), depth, even_in_manual })
    });
    let run = prop_oneof![3 => Just(None), 1 => run.prop_map(Some)];
    (prop::sample::select(Source::ALL.to_vec()), by, run, any::<bool>())
        .prop_map(|(source, by, run, retained)| Cause { source, by: by.into(), run, retained })
}

/// A time in ms: of now, of any year, twice the same.
fn times() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => (0i64..100_000).prop_map(|later| 1_767_225_600_000 + later),
        1 => Just(1_767_225_600_000i64),
        1 => any::<i64>(),
        1 => -5_000i64..5_000,
        1 => Just(9_300_000_000_000_000i64), // beyond 64 bits of nanoseconds
    ]
}

/// An identity: none, that of the content in some zone, or any.
#[derive(Clone, Debug)]
enum Identity {
    None,
    OfContent(i64),
    Any(u64),
}

fn identities() -> impl Strategy<Value = Identity> {
    prop_oneof![
        Just(Identity::None),
        (-48i64..=56).prop_map(Identity::OfContent),
        Just(Identity::OfContent(0)),
        any::<u64>().prop_map(Identity::Any)
    ]
}

/// Times as devices send them, most without more than milliseconds.
fn fine_times() -> impl Strategy<Value = ReadingTime> {
    let nanos = prop_oneof![3 => Just(0), 1 => 0u32..1_000_000];
    (times(), nanos).prop_map(|(at, nanos)| ReadingTime::new(Timestamp::from_millis(at), nanos))
}

/// Messages of a few devices, as wild as they can be.
fn messages() -> impl Strategy<Value = Vec<Recorded>> {
    let seqs = prop_oneof![3 => 0u64..5_000, 1 => any::<u64>()];
    let claimed = prop_oneof![3 => Just(None), 1 => fine_times().prop_map(Some)];
    let sender = (prop_oneof![Just("d-1"), Just("d-2"), Just("")], -1i64..4, causes());
    let body = (prop::collection::vec(readings(), 0..5), identities(), claimed);
    let one = (seqs, sender, fine_times(), times(), body).prop_map(|(seq, sender, at, received, body)| {
        let (readings, identity, claimed) = body;
        let (device, number, cause) = sender;
        let device = DeviceId::parse(device).unwrap_or_else(|_| DeviceId::none());
        let received_at = Timestamp::from_millis(received);
        let (identity, readings) = match identity {
            Identity::None => (None, readings),
            Identity::Any(any) => (Some(any), readings),
            Identity::OfContent(zone) => {
                let written = claimed.unwrap_or(at).plus_millis(zone * 15 * 60_000);
                let at = Some(ClaimedTime::at(written));
                let telemetry = Telemetry { readings, at, ..Telemetry::default() };
                (telemetry.identity(true), telemetry.readings)
            }
        };
        let body = EventBody::Telemetry { readings, identity, claimed, payload: None };
        let number = DeviceNumber(number);
        Recorded::new(seq, Event { device, number, at, received_at, body, cause })
    });
    prop::collection::vec(one, 0..80)
}

mod automation;
mod layers;

use proptest::prelude::*;

use super::bytes::{Decimal, checksum, put_varint};
use super::*;
use crate::layers::LayerCache;
use twinhub_domain::cause::Source;
use twinhub_domain::command::{CommandChange, CommandStep};
use twinhub_domain::duration::GivenDuration;
use twinhub_domain::event::{ChangeKind, TwinChange};
use twinhub_domain::twin::Patch;
use twinhub_domain::{
    Cause, CommandId, CommandRequest, CommandResult, CommandResultStatus, CommandStatus, DeviceId,
    DeviceNumber, Event, EventBody, Json, Number, Object, Reading, ReadingTime, Recorded, Scalar, Status,
    Timestamp,
};

/// Of events that name no layer.
fn decode(blob: &[u8]) -> Result<Vec<Recorded>, CodecError> {
    super::decode(blob, &LayerCache::default())
}

fn encode<'a>(events: impl IntoIterator<Item = &'a Recorded>) -> Vec<u8> {
    super::encode(events, &LayerCache::default())
}

fn same(one: &[Recorded], other: &[Recorded]) -> bool {
    // Numbers are equal by value; what is stored must be equal by digit.
    let told =
        |events: &[Recorded]| format!("{:?}", events.iter().map(|e| (e.seq, &e.event)).collect::<Vec<_>>());
    told(one) == told(other)
}

fn check_decimal(text: &str, exact: bool) {
    let decimal = Decimal::exactly(text);
    assert_eq!(decimal.is_some(), exact, "{text}");
    if let Some(decimal) = decimal {
        let mut back = String::new();
        decimal.write(&mut back);
        assert_eq!(back, text);
    }
}

#[test]
fn decimals_keep_their_text_or_stay_text() {
    for text in
        ["0", "-0", "7", "23.50", "-0.05", "0.000", "1000000", "9999999999999999999", "0.1234567890123456789"]
    {
        check_decimal(text, text.len() <= 20);
    }
    for text in ["1e3", "1E-7", "00", "01.5", "1.", ".5", "", "-", "123456789012345678901234567890", "+1"] {
        check_decimal(text, false);
    }
}

#[test]
fn a_message_takes_few_bytes() {
    let event = |seq: u64| {
        let reading = |name: &str, text: &str, unit: &str| Reading {
            name: name.into(),
            value: Scalar::Number(Number::parse(text).unwrap()),
            unit: Some(unit.into()),
            quality_score: None,
        };
        let readings = vec![
            reading("temperature", "23.51", "°C"),
            reading("humidity", "45.2", "%"),
            reading("pressure", "1013.25", "hPa"),
        ];
        let at = Timestamp::from_millis(1_767_268_800_000 + i64::try_from(seq).unwrap() * 10_000);
        let body = EventBody::Telemetry { readings, identity: None, claimed: None, payload: None };
        let device = DeviceId::parse("pump-1").unwrap();
        let cause = Cause::new(Source::Mqtt, "iot/devices/pump-1/data");
        Recorded::new(
            seq,
            Event { device, number: DeviceNumber(1), at: at.into(), received_at: at, body, cause },
        )
    };
    let events: Vec<_> = (1..=256).map(event).collect();
    let blob = encode(&events);
    assert!(blob.len() < 256 * 26, "{} bytes", blob.len());
    assert!(same(&decode(&blob).unwrap(), &events));
}

/// All steps of a command come back, and every way in which a document changes.
#[test]
fn steps_and_changes_come_back() {
    let answer =
        |status| CommandResult { status, response: Some("3.10".parse().unwrap()), reason: Some("so".into()) };
    let bare = |status| CommandResult { status, response: None, reason: None };
    let at = Timestamp::from_millis(1_767_268_800_000);
    let request =
        CommandRequest { supersedes: Some("s".into()), ..CommandRequest::new("reboot", Object::default()) };
    let mut steps = vec![
        CommandStep::Queued(Box::new(request)),
        CommandStep::Sent { attempt: 1 },
        CommandStep::Returned { reason: "away".into(), not_before: None, uncounted: true },
        CommandStep::Returned { reason: "no answer".into(), not_before: Some(at), uncounted: false },
    ];
    for status in [
        CommandResultStatus::Delivered,
        CommandResultStatus::Executed,
        CommandResultStatus::Failed,
        CommandResultStatus::Rejected,
    ] {
        steps.extend([
            CommandStep::Answered(answer(status)),
            CommandStep::Answered(bare(status)),
            CommandStep::Late(answer(status)),
            CommandStep::Late(bare(status)),
        ]);
    }
    let by = CommandId(uuid::Uuid::from_u128(7));
    for status in CommandStatus::ALL {
        steps.push(CommandStep::Ended { status, reason: "over".into(), by: None });
        steps.push(CommandStep::Ended { status, reason: String::new().into(), by: Some(by) });
    }
    let id = CommandId(uuid::Uuid::from_u128(1 << 100));
    let mut bodies: Vec<EventBody> =
        steps.into_iter().map(|step| EventBody::Command(Box::new(CommandChange { id, step }))).collect();
    for change in [ChangeKind::Scheduled, ChangeKind::Skipped, ChangeKind::Told] {
        bodies.push(EventBody::Twin(TwinChange::empty(change)));
    }
    let device = DeviceId::parse("pump-1").unwrap();
    let event = |(seq, body): (u64, EventBody)| {
        let (device, cause) = (device.clone(), Cause::new(Source::Schedule, "entry 0"));
        Recorded::new(
            seq,
            Event { device, number: DeviceNumber(1), at: at.into(), received_at: at, body, cause },
        )
    };
    let events: Vec<Recorded> = (1..).zip(bodies).map(event).collect();
    let back = decode(&encode(&events)).unwrap();
    assert!(same(&back, &events), "{back:?}");
}

/// Bytes of version 1, before there were rules: a message, a change, a presence and a step of a command.
const VERSION_1: &str = "0104070670756d702d310178017403c2b0430764657369726564026f6e05686561726404028ad8ee96ef6609\
    000200016300000000000000011c0204ae12035a190209020104030502020a090002050101061b02094b7b22\
    6964223a2230303030303030302d303030302d303030302d303030302d303030303030303030303037222c22\
    73746570223a7b2273656e74223a7b22617474656d7074223a327d7d7dee2754082a458f4d";

#[test]
fn what_version_1_wrote_is_read() {
    let at = Timestamp::from_millis(1_767_268_800_000);
    let reading = Reading {
        name: "t".into(),
        value: Scalar::Number(Number::parse("23.50").unwrap()),
        unit: Some("°C".into()),
        quality_score: Some(90),
    };
    let patch = Patch::read([("desired", Json::from("on"))].into_iter().collect());
    let id = CommandId(uuid::Uuid::from_u128(7));
    let bodies = [
        EventBody::Telemetry { readings: vec![reading], identity: Some(99), claimed: None, payload: None },
        EventBody::Twin(TwinChange { change: ChangeKind::Updated, patch }),
        EventBody::Presence { status: Status::Online, reason: "heard".into() },
        EventBody::Command(Box::new(CommandChange { id, step: CommandStep::Sent { attempt: 2 } })),
    ];
    let event = |(seq, body): (u64, EventBody)| {
        let (device, number) = (DeviceId::parse("pump-1").unwrap(), DeviceNumber(1));
        let cause = Cause::new(if seq < 3 { Source::Mqtt } else { Source::Hub }, "x");
        let received_at = at.plus_millis(i64::try_from(seq % 2).unwrap() * 5);
        Recorded::new(seq, Event { device, number, at: at.into(), received_at, body, cause })
    };
    let events: Vec<Recorded> = (1..).zip(bodies).map(event).collect();
    let mut blob = encode(&events);
    blob.truncate(blob.len() - 8);
    blob[0] = FIRST_VERSION;
    blob.extend(checksum(&blob).to_le_bytes());
    let text: String = blob.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(text, VERSION_1, "the form of what version 1 knew has not changed");
    assert!(same(&decode(&blob).unwrap(), &events));
}

/// Messages of a device that says no time, one, and one that is not believed: bytes of version 5, which knew whole
/// milliseconds alone.
const VERSION_5: &str = "0503030670756d702d3101780174080290dbee96ef660002000101040202eb01100200990101040202eb0158\
    0200f0a4e2fdc50d01040202eb01c6d33490df4dab95";

#[test]
fn what_version_5_wrote_is_read_and_costs_no_byte_more() {
    let at = |nanos: u32| ReadingTime::new(Timestamp::from_millis(1_767_268_800_123), nanos);
    let message = |seq: u64, at: ReadingTime, claimed: Option<ReadingTime>| {
        let (device, number) = (DeviceId::parse("pump-1").unwrap(), DeviceNumber(1));
        let value = Scalar::Number(Number::parse("23.5").unwrap());
        let readings = vec![Reading { name: "t".into(), value, unit: None, quality_score: None }];
        let body = EventBody::Telemetry { readings, identity: None, claimed, payload: None };
        let (received_at, cause) = (Timestamp::from_millis(1_767_268_800_200), Cause::new(Source::Mqtt, "x"));
        Recorded::new(seq, Event { device, number, at, received_at, body, cause })
    };
    let messages = |nanos: u32| {
        let received = Timestamp::from_millis(1_767_268_800_200).into();
        let far = ReadingTime::new(Timestamp::from_millis(2_000_000_000_000), nanos);
        [message(1, received, None), message(2, at(nanos), None), message(3, received, Some(far))]
    };
    let whole = encode(&messages(0));
    let mut of_5 = whole.clone();
    of_5.truncate(of_5.len() - 8);
    of_5[0] = 5;
    of_5.extend(checksum(&of_5).to_le_bytes());
    let text: String = of_5.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(text, VERSION_5);
    assert!(same(&decode(&of_5).unwrap(), &messages(0)));
    // Three bytes each in the second and the third, and a zero in the third for the time of its arrival.
    let finer = encode(&messages(999_999));
    assert_eq!(finer.len(), whole.len() + 3 + 1 + 3);
    assert!(same(&decode(&finer).unwrap(), &messages(999_999)));
}

#[test]
fn says_what_is_wrong() {
    let blob = encode(&[]);
    assert_eq!(decode(&blob).map(|events| events.len()), Ok(0));
    assert_eq!(decode(&[]).err(), Some(CodecError::Short));
    assert_eq!(decode(&[9; 20]).err(), Some(CodecError::Version(9)));
    assert_eq!(decode(&[VERSION; 20]).err(), Some(CodecError::Checksum));
}

fn any_number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<f64>().prop_filter_map("finite", Number::from_f64),
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,2})?"
            .prop_filter_map("finite", |text| Number::parse(&text)),
    ]
}

fn any_scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        4 => any_number().prop_map(Scalar::Number),
        1 => any::<bool>().prop_map(Scalar::Bool),
        1 => ".{0,12}".prop_map(|text| Scalar::Text(text.into())),
    ]
}

fn any_reading() -> impl Strategy<Value = Reading> {
    ("[a-z]{1,3}", any_scalar(), prop::option::of(".{0,3}"), prop::option::of(0..=100u8)).prop_map(
        |(name, value, unit, quality_score)| Reading {
            name: name.into(),
            value,
            unit: unit.map(Into::into),
            quality_score,
        },
    )
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any_number().prop_map(Json::Number),
        ".{0,6}".prop_map(Json::from),
    ];
    leaf.prop_recursive(5, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| Json::Array(items.into())),
            prop::collection::vec((".{0,3}", inner), 0..4)
                .prop_map(|entries| Json::Object(entries.into_iter().collect())),
        ]
    })
}

fn any_id() -> impl Strategy<Value = CommandId> {
    any::<u128>().prop_map(|id| CommandId(uuid::Uuid::from_u128(id)))
}

fn any_text() -> impl Strategy<Value = Box<str>> {
    ".{0,9}".prop_map(Into::into)
}

fn any_request() -> impl Strategy<Value = CommandRequest> {
    let parameters = prop::collection::vec((".{0,3}", any_json()), 0..4)
        .prop_map(|entries| entries.into_iter().collect::<Object>());
    let keys = (prop::option::of(any_text()), prop::option::of(any_text()));
    (any_text(), parameters, any::<(u8, i64, i64, u8)>(), keys).prop_map(
        |(command_type, parameters, numbers, (supersedes, idempotency_key))| CommandRequest {
            command_type,
            parameters,
            priority: numbers.0,
            ttl: GivenDuration::from_ms(numbers.1),
            timeout: GivenDuration::from_ms(numbers.2),
            max_attempts: numbers.3,
            supersedes,
            idempotency_key,
        },
    )
}

fn any_answer() -> impl Strategy<Value = CommandResult> {
    let status = prop::sample::select(vec![
        CommandResultStatus::Delivered,
        CommandResultStatus::Executed,
        CommandResultStatus::Failed,
        CommandResultStatus::Rejected,
    ]);
    // A response of null is none: so it is where answers come in.
    let response = prop::option::of(any_json()).prop_map(|response| response.filter(|r| *r != Json::Null));
    (status, response, prop::option::of(any_text())).prop_map(|(status, response, reason)| CommandResult {
        status,
        response,
        reason,
    })
}

fn any_step() -> impl Strategy<Value = (CommandId, CommandStep)> {
    // As far as RFC 3339 goes: times are text in there.
    let time = || any::<i64>().prop_map(Timestamp::from_millis);
    let step = prop_oneof![
        any_request().prop_map(|request| CommandStep::Queued(Box::new(request))),
        any::<u8>().prop_map(|attempt| CommandStep::Sent { attempt }),
        (any_text(), prop::option::of(time()), any::<bool>()).prop_map(|(reason, not_before, uncounted)| {
            CommandStep::Returned { reason, not_before, uncounted }
        }),
        any_answer().prop_map(CommandStep::Answered),
        any_answer().prop_map(CommandStep::Late),
        (prop::sample::select(CommandStatus::ALL.to_vec()), any_text(), prop::option::of(any_id()))
            .prop_map(|(status, reason, by)| CommandStep::Ended { status, reason, by }),
    ];
    (any_id(), step)
}

fn any_claim() -> impl Strategy<Value = Option<ReadingTime>> {
    prop::option::weighted(0.2, any_reading_time())
}

fn any_reading_time() -> impl Strategy<Value = ReadingTime> {
    let nanos = prop_oneof![Just(0), 0..1_000_000_u32];
    (any::<i64>(), nanos).prop_map(|(millis, nanos)| ReadingTime::new(Timestamp::from_millis(millis), nanos))
}

fn any_body() -> impl Strategy<Value = EventBody> {
    let change = prop_oneof![
        Just(ChangeKind::Registered),
        Just(ChangeKind::Claimed),
        Just(ChangeKind::Updated),
        Just(ChangeKind::Reported),
        Just(ChangeKind::Deleted),
        Just(ChangeKind::Scheduled),
        Just(ChangeKind::Skipped),
        Just(ChangeKind::Clock),
        Just(ChangeKind::DeviceClock),
        Just(ChangeKind::Token),
    ];
    let status = prop::sample::select(Status::ALL.to_vec());
    prop_oneof![
        3 => (prop::collection::vec(any_reading(), 0..5), any::<Option<u64>>(), any_claim())
            .prop_map(|(readings, identity, claimed)| EventBody::Telemetry { readings, identity, claimed, payload: None }),
        1 => (change, prop::collection::vec(("[a-z]{0,4}", any_json()), 0..4)).prop_map(|(change, patch)| {
            EventBody::Twin(TwinChange { change, patch: Patch::read(patch.into_iter().collect()) })
        }),
        1 => (status, ".{0,9}").prop_map(|(status, reason)| EventBody::Presence { status, reason: reason.into() }),
        1 => any_step().prop_map(|(id, step)| EventBody::Command(Box::new(CommandChange { id, step }))),
        2 => automation::any_body(),
    ]
}

fn any_event() -> impl Strategy<Value = Recorded> {
    let time = || any::<i64>().prop_map(Timestamp::from_millis);
    let times = prop_oneof![time().prop_map(|at| (at.into(), at)), (any_reading_time(), time())];
    // `c` stands for no device.
    (any::<u64>(), "[a-c]", 0..3i64, times, any_body(), automation::any_cause()).prop_map(
        |(seq, device, number, (at, received_at), body, cause)| {
            let device = if device == "c" { DeviceId::none() } else { DeviceId::parse(&device).unwrap() };
            Recorded::new(seq, Event { device, number: DeviceNumber(number), at, received_at, body, cause })
        },
    )
}

proptest! {
    #[test]
    fn events_come_back_as_they_were(events in prop::collection::vec(any_event(), 0..12)) {
        let back = decode(&encode(&events)).unwrap();
        prop_assert!(same(&back, &events), "{back:?}\n{events:?}");
    }

    #[test]
    fn damage_is_noticed(
        events in prop::collection::vec(any_event(), 1..4),
        place in any::<prop::sample::Index>(),
        bits in 1..=255u8,
    ) {
        let mut blob = encode(&events);
        let place = place.index(blob.len());
        blob[place] ^= bits;
        prop_assert!(decode(&blob).is_err());
        blob.truncate(place);
        prop_assert!(decode(&blob).is_err());
    }

    /// Even with a checksum that fits.
    #[test]
    fn nonsense_is_an_error_and_no_panic(
        events in prop::collection::vec(any_event(), 0..4),
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        huge in any::<u64>(),
    ) {
        let with_sum = |mut body: Vec<u8>| {
            let sum = checksum(&body);
            body.extend(sum.to_le_bytes());
            body
        };
        let mut body = encode(&events);
        body.truncate(body.len() - 8);
        for (place, byte) in noise {
            let place = place.index(body.len());
            body[place] = byte;
        }
        let _ = decode(&with_sum(body));
        let mut counted = vec![VERSION];
        put_varint(&mut counted, huge);
        put_varint(&mut counted, huge);
        let _ = decode(&with_sum(counted));
    }

    #[test]
    fn any_decimal_comes_back(text in "-?(0|[1-9][0-9]{0,21})(\\.[0-9]{1,21})?") {
        if let Some(decimal) = Decimal::exactly(&text) {
            let mut back = String::new();
            decimal.write(&mut back);
            prop_assert_eq!(back, text);
        }
    }
}

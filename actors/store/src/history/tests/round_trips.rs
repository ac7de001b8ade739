//! Everything that was written comes back.

use super::*;
use crate::codec;
use crate::layers::LayerCache;
use twinhub_domain::Status;

fn check(events: &[Recorded]) {
    let chunk = encode_chunk(&refs(events));
    let back = decode_chunk(&chunk.body).unwrap();
    assert_eq!(told(&back), told(events));
    let summary = Summary::decode(&chunk.summary).unwrap();
    assert_eq!(format!("{summary:?}"), format!("{:?}", Summary::of(&refs(events))));
    for name in summary.series.keys() {
        let expected = decode_numbers(&codec::encode(events, &LayerCache::default()), name).unwrap();
        let found = decode_numbers(&chunk.body, name).unwrap();
        assert_eq!(found, expected, "{name}");
    }
    assert_eq!(decode_numbers(&chunk.body, "there is none").unwrap(), NumberColumn::default());
}

proptest! {
    #[test]
    fn chunks_come_back(events in messages()) {
        check(&events);
    }

    #[test]
    fn blocks_come_back_in_their_order(events in messages(), presences in prop::collection::vec(any::<bool>(), 80), after in 0usize..90) {
        let mut seq = 0;
        let events: Vec<Recorded> = events.into_iter().zip(presences).map(|(recorded, is_presence)| {
            seq += 1 + recorded.seq % 3;
            let mut event = recorded.event;
            if is_presence {
                event.body = EventBody::Presence { status: Status::Online, reason: "heard".into() };
            }
            Recorded::new(seq, event)
        }).collect();
        let layers = LayerCache::default();
        let block = encode_block(&refs(&events), &layers);
        let after = events.get(after).map_or(0, |recorded| recorded.seq);
        let expected = || events.iter().filter(|recorded| recorded.seq > after);
        prop_assert_eq!(told(&decode_block(&block, after, &layers).unwrap()), told(expected()));
        let is_log = |recorded: &&Recorded| !matches!(recorded.event.body, EventBody::Telemetry { .. });
        let log = decode_block_log(&block, &layers).unwrap();
        prop_assert_eq!(told(&log), told(events.iter().filter(is_log)));
        let row_wise = codec::encode(&events, &layers);
        prop_assert_eq!(told(&decode_block(&row_wise, after, &layers).unwrap()), told(expected()));
        prop_assert_eq!(told(&decode_block_log(&row_wise, &layers).unwrap()), told(events.iter().filter(is_log)));
    }
}

/// Each with digits that another form would lose.
#[test]
fn digits_come_back_as_they_came() {
    let columns: [&[&str]; 10] = [
        &["23.50", "23.51", "23.00"],
        &["23.5", "23", "23.25", "0", "-7"],
        &["23.5", "23.0", "23.25", "0.0", "-7.0"],
        &["23.50", "23.5", "23", "23.000"],
        &["1e3", "1E3", "1e-7", "-0", "-0.0", "0"],
        &["0.1", "0.30000000000000004", "2.220446049250313e-16", "1.7976931348623157e308", "5e-324"],
        &["18446744073709551615", "-9223372036854775808", "9223372036854775807", "1"],
        &["123456789012345678901234567890", "-1", "0.000000000000000000000000001"],
        &["9007199254740993", "9007199254740992.5", "9999999999999999999"],
        &["1.5", "2.5", "3.5", "0.123456789012345678"],
    ];
    for texts in columns {
        check(&series(texts.iter().map(|text| number(text))));
    }
}

#[test]
fn few_and_many_and_alike_come_back() {
    check(&[]);
    check(&[message(1, 0, Vec::new())]);
    check(&series((0..300).map(|index| number(&(index % 7).to_string()))));
    check(&series((0..300).map(|_| Scalar::Bool(true))));
    check(&series(
        (0..300).map(|index| if index % 50 == 0 { Scalar::Text("on".into()) } else { number("1.5") }),
    ));
    let alike: Vec<Recorded> =
        (0..5_000).map(|_| message(7, 0, vec![reading("x", number("1")); 20])).collect();
    check(&alike);
}

#[test]
fn a_name_may_come_twice_in_a_message_and_nowhere_in_another() {
    let of = |texts: &[&str]| texts.iter().map(|text| reading("x", number(text))).collect::<Vec<_>>();
    check(&[message(1, 5, of(&["1", "2"])), message(2, 5, of(&[])), message(3, 4, of(&["3.5"]))]);
}

/// Other events than telemetry, and too much of it, are written row by row.
#[test]
fn what_does_not_fit_is_written_row_by_row() {
    let mut events = series([number("1"), number("2")]);
    events[1].event.body = EventBody::Presence { status: Status::Offline, reason: "silent".into() };
    let chunk = encode_chunk(&refs(&events));
    assert!(chunk.body[0] < 0x20, "row by row");
    assert_eq!(told(&decode_chunk(&chunk.body).unwrap()), told(&events));
    let large = vec![reading("x", Scalar::Bool(true)); 200_000];
    let events = [message(1, 5, large)];
    let chunk = encode_chunk(&refs(&events));
    assert!(chunk.body[0] < 0x20, "row by row");
    let block = encode_block(&refs(&events), &LayerCache::default());
    assert!(block[0] < 0x20, "row by row");
}

/// The identity that is not written is the one that messages are known by.
#[test]
fn identities_of_messages_with_times_are_not_written() {
    let messages = generated::temperature(200);
    let identities = |event: &Event| matches!(event.body, EventBody::Telemetry { identity: Some(_), .. });
    assert!(messages.iter().all(|recorded| identities(&recorded.event)));
    let without: Vec<Recorded> = messages
        .iter()
        .map(|recorded| {
            let mut event = recorded.event.clone();
            if let EventBody::Telemetry { identity, .. } = &mut event.body {
                *identity = None;
            }
            Recorded::new(recorded.seq, event)
        })
        .collect();
    let (with, without) = (encode_chunk(&refs(&messages)).body, encode_chunk(&refs(&without)).body);
    assert!(with.len() <= without.len() + 2, "{} and {} bytes", with.len(), without.len());
}

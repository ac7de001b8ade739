//! QoS 2: once, however often it is sent.

use super::raw::{Raw, publish};
use super::*;

const PUBREC: [u8; 4] = [0x50, 2, 0, 7];
const PUBREL: [u8; 4] = [0x62, 2, 0, 7];
const PUBCOMP: [u8; 4] = [0x70, 2, 0, 7];
const DUP: u8 = 8;

fn message(v5: bool, flags: u8) -> Vec<u8> {
    publish(4 | flags, DATA, Some(7), if v5 { &[0] } else { &[] }, b"1")
}

#[tokio::test]
async fn a_message_sent_three_times_before_its_release_is_taken_in_once() {
    for v5 in [false, true] {
        let test_intake = TestIntake::with_room(10);
        let broker = start(&test_intake).await;
        let (mut device, _) = Raw::connect(&broker, v5, "device", true).await;
        for flags in [0, 0, DUP] {
            device.send(&message(v5, flags)).await;
        }
        assert!(device.until_pong().await.is_empty(), "nothing is acknowledged before it is stored");
        test_intake.next().await.settle();
        for _ in 0..3 {
            assert_eq!(device.read().await, PUBREC);
        }
        device.send(&message(v5, DUP)).await;
        assert_eq!(device.read().await, PUBREC, "after it was stored, too");
        assert!(test_intake.is_empty());
        device.send(&PUBREL).await;
        assert_eq!(device.read().await, PUBCOMP);
        device.send(&message(v5, 0)).await;
        test_intake.next().await.settle(); // the id is another message's now
        assert_eq!(device.read().await, PUBREC);
    }
}

#[tokio::test]
async fn a_message_sent_again_after_reconnecting_is_taken_in_once() {
    for v5 in [false, true] {
        for stored_before in [true, false] {
            let test_intake = TestIntake::with_room(10);
            let broker = start(&test_intake).await;
            let (mut device, _) = Raw::connect(&broker, v5, "device", false).await;
            device.send(&message(v5, 0)).await;
            let mut held = Some(test_intake.next().await);
            if stored_before {
                held.take().unwrap().settle();
                assert_eq!(device.read().await, PUBREC);
            }
            drop(device);
            let (mut device, resumed) = Raw::connect(&broker, v5, "device", false).await;
            assert!(resumed);
            device.send(&message(v5, DUP)).await;
            if let Some(held) = held {
                assert!(device.until_pong().await.is_empty(), "the first is not stored yet");
                held.settle();
            }
            assert_eq!(device.read().await, PUBREC);
            assert!(test_intake.is_empty());
            device.send(&PUBREL).await;
            assert_eq!(device.read().await, PUBCOMP);
        }
    }
}

#[tokio::test]
async fn a_release_over_the_next_connection_is_as_good() {
    for v5 in [false, true] {
        let test_intake = TestIntake::with_room(10);
        let broker = start(&test_intake).await;
        let (mut device, _) = Raw::connect(&broker, v5, "device", false).await;
        device.send(&message(v5, 0)).await;
        test_intake.next().await.settle();
        assert_eq!(device.read().await, PUBREC);
        drop(device);
        let (mut device, resumed) = Raw::connect(&broker, v5, "device", false).await;
        assert!(resumed);
        device.send(&PUBREL).await;
        assert_eq!(device.read().await, PUBCOMP, "MQTT 5: {v5}");
    }
}

#[tokio::test]
async fn a_release_of_nothing_is_answered_in_the_clients_own_version() {
    let broker = start(&TestIntake::with_room(10)).await;
    for (v5, answer) in [(false, &PUBCOMP[..]), (true, &[0x70, 4, 0, 7, 0x92, 0])] {
        let (mut device, _) = Raw::connect(&broker, v5, "device", true).await;
        device.send(&PUBREL).await;
        assert_eq!(device.read().await, answer, "MQTT 5: {v5}");
    }
}

/// More of them than the broker takes unreleased: a client releases none that was refused.
#[tokio::test]
async fn refused_messages_are_not_waited_for() {
    let limits = RetainedLimits { message: 0, total: 0 };
    let settings = BrokerSettings { retained: limits, ..Default::default() };
    let broker = start_with(&TestIntake::with_room(10), settings).await;
    let (mut device, _) = Raw::connect(&broker, true, "device", true).await;
    for id in 1..=u16::try_from(gate::MOST_UNSETTLED).unwrap() + 10 {
        device.send(&publish(5, "other/topic", Some(id), &[0], b"1")).await;
        let [high, low] = id.to_be_bytes();
        assert_eq!(device.read().await, [0x50, 3, high, low, 0x97]);
    }
    assert!(device.until_pong().await.is_empty(), "nothing is completed that the client did not release");
    let forged = publish(4, "iot/devices/pump-1/commands", Some(7), &[0], b"1");
    device.send(&forged).await;
    assert_eq!(device.read().await, [0x50, 3, 0, 7, 0x87]);
    device.send(&publish(4, "other/topic", Some(7), &[0], b"1")).await;
    assert_eq!(device.read().await, PUBREC, "the id may be used again");
    device.send(&PUBREL).await;
    assert_eq!(device.read().await, PUBCOMP);
}

#[tokio::test]
async fn a_lost_message_and_one_of_a_new_session_are_taken_in_anew() {
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    let (mut device, _) = Raw::connect(&broker, true, "device", false).await;
    device.send(&message(true, 0)).await;
    test_intake.next().await.lose();
    assert_eq!(device.read_to_end().await, b"");
    let (mut device, _) = Raw::connect(&broker, true, "device", false).await;
    device.send(&message(true, DUP)).await;
    test_intake.next().await.settle();
    assert_eq!(device.read().await, PUBREC);
    drop(device);
    let (mut device, resumed) = Raw::connect(&broker, true, "device", true).await;
    assert!(!resumed);
    device.send(&message(true, 0)).await;
    test_intake.next().await.settle();
    assert_eq!(device.read().await, PUBREC);
}

#[tokio::test]
async fn other_subscribers_get_it_once() {
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    let (mut app, _) = Raw::connect(&broker, false, "app", true).await;
    app.send(&raw::subscribe(false, 1, &[(DATA, 0)])).await;
    app.read().await;
    let (mut device, _) = Raw::connect(&broker, false, "device", true).await;
    for flags in [0, DUP, DUP] {
        device.send(&message(false, flags)).await;
    }
    test_intake.next().await.settle();
    for _ in 0..3 {
        device.read().await;
    }
    device.send(&PUBREL).await;
    device.read().await;
    assert_eq!(app.all().await, [publish(0, DATA, None, &[], b"1")]);
}

#[tokio::test]
async fn a_session_that_releases_nothing_is_not_held_without_end() {
    let test_intake = TestIntake::with_room(10);
    let broker = start(&test_intake).await;
    let most = u16::try_from(gate::MOST_UNSETTLED).unwrap();
    for (ids, ends) in [(1..=most, false), (most + 1..=most + 1, true)] {
        let (mut device, _) = Raw::connect(&broker, false, "device", false).await;
        for id in ids {
            device.send(&publish(4, "other/topic", Some(id), &[], &[b'x'; 1_000])).await;
            if !ends {
                assert_eq!(device.read().await[..2], PUBREC[..2], "{id}");
            }
        }
        if ends {
            assert_eq!(device.read_to_end().await, b"");
        }
    }
}

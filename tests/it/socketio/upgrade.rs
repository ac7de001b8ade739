//! The upgrade from polls to a WebSocket.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{PolledSession, publish};
use crate::support::hub::Installation;
use crate::support::{HubProcess, MqttDevice};

/// Upgrades at once, and one after the other.
const AT_ONCE: usize = 8;
const ROUNDS: usize = 5;
/// Messages that each client gets over its WebSocket, after those over polls.
const AFTER: u64 = 20;

#[tokio::test]
async fn packets_are_held_back_until_the_client_goes_over() {
    let hub = Installation::new().start().await;
    let session = PolledSession::joined(hub.http).await;
    let mut socket = session.open_socket().await;
    let hanging = session.poll();
    let upgrading = async {
        socket.send("2probe").await;
        assert_eq!(socket.next().await.unwrap(), "3probe");
    };
    let (polled, ()) = tokio::join!(hanging, upgrading);
    assert_eq!((polled.status, &*polled.body), (200, "6"));
    publish(&hub, "a", r#"{"n":1}"#).await;
    assert_eq!(session.poll().await.body, "6", "nothing comes by polls any more");
    socket.send("5").await;
    assert!(socket.next().await.unwrap().contains("\"n\":1"));
    let late = session.poll().await;
    assert_eq!((late.status, &*late.body), (400, "\"Invalid transport\""));
    publish(&hub, "a", r#"{"n":2}"#).await;
    assert!(socket.next().await.unwrap().contains("\"n\":2"), "what was refused has ended nothing");
}

#[tokio::test]
async fn a_client_that_does_not_wait_for_the_answer_goes_over_too() {
    let hub = Installation::new().start().await;
    let session = PolledSession::joined(hub.http).await;
    let mut socket = session.open_socket().await;
    socket.send("2probe").await;
    socket.send("5").await;
    assert_eq!(socket.next().await.unwrap(), "3probe");
    publish(&hub, "a", r#"{"n":1}"#).await;
    assert!(socket.next().await.unwrap().contains("\"n\":1"));
}

#[tokio::test]
async fn polls_go_on_where_an_upgrade_fails() {
    let hub = Installation::new().start().await;
    let session = PolledSession::joined(hub.http).await;
    let mut socket = session.open_socket().await;
    socket.send("4early").await;
    assert_eq!(socket.next().await, None);
    let socket = session.open_socket().await;
    drop(socket);
    publish(&hub, "a", r#"{"n":1}"#).await;
    assert!(session.next().await.contains("\"n\":1"));
}

/// Numbered messages come the whole time, while many clients go over one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_load_nothing_is_lost_or_doubled() {
    let hub = Arc::new(Installation::new().start().await);
    let is_over = Arc::new(AtomicBool::new(false));
    let publisher = tokio::spawn(publish_numbers(Arc::clone(&hub), Arc::clone(&is_over)));
    for _ in 0..ROUNDS {
        let clients: Vec<_> = (0..AT_ONCE).map(|_| tokio::spawn(upgrade(hub.http))).collect();
        for client in clients {
            client.await.unwrap();
        }
    }
    is_over.store(true, Ordering::Relaxed);
    let published = publisher.await.unwrap();
    assert!(published > AFTER, "{published}");
}

async fn publish_numbers(hub: Arc<HubProcess>, is_over: Arc<AtomicBool>) -> u64 {
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "counter").await.unwrap();
    let mut n = 0;
    while !is_over.load(Ordering::Relaxed) {
        device.publish(n, "iot/devices/counter/data", format!("{{\"n\":{n}}}").as_bytes()).await.unwrap();
        n += 1;
        if device.unacknowledged() > 4 {
            device.next().await.unwrap();
        }
    }
    n
}

/// A client that polls, goes over while it polls, and holds all numbers against the ones before.
async fn upgrade(hub: std::net::SocketAddr) {
    let session = PolledSession::joined(hub).await;
    let mut numbers = Vec::new();
    numbers.extend(numbers_in(&session.next().await));
    let mut socket = session.open_socket().await;
    let polls = async {
        let mut polled = Vec::new();
        loop {
            let body = session.next().await;
            if body == "6" {
                return polled;
            }
            polled.extend(numbers_in(&body));
        }
    };
    let probe = async {
        socket.send("2probe").await;
        assert_eq!(socket.next().await.unwrap(), "3probe");
    };
    let (polled, ()) = tokio::join!(polls, probe);
    numbers.extend(polled);
    socket.send("5").await;
    let enough = numbers.last().unwrap() + AFTER;
    while numbers.last() < Some(&enough) {
        numbers.extend(numbers_in(&socket.next().await.unwrap()));
    }
    let expected: Vec<u64> = (numbers[0]..).take(numbers.len()).collect();
    assert_eq!(numbers, expected);
}

fn numbers_in(payload: &str) -> Vec<u64> {
    let number = |packet: &str| packet.split_once("\"n\":")?.1.trim_end_matches(['}', ']']).parse().ok();
    payload.split('\u{1e}').filter_map(number).collect()
}

//! Limits of clients, subscriptions and sessions.

use super::raw::{Raw, connect, packet, publish, subscribe, text};
use super::*;

/// The code of a CONNACK that refuses the client.
async fn refused(broker: &EmbeddedBroker, v5: bool, id: &str) -> Vec<u8> {
    let mut raw = Raw::open(broker).await;
    raw.send(&connect(v5, id, true)).await;
    raw.read_to_end().await
}

async fn connects(broker: &EmbeddedBroker, id: &str) -> Raw {
    Raw::connect(broker, false, id, true).await.0
}

#[tokio::test]
async fn clients_beyond_the_limit_are_refused() {
    let test_intake = TestIntake::knowing(&["pump-1", "pump-2"]);
    let broker = start_with(&test_intake, BrokerSettings { most_clients: 10, ..Default::default() }).await;
    let mut clients = Vec::new();
    for number in 0..9 {
        clients.push(connects(&broker, &format!("client-{number}")).await);
    }
    assert_eq!(refused(&broker, false, "one-more").await, [0x20, 2, 0, 3], "server unavailable");
    let connack = refused(&broker, true, "one-more").await;
    let reason = "connection limit reached";
    assert_eq!(connack[2..8], [0, 0x97, 27, 0x1f, 0, 24], "{connack:x?}");
    assert_eq!(connack[8..], *reason.as_bytes());

    // The tenth place is a known device's.
    let device = connects(&broker, "pump-1").await;
    assert_eq!(refused(&broker, false, "pump-2").await, [0x20, 2, 0, 3]);
    assert_eq!(broker.state().connections, 10);
    let figures = broker.state().broker.unwrap();
    assert_eq!((figures.most_connections, figures.connections_refused), (10, 3));
    // A client that is there may come back before his old connection is seen to have gone.
    let again = connects(&broker, "client-3").await;
    drop((device, again, clients));
    until("the broker has no connection any more", async || broker.state().connections == 0).await;
    connects(&broker, "one-more").await;
}

#[tokio::test]
async fn a_socket_that_does_not_connect_in_time_is_closed() {
    let connect_within = Duration::from_millis(50);
    let broker =
        start_with(&TestIntake::with_room(10), BrokerSettings { connect_within, ..Default::default() }).await;
    let mut silent = Raw::open(&broker).await;
    let mut slow = Raw::open(&broker).await;
    slow.send(&connect(true, "slow", true)[..5]).await;
    let (mut client, _) = Raw::connect(&broker, true, "client", true).await;
    assert_eq!(silent.read_to_end().await, b"");
    assert_eq!(slow.read_to_end().await, b"");
    assert!(client.until_pong().await.is_empty(), "a connected client stays");
}

#[tokio::test]
async fn sockets_that_say_nothing_do_not_keep_clients_out() {
    let settings =
        BrokerSettings { most_clients: 10, connect_within: Duration::from_secs(1), ..Default::default() };
    let broker = start_with(&TestIntake::with_room(10), settings).await;
    let mut silent = Vec::new();
    for _ in 0..most_unadmitted(10) {
        silent.push(Raw::open(&broker).await);
    }
    let mut client = connects(&broker, "client").await;
    assert_eq!(silent[0].read_to_end().await, b"", "it left");
    assert!(client.until_pong().await.is_empty());
}

#[tokio::test]
async fn a_connect_has_room_for_a_will_only_where_it_has_one() {
    let broker = start(&TestIntake::with_room(10)).await;
    let long = text(&"x".repeat(60_000));
    let head = |flags: u8| [&text("MQTT")[..], &[4, flags, 0, 60], &text("client")].concat();
    let with_will = packet(0x10, &[&head(0x86), &text("topic"), &long, &long]);
    let mut client = Raw::open(&broker).await;
    client.send(&with_will).await;
    assert_eq!(client.read().await, [0x20, 2, 0, 0]);
    let without = packet(0x10, &[&head(0xc2), &long, &long]);
    let mut client = Raw::open(&broker).await;
    client.send(&without[..20]).await;
    assert_eq!(client.read_to_end().await, b"", "before the rest of it comes");
}

#[tokio::test]
async fn a_packet_that_is_too_large_is_not_read() {
    let settings = BrokerSettings {
        largest_payload: 1_000,
        retained: RetainedLimits { message: 1_000, ..Default::default() },
        ..Default::default()
    };
    let broker = start_with(&TestIntake::with_room(10), settings).await;
    let (mut client, _) = Raw::connect(&broker, true, "client", true).await;
    client.send(&[0x30, 0xff, 0xff, 0xff, 0x7f]).await;
    assert_eq!(client.read_to_end().await, [0xe0, 2, 0x95, 0]);
    let mut stranger = Raw::open(&broker).await;
    stranger.send(&[0x10, 0xff, 0xff, 0xff, 0x7f]).await;
    assert_eq!(stranger.read_to_end().await, b"");
}

#[tokio::test]
async fn a_client_has_so_many_subscriptions_and_no_more() {
    let broker = start(&TestIntake::with_room(10)).await;
    let filters: Vec<String> = (0..=connection::MOST_SUBSCRIPTIONS).map(|n| format!("t/{n}")).collect();
    let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (&**filter, 0)).collect();
    for (v5, code) in [(false, 0x80), (true, 0x97)] {
        let (mut client, _) = Raw::connect(&broker, v5, "client", true).await;
        client.send(&subscribe(v5, 1, &filters)).await;
        let suback = client.read().await;
        assert_eq!(suback[0], 0x90);
        assert!(suback.ends_with(&vec![code; filters.len()]), "none of them is taken");
        client.send(&subscribe(v5, 1, &filters[1..])).await;
        assert!(client.read().await.ends_with(&vec![0; filters.len() - 1]));
        client.send(&subscribe(v5, 1, &filters[1..3])).await;
        assert!(client.read().await.ends_with(&[0, 0]), "it has these");
        client.send(&subscribe(v5, 1, &filters[..1])).await;
        assert_eq!(*client.read().await.last().unwrap(), code);
    }
}

#[tokio::test]
async fn a_client_has_so_many_filters_with_wildcards_and_no_more() {
    let broker = start(&TestIntake::with_room(10)).await;
    let most = wildcards::MOST_OF_ONE;
    let filters: Vec<String> = (0..=most).map(|n| format!("t/{n}/#")).collect();
    let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (&**filter, 0)).collect();
    let (mut client, _) = Raw::connect(&broker, true, "client", true).await;
    for (filters, taken) in
        [(&filters[..], false), (&filters[1..], true), (&filters[..1], false), (&filters[1..3], true)]
    {
        client.send(&subscribe(true, 1, filters)).await;
        assert_eq!(*client.read().await.last().unwrap(), if taken { 0 } else { 0x97 });
    }
    client.send(&packet(0xa2, &[&[0, 1, 0], &text(filters[1].0)])).await;
    client.read().await;
    assert!(client.until_pong().await.is_empty()); // the hook comes after the UNSUBACK
    client.send(&subscribe(true, 1, &filters[..1])).await;
    assert_eq!(*client.read().await.last().unwrap(), 0, "there is room again");
    assert_eq!(broker.sessions.wildcards(), most);
    drop(client);
    until("the broker has no wildcards any more", async || broker.sessions.wildcards() == 0).await;
}

/// Its own messages: a publisher does not wait for itself.
async fn publishes_to_itself(broker: &EmbeddedBroker, messages: u16, size: usize) -> (Raw, Vec<Vec<u8>>) {
    let (mut client, _) = Raw::connect(broker, false, "slow", true).await;
    client.send(&subscribe(false, 1, &[("bulk/#", 1)])).await;
    client.read().await;
    let mut heard = Vec::new();
    for id in 1..=messages {
        client.send(&publish(2, "bulk/x", Some(id), &[], &vec![b'x'; size])).await;
        if id % 10 == 0 {
            heard.extend(client.until_pong().await);
        }
    }
    heard.retain(|packet| packet[0] == 0x32);
    (client, heard)
}

#[tokio::test]
async fn a_client_that_acknowledges_late_loses_nothing() {
    let broker = start(&TestIntake::with_room(10)).await;
    let (mut client, mut heard) = publishes_to_itself(&broker, 500, 10).await;
    assert!(heard.len() < 500, "its window is full");
    let mut count = 0;
    while let Some(packet) = heard.pop() {
        count += 1;
        client.send(&[0x40, 2, packet[10], packet[11]]).await;
        if heard.is_empty() && count < 500 {
            heard.push(client.read().await);
        }
    }
    assert_eq!(count, 500);
}

#[tokio::test]
async fn a_client_that_acknowledges_nothing_is_disconnected_when_there_is_too_much() {
    let sessions = SessionLimits { total: 250_000, ..Default::default() };
    let broker =
        start_with(&TestIntake::with_room(10), BrokerSettings { sessions, ..Default::default() }).await;
    let (mut client, _) = publishes_to_itself(&broker, 330, 10).await;
    assert_eq!(broker.state().connections, 1);
    let large = (1..=60).flat_map(|id| publish(2, "bulk/x", Some(1_000 + id), &[], &[b'x'; 5_000]));
    client.send(&large.collect::<Vec<u8>>()).await;
    until("the broker has no connection any more", async || {
        broker.sessions.look().await;
        broker.state().connections == 0
    })
    .await;
    until_figures(&broker, |figures| figures.bytes <= 250_000).await;
}

/// Clients that subscribed to `bulk/#` and went.
async fn absent(broker: &EmbeddedBroker, ids: &[&str]) {
    for id in ids {
        let (mut client, _) = Raw::connect(broker, false, id, false).await;
        client.send(&subscribe(false, 1, &[("bulk/#", 1)])).await;
        client.read().await;
        client.send(&[0xe0, 0]).await;
        assert_eq!(client.read_to_end().await, b"");
        // Or the next might be told absent before this one, and it counts who was absent longest.
        until("it is known to be gone", async || broker.sessions.knows_as_absent(id).await).await;
    }
}

async fn until_figures(broker: &EmbeddedBroker, enough: impl Fn(&SessionFigures) -> bool) -> SessionFigures {
    until_found("the figures of the sessions", async || {
        broker.sessions.look().await;
        Some(broker.sessions.figures()).filter(&enough)
    })
    .await
}

async fn say(broker: &EmbeddedBroker, messages: usize, size: usize) {
    let (mut client, _) = Raw::connect(broker, false, "loud", true).await;
    for _ in 0..messages {
        client.send(&publish(2, "bulk/x", Some(1), &[], &vec![b'x'; size])).await;
        assert_eq!(client.read().await, [0x40, 2, 0, 1]);
    }
}

#[tokio::test]
async fn a_session_holds_so_many_messages_and_bytes() {
    let sessions = SessionLimits { messages: 10, bytes: 20_000, ..Default::default() };
    let broker =
        start_with(&TestIntake::with_room(10), BrokerSettings { sessions, ..Default::default() }).await;
    absent(&broker, &["a", "b"]).await;
    say(&broker, 50, 100).await;
    let figures = until_figures(&broker, |figures| figures.messages > 0).await;
    assert_eq!(figures.messages, 20, "the newest ten of each");
    say(&broker, 50, 5_000).await;
    let figures = until_figures(&broker, |figures| figures.messages < 20).await;
    assert!(figures.messages == 6 && figures.bytes <= 2 * 20_000, "{figures:?}");
}

#[tokio::test]
async fn what_replaces_other_messages_in_a_full_session_is_measured() {
    let sessions = SessionLimits { messages: 10, ..Default::default() };
    let broker =
        start_with(&TestIntake::with_room(10), BrokerSettings { sessions, ..Default::default() }).await;
    absent(&broker, &["a"]).await;
    say(&broker, 10, 10).await;
    let figures = until_figures(&broker, |figures| figures.messages == 10).await;
    assert!(figures.bytes < 10_000, "{figures:?}");
    say(&broker, 10, 1_000).await;
    let figures = until_figures(&broker, |figures| figures.bytes > 10_000).await;
    assert_eq!(figures.messages, 10);
}

#[tokio::test]
async fn all_sessions_together_hold_so_much_and_known_devices_lose_theirs_last() {
    let sessions = SessionLimits { total: 250_000, ..Default::default() };
    let test_intake = TestIntake::knowing(&["pump-1"]);
    let broker = start_with(&test_intake, BrokerSettings { sessions, ..Default::default() }).await;
    absent(&broker, &["pump-1", "a", "b", "c", "d"]).await;
    say(&broker, 10, 10_000).await;
    let figures = until_figures(&broker, |figures| figures.bytes <= 250_000 && figures.sessions == 2).await;
    assert_eq!(figures.ended, 3, "{figures:?}");
    let (_, resumed) = Raw::connect(&broker, false, "pump-1", false).await;
    assert!(resumed, "it was absent longest, and is known");
}

#[tokio::test]
async fn there_are_so_many_sessions() {
    let sessions = SessionLimits { count: 3, ..Default::default() };
    let test_intake = TestIntake::knowing(&["pump-1"]);
    let broker = start_with(&test_intake, BrokerSettings { sessions, ..Default::default() }).await;
    absent(&broker, &["pump-1", "a", "b", "c", "d"]).await;
    // A client that went a moment ago may still count as there: what has been ended says when all are looked at.
    let figures = until_figures(&broker, |figures| figures.ended >= 2).await;
    assert_eq!((figures.sessions, figures.ended), (3, 2));
    assert_eq!(test_intake.asked.load(Ordering::Relaxed), 3, "no more than had to be");
    absent(&broker, &["e"]).await;
    until_figures(&broker, |figures| figures.ended == 3).await;
    assert_eq!(test_intake.asked.load(Ordering::Relaxed), 4, "who was known is so still");
    for (id, kept) in [("pump-1", true), ("d", true), ("e", true), ("a", false), ("b", false), ("c", false)] {
        assert_eq!(Raw::connect(&broker, false, id, false).await.1, kept, "{id}");
    }
}

//! Slow and dead clients among fast ones: each costs nobody but itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::hub::Installation;
use crate::support::{MqttDevice, WebSocketSession, eventually, within};

/// Enough to fill every buffer between the hub and a client that does not read.
const MESSAGES: u64 = 12_000;
const TEXT: usize = 2_000;
/// After so many messages the slow one takes as many as [`SIP`]; after this time too: one that takes nothing for half
/// a minute is cut off, and a slow machine may need that long.
const PAUSE: u64 = 500;
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const SIP: u64 = 32;
/// Few at once, so that there are more commits than the feed keeps for a subscriber.
const WINDOW: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn among_fast_ones() {
    let hub = Installation::new().start().await;
    let fast: Vec<_> =
        futures_util::future::join_all((0..3).map(|_| WebSocketSession::of_readings(hub.http, None)))
            .await
            .into_iter()
            .map(|subscriber| tokio::spawn(follow(subscriber)))
            .collect();
    let slow = SlowSubscriber::session(hub.http, None).await;
    let dead = deaf(hub.http).await;

    let mut slow = SlowSubscriber { hub: hub.http, session: slow, seen: 0, has_lagged: false };
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "busy").await.unwrap();
    let mut since = Instant::now();
    for n in 0..MESSAGES {
        publish(&mut device, n).await;
        if n % PAUSE == PAUSE - 1 || since.elapsed() > LONGEST_PAUSE {
            slow.read((slow.seen + SIP).min(n)).await;
            since = Instant::now();
        }
    }
    settle(&mut device).await;
    for subscriber in fast {
        assert_eq!(within("a fast one sees all", subscriber).await.unwrap(), MESSAGES);
    }
    slow.read(MESSAGES).await;
    assert!(slow.has_lagged, "it was so slow that it lagged");
    assert!(hub.metric("twinhub_subscribers_lagged_total").await > 0, "and that was counted");

    // The dead one is let go; only the slow one's sessions stay.
    eventually("the dead one is let go", async || {
        (hub.metric("twinhub_subscribers").await <= 2).then_some(())
    })
    .await;
    drop(dead);
}

/// Counts events, which must come in order.
async fn follow(mut subscriber: WebSocketSession) -> u64 {
    let mut seen = 0;
    while seen < MESSAGES {
        let event = subscriber.next().await.expect("the hub does not close");
        assert_eq!(event["data"]["n"], seen, "{}", event["type"]);
        seen += 1;
    }
    seen
}

/// A subscriber that takes a few events now and then: who takes none for half a minute is cut off.
struct SlowSubscriber {
    hub: SocketAddr,
    session: WebSocketSession,
    seen: u64,
    has_lagged: bool,
}

impl SlowSubscriber {
    /// With so little room that the hub notices each sip: a system says that there is room again when a part of all
    /// of it is free.
    async fn session(hub: SocketAddr, since: Option<u64>) -> WebSocketSession {
        WebSocketSession::of_readings_with_little_room(hub, since, 32 * 1_024).await
    }

    /// Reads on until it has seen so many events, without a gap. Where it is told that it lags, all the rest is to be
    /// had from where it is told to resume.
    async fn read(&mut self, until: u64) {
        while self.seen < until {
            let frame = within("the slow one's next frame", self.session.next()).await;
            let frame = frame.expect("it is not cut off: it reads");
            if frame["type"] == "lagged" {
                assert!(frame["missed"].as_u64().unwrap() > 0, "{frame}");
                let resume = frame["resume"].as_u64().unwrap();
                self.session = Self::session(self.hub, Some(resume)).await;
                self.has_lagged = true;
            } else {
                assert_eq!(frame["data"]["n"], self.seen, "without a gap or a repeat");
                self.seen += 1;
            }
        }
    }
}

/// Publishes message `n`, with no more than [`WINDOW`] on their way.
async fn publish(device: &mut MqttDevice, n: u64) {
    while device.unacknowledged() >= WINDOW {
        device.next().await.unwrap();
    }
    let payload = format!(r#"{{"n":{n},"text":"{}"}}"#, "x".repeat(TEXT));
    device.publish(n, "iot/devices/busy/data", payload.as_bytes()).await.unwrap();
}

/// Waits until all that it published is acknowledged.
async fn settle(device: &mut MqttDevice) {
    while device.unacknowledged() > 0 {
        device.next().await.unwrap();
    }
}

/// Subscribes, and never reads again.
async fn deaf(hub: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(hub).await.unwrap();
    let request = format!(
        "GET /api/ws HTTP/1.1\r\nHost: {hub}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    let text = br#"{"type":"subscribe","id":"s"}"#;
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(text);
    stream.write_all(&frame).await.unwrap();
    stream
}

//! The bytes that a twin and a connection take, with all that is kept for them beside them: counted by the allocator, so
//! that no other program and no rest of an earlier moment is in the figures.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::alloc::System;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use cap::Cap;
use futures_util::future::join_all;
use mqtt5::broker::MqttBroker;
use mqtt5::broker::config::{BrokerConfig, StorageBackend, StorageConfig};
use twinhub_actors::hub::{Hub, Settings};
use twinhub_actors::messages::supervisor::IfUnknown;
use twinhub_actors::retained::RetainedInStore;
use twinhub_domain::cause::Source;
use twinhub_domain::{Cause, DeviceId, Input, Timestamp, payload};
use twinhub_mqtt::broker::{BrokerSettings, EmbeddedBroker};
use twinhub_store::{SqlOptions, SqlStore, Store};
use twinhub_testkit::ManualClock;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const TWINS: usize = 2_000;
/// Bytes of a twin with three readings: 1,546 in the mean of four rounds, in which tables double now and then.
const MOST_OF_A_TWIN: usize = 1_700;

/// A process may have 1,024 handles at least, and each of these takes two.
const CONNECTIONS: usize = 300;
/// Bytes of an idle connection beyond those that the broker crate takes by itself: 655 beside its 32,279.
const MOST_OF_A_CONNECTION: usize = 1_500;

/// 2026-03-01T06:00:00Z
const START: i64 = 1_772_344_800_000;

/// Messages of `TWINS` devices more, all stored and in order.
async fn hear(hub: &Hub, store: &SqlStore, first: usize) {
    let heard = (first..first + TWINS).map(|number| {
        let device = DeviceId::parse(&format!("device-{number:07}")).unwrap();
        let said = br#"{"temperature": 23.5, "humidity": 55.0, "pressure": 1013.25}"#;
        let input = Input::of_readings(payload::readings(said).unwrap().samples).unwrap();
        let cause = Cause::new(Source::Mqtt, "iot/devices/data");
        hub.deliver(device, input, cause, IfUnknown::Appear, false)
    });
    for taken in join_all(heard).await {
        taken.unwrap();
    }
    store.maintain(Timestamp::from_millis(START)).await.unwrap();
}

/// `CONNECTIONS` clients of MQTT 3.1.1 that are connected to `broker` and say nothing.
async fn idle_clients(broker: SocketAddr, of: &'static str) -> Vec<TcpStream> {
    let connect = move |number: usize| {
        let id = format!("{of}-{number:05}");
        let length = u8::try_from(id.len()).unwrap();
        let mut packet = vec![0x10, 12 + length, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, length];
        packet.extend(id.as_bytes());
        let mut client = TcpStream::connect(broker).unwrap();
        client.write_all(&packet).unwrap();
        let mut answer = [0; 4];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [0x20, 2, 0, 0], "accepted");
        client
    };
    let all = tokio::task::spawn_blocking(move || (0..CONNECTIONS).map(connect).collect());
    all.await.unwrap()
}

/// Bytes a connection of clients that come after others: what the first need is made once for all.
async fn bytes_of_a_connection(broker: SocketAddr) -> usize {
    let first = idle_clients(broker, "first").await;
    let before = ALLOCATOR.allocated();
    let idle = idle_clients(broker, "idle").await;
    let each = ALLOCATOR.allocated().saturating_sub(before) / CONNECTIONS;
    drop((first, idle));
    each
}

#[actix::test]
async fn twins_and_connections_take_few_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("twins.db").display());
    let store = SqlStore::open(&url, SqlOptions::default()).await.unwrap();
    let clock = ManualClock::at(Timestamp::from_millis(START));
    let hub = Hub::start(store.clone(), clock.clone(), Settings::default()).await.unwrap();
    // The first come with all that is made once, and leave tables with room for more.
    hear(&hub, &store, 0).await;
    let mut each = Vec::new();
    for round in 1..=4 {
        let before = ALLOCATOR.allocated();
        hear(&hub, &store, round * TWINS).await;
        each.push(ALLOCATOR.allocated().saturating_sub(before) / TWINS);
    }
    let mean = each.iter().sum::<usize>() / each.len();
    println!("a twin takes {mean} bytes: {each:?}");

    let listen = "127.0.0.1:0".parse().unwrap();
    // Without files: it would write them where the test runs.
    let storage = StorageConfig { backend: StorageBackend::Memory, ..StorageConfig::default() };
    let config = BrokerConfig::new().with_bind_address(listen).with_storage(storage);
    let mut bare = MqttBroker::with_config(config).await.unwrap();
    let bare_address = bare.local_addr().unwrap();
    let running = tokio::spawn(async move { bare.run().await });
    let floor = bytes_of_a_connection(bare_address).await;
    running.abort();
    let settings = BrokerSettings { listen, ..BrokerSettings::default() };
    let retained = Arc::new(RetainedInStore(store.clone()));
    let broker = EmbeddedBroker::start(&settings, hub.ingress.clone(), retained, clock).await.unwrap();
    hub.connect(broker.clone());
    let own = bytes_of_a_connection(broker.local_addr()).await;
    println!("an idle connection takes {own} bytes, of the broker crate alone {floor}");
    hub.close().await;

    assert!(mean <= MOST_OF_A_TWIN, "{mean} bytes a twin: {each:?}");
    assert!(own <= floor + MOST_OF_A_CONNECTION, "{own} bytes a connection, the crate alone {floor}");
}

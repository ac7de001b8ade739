//! MQTT over TLS: handshakes, and durable ingest, by the embedded broker beside a Mosquitto with the same certificate.
//! Whole handshakes of TLS 1.3 with one and the same cipher suite: no session is resumed.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, version};

use crate::Bench;
use crate::ingest::count;
use crate::load::{self, Load};
use crate::mqtt::MqttClient;
use crate::program::{AUTHORITY, COMMITTED, HubProgram, MosquittoProcess};
use crate::report::{BenchmarkReport, at, millis};
use crate::turns::{Compared, TURNS, order};

const DEVICES: u64 = 1_000;
const CONNECTIONS: u64 = 4;
const WINDOW: usize = 1_000;
/// Connections of a turn for each second of the time that paced measurements have.
const CONNECTIONS_A_SECOND: u32 = 100;
const PATIENCE: Duration = Duration::from_secs(180);

/// A broker with a hub behind it.
struct BrokerSide {
    hub: HubProgram,
    /// None where the hub has its own.
    mosquitto: Option<MosquittoProcess>,
    over_tls: SocketAddr,
    dir: TempDir,
}

/// A way to a broker: over TLS or in the clear.
#[derive(Clone, Copy)]
struct BrokerWay {
    side: usize,
    over_tls: bool,
}

const WAYS: [BrokerWay; 4] = [
    BrokerWay { side: 0, over_tls: true },
    BrokerWay { side: 0, over_tls: false },
    BrokerWay { side: 1, over_tls: true },
    BrokerWay { side: 1, over_tls: false },
];
const NAMES: [&str; 4] = ["embedded, TLS", "embedded, plain", "mosquitto, TLS", "mosquitto, plain"];

/// Measures all ways in turns; those to Mosquitto where there is one.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    let mut sides = vec![embedded(bench).await?];
    match outside(bench, sides[0].dir.path()).await? {
        Some(side) => sides.push(side),
        None => println!("  mosquitto: left out, there is none here"),
    }
    let ways = &WAYS[..2 * sides.len()];
    let connector = connector(&sides[0].dir.path().join(AUTHORITY))?;
    connects(&sides, ways, &connector, bench.seconds * CONNECTIONS_A_SECOND, report).await?;
    ingest(&sides, ways, &connector, bench.messages / 2, report).await?;
    for side in sides {
        side.hub.stop().await?;
    }
    Ok(())
}

/// A hub with its own broker and its own certificate.
async fn embedded(bench: &Bench) -> Result<BrokerSide> {
    let dir = bench.disk_dir()?;
    let hub = HubProgram::start_over_tls(&bench.program, dir.path()).await?;
    let over_tls = hub.mqtts.context("it does not say where its broker is over TLS")?;
    Ok(BrokerSide { hub, mosquitto: None, over_tls, dir })
}

/// A hub behind a Mosquitto, which has the certificate of the hub whose data are there.
async fn outside(bench: &Bench, certified: &Path) -> Result<Option<BrokerSide>> {
    let Some(mosquitto) = MosquittoProcess::start_over_tls(certified).await? else { return Ok(None) };
    let over_tls = mosquitto.over_tls.context("it was started with a listener for TLS")?;
    let dir = bench.disk_dir()?;
    let hub = HubProgram::start(&bench.program, dir.path(), Some(mosquitto.address)).await?;
    Ok(Some(BrokerSide { hub, mosquitto: Some(mosquitto), over_tls, dir }))
}

/// Connections one after another, each until its CONNACK, and the processor time of the broker for each.
async fn connects(
    sides: &[BrokerSide],
    ways: &[BrokerWay],
    connector: &TlsConnector,
    connections: u32,
    report: &mut BenchmarkReport,
) -> Result<()> {
    let names = &NAMES[..ways.len()];
    let mut each = Compared::new("a connection, p50", "ms", names);
    let mut spent = Compared::new("broker's processor time a connection", "µs", names);
    for turn in 0..=TURNS {
        for way in order(turn, ways.len()) {
            let (side, mut times) = (&sides[ways[way].side], Vec::new());
            let processor = side.broker_ms()?;
            for _ in 0..connections {
                let began = Instant::now();
                drop(side.connect(ways[way], connector, "handshake").await?);
                times.push(began.elapsed());
            }
            times.sort_unstable();
            if turn > 0 {
                each.add(way, millis(at(&times, 50))); // all is warm now
                spent.add(way, (side.broker_ms()? - processor) * 1_000.0 / f64::from(connections));
            }
        }
    }
    for compared in [each, spent] {
        report_with_ratios(&compared, report);
    }
    Ok(())
}

/// Messages from the first to the commit of the last, and the processor time of broker and hub for each.
async fn ingest(
    sides: &[BrokerSide],
    ways: &[BrokerWay],
    connector: &TlsConnector,
    messages: u64,
    report: &mut BenchmarkReport,
) -> Result<()> {
    let names = &NAMES[..ways.len()];
    let load = Load { devices: DEVICES, messages, connections: CONNECTIONS, window: WINDOW };
    let mut stored = Compared::new("stored", "msg/s", names);
    let mut spent = Compared::new("processor time a message", "µs", names);
    for turn in 0..=TURNS {
        for way in order(turn, ways.len()) {
            let side = &sides[ways[way].side];
            let mut clients = Vec::new();
            for lane in 0..CONNECTIONS {
                clients.push(side.connect(ways[way], connector, &format!("load-{lane}")).await?);
            }
            let (before, processor) = (side.hub.metric(COMMITTED).await?, side.processor_ms()?);
            let began = Instant::now();
            drop(load.publish_over(clients, PATIENCE, load::reading).await?);
            side.hub.committed(before + count(messages), PATIENCE).await?;
            if turn > 0 {
                stored.add(way, count(messages) / began.elapsed().as_secs_f64()); // all is warm now
                spent.add(way, (side.processor_ms()? - processor) * 1_000.0 / count(messages));
            }
        }
    }
    for compared in [stored, spent] {
        report_with_ratios(&compared, report);
    }
    Ok(())
}

/// The medians; how many times TLS is of plain, and the embedded broker of Mosquitto.
fn report_with_ratios(compared: &Compared, report: &mut BenchmarkReport) {
    compared.report(report);
    for (way, other) in [(0, 1), (2, 3), (0, 2)] {
        compared.report_ratio(report, way, other);
    }
}

impl BrokerSide {
    async fn connect(&self, way: BrokerWay, connector: &TlsConnector, client_id: &str) -> Result<MqttClient> {
        let address = if way.over_tls { self.over_tls } else { self.hub.mqtt };
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(match way.over_tls {
            true => {
                let stream = connector.connect(address.ip().into(), stream).await?;
                MqttClient::over(stream, client_id).await?
            }
            false => MqttClient::over(stream, client_id).await?,
        })
    }

    /// The processor time of the broker so far, which may be a part of the hub.
    fn broker_ms(&self) -> Result<f64> {
        self.mosquitto.as_ref().map_or_else(|| self.hub.processor_ms(), MosquittoProcess::processor_ms)
    }

    /// The processor time of the hub and of its broker so far.
    fn processor_ms(&self) -> Result<f64> {
        let mosquitto = self.mosquitto.as_ref().map_or(Ok(0.0), MosquittoProcess::processor_ms)?;
        Ok(self.hub.processor_ms()? + mosquitto)
    }
}

/// Trusts the authority in this file alone.
fn connector(authority: &Path) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    // One that both brokers know: each with a choice of its own would be compared by that.
    let cipher_suites = vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256];
    let provider = CryptoProvider { cipher_suites, ..ring::default_provider() };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

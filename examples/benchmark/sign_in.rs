//! The cost of passwords that are guessed: the processor time of a refusal once the guesser's address is limited, and how
//! long somebody else's sign-in takes meanwhile.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Bench;
use crate::program::HubProgram;
use crate::report::{Aim, BenchmarkReport, at, millis};

/// Connections of the guesser.
const GUESSERS: usize = 8;
/// Sign-ins by somebody else meanwhile.
const HONEST: usize = 10;
const PASSWORD: &str = "green horses jump";

/// With the limit of sign-ins alone, and with that of all requests in front of it.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    for (rate_limit, name) in [("0", "limit of sign-ins"), ("50", "limit of requests")] {
        let dir = bench.disk_dir()?;
        let options = ["--trusted-proxies", "127.0.0.1", "--rate-limit", rate_limit];
        let hub = HubProgram::start_with(&bench.program, dir.path(), None, &options).await?;
        let made = post(hub.http, "/api/auth/register", "127.0.0.1", PASSWORD, false).await?;
        ensure!(made == 201, "the first user was not made: {made}");
        // The guesser's address is limited from here on.
        for _ in 0..20 {
            post(hub.http, "/api/auth/login", "198.51.100.7", "wrong horses jump", true).await?;
        }
        let (stop, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let guessers: Vec<_> = (0..GUESSERS)
            .map(|_| tokio::spawn(guess(hub.http, Arc::clone(&stop), Arc::clone(&refused))))
            .collect();
        let before = (hub.processor_ms()?, refused.load(Ordering::Relaxed));
        tokio::time::sleep(Duration::from_secs(u64::from(bench.seconds))).await;
        let used = hub.processor_ms()? - before.0;
        #[expect(clippy::cast_precision_loss, reason = "some hundred thousand")]
        let count = (refused.load(Ordering::Relaxed) - before.1).max(1) as f64;
        report.add(
            format!("{name}: processor time of a refusal"),
            used * 1_000.0 / count,
            "µs",
            Aim::Below(50.0),
        );
        let mut times = Vec::new();
        for _ in 0..HONEST {
            let began = Instant::now();
            let status = post(hub.http, "/api/auth/login", "198.51.100.8", PASSWORD, true).await?;
            ensure!(status == 200, "an honest sign-in was answered {status}");
            times.push(began.elapsed());
        }
        times.sort_unstable();
        report.add(
            format!("{name}: honest sign-in meanwhile, p90"),
            millis(at(&times, 90)),
            "ms",
            Aim::Below(1_000.0),
        );
        stop.store(true, Ordering::Relaxed);
        for guesser in guessers {
            guesser.await??;
        }
        hub.stop().await?;
    }
    Ok(())
}

/// Tries one password after the other, on one connection.
async fn guess(hub: SocketAddr, stop: Arc<AtomicBool>, refused: Arc<AtomicU64>) -> Result<()> {
    let mut stream = TcpStream::connect(hub).await?;
    stream.set_nodelay(true)?;
    let request = request(hub, "/api/auth/login", "198.51.100.7", "wrong horses jump", true);
    while !stop.load(Ordering::Relaxed) {
        let status = answer(&mut stream, &request).await?;
        match status {
            429 => drop(refused.fetch_add(1, Ordering::Relaxed)),
            // The limit lets one guess through every few seconds.
            401 => {}
            _ => bail!("a guess was answered {status}"),
        }
    }
    Ok(())
}

/// A request as a proxy hands it on for `client`; its status.
async fn post(hub: SocketAddr, path: &str, client: &str, password: &str, by_proxy: bool) -> Result<u16> {
    let mut stream = TcpStream::connect(hub).await?;
    stream.set_nodelay(true)?;
    Ok(answer(&mut stream, &request(hub, path, client, password, by_proxy)).await?)
}

fn request(hub: SocketAddr, path: &str, client: &str, password: &str, by_proxy: bool) -> String {
    let body = format!(r#"{{"name":"ann","password":"{password}"}}"#);
    let client = if by_proxy { format!("X-Forwarded-For: {client}\r\n") } else { String::new() };
    format!(
        "POST {path} HTTP/1.1\r\nHost: {hub}\r\n{client}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn answer(stream: &mut TcpStream, request: &str) -> std::io::Result<u16> {
    stream.write_all(request.as_bytes()).await?;
    let mut incoming = Vec::with_capacity(1_024);
    loop {
        if let Some(end) = incoming.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&incoming[..end]).to_ascii_lowercase();
            let field =
                |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
            let length: usize = field("content-length:").unwrap_or_default();
            if incoming.len() >= end + 4 + length {
                let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
                return status.ok_or_else(|| Error::new(ErrorKind::InvalidData, "no HTTP/1.1 answer"));
            }
        }
        if stream.read_buf(&mut incoming).await? == 0 {
            return Err(Error::new(ErrorKind::UnexpectedEof, "the hub closed the connection"));
        }
    }
}

//! The program under measurement, and Mosquitto, as child processes that end with us.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use reqwest::Method;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The certificate of a hub's own authority, in its data folder.
pub const AUTHORITY: &str = "tls/ca.pem";
/// Nothing that is started takes longer, or something is wrong.
const START: Duration = Duration::from_secs(60);

/// A running hub.
pub struct HubProgram {
    child: Child,
    pub http: SocketAddr,
    /// Where devices publish: the embedded broker, or the outside one.
    pub mqtt: SocketAddr,
    /// Where they do over TLS.
    pub mqtts: Option<SocketAddr>,
    /// From the start of the process to its first answer to `/ready`.
    pub started_in: Duration,
    /// `http`, or over TLS `https`.
    scheme: &'static str,
    client: reqwest::Client,
}

/// A running Mosquitto without limits on what is queued and in flight.
pub struct MosquittoProcess {
    child: Child,
    _config: tempfile::NamedTempFile,
    pub address: SocketAddr,
    /// The same over TLS.
    pub over_tls: Option<SocketAddr>,
}

/// A broker of the program's kind alone, to measure what it can pass on.
pub struct BareBroker {
    child: Child,
    pub address: SocketAddr,
}

impl HubProgram {
    /// Starts `program` on `data`, with the broker at `outside` or its own.
    pub async fn start(program: &Path, data: &Path, outside: Option<SocketAddr>) -> Result<Self> {
        Self::start_with(program, data, outside, &[]).await
    }

    /// The same over TLS, with its own broker; the certificate is in the folder `tls` of `data`.
    pub async fn start_over_tls(program: &Path, data: &Path) -> Result<Self> {
        let options = ["--tls", "auto", "--mqtt-tls-listen", "127.0.0.1:0"];
        Self::start_with(program, data, None, &options).await
    }

    /// The same with more options.
    pub async fn start_with(
        program: &Path,
        data: &Path,
        outside: Option<SocketAddr>,
        options: &[&str],
    ) -> Result<Self> {
        let began = Instant::now();
        let mut child = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--log-format", "json"])
            .args(["--log", "info", "--data-dir"])
            .arg(data)
            .args(["--mqtt", &outside.map_or("embedded".into(), |broker| format!("mqtt://{broker}"))])
            .args(options)
            .current_dir(data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stderr = child.stderr.take().context("standard error is piped")?;
        let mut lines = BufReader::new(stderr).lines();
        let serving = async {
            while let Some(line) = lines.next_line().await? {
                let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                if line["message"] == "serving" {
                    return Ok(line);
                }
            }
            bail!("it ended while starting")
        };
        let serving = timeout(START, serving).await.context("it does not start")??;
        // Read on, or a full pipe would hold it up; what it complains of is worth seeing.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if !line.contains(r#""level":"INFO""#) {
                    eprintln!("  {line}");
                }
            }
        });
        let address = |field: &str| serving[field].as_str().and_then(|text| text.parse().ok());
        let http = address("http").context("it does not say where it serves")?;
        let mqtt = outside.or_else(|| address("mqtt")).context("it does not say where its broker is")?;
        let mqtts = address("mqtts");
        let client = reqwest::Client::builder().no_proxy();
        let (scheme, client) = if options.contains(&"--tls") {
            let authority = reqwest::Certificate::from_pem(&std::fs::read(data.join(AUTHORITY))?)?;
            ("https", client.tls_certs_only([authority]))
        } else {
            ("http", client)
        };
        let client = client.build()?;
        let mut hub = Self { child, http, mqtt, mqtts, started_in: Duration::ZERO, scheme, client };
        let until = Instant::now() + START;
        while !hub.get("/ready").await.is_ok_and(|answer| answer.status().is_success()) {
            if Instant::now() > until {
                bail!("it does not get ready");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        hub.started_in = began.elapsed();
        Ok(hub)
    }

    /// GETs `path`.
    pub async fn get(&self, path: &str) -> Result<reqwest::Response> {
        Ok(self.request(Method::GET, path).send().await?)
    }

    /// A request to be filled and sent.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.url(path))
    }

    /// The whole address of `path`.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.http)
    }

    /// A number from `/metrics`.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let text = self.get("/metrics").await?.text().await?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.with_context(|| format!("there is no {name} in /metrics"))
    }

    /// Waits until `count` inputs are committed.
    pub async fn committed(&self, count: f64, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        loop {
            let now = self.metric(COMMITTED).await?;
            if now >= count {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("{now} of {count} messages committed after {patience:?}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Its resident memory, in MB (10^6 bytes).
    pub fn resident_mb(&self) -> Result<f64> {
        resident_mb(&self.child)
    }

    /// The processor time that it has used so far, in ms.
    pub fn processor_ms(&self) -> Result<f64> {
        processor_ms(&self.child)
    }

    /// Switches of its threads from one to another so far, those that wait and those that are made to. A thread that
    /// has ended takes its own with it.
    pub fn switches(&self) -> Result<f64> {
        let pid = self.child.id().context("it has ended")?;
        let mut switches = 0.0;
        for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            // One that ends just now is left out.
            let Ok(status) = std::fs::read_to_string(thread?.path().join("status")) else { continue };
            let counts = status.lines().filter_map(|line| line.split_once("ctxt_switches:"));
            switches += counts.filter_map(|(_, count)| count.trim().parse::<f64>().ok()).sum::<f64>();
        }
        Ok(switches)
    }

    /// Ends it as a service manager would, and waits for that.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.child.id() {
            Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
        }
        match timeout(Duration::from_secs(30), self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(ended) => bail!("it ended badly: {ended:?}"),
            Err(_) => bail!("it does not end"),
        }
    }
}

/// The counter of inputs that are stored.
pub const COMMITTED: &str = "twinhub_inputs_committed_total";

impl MosquittoProcess {
    /// Starts it, if this machine has one.
    pub async fn start() -> Result<Option<Self>> {
        Self::start_with(None).await
    }

    /// The same with a second listener, over TLS, with the certificate of the hub whose data are there.
    pub async fn start_over_tls(data: &Path) -> Result<Option<Self>> {
        Self::start_with(Some(data)).await
    }

    async fn start_with(certified: Option<&Path>) -> Result<Option<Self>> {
        let Some(program) =
            ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto"]
                .into_iter()
                .find(|path| Path::new(path).exists())
        else {
            return Ok(None);
        };
        let address = free_address()?;
        let config = tempfile::NamedTempFile::new()?;
        let over_tls = certified.map(|_| free_address()).transpose()?;
        let mut text = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n\
             max_inflight_messages 0\nmax_queued_messages 0\nmax_queued_bytes 0\nlog_type error\n",
            address.port()
        );
        if let (Some(over_tls), Some(data)) = (over_tls, certified) {
            let (port, folder) = (over_tls.port(), data.join("tls"));
            let folder = folder.display();
            // Where root starts it, it reads the key as another user if it is not told.
            text += &format!(
                "listener {port} 127.0.0.1\ncertfile {folder}/hub.pem\nkeyfile {folder}/hub.key\nuser root\n"
            );
        }
        std::fs::write(config.path(), text)?;
        let child = silent(Command::new(program).arg("-c").arg(config.path())).spawn()?;
        for address in [Some(address), over_tls].into_iter().flatten() {
            listening(address).await?;
        }
        Ok(Some(Self { child, _config: config, address, over_tls }))
    }

    /// The processor time that it has used so far, in ms.
    pub fn processor_ms(&self) -> Result<f64> {
        processor_ms(&self.child)
    }
}

impl BareBroker {
    /// Starts this benchmark once more as nothing but the broker.
    pub async fn start() -> Result<Self> {
        let address = free_address()?;
        let me: PathBuf = std::env::current_exe()?;
        let child = silent(Command::new(me).args(["--bare-broker", &address.to_string()])).spawn()?;
        listening(address).await?;
        Ok(Self { child, address })
    }

    /// Its resident memory, in MB (10^6 bytes).
    pub fn resident_mb(&self) -> Result<f64> {
        resident_mb(&self.child)
    }
}

fn resident_mb(child: &Child) -> Result<f64> {
    let pid = child.id().context("it has ended")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    Ok(kib.context("no VmRSS in /proc")? * 1024.0 / 1e6)
}

fn processor_ms(child: &Child) -> Result<f64> {
    /// The kernel counts in hundredths of a second for every program, whatever its own beat.
    const MS_A_TICK: f64 = 10.0;
    let pid = child.id().context("it has ended")?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may have blanks in it; user and system time are 12th and 13th behind it.
    let (_, numbers) = stat.rsplit_once(')').context("no name in /proc/PID/stat")?;
    let ticks = numbers.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? * MS_A_TICK)
}

fn silent(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true)
}

/// An address that nobody listens on. Somebody might before we do; a benchmark can live with that.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

async fn listening(address: SocketAddr) -> Result<()> {
    let until = Instant::now() + START;
    while TcpStream::connect(address).await.is_err() {
        if Instant::now() > until {
            bail!("nothing listens on {address}");
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

//! The program, as its users start it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use reqwest::{Method, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use twinhub::config::FOREIGN_NAMES;

use super::described::Described;
use super::{eventually, within};

/// The program, built by cargo for these tests.
pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_twinhub");

/// A running twinhub.
pub struct HubProcess {
    child: Child,
    pub http: SocketAddr,
    /// The embedded broker's address.
    pub mqtt: Option<SocketAddr>,
    /// The same for MQTT over TLS.
    pub mqtts: Option<SocketAddr>,
    /// `http`, or over TLS `https`.
    pub scheme: &'static str,
    /// The text that it printed for its user at the start.
    pub banner: String,
    client: ClientWithMiddleware,
    log: Arc<Mutex<Vec<String>>>,
    /// Ends with the log.
    reading: tokio::task::JoinHandle<()>,
    _dir: Option<Arc<TempDir>>,
}

/// Where a hub keeps its data, and how it is started; the same for every start.
#[derive(Clone)]
pub struct Installation {
    /// Kept as long as the installation or a hub in it.
    dir: Option<Arc<TempDir>>,
    pub data: PathBuf,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    /// A shell's word on what the program may use.
    limit: String,
    /// The authority that vouches for it, where it is served over TLS.
    trusted: Option<PathBuf>,
    /// Where HTTP and the embedded broker listen.
    address: &'static str,
    /// Where HTTP listens, if elsewhere.
    http: Option<SocketAddr>,
    /// The folder in which it is started, if another than that of temporary files.
    folder: Option<PathBuf>,
}

impl Installation {
    /// A new, empty one.
    pub fn new() -> Self {
        let dir = TempDir::with_prefix("twinhub-test-").unwrap();
        let data = dir.path().join("data");
        Self { dir: Some(Arc::new(dir)), ..Self::at(&data) }
    }

    /// One whose data lie in `data`.
    pub fn at(data: &Path) -> Self {
        let (options, environment, limit) = (Vec::new(), Vec::new(), ":".into());
        Self {
            dir: None,
            data: data.to_owned(),
            options,
            environment,
            limit,
            trusted: None,
            address: "127.0.0.1:0",
            http: None,
            folder: None,
        }
    }

    /// With another broker than the embedded one.
    pub fn on_broker(mut self, broker: SocketAddr) -> Self {
        self.options.extend(["--mqtt".into(), format!("mqtt://{broker}")]);
        self
    }

    /// Over TLS, with a certificate that the hub makes itself.
    pub fn over_tls(self) -> Self {
        let trusted = self.data.join("tls/ca.pem");
        self.trusting(&trusted).with("--tls", "auto").with("--mqtt-tls-listen", "127.0.0.1:0")
    }

    /// Asked by clients that trust the authority in this file alone.
    pub fn trusting(self, authority: &Path) -> Self {
        Self { trusted: Some(authority.to_owned()), ..self }
    }

    /// Over TLS, with the certificate in `server.pem` of `folder`, for which the authority in a file vouches.
    pub fn with_certificate(self, folder: &Path, trusted: &Path) -> Self {
        let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        self.trusting(trusted)
            .with("--tls-cert", &file("server.pem"))
            .with("--tls-key", &file("server.key"))
            .with("--mqtt-tls-listen", "127.0.0.1:0")
    }

    /// On all addresses of this machine.
    pub fn everywhere(self) -> Self {
        Self { address: "0.0.0.0:0", ..self }
    }

    /// With HTTP at this address.
    pub fn at_address(self, http: SocketAddr) -> Self {
        Self { http: Some(http), ..self }
    }

    /// Started in this folder, where its files are unless an option says otherwise.
    pub fn in_folder(self, folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()), ..self }
    }

    /// With one more option.
    pub fn with(mut self, option: &str, value: &str) -> Self {
        self.options.extend([option.into(), value.into()]);
        self
    }

    /// Without the option that was given last.
    pub fn without_last(mut self) -> Self {
        self.options.truncate(self.options.len() - 2);
        self
    }

    /// With one more option that takes no value.
    pub fn flag(mut self, option: &str) -> Self {
        self.options.push(option.into());
        self
    }

    /// With one more variable of its environment.
    pub fn in_environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// With what a shell limits: `ulimit -n 700`.
    pub fn limited(mut self, limit: &str) -> Self {
        self.limit = limit.into();
        self
    }

    /// Starts a hub in it and waits until it is ready.
    pub async fn start(&self) -> HubProcess {
        let mut command = command("sh");
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let mut child = command
            .args(["-c", &format!("{} && exec \"$0\" \"$@\"", self.limit), PROGRAM])
            .args(["--listen", &self.http.map_or(self.address.to_owned(), |http| http.to_string())])
            .args(["--mqtt-listen", self.address, "--log-format", "json"])
            .arg("--data-dir")
            .arg(&self.data)
            .args(&self.options)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let serving = within("it serves", async {
            while let Some(line) = log.next_line().await.unwrap() {
                lines.lock().unwrap().push(line.clone());
                let entry: Value = serde_json::from_str(&line).unwrap_or_default();
                if entry["message"] == "serving" {
                    return entry;
                }
                eprintln!("{line}");
            }
            panic!("it ended instead of serving");
        })
        .await;
        let said = Arc::clone(&lines);
        let reading = tokio::spawn(async move {
            while let Ok(Some(line)) = log.next_line().await {
                said.lock().unwrap().push(line.clone());
                if !line.contains(r#""level":"INFO""#) {
                    eprintln!("{line}");
                }
            }
        });
        let banner = banner(&mut child).await;
        let address = |field: &str| {
            let address: SocketAddr = serving[field].as_str()?.parse().unwrap();
            let ip = if address.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { address.ip() };
            Some(SocketAddr::new(ip, address.port()))
        };
        let client = reqwest::Client::builder().no_proxy().timeout(super::PATIENCE);
        let client = match &self.trusted {
            Some(trusted) => {
                let pem = std::fs::read(trusted).unwrap();
                client.tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
            }
            None => client,
        };
        let scheme = if self.trusted.is_some() { "https" } else { "http" };
        let client = ClientBuilder::new(client.build().unwrap()).with(Described).build();
        let (http, mqtt, mqtts) = (address("http").unwrap(), address("mqtt"), address("mqtts"));
        let _dir = self.dir.clone();
        let hub = HubProcess { child, http, mqtt, mqtts, scheme, banner, client, log: lines, reading, _dir };
        eventually("it is ready", async || hub.get("/ready").await.status().is_success().then_some(())).await;
        if hub.mqtt.is_none() {
            eventually("it reaches its broker", async || hub.is_connected().await.then_some(())).await;
        }
        hub
    }
}

/// Runs the program to its end.
pub async fn run(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = program();
    command.args(args).envs(environment.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    within("it ends", command.output()).await.unwrap()
}

/// Runs the program to its end, with `input` on its standard input.
pub async fn run_fed(args: &[&str], input: &str) -> Output {
    let mut command = program();
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input.as_bytes()).await; // it may not wait for it
    drop(stdin);
    within("it ends", child.wait_with_output()).await.unwrap()
}

/// The program while it does something else than serve.
pub struct OtherProcess(Child);

/// Starts the program, to be ended later.
pub fn start(args: &[&str]) -> OtherProcess {
    OtherProcess(program().args(args).stdout(Stdio::null()).spawn().unwrap())
}

impl OtherProcess {
    /// Ends it as `kill -9` does, wherever it is.
    pub async fn kill(mut self) {
        within("it ends", self.0.kill()).await.unwrap();
    }

    /// Asks it to end, as a service manager does.
    pub async fn terminate(mut self) -> ExitStatus {
        send_term(&self.0).await;
        within("it ends", self.0.wait()).await.unwrap()
    }
}

fn program() -> Command {
    command(PROGRAM)
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).kill_on_drop(true).current_dir(std::env::temp_dir());
    // The user who runs the tests may have configured a twinhub of his own.
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("TWINHUB_") || FOREIGN_NAMES.contains(&&**name))
    {
        command.env_remove(name);
    }
    command
}

/// The text that is printed at once; nothing follows it before the end.
async fn banner(child: &mut Child) -> String {
    let mut stdout = child.stdout.take().unwrap();
    let mut text = Vec::new();
    within("it says where it is", async {
        while !text.ends_with(b"\n\n") {
            assert!(stdout.read_buf(&mut text).await.unwrap() > 0, "it ended without a word");
        }
    })
    .await;
    String::from_utf8(text).unwrap()
}

impl HubProcess {
    /// A request to be filled and sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}://{}{path}", self.scheme, self.http))
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// A GET that must succeed.
    pub async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "GET {path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send().await.unwrap()
    }

    /// A number from `/metrics`.
    pub async fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics").await.text().await.unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in\n{text}"))
    }

    /// True while its link to the devices is up.
    pub async fn is_connected(&self) -> bool {
        self.json("/health").await["parts"]["mqtt"]["status"] == "ok"
    }

    /// True while its store takes nothing in.
    pub async fn is_failing(&self) -> bool {
        self.json("/health").await["parts"]["store"]["status"] == "failing"
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// The lines that it has logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a line of the log with `part` in it.
    pub async fn logs(&self, part: &str) -> String {
        eventually(part, async || self.log().into_iter().find(|line| line.contains(part))).await
    }

    /// Sends it a signal: `HUP`, `TERM`.
    pub async fn signal(&self, name: &str) {
        let (name, pid) = (format!("-{name}"), self.pid().to_string());
        assert!(Command::new("kill").args([name, pid]).status().await.unwrap().success());
    }

    /// Waits until it has ended by itself, and gives how, and all that it has logged.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let status = within("it ends", self.child.wait()).await.unwrap();
        within("its log ends", self.reading).await.unwrap();
        let log = self.log.lock().unwrap().join("\n");
        (status, log)
    }

    /// Ends it as a power cut would.
    pub async fn kill(mut self) {
        within("it is dead", self.child.kill()).await.unwrap();
    }

    /// Asks it to end, as a service manager does.
    pub async fn terminate(mut self) -> ExitStatus {
        self.signal("TERM").await;
        within("it ends", self.child.wait()).await.unwrap()
    }
}

async fn send_term(child: &Child) {
    let pid = child.id().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
}

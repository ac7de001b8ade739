//! The hub behind nginx and Caddy, with the configurations that the README has.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::support::certificates::connect_to;
use crate::support::hub::Installation;
use crate::support::mqtt::ByteStream;
use crate::support::people::{PASSWORD, Person};
use crate::support::{PATIENCE, eventually, within};

const NAME: &str = "hub.example.com";

/// A proxy of this test's own, in front of a hub.
struct Proxy {
    _child: Child,
    https: SocketAddr,
    /// Where WebSockets are opened: without TLS, or with it by this authority.
    websocket: (SocketAddr, Option<PathBuf>),
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The block of the README in this language, with other words in the place of some.
fn readme_block(language: &str, replaced: &[(&str, String)]) -> String {
    let readme = include_str!("../../README.md");
    let block = readme.split_once(&format!("```{language}\n")).unwrap().1.split_once("```").unwrap().0;
    let mut text = block.to_owned();
    for (said, here) in replaced {
        assert!(text.contains(said), "the README says {said}");
        text = text.replace(said, here);
    }
    text
}

/// The program in one of these places.
fn program(places: &[&'static str]) -> &'static str {
    places
        .iter()
        .find(|path| Path::new(path).exists())
        .unwrap_or_else(|| panic!("none of {places:?} is there"))
}

async fn nginx(hub: SocketAddr, folder: &Path) -> Proxy {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=hub.example.com", "-keyout"])
        .arg(folder.join("server.key"))
        .arg("-out")
        .arg(folder.join("server.pem"))
        .stdin(Stdio::null())
        .output();
    assert!(within("a certificate", made).await.unwrap().status.success());
    let (https, http) = (free_port(), free_port());
    let shown = folder.display();
    let block = readme_block(
        "nginx",
        &[
            ("listen 443 ssl;", format!("listen {https} ssl; listen {http};")),
            ("/etc/ssl/hub.example.com.pem", format!("{shown}/server.pem")),
            ("/etc/ssl/hub.example.com.key", format!("{shown}/server.key")),
            ("http://127.0.0.1:8080", format!("http://{hub}")),
        ],
    );
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|name| format!("{name}_temp_path {shown}/{name};\n")).concat();
    let configuration = format!(
        "pid {shown}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{block}}}\n"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, configuration).unwrap();
    let mut command =
        Command::new(program(&["/usr/sbin/nginx", "/usr/local/bin/nginx", "/opt/homebrew/bin/nginx"]));
    command.args(["-g", "daemon off; master_process off;", "-p"]).arg(folder).arg("-c").arg(file);
    // Over the listener without TLS, whose pages are another origin.
    Proxy { _child: spawn(command), https, websocket: (http, None) }
}

async fn caddy(hub: SocketAddr, folder: &Path) -> Proxy {
    let (https, http) = (free_port(), free_port());
    let block = readme_block("caddy", &[("127.0.0.1:8080", hub.to_string())]);
    let shown = folder.display();
    // Its own authority vouches for the name, instead of one out there.
    let here = format!(
        "{{\nadmin off\nlocal_certs\nskip_install_trust\ndefault_bind 127.0.0.1\nhttps_port {}\nhttp_port {}\n\
         storage file_system {shown}/kept\n}}\n",
        https.port(),
        http.port()
    );
    let file = folder.join("Caddyfile");
    std::fs::write(&file, here + &block).unwrap();
    let mut command =
        Command::new(program(&["/usr/bin/caddy", "/usr/local/bin/caddy", "/opt/homebrew/bin/caddy"]));
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
    command.env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
    let authority = folder.join("kept/pki/authorities/local/root.crt");
    Proxy { _child: spawn(command), https, websocket: (https, Some(authority)) }
}

fn spawn(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

impl Proxy {
    /// A connection for a WebSocket, and the origin of a page that opens it.
    async fn stream(&self) -> (String, Box<dyn ByteStream>) {
        match &self.websocket {
            (http, None) => {
                let stream = TcpStream::connect(http).await.unwrap();
                (format!("http://{NAME}:{}", http.port()), Box::new(stream))
            }
            (https, Some(authority)) => {
                let stream = connect_to(NAME.try_into().unwrap(), *https, authority).await.unwrap();
                (format!("https://{NAME}:{}", https.port()), Box::new(stream))
            }
        }
    }
}

/// Reads a stream until it has said this.
async fn reads(stream: &mut Response, wanted: &str) {
    let mut text = String::new();
    while !text.contains(wanted) {
        let chunk = within("a part of the stream", stream.chunk()).await.unwrap().expect("it goes on");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
}

#[tokio::test]
async fn everything_works_behind_nginx_as_the_readme_has_it() {
    everything_works_behind(nginx).await;
}

#[tokio::test]
async fn everything_works_behind_caddy_as_the_readme_has_it() {
    everything_works_behind(caddy).await;
}

async fn everything_works_behind(start: impl AsyncFn(SocketAddr, &Path) -> Proxy) {
    let folder = TempDir::with_prefix("twinhub-proxy-").unwrap();
    let public = format!("https://{NAME}");
    let installation =
        Installation::new().with("--public-url", &public).with("--trusted-proxies", "127.0.0.1,::1");
    let hub = installation.start().await;
    let ann = Person::first(&hub, "ann").await;
    let proxy = start(hub.http, folder.path()).await;
    let client = Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .danger_accept_invalid_certs(true)
        .resolve(NAME, proxy.https)
        .local_address(IpAddr::from([127, 0, 0, 2])) // another machine than the proxy
        .build()
        .unwrap();
    let origin = format!("https://{NAME}:{}", proxy.https.port());
    let url = |path: &str| format!("{origin}{path}");
    eventually("the proxy serves", async || {
        client.get(url("/ready")).send().await.ok().filter(|answer| answer.status() == 200)
    })
    .await;

    let page = client.get(url("/api/devices")).header("X-Forwarded-For", "127.0.0.1").send().await.unwrap();
    assert_eq!(page.status(), 401, "nobody behind a proxy is on this machine");
    let login = json!({ "name": "ann", "password": PASSWORD });
    let signed_in = client
        .post(url("/api/auth/login"))
        .header("Origin", &origin)
        .header("X-Forwarded-For", "198.51.100.7")
        .header("Forwarded", "for=6.6.6.6")
        .json(&login)
        .send()
        .await
        .unwrap();
    let (status, cookie) = (signed_in.status(), signed_in.headers().get("Set-Cookie").cloned());
    assert_eq!(status, 200, "{}", signed_in.text().await.unwrap());
    let cookie = cookie.unwrap().to_str().unwrap().to_owned();
    assert!(cookie.ends_with("; Secure"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    // The client is the one that the proxy saw, whatever it said of itself.
    let entries = ann.json(&hub, "/api/audit?action=user.signed_in&limit=1").await;
    assert_eq!(entries[0]["address"], "127.0.0.2");

    let device = json!({ "device_id": "pump-1", "name": "Pump" });
    let make =
        client.post(url("/api/devices")).header("Origin", &origin).header("Cookie", &cookie).json(&device);
    assert_eq!(make.send().await.unwrap().status(), 201);

    let events = client.get(url("/api/events?since=0")).header("Accept", "text/event-stream");
    let mut events = events.header("Cookie", &cookie).send().await.unwrap();
    reads(&mut events, "\"device_id\":\"pump-1\"").await;

    let (page, stream) = proxy.stream().await;
    let host = page.split_once("//").unwrap().1;
    let mut request = format!("ws://{host}/api/ws").into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("Origin", page.parse().unwrap());
    headers.insert("Cookie", cookie.parse().unwrap());
    let (mut socket, _) = within("a WebSocket", client_async(request, stream)).await.unwrap();
    socket.send(Message::text(r#"{"type":"subscribe","id":"s","since":0}"#)).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(30), async {
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame["type"] == "event" && frame["device_id"] == "pump-1" {
                return true;
            }
        }
        false
    });
    assert!(heard.await.unwrap(), "events come over the WebSocket");
}

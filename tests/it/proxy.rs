//! The hub behind nginx, with the configuration that the README has.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
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

use crate::support::hub::Installation;
use crate::support::people::{PASSWORD, Person};
use crate::support::{PATIENCE, eventually, within};

const NAME: &str = "hub.example.com";

/// An nginx of this test's own.
struct Nginx {
    _child: Child,
    /// With TLS, and without.
    https: SocketAddr,
    http: SocketAddr,
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The README's configuration, for these addresses and this folder.
fn configuration(hub: SocketAddr, https: SocketAddr, http: SocketAddr, folder: &Path) -> String {
    let readme = include_str!("../../README.md");
    let block = readme.split_once("```nginx\n").unwrap().1.split_once("```").unwrap().0;
    let mut text = block.to_owned();
    let folder = folder.display();
    for (said, here) in [
        ("listen 443 ssl;", format!("listen {https} ssl; listen {http};")),
        ("/etc/ssl/hub.example.com.pem", format!("{folder}/server.pem")),
        ("/etc/ssl/hub.example.com.key", format!("{folder}/server.key")),
        ("http://127.0.0.1:8080", format!("http://{hub}")),
    ] {
        assert!(text.contains(said), "the README says {said}");
        text = text.replace(said, &here);
    }
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|name| format!("{name}_temp_path {folder}/{name};\n")).concat();
    format!(
        "pid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{text}}}\n"
    )
}

impl Nginx {
    async fn start(hub: SocketAddr, folder: &Path) -> Self {
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
        let file = folder.join("nginx.conf");
        std::fs::write(&file, configuration(hub, https, http, folder)).unwrap();
        let places = ["/usr/sbin/nginx", "/usr/local/bin/nginx", "/opt/homebrew/bin/nginx"];
        let program = places.iter().find(|path| Path::new(path).exists()).expect("nginx is installed");
        let child = Command::new(program)
            .args(["-g", "daemon off; master_process off;", "-p"])
            .arg(folder)
            .arg("-c")
            .arg(file)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        eventually("nginx listens", async || TcpStream::connect(https).await.ok()).await;
        Self { _child: child, https, http }
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
    let folder = TempDir::with_prefix("twinhub-nginx-").unwrap();
    let public = format!("https://{NAME}");
    let installation =
        Installation::new().with("--public-url", &public).with("--trusted-proxies", "127.0.0.1,::1");
    let hub = installation.start().await;
    let ann = Person::first(&hub, "ann").await;
    let nginx = Nginx::start(hub.http, folder.path()).await;
    let client = Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .danger_accept_invalid_certs(true)
        .resolve(NAME, nginx.https)
        .build()
        .unwrap();
    let origin = format!("https://{NAME}:{}", nginx.https.port());
    let url = |path: &str| format!("{origin}{path}");

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
    // The client is the one that nginx saw, whatever it said of itself.
    let entries = ann.json(&hub, "/api/audit?action=user.signed_in&limit=1").await;
    assert_eq!(entries[0]["address"], "127.0.0.1");

    let device = json!({ "device_id": "pump-1", "name": "Pump" });
    let make =
        client.post(url("/api/devices")).header("Origin", &origin).header("Cookie", &cookie).json(&device);
    assert_eq!(make.send().await.unwrap().status(), 201);

    let events = client.get(url("/api/events?since=0")).header("Accept", "text/event-stream");
    let mut events = events.header("Cookie", &cookie).send().await.unwrap();
    reads(&mut events, "\"device_id\":\"pump-1\"").await;

    // The WebSocket over the listener without TLS, whose pages are another origin.
    let host = format!("{NAME}:{}", nginx.http.port());
    let mut request = format!("ws://{host}/api/ws").into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("Origin", format!("http://{host}").parse().unwrap());
    headers.insert("Cookie", cookie.parse().unwrap());
    let stream = TcpStream::connect(nginx.http).await.unwrap();
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

//! The guide's own page, `api.ts`, `useSocket.ts` and `DashboardLayout.tsx` as they stand but for the hub's address, in a
//! browser and from another origin.

use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::Command;

use super::publish;
use crate::support::hub::Installation;
use crate::support::{Browser, within};

/// The address in the guide.
const GUIDE: &str = "http://localhost:5000";
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[tokio::test]
async fn the_page_of_the_guide_shows_readings_as_they_come() {
    let pages = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://localhost:{}", pages.local_addr().unwrap().port());
    let hub = Installation::new().with("--cors", &origin).start().await;
    let script = bundle().await.replace(GUIDE, &format!("http://localhost:{}", hub.http.port()));
    tokio::spawn(serve(pages, script));

    let mut browser = Browser::open(&origin).await;
    browser.shows(&["Test Sensor: – °C"]).await;
    let added = browser.evaluate("JSON.parse(document.title).message").await;
    assert_eq!(added, "Device added successfully");
    // The page shows a reading once its socket is open, which nobody else can see: so one comes after the other.
    let shown = browser.shows(&["Test Sensor: 23.5 °C"]);
    let publishing = async {
        loop {
            publish(&hub, "test_device", r#"{"temperature":23.5,"humidity":55,"pressure":1013.25}"#).await;
        }
    };
    tokio::select! {
        () = shown => {}
        () = publishing => {}
    }
}

/// The page's script.
async fn bundle() -> String {
    let dir = TempDir::with_prefix("twinhub-bundle-").unwrap();
    let script = dir.path().join("page.js");
    let mut esbuild = Command::new(format!("{ROOT}/target/clients/node_modules/.bin/esbuild"));
    esbuild
        .args([
            "src/main.tsx",
            "--bundle",
            "--log-level=error",
            "--define:process.env.NODE_ENV=\"production\"",
        ])
        .arg(format!("--outfile={}", script.display()))
        .env("NODE_PATH", format!("{ROOT}/target/clients/node_modules"))
        .current_dir(format!("{ROOT}/tests/it/socketio/page"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let status = within("the page is put together", esbuild.status()).await;
    assert!(status.expect("tests/clients/install has installed esbuild").success());
    std::fs::read_to_string(script).unwrap()
}

/// Serves the page, as the guide's development server does.
async fn serve(pages: TcpListener, script: String) {
    let page = "<!doctype html><meta charset=utf-8><div id=root></div><script src=/page.js></script>";
    loop {
        let (mut stream, _) = pages.accept().await.unwrap();
        let mut head = [0; 4_096];
        let count = stream.read(&mut head).await.unwrap_or_default();
        let (kind, body) = match head[..count].starts_with(b"GET /page.js ") {
            true => ("text/javascript", script.as_str()),
            false => ("text/html", page),
        };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await; // the browser may have what it wants already
    }
}

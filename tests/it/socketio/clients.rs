//! The clients that pages and programs have: socket.io-client 4, 3 and 2 of npm, and python-socketio 5 of PyPI.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::publish;
use crate::support::hub::Installation;
use crate::support::people::Person;
use crate::support::{HubProcess, within};

/// The place of this repository.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The packages of which a client connects.
const PACKAGES: [&str; 2] = ["socket.io-client", "socket.io-client-3"];

/// A client that is a process of its own.
struct RealClient {
    printed: Lines<BufReader<ChildStdout>>,
    child: Child,
}

impl RealClient {
    /// A client of npm.
    fn of_npm(hub: &HubProcess, package: &str, options: &Value) -> Self {
        let mut command = Command::new("node");
        command.arg(format!("{ROOT}/tests/it/socketio/client.cjs"));
        command.args([package, &format!("http://{}", hub.http), &options.to_string()]);
        Self::start(command)
    }

    /// The client of PyPI.
    fn of_pypi(hub: &HubProcess, transports: &str, token: Option<&str>) -> Self {
        let mut command = Command::new(format!("{ROOT}/target/clients/python/bin/python"));
        command.arg(format!("{ROOT}/tests/it/socketio/client.py"));
        command.args([&format!("http://{}", hub.http), transports]).args(token);
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).env("NO_PROXY", "*");
        let mut child = command.spawn().expect("tests/clients/install has installed it");
        let printed = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { printed, child }
    }

    async fn next(&mut self) -> Value {
        let line = within("the client says something", self.printed.next_line()).await.unwrap();
        serde_json::from_str(&line.expect("tests/clients/install has installed what it needs")).unwrap()
    }

    /// The next that it says must be of this kind.
    async fn says(&mut self, on: &str) -> Value {
        let said = self.next().await;
        assert_eq!(said["on"], on, "{said}");
        said
    }

    /// It connects by polls and goes over to a WebSocket, maybe before it has joined. It may have tried in vain before.
    async fn goes_over(&mut self) {
        let mut left = vec!["connect", "upgrade"];
        while !left.is_empty() {
            let said = self.next().await;
            assert_ne!(said["on"], "disconnect", "{said}");
            if said["on"] == "upgrade" {
                assert_eq!(said["transport"], "websocket");
            }
            left.retain(|on| said["on"] != *on);
        }
    }

    /// Asks it to leave, and waits until it has.
    async fn leave(mut self) {
        drop(self.child.stdin.take());
        within("the client leaves", self.child.wait()).await.unwrap();
    }
}

async fn hears(hub: &HubProcess, client: &mut RealClient) {
    publish(hub, "test_device", r#"{"temperature":23.5,"humidity":55,"pressure":1013.25}"#).await;
    let heard = client.says("sensor_data").await;
    let event =
        json!({ "device_id": "test_device", "temperature": 23.5, "humidity": 55, "pressure": 1013.25 });
    assert_eq!(heard["data"], json!([event]));
}

#[tokio::test]
async fn they_connect_by_polls_by_a_websocket_and_by_an_upgrade() {
    let hub = Installation::new().start().await;
    for package in PACKAGES {
        for transport in ["polling", "websocket"] {
            let mut client = RealClient::of_npm(&hub, package, &json!({ "transports": [transport] }));
            assert_eq!(client.says("connect").await["transport"], transport, "{package}");
            hears(&hub, &mut client).await;
            hears(&hub, &mut client).await;
            client.leave().await;
        }
        let mut client = RealClient::of_npm(&hub, package, &json!({}));
        client.goes_over().await;
        hears(&hub, &mut client).await;
        client.leave().await;
    }
    for (transports, transport) in
        [("polling", "polling"), ("websocket", "websocket"), ("polling,websocket", "websocket")]
    {
        let mut client = RealClient::of_pypi(&hub, transports, None);
        assert_eq!(client.says("connect").await["transport"], transport, "{transports}");
        hears(&hub, &mut client).await;
        hears(&hub, &mut client).await;
        client.leave().await;
    }
    crate::support::eventually("nobody is left", async || {
        (hub.metric("twinhub_subscribers").await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_of_version_2_is_told_that_it_is_too_old() {
    let hub = Installation::new().start().await;
    let options = json!({ "transports": ["polling"], "reconnection": false });
    let mut client = RealClient::of_npm(&hub, "socket.io-client-2", &options);
    client.says("connect_error").await;
}

#[tokio::test]
async fn they_say_who_they_are_by_their_auth() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    let (key, id) = ann.make_key(&hub, "viewer").await;
    for package in PACKAGES {
        for transport in ["polling", "websocket"] {
            let options = json!({ "auth": { "token": "wrong" }, "transports": [transport] });
            let mut client = RealClient::of_npm(&hub, package, &options);
            assert_eq!(client.says("connect_error").await["message"], "Not authenticated");
        }
    }
    let mut client = RealClient::of_pypi(&hub, "polling", None);
    assert_eq!(client.says("connect_error").await["message"], "Not authenticated");
    client.says("failed").await;

    let options = json!({ "auth": { "token": key }, "transports": ["websocket"] });
    let mut page = RealClient::of_npm(&hub, PACKAGES[0], &options);
    page.says("connect").await;
    let mut program = RealClient::of_pypi(&hub, "websocket", Some(&key));
    program.says("connect").await;
    let ended = ann.send(&hub, reqwest::Method::DELETE, &format!("/api/auth/keys/{id}"), &Value::Null).await;
    assert!(ended.status().is_success());
    assert_eq!(page.says("disconnect").await["reason"], "io server disconnect");
    program.says("disconnect").await;
}

#[tokio::test]
async fn they_come_back_after_the_hub_was_away() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let address = hub.http;
    let options = json!({ "reconnectionDelay": 50, "reconnectionDelayMax": 100 });
    let mut client = RealClient::of_npm(&hub, PACKAGES[0], &options);
    client.goes_over().await;
    assert!(hub.terminate().await.success());
    assert_eq!(client.says("disconnect").await["reason"], "transport close");
    let again = installation.at_address(address).start().await;
    client.goes_over().await;
    hears(&again, &mut client).await;
    client.leave().await;
}

//! Follows what happens to devices, over WebSocket, and misses nothing: after a broken connection, or a
//! restart of the hub, it resumes behind the last event it saw.
//!
//! ```sh
//! cargo run --example subscribe -- --devices 'pump-*' --kinds telemetry,presence
//! ```

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

/// Prints events as they happen, one line each.
#[derive(Parser)]
struct SubscribeArgs {
    /// The hub's WebSocket
    #[arg(long, default_value = "ws://127.0.0.1:8080/api/ws")]
    url: String,
    /// Devices by name, `*` and `?` stand for anything [default: all]
    #[arg(long, value_delimiter = ',')]
    devices: Option<Vec<String>>,
    /// telemetry, twin, presence, … [default: all]
    #[arg(long, value_delimiter = ',')]
    kinds: Option<Vec<String>>,
    /// Begin behind this event, by its cursor; 0 for the oldest there is [default: now]
    #[arg(long)]
    since: Option<String>,
}

/// The wait before the next try, when the hub is not there.
const TRY_AGAIN: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() {
    let mut args = SubscribeArgs::parse();
    loop {
        let Err(error) = follow(&mut args).await;
        eprintln!("{error}; trying again");
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

/// Follows until the connection breaks. `since` moves along, so the next one goes on where this one ended.
async fn follow(args: &mut SubscribeArgs) -> Result<std::convert::Infallible> {
    let (mut socket, _) = connect_async(&args.url).await?;
    let mut subscribe = json!({ "type": "subscribe", "id": "events" });
    for (name, wish) in [("devices", &args.devices), ("kinds", &args.kinds)] {
        if let Some(wish) = wish {
            subscribe[name] = json!(wish);
        }
    }
    if let Some(since) = &args.since {
        subscribe["since"] = json!(since);
    }
    socket.send(Message::text(subscribe.to_string())).await?;
    while let Some(message) = socket.next().await {
        match message? {
            Message::Text(text) => hear(args, &serde_json::from_str(&text)?)?,
            Message::Close(Some(frame)) => bail!("the hub closed the connection: {}", frame.reason),
            _ => {}
        }
    }
    bail!("the connection broke")
}

fn hear(args: &mut SubscribeArgs, frame: &Value) -> Result<()> {
    let cursor = || frame["cursor"].as_str().map(str::to_owned);
    match frame["type"].as_str() {
        Some("event") => {
            println!("{} {} {} {}", frame["at"], frame["device_id"], frame["kind"], frame["data"]);
            args.since = cursor();
        }
        // From here on nothing is missed, even if nothing has happened yet when the connection breaks.
        Some("subscribed") => args.since = args.since.take().or_else(cursor),
        // We were too slow. Connecting again fetches what was missed from the hub's journal.
        Some("lagged") => {
            args.since = cursor();
            bail!("fell behind");
        }
        Some("resync") => {
            eprintln!("events of before are gone, they were older than the hub keeps them");
            args.since = cursor();
        }
        Some("error") => bail!("the hub refused: {}", frame["error"]),
        _ => {}
    }
    Ok(())
}

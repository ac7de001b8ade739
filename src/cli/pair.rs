//! `twinhub pair`: opens the pairing window of a hub that runs, and closes it.

use anyhow::{Result, anyhow};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::remote::{HubArgs, Method, Remote};
use crate::cli::rules::CommandFailed;
use crate::cli::rules::print::line;

/// The command `pair`.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct PairArgs {
    /// For how long, an hour at most [default: 10m]
    #[arg(long = "for", value_name = "DURATION", conflicts_with = "stop")]
    length: Option<String>,
    /// Close the window: devices that came and have no token are disconnected
    #[arg(long)]
    stop: bool,
    #[command(flatten)]
    hub: HubArgs,
}

const HELP: &str = "\
Examples:

  twinhub pair                     for ten minutes: switch the devices on now
  twinhub pair --for 30m
  twinhub pair --stop

The devices that came are listed when it is closed. From then on each needs a token: it asks for one
while the window is open, or you make it one with `twinhub devices token ID`.";

/// The path of the window.
const PATH: &str = "/api/pairing";

/// Carries it out.
///
/// # Errors
/// The hub cannot be reached, or it says no.
pub async fn run(PairArgs { length, stop, hub }: PairArgs) -> Result<(), CommandFailed> {
    let hub = Remote::new(&hub).map_err(CommandFailed::Misused)?;
    let done = if stop {
        hub.send_json(Method::DELETE, PATH, None).await.and_then(|state| tell_devices(&state))
    } else {
        let wish = length.map_or_else(|| json!({}), |length| json!({ "for": length }));
        hub.send_json(Method::POST, PATH, Some(&wish)).await.and_then(|state| tell_end(&state))
    };
    done.map_err(CommandFailed::Broke)
}

fn tell_end(state: &Value) -> Result<()> {
    let until = state["until"].as_str().ok_or_else(no_sense)?;
    line(&format!("new devices may come without a password until {until}: switch them on"))
}

fn tell_devices(state: &Value) -> Result<()> {
    let devices = state["devices"].as_array().ok_or_else(no_sense)?;
    line("new devices need a password")?;
    for device in devices {
        let text = |name: &str| device[name].as_str().unwrap_or_default();
        let (id, address) = (text("device_id"), text("address"));
        match device["paired"].as_bool() {
            Some(true) => line(&format!("{id} came from {address}, and has a token"))?,
            _ => line(&format!("{id} came from {address}, and needs a token: twinhub devices token {id}"))?,
        }
    }
    Ok(())
}

fn no_sense() -> anyhow::Error {
    anyhow!("the hub's answer makes no sense")
}

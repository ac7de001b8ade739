//! `twinhub devices`: devices in and out of files, and their tokens.

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::cli::files::{self, FilesAction};
use crate::cli::remote::{HubArgs, Method, Remote};
use crate::cli::rules::CommandFailed;
use crate::cli::rules::print::line;
use crate::import_export::columns::DEVICES;

/// The command `devices`.
#[derive(Args, Debug)]
pub struct DevicesArgs {
    #[command(subcommand)]
    action: DevicesAction,
}

#[derive(Debug, Subcommand)]
enum DevicesAction {
    #[command(flatten)]
    Files(FilesAction),
    /// Make a device another token, and print it, once
    #[command(after_help = HELP)]
    Token(TokenArgs),
}

#[derive(Args, Debug)]
struct TokenArgs {
    /// The device's id
    #[arg(value_name = "ID")]
    id: String,
    /// For how long the token before counts beside it, such as 24h [default: it ends at once]
    #[arg(long, value_name = "DURATION", conflicts_with = "end")]
    overlap: Option<String>,
    /// End all tokens of the device, and make none
    #[arg(long)]
    end: bool,
    #[command(flatten)]
    hub: HubArgs,
}

const HELP: &str = "\
Examples:

  twinhub devices token pump-1 --overlap 24h      both count for a day: time to bring it to the device
  twinhub devices token pump-1 > pump-1.token
  twinhub devices token pump-1 --end";

/// Carries it out. False where a line of a file was refused and reported.
///
/// # Errors
/// A file cannot be read, the hub cannot be reached, or it says no.
pub async fn run(DevicesArgs { action }: DevicesArgs) -> Result<bool, CommandFailed> {
    match action {
        DevicesAction::Files(action) => files::run_action(&DEVICES, action).await,
        DevicesAction::Token(args) => token(args).await.map(|()| true),
    }
}

async fn token(TokenArgs { id, overlap, end, hub }: TokenArgs) -> Result<(), CommandFailed> {
    let hub = Remote::new(&hub).map_err(CommandFailed::Misused)?;
    let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let path = format!("/api/devices/{}/token", escaped(&id));
    let done = match (end, overlap) {
        (true, _) => hub.send_json(Method::DELETE, &path, None).await.and_then(|ended| told(&id, &ended)),
        (false, None) => hub.post(&path).await.and_then(|made| print(&made)),
        (false, Some(overlap)) => {
            hub.post(&format!("{path}?overlap={}", escaped(&overlap))).await.and_then(|made| print(&made))
        }
    };
    done.map_err(CommandFailed::Broke)
}

/// The token alone goes to the standard output, so that it can go into a file.
fn print(made: &Value) -> Result<()> {
    let token = made["auth_token"].as_str().ok_or_else(|| anyhow!("the hub's answer makes no sense"))?;
    line(token)?;
    if let Some(until) = made["old_token_until"].as_str() {
        eprintln!("the token before counts until {until}");
    }
    Ok(())
}

fn told(id: &str, ended: &Value) -> Result<()> {
    match ended["ended"].as_u64() {
        Some(0) => line(&format!("{id} had no token")),
        Some(1) => line(&format!("{id} has no token any more")),
        Some(count) => line(&format!("{id} has none of its {count} tokens any more")),
        None => Err(anyhow!("the hub's answer makes no sense")),
    }
}

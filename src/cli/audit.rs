//! `twinhub audit`: who did what, and from where.

use std::io::{ErrorKind, Write as _};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use futures_util::StreamExt as _;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use crate::cli::remote::{Frame, HubArgs, Remote};
use crate::cli::rules::CommandFailed;
use crate::cli::rules::print::{line, moment_in, table};

/// The command `audit`.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct AuditArgs {
    /// Only entries by this caller: `user:ann`, `key:ci`
    #[arg(long, value_name = "CALLER")]
    who: Option<String>,
    /// Only entries of this action: `user.signed_in`
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only entries about this thing: `group:hall-2`
    #[arg(long, value_name = "THING")]
    target: Option<String>,
    /// Only entries from this moment on: a time, or how long ago (`7d`)
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only entries from before this moment
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// The number of entries that are listed, the newest
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// Go on, and print entries as they come
    #[arg(long, conflicts_with_all = ["format", "to", "limit"])]
    follow: bool,
    /// Print all entries that match, as a file
    #[arg(long, value_name = "FORMAT", conflicts_with = "limit")]
    format: Option<FileFormat>,
    #[command(flatten)]
    hub: HubArgs,
}

/// The form of a file.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FileFormat {
    /// JSON Lines
    Jsonl,
    Csv,
}

const HELP: &str = "\
Examples:

  twinhub audit --from 7d --who user:ann
  twinhub audit --follow
  twinhub audit --action user.signed_in --format csv > sign-ins.csv

Exit status: 0 all is well, 1 the hub says no or broke off, 2 it could not be done as it was asked.";

const HEADS: [&str; 7] = ["WHEN", "WHO", "FROM", "ACTION", "WHAT", "OUTCOME", "DETAIL"];

/// Does it.
///
/// # Errors
/// The hub cannot be reached, or says no.
pub async fn run(args: AuditArgs) -> Result<bool, CommandFailed> {
    let hub = Remote::new(&args.hub).map_err(CommandFailed::Misused)?;
    let done = match args.format {
        Some(format) => export(&hub, &args, format).await,
        None if args.follow => follow(&hub, &args).await,
        None => list(&hub, &args).await,
    };
    done.map(|()| true).map_err(CommandFailed::Broke)
}

async fn list(hub: &Remote, args: &AuditArgs) -> Result<()> {
    let limit = args.limit.to_string();
    let (entries, _) = hub.get(&format!("/api/audit?{}", args.query(&[("limit", &limit)]))).await?;
    let mut rows: Vec<_> = entries.as_array().into_iter().flatten().map(row).collect();
    rows.reverse(); // as in a log, the newest stands last
    line(&table(HEADS, &rows, "no entries"))
}

async fn follow(hub: &Remote, args: &AuditArgs) -> Result<()> {
    let mut entries = hub.follow(&format!("/api/audit?{}", args.query(&[]))).await?;
    while let Some(frame) = entries.next().await {
        let Frame { event, data } = frame?;
        if event == "audit" {
            let entry: Value = serde_json::from_str(&data).context("the hub's answer makes no sense")?;
            let cells = row(&entry);
            let said: Vec<&str> = cells.iter().map(String::as_str).filter(|cell| !cell.is_empty()).collect();
            line(&said.join("  "))?;
        }
    }
    Ok(())
}

async fn export(hub: &Remote, args: &AuditArgs, format: FileFormat) -> Result<()> {
    let format = match format {
        FileFormat::Jsonl => "jsonl",
        FileFormat::Csv => "csv",
    };
    let path = format!("/api/audit/export?{}", args.query(&[("format", format)]));
    let (_, mut pieces) = hub.download(&path).await?;
    let mut out = std::io::stdout();
    while let Some(piece) = pieces.next().await {
        match out.write_all(&piece?) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()), // its reader has enough
            written => written?,
        }
    }
    Ok(out.flush()?)
}

fn row(entry: &Value) -> [String; 7] {
    let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let detail = entry["detail"].as_object().filter(|detail| !detail.is_empty());
    let detail = detail.into_iter().flatten().map(|(name, value)| match value {
        Value::String(text) => format!("{name}={text}"),
        value => format!("{name}={value}"),
    });
    let detail = detail.collect::<Vec<_>>().join(" ");
    let at = moment_in(&text("at"));
    [at, text("who"), text("address"), text("action"), text("target"), text("outcome"), detail]
}

impl AuditArgs {
    /// The filters as a query, with more.
    fn query(&self, more: &[(&str, &str)]) -> String {
        let given = [
            ("who", &self.who),
            ("action", &self.action),
            ("target", &self.target),
            ("from", &self.from),
            ("to", &self.to),
        ];
        let mut query = Serializer::new(String::new());
        for (name, value) in given {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        query.extend_pairs(more);
        query.finish()
    }
}

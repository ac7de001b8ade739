//! `twinhub rules list`: what runs, and how it ran last.

use clap::Args;
use serde_json::Value;

use super::print::{count, line, moment_of, table, zone};
use super::{CommandFailed, check, secrets, sources};
use crate::api::automation::view::kind_of;
use crate::cli::remote::{HubArgs, Remote};
use crate::config::Config;

/// The arguments of `rules list`.
#[derive(Args, Debug)]
pub struct ListRulesArgs {
    #[command(flatten)]
    hub: HubArgs,
    /// List what stands in the files of the rules folder, without asking a hub
    #[arg(long)]
    offline: bool,
}

/// Rules asked for at once.
const PAGE: usize = 1_000;
const HEADS: [&str; 6] = ["RULE", "STATUS", "TRIGGERS", "LAST RUN", "NEXT", "FROM"];

/// Lists. False where a file does not check out.
pub async fn run(args: ListRulesArgs, config: &Config) -> Result<bool, CommandFailed> {
    let print_line = |text: &str| line(text).map_err(CommandFailed::Broke);
    if args.offline {
        let sources = sources::read(&[], config.rules_there(), &secrets(config))?;
        let mut rows = Vec::new();
        for source in &sources {
            for rule in source.read.as_ref().map(|file| file.rules.as_slice()).unwrap_or_default() {
                let kinds: Vec<_> = rule.triggers.iter().map(|trigger| kind_of(&trigger.kind)).collect();
                let status = if rule.enabled { "enabled" } else { "disabled" };
                let id = rule.id.to_string();
                rows.push([
                    id,
                    status.into(),
                    kinds.join(","),
                    String::new(),
                    String::new(),
                    source.path.clone(),
                ]);
            }
        }
        print_line(&table(HEADS, &rows, "no rules"))?;
        let wrong = check::problems(&sources);
        wrong.iter().try_for_each(|problem| print_line(problem))?;
        return Ok(wrong.is_empty());
    }
    let hub = Remote::new(&args.hub).map_err(CommandFailed::Misused)?;
    let mut rules = Vec::new();
    for page in 1.. {
        let path = format!("/api/automation/rules?page={page}&limit={PAGE}");
        let (found, total) = hub.get(&path).await.map_err(CommandFailed::Broke)?;
        let Value::Array(found) = found else { break };
        let is_last = found.is_empty();
        rules.extend(found);
        if is_last || rules.len() >= total {
            break;
        }
    }
    print_line(&table(HEADS, &rules.iter().map(row).collect::<Vec<_>>(), "no rules"))?;
    let (broken, _) = hub.get("/api/automation/files").await.map_err(CommandFailed::Broke)?;
    let broken: Vec<_> =
        broken.as_array().into_iter().flatten().filter_map(|file| file["path"].as_str()).collect();
    if !broken.is_empty() {
        let files = count(broken.len(), "file");
        print_line(&format!(
            "{files} not as they stand, but as they were: {} (twinhub rules check)",
            broken.join(", ")
        ))?;
    }
    Ok(true)
}

fn row(rule: &Value) -> [String; 6] {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let zone = zone(rule["timezone"].as_str());
    let kinds = rule["triggers"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let last = &rule["last_run"];
    let last = last["at"]
        .as_str()
        .map_or_else(String::new, |at| format!("{} {}", moment_of(at, zone), text(&last["outcome"])));
    [
        text(&rule["id"]),
        text(&rule["status"]),
        kinds.collect::<Vec<_>>().join(","),
        last,
        rule["next_at"].as_str().map_or_else(String::new, |at| moment_of(at, zone)),
        rule["file"].as_str().unwrap_or("api").to_owned(),
    ]
}

//! `twinhub rules list`: what runs, and how it ran last.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::print::{count, line, moment_in};
use super::remote::Remote;
use super::{Failed, HUB, check, sources};
use crate::api::automation::view::kind_of;

/// Whose rules.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// The hub that is asked
    #[arg(long, value_name = "URL", env = "TWINHUB_URL", default_value = HUB)]
    url: String,
    /// List what stands in the files of the rules folder, without asking a hub
    #[arg(long)]
    offline: bool,
}

/// Rules asked for at once.
const PAGE: usize = 1_000;
const HEADS: [&str; 6] = ["RULE", "STATUS", "TRIGGERS", "LAST RUN", "NEXT", "FROM"];

/// Lists. False where a file does not check out.
pub async fn run(args: ListArgs, folder: Option<PathBuf>) -> Result<bool, Failed> {
    let say = |text: &str| line(text).map_err(Failed::Broke);
    if args.offline {
        let sources = sources::read(&[], folder)?;
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
        say(&table(&rows))?;
        let wrong = check::problems(&sources);
        wrong.iter().try_for_each(|problem| say(problem))?;
        return Ok(wrong.is_empty());
    }
    let hub = Remote::new(&args.url).map_err(Failed::Misused)?;
    let mut rules = Vec::new();
    for page in 1.. {
        let path = format!("/api/automation/rules?page={page}&limit={PAGE}");
        let (found, total) = hub.get(&path).await.map_err(Failed::Broke)?;
        let Value::Array(found) = found else { break };
        let is_last = found.is_empty();
        rules.extend(found);
        if is_last || rules.len() >= total {
            break;
        }
    }
    say(&table(&rules.iter().map(row).collect::<Vec<_>>()))?;
    let (broken, _) = hub.get("/api/automation/files").await.map_err(Failed::Broke)?;
    let broken: Vec<_> =
        broken.as_array().into_iter().flatten().filter_map(|file| file["path"].as_str()).collect();
    if !broken.is_empty() {
        let files = count(broken.len(), "file");
        say(&format!(
            "{files} not as they stand, but as they were: {} (twinhub rules check)",
            broken.join(", ")
        ))?;
    }
    Ok(true)
}

fn row(rule: &Value) -> [String; 6] {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kinds = rule["triggers"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let last = &rule["last_run"];
    let last = last["at"]
        .as_str()
        .map_or_else(String::new, |at| format!("{} {}", moment_in(at), text(&last["outcome"])));
    [
        text(&rule["id"]),
        text(&rule["status"]),
        kinds.collect::<Vec<_>>().join(","),
        last,
        rule["next_at"].as_str().map_or_else(String::new, moment_in),
        rule["file"].as_str().unwrap_or("api").to_owned(),
    ]
}

/// Columns as wide as what is in them; one that is empty throughout is left out.
fn table(rows: &[[String; 6]]) -> String {
    if rows.is_empty() {
        return "no rules".into();
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let columns: Vec<_> = (0..HEADS.len()).filter(|column| width(*column) > 0).collect();
    let heads = HEADS.map(str::to_owned);
    let lines = std::iter::once(&heads).chain(rows).map(|row| {
        let cells = columns.iter().map(|column| {
            let cell = &row[*column];
            let blank = width(*column).max(HEADS[*column].len()).saturating_sub(cell.chars().count());
            format!("{cell}{}", " ".repeat(blank))
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let row = |id: &str, status: &str| [id, status, "cron", "", "", "a.yaml"].map(str::to_owned);
        assert_eq!(
            table(&[row("night", "running"), row("x", "stopped")]),
            "RULE   STATUS   TRIGGERS  FROM\nnight  running  cron      a.yaml\nx      stopped  cron      a.yaml"
        );
        assert_eq!(table(&[]), "no rules");
    }
}

//! `twinhub rules check`: everything that is wrong, and what people should look at.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use twinhub_rules::FileProblem;
use twinhub_rules::analysis::Warning;

use super::print::{count, line};
use super::sources::{self, RuleSource};
use super::{CommandFailed, secrets};
use crate::config::Config;
use crate::http::problem::RuleError;

/// The arguments of `rules check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Files, and folders with files [default: the rules folder]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The format of the report
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: ReportFormat,
}

/// The format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people, as compilers do
    Text,
    /// For programs
    Json,
}

/// Checks. False where something is wrong.
pub fn run(args: &CheckArgs, config: &Config) -> Result<bool, CommandFailed> {
    let sources = sources::read(&args.paths, config.rules_there(), &secrets(config))?;
    let warnings = sources::warnings(&sources);
    let report = match args.format {
        ReportFormat::Text => text(&sources, &warnings),
        ReportFormat::Json => {
            serde_json::to_string_pretty(&document(&sources, &warnings)).unwrap_or_default()
        }
    };
    line(&report).map_err(CommandFailed::Broke)?;
    Ok(sources.iter().all(|source| source.read.is_ok()))
}

/// The problems of these files, as compilers report them.
#[must_use]
pub fn problems(sources: &[RuleSource]) -> Vec<String> {
    let wrong =
        sources.iter().flat_map(|source| found(source).iter().map(|problem| source.describe(problem)));
    wrong.collect()
}

fn text(sources: &[RuleSource], warnings: &[Warning]) -> String {
    let mut lines = problems(sources);
    let wrong = lines.len();
    for warning in warnings {
        let message = format!("warning: {}", warning.message);
        let of = warning.rules.first().and_then(|rule| {
            let has = |source: &&RuleSource| {
                source.read.as_ref().is_ok_and(|file| file.rules.iter().any(|other| other.id == *rule))
            };
            sources.iter().find(has).map(|source| (source, source.place_of(rule)))
        });
        lines.push(match of {
            Some((source, (line, column))) => source.point(line, column, &message),
            None => message,
        });
    }
    let rules =
        sources.iter().filter_map(|source| source.read.as_ref().ok()).map(|file| file.rules.len()).sum();
    lines.push(format!(
        "{}, {}: {}, {}",
        count(sources.len(), "file"),
        count(rules, "rule"),
        count(wrong, "problem"),
        count(warnings.len(), "warning"),
    ));
    lines.join("\n")
}

fn document(sources: &[RuleSource], warnings: &[Warning]) -> Value {
    let files: Vec<_> = sources
        .iter()
        .map(|source| {
            let rules = source.read.as_ref().map(|file| file.rules.as_slice()).unwrap_or_default();
            json!({
                "path": source.path,
                "rules": rules.iter().map(|rule| rule.id.as_str()).collect::<Vec<_>>(),
                "problems": found(source).iter().map(RuleError::of).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "ok": sources.iter().all(|source| source.read.is_ok()), "files": files, "warnings": warnings })
}

fn found(source: &RuleSource) -> &[FileProblem] {
    source.read.as_ref().err().map_or(&[], Vec::as_slice)
}

//! `twinhub rules`: rule files checked, listed, tested, and tried on the past.

mod backtest;
mod check;
mod list;
pub(crate) mod print;
mod run_report;
mod sources;
mod test;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use twinhub_rules::file;
use twinhub_rules::file::SecretNames;

use crate::config::{Config, Options};

/// The command `rules`.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct RulesArgs {
    #[command(subcommand)]
    action: RulesAction,
    /// The configuration file [default: twinhub.toml, if there is one]
    #[arg(long, env = "TWINHUB_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The folder with the rule files [default: rules]
    #[arg(long, env = "TWINHUB_RULES", value_name = "DIR", global = true)]
    rules: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum RulesAction {
    /// Say everything that is wrong in rule files, with line and column
    Check(check::CheckArgs),
    /// List the rules that run, and how each ran last
    List(list::ListRulesArgs),
    /// Run the tests that are written in rule files
    Test(test::TestArgs),
    /// Say what a rule would have done, and how that differs from the version that runs
    Backtest(backtest::BacktestArgs),
    /// Print the JSON Schema of rule files, for editors
    Schema,
}

const HELP: &str = "\
Examples:

  twinhub rules check                      everything in the rules folder
  twinhub rules check rules/hall.yaml      one file, before it is put there
  twinhub rules test                       run the tests in the files
  twinhub rules list                       what runs in the hub on this machine
  twinhub rules backtest rules/hall.yaml --rule hall-warm --from 7d
  twinhub rules schema > rules.schema.json

Exit status: 0 all is well (warnings are), 1 a file does not check out or a test failed,
2 it could not be done as it was asked.";

/// The secrets that rules may sign with, by the configuration.
fn secrets(config: &Config) -> SecretNames {
    SecretNames::with(&config.rule_secrets)
}

/// The problems in the files of the rules folder, `rules/hall.yaml:7:9: …`, each in a line.
///
/// # Errors
/// The folder cannot be read.
pub fn problems(config: &Config) -> Result<Vec<String>, String> {
    let sources = match sources::read(&[], config.rules_there(), &secrets(config)) {
        Ok(sources) => sources,
        Err(CommandFailed::Misused(error) | CommandFailed::Broke(error)) => return Err(format!("{error:#}")),
    };
    let first_line = |problem: String| problem.lines().next().unwrap_or_default().to_owned();
    Ok(check::problems(&sources).into_iter().map(first_line).collect())
}

/// The reason why a command failed.
#[derive(Debug)]
pub enum CommandFailed {
    /// The command cannot be carried out.
    Misused(anyhow::Error),
    /// It went wrong on the way.
    Broke(anyhow::Error),
}

/// Carries it out. False where a file does not check out or a test failed, which was reported.
///
/// # Errors
/// A file cannot be read, or the hub be reached.
pub async fn run(args: RulesArgs) -> Result<bool, CommandFailed> {
    let RulesArgs { action, config, rules } = args;
    // A file that cannot be understood is told by whoever needs it; the schema needs none.
    if matches!(action, RulesAction::Schema) {
        let text = serde_json::to_string_pretty(&file::schema()).unwrap_or_default();
        print::line(&text).map_err(CommandFailed::Broke)?;
        return Ok(true);
    }
    let configure = |options: Options| {
        Config::resolve(Options { config: config.clone(), rules: rules.clone(), ..options })
            .map_err(|error| CommandFailed::Misused(error.into()))
    };
    match action {
        RulesAction::Check(args) => check::run(&args, &configure(Options::default())?),
        RulesAction::Test(args) => test::run(&args, &configure(Options::default())?),
        RulesAction::List(args) => list::run(args, &configure(Options::default())?).await,
        RulesAction::Backtest(args) => {
            let config = configure(args.options())?;
            backtest::run(args, config).await
        }
        RulesAction::Schema => Ok(true), // above
    }
}

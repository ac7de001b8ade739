//! `twinhub doctor`: what is wrong with an installation, or weak, and what to do about it. The checks are pure functions
//! of facts; `look` finds the facts and changes nothing.

mod certificates;
mod data;
mod files;
mod finding;
mod hub;
mod look;
mod machine;
mod network;
mod people;

use anyhow::anyhow;
use clap::Args;
use serde_json::json;

use self::finding::{Finding, FindingLevel, summary};
use crate::cli::rules::CommandFailed;
use crate::cli::rules::print::line;
use crate::config::{Config, Options};
use crate::startup::private;

/// The command `doctor`.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct DoctorArgs {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

const HELP: &str = "\
Give it the options that `serve` is started with, or none where they are in the file or the environment. It changes
nothing, and a hub may run meanwhile; run it as the user who runs the hub.

Exit status: 0 nothing has to be mended (there may be warnings), 1 something has, 2 the configuration cannot be used.";

/// Checks everything. False where something has to be mended.
///
/// # Errors
/// The configuration cannot be used.
pub async fn run(DoctorArgs { json, options }: DoctorArgs) -> Result<bool, CommandFailed> {
    private::from_now_on(); // a database that is looked at gets files beside it
    let named = options.config.clone();
    let config = match Config::resolve(options) {
        Ok(config) => config,
        Err(error) => {
            let remedy = "mend that first; `twinhub config` prints all options";
            print(&[Finding::fail("configuration", error.to_string(), remedy)], json)?;
            return Err(CommandFailed::Misused(anyhow!("the configuration cannot be used")));
        }
    };
    let looked = look::look(&config, named.as_deref()).await;
    let mut found = vec![Finding::ok("configuration", "all options make sense")];
    found.extend(files::check(&looked.files));
    found.extend(looked.people.as_ref().map(people::check).into_iter().flatten());
    found.extend(network::check(&looked.network));
    found.extend(certificates::check(&looked.certificates));
    found.extend(machine::check(&looked.machine));
    found.extend(data::check(&looked.data));
    found.extend(hub::check(&looked.hub));
    print(&found, json)?;
    Ok(found.iter().all(|finding| finding.level != FindingLevel::Fail))
}

fn print(found: &[Finding], json: bool) -> Result<(), CommandFailed> {
    let text = if json {
        let worst = found.iter().map(|finding| finding.level).max().unwrap_or(FindingLevel::Ok);
        format!("{:#}", json!({ "status": worst, "findings": found }))
    } else {
        let lines: Vec<String> = found.iter().map(Finding::line).collect();
        format!("{}\n\n{}", lines.join("\n"), summary(found))
    };
    line(&text).map_err(CommandFailed::Broke)
}

#[cfg(test)]
mod testing {
    use super::finding::{Finding, FindingLevel};

    /// The lines of all that is not as it should be.
    pub fn bad(found: &[Finding]) -> Vec<String> {
        found.iter().filter(|finding| finding.level != FindingLevel::Ok).map(Finding::line).collect()
    }
}

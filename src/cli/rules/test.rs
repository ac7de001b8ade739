//! `twinhub rules test`: the tests that are written in rule files, in virtual time.

use std::path::PathBuf;

use clap::Args;
use twinhub_rules::scenario;

use super::print::{count, line};
use super::sources::{self, RuleSource};
use super::{CommandFailed, check, secrets};
use crate::api::automation::tests_begin;
use crate::config::Config;

/// The arguments of `rules test`.
#[derive(Args, Debug)]
pub struct TestArgs {
    /// Files, and folders with files [default: the rules folder]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The tests of this rule alone
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
}

/// Runs the tests. False where one failed, or a file does not check out.
pub fn run(args: &TestArgs, config: &Config) -> Result<bool, CommandFailed> {
    let sources = sources::read(&args.paths, config.rules_there(), &secrets(config))?;
    let print_line = |text: &str| line(text).map_err(CommandFailed::Broke);
    let wrong = check::problems(&sources);
    wrong.iter().try_for_each(|problem| print_line(problem))?;
    let (mut passed, mut failed) = (0, 0);
    for source in &sources {
        for Tested { rule, name, failure, failed_actions } in test(source, args.rule.as_deref()) {
            let path = &source.path;
            match failure {
                None => {
                    passed += 1;
                    print_line(&format!("ok      {path}  {rule}: {name}"))?;
                    for failed in failed_actions {
                        print_line(&indented(&format!("an action failed {failed}")))?;
                    }
                }
                Some(failure) => {
                    failed += 1;
                    print_line(&format!("FAILED  {path}  {rule}: {name}\n{}", indented(&failure)))?;
                }
            }
        }
    }
    let broken =
        if wrong.is_empty() { String::new() } else { format!(", {}", count(wrong.len(), "problem")) };
    print_line(&format!("{passed} passed, {failed} failed{broken}"))?;
    Ok(failed == 0 && wrong.is_empty())
}

struct Tested {
    rule: String,
    name: String,
    failure: Option<String>,
    failed_actions: Vec<String>,
}

fn test(source: &RuleSource, only: Option<&str>) -> Vec<Tested> {
    let Ok(file) = &source.read else { return Vec::new() };
    let mut tested = Vec::new();
    for (index, rule) in file.rules.iter().enumerate() {
        if only.is_some_and(|only| only != rule.id.as_str()) {
            continue;
        }
        let tests: Vec<_> = file.tests.iter().filter(|(of, _)| *of == index).map(|(_, test)| test).collect();
        let verdicts = scenario::run(&file.rules, index, &tests, tests_begin());
        tested.extend(verdicts.into_iter().map(|verdict| Tested {
            rule: rule.id.to_string(),
            name: verdict.name,
            failure: verdict.failure,
            failed_actions: verdict.failed_actions,
        }));
    }
    tested
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("        {line}")).collect::<Vec<_>>().join("\n")
}

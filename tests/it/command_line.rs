//! The command line: each command is run as a user would, and the README knows each, and no other.

use std::collections::BTreeSet;

use clap::Command;
use serde_json::{Value, json};

use crate::options::rows_of_readme;
use crate::support::hub::{Installation, run};
use crate::support::{HubProcess, eventually};

/// Each command, and the test that runs it.
const RUN: &[(&str, &str, &str)] = &[
    ("serve", "options/place.rs", "other_machines_are_served_where_that_is_allowed"),
    ("simulate", "simulated_fleet.rs", "it_comes_and_says_goodbye"),
    ("rules check", "automation/files.rs", "files_are_checked_for_programs_and_listed"),
    ("rules list", "automation/files.rs", "files_are_checked_for_programs_and_listed"),
    ("rules test", "automation/files.rs", "a_test_that_fails_says_what_came_instead"),
    ("rules backtest", "automation/backtest.rs", "a_database_is_replayed_without_a_hub"),
    ("rules schema", "automation/files.rs", "files_are_checked_for_programs_and_listed"),
    ("devices import", "import/command_line.rs", "the_command_line_takes_files_in_and_out"),
    ("devices export", "import/command_line.rs", "the_command_line_takes_files_in_and_out"),
    ("data export", "history.rs", "all_readings_are_exported_as_they_came"),
    ("data import", "readings_import.rs", "readings_move_to_another_hub"),
    ("groups import", "command_line.rs", "files_of_groups_and_templates_come_in_and_go_out"),
    ("groups export", "command_line.rs", "files_of_groups_and_templates_come_in_and_go_out"),
    ("templates import", "command_line.rs", "files_of_groups_and_templates_come_in_and_go_out"),
    ("templates export", "command_line.rs", "files_of_groups_and_templates_come_in_and_go_out"),
    ("jobs list", "jobs/command_line.rs", "a_job_is_listed_watched_and_steered"),
    ("jobs show", "jobs/command_line.rs", "a_job_is_listed_watched_and_steered"),
    ("jobs watch", "jobs/command_line.rs", "a_job_is_listed_watched_and_steered"),
    ("jobs pause", "jobs/command_line.rs", "a_job_is_listed_watched_and_steered"),
    ("jobs resume", "jobs/command_line.rs", "a_job_is_listed_watched_and_steered"),
    ("jobs cancel", "jobs/command_line.rs", "a_job_is_listed_watched_and_steered"),
    ("jobs retry", "command_line.rs", "a_job_that_failed_is_tried_again"),
    ("backup", "backup.rs", "other_files_are_neither_overwritten_nor_taken_for_backups"),
    ("restore", "backup.rs", "other_files_are_neither_overwritten_nor_taken_for_backups"),
    ("verify", "backup.rs", "other_files_are_neither_overwritten_nor_taken_for_backups"),
    ("migrate-from", "migrate_from/bad_rows.rs", "files_that_are_none_are_told"),
    ("migrate status", "command_line.rs", "tables_are_made_and_their_steps_listed"),
    ("migrate up", "command_line.rs", "tables_are_made_and_their_steps_listed"),
    ("user add", "sign_in/commands.rs", "people_and_keys_are_managed_while_no_hub_runs"),
    ("user list", "sign_in/commands.rs", "users_are_listed_changed_and_removed"),
    ("user passwd", "sign_in/commands.rs", "people_and_keys_are_managed_through_the_hub_that_runs"),
    ("user role", "sign_in/commands.rs", "users_are_listed_changed_and_removed"),
    ("user remove", "sign_in/commands.rs", "users_are_listed_changed_and_removed"),
    ("key add", "sign_in/commands.rs", "keys_are_made_listed_and_revoked"),
    ("key list", "sign_in/commands.rs", "keys_are_made_listed_and_revoked"),
    ("key revoke", "sign_in/commands.rs", "keys_are_made_listed_and_revoked"),
    ("devices token", "device_access/tokens.rs", "tokens_are_made_on_the_command_line"),
    ("pair", "pairing.rs", "the_window_is_opened_and_closed_on_the_command_line"),
    ("audit", "audit.rs", "the_audit_is_listed_and_exported_on_the_command_line"),
    (
        "key rotate-secret",
        "key_rotation.rs",
        "a_new_key_seals_all_and_the_old_one_goes_once_nothing_needs_it",
    ),
    ("mqtt export", "mosquitto_files.rs", "tokens_of_before_are_counted"),
    ("doctor", "doctor.rs", "what_is_wrong_is_said_with_what_to_do"),
    ("config", "command_line.rs", "what_holds_is_printed"),
    ("openapi", "first_device.rs", "the_page_the_documentation_and_the_descriptions_are_there"),
    ("asyncapi", "first_device.rs", "the_page_the_documentation_and_the_descriptions_are_there"),
];

/// All commands that have none below them: `rules check`.
fn commands() -> Vec<(String, Command)> {
    fn below(prefix: &str, command: &Command, found: &mut Vec<(String, Command)>) {
        for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
            let name = format!("{prefix} {}", command.get_name()).trim().to_owned();
            match command.has_subcommands() {
                true => below(&name, command, found),
                false => found.push((name, command.clone())),
            }
        }
    }
    let mut found = Vec::new();
    let mut top = twinhub::cli::command();
    top.build();
    below("", &top, &mut found);
    found
}

fn source(file: &str) -> String {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_command_is_run_by_a_test() {
    let listed: BTreeSet<String> = RUN.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(listed, commands().into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>());
    for (name, file, test) in RUN {
        let text = source(&format!("tests/it/{file}"));
        let body = text.split_once(&format!("async fn {test}() {{\n"));
        let (_, body) = body.unwrap_or_else(|| panic!("{file} has no test {test}"));
        let body = body.split_once("\n}\n").map_or(body, |(body, _)| body);
        let last = name.split(' ').next_back().unwrap();
        assert!(body.contains(&format!("\"{last}\"")), "{test} in {file} says no {last}");
    }
}

#[tokio::test]
async fn the_readme_knows_every_command_and_each_has_help() {
    let rows = rows_of_readme("| command | what it does |");
    let told: BTreeSet<String> = rows.iter().map(|cells| cells.join(": ").replace('`', "")).collect();
    let about = |command: &Command| command.get_about().unwrap().to_string();
    let there =
        commands().iter().map(|(name, command)| format!("twinhub {name}: {}", about(command))).collect();
    assert_eq!(told, there);
    for (name, command) in commands() {
        let words: Vec<&str> = name.split(' ').chain(["--help"]).collect();
        let help = run(&words, &[]).await;
        let text = String::from_utf8(help.stdout).unwrap();
        assert!(help.status.success() && help.stderr.is_empty(), "{name}");
        assert!(text.contains(&format!("Usage: twinhub {name}")), "{text}");
        for option in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let shown = option.get_long().map(|long| format!("--{long}"));
            assert!(shown.is_none_or(|long| text.contains(&long)), "{name}: {option}");
        }
    }
}

#[test]
fn what_the_readme_shows_can_be_typed() {
    let mut top = twinhub::cli::command();
    top.build();
    let text = source("README.md");
    let blocks = text.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    let blocks = blocks.flat_map(str::lines).filter(|line| line.starts_with("twinhub "));
    let mut seen = 0;
    for shown in
        blocks.chain(text.split('`').filter(|words| words.starts_with("twinhub ") && !words.contains('|')))
    {
        let shown = shown.split("  ").next().unwrap_or_default();
        let mut command = &top;
        let mut words = shown.split_whitespace().skip(1);
        while let Some(word) = words.next() {
            let is_name = word.starts_with(|c: char| c.is_ascii_lowercase())
                && word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            if command.has_subcommands() && is_name {
                let next = command.find_subcommand(word);
                command = next.unwrap_or_else(|| panic!("`{shown}`: there is no command `{word}`"));
            } else if let Some(option) = word.strip_prefix("--").filter(|option| *option != "help") {
                let name = option.split('=').next();
                let found = command.get_arguments().find(|argument| argument.get_long() == name);
                let found = found.unwrap_or_else(|| panic!("`{shown}`: there is no option --{option}"));
                if found.get_action().takes_values() && !option.contains('=') {
                    words.next(); // its value, which may be a word like a command's
                }
            }
        }
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}

/// Runs a command that must succeed; what it printed.
async fn done(words: &[&str]) -> String {
    let output = run(words, &[]).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn tables_are_made_and_their_steps_listed() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let place = ["--data-dir", data.to_str().unwrap()];
    let none = run(&["migrate", "status", place[0], place[1]], &[]).await;
    let told = String::from_utf8_lossy(&none.stderr).into_owned();
    assert_eq!(none.status.code(), Some(1), "{told}");
    assert!(told.starts_with("twinhub: there is no database at ") && told.lines().count() == 1, "{told}");
    assert!(!data.exists(), "to look makes nothing");

    // Without a step done, and with all.
    std::fs::create_dir(&data).unwrap();
    std::fs::File::create(data.join("twinhub.db")).unwrap();
    let status = ["migrate", "status", place[0], place[1]];
    let pending = done(&status).await;
    assert!(
        pending.lines().count() > 1 && pending.lines().all(|line| line.starts_with("pending  m")),
        "{pending}"
    );
    let up = done(&["migrate", "up", place[0], place[1]]).await;
    assert_eq!(up, pending.replace("pending", "done   "));
    assert_eq!(done(&status).await, up);
    assert_eq!(done(&["migrate", "up", place[0], place[1]]).await, up, "again does nothing");

    let hub = Installation::at(&data).start().await;
    assert_eq!(hub.json("/api/devices").await, json!([]), "a hub takes them as they are");
}

async fn exported(hub: &HubProcess, what: &str) -> String {
    let url = format!("http://{}", hub.http);
    done(&[what, "export", "--url", &url]).await
}

#[tokio::test]
async fn files_of_groups_and_templates_come_in_and_go_out() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, other) = (Installation::new().start().await, Installation::new().start().await);
    for (what, line) in [
        ("groups", r#"{"id": "hall", "name": "The hall"}"#),
        ("templates", r#"{"id": "pump", "name": "Pumps", "configuration": {"interval": 5}}"#),
    ] {
        let (file, copy) = (dir.path().join(format!("{what}.jsonl")), dir.path().join(format!("{what}.csv")));
        let (file, copy) = (file.to_str().unwrap(), copy.to_str().unwrap());
        std::fs::write(file, line).unwrap();
        let urls = [&hub, &other].map(|hub| format!("http://{}", hub.http));
        let told = done(&[what, "import", file, "--dry-run", "--url", &urls[0]]).await;
        assert_eq!(told, "1 line: 1 would be created\n");
        assert_eq!(done(&[what, "import", file, "--url", &urls[0]]).await, "1 line: 1 created\n");
        let made: Value = serde_json::from_str(exported(&hub, what).await.trim()).unwrap();
        let asked: Value = serde_json::from_str(line).unwrap();
        for (name, value) in asked.as_object().unwrap() {
            assert_eq!(&made[name], value, "{made}");
        }
        done(&[what, "export", copy, "--url", &urls[0]]).await;
        assert_eq!(done(&[what, "import", copy, "--url", &urls[1]]).await, "1 line: 1 created\n");
        assert_eq!(exported(&other, what).await, exported(&hub, what).await);
    }
}

#[tokio::test]
async fn a_job_that_failed_is_tried_again() {
    let hub = Installation::new().start().await;
    let url = format!("http://{}", hub.http);
    let wish = json!({ "ids": ["nobody"], "action": { "desired": { "power": "on" } } });
    let made: Value = hub.post("/api/devices/bulk", &wish).await.json().await.unwrap();
    let job = made["id"].as_str().unwrap();
    let status = async || hub.json(&format!("/api/jobs/{job}")).await;
    eventually("it ends", async || (status().await["status"] == "done").then_some(())).await;
    let told = done(&["jobs", "retry", job, "--url", &url]).await;
    assert!(told.starts_with("running "), "{told}");
    eventually("it is done once more", async || {
        let job = status().await;
        (job["round"] == 2 && job["status"] == "done").then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_holds_is_printed() {
    let told = done(&["config", "--retention", "2d", "--listen", "127.0.0.1:1"]).await;
    assert!(told.contains("\nlisten = \"127.0.0.1:1\"  # flag\n"), "{told}");
    assert!(told.contains("\nretention = \"2d\"  # flag\n"), "{told}");
    assert!(told.contains("\nbody-limit = \"1MiB\"  # default\n"), "{told}");
}

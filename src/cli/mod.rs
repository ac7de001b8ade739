//! The command line: the commands of the program.

pub mod accounts;
pub mod audit;
pub mod backup;
pub mod data;
pub mod devices;
pub mod doctor;
pub mod files;
pub mod jobs;
pub mod migrate;
pub mod migrate_from;
pub mod mqtt;
pub mod pair;
pub mod remote;
pub mod rules;
pub mod simulate;
mod work_bar;

use std::borrow::Cow;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use self::accounts::{KeyArgs, UserArgs};
use self::audit::AuditArgs;
use self::backup::{BackupArgs, RestoreArgs, VerifyArgs};
use self::data::DataArgs;
use self::devices::DevicesArgs;
use self::doctor::DoctorArgs;
use self::files::{FilesArgs, help};
use self::jobs::JobsArgs;
use self::migrate_from::MigrateFromArgs;
use self::mqtt::MqttArgs;
use self::pair::PairArgs;
use self::rules::{CommandFailed, RulesArgs};
use self::simulate::SimulateArgs;
use crate::api;
use crate::config::{self, Config, Options};
use crate::import_export::columns;
use crate::reload::Reload;
use crate::shutdown::HangUp;
use crate::startup::private;
use crate::{live, memory, startup, telemetry};

/// A live digital twin of every IoT device, in one program.
///
/// Devices speak MQTT to it, people and programs REST, WebSocket and SSE. Without a command it serves.
/// Every option is a key of twinhub.toml too, without the dashes in front, and an environment variable;
/// a flag wins over the environment, the environment over the file.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Option<CliCommand>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum CliCommand {
    /// Serve (what is done without a command)
    Serve(Box<Options>),
    /// Play a fleet of devices that measure, obey and drop out
    Simulate(SimulateArgs),
    /// Check, list and test rules, and try them on the past
    Rules(RulesArgs),
    /// Import devices from a file, export them to one, and make them tokens
    #[command(mut_subcommand("import", help::import_devices), mut_subcommand("export", help::export_devices))]
    Devices(DevicesArgs),
    /// Export readings
    Data(DataArgs),
    /// Import groups from a file, and export them to one
    #[command(mut_subcommand("import", help::import_groups), mut_subcommand("export", help::export_groups))]
    Groups(FilesArgs),
    /// Import templates from a file, and export them to one
    #[command(
        mut_subcommand("import", help::import_templates),
        mut_subcommand("export", help::export_templates)
    )]
    Templates(FilesArgs),
    /// Let new devices in without a password for some minutes
    Pair(PairArgs),
    /// List, watch and steer what is done to many devices
    Jobs(JobsArgs),
    /// Make, list, change and remove people who can sign in
    User(UserArgs),
    /// Make, list and revoke keys for programs
    Key(KeyArgs),
    /// List the audit: who did what, and from where
    Audit(AuditArgs),
    /// Have an outside broker know the devices
    Mqtt(MqttArgs),
    /// Write a backup of all that the hub keeps into one file, while it runs
    Backup(Box<BackupArgs>),
    /// Make a data folder of a backup
    Restore(RestoreArgs),
    /// Read all of a backup, and say whether it is whole
    Verify(VerifyArgs),
    /// Say what is wrong with an installation, or weak, and what to do about it
    Doctor(Box<DoctorArgs>),
    /// See or bring up to date the tables of the database
    Migrate(MigrateArgs),
    /// Take over the database of another system: its devices, readings, rules and layout
    MigrateFrom(Box<MigrateFromArgs>),
    /// Print the value of every option, and its source
    ///
    /// It takes the options of `serve`, reads the environment and the file as that does, and prints TOML: as a
    /// configuration file it means the same. A comment behind each value names its source: a flag, the environment,
    /// the file or the default. Passwords in URLs are shown as ***.
    Config(Box<Options>),
    /// Print the description of the HTTP API (OpenAPI 3, JSON)
    Openapi,
    /// Print the description of the WebSocket and of the event stream (AsyncAPI 3, JSON)
    Asyncapi,
}

#[derive(Args)]
struct MigrateArgs {
    #[command(subcommand)]
    action: migrate::MigrateAction,
    /// The configuration file [default: twinhub.toml, if there is one]
    #[arg(long, env = "TWINHUB_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The folder that holds everything twinhub keeps [default: data]
    #[arg(long, env = "TWINHUB_DATA_DIR", value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// The database; DATABASE_URL is read too [default: SQLite in the data folder]
    #[arg(long, env = "TWINHUB_DATABASE", value_name = "URL", hide_env_values = true, global = true)]
    database: Option<String>,
}

/// The exit code of a command that cannot be carried out: a bad option, a taken port, a missing file.
const MISUSED: u8 = 2;
/// The exit code of a command that failed on the way.
const FAILED: u8 = 1;

/// The command line, to be looked at.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Carries out the command line.
#[must_use]
pub fn run() -> ExitCode {
    let parsed = Cli::command().try_get_matches();
    let (matches, cli) =
        match parsed.and_then(|matches| Ok((matches.clone(), Cli::from_arg_matches(&matches)?))) {
            Ok(parsed) => parsed,
            Err(error) => return explain(&error),
        };
    let command = cli.command.unwrap_or_else(|| CliCommand::Serve(Box::new(cli.options)));
    let done = match command {
        CliCommand::Serve(options) => serve(*options),
        CliCommand::Simulate(args) => async_main(simulate::run(args)).map_err(|error| (FAILED, error)),
        CliCommand::Rules(args) => match ended(async_main(rules::run(args))) {
            Ok(code) => return code,
            Err(failed) => Err(failed),
        },
        CliCommand::Jobs(args) => match ended(async_main(jobs::run(args))) {
            Ok(code) => return code,
            Err(failed) => Err(failed),
        },
        CliCommand::Audit(args) => match ended(async_main(audit::run(args))) {
            Ok(code) => return code,
            Err(failed) => Err(failed),
        },
        CliCommand::Devices(args) => match ended(async_main(devices::run(args))) {
            Ok(code) => return code,
            Err(failed) => Err(failed),
        },
        CliCommand::Groups(args) => match ended(async_main(files::run(&columns::GROUPS, args))) {
            Ok(code) => return code,
            Err(failed) => Err(failed),
        },
        CliCommand::Templates(args) => match ended(async_main(files::run(&columns::TEMPLATES, args))) {
            Ok(code) => return code,
            Err(failed) => Err(failed),
        },
        CliCommand::Data(args) => {
            let done = async_main(data::run(args)).map_err(CommandFailed::Misused);
            match ended(done) {
                Ok(code) => return code,
                Err(failed) => Err(failed),
            }
        }
        CliCommand::Pair(args) => async_main(pair::run(args)).map_err(with_exit_code),
        CliCommand::User(args) => async_main(accounts::run_user(args)).map_err(with_exit_code),
        CliCommand::Key(args) => async_main(accounts::run_key(args)).map_err(with_exit_code),
        CliCommand::Mqtt(args) => async_main(mqtt::run(args)).map_err(with_exit_code),
        CliCommand::Backup(args) => backup::run(*args).map_err(with_exit_code),
        CliCommand::Restore(args) => backup::run_restore(&args).map_err(with_exit_code),
        CliCommand::Verify(args) => async_main(backup::run_verify(&args)).map_err(with_exit_code),
        CliCommand::Doctor(args) => match ended(async_main(doctor::run(*args))) {
            Ok(code) => return code,
            Err(failed) => Err(failed),
        },
        CliCommand::Migrate(args) => run_migrate(args),
        CliCommand::MigrateFrom(args) => match ended(async_main(migrate_from::run(*args))) {
            Ok(code) => return code,
            Err(failed) => Err(failed),
        },
        CliCommand::Config(options) => print_config(*options, &matches),
        CliCommand::Openapi => print(&format!("{:#}", api::openapi())).map_err(|error| (FAILED, error)),
        CliCommand::Asyncapi => print(&format!("{:#}", live::asyncapi())).map_err(|error| (FAILED, error)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, error)) => {
            eprintln!("twinhub: {}", one_line(&error_text(&error)));
            ExitCode::from(code)
        }
    }
}

/// The exit code of a command that reports its own findings.
fn ended(done: Result<bool, CommandFailed>) -> Result<ExitCode, (u8, anyhow::Error)> {
    let is_passed = done.map_err(with_exit_code)?;
    Ok(if is_passed { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn with_exit_code(failed: CommandFailed) -> (u8, anyhow::Error) {
    match failed {
        CommandFailed::Misused(error) => (MISUSED, error),
        CommandFailed::Broke(error) => (FAILED, error),
    }
}

fn serve(options: Options) -> Result<(), (u8, anyhow::Error)> {
    private::from_now_on();
    let config = configure(options.clone())?;
    async_main(async {
        let hang_up = HangUp::new();
        let mut reload = Reload::new(options, config.clone());
        let running = startup::Application::start(config).await.map_err(|error| (MISUSED, error.into()))?;
        print(&running.banner()).map_err(|error| (FAILED, error))?;
        actix_rt::spawn(memory::release_free_memory());
        running.until_signal(hang_up, &mut reload).await.map_err(|error| (FAILED, error.into()))
    })
}

fn run_migrate(args: MigrateArgs) -> Result<(), (u8, anyhow::Error)> {
    private::from_now_on();
    let MigrateArgs { action, config, data_dir, database } = args;
    let config = configure(Options { config, data_dir, database, ..Options::default() })?;
    let report = async_main(migrate::run(&config.database, action)).map_err(|error| {
        let code = if migrate::is_locked(&error) { MISUSED } else { FAILED };
        (code, error)
    })?;
    print(&report).map_err(|error| (FAILED, error))
}

fn print_config(options: Options, matches: &ArgMatches) -> Result<(), (u8, anyhow::Error)> {
    let given = matches.subcommand_matches("config").unwrap_or(matches);
    let named = options.config.clone();
    let report = Config::resolve(options).and_then(|config| config::report(&config, given, named.as_deref()));
    print(&report.map_err(|error| (MISUSED, error.into()))?).map_err(|error| (FAILED, error))
}

fn configure(options: Options) -> Result<Config, (u8, anyhow::Error)> {
    let config = Config::resolve(options).map_err(|error| (MISUSED, error.into()))?;
    telemetry::start(&config.log, config.log_format)
        .with_context(|| format!("--log {}", config.log))
        .map_err(|error| (MISUSED, error))?;
    Ok(config)
}

/// Actors live in an actix system, so all of the program does.
fn async_main<T>(main: impl Future<Output = T>) -> T {
    actix_rt::System::new().block_on(main)
}

/// The texts of the error and its causes, none of them twice: some errors name their cause themselves.
fn error_text(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// To standard output; a reader that has gone (`twinhub openapi | head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Help and version as they are; of an error the first sentence, which names the option.
fn explain(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print(); // standard output may be closed
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    let sentence = text.split("\n\n").next().unwrap_or_default();
    let sentence = sentence.strip_prefix("error: ").unwrap_or(sentence);
    eprintln!("twinhub: {} (try --help)", one_line(sentence));
    ExitCode::from(MISUSED)
}

/// The text in one line, with the passwords in its URLs as `***`: errors repeat what was given.
fn one_line(text: &str) -> String {
    text.split_whitespace().map(without_password).collect::<Vec<_>>().join(" ")
}

fn without_password(word: &str) -> Cow<'_, str> {
    let hidden = || {
        let (scheme, rest) = word.split_once("://")?;
        // The last one: a password may have one too, where it should be written as %40.
        let (login, place) = rest.rsplit_once('@')?;
        let (user, _) = login.split_once(':')?;
        Some(format!("{scheme}://{user}:***@{place}"))
    };
    hidden().map_or(Cow::Borrowed(word), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_makes_sense() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serving_needs_no_word_for_it() {
        let Cli { command: None, options } =
            Cli::parse_from(["twinhub", "--listen", "127.0.0.1:1", "--open"])
        else {
            panic!("no command was given")
        };
        assert_eq!(options.listen, "127.0.0.1:1".parse().ok());
        assert_eq!(options.open, Some(true));
        assert!(matches!(Cli::parse_from(["twinhub", "serve"]).command, Some(CliCommand::Serve(_))));
    }

    #[test]
    fn files_of_each_kind_are_explained_by_their_own() {
        for what in ["devices", "groups", "templates"] {
            let help = |action| {
                let error = Cli::try_parse_from(["twinhub", what, action, "--help"]).err().unwrap();
                error.render().to_string()
            };
            assert!(help("import").contains(&format!("twinhub {what} import ")), "{}", help("import"));
            assert!(help("export").contains(&format!("twinhub {what} export ")), "{}", help("export"));
            let has = |action, option| help(action).contains(option);
            let (tokens, query) = (has("import", "--tokens"), has("export", "--query"));
            assert_eq!((tokens, query), (what == "devices", what == "devices"), "{what}");
        }
    }

    #[test]
    fn passwords_in_urls_are_hidden() {
        for (text, expected) in [
            ("no  password\nat all", "no password at all"),
            ("invalid value 'mqtt://ann:p@ss@h/x' for", "invalid value 'mqtt://ann:***@h/x' for"),
            ("`postgres://ann:p@h`: wrong", "`postgres://ann:***@h`: wrong"),
            ("mqtt://ann@h:1883 http://h:80/a:b", "mqtt://ann@h:1883 http://h:80/a:b"),
        ] {
            assert_eq!(one_line(text), expected);
        }
    }

    #[test]
    fn wrong_option_is_reported_in_one_line() {
        let error = Cli::try_parse_from(["twinhub", "--listen", "here"]).err().unwrap();
        let line = one_line(error.render().to_string().split("\n\n").next().unwrap());
        assert_eq!(
            line,
            "error: invalid value 'here' for '--listen <ADDRESS>': invalid socket address syntax"
        );
    }
}

//! `twinhub mqtt export`: Mosquitto's password and ACL files, of what the database has.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use twinhub_access::{BoundKey, Bridge, KeyPurpose};
use twinhub_mqtt::dialects::Dialects;
use twinhub_store::BoundKeyStore as _;
use twinhub_store::sql::{SqlOptions, SqlStore};

use crate::cli::rules::CommandFailed;
use crate::cli::rules::print::{count, line};
use crate::config::{Config, Mqtt, Options};
use crate::startup::broker_files::{BrokerFiles, BrokerLogins, reload};
use crate::startup::{key, private};

/// The command `mqtt`.
#[derive(Args, Debug)]
pub struct MqttArgs {
    #[command(subcommand)]
    action: MqttAction,
    /// The configuration file [default: twinhub.toml, if there is one]
    #[arg(long, env = "TWINHUB_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The folder that holds everything twinhub keeps [default: data]
    #[arg(long, env = "TWINHUB_DATA_DIR", value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// The database; DATABASE_URL is read too [default: SQLite in the data folder]
    #[arg(long, env = "TWINHUB_DATABASE", value_name = "URL", hide_env_values = true, global = true)]
    database: Option<String>,
    /// The file with the hub's own key [default: secret.key in the data folder]
    #[arg(long, env = "TWINHUB_KEY_FILE", value_name = "FILE", global = true)]
    key_file: Option<PathBuf>,
    /// The broker, whose user and password are the hub's own
    #[arg(long, env = "TWINHUB_MQTT", value_name = "BROKER", hide_env_values = true, global = true)]
    mqtt: Option<Mqtt>,
}

#[derive(Debug, Subcommand)]
enum MqttAction {
    /// Write the files by which an outside Mosquitto knows devices and the hub
    ///
    /// A hub with the option `mosquitto-files` keeps them up to date by itself; this makes them before its first start,
    /// which needs the broker. Tokens that were given before the option was set are not known to Mosquitto: give such
    /// devices new ones.
    Export(MosquittoExportArgs),
}

#[derive(Args, Debug)]
struct MosquittoExportArgs {
    /// The folder for `password_file` and `acl_file`, which must be there
    #[arg(long, value_name = "DIR")]
    mosquitto: PathBuf,
    /// The process of Mosquitto, which reads the files anew
    #[arg(long, value_name = "PID")]
    reload: Option<i32>,
}

/// Carries it out.
///
/// # Errors
/// The configuration or the database cannot be used, or a file cannot be written.
pub async fn run(args: MqttArgs) -> Result<(), CommandFailed> {
    private::from_now_on();
    let MqttArgs { action: MqttAction::Export(args), config, data_dir, database, key_file, mqtt } = args;
    let options = Options { config, data_dir, database, key_file, mqtt, ..Options::default() };
    let config = Config::resolve(options).map_err(|error| CommandFailed::Misused(error.into()))?;
    export(&config, args).await.map_err(CommandFailed::Broke)
}

async fn export(
    config: &Config,
    MosquittoExportArgs { mosquitto, reload: process }: MosquittoExportArgs,
) -> Result<()> {
    let logins =
        read(config).await.with_context(|| format!("cannot use the database {}", config.database))?;
    let files = BrokerFiles::new(config, mosquitto.clone())?;
    files.write(&logins, &Dialects::default())?;
    if let Some(process) = process {
        reload(process).with_context(|| format!("cannot tell the process {process}"))?;
    }
    let devices = count(logins.count(), "device");
    line(&format!("wrote password_file and acl_file in {} for {devices}", mosquitto.display()))?;
    if !files.knows_hub() {
        line("the hub itself is not in them: name its user with --mqtt mqtt://USER:PASSWORD@HOST")?;
    }
    match logins.without() {
        0 => Ok(()),
        without => line(&format!(
            "{} not in them: their tokens were given before `mosquitto-files` was set, or their ids have a colon",
            if without == 1 { "1 device is".to_owned() } else { format!("{without} devices are") }
        )),
    }
}

async fn read(config: &Config) -> Result<BrokerLogins> {
    if config.database.file().is_some_and(|file| !file.exists()) {
        return Ok(BrokerLogins::default());
    }
    let seal = key::read_there(&key::place(config.key_file.as_deref(), &config.data_dir))?.map(Arc::new);
    // A hub may be using it.
    let options = SqlOptions { seal, migrate: false, ..SqlOptions::default() };
    let store = SqlStore::open(&config.database.url(), options).await?;
    let logins = match store.bound_keys().await {
        Ok(keys) => BrokerLogins::read(&store, bridges_of(keys)).await,
        Err(error) => Err(error),
    };
    store.close().await;
    Ok(logins?)
}

/// The bridges among these keys, by their names.
fn bridges_of(keys: Vec<BoundKey>) -> BTreeMap<Box<str>, Bridge> {
    let bridge = |key: BoundKey| match key.purpose {
        KeyPurpose::Bridge(bridge) => Some((key.name.as_str().into(), bridge)),
        KeyPurpose::Provisioning(_) | KeyPurpose::Webhook(_) => None,
    };
    keys.into_iter().filter_map(bridge).collect()
}

//! SIGHUP: what can change while the hub runs is read anew, and the log says what was taken over, what waits for a
//! restart, and what is wrong.
//!
//! Flags and the environment of a process never change, so what can have changed is the configuration file, the rule
//! files, and nothing else. A file that is wrong changes nothing.

use std::path::PathBuf;

use toml::Table;
use tracing::{error, info, warn};
use twinhub_actors::automation::files;

use crate::config::{self, Config, ConfigError, Options};
use crate::startup::Running;
use crate::telemetry;

/// Keys that hold at once. Others wait for a restart.
const AT_ONCE: [&str; 7] = [
    "keep-readings",
    "keep-runs",
    "log",
    "retention",
    "unknown-devices",
    "webhook-allow",
    "webhook-private-redirects",
];

/// Reads anew what can be.
pub struct Reload {
    /// What was given on the command line and in the environment.
    given: Options,
    /// The file as it was when it was last taken over.
    file: Table,
    rules: Option<PathBuf>,
}

impl Reload {
    /// For the hub that is started with `given`, which came to `config`.
    ///
    /// # Errors
    /// The configuration file, which was there before, cannot be read.
    pub fn new(given: Options, config: &Config) -> Result<Self, ConfigError> {
        let file = config::file_table(given.config.as_deref())?;
        Ok(Self { given, file, rules: config.rules.clone() })
    }

    /// Does it.
    pub async fn reload(&mut self, running: &Running) {
        match self.read() {
            Ok((config, file)) => self.take_over(running, &config, file),
            Err(error) => error!(%error, "configuration not reloaded, what held before still does"),
        }
        let hub = &running.hub;
        if let Some(folder) = &self.rules {
            files::load(folder, &hub.settings.secrets, &hub.automation, false).await;
            let broken = hub.counters.broken_rules.list();
            if broken.is_empty() {
                info!(folder = %folder.display(), "rule files reloaded");
            } else {
                warn!(folder = %folder.display(), first = %broken[0], files = broken.len(),
                    "rule files reloaded, but for those that are wrong: of them what ran before goes on");
            }
        }
    }

    fn read(&self) -> Result<(Config, Table), ConfigError> {
        let file = config::file_table(self.given.config.as_deref())?;
        Ok((Config::resolve(self.given.clone())?, file))
    }

    fn take_over(&mut self, running: &Running, config: &Config, file: Table) {
        let changed = changed(&self.file, &file);
        let (mut at_once, later): (Vec<_>, Vec<_>) =
            changed.into_iter().partition(|key| AT_ONCE.contains(&key.as_str()));
        if at_once.iter().any(|key| key == "log")
            && let Err(error) = telemetry::change(&config.log)
        {
            warn!(%error, "the log's filter stays as it was");
            at_once.retain(|key| key != "log");
        }
        running.change(config);
        let list = |keys: &[String]| if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") };
        info!(changed = %list(&at_once), needs_restart = %list(&later), "configuration reloaded");
        // What waits for a restart is told of again with the next reload.
        for key in &at_once {
            match file.get(key) {
                Some(value) => drop(self.file.insert(key.clone(), value.clone())),
                None => drop(self.file.remove(key)),
            }
        }
    }
}

/// The keys whose values differ, in order.
fn changed(before: &Table, now: &Table) -> Vec<String> {
    let keys = before.keys().chain(now.keys());
    let mut keys: Vec<String> = keys.filter(|key| before.get(*key) != now.get(*key)).cloned().collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_which_keys_differ() {
        let table = |text: &str| text.parse::<Table>().unwrap();
        let (before, now) = (
            table("log = 'info'\nretention = '7d'\ncors = ['a']"),
            table("log = 'debug'\ncors = ['a']\nrules = 'r'"),
        );
        assert_eq!(changed(&before, &now), ["log", "retention", "rules"]);
        assert!(changed(&before, &before).is_empty());
    }
}

//! SIGHUP: what can change while the hub runs is read anew, and the log says what was taken over, what waits for a
//! restart, and what is wrong.
//!
//! Flags and the environment of a process never change, so what can have changed is the configuration file, the rule
//! files, and nothing else. A file that is wrong changes nothing. What counts is what holds: `168h` in the place of `7d`
//! changes nothing, and neither does a key that a flag or the environment overrides.

use tracing::{error, info, warn};
use twinhub_access::{Action, AuditEntry};
use twinhub_domain::Json;

use crate::config::{self, Config, ConfigError, Options};
use crate::startup::RunningHub;
use crate::telemetry;

/// Keys that hold at once. Others wait for a restart.
const AT_ONCE: [&str; 20] = [
    "body-limit",
    "cors",
    "devices",
    "firmware-limit",
    "hosts",
    "import-limit",
    "keep-alarms",
    "keep-commands",
    "keep-events",
    "keep-readings",
    "keep-runs",
    "log",
    PAYLOAD_LIMIT,
    "rate-limit",
    "retention",
    "slow-log",
    "trusted-proxies",
    "unknown-devices",
    "webhook-allow",
    "webhook-private-redirects",
];
/// It holds at once as far as packets may be long, which is fixed at the start.
const PAYLOAD_LIMIT: &str = "mqtt-payload-limit";

/// Reads anew what can be.
pub struct Reload {
    /// The options given on the command line and in the environment.
    given: Options,
    /// The configuration that the hub was started with: of the keys that wait for a restart this holds.
    started: Config,
    /// The configuration that was last taken over: of the keys that hold at once this holds.
    held: Config,
}

impl Reload {
    /// For the hub that is started with `given`, which came to `config`.
    #[must_use]
    pub fn new(given: Options, config: Config) -> Self {
        Self { given, started: config.clone(), held: config }
    }

    /// Does it.
    pub async fn reload(&mut self, running: &RunningHub) {
        match self.read() {
            Ok((config, overridden)) => self.take_over(running, config, &overridden),
            Err(error) => error!(%error, "configuration not reloaded, what held before still does"),
        }
        self.reload_rules(running).await;
        if let Some(tls) = &running.tls {
            let tls = std::sync::Arc::clone(tls);
            let _ = tokio::task::spawn_blocking(move || tls.reload()).await; // it has said what is wrong
        }
    }

    /// The configuration that holds by the file as it is now, and the keys in it that do not count.
    fn read(&self) -> Result<(Config, Vec<String>), ConfigError> {
        let file = config::file_table(self.given.config.as_deref())?;
        Ok((Config::resolve(self.given.clone())?, self.given.override_in(&file)))
    }

    fn take_over(&mut self, running: &RunningHub, mut config: Config, overridden: &[String]) {
        let is_at_once = |key: &String| AT_ONCE.contains(&key.as_str());
        let mut at_once = self.held.differs_in(&config);
        at_once.retain(is_at_once);
        let mut later = self.started.differs_in(&config);
        later.retain(|key| !is_at_once(key));
        if at_once.iter().any(|key| key == "log")
            && let Err(error) = telemetry::change(&config.log)
        {
            warn!(%error, "the log's filter stays as it was");
            at_once.retain(|key| key != "log");
            config.log = self.held.log.clone();
        }
        running.change(&config);
        if config.mqtt_payload_limit > running.largest_payload {
            at_once.retain(|key| key != PAYLOAD_LIMIT);
            later.push(PAYLOAD_LIMIT.into());
            warn!(
                limit = config.mqtt_payload_limit,
                until_then = running.largest_payload,
                "payloads as large as the new limit are taken after a restart"
            );
        }
        let list = |keys: &[String]| if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") };
        info!(changed = %list(&at_once), needs_restart = %list(&later), overridden = %list(overridden),
            "configuration reloaded");
        if !at_once.is_empty() {
            let keys = at_once.iter().map(|key| Json::from(key.as_str())).collect();
            let detail = [("changed", Json::Array(keys))].into_iter().collect();
            let entry = AuditEntry::new(running.hub.clock.now(), "", Action::HubConfigured);
            running.hub.append_audit(vec![entry.with_detail(detail)], None);
        }
        self.held = config;
    }

    async fn reload_rules(&self, running: &RunningHub) {
        let folder = &self.started.rules;
        let hub = &running.hub;
        if !hub.reload_rules(folder).await {
            return; // it has said why
        }
        let broken = hub.counters.broken_rules.list();
        if broken.is_empty() {
            info!(folder = %folder.display(), "rule files reloaded");
        } else {
            warn!(folder = %folder.display(), first = %broken[0], files = broken.len(),
                "rule files reloaded, but for those that are wrong: of them what ran before goes on");
        }
    }
}

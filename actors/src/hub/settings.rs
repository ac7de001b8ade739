//! Settings of the hub.

use std::path::PathBuf;
use std::time::Duration;

use super::threads::usual_twin_threads;
use crate::accounts::AccountSettings;
use crate::accounts::directory::DialectAccount;
use crate::device_tokens::Tokens;
use crate::identities::DevicesPolicy;
use crate::ingress::UnknownDevicePolicy;
use crate::slow_messages::SLOW_LOG;
use crate::webhook_destinations::WebhookDestinations;
use twinhub_domain::reading::ClockWindow;
use twinhub_domain::twin::presence::FIRST_SILENCE_MS;
use twinhub_mqtt::dialects::AddedDialects;
use twinhub_rules::file::SecretNames;

/// Settings of the hub.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The treatment of clients of the embedded broker that have no password.
    pub devices: DevicesPolicy,
    /// The key under which tokens of devices are kept.
    pub tokens: Tokens,
    pub unknown_devices: UnknownDevicePolicy,
    /// Inputs in flight at most; beyond it QoS 1 waits and QoS 0 is shed.
    pub most_in_flight: usize,
    /// Events in one commit at most.
    pub most_in_commit: usize,
    /// A twin that was idle for this long leaves memory; none: never. Twins beyond
    /// [`Settings::idle_above`] in memory are needed before any goes.
    pub idle_after: Option<Duration>,
    pub idle_above: u64,
    /// After how long a silence a device counts as offline while fewer than two of its intervals are known.
    pub first_silence: Duration,
    /// The longest rest of the store before it counts a job's devices again.
    pub longest_rest: Duration,
    /// The interval between two compactions of the store.
    pub maintain_every: Duration,
    /// The time that a person's change may wait for its commit before the answer is 503.
    pub patience: Duration,
    /// Threads that the twins are spread over; 0: they run on that of the journal.
    pub arbiters: usize,
    /// A message that takes so long from its coming to its acknowledgement is logged; none: none is.
    pub slow_log: Option<Duration>,
    /// The number of batches that a live subscriber may fall behind before it is notified that it lags.
    pub feed_depth: usize,
    /// The folder of the rule files; none: rules come over the API alone.
    pub rules: Option<PathBuf>,
    /// The times of devices that are believed.
    pub window: ClockWindow,
    /// The destinations that webhooks may reach.
    pub webhooks: WebhookDestinations,
    /// The keys that rules may sign with.
    pub secrets: SecretNames,
    /// The broker reports listeners, as the embedded one does. Before it runs, there are none: messages that are due
    /// for a device at the start of the hub wait for its subscription.
    pub broker_tells: bool,
    /// Dialects beside those that every hub has.
    pub dialects: AddedDialects,
    /// The accounts of dialects whose callers have no credential.
    pub dialect_accounts: Vec<DialectAccount>,
    /// Sign-in and registration.
    pub accounts: AccountSettings,
    /// The time that entries of the audit are kept; none: for good.
    pub keep_audit: Option<Duration>,
}

impl Settings {
    /// [`Settings::first_silence`] in ms.
    #[must_use]
    pub fn first_silence_ms(&self) -> i64 {
        i64::try_from(self.first_silence.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            devices: DevicesPolicy::Open,
            tokens: Tokens::default(),
            unknown_devices: UnknownDevicePolicy::Accept,
            most_in_flight: 20_000,
            most_in_commit: 4_000,
            idle_after: Some(Duration::from_secs(900)),
            idle_above: 100_000,
            first_silence: Duration::from_millis(FIRST_SILENCE_MS.unsigned_abs()),
            longest_rest: Duration::from_secs(30),
            maintain_every: Duration::from_secs(2),
            patience: Duration::from_secs(5),
            arbiters: usual_twin_threads(),
            slow_log: Some(SLOW_LOG),
            feed_depth: 1_024,
            rules: None,
            window: ClockWindow::default(),
            webhooks: WebhookDestinations::default(),
            secrets: SecretNames::default(),
            broker_tells: false,
            dialects: AddedDialects::default(),
            dialect_accounts: Vec::new(),
            accounts: AccountSettings::default(),
            keep_audit: Some(Duration::from_secs(365 * 86_400)),
        }
    }
}

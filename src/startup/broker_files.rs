//! Mosquitto's password and ACL files, kept up to date: a task reads who has a token at the start, follows the feed from
//! there, and writes what has changed.

mod folder;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};
use twinhub_access::Bridge;
use twinhub_actors::Hub;
use twinhub_actors::access::{Caller, ConfinedBatch, ConfinedFeed};
use twinhub_actors::messages::feed::EventBatch;
use twinhub_domain::cause::Source;
use twinhub_domain::event::{ChangeKind, EventBody};
use twinhub_domain::fleet::Lifecycle;
use twinhub_domain::{DeviceId, Twin};
use twinhub_mqtt::Intake as _;
use twinhub_mqtt::dialects::Dialects;
use twinhub_mqtt::mosquitto::{self, BrokerBridge, SALT_BYTES};
use twinhub_store::sql::SqlStore;
use twinhub_store::{DeviceQuery, Store as _, StoreError};

pub(crate) use self::folder::{BrokerFolder, reload};
use crate::config::{Config, Mqtt};
use crate::startup::held_task::HeldTask;

/// Twins read at once.
const PAGE: u64 = 500;
/// Changes that come within this time are written together: an import brings thousands.
const GATHER: Duration = Duration::from_millis(300);
/// The wait after files could not be written, or devices not be read.
const AGAIN: Duration = Duration::from_secs(5);

/// Logins at the broker.
#[derive(Debug, Default)]
pub(crate) struct BrokerLogins {
    /// The hashes of devices' tokens in Mosquitto's form.
    devices: BTreeMap<DeviceId, Box<str>>,
    /// Devices with a token that has none: it was given before the hub kept them.
    without: BTreeSet<DeviceId>,
    bridges: Vec<BrokerBridge>,
}

/// The files, and the hub's own line in them.
pub(crate) struct BrokerFiles {
    folder: BrokerFolder,
    /// The hub's user name, and the hash of its password.
    hub: Option<(String, String)>,
}

impl BrokerLogins {
    /// Reads all devices, beside these bridges.
    pub async fn read(store: &SqlStore, bridges: BTreeMap<Box<str>, Bridge>) -> Result<Self, StoreError> {
        let mut logins = Self::default();
        logins.take_bridges(bridges);
        let mut after = 0;
        loop {
            let query = DeviceQuery { offset: after, limit: PAGE, ..DeviceQuery::default() };
            let page = store.numbers(&query).await?;
            for twin in store.twins(&page).await? {
                logins.take(&twin.id, Some(&twin));
            }
            after += PAGE;
            if (page.len() as u64) < PAGE {
                return Ok(logins);
            }
        }
    }

    /// Takes over which bridges there are, by their names. True: something has changed.
    fn take_bridges(&mut self, bridges: BTreeMap<Box<str>, Bridge>) -> bool {
        let login = |(name, bridge): (Box<str>, Bridge)| {
            let Bridge { publish, subscribe, broker_hash, hub_topics: _ } = bridge;
            BrokerBridge { user: Bridge::user_name(&name).into(), hash: broker_hash, publish, subscribe }
        };
        let bridges: Vec<_> = bridges.into_iter().map(login).collect();
        let is_changed = bridges != self.bridges;
        self.bridges = bridges;
        is_changed
    }

    /// Takes over how it is with a device. True: something has changed.
    fn take(&mut self, device: &DeviceId, twin: Option<&Twin>) -> bool {
        let may_come = |twin: &&Twin| !matches!(twin.lifecycle(), Lifecycle::Suspended | Lifecycle::Retired);
        let twin = twin.filter(may_come);
        let hash = twin.map(|twin| twin.profile.text("broker_hash")).filter(|hash| !hash.is_empty());
        if hash.is_none() && twin.is_some_and(|twin| twin.profile.token_hashes().next().is_some()) {
            self.without.insert(device.clone());
        } else {
            self.without.remove(device);
        }
        match hash {
            Some(hash) => {
                self.devices.insert(device.clone(), hash.into()).is_none_or(|before| *before != *hash)
            }
            None => self.devices.remove(device).is_some(),
        }
    }

    /// The number of devices that may come in.
    pub fn count(&self) -> usize {
        self.devices.keys().filter(|device| mosquitto::can_name(device)).count()
    }

    /// The number of devices with a token that the broker cannot know.
    pub fn without(&self) -> usize {
        self.without.len() + self.devices.len() - self.count()
    }
}

impl BrokerFiles {
    /// The files in `folder`.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new(config: &Config, folder: PathBuf) -> Result<Self, getrandom::Error> {
        let hub = match &config.mqtt {
            Mqtt::Broker(address) => address.credentials.clone(),
            Mqtt::Embedded => None,
        };
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt)?;
        let hub = hub.map(|(user, password)| (user, mosquitto::password_hash(&password, salt)));
        Ok(Self { folder: BrokerFolder::new(folder), hub })
    }

    /// Has the hub a user of its own at the broker?
    pub fn knows_hub(&self) -> bool {
        self.hub.is_some()
    }

    /// Writes both files where they differ from what is there. True: one did.
    ///
    /// # Errors
    /// One cannot be written.
    pub fn write(&self, logins: &BrokerLogins, dialects: &Dialects) -> std::io::Result<bool> {
        let hub = self.hub.as_ref().map(|(user, hash)| (&**user, &**hash));
        let passwords = mosquitto::password_file(hub, &logins.bridges, &logins.devices);
        let rights = mosquitto::acl_file(hub.map(|(user, _)| user), &logins.bridges, dialects);
        self.folder.write(&passwords, &rights)
    }
}

/// Keeps the files up to date, and tells the broker in `pid_file` each time that they have changed.
pub(crate) fn follow(
    hub: Arc<Hub>,
    store: Arc<SqlStore>,
    files: BrokerFiles,
    pid_file: Option<PathBuf>,
) -> HeldTask {
    HeldTask::begin(async move {
        let grant = hub.of(Caller::Program, Source::Hub);
        while let Ok(events) = grant.subscribe().await {
            match follow_from(&store, &hub, events, &files, pid_file.as_deref()).await {
                Ok(()) => return,
                Err(Interrupted::Lagged) => {}
                Err(Interrupted::Store(error)) => {
                    warn!(%error, "cannot read the devices for the broker's files");
                    sleep(AGAIN).await;
                }
            }
        }
    })
}

/// The reason why the devices have to be read anew.
enum Interrupted {
    /// More came than was followed.
    Lagged,
    Store(StoreError),
}

/// Reads all devices, and follows their changes, and those of bridges, to the end of the feed.
async fn follow_from(
    store: &SqlStore,
    hub: &Hub,
    mut events: ConfinedFeed,
    files: &BrokerFiles,
    pid_file: Option<&Path>,
) -> Result<(), Interrupted> {
    let dialects = hub.ingress.dialects();
    let mut people = hub.directory.changes();
    people.mark_unchanged();
    let mut logins = BrokerLogins::read(store, hub.directory.bridges()).await.map_err(Interrupted::Store)?;
    info!(
        devices = logins.count(),
        without = logins.without(),
        "devices in the broker's files; those without need new tokens"
    );
    let mut due = Some(Instant::now());
    loop {
        let batch = match due {
            // First: a busy feed always has a next batch.
            Some(at) if at <= Instant::now() => None,
            _ => tokio::select! {
                batch = next(&mut events, due) => batch,
                changed = people.changed() => {
                    if changed.is_err() {
                        return Ok(()); // the hub is gone
                    }
                    if logins.take_bridges(hub.directory.bridges()) && due.is_none() {
                        due = Some(Instant::now() + GATHER);
                    }
                    continue;
                }
            },
        };
        match batch {
            None => due = (!write(&logins, &dialects, files, pid_file)).then(|| Instant::now() + AGAIN),
            Some(Ok(batch)) => {
                let devices = changed(&batch.events);
                if devices.is_empty() {
                    continue;
                }
                let twins = store.load(&devices).await.map_err(Interrupted::Store)?;
                for device in &devices {
                    let is_changed = logins.take(device, twins.iter().find(|twin| twin.id == *device));
                    if is_changed && due.is_none() {
                        due = Some(Instant::now() + GATHER);
                    }
                }
            }
            Some(Err(RecvError::Lagged(_))) => return Err(Interrupted::Lagged),
            Some(Err(RecvError::Closed)) => return Ok(()),
        }
    }
}

/// The next events; none where something is due before.
async fn next(events: &mut ConfinedFeed, due: Option<Instant>) -> Option<Result<ConfinedBatch, RecvError>> {
    match due {
        Some(at) => timeout_at(at, events.recv()).await.ok(),
        None => Some(events.recv().await),
    }
}

/// The devices whose credentials may have changed.
fn changed(batch: &EventBatch) -> Vec<DeviceId> {
    let devices = batch.iter().filter(|recorded| {
        let EventBody::Twin(change) = &recorded.event.body else { return false };
        matches!(
            change.change,
            ChangeKind::Registered
                | ChangeKind::Claimed
                | ChangeKind::Updated
                | ChangeKind::Deleted
                | ChangeKind::Lifecycle
                | ChangeKind::Token
        )
    });
    let devices: BTreeSet<DeviceId> = devices.map(|recorded| recorded.event.device.clone()).collect();
    devices.into_iter().collect()
}

/// Writes, and tells the broker. False: it has to be tried again.
fn write(logins: &BrokerLogins, dialects: &Dialects, files: &BrokerFiles, pid_file: Option<&Path>) -> bool {
    match files.write(logins, dialects) {
        Ok(false) => true,
        Ok(true) => {
            if let Some(pid_file) = pid_file
                && let Err(error) = folder::reload_by(pid_file)
            {
                warn!(pid_file = %pid_file.display(), %error,
                    "the broker's files have changed, and it could not be told so: reload it");
            }
            true
        }
        Err(error) => {
            warn!(%error, "cannot write the broker's files");
            false
        }
    }
}

//! Actors beside the twins for operations on many devices: groups, templates, firmware and jobs. All of them keep their
//! records in a [`RecordRepository`] and act on devices through the supervisor, in the same way as people.

pub mod firmware;
pub mod groups;
pub mod jobs;
pub mod layouts;
mod record_repository;
pub mod templates;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, ArbiterHandle};
use tracing::warn;

use self::firmware::Firmware;
use self::groups::{Groups, TreeNow};
use self::jobs::Jobs;
use self::layouts::Layouts;
pub use self::record_repository::{RecordEntry, RecordRepository};
use self::templates::Templates;
use crate::accounts::directory::Directory;
use crate::backoff::TWIN;
use crate::catalog::CatalogNow;
use crate::counters::Counters;
use crate::delivery;
use crate::feed::Feed;
use crate::journal::Journal;
use crate::messages::supervisor::{Deliver, IfUnknown};
use crate::places::Places;
use crate::search::Search;
use crate::supervisor::Supervisor;
use twinhub_domain::receipt::{InputOutcome, NotAccepted};
use twinhub_domain::{Cause, Clock, DeviceId, Input};
use twinhub_rules::file::SecretNames;
use twinhub_store::Store;

/// The actors and parts that they work with.
pub struct FleetDeps {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub journal: Addr<Journal>,
    pub feed: Addr<Feed>,
    pub supervisor: Addr<Supervisor>,
    pub search: Addr<Search>,
    pub counters: Arc<Counters>,
    /// Users and keys, whose rights jobs go on with.
    pub directory: Arc<Directory>,
    pub tree: Arc<TreeNow>,
    /// The places of devices: a job goes on where its maker reaches.
    pub places: Arc<Places>,
    /// The templates as they are now.
    pub catalog: Arc<CatalogNow>,
    /// The keys that rules of templates may sign with.
    pub secrets: SecretNames,
    /// See [`Settings::longest_rest`](crate::Settings::longest_rest).
    pub longest_rest: Duration,
}

/// The actors of this module.
pub struct FleetActors {
    pub groups: Addr<Groups>,
    pub templates: Addr<Templates>,
    pub firmware: Addr<Firmware>,
    pub jobs: Addr<Jobs>,
    pub layouts: Addr<Layouts>,
}

impl FleetActors {
    /// Starts all of them on one thread.
    #[must_use]
    pub fn start(deps: FleetDeps, thread: &ArbiterHandle) -> Self {
        let deps = Arc::new(deps);
        let [of_groups, of_templates, of_firmware, of_layouts] = [(); 4].map(|()| Arc::clone(&deps));
        let tree = Arc::clone(&deps.tree);
        Self {
            groups: Groups::start_in_arbiter(thread, move |_| Groups::new(of_groups, tree)),
            templates: Templates::start_in_arbiter(thread, move |_| Templates::new(of_templates)),
            firmware: Firmware::start_in_arbiter(thread, move |_| Firmware::new(of_firmware)),
            jobs: Jobs::start_in_arbiter(thread, move |_| Jobs::new(deps)),
            layouts: Layouts::start_in_arbiter(thread, move |_| Layouts::new(of_layouts)),
        }
    }
}

/// The most deliveries of an input that is lost because its twin died.
const MOST_TRIES: u32 = 8;

/// Delivers an input to its settlement, however often it is lost on its way; but a twin that dies each time is left
/// alone.
async fn deliver(
    deps: &FleetDeps,
    device: &DeviceId,
    input: &Input,
    cause: &Cause,
    if_unknown: IfUnknown,
) -> InputOutcome {
    let settled = delivery::deliver(&deps.supervisor, TWIN.at_most(MOST_TRIES), |receipt| Deliver {
        device: device.clone(),
        input: input.clone(),
        cause: cause.clone(),
        receipt,
        if_unknown,
        if_version: None,
        want_twin: false,
    })
    .await;
    if matches!(settled, Err(NotAccepted::Lost)) && deps.supervisor.connected() {
        warn!(device_id = %device, by = %cause.by, "a device's twin panicked on this input, skipping it");
    }
    settled
}

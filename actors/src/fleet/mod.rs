//! What stands beside the twins and is said of many at once: groups, templates, firmware and jobs, an actor each.
//! All of them keep their records on a [`Shelf`] and act on devices through the supervisor, by the same door as people.

pub mod firmware;
pub mod groups;
pub mod jobs;
mod shelf;
pub mod templates;

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use tracing::warn;

pub use self::shelf::{Entry, Shelf};
use crate::backoff::TWIN;
use crate::catalog::CatalogNow;
use crate::counters::Counters;
use crate::delivery;
use crate::feed::Feed;
use crate::journal::Journal;
use crate::messages::supervisor::{Deliver, IfUnknown};
use crate::search::Search;
use crate::supervisor::Supervisor;
use twinhub_domain::receipt::{NotTaken, Settled};
use twinhub_domain::{Cause, Clock, DeviceId, Input};
use twinhub_rules::file::SecretNames;
use twinhub_store::Store;

/// What they work with.
pub struct Around {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub journal: Addr<Journal>,
    pub feed: Addr<Feed>,
    pub supervisor: Addr<Supervisor>,
    pub search: Addr<Search>,
    pub counters: Arc<Counters>,
    /// The templates as they are now.
    pub catalog: Arc<CatalogNow>,
    /// What the rules of templates may sign with.
    pub secrets: SecretNames,
    /// See [`Settings::longest_rest`](crate::Settings::longest_rest).
    pub longest_rest: Duration,
}

/// An input that is lost on its way, because its twin died, is delivered so often.
const MOST_TRIES: u32 = 8;

/// What becomes of an input, however often it is lost on its way; but a twin that dies of it each time is left alone.
async fn deliver(
    around: &Around,
    device: &DeviceId,
    input: &Input,
    cause: &Cause,
    if_unknown: IfUnknown,
) -> Settled {
    let settled = delivery::deliver(&around.supervisor, TWIN.at_most(MOST_TRIES), |receipt| Deliver {
        device: device.clone(),
        input: input.clone(),
        cause: cause.clone(),
        receipt,
        if_unknown,
        if_version: None,
        want_twin: false,
    })
    .await;
    if matches!(settled, Err(NotTaken::Lost)) && around.supervisor.connected() {
        warn!(device_id = %device, by = %cause.by, "a device's twin dies of what it is told, leaving it out");
    }
    settled
}

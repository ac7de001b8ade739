//! What stands beside the twins and is said of many at once: groups, templates, firmware and jobs, an actor each.
//! All of them keep their records on a [`Shelf`] and act on devices through the supervisor, by the same door as people.

pub mod firmware;
pub mod groups;
pub mod jobs;
mod shelf;
pub mod templates;

use std::sync::Arc;

use actix::Addr;

pub use self::shelf::Shelf;
use self::templates::CatalogNow;
use crate::counters::Counters;
use crate::domain::Clock;
use crate::feed::Feed;
use crate::journal::Journal;
use crate::store::Store;
use crate::supervisor::Supervisor;

/// What they work with.
pub struct Around {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub journal: Addr<Journal>,
    pub feed: Addr<Feed>,
    pub supervisor: Addr<Supervisor>,
    pub counters: Arc<Counters>,
    /// The templates as they are now.
    pub catalog: Arc<CatalogNow>,
}

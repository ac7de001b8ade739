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

pub use self::shelf::Shelf;
use self::templates::CatalogNow;
use crate::counters::Counters;
use crate::domain::Clock;
use crate::feed::Feed;
use crate::journal::Journal;
use crate::search::Search;
use crate::store::{Store, StoreError};
use crate::supervisor::Supervisor;

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
}

/// The wait before something is tried again; doubled for each further time.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The store's answer, however often it has to be asked for `what`.
async fn again<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut wait = FIRST_WAIT;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => {
                warn!(what, %error, "the fleet waits for the store");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}

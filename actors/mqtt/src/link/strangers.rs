//! The outside broker's door: whether anybody may publish there is found out at a connection, and told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{debug, warn};

use super::Shared;
use super::probe::{StrangerRights, probe};

/// The remedy, as in the README.
const ADVICE: &str = "anybody who reaches the broker may publish there, for any device: let it ask for passwords \
                      (README, \"Your own broker\": `allow_anonymous false`)";

/// Whether anybody may publish at the broker, as it was found last.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    may_publish: AtomicBool,
    is_told: AtomicBool,
    is_asking: AtomicBool,
}

impl Strangers {
    /// A warning for people, where anybody may publish.
    pub(super) fn warning(&self) -> Option<&'static str> {
        self.may_publish.load(Ordering::Relaxed).then_some(ADVICE)
    }
}

/// Finds out behind the back of the link what a stranger may do at the broker, unless that is just being found out.
pub(super) fn ask(shared: &Arc<Shared>) {
    if shared.strangers.is_asking.swap(true, Ordering::AcqRel) {
        return;
    }
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let strangers = &shared.strangers;
        match probe(&shared.address).await {
            Ok(rights) => {
                let may_publish = rights == StrangerRights::Publishes;
                strangers.may_publish.store(may_publish, Ordering::Relaxed);
                if may_publish && !strangers.is_told.swap(true, Ordering::Relaxed) {
                    warn!(broker = %shared.address, "{ADVICE}");
                }
            }
            Err(reason) => debug!(broker = %shared.address, %reason, "could not see what strangers may do"),
        }
        strangers.is_asking.store(false, Ordering::Release);
    });
}

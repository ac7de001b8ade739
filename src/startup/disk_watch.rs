//! The watch over the disk while the hub runs: its space each minute, and the bytes of the database by kind now and then.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::debug;
use twinhub_actors::Hub;
use twinhub_domain::duration::duration_text;
use twinhub_store::sql::{SqlStore, bytes_by_kind};

use crate::config::Config;
use crate::disk::{DataPlaces, DiskState};
use crate::startup::held_task::HeldTask;
use crate::startup::hub_alarm::HubAlarm;
use crate::state::WebState;

/// The type of the alarm.
const ALARM: &str = "disk-filling";
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The bytes by kind are counted no more often than this,
const COUNT_EVERY: Duration = Duration::from_hours(1);
/// and take no larger part of the time than this: a large database is read for long.
const COUNT_SHARE: u32 = 1_000;

/// Watches the disk under the data of `config`.
pub(super) fn watch(hub: Arc<Hub>, store: Arc<SqlStore>, web: Data<WebState>, config: &Config) -> HeldTask {
    let places = places(config);
    HeldTask::begin(async move {
        let mut alarm = HubAlarm::new(&hub, ALARM);
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count_at = Instant::now();
        loop {
            tick.tick().await;
            let Some(state) = look(&web, &places, &hub).await else { continue };
            match state.severity() {
                Some(severity) => alarm.raise_once(severity, message(&state)),
                None => alarm.clear().await,
            }
            if count_at <= Instant::now() {
                let begun = Instant::now();
                match bytes_by_kind(&store).await {
                    Ok(kinds) => web.disk.counted(kinds),
                    Err(error) => debug!(%error, "the bytes of the database cannot be counted, trying again"),
                }
                count_at = Instant::now() + COUNT_EVERY.max(begun.elapsed() * COUNT_SHARE);
            }
        }
    })
}

/// The places of a configuration.
pub(crate) fn places(config: &Config) -> DataPlaces {
    DataPlaces {
        data_dir: config.data_dir.clone(),
        database: config.database.file(),
        backups: config.backups(),
    }
}

/// Looks at the disk, on a thread that may wait for it.
async fn look(web: &Data<WebState>, places: &DataPlaces, hub: &Hub) -> Option<DiskState> {
    let (disk, places, now) = (Arc::clone(&web.disk), places.clone(), hub.clock.now());
    let looked = move || {
        disk.look(&places, now);
        disk.state()
    };
    tokio::task::spawn_blocking(looked).await.ok().flatten()
}

fn message(state: &DiskState) -> String {
    let free = state.space.free / 1_000_000;
    match state.full_in_ms {
        Some(ms) => {
            let hours = ms / 3_600_000 * 3_600_000;
            format!("{free} MB are free on the disk with the data: it is full in {}", duration_text(hours))
        }
        None => format!("{free} MB are free on the disk with the data"),
    }
}

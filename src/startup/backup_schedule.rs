//! The backups that the hub writes by itself, each so long after the last, also over restarts. One that fails is an alarm of
//! the hub until the next succeeds.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{error, info};
use twinhub_actors::Hub;
use twinhub_domain::Timestamp;
use twinhub_domain::alarm::Severity;

use crate::backup::{self, BackupError, BackupFolder, BackupManifest, BackupSource};
use crate::config::Config;
use crate::startup::held_task::HeldTask;
use crate::startup::hub_alarm::HubAlarm;

/// The type of the alarm.
const ALARM: &str = "backup-failed";
/// The time is looked at so often: clocks are set, and machines sleep.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// After one that failed the next is tried no later than this.
const RETRY_AFTER: Duration = Duration::from_hours(1);

/// The source of these backups, their place and their times.
#[derive(Clone, Debug)]
pub(super) struct BackupSchedule {
    source: BackupSource,
    folder: BackupFolder,
    every: Duration,
    /// The newest so many are kept.
    keep: usize,
}

impl BackupSchedule {
    /// As a configuration has it; none where the hub is to write no backups by itself.
    ///
    /// # Errors
    /// There is nothing that it could back up.
    pub(super) fn of(config: &Config) -> Result<Option<Self>, BackupError> {
        let Some(every) = config.backup_every else { return Ok(None) };
        let source = BackupSource::of(config, true)?;
        Ok(Some(Self {
            source,
            folder: BackupFolder::new(config.backups()),
            every,
            keep: config.backup_keep,
        }))
    }

    /// Has it begin.
    pub(super) fn follow(self, hub: Arc<Hub>) -> HeldTask {
        HeldTask::begin(async move {
            let mut alarm = HubAlarm::new(&hub, ALARM);
            let last = self.folder.backups().ok().and_then(|backups| backups.last().map(|(at, _)| *at));
            hub.counters.backup_at.store(millis(last), Ordering::Relaxed);
            let mut due = last.map(|last| after(last, self.every));
            loop {
                let now = hub.clock.now();
                if let Some(due) = due.filter(|due| *due > now) {
                    let ms = due.millis().saturating_sub(now.millis());
                    let wait = Duration::from_millis(u64::try_from(ms).unwrap_or_default());
                    tokio::time::sleep(wait.min(LOOK_EVERY)).await;
                    continue;
                }
                due = Some(match self.back_up(now).await {
                    Ok(manifest) => {
                        info!(seq = manifest.seq, bytes = manifest.size(), folder = %self.folder.path().display(), "backup written");
                        hub.counters.backup_at.store(millis(Some(now)), Ordering::Relaxed);
                        alarm.clear().await;
                        after(now, self.every)
                    }
                    Err(error) => {
                        error!(%error, "the backup failed");
                        hub.counters.backups_failed.fetch_add(1, Ordering::Relaxed);
                        alarm.raise(Severity::Major, format!("the backup failed: {error}"));
                        after(now, self.every.min(RETRY_AFTER))
                    }
                });
            }
        })
    }

    async fn back_up(&self, now: Timestamp) -> Result<BackupManifest, BackupError> {
        let this = self.clone();
        let work = move || {
            let Self { source, folder, keep, .. } = &this;
            let at = folder.path();
            let unusable = |source| BackupError::Write { path: at.to_owned(), source };
            std::fs::create_dir_all(at).map_err(unusable)?;
            let manifest = backup::write(source, &at.join(backup::name_at(now)), now, &mut |_, _, _| {})?;
            folder.tidy(*keep).map_err(unusable)?;
            Ok(manifest)
        };
        let written = tokio::task::spawn_blocking(work).await;
        written.unwrap_or_else(|error| {
            let source = std::io::Error::other(error);
            Err(BackupError::Write { path: self.folder.path().to_owned(), source })
        })
    }
}

fn after(at: Timestamp, time: Duration) -> Timestamp {
    at.plus_millis(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

fn millis(at: Option<Timestamp>) -> u64 {
    at.and_then(|at| u64::try_from(at.millis()).ok()).unwrap_or_default()
}

//! Alarms for certificates that are to be replaced: the one that the hub shows, as an alarm of the hub, and those that are
//! bound to devices or that their devices have shown, each as an alarm of its device.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;
use tracing::{debug, warn};
use twinhub_actors::access::{Caller, Grant};
use twinhub_actors::messages::alarms::{ClearType, Raise};
use twinhub_actors::messages::archive::{ListAlarms, LoadTwins};
use twinhub_actors::{Hub, HubError};
use twinhub_domain::alarm::{Originator, Severity};
use twinhub_domain::cause::Source;
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Timestamp};
use twinhub_store::sql::SqlStore;
use twinhub_store::{AlarmQuery, CertificateEnd, Store as _};
use twinhub_tls::{CertificateState, ServerTls};

use crate::startup::held_task::HeldTask;

/// The type of these alarms.
pub(crate) const ALARM: &str = "certificate-expiring";
/// Certificates are looked at this often: one that was replaced has no alarm any more.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Of no more devices than that alarms are raised.
const MOST: u64 = 1_000;
/// Certificates of devices that end within this time are looked at, in ms.
const AHEAD_MS: i64 = 14 * 86_400_000;

/// A certificate that is to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
struct DueCertificate {
    number: DeviceNumber,
    severity: Severity,
    message: String,
}

/// Watches the certificate of `tls` and those that are bound to devices.
pub(super) fn watch(hub: Arc<Hub>, store: Arc<SqlStore>, tls: Arc<ServerTls>) -> HeldTask {
    HeldTask::begin(async move {
        let grant = hub.of(Caller::Program, Source::Hub);
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut raised: Option<HashMap<Originator, Severity>> = None;
        // Devices with an alarm from before the start that have shown no certificate since: theirs is not known again.
        let mut unseen: Option<HashSet<DeviceId>> = None;
        loop {
            tick.tick().await;
            let now = hub.clock.now();
            // Those of before a restart go on.
            let before = match raised.take() {
                Some(raised) => raised,
                None => match active(&grant).await {
                    Ok(active) => active,
                    Err(error) => {
                        debug!(%error, "alarms of certificates cannot be read, trying again");
                        continue;
                    }
                },
            };
            let due = match due(&hub, &grant, &store, &tls, now).await {
                Ok(due) => due,
                Err(error) => {
                    debug!(%error, "certificates of devices cannot be read, trying again");
                    raised = Some(before);
                    continue;
                }
            };
            let ending = due.keys().filter(|of| of.device().is_some()).count();
            hub.counters.certificates_ending.store(ending as u64, Ordering::Relaxed);
            let unseen = unseen.get_or_insert_with(|| {
                let not_due = before.keys().filter(|of| !due.contains_key(of));
                not_due.filter_map(|of| of.device().cloned()).collect()
            });
            unseen.retain(|device| !hub.certificates.has_shown(device));
            raised = Some(tell(&grant, &before, unseen, due));
        }
    })
}

/// The certificates that are to be replaced.
async fn due(
    hub: &Hub,
    grant: &Grant,
    store: &SqlStore,
    tls: &ServerTls,
    now: Timestamp,
) -> Result<HashMap<Originator, DueCertificate>, HubError> {
    let state = tls.state();
    let mut due = HashMap::new();
    let of_hub = CertificateState::of(Some(state.begins), state.expires, now);
    if let Some(certificate) =
        DueCertificate::of(of_hub, DeviceNumber(0), "TLS certificate of the hub", state.expires)
    {
        due.insert(Originator::Hub, certificate);
    }
    let soon = now.plus_millis(AHEAD_MS);
    let mut ending = store.certificates_ending(soon, MOST).await?;
    let issued = hub.certificates.issued_that_end(soon);
    if !issued.is_empty() {
        let twins = grant.ask(LoadTwins(issued.keys().cloned().collect())).await??;
        ending.extend(twins.into_iter().filter_map(|twin| {
            let at = *issued.get(&twin.id)?;
            Some(CertificateEnd { device: twin.id, number: twin.number, at })
        }));
    }
    for end in ending {
        let of_device = CertificateState::of(None, end.at, now);
        if let Some(certificate) =
            DueCertificate::of(of_device, end.number, "certificate of the device", end.at)
        {
            due.insert(Originator::Device(end.device), certificate);
        }
    }
    Ok(due)
}

impl DueCertificate {
    fn of(state: CertificateState, number: DeviceNumber, what: &str, end: Timestamp) -> Option<Self> {
        let (severity, word) = match state {
            CertificateState::Valid => return None,
            CertificateState::Expiring => (Severity::Warning, "expires"),
            CertificateState::Expired => (Severity::Critical, "has expired:"),
        };
        Some(Self { number, severity, message: format!("the {what} {word} {end}") })
    }
}

/// The alarms of certificates that are active.
async fn active(grant: &Grant) -> Result<HashMap<Originator, Severity>, HubError> {
    let query = AlarmQuery {
        active: Some(true),
        alarm_type: Some(ALARM.into()),
        limit: MOST + 1,
        ..AlarmQuery::default()
    };
    let page = grant.ask(ListAlarms(query)).await??;
    Ok(page.alarms.into_iter().map(|alarm| (alarm.originator, alarm.severity)).collect())
}

/// Raises the alarms of certificates that have come so far, and clears those of others. Gives those that are raised then.
fn tell(
    grant: &Grant,
    before: &HashMap<Originator, Severity>,
    unseen: &HashSet<DeviceId>,
    due: HashMap<Originator, DueCertificate>,
) -> HashMap<Originator, Severity> {
    let cause = || Cause::new(Source::Hub, "certificates");
    let mut raised = HashMap::with_capacity(due.len());
    for (of, severity) in before.iter().filter(|(of, _)| !due.contains_key(of)) {
        if of.device().is_some_and(|device| unseen.contains(device)) {
            raised.insert(of.clone(), *severity);
            continue;
        }
        let (reply, _) = oneshot::channel(); // nobody waits for it
        let clear = ClearType { of: of.clone(), alarm_type: ALARM.into(), cause: cause(), reply };
        said(grant.send(clear));
    }
    for (of, DueCertificate { number, severity, message }) in due {
        raised.insert(of.clone(), severity);
        if before.get(&of) == Some(&severity) {
            continue;
        }
        let (reply, _) = oneshot::channel(); // nobody waits for it
        let (alarm_type, rule) = (ALARM.into(), None);
        said(grant.send(Raise { of, number, alarm_type, severity, message, rule, cause: cause(), reply }));
    }
    raised
}

fn said(sent: Result<(), HubError>) {
    if let Err(error) = sent {
        warn!(%error, "an alarm of a certificate was not raised or cleared");
    }
}

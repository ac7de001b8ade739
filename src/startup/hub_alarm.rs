//! An alarm of the hub itself.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::{debug, warn};
use twinhub_actors::access::{Caller, Grant};
use twinhub_actors::messages::alarms::{ClearType, Raise};
use twinhub_actors::messages::archive::ListAlarms;
use twinhub_actors::{Hub, HubError};
use twinhub_domain::alarm::{Originator, Severity};
use twinhub_domain::cause::Source;
use twinhub_domain::{Cause, DeviceNumber};
use twinhub_store::AlarmQuery;

/// An alarm of the hub, by its type.
pub(super) struct HubAlarm {
    grant: Grant,
    alarm_type: &'static str,
    /// The severity that it was raised with last; none while it is cleared.
    raised: Option<Severity>,
    /// It may be active from before the start.
    may_be_older: bool,
}

impl HubAlarm {
    /// The alarm of this type. One that is active from before a restart goes on until it is cleared.
    pub(super) fn new(hub: &Arc<Hub>, alarm_type: &'static str) -> Self {
        Self { grant: hub.of(Caller::Program, Source::Hub), alarm_type, raised: None, may_be_older: true }
    }

    /// Raises it, with another severity or message than before too.
    pub(super) fn raise(&mut self, severity: Severity, message: String) {
        let (reply, _) = oneshot::channel(); // nobody waits for it
        let (of, number) = (Originator::Hub, DeviceNumber(0));
        let (alarm_type, rule, cause) = (self.alarm_type.into(), None, self.cause());
        self.raised = Some(severity);
        self.said(self.grant.send(Raise { of, number, alarm_type, severity, message, rule, cause, reply }));
    }

    /// Raises it where it is not raised with this severity.
    pub(super) fn raise_once(&mut self, severity: Severity, message: String) {
        if self.raised != Some(severity) {
            self.raise(severity, message);
        }
    }

    /// Clears it where it is active. Where that cannot be found out the next call tries again.
    pub(super) async fn clear(&mut self) {
        if self.may_be_older && self.raised.is_none() {
            match self.is_active().await {
                Ok(true) => {}
                Ok(false) => self.may_be_older = false,
                Err(error) => {
                    return debug!(%error, alarm = self.alarm_type, "the alarms cannot be read, trying again");
                }
            }
        }
        if self.raised.is_none() && !self.may_be_older {
            return;
        }
        let (reply, _) = oneshot::channel(); // nobody waits for it
        let clear =
            ClearType { of: Originator::Hub, alarm_type: self.alarm_type.into(), cause: self.cause(), reply };
        (self.raised, self.may_be_older) = (None, false);
        self.said(self.grant.send(clear));
    }

    async fn is_active(&self) -> Result<bool, HubError> {
        let query = AlarmQuery {
            active: Some(true),
            alarm_type: Some(self.alarm_type.into()),
            limit: 1,
            ..AlarmQuery::default()
        };
        Ok(self.grant.ask(ListAlarms(query)).await??.total > 0)
    }

    fn cause(&self) -> Cause {
        Cause::new(Source::Hub, self.alarm_type)
    }

    fn said(&self, sent: Result<(), HubError>) {
        if let Err(error) = sent {
            warn!(%error, alarm = self.alarm_type, "an alarm of the hub was not raised or cleared");
        }
    }
}

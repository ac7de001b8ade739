//! The confinement of a caller: what of each message and each answer is for them. Whoever reaches all devices is not
//! confined.

use std::sync::Arc;

use super::Caller;
use crate::HubError;
use crate::messages::alarms;
use crate::messages::archive::{
    BucketHistory, FindAlarm, FindCommand, FindEvents, FindExtent, FindPastEvents, FindSerial,
    FindSerialHolder, ListAlarms, ListCommands, ListDevices, ListJobDevices, ListRuns, LoadTwins, PastEvents,
    RawHistory, ReadingStatistics, Replay, ReplayPage, SerialHolder,
};
use crate::messages::automation::{DeleteRule, EnableRule, PutRule, ReadRules, RuleCaller, SendSignal};
use crate::messages::feed::WatchCommands;
use crate::messages::groups::{DeleteGroup, PutGroup, ReadGroup, ReadGroups, ReadTree};
use crate::messages::jobs::{JobViewer, ListJobs, MakeJob, ShowJob, SteerJob};
use crate::messages::search::{FindAllDevices, FindDevices, OrderDevices};
use crate::messages::templates::{PutTemplate, TryTemplate};
use crate::places::{Places, PlacesRead};
use twinhub_access::{Reach, ReachPart};
use twinhub_domain::fleet::{JobAction, RecordKind};
use twinhub_domain::{DeviceId, DeviceNumber, EventBody, Json, Recorded, Refusal, Twin};
use twinhub_store::{RuleAuthor, StoreError};

/// The confinement of a caller, at one moment.
#[derive(Clone)]
pub struct Confinement {
    pub(super) reach: Reach,
    pub(super) places: Arc<Places>,
    pub(super) caller: Caller,
    pub(super) author: Option<RuleAuthor>,
    /// The rules that they make may reach beyond devices.
    pub(super) may_leave_devices: bool,
}

/// A message about one device.
pub(super) trait OfDevice {
    fn device(&self) -> DeviceKey<'_>;
}

/// The way in which a message names its device.
pub(super) enum DeviceKey<'a> {
    Id(&'a DeviceId),
    Number(DeviceNumber),
}

/// A message that says itself to what it is confined.
pub(super) trait Scoped {
    /// Sets it.
    ///
    /// # Errors
    /// The message names something that is unknown to the caller, or beyond their reach.
    fn confine(&mut self, within: &Confinement) -> Result<(), HubError>;
}

/// A message whose answer is judged: what is beyond reach is taken out of it.
pub(super) trait Judged: actix::Message {
    fn judge(answer: Self::Result, within: &Confinement) -> Self::Result;
}

impl Confinement {
    /// Goes on where the caller reaches all devices.
    pub(super) fn demand_everywhere(&self) -> Result<(), HubError> {
        if self.reach.is_everywhere() { Ok(()) } else { Err(HubError::Scoped) }
    }

    /// Goes on where the caller reaches this device; else there is none such.
    pub(super) fn demand_device(&self, key: DeviceKey<'_>) -> Result<(), HubError> {
        if self.reach.is_everywhere() {
            return Ok(());
        }
        let (is_within, id) = match key {
            DeviceKey::Id(id) => (self.places.read().has(&self.reach, id), id.to_string()),
            DeviceKey::Number(number) => {
                let id = self.places.id(number).map(|id| id.to_string()).unwrap_or_default();
                (self.places.read().has_number(&self.reach, number), id)
            }
        };
        if is_within { Ok(()) } else { Err(Refusal::Unknown(id).into()) }
    }

    /// Says why a device would be beyond reach in this group.
    pub(super) fn beyond(&self, device: &DeviceId, group: &str) -> HubError {
        let lacks_group = |part: &ReachPart| matches!(part, ReachPart::Groups(of) if !of.contains(group));
        HubError::OutOfScope(match self.reach.parts() {
            parts if parts.iter().any(lacks_group) && group.is_empty() => {
                "a device must be in a group of your scope: name it by `group_id`".to_owned()
            }
            parts if parts.iter().any(lacks_group) => format!("the group `{group}` is not in your scope"),
            _ => format!("the device `{device}` is not in your scope"),
        })
    }

    /// Is this twin within reach?
    pub(super) fn has_twin(&self, twin: &Twin) -> bool {
        twinhub_store::select::is_within(&self.reach, twin)
    }

    /// Is this event for the caller? It is where its device is within reach now. Of what belongs to no device, the
    /// groups within reach are for everybody, and so are templates and images, whose lists are for everybody too; a
    /// job is for its maker, and all else for those who reach all devices.
    pub(super) fn sees(&self, places: &PlacesRead<'_>, recorded: &Recorded) -> bool {
        if self.reach.is_everywhere() {
            return true;
        }
        let event = &recorded.event;
        let has_device =
            || !event.device.is_none() && places.has_or_had(&self.reach, &event.device, event.number);
        match &event.body {
            EventBody::Telemetry { .. }
            | EventBody::Twin(_)
            | EventBody::Presence { .. }
            | EventBody::Command(_)
            | EventBody::Alarm(_) => has_device(),
            EventBody::Rule(entry) => self.sees_run(places, entry),
            EventBody::Fleet(change) => match change.what {
                RecordKind::Group => {
                    let owner = change.body.get("owner_id").and_then(Json::as_str);
                    let is_own = owner
                        .is_some_and(|owner| self.reach.is_owners() && self.reach.owner() == Some(owner));
                    is_own || self.reach.contains_group(&change.id)
                }
                RecordKind::Template | RecordKind::Firmware | RecordKind::Layout => true,
                RecordKind::Job => change.body.get("by").and_then(Json::as_str) == Some(&*self.caller.name()),
                RecordKind::Dialect => false,
            },
            EventBody::Signal(_) => false,
        }
    }

    fn retain(&self, events: &mut Vec<Arc<Recorded>>) {
        if !self.reach.is_everywhere() {
            let places = self.places.read();
            events.retain(|recorded| self.sees(&places, recorded));
            events.iter_mut().for_each(|recorded| *recorded = self.show(recorded));
        }
    }

    fn rule_caller(&self) -> RuleCaller {
        RuleCaller {
            reach: self.reach.clone(),
            may_leave_devices: self.may_leave_devices,
            author: self.author.clone(),
        }
    }

    fn viewer(&self) -> JobViewer {
        JobViewer { reach: self.reach.clone(), name: self.caller.name().into(), author: self.author.clone() }
    }
}

macro_rules! of_number {
    ($($message:ident: $path:tt),+) => {$(
        impl OfDevice for $message {
            fn device(&self) -> DeviceKey<'_> {
                DeviceKey::Number(of_number!(self, $path))
            }
        }
    )+};
    ($this:ident, itself) => { $this.0 };
    ($this:ident, query) => { $this.0.device };
}

of_number!(RawHistory: query, BucketHistory: query, ReadingStatistics: query, FindExtent: itself);

impl OfDevice for WatchCommands {
    fn device(&self) -> DeviceKey<'_> {
        DeviceKey::Id(&self.device)
    }
}

macro_rules! sets_reach {
    ($($message:path => $($member:tt).+),+ $(,)?) => {$(
        impl Scoped for $message {
            fn confine(&mut self, within: &Confinement) -> Result<(), HubError> {
                self.$($member).+ = within.reach.clone();
                Ok(())
            }
        }
    )+};
}

sets_reach! {
    ListDevices => 0.reach,
    ListCommands => 0.reach,
    ListRuns => 0.reach,
    ListAlarms => 0.reach,
    ListJobDevices => 0.reach,
    FindDevices => query.reach,
    FindAllDevices => query.reach,
    OrderDevices => 0.query.reach,
    alarms::Acknowledge => reach,
    alarms::Clear => reach,
    ReadGroup => reach,
    ReadGroups => reach,
    ReadTree => reach,
    PutGroup => reach,
    DeleteGroup => reach,
}

impl Scoped for FindEvents {
    fn confine(&mut self, within: &Confinement) -> Result<(), HubError> {
        self.0.reach = within.reach.clone();
        match self.0.device {
            Some(number) => within.demand_device(DeviceKey::Number(number)),
            None => Ok(()),
        }
    }
}

macro_rules! sets_viewer {
    ($($message:ident),+) => {$(
        impl Scoped for $message {
            fn confine(&mut self, within: &Confinement) -> Result<(), HubError> {
                self.viewer = within.viewer();
                Ok(())
            }
        }
    )+};
}

sets_viewer!(ShowJob, ListJobs, SteerJob);

macro_rules! sets_rule_caller {
    ($($message:ident),+) => {$(
        impl Scoped for $message {
            fn confine(&mut self, within: &Confinement) -> Result<(), HubError> {
                self.by = within.rule_caller();
                Ok(())
            }
        }
    )+};
}

sets_rule_caller!(ReadRules, PutRule, DeleteRule, EnableRule, SendSignal);

macro_rules! sets_template_caller {
    ($($message:ident),+) => {$(
        impl Scoped for $message {
            fn confine(&mut self, within: &Confinement) -> Result<(), HubError> {
                within.demand_everywhere()?;
                self.request.by = within.rule_caller();
                Ok(())
            }
        }
    )+};
}

sets_template_caller!(PutTemplate, TryTemplate);

/// A job is made of devices within reach; others are as unknown as those that there are not.
impl Scoped for MakeJob {
    fn confine(&mut self, within: &Confinement) -> Result<(), HubError> {
        self.author.clone_from(&within.author);
        if within.reach.is_everywhere() {
            return Ok(());
        }
        if let JobAction::Group(group) = &self.action {
            let (group, places) = (group.as_deref().unwrap_or_default(), within.places.read());
            let moved = |device: &DeviceId| {
                places.place(device).is_some_and(|(owner, _)| within.reach.contains(device, owner, group))
            };
            if let Some((device, _)) = self.devices.iter().find(|(device, _)| !moved(device)) {
                return Err(within.beyond(device, group));
            }
        }
        let places = within.places.read();
        let (known, beyond) = std::mem::take(&mut self.devices)
            .into_iter()
            .partition(|(_, number)| places.has_number(&within.reach, *number));
        self.devices = known;
        let beyond: Vec<(DeviceId, DeviceNumber)> = beyond;
        self.unknown.extend(beyond.into_iter().map(|(device, _)| device));
        self.skipped.retain(|(_, number, _)| places.has_number(&within.reach, *number));
        Ok(())
    }
}

/// A device that is nobody's and nowhere may be claimed by who knows its serial number.
impl Judged for FindSerial {
    fn judge(answer: Result<Option<Twin>, StoreError>, within: &Confinement) -> Self::Result {
        Ok(answer?.filter(|twin| within.has_twin(twin) || is_free(twin)))
    }
}

fn is_free(twin: &Twin) -> bool {
    let text = |name| twin.profile.text(name);
    !twin.control.claimed && text("owner_id").is_empty() && text("group_id").is_empty()
}

impl Judged for FindSerialHolder {
    fn judge(answer: Result<SerialHolder, StoreError>, within: &Confinement) -> Self::Result {
        Ok(match answer? {
            SerialHolder::Device(id) if !within.reach.is_everywhere() => {
                let is_within = within.places.read().has(&within.reach, &id);
                if is_within { SerialHolder::Device(id) } else { SerialHolder::Hidden }
            }
            holder => holder,
        })
    }
}

impl Judged for LoadTwins {
    fn judge(answer: Result<Vec<Twin>, StoreError>, within: &Confinement) -> Self::Result {
        let mut twins = answer?;
        twins.retain(|twin| within.has_twin(twin));
        Ok(twins)
    }
}

impl Judged for FindCommand {
    fn judge(answer: Self::Result, within: &Confinement) -> Self::Result {
        let is_within = |number| within.demand_device(DeviceKey::Number(number)).is_ok();
        Ok(answer?.filter(|record| is_within(record.number)))
    }
}

impl Judged for FindAlarm {
    fn judge(answer: Self::Result, within: &Confinement) -> Self::Result {
        let is_within = |number| within.demand_device(DeviceKey::Number(number)).is_ok();
        Ok(answer?.filter(|alarm| is_within(alarm.number)))
    }
}

impl Judged for Replay {
    fn judge(answer: Result<ReplayPage, StoreError>, within: &Confinement) -> Self::Result {
        let mut page = answer?;
        within.retain(&mut page.events);
        Ok(page)
    }
}

impl Judged for FindPastEvents {
    fn judge(answer: Result<PastEvents, StoreError>, within: &Confinement) -> Self::Result {
        let mut page = answer?;
        within.retain(&mut page.events);
        Ok(page)
    }
}

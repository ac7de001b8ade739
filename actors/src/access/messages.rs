//! The messages that callers may send, each with its actor, its permission, and how it is confined.

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Context, Handler, Message};

use super::Permission;
use super::confinement::{Confinement, Judged, OfDevice, Scoped};
use crate::HubError;
use crate::accounts::Accounts;
use crate::alarms::Alarms;
use crate::archive::Archive;
use crate::audit::AuditTrail;
use crate::automation::Automation;
use crate::feed::Feed;
use crate::fleet::firmware::Firmware;
use crate::fleet::groups::Groups;
use crate::fleet::jobs::Jobs;
use crate::fleet::layouts::Layouts;
use crate::fleet::templates::Templates;
use crate::hub::Hub;
use crate::messages::{
    accounts, alarms, archive, audit, automation, bound_keys, feed, firmware, groups, jobs, layouts, search,
    templates, timers, webhooks,
};
use crate::search::Search;
use crate::timers::Timers;
use crate::webhooks::Webhooks;

/// A message that a caller may have sent, by a [`Grant`](super::Grant) that has its permission and confines it.
pub trait HubRequest: Message<Result: Send> + Send + Sized + 'static {
    /// The least permission. A route may take more.
    const PERMISSION: Permission;
    /// The actor that it goes to.
    type Target: Actor<Context = Context<Self::Target>> + Handler<Self>;

    /// The actor's address.
    fn address(hub: Addresses<'_>) -> &Addr<Self::Target>
    where
        Context<Self::Target>: ToEnvelope<Self::Target, Self>;

    /// Confines it to the devices that the caller reaches.
    ///
    /// # Errors
    /// It is not for this caller at all.
    fn confine(&mut self, within: &Confinement) -> Result<(), HubError>;

    /// The part of the answer that is for the caller.
    fn judge(answer: Self::Result, within: &Confinement) -> Self::Result;
}

/// The hub's addresses, opaque outside of this crate.
#[derive(Clone, Copy)]
pub struct Addresses<'a>(pub(super) &'a Hub);

/// The two functions by which a message is confined:
/// - `everywhere`: it has no data of a device, and neither has its answer,
/// - `whole_hub`: it is for callers alone who reach all devices,
/// - `device`: it is about one device, which the caller must reach,
/// - `scoped`: it has a member for the caller's reach, which its actor keeps to,
/// - `judged`: its answer is searched for what the caller does not reach,
/// - `narrowed`: it is scoped, and its answer judged.
macro_rules! confinement {
    (everywhere) => {
        confinement!(|_this, _within| Ok(()));
    };
    (whole_hub) => {
        confinement!(|_this, within| within.demand_everywhere());
    };
    (device) => {
        confinement!(|this, within| within.demand_device(OfDevice::device(this)));
    };
    (scoped) => {
        confinement!(|this, within| Scoped::confine(this, within));
    };
    (narrowed) => {
        fn confine(&mut self, within: &Confinement) -> Result<(), HubError> {
            Scoped::confine(self, within)
        }

        fn judge(answer: Self::Result, within: &Confinement) -> Self::Result {
            <Self as Judged>::judge(answer, within)
        }
    };
    (judged) => {
        fn confine(&mut self, _: &Confinement) -> Result<(), HubError> {
            Ok(())
        }

        fn judge(answer: Self::Result, within: &Confinement) -> Self::Result {
            <Self as Judged>::judge(answer, within)
        }
    };
    (|$this:ident, $within:ident| $confine:expr) => {
        fn confine(&mut self, $within: &Confinement) -> Result<(), HubError> {
            let $this = self;
            $confine
        }

        fn judge(answer: Self::Result, _: &Confinement) -> Self::Result {
            answer
        }
    };
}

macro_rules! asks {
    ($($address:ident: $actor:ty { $($permission:ident $confinement:ident: $($message:path),+;)+ })+) => {$($($(
        impl HubRequest for $message {
            const PERMISSION: Permission = Permission::$permission;
            type Target = $actor;

            fn address(hub: Addresses<'_>) -> &Addr<$actor> {
                &hub.0.$address
            }

            confinement!($confinement);
        }
    )+)+)+};
}

asks! {
    accounts: Accounts {
        // A caller who is to be let in has no permission yet.
        Public everywhere: accounts::SetUp, accounts::SignIn, accounts::SignInExternally, accounts::Register,
            accounts::SignOut, accounts::ReadOwnUser;
        Account everywhere: accounts::MakeKey, accounts::MakeShare, accounts::BeginTotp, accounts::ConfirmTotp;
        // They take `Account` for one's own account and `Users` for another's: the actor looks whose it is.
        Public everywhere: accounts::ChangeUser, accounts::SetPassword, accounts::EndTotp, accounts::ListSessions,
            accounts::EndSession, accounts::EndOtherSessions, accounts::ListKeys, accounts::RevokeKey;
        Users whole_hub: accounts::ListUsers, accounts::FindUser, accounts::AddUser, accounts::RemoveUser,
            accounts::MakeServiceKey, accounts::MakeInvitation, accounts::ListAudit, bound_keys::PutBridge;
        // Those of webhooks are admins' alone, which the actor looks at.
        Manage everywhere: bound_keys::MakeBoundKey, bound_keys::ListBoundKeys, bound_keys::RevokeBoundKey;
        Provision everywhere: bound_keys::FindProvisioningKey, bound_keys::UseProvisioningKey,
            bound_keys::GiveBackProvisioningUse;
    }
    alarms: Alarms {
        Operate scoped: alarms::Acknowledge, alarms::Clear;
        // No route has these: rules raise alarms.
        Operate whole_hub: alarms::Raise, alarms::ClearType;
    }
    archive: Archive {
        Read scoped: archive::ListDevices, archive::ListCommands, archive::ListAlarms, archive::ListJobDevices;
        Read narrowed: archive::FindEvents, archive::ListRuns;
        Read device: archive::RawHistory, archive::BucketHistory, archive::ReadingStatistics, archive::FindExtent;
        Read judged: archive::FindSerial, archive::FindSerialHolder, archive::Replay, archive::LoadTwins,
            archive::FindCommand, archive::FindRun, archive::LastRuns, archive::FindAlarm;
        Export judged: archive::FindPastEvents;
        // A caller who gives a device a token or a certificate is told that another has it, and not which.
        Manage everywhere: archive::FindToken, archive::FindCertificate;
        Administer whole_hub: archive::ListDeliveries;
    }
    audit: AuditTrail {
        Users everywhere: audit::FlushAudit;
    }
    automation: Automation {
        Read scoped: automation::ReadRules;
        Trigger scoped: automation::SendSignal;
        // A caller without any permission has it sent: its signature is what lets it in.
        Public everywhere: automation::SendSigned;
        Operate scoped: automation::EnableRule;
        Automate scoped: automation::PutRule, automation::DeleteRule;
    }
    feed: Feed {
        Twin device: feed::WatchCommands;
    }
    firmware: Firmware {
        Twin everywhere: firmware::FindImage;
        Read everywhere: firmware::ListImages;
        Firmware whole_hub: firmware::AddImage, firmware::RemoveImage;
    }
    groups: Groups {
        Read scoped: groups::ReadGroup, groups::ReadGroups, groups::ReadTree;
        Manage scoped: groups::PutGroup, groups::DeleteGroup;
    }
    jobs: Jobs {
        Read scoped: jobs::ShowJob, jobs::ListJobs;
        Manage scoped: jobs::MakeJob, jobs::SteerJob;
    }
    layouts: Layouts {
        Read everywhere: layouts::ReadLayout;
        // All see one and the same.
        Operate whole_hub: layouts::PutLayout;
    }
    search: Search {
        Read scoped: search::FindDevices, search::FindAllDevices, search::OrderDevices;
    }
    timers: Timers {
        Administer whole_hub: timers::Tick;
    }
    webhooks: Webhooks {
        Administer whole_hub: webhooks::SendWebhook;
    }
    templates: Templates {
        // Their change reaches whichever device has them.
        Automate scoped: templates::PutTemplate, templates::TryTemplate;
        Automate whole_hub: templates::DeleteTemplate;
    }
}

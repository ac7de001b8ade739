//! The messages that callers may send, each with its actor and its permission.

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Context, Handler, Message};

use super::Permission;
use crate::accounts::Accounts;
use crate::alarms::Alarms;
use crate::archive::Archive;
use crate::automation::Automation;
use crate::feed::Feed;
use crate::fleet::firmware::Firmware;
use crate::fleet::groups::Groups;
use crate::fleet::jobs::Jobs;
use crate::fleet::templates::Templates;
use crate::hub::Hub;
use crate::messages::{
    accounts, alarms, archive, automation, bound_keys, feed, firmware, groups, jobs, search, templates,
    timers, webhooks,
};
use crate::search::Search;
use crate::timers::Timers;
use crate::webhooks::Webhooks;

/// A message that a caller may have sent, by a [`Grant`](super::Grant) that has its permission.
pub trait HubRequest: Message<Result: Send> + Send + Sized + 'static {
    /// The least permission. A route may take more.
    const PERMISSION: Permission;
    /// The actor that it goes to.
    type Target: Actor<Context = Context<Self::Target>> + Handler<Self>;

    /// The actor's address.
    fn address(hub: Addresses<'_>) -> &Addr<Self::Target>
    where
        Context<Self::Target>: ToEnvelope<Self::Target, Self>;
}

/// The hub's addresses, opaque outside of this crate.
#[derive(Clone, Copy)]
pub struct Addresses<'a>(pub(super) &'a Hub);

macro_rules! asks {
    ($($address:ident: $actor:ty { $($permission:ident: $($message:path),+;)+ })+) => {$($($(
        impl HubRequest for $message {
            const PERMISSION: Permission = Permission::$permission;
            type Target = $actor;

            fn address(hub: Addresses<'_>) -> &Addr<$actor> {
                &hub.0.$address
            }
        }
    )+)+)+};
}

asks! {
    accounts: Accounts {
        // Whoever is to be let in has no permission yet.
        Public: accounts::SetUp, accounts::SignIn, accounts::Register, accounts::SignOut, accounts::ReadOwnUser;
        Account: accounts::MakeKey, accounts::BeginTotp, accounts::ConfirmTotp;
        // They take `Account` for one's own account and `Users` for another's: the actor looks whose it is.
        Public: accounts::ChangeUser, accounts::SetPassword, accounts::EndTotp, accounts::ListSessions,
            accounts::EndSession, accounts::EndOtherSessions, accounts::ListKeys, accounts::RevokeKey;
        Users: accounts::ListUsers, accounts::FindUser, accounts::AddUser, accounts::RemoveUser,
            accounts::MakeServiceKey, accounts::ListAudit;
        // Those of webhooks are admins' alone, which the actor looks at.
        Manage: bound_keys::MakeBoundKey, bound_keys::ListBoundKeys, bound_keys::RevokeBoundKey;
        Provision: bound_keys::UseProvisioningKey, bound_keys::GiveBackProvisioningUse;
    }
    alarms: Alarms {
        Operate: alarms::Acknowledge, alarms::Clear, alarms::Raise, alarms::ClearType;
    }
    archive: Archive {
        Read: archive::ListDevices, archive::FindSerial, archive::RawHistory, archive::BucketHistory,
            archive::FindEvents, archive::FindExtent, archive::Replay, archive::LoadTwins, archive::ListCommands,
            archive::FindCommand, archive::ListRuns, archive::FindRun, archive::LastRuns, archive::ListAlarms,
            archive::FindAlarm, archive::ListJobDevices;
        Export: archive::FindPastEvents;
        Manage: archive::FindToken;
        Administer: archive::ListDeliveries;
    }
    automation: Automation {
        Read: automation::ReadRules;
        Trigger: automation::SendSignal;
        Operate: automation::EnableRule;
        Automate: automation::PutRule, automation::DeleteRule;
    }
    feed: Feed {
        // Of a device it says that there is something to ask for, and no more.
        Twin: feed::WatchCommands;
        Read: feed::SubscribeFeed;
    }
    firmware: Firmware {
        Twin: firmware::FindImage;
        Read: firmware::ListImages;
        Firmware: firmware::AddImage, firmware::RemoveImage;
    }
    groups: Groups {
        Read: groups::ReadGroup, groups::ReadGroups, groups::ReadTree;
        Manage: groups::PutGroup, groups::DeleteGroup;
    }
    jobs: Jobs {
        Read: jobs::ShowJob, jobs::ListJobs;
        Manage: jobs::MakeJob, jobs::SteerJob;
    }
    search: Search {
        Read: search::FindDevices, search::FindAllDevices;
    }
    timers: Timers {
        Administer: timers::Tick;
    }
    webhooks: Webhooks {
        Administer: webhooks::SendWebhook;
    }
    templates: Templates {
        Automate: templates::PutTemplate, templates::TryTemplate, templates::DeleteTemplate;
    }
}

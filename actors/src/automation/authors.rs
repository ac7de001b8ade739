//! The authors of rules: what a rule does is done with its author's rights as they are at that moment.

use std::sync::Arc;

use tokio::sync::watch;

use crate::accounts::directory::Directory;
use crate::fleet::groups::TreeNow;
use crate::messages::automation::RuleCaller;
use crate::places::Places;
use twinhub_access::{Permission, Reach, Rights};
use twinhub_domain::alarm::Originator;
use twinhub_domain::{Clock, DeviceId};
use twinhub_rules::{Effect, EffectResult};
use twinhub_store::RuleAuthor;

/// The word for an action that the author of its rule may not have done.
pub(super) const OUT_OF_SCOPE: &str = "out_of_scope";

/// The rights of authors, and the places of devices.
pub struct Authors {
    directory: Arc<Directory>,
    pub(super) places: Arc<Places>,
    tree: Arc<TreeNow>,
    clock: Arc<dyn Clock>,
}

impl Authors {
    /// Authors among these users and keys.
    #[must_use]
    pub fn new(
        directory: &Arc<Directory>,
        places: &Arc<Places>,
        tree: &Arc<TreeNow>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let (directory, places) = (Arc::clone(directory), Arc::clone(places));
        Self { directory, places, tree: Arc::clone(tree), clock: Arc::clone(clock) }
    }

    /// Their rights now; none where they may not act any more.
    #[must_use]
    pub fn rights(&self, author: &RuleAuthor) -> Option<Rights> {
        self.directory.rights_of(author, self.clock.now())
    }

    /// The author as a caller, with their rights now; none where they may not act any more.
    #[must_use]
    pub fn caller(&self, author: &RuleAuthor) -> Option<RuleCaller> {
        let rights = self.rights(author)?;
        Some(RuleCaller {
            reach: Reach::of(&rights.scopes, &self.tree.now()),
            may_leave_devices: rights.permissions_in_scope().contain(Permission::Administer),
            author: Some(author.clone()),
        })
    }

    /// The author as a caller who may set off rules with webhooks; none where they may not.
    #[must_use]
    pub(super) fn sender(&self, author: &RuleAuthor) -> Option<RuleCaller> {
        let may_trigger = self.rights(author)?.permissions_in_scope().contain(Permission::Trigger);
        if may_trigger { self.caller(author) } else { None }
    }

    /// Counts up whenever rights end.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.directory.changes()
    }

    /// The result of an action that the author may not have done; none where they may.
    #[must_use]
    pub fn refusal(&self, author: &RuleAuthor, effect: &Effect) -> Option<EffectResult> {
        let refused = |why: String| Some(EffectResult::failed(OUT_OF_SCOPE, why));
        let Some(rights) = self.rights(author) else {
            return refused("the author of the rule may not act any more".to_owned());
        };
        let permission = match effect {
            Effect::Publish { .. } | Effect::Webhook(_) => Permission::Administer,
            _ => Permission::Operate,
        };
        if !rights.permissions_in_scope().contain(permission) {
            return refused(format!(
                "it takes the permission `{permission}`, which the author of the rule has not"
            ));
        }
        let device = device_of(effect)?;
        let reach = Reach::of(&rights.scopes, &self.tree.now());
        if reach.is_everywhere() || self.places.read().has(&reach, device) {
            return None;
        }
        refused(format!("the device `{device}` is not in the scope of the author of the rule"))
    }
}

/// The device that an effect is for.
fn device_of(effect: &Effect) -> Option<&DeviceId> {
    match effect {
        Effect::Command { device, .. } | Effect::Desired { device, .. } | Effect::Mode { device, .. } => {
            Some(device)
        }
        Effect::Raise { of, .. } | Effect::Clear { of, .. } => match of {
            Originator::Device(device) => Some(device),
            _ => None,
        },
        Effect::Publish { .. } | Effect::Webhook(_) | Effect::Enable { .. } | Effect::Log { .. } => None,
    }
}

//! The makers of jobs, as their rights are now: a job does not go on beyond them.

use twinhub_access::{Permission, Reach};
use twinhub_store::RuleAuthor;

use crate::fleet::FleetDeps;
use twinhub_domain::DeviceNumber;
use twinhub_domain::fleet::Job;

/// The reason of a job whose maker may not act any more.
pub(super) const MAY_NOT: &str = "stopped: the one who made it was removed, or may not act any more";
/// The reason of a job with devices that its maker does not reach any more.
pub(super) const BEYOND: &str = "stopped: devices of it are not in the scope any more of the one who made it";

/// The looks at the makers of all jobs, which ask the store: there is one at a time. For what changes meanwhile there is
/// one more after it.
#[derive(Debug, Default)]
pub(super) struct MakerLooks {
    is_under_way: bool,
    again: bool,
    /// The version of the tree before the last look.
    tree: u64,
}

impl MakerLooks {
    /// Begins a look at the makers in this version of the tree; false: one is under way, and another will follow it.
    pub(super) fn begin(&mut self, tree: u64) -> bool {
        self.tree = tree;
        self.again = self.is_under_way;
        !std::mem::replace(&mut self.is_under_way, true)
    }

    /// Ends the look that is under way. True: another must follow.
    pub(super) fn end(&mut self) -> bool {
        self.is_under_way = false;
        std::mem::take(&mut self.again)
    }

    /// Has the tree changed since the last look was asked for?
    pub(super) fn are_before(&self, tree: u64) -> bool {
        self.tree != tree
    }
}

/// The maker of a job that can go on, where it has one.
pub(super) fn maker_of(job: &Job) -> Option<RuleAuthor> {
    if job.status.is_final() {
        return None;
    }
    RuleAuthor::parse(job.maker.as_deref()?)
}

/// The reason why a job may not go on with this device; none where it may, or the device was removed.
pub(super) fn fault(deps: &FleetDeps, job: &Job, device: DeviceNumber) -> Option<&'static str> {
    let Some(reach) = reach_of(deps, &maker_of(job)?) else { return Some(MAY_NOT) };
    if reach.is_everywhere() {
        return None;
    }
    let device = deps.places.id(device)?;
    (!deps.places.read().has(&reach, &device)).then_some(BEYOND)
}

/// The devices that the maker of a job reaches now; none where they may not make one any more.
pub(super) fn reach_of(deps: &FleetDeps, maker: &RuleAuthor) -> Option<Reach> {
    let rights = deps.directory.rights_of(maker, deps.clock.now())?;
    let may_make = rights.permissions_in_scope().contain(Permission::Manage);
    may_make.then(|| Reach::of(&rights.scopes, &deps.tree.now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_look_is_under_way_and_one_follows_it() {
        let mut looks = MakerLooks::default();
        assert!(looks.begin(0));
        assert!(!looks.begin(0) && !looks.begin(7) && !looks.are_before(7) && looks.are_before(8));
        assert!(looks.end(), "however often something changed");
        assert!(looks.begin(7));
        assert!(!looks.end());
    }
}

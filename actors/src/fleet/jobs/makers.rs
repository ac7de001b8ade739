//! The makers of jobs, as their rights are now: a job does not go on beyond them.

use twinhub_access::{Permission, Reach};
use twinhub_store::RuleAuthor;

use crate::fleet::FleetDeps;

/// The reason of a job whose maker may not act any more.
pub(super) const MAY_NOT: &str = "stopped: the one who made it was removed, or may not act any more";
/// The reason of a job with devices that its maker does not reach any more.
pub(super) const BEYOND: &str = "stopped: devices of it are not in the scope any more of the one who made it";

/// The devices that the maker of a job reaches now; none where they may not make one any more.
pub(super) fn reach_of(deps: &FleetDeps, maker: &RuleAuthor) -> Option<Reach> {
    let rights = deps.directory.rights_of(maker, deps.clock.now())?;
    let may_make = rights.permissions_in_scope().contain(Permission::Manage);
    may_make.then(|| Reach::of(&rights.scopes, &deps.tree.now()))
}

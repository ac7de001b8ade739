//! The tree as it was last committed, to be looked at from anywhere without asking an actor.

use std::sync::{Arc, PoisonError, RwLock};

use twinhub_domain::fleet::{FleetChange, Group, GroupTree, RecordKind};
use twinhub_store::{Store, StoreError};

/// The committed tree, for readers in any thread.
#[derive(Debug, Default)]
pub struct TreeNow(RwLock<(u64, Arc<GroupTree>)>);

impl TreeNow {
    /// The tree that the store has.
    ///
    /// # Errors
    /// The store does not say.
    pub async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let records = store.records(RecordKind::Group).await?;
        let groups = records.iter().filter_map(|record| Group::from_object(record.body.as_ref()?));
        Ok(Self(RwLock::new((0, Arc::new(GroupTree::new(groups))))))
    }

    /// The tree. It stays as it is; who asks again later may find another.
    #[must_use]
    pub fn now(&self) -> Arc<GroupTree> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).1)
    }

    /// The version of the tree: another one after each change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).0
    }

    /// Applies a committed change. It arrives in two ways, and is applied once.
    pub(super) fn redo(&self, seq: u64, change: &FleetChange) {
        let mut now = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (last, tree) = &mut *now;
        if seq > *last {
            *last = seq;
            Arc::make_mut(tree).redo(change); // copied only while somebody looks at it
        }
    }
}

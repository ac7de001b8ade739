//! The principals to whom sessions belong, by client id: nobody goes on with the session of somebody else, nor takes
//! its place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::identity::{ClientIdentity, ClientName};

/// The identities of all sessions, of connected and of absent clients.
#[derive(Default)]
pub(super) struct SessionOwners(Mutex<HashMap<Arc<str>, Arc<dyn ClientIdentity>>>);

/// The outcome of a claim.
pub(super) enum SessionClaim {
    /// The session is the client's, or there is none.
    Granted,
    /// It is another principal's that gives way: it must end before the client claims it again.
    Displaces(Arc<dyn ClientIdentity>),
    /// It is another principal's, and stays so.
    Refused,
}

impl SessionOwners {
    /// Claims the session of `client` for a client of this identity. An anonymous session gives way to whoever has a
    /// name; one without a principal, to anybody.
    pub(super) fn claim(
        &self,
        client: &str,
        name: ClientName,
        identity: &Arc<dyn ClientIdentity>,
    ) -> SessionClaim {
        let mut owners = self.lock();
        if let Some(owner) = owners.get(client)
            && (owner.principal() != identity.principal() || !owner.lasts())
        {
            let is_nameless = owner.name().is_empty() && !identity.name().is_empty();
            let gives_way =
                name == ClientName::Own || owner.principal().is_empty() || is_nameless || !owner.lasts();
            return if gives_way {
                SessionClaim::Displaces(Arc::clone(owner))
            } else {
                SessionClaim::Refused
            };
        }
        owners.insert(client.into(), Arc::clone(identity));
        SessionClaim::Granted
    }

    /// The session of `client` is over, where it is this identity's still.
    pub(super) fn release(&self, client: &str, identity: &Arc<dyn ClientIdentity>) {
        let mut owners = self.lock();
        if owners.get(client).is_some_and(|owner| Arc::ptr_eq(owner, identity)) {
            owners.remove(client);
        }
    }

    /// The sessions whose identities have ended.
    pub(super) fn ended(&self) -> Vec<(Arc<str>, Arc<dyn ClientIdentity>)> {
        self.filter(|_, identity| !identity.lasts())
    }

    /// Sessions that are wanted, with their identities.
    pub(super) fn filter(
        &self,
        is_wanted: impl Fn(&str, &Arc<dyn ClientIdentity>) -> bool,
    ) -> Vec<(Arc<str>, Arc<dyn ClientIdentity>)> {
        let owners = self.lock();
        let wanted = owners.iter().filter(|(client, identity)| is_wanted(client, identity));
        wanted.map(|(client, identity)| (Arc::clone(client), Arc::clone(identity))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<dyn ClientIdentity>>> {
        // Nothing panics while holding the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

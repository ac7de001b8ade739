//! The parts of accounts that others may see: none has a hash in it.

use twinhub_access::{Key, Session, SessionId, User};
use twinhub_domain::Timestamp;

use crate::messages::accounts::{KeyView, SessionView, UserView};

impl UserView {
    /// A user as others may see them.
    pub(super) fn of(user: &User) -> Self {
        Self {
            id: user.id,
            name: user.name.clone(),
            email: user.email.clone(),
            display_name: user.display_name.clone(),
            role: user.role,
            scope: user.scope.clone(),
            quota: user.quota,
            has_password: user.password.is_some(),
            has_totp: user.totp.is_some(),
            disabled: user.disabled,
            created_at: user.created_at,
            source: user.source,
        }
    }
}

impl SessionView {
    /// A session that ends at `ends_at`, as a caller in the session `current` may see it.
    pub(super) fn of(session: &Session, ends_at: Timestamp, current: Option<SessionId>) -> Self {
        Self {
            id: session.id,
            user: session.user,
            created_at: session.created_at,
            last_seen: session.last_seen,
            ends_at,
            address: session.address,
            agent: session.agent.clone(),
            is_current: current == Some(session.id),
        }
    }
}

impl KeyView {
    /// A key as its owner may see it.
    pub(super) fn of(key: &Key) -> Self {
        Self {
            id: key.secret.id.clone(),
            kind: key.secret.kind,
            owner: key.owner,
            name: key.name.clone(),
            role: key.role,
            scope: key.scope.clone(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used: key.last_used,
            last_4: key.secret.last_4.clone(),
        }
    }
}

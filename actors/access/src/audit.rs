//! The audit: who did what to the hub's people, secrets and devices. Entries are written once and never changed.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use twinhub_domain::{Object, Timestamp};

/// An entry. Values of secrets are in none: `detail` names what changed, and says of a secret only that it was set.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    pub at: Timestamp,
    /// The caller, as in causes: `user:ann`, `key:ci`, `device:pump-1`; empty for a caller without a name.
    pub who: Box<str>,
    /// None for the hub itself, and for the command line.
    pub address: Option<IpAddr>,
    pub action: Action,
    /// The user, key, device or rule that it was done to: `user:bob`; empty where it was to the hub.
    pub target: Box<str>,
    pub outcome: AuditOutcome,
    pub detail: Object,
}

/// An entry, and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRecord {
    /// Grows with each entry; a place is never given again.
    pub seq: u64,
    pub entry: AuditEntry,
}

/// The result of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    Done,
    /// The caller had no right to it, or was not who they said.
    Refused,
    /// It went wrong.
    Failed,
}

/// The words for a closed set: each once, so that the list, the word and the way back are of one table.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($variant),+ }

        impl $name {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word for it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

words! {
    /// An action that is audited.
    Action {
        HubSetUp = "hub.set_up",
        HubConfigured = "hub.configured",
        HubKeyRotated = "hub.key_rotated",
        SignedIn = "user.signed_in",
        SignedOut = "user.signed_out",
        UserRegistered = "user.registered",
        UserCreated = "user.created",
        UserChanged = "user.changed",
        UserRemoved = "user.removed",
        RoleChanged = "user.role_changed",
        PasswordChanged = "user.password_changed",
        TotpEnabled = "user.totp_enabled",
        TotpDisabled = "user.totp_disabled",
        RecoveryCodesRenewed = "user.recovery_codes_renewed",
        InvitationCreated = "invitation.created",
        InvitationRevoked = "invitation.revoked",
        SessionRevoked = "session.revoked",
        ShareCreated = "share.created",
        ShareRevoked = "share.revoked",
        KeyCreated = "key.created",
        KeyRevoked = "key.revoked",
        AccessRefused = "access.refused",
        DeviceTokenRotated = "device.token_rotated",
        DeviceTokenRevoked = "device.token_revoked",
        DeviceRemoved = "device.removed",
        LifecycleChanged = "device.lifecycle_changed",
        DeviceRefused = "device.refused",
        CertificateBound = "device.certificate_bound",
        CertificateRemoved = "device.certificate_removed",
        ProvisioningKeyCreated = "provisioning_key.created",
        ProvisioningKeyRevoked = "provisioning_key.revoked",
        DevicesProvisioned = "provisioning_key.used",
        PairingOpened = "pairing.opened",
        PairingClosed = "pairing.closed",
        PairingJoined = "pairing.joined",
        BridgeCreated = "bridge.created",
        BridgeChanged = "bridge.changed",
        BridgeRevoked = "bridge.revoked",
        GroupMoved = "group.moved",
        GroupRemoved = "group.removed",
        RuleChanged = "rule.changed",
        RuleRemoved = "rule.removed",
        WebhookChanged = "rule.webhook_changed",
        TemplateChanged = "template.changed",
        TemplateRemoved = "template.removed",
        FirmwareUploaded = "firmware.uploaded",
        FirmwareRemoved = "firmware.removed",
        RolloutStarted = "firmware.rollout_started",
        RolloutChanged = "firmware.rollout_changed",
        JobRemoved = "job.removed",
        DataExported = "data.exported",
        DataImported = "data.imported",
        AuditExported = "audit.exported",
    }
}

impl Action {
    /// The action with this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|action| action.as_str() == word).copied()
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AuditOutcome {
    const ALL: [Self; 3] = [Self::Done, Self::Refused, Self::Failed];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// The outcome with this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }
}

impl AuditEntry {
    /// An entry of an action that was done by `who`, without target, address or detail.
    #[must_use]
    pub fn new(at: Timestamp, who: &str, action: Action) -> Self {
        let (target, detail) = ("".into(), Object::default());
        Self { at, who: who.into(), address: None, action, target, outcome: AuditOutcome::Done, detail }
    }

    /// The same from an address.
    #[must_use]
    pub fn with_address(self, address: IpAddr) -> Self {
        Self { address: Some(address), ..self }
    }

    /// The same to a target.
    #[must_use]
    pub fn with_target(self, target: &str) -> Self {
        Self { target: target.into(), ..self }
    }

    /// The same with another outcome.
    #[must_use]
    pub fn with_outcome(self, outcome: AuditOutcome) -> Self {
        Self { outcome, ..self }
    }

    /// The same with a detail.
    #[must_use]
    pub fn with_detail(self, detail: Object) -> Self {
        Self { detail, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Entries of years name them: a word that is changed is lost to whoever looks for it.
    #[test]
    fn each_action_has_a_word_of_its_own() {
        let words: BTreeSet<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(words.len(), Action::ALL.len());
        for action in Action::ALL {
            let word = action.as_str();
            assert_eq!(Action::parse(word), Some(*action));
            let (kind, did) = word.split_once('.').unwrap();
            assert!(!did.contains('.'), "{word}");
            assert!(
                format!("{kind}{did}").bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{word}"
            );
            assert!(word.len() <= 32, "{word}");
        }
        assert_eq!(Action::parse("user.flew"), None);
        assert!(
            AuditOutcome::ALL
                .into_iter()
                .all(|outcome| AuditOutcome::parse(outcome.as_str()) == Some(outcome))
        );
        assert_eq!(AuditOutcome::parse(""), None);
    }
}

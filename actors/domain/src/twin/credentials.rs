//! Credentials of a device: its tokens, as hashes (the one that it has, and the one before while both count), and the
//! fingerprint of the certificate that is bound to it.

use super::fields::{BROKER_HASH, CERTIFICATE, CERTIFICATE_END, OLD_TOKEN_HASH, OLD_TOKEN_UNTIL, TOKEN_HASH};
use super::{CertificateChange, Part, Patch, Profile, TokenChange};
use crate::clock::Timestamp;

/// The note in the event of a token that is the same and stored anew.
const RENEWED: &str = "renewed";

impl Profile {
    /// The hashes of the tokens that count, the newest first. A moment at which one ends is one of the twin's deadlines,
    /// so it ends by an event.
    pub fn token_hashes(&self) -> impl Iterator<Item = &str> {
        [self.text(TOKEN_HASH), self.text(OLD_TOKEN_HASH)].into_iter().filter(|hash| !hash.is_empty())
    }

    /// The moment until which the token before the present one counts; none where there is none.
    #[must_use]
    pub fn old_token_until(&self) -> Option<Timestamp> {
        if self.more.is_empty() || self.text(OLD_TOKEN_HASH).is_empty() {
            return None;
        }
        // A moment that nobody can read is over.
        Some(Timestamp::parse(self.text(OLD_TOKEN_UNTIL)).unwrap_or_default())
    }

    /// The patch by which the tokens change; empty where they are so already.
    pub(super) fn change_tokens(&self, change: TokenChange) -> Patch {
        let mut patch = Patch::default();
        match change {
            TokenChange::Make { hash, broker_hash, old_until } => {
                let old = self.text(TOKEN_HASH);
                match old_until.filter(|_| !old.is_empty()) {
                    Some(until) => set_old(&mut patch, Some((old, until))),
                    None if self.text(OLD_TOKEN_HASH).is_empty() => {}
                    None => set_old(&mut patch, None),
                }
                set(&mut patch, TOKEN_HASH, Some(&hash));
                if *broker_hash != *self.text(BROKER_HASH) {
                    set(&mut patch, BROKER_HASH, Some(&*broker_hash).filter(|hash| !hash.is_empty()));
                }
            }
            TokenChange::Renew { stored, hash } if stored == hash || stored.is_empty() => {}
            TokenChange::Renew { stored, hash } => {
                let (present, old) = (self.text(TOKEN_HASH), self.old_token_until());
                let old = old.map(|until| (self.text(OLD_TOKEN_HASH), until));
                let is_present = *present == *stored;
                if is_present {
                    set(&mut patch, TOKEN_HASH, Some(&hash));
                }
                // A present token that is set without a word on the one before would end it.
                match old {
                    Some((old, until)) if *old == *stored => set_old(&mut patch, Some((&hash, until))),
                    Some(old) if is_present => set_old(&mut patch, Some(old)),
                    _ => {}
                }
                if !patch.is_empty() {
                    patch.set_note("token", RENEWED.into());
                }
            }
            TokenChange::End => {
                if !self.text(TOKEN_HASH).is_empty() {
                    set(&mut patch, TOKEN_HASH, None);
                }
                if !self.text(BROKER_HASH).is_empty() {
                    set(&mut patch, BROKER_HASH, None);
                }
                if !self.text(OLD_TOKEN_HASH).is_empty() {
                    set_old(&mut patch, None);
                }
            }
        }
        patch
    }

    /// The patch that ends the token before, where its time is over.
    pub(super) fn end_old_token(&self, now: Timestamp) -> Option<Patch> {
        self.old_token_until().filter(|until| *until <= now)?;
        let mut patch = Patch::default();
        set_old(&mut patch, None);
        Some(patch)
    }

    /// The later end of the token before, after the hub's clock was set.
    pub(super) fn shifted_token_end(&self, by_ms: i64) -> Option<Part> {
        let until = self.old_token_until()?.plus_millis(by_ms);
        Part::text(OLD_TOKEN_UNTIL, &until.to_string())
    }

    /// A token that is set without a word on the one before ends it.
    pub(super) fn forget_old_token(&mut self) {
        self.more.remove(OLD_TOKEN_HASH);
        self.more.remove(OLD_TOKEN_UNTIL);
    }

    /// The fingerprint of the certificate that is bound to the device; empty where none is.
    #[must_use]
    pub fn certificate(&self) -> &str {
        self.text(CERTIFICATE)
    }

    /// The end of that certificate, where it is known.
    #[must_use]
    pub fn certificate_end(&self) -> Option<Timestamp> {
        if self.certificate().is_empty() {
            return None;
        }
        Timestamp::parse(self.text(CERTIFICATE_END))
    }

    /// The patch by which another certificate is bound, or none any more; empty where it is so already.
    pub(super) fn change_certificate(&self, change: &CertificateChange) -> Patch {
        let (fingerprint, end) = match change {
            CertificateChange::Bind { fingerprint, expires } => (Some(&**fingerprint), *expires),
            CertificateChange::Remove => (None, None),
        };
        let mut patch = Patch::default();
        if fingerprint.unwrap_or_default() != self.certificate() {
            patch.set_text(CERTIFICATE, fingerprint);
        }
        if end != self.certificate_end() {
            patch.set_text(CERTIFICATE_END, end.map(|end| end.to_string()).as_deref());
        }
        patch
    }

    /// No certificate is bound any more.
    pub(super) fn forget_certificate(&mut self) {
        self.more.remove(CERTIFICATE);
        self.more.remove(CERTIFICATE_END);
    }
}

fn set_old(patch: &mut Patch, old: Option<(&str, Timestamp)>) {
    set(patch, OLD_TOKEN_HASH, old.map(|(hash, _)| hash));
    set(patch, OLD_TOKEN_UNTIL, old.map(|(_, until)| until.to_string()).as_deref());
}

fn set(patch: &mut Patch, name: &str, text: Option<&str>) {
    patch.set_text(name, text);
}

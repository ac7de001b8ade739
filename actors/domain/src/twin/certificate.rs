//! The certificate that is bound to a device: its fingerprint, and its end where that is known.

use super::fields::{CERTIFICATE, CERTIFICATE_END};
use super::{CertificateChange, Patch, Profile};
use crate::clock::Timestamp;

impl Profile {
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

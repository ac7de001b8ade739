//! Access control of callers. A [`Grant`] is the only way from a caller to the hub's actors: their addresses are
//! private to this crate, and each message that a grant hands on names the permission that it takes, and how it is
//! confined to the devices that the caller reaches. What is beyond their reach is as unknown as what there is not.

mod confinement;
mod feed;
mod grant;
mod input_request;
mod messages;
mod placing;
mod runs;

pub use crate::caller::{Caller, Permission, Permissions};
pub use crate::device_certificates::{
    CertificateInUse, CertificateRefusal, CertifiedDevice, DeviceCertificates, stored_fingerprint,
};
pub use crate::device_tokens::{Tokens, token_hashes};
pub use feed::{ConfinedBatch, ConfinedFeed};
pub use grant::Grant;
pub use input_request::InputRequest;
pub use messages::HubRequest;

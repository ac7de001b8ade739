//! Messages for links that are given to people: invitations, by which an account is made, and share links, by which
//! somebody looks on without one.

use actix::Message;
use tokio::sync::oneshot;
use twinhub_access::Secret;

use super::{AccountRefusal, Asker, KeyMade, NewKey};

/// Makes an invitation: who has it makes an account of its role and scope, once.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct MakeInvitation {
    /// Its life is a week where none is said.
    pub key: NewKey,
    pub by: Asker,
    pub reply: oneshot::Sender<Result<KeyMade, AccountRefusal>>,
}

/// Makes a share link of the caller's: who has it sees what a viewer sees in its scope, as long as its owner does.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct MakeShare {
    pub key: NewKey,
    pub by: Asker,
    pub reply: oneshot::Sender<Result<KeyMade, AccountRefusal>>,
}

/// The secret of an invitation, as somebody gives it. Any text is one: most are wrong.
#[derive(Clone, Debug)]
pub struct GivenInvitation(pub(crate) Option<Secret>);

impl GivenInvitation {
    /// An invitation as it was given.
    #[must_use]
    pub fn given(text: &str) -> Self {
        Self(Secret::parse(text).ok())
    }
}

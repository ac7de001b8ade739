//! Messages to the layouts of dashboards.

use actix::Message;
use tokio::sync::oneshot;

use twinhub_domain::Cause;

/// Keeps a layout in the place of the one before. Answered after the commit.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PutLayout {
    pub name: Box<str>,
    /// JSON, kept as it is written.
    pub text: Box<str>,
    pub cause: Cause,
    pub reply: oneshot::Sender<Result<(), LayoutLost>>,
}

/// Asks for the text of a layout; none where nobody has kept one.
#[derive(Debug, Message)]
#[rtype(result = "Option<Box<str>>")]
pub struct ReadLayout(pub Box<str>);

/// A layout was lost on its way to the store: the hub shuts down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the layout was lost on its way")]
pub struct LayoutLost;

//! Messages to the firmware images.

use actix::Message;
use tokio::sync::oneshot;

use twinhub_domain::fleet::{Image, JobId};
use twinhub_domain::{Cause, EntityTags};

/// Takes an image in. Answered after the commit.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AddImage {
    pub image: Image,
    pub cause: Cause,
    pub reply: oneshot::Sender<Result<Image, ImageRefusal>>,
}

/// Removes an image that no roll-out uses. Answered after the commit.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RemoveImage {
    pub id: Box<str>,
    /// Only if its SHA-256 hash is one of these.
    pub if_hash: Option<EntityTags>,
    pub cause: Cause,
    pub reply: oneshot::Sender<Result<Image, ImageRefusal>>,
}

/// Asks for an image.
#[derive(Debug, Message)]
#[rtype(result = "Option<Image>")]
pub struct FindImage(pub Box<str>);

/// Asks for a page of images, the newest first.
#[derive(Clone, Debug, Default, Message)]
#[rtype(result = "ImagePage")]
pub struct ListImages {
    /// Only those for devices of this model.
    pub model: Option<Box<str>>,
    /// Only those of this version.
    pub version: Option<Box<str>>,
    pub offset: usize,
    pub limit: usize,
}

/// A page of images.
#[derive(Clone, Debug, Default, actix::MessageResponse)]
pub struct ImagePage {
    pub images: Vec<Image>,
    /// The number on all pages.
    pub total: usize,
}

/// The reason why an image was not taken or removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageRefusal {
    #[error("there is no firmware image `{0}`")]
    Unknown(Box<str>),
    /// It would be impossible to tell which of the two a device has.
    #[error("image `{id}` has version {version} for the same model")]
    Taken { id: Box<str>, version: Box<str> },
    #[error("the image has the SHA-256 hash {current}, not {expected}")]
    Version { current: Box<str>, expected: EntityTags },
    #[error("image `{id}` is used by roll-out `{job}`")]
    InUse { id: Box<str>, job: JobId },
    #[error("the change was lost on its way")]
    Lost,
}

//! Listeners to the messages for a device: without one a message waits and says why, and goes out when there is one.

use super::{Patch, Twin};
use crate::id::DeviceId;
use crate::json::Object;

/// The things that a device can listen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Downlink {
    Commands,
    Desired,
    Firmware,
}

/// The listeners there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The broker does not tell. It is published, and the broker's answer may say that nobody was there.
    Unknown,
    Nobody,
    /// Somebody who is connected, by a filter with wildcards: a gateway, or a program that listens to all.
    Somebody,
    /// Somebody who is connected and names this device's topic: the device itself, as far as can be seen.
    Itself,
}

/// Knows who listens, and in which words.
pub trait Listeners {
    /// The listeners to messages for `device`. Where that is less than is `wanted`, the twin gets an input of
    /// [`super::Input::Subscribed`] as soon as it is more.
    fn audience(&self, device: &DeviceId, ear: Downlink, wanted: Audience) -> Audience;

    /// A native change of `twin` as the configuration of a device has it that looks for it there: a merge patch onto
    /// the first level of `configuration`. Nothing where the device speaks no such dialect.
    fn echo(&self, _twin: &Twin, _patch: &Patch) -> Object {
        Object::default()
    }
}

/// A broker that does not tell.
pub struct UnknownListeners;

impl Listeners for UnknownListeners {
    fn audience(&self, _: &DeviceId, _: Downlink, _: Audience) -> Audience {
        Audience::Unknown
    }
}

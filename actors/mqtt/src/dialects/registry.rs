//! The dialects of a hub, in order.

use std::fmt;
use std::sync::Arc;

use super::dispositivos::Dispositivos;
use super::native::Native;
use super::{DecodeError, Decoded, Dialect};
use twinhub_domain::topic::matches;
use twinhub_domain::{DeviceId, Outgoing, Publish};

/// Dialects beside those that every hub has.
#[derive(Clone, Default)]
pub struct AddedDialects {
    stateless: Vec<Arc<dyn Dialect>>,
}

impl AddedDialects {
    /// These, and `dialect`.
    #[must_use]
    pub fn with(mut self, dialect: impl Dialect + 'static) -> Self {
        self.stateless.push(Arc::new(dialect));
        self
    }
}

impl fmt::Debug for AddedDialects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddedDialects").field("stateless", &self.stateless.len()).finish()
    }
}

/// See the module.
pub struct Dialects {
    /// The native one first: its messages are the many.
    stateless: Vec<Arc<dyn Dialect>>,
}

impl Default for Dialects {
    fn default() -> Self {
        Self::new(AddedDialects::default())
    }
}

impl Dialects {
    /// The dialects that every hub has, and then those `added`.
    #[must_use]
    pub fn new(added: AddedDialects) -> Self {
        let mut stateless: Vec<Arc<dyn Dialect>> = vec![Arc::new(Native), Arc::new(Dispositivos)];
        stateless.extend(added.stateless);
        Self { stateless }
    }

    /// The topic filters that bring every message that a dialect takes. None lies within another: a broker may
    /// deliver a message once for each filter that it matches.
    #[must_use]
    pub fn filters(&self) -> Vec<String> {
        let all: Vec<String> = self.stateless.iter().flat_map(|dialect| dialect.filters()).collect();
        let mut kept: Vec<String> = Vec::with_capacity(all.len());
        for (place, filter) in all.iter().enumerate() {
            let within = |(other_place, other): (usize, &String)| {
                matches(other, filter) && (other != filter || other_place < place)
            };
            if !all.iter().enumerate().any(within) {
                kept.push(filter.clone());
            }
        }
        kept
    }

    /// True where a dialect takes the topic. On the embedded broker all else is other people's traffic.
    #[must_use]
    pub fn is_ours(&self, topic: &str) -> bool {
        self.stateless.iter().any(|dialect| dialect.takes(topic))
    }

    /// True where the hub speaks to devices: nobody else may, where the broker is ours to say so.
    #[must_use]
    pub fn is_hubs(&self, topic: &str) -> bool {
        self.stateless.iter().any(|dialect| dialect.is_hubs(topic))
    }

    /// Reads a message whose payload has at most `limit` bytes.
    ///
    /// # Errors
    /// Says what was wrong with it, and where.
    pub fn decode(&self, limit: usize, topic: &str, payload: &[u8]) -> Result<Decoded, DecodeError> {
        if payload.len() > limit {
            return Err(DecodeError::TooLarge { bytes: payload.len(), limit });
        }
        let read = self.stateless.iter().find_map(|dialect| dialect.decode(topic, payload));
        read.unwrap_or(Err(DecodeError::BadTopic))
    }

    /// The messages that tell `device` what its twin wants published, in the dialect that it speaks.
    #[must_use]
    pub fn encode(&self, device: &DeviceId, publish: &Publish) -> Vec<Outgoing> {
        let speaking = self.stateless.iter().find(|dialect| dialect.speaks_to(device));
        speaking.map_or_else(|| Native.encode(device, publish), |dialect| dialect.encode(device, publish))
    }
}

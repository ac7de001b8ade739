//! Devices by their tokens, for callers who show nothing else. Who has a token is looked up once in the store; from then
//! on each request looks at the twin in memory, which alone says whether the token counts.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use actix::Addr;
use twinhub_access::DeviceReach;
use twinhub_domain::{DeviceNumber, Refusal, Twin};

use crate::HubError;
use crate::device_tokens::Tokens;
use crate::hub::Hub;
use crate::messages::archive::FindToken;
use crate::supervisor::Supervisor;
use crate::token_renewal::TokenRenewal;
use crate::twin_registry::TwinRegistry;

/// Tokens that are remembered, at 150 bytes each; with more all are looked up again.
const MOST: usize = 200_000;

/// The holders of tokens that were shown.
pub struct TokenHolders {
    registry: Arc<TwinRegistry>,
    renewal: TokenRenewal,
    /// By the hash that is kept of the token.
    known: RwLock<HashMap<Box<str>, DeviceNumber>>,
}

/// The device that has a token, as its twin is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenHolder {
    /// The devices for which it may speak.
    pub reach: DeviceReach,
    /// The reason why it may not for now.
    pub out_of_service: Option<Refusal>,
}

impl TokenHolder {
    /// The holder of the token with this hash, where `twin` is that.
    fn of(twin: &Twin, hash: &str) -> Option<Self> {
        let is_its = !twin.is_new() && twin.profile.token_hashes().any(|own| own == hash);
        is_its.then(|| Self {
            reach: DeviceReach::new(twin.id.clone(), &twin.settings()),
            out_of_service: twin.lifecycle().is_out_of_service().then_some(Refusal::Suspended),
        })
    }
}

impl TokenHolders {
    /// No token was shown yet.
    #[must_use]
    pub(crate) fn new(registry: Arc<TwinRegistry>, supervisor: Addr<Supervisor>) -> Self {
        Self { registry, renewal: TokenRenewal::new(supervisor), known: RwLock::default() }
    }

    /// Has tokens stored anew.
    pub(crate) fn renewal(&self) -> TokenRenewal {
        self.renewal.clone()
    }

    /// The device with this token, where it was shown before and the twin is in memory. Takes one hash, and reads
    /// nothing of the store. None: [`TokenHolders::find`] says.
    #[must_use]
    pub fn present(&self, tokens: &Tokens, token: &str) -> Option<TokenHolder> {
        let present = tokens.hash(token);
        // Nearly every token is kept under the present key.
        self.with_hash(&present).or_else(|| {
            let forms = tokens.forms(token);
            let found = forms.iter().skip(1).find_map(|hash| Some((self.with_hash(hash)?, hash)));
            found.map(|(holder, stored)| self.renewed(holder, stored, &present))
        })
    }

    /// The device with this token, looked up in the store and loaded. None: nobody has it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn find(
        &self,
        hub: &Hub,
        tokens: &Tokens,
        token: &str,
    ) -> Result<Option<TokenHolder>, HubError> {
        for hash in tokens.forms(token) {
            let found = hub.archive.send(FindToken(hash.clone())).await;
            let Some(device) = found.map_err(|_| HubError::ShuttingDown)?? else { continue };
            let Some(twin) = hub.read(&device).await? else { continue };
            if let Some(holder) = TokenHolder::of(&twin, &hash) {
                self.remember(&hash, twin.number);
                return Ok(Some(self.renewed(holder, &hash, &tokens.hash(token))));
            }
        }
        Ok(None)
    }

    /// The same holder. A token that is stored under an older key is stored under the present one.
    fn renewed(&self, holder: TokenHolder, stored: &str, present: &str) -> TokenHolder {
        if *stored != *present && holder.out_of_service.is_none() {
            self.renewal.renew(holder.reach.own(), stored, present);
        }
        holder
    }

    fn with_hash(&self, hash: &str) -> Option<TokenHolder> {
        let number = *self.read().get(hash)?;
        let twin = self.registry.get(number)?;
        let holder = twin.read().and_then(|twin| TokenHolder::of(&twin, hash));
        if holder.is_none() {
            self.write().remove(hash); // it is another's by now, or nobody's
        }
        holder
    }

    fn remember(&self, hash: &str, number: DeviceNumber) {
        let mut known = self.write();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(hash.into(), number);
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Box<str>, DeviceNumber>> {
        // Nothing panics while holding it.
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Box<str>, DeviceNumber>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

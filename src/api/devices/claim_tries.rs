//! Tries at claiming a device, of which few may have a wrong code.

use std::sync::{Mutex, MutexGuard, PoisonError};

use twinhub_access::code_limits::CodeLimits;
use twinhub_actors::HubError;
use twinhub_actors::access::Grant;
use twinhub_domain::receipt::Accepted;
use twinhub_domain::{DeviceId, Refusal};

use crate::http::problem::{ApiError, DeviceProblem};

/// The wrong claim codes that were said.
#[derive(Debug, Default)]
pub struct ClaimTries(Mutex<CodeLimits>);

impl ClaimTries {
    /// Has `claim` made, unless too many wrong codes were said for this device.
    ///
    /// # Errors
    /// They were, or the claim is refused.
    pub async fn limited(
        &self,
        hub: &Grant,
        device: &DeviceId,
        claim: impl Future<Output = Result<Accepted, HubError>>,
    ) -> Result<Accepted, ApiError> {
        let may_try = self.limits().may_try(device, hub.uptime_ms());
        may_try.map_err(|wait_ms| DeviceProblem::ClaimTries { wait_ms })?;
        let claimed = claim.await;
        match &claimed {
            Ok(_) => self.limits().succeeded(device),
            Err(HubError::Refused(Refusal::ClaimCode)) => self.limits().failed(device, hub.uptime_ms()),
            Err(_) => {}
        }
        Ok(claimed?)
    }

    fn limits(&self) -> MutexGuard<'_, CodeLimits> {
        // Nothing panics while holding it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

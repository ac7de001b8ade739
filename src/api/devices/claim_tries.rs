//! Tries at claiming a device or registering it anew, of which few may have a wrong code.

use std::sync::{Mutex, MutexGuard, PoisonError};

use twinhub_access::code_limits::CodeLimits;
use twinhub_actors::HubError;
use twinhub_actors::access::Grant;
use twinhub_domain::{DeviceId, Refusal};

use crate::http::problem::{ApiError, DeviceProblem};

/// The wrong claim codes that were said.
#[derive(Debug, Default)]
pub struct ClaimTries(Mutex<CodeLimits>);

impl ClaimTries {
    /// Has a claim or registration made in which a code is said, unless too many wrong codes were said for this device.
    ///
    /// # Errors
    /// They were, or it is refused.
    pub async fn limited<T, E: Into<ApiError>>(
        &self,
        hub: &Grant,
        device: &DeviceId,
        claim: impl Future<Output = Result<T, E>>,
    ) -> Result<T, ApiError> {
        let claimed = self.limited_trial(hub, device, claim).await?;
        self.limits().succeeded(device);
        Ok(claimed)
    }

    /// The same for one that is only tried out. Its success forgets no wrong code: it may have been tried out without
    /// the device, which its caller need not see.
    ///
    /// # Errors
    /// As [`ClaimTries::limited`].
    pub async fn limited_trial<T, E: Into<ApiError>>(
        &self,
        hub: &Grant,
        device: &DeviceId,
        claim: impl Future<Output = Result<T, E>>,
    ) -> Result<T, ApiError> {
        // Counted before the claim: of many at once each would see that there was no wrong code yet.
        let begun = self.limits().begin_try(device, hub.uptime_ms());
        begun.map_err(|wait_ms| DeviceProblem::ClaimTries { wait_ms })?;
        let claimed: Result<T, ApiError> = claim.await.map_err(Into::into);
        if !matches!(claimed, Err(ApiError::Hub(HubError::Refused(Refusal::ClaimCode)))) {
            self.limits().take_back(device);
        }
        claimed
    }

    fn limits(&self) -> MutexGuard<'_, CodeLimits> {
        // Nothing panics while holding it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

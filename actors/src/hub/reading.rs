//! Requests to the hub that are answered once the answer is durable.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{ActorHealth, Hub, TRIES};
use crate::HubError;
use crate::delivery;
use crate::mailbox::try_send_unbounded;
use crate::messages::archive::LoadTwins;
use crate::messages::supervisor::{Deliver, IfUnknown, ReadTwin};
use twinhub_domain::receipt::{Accepted, NotAccepted};
use twinhub_domain::{Cause, DeviceId, Input, Twin, Versions};

/// A twin whose changes are not committed by then is read from the store.
const SLOW_READ: Duration = Duration::from_secs(1);

impl Hub {
    /// The state of the actors.
    #[must_use]
    pub fn alive(&self) -> ActorHealth {
        ActorHealth::of(self)
    }

    /// The present twin, everything in it being durable. None if there is none. While commits fail, or take long, it is
    /// the twin in the store: later inputs were not acknowledged to any sender.
    ///
    /// # Errors
    /// The store does not answer in time.
    pub async fn read(&self, device: &DeviceId) -> Result<Option<Box<Twin>>, HubError> {
        tokio::select! {
            // The twin first: it knows best.
            biased;
            twin = self.read_live(device) => twin,
            () = self.counters.store_fails() => self.read_stored(device).await,
            () = tokio::time::sleep(SLOW_READ) => self.read_stored(device).await,
        }
    }

    async fn read_live(&self, device: &DeviceId) -> Result<Option<Box<Twin>>, HubError> {
        for tries in 1.. {
            let (reply, twin) = oneshot::channel();
            if try_send_unbounded(&self.supervisor, ReadTwin { device: device.clone(), reply }).is_err() {
                break;
            }
            if let Ok(twin) = twin.await {
                return Ok(twin);
            }
            let Some(wait) = TRIES.wait(tries) else { break }; // its twin died with the question
            tokio::time::sleep(wait).await;
        }
        Err(HubError::Unavailable("the twin does not answer"))
    }

    /// The twin as of the last commit, by a connection of its own.
    async fn read_stored(&self, device: &DeviceId) -> Result<Option<Box<Twin>>, HubError> {
        let found = self.archive.send(LoadTwins(vec![device.clone()]));
        match tokio::time::timeout(self.settings.patience, found).await {
            Ok(Ok(found)) => Ok(found?.into_iter().next().map(Box::new)),
            Ok(Err(_)) => Err(HubError::Unavailable("the hub is shutting down")),
            Err(_) => Err(HubError::Unavailable("the store does not answer")),
        }
    }

    /// Takes an input in, and answers once it is settled, however long that takes.
    ///
    /// # Errors
    /// The twin refused it, or it was lost for good.
    pub(crate) async fn settle(
        &self,
        if_version: Option<Versions>,
        device: DeviceId,
        input: Input,
        cause: Cause,
        if_unknown: IfUnknown,
        want_twin: bool,
    ) -> Result<Accepted, HubError> {
        let _room = self.people.acquire().await; // never closed
        let settled = delivery::deliver(&self.supervisor, TRIES, |receipt| Deliver {
            device: device.clone(),
            input: input.clone(),
            cause: cause.clone(),
            receipt,
            if_unknown,
            if_version: if_version.clone(),
            want_twin,
        });
        settled.await.map_err(|lost| match lost {
            NotAccepted::Refused(refusal) => HubError::Refused(refusal),
            NotAccepted::Lost => HubError::Unavailable("the change was lost on its way"),
        })
    }

    /// The answer of an actor that answers after the commit.
    ///
    /// # Errors
    /// The store does not take anything in, or the actor is gone.
    pub async fn answer<T>(&self, answer: oneshot::Receiver<T>) -> Result<T, HubError> {
        self.answer_in(self.settings.patience, answer).await
    }

    /// The same, of something that takes its time.
    ///
    /// # Errors
    /// As [`Hub::answer`].
    pub async fn answer_in<T>(
        &self,
        patience: Duration,
        answer: oneshot::Receiver<T>,
    ) -> Result<T, HubError> {
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(HubError::Unavailable("the change was lost on its way")),
            Err(_) => Err(HubError::Unavailable("the change was not made durable in time")),
        }
    }
}

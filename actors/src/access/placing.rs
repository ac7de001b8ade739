//! Inputs for devices, and the places of these: a caller with a scope reaches a device where it is within it, and
//! leaves no device beyond it.

use std::fmt;
use std::sync::Arc;

use tokio::sync::oneshot;
use twinhub_access::{Action, AuditEntry, AuditOutcome};

use super::Grant;
use super::InputRequest;
use super::confinement::Confinement;
use super::grant::permission_for;
use crate::HubError;
use crate::hub::LATE;
use crate::mailbox::send_reply;
use crate::messages::supervisor::IfUnknown;
use crate::places::PlaceNow;
use twinhub_domain::cause::Source;
use twinhub_domain::receipt::Accepted;
use twinhub_domain::twin::{CertificateChange, Meaning, Speaker, TokenChange, Translation};
use twinhub_domain::{DeviceId, Input, Json, Object, Refusal, Timestamp, Twin};

const OWNER: &str = "owner_id";
const GROUP: &str = "group_id";

/// A registration or a claim in a dialect, by which the device becomes a user's.
#[derive(Debug)]
struct OwnedTranslation {
    message: Arc<dyn Translation>,
    owner: Box<str>,
}

impl Grant {
    /// Has a twin take an input in, and answers after the commit.
    ///
    /// # Errors
    /// The caller lacks the permission, does not reach the device, or would lose it to where they do not; the twin
    /// refused the input, or it could not be made durable in time. It may become durable later all the same.
    pub async fn deliver(&self, mut request: InputRequest) -> Result<Accepted, HubError> {
        self.demand(permission_for(&request.input))?;
        let within = self.confinement();
        let owner = within.place(&mut request)?;
        if !within.reach.is_everywhere() && gives_device(&request.input) {
            self.check_no_gateway(&request.device).await?;
        }
        // Counted and made one after the other: two at once would both find room for one.
        let claiming = match &owner {
            Some(owner) => {
                let claiming = Arc::clone(&self.hub.claiming).lock_owned();
                let claiming = tokio::time::timeout(self.hub.settings.patience, claiming).await;
                let claiming =
                    claiming.map_err(|_| HubError::Unavailable("another registration is under way"))?;
                self.check_quota(owner)?;
                Some(claiming)
            }
            None => None,
        };
        let InputRequest { device, input, because, if_unknown, if_version, want_twin } = request;
        let mut cause = self.cause();
        if matches!(input, Input::Import(_)) {
            cause.source = Source::Import;
        }
        if cause.by.is_empty() {
            cause.by = because.into();
        }
        let audited = audited(&input).map(|(action, detail)| {
            self.audit_entry(action, &format!("device:{device}")).with_detail(detail)
        });
        if claiming.is_none() && audited.is_none() {
            return self.hub.deliver_to(if_version, device, input, cause, if_unknown, want_twin).await;
        }
        self.check_store()?;
        let (grant, (reply, answer)) = (self.clone(), oneshot::channel());
        // Beside the caller: who goes away has this dropped, and the input may become durable all the same.
        actix_rt::spawn(async move {
            let settled = grant.hub.settle(if_version, device, input, cause, if_unknown, want_twin);
            tokio::pin!(settled);
            let in_time = tokio::time::timeout(grant.hub.settings.patience, &mut settled).await;
            if let Ok(delivered) = in_time {
                grant.audit_delivery(audited, &delivered).await;
                drop(claiming);
                send_reply(reply, delivered);
                return;
            }
            let late = Err(HubError::Unavailable(LATE));
            grant.audit_delivery(audited.clone(), &late).await;
            send_reply(reply, late);
            if let Ok(accepted) = settled.await {
                grant.audit_delivery(audited, &Ok(accepted)).await;
            }
            drop(claiming);
        });
        answer.await.unwrap_or(Err(HubError::ShuttingDown))
    }

    /// Appends the entry of an input by its outcome: of one that was refused none, and of one that may become durable
    /// later that it is not known.
    async fn audit_delivery(&self, entry: Option<AuditEntry>, delivered: &Result<Accepted, HubError>) {
        let Some(mut entry) = entry else { return };
        match delivered {
            Ok(_) => {}
            Err(HubError::Refused(_)) => return,
            Err(_) => {
                entry.outcome = AuditOutcome::Failed;
                entry.detail.insert("known", Json::from(false));
            }
        }
        self.audit(entry).await;
    }

    /// Goes on where the device speaks for itself alone. Of a gateway a caller would get the token with which it speaks
    /// for devices beyond their reach.
    async fn check_no_gateway(&self, device: &DeviceId) -> Result<(), HubError> {
        if self.hub.places.of(device).is_none() {
            return Ok(()); // it begins with this, and no such caller makes a gateway
        }
        match self.hub.read(device).await? {
            Some(twin) if twin.settings().gateway.is_some() => {
                let why = "the token of a gateway is for callers whose scope is all devices, as it speaks for others";
                Err(HubError::OutOfScope(why.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// May one more device be this owner's?
    fn check_quota(&self, owner: &str) -> Result<(), HubError> {
        match self.quota {
            Some(quota) if self.hub.places.owned(owner) >= u64::from(quota) => {
                Err(HubError::QuotaReached { quota })
            }
            _ => Ok(()),
        }
    }
}

impl Confinement {
    /// Checks that the device is within reach, or comes to be, and stays there. Gives the owner that it gets.
    fn place(&self, request: &mut InputRequest) -> Result<Option<Box<str>>, HubError> {
        if self.reach.is_everywhere() {
            return Ok(None);
        }
        if makes_gateway(&request.input) {
            let why = "whom a gateway speaks for is for callers to say whose scope is all devices";
            return Err(HubError::OutOfScope(why.to_owned()));
        }
        let (device, known) = (&request.device, self.places.of(&request.device));
        let unknown = || Err(Refusal::Unknown(device.to_string()).into());
        match &mut request.input {
            Input::Register(registration) => {
                if known.as_ref().is_some_and(|place| !self.may_take(place)) {
                    return Err(Refusal::Registered(device.clone()).into());
                }
                self.take(device, known.as_ref(), &mut registration.patch)
            }
            Input::Claim(registration) => match known {
                Some(place) if self.may_take(&place) => {
                    self.take(device, Some(&place), &mut registration.patch)
                }
                _ => unknown(),
            },
            Input::Translate(message) => match message.speaker() {
                Speaker::Registration { .. } | Speaker::Claim => {
                    if known.as_ref().is_some_and(|place| !self.may_take(place)) {
                        return unknown();
                    }
                    let owner = self.take(device, known.as_ref(), &mut Object::default())?;
                    if let Some(owner) = &owner {
                        let (inner, owner) = (Arc::clone(message), owner.clone());
                        *message = Arc::new(OwnedTranslation { message: inner, owner });
                    }
                    Ok(owner)
                }
                Speaker::Device | Speaker::App => match known {
                    Some(place) if self.has(&place) => Ok(None),
                    _ => unknown(),
                },
            },
            input => {
                let begins = matches!(request.if_unknown, IfUnknown::Appear | IfUnknown::Begin);
                let place = match known {
                    Some(place) if self.has(&place) => place,
                    // It begins with this: in the group that it names, if any.
                    None if begins => {
                        let group = group_after(input).unwrap_or_default();
                        return match self.reach.contains(device, "", group) {
                            true => Ok(None),
                            false => Err(self.beyond(device, group)),
                        };
                    }
                    _ => return unknown(),
                };
                match group_after(input) {
                    Some(group) if !self.reach.contains(device, &place.owner, group) => {
                        Err(self.beyond(device, group))
                    }
                    _ => Ok(None),
                }
            }
        }
    }

    fn has(&self, place: &PlaceNow) -> bool {
        self.reach.contains(&place.device, &place.owner, &place.group)
    }

    /// May a device that is there become the caller's? It must be within reach, or nobody's and nowhere.
    fn may_take(&self, place: &PlaceNow) -> bool {
        self.has(place) || place.owner.is_empty() && place.group.is_empty()
    }

    /// Has the registration or claim bring the device within reach. Gives the owner that it gets by that.
    fn take(
        &self,
        device: &DeviceId,
        known: Option<&PlaceNow>,
        patch: &mut Object,
    ) -> Result<Option<Box<str>>, HubError> {
        let before = known.map_or("", |place| &*place.owner);
        let owner = self.reach.owner().unwrap_or(before);
        let group = match patch.get(GROUP) {
            Some(group) => group.as_str().unwrap_or_default(),
            None => known.map_or("", |place| &*place.group),
        };
        if !self.reach.contains(device, owner, group) {
            return Err(self.beyond(device, group));
        }
        if *owner == *before {
            return Ok(None);
        }
        patch.insert(OWNER, owner.into());
        Ok(Some(owner.into()))
    }
}

/// Says the input for which others the device may speak?
fn makes_gateway(input: &Input) -> bool {
    let patch = match input {
        Input::Register(registration) | Input::Claim(registration) => &registration.patch,
        Input::Change(change) => &change.patch,
        _ => return false,
    };
    let settings = patch.get("settings").and_then(Json::as_object);
    settings.is_some_and(|settings| settings.get("gateway").is_some())
}

/// Does the caller get the device by this input, or a credential of it?
fn gives_device(input: &Input) -> bool {
    match input {
        Input::Register(_) | Input::Claim(_) | Input::SetToken(TokenChange::Make { .. }) => true,
        Input::SetCertificate(CertificateChange::Bind { .. }) => true,
        Input::Translate(message) => {
            matches!(message.speaker(), Speaker::Registration { .. } | Speaker::Claim)
        }
        _ => false,
    }
}

/// The group that a device is to be in after an input; none: it stays in its own. Empty: in none.
fn group_after(input: &Input) -> Option<&str> {
    match input {
        Input::Change(change) => Some(change.patch.get(GROUP)?.as_str().unwrap_or_default()),
        _ => None,
    }
}

impl Translation for OwnedTranslation {
    fn note_name(&self) -> &'static str {
        self.message.note_name()
    }

    fn speaker(&self) -> Speaker {
        self.message.speaker()
    }

    fn serial(&self) -> Option<&str> {
        self.message.serial()
    }

    fn translate(&self, twin: &Twin, now: Timestamp) -> Result<Meaning, Refusal> {
        let mut meaning = self.message.translate(twin, now)?;
        meaning.change.patch.insert(OWNER, Json::from(&*self.owner));
        Ok(meaning)
    }
}

impl fmt::Debug for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confinement").field("reach", &self.reach).finish_non_exhaustive()
    }
}

/// The action that the audit knows an input for a device by, where it does.
fn audited(input: &Input) -> Option<(Action, Object)> {
    match input {
        Input::Delete => Some((Action::DeviceRemoved, Object::default())),
        Input::SetLifecycle { state, .. } => {
            let to = [("to", Json::from(state.as_str()))];
            Some((Action::LifecycleChanged, to.into_iter().collect()))
        }
        Input::SetToken(TokenChange::Make { old_until, .. }) => {
            let until = old_until.map(|until| ("old_token_until", Json::from(until.to_string())));
            Some((Action::DeviceTokenRotated, until.into_iter().collect()))
        }
        Input::SetToken(TokenChange::End) => Some((Action::DeviceTokenRevoked, Object::default())),
        Input::SetCertificate(CertificateChange::Bind { fingerprint, .. }) => {
            let bound = [("fingerprint", Json::from(&**fingerprint))];
            Some((Action::CertificateBound, bound.into_iter().collect()))
        }
        Input::SetCertificate(CertificateChange::Remove) => {
            Some((Action::CertificateRemoved, Object::default()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;

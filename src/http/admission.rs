//! The admission of a request: its caller, known by a credential or without a name, and the grant that they have.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpMessage as _, HttpRequest};
use twinhub_access::{DeviceReach, Role, Secret, SecretKind};
use twinhub_actors::HubError;
use twinhub_actors::access::{Caller, CertificateRefusal, CertifiedDevice, Grant, Permission, Permissions};
use twinhub_actors::accounts::directory::{self, Identity, Unidentified};
use twinhub_actors::hub::TokenHolder;
use twinhub_actors::messages::bound_keys::ProvisioningUse;
use twinhub_actors::pairing::WindowPass;
use twinhub_domain::cause::Source;
use twinhub_domain::{DeviceId, Timestamp};
use twinhub_tls::PeerCertificate;

use super::credential::RequestCredential;
use super::{certificate, client, csrf};
use crate::api::devices::token;
use crate::config::DialectName;
use crate::http::problem::ApiError;
use crate::state::WebState;

/// The permissions of callers without a name.
#[derive(Clone, Copy, Debug)]
pub struct AnonymousAccess {
    pub permissions: Permissions,
    /// They have no more than [`Permission::Public`] as soon as there is a user.
    pub until_set_up: bool,
    /// They have it because they are on this machine: what a proxy there hands on came from anywhere.
    pub from_here: bool,
}

/// A caller who was let in.
#[derive(Clone)]
pub struct CallerAdmission {
    pub grant: Grant,
    pub holder: Holder,
    /// The reason why the certificate of a caller without another credential lets nobody in.
    refused_certificate: Option<CertificateRefusal>,
}

/// The holder of a grant.
#[derive(Clone, Debug)]
pub enum Holder {
    /// A caller without a credential.
    Anonymous,
    /// The command line on this machine, by the key that the hub left there for it.
    Program,
    /// A user or a key.
    Known(Box<Identity>),
    /// A device, by its token or its certificate.
    Device(Box<DeviceReach>),
    /// A caller without a credential on a route of a dialect that was given access.
    Dialect(Arc<DialectCaller>),
}

/// A caller of a dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialectCaller {
    /// The name in causes: `dialect:002`.
    pub name: String,
    pub role: Role,
}

impl AnonymousAccess {
    /// They may do everything.
    #[must_use]
    pub fn all() -> Self {
        Self { permissions: Permissions::all(), until_set_up: false, from_here: false }
    }

    /// They may do everything on this machine.
    #[must_use]
    pub fn here() -> Self {
        Self { from_here: true, ..Self::all() }
    }

    /// They may do everything on this machine until there is a user.
    #[must_use]
    pub fn until_set_up() -> Self {
        Self { until_set_up: true, ..Self::here() }
    }

    /// They may ask whether the hub is there, and sign in.
    #[must_use]
    pub fn public() -> Self {
        Self { permissions: [Permission::Public].into_iter().collect(), ..Self::all() }
    }
}

impl WebState {
    /// The permissions that callers without a name have now.
    #[must_use]
    pub fn of_anonymous(&self) -> Permissions {
        let AnonymousAccess { permissions, until_set_up, .. } = self.anonymous;
        if until_set_up && self.directory().has_users() {
            return AnonymousAccess::public().permissions;
        }
        permissions
    }

    /// Is nobody let in before there is a user, who is still to be made? The command line on this machine is.
    #[must_use]
    pub fn awaits_first_user(&self, request: &HttpRequest) -> bool {
        if !self.serves_set_up || self.directory().has_users() {
            return false;
        }
        let credential = RequestCredential::of(request.headers(), request.query_string(), &self.cookie);
        let address = client::of(request).address;
        !matches!(credential, Ok(RequestCredential::Bearer(token)) if self.is_local(token, address))
    }

    /// Lets the caller of `request` in.
    ///
    /// # Errors
    /// The credential has no form of one, or counts no more; or it is a cookie that no page of ours may have sent.
    pub async fn admit(&self, request: &HttpRequest) -> Result<CallerAdmission, ApiError> {
        let client = client::of(request);
        let credential = RequestCredential::of(request.headers(), request.query_string(), &self.cookie)?;
        if let RequestCredential::Session(_) = credential {
            csrf::check(request.head(), &client, &self.policy().origins)?;
        }
        if credential == RequestCredential::Nothing && self.anonymous.from_here && client.is_handed_on {
            return Ok(self.admit_stranger());
        }
        if credential == RequestCredential::Nothing
            && let Some(certificate) = certificate::of_device(request)
        {
            return self.admit_certificate(&certificate, request, client.address).await;
        }
        self.identify(credential, client.address).await
    }

    /// Lets the caller of `request` in where JSON web tokens are credentials too.
    ///
    /// # Errors
    /// As [`Self::admit`], and another scheme than `Bearer` in `Authorization` is refused.
    pub async fn admit_by_jwt(&self, request: &HttpRequest) -> Result<CallerAdmission, ApiError> {
        let credential = RequestCredential::of(request.headers(), request.query_string(), &self.cookie)?;
        let token = match credential {
            // Keys of this hub have no dots in them.
            RequestCredential::Bearer(token) if token.contains('.') => token,
            RequestCredential::Nothing | RequestCredential::Session(_)
                if request.headers().contains_key(header::AUTHORIZATION) =>
            {
                return Err(ApiError::Authorization);
            }
            _ => return self.admit(request).await,
        };
        let now = self.hub().clock.now();
        let claims = self.jwt.verify(token, now).map_err(Unidentified::from)?;
        let credential = directory::Credential::Claims(&claims);
        let identity = self.directory().identify(credential, now, client::of(request).address)?;
        let grant = self.hub().of_identity(&identity, Source::Rest);
        Ok(CallerAdmission::of(grant, Holder::Known(Box::new(identity))))
    }

    /// Lets a caller in whose `Authorization` counts for nothing, where the same caller has `permission` without it. Keys and
    /// sessions of this hub are never passed over.
    pub async fn admit_without_jwt(
        &self,
        request: &HttpRequest,
        permission: Permission,
        dialects: &[DialectName],
    ) -> Option<CallerAdmission> {
        let client = client::of(request);
        let credential = RequestCredential::of(request.headers(), request.query_string(), &self.cookie);
        match credential {
            Ok(RequestCredential::Nothing) => {} // another scheme than `Bearer`
            Ok(RequestCredential::Bearer(token)) if !token.starts_with("twh_") => {}
            Ok(RequestCredential::Bearer(_) | RequestCredential::Session(_)) | Err(_) => return None,
        }
        let admission = match self.anonymous.from_here && client.is_handed_on {
            true => self.admit_stranger(),
            false => self.identify(RequestCredential::Nothing, client.address).await.ok()?,
        };
        let admission = self.by_dialect(admission, permission, dialects, client.address);
        admission.grant.demand(permission).is_ok().then_some(admission)
    }

    /// The admission of a caller to a route of `dialects`: one who has no credential, and not the permission by
    /// themselves, is let in by the account of the first dialect that has it. Before there is a user, nobody is asked for
    /// more than being there.
    #[must_use]
    pub fn by_dialect(
        &self,
        admission: CallerAdmission,
        permission: Permission,
        dialects: &[DialectName],
        address: IpAddr,
    ) -> CallerAdmission {
        let needs_account = matches!(admission.holder, Holder::Anonymous)
            && admission.refused_certificate.is_none()
            && admission.grant.demand(permission).is_err()
            && self.directory().has_users();
        if !needs_account {
            return admission;
        }
        let of = |dialect: &DialectName| {
            let account = self.directory().dialect(dialect.number())?;
            let grant = self.hub().of_dialect(dialect.number(), Source::Rest)?.at_address(address);
            grant.demand(permission).ok()?;
            let caller = DialectCaller { name: grant.caller().name(), role: account.rights.role };
            Some(CallerAdmission::of(grant, Holder::Dialect(Arc::new(caller))))
        };
        dialects.iter().find_map(of).unwrap_or(admission)
    }

    /// Would the caller of `request` see the page without any credential?
    #[must_use]
    pub fn lets_strangers_read(&self, request: &HttpRequest) -> bool {
        let is_from_here = !self.anonymous.from_here || !client::of(request).is_handed_on;
        is_from_here && self.of_anonymous().contain(Permission::Read)
    }

    /// Lets a caller in as one without a name, on routes for everybody: who signs in may bring an old session.
    #[must_use]
    pub fn admit_stranger(&self) -> CallerAdmission {
        let permissions = AnonymousAccess::public().permissions;
        let grant = self.hub().of(Caller::Anonymous, Source::Rest).confined_to(permissions);
        CallerAdmission::of(grant, Holder::Anonymous)
    }

    /// Lets a caller without a credential speak for `device` alone, where the pairing window is open and the device may
    /// come through it.
    pub async fn admit_newcomer(&self, request: &HttpRequest, device: &DeviceId) -> Option<CallerAdmission> {
        let pass = self.pass_of(request)?;
        let known = self.hub().pairing.admit(&pass, device).await?;
        let grant = self.hub().of_device(&known.access.reach, Source::Rest).at_address(pass.address);
        Some(CallerAdmission::of(grant, Holder::Anonymous))
    }

    /// Lets a caller without a credential ask for the token of a device, where the pairing window is open.
    #[must_use]
    pub fn admit_to_provision(&self, request: &HttpRequest) -> Option<CallerAdmission> {
        let pass = self.pass_of(request)?;
        let permissions = [Permission::Public, Permission::Provision].into_iter().collect();
        let grant = self.hub().of(Caller::Anonymous, Source::Rest).confined_to(permissions);
        Some(CallerAdmission::of(grant.at_address(pass.address), Holder::Anonymous))
    }

    /// The pass of a caller without a credential through the pairing window, where that is open.
    fn pass_of(&self, request: &HttpRequest) -> Option<WindowPass> {
        let credential = RequestCredential::of(request.headers(), request.query_string(), &self.cookie);
        let pass = self.hub().pairing.window.pass(client::of(request).address)?;
        matches!(credential, Ok(RequestCredential::Nothing)).then_some(pass)
    }

    /// Lets the caller in who has this bearer token.
    ///
    /// # Errors
    /// It counts no more, or never did.
    pub async fn admit_bearer(&self, token: &str, address: IpAddr) -> Result<CallerAdmission, ApiError> {
        self.identify(RequestCredential::Bearer(token), address).await
    }

    /// Lets the caller in who has this share link, and gives the moment at which that expires.
    ///
    /// # Errors
    /// It is none, or counts no more.
    pub async fn admit_share(
        &self,
        token: &str,
        address: IpAddr,
    ) -> Result<(CallerAdmission, Timestamp), ApiError> {
        let secret = Secret::parse(token).map_err(Unidentified::from)?;
        if secret.kind() != SecretKind::Share {
            return Err(Unidentified::Kind.into());
        }
        let admission = self.identify(RequestCredential::Session(token), address).await?;
        let ends_at = self.directory().end_of_key(&secret.id()).ok_or(Unidentified::Key)?;
        Ok((admission, ends_at))
    }

    /// Lets the caller in who has this session.
    ///
    /// # Errors
    /// It has ended.
    pub async fn admit_session(&self, token: &str, address: IpAddr) -> Result<CallerAdmission, ApiError> {
        self.identify(RequestCredential::Session(token), address).await
    }

    async fn identify(
        &self,
        credential: RequestCredential<'_>,
        address: IpAddr,
    ) -> Result<CallerAdmission, ApiError> {
        let credential = match credential {
            RequestCredential::Nothing => {
                let grant = self.hub().of(Caller::Anonymous, Source::Rest).confined_to(self.of_anonymous());
                // The audit has nothing else of whoever changes users of an open hub.
                return Ok(CallerAdmission::of(grant.at_address(address), Holder::Anonymous));
            }
            RequestCredential::Bearer(token) if self.is_local(token, address) => {
                let grant = self.hub().of(Caller::Program, Source::Rest);
                return Ok(CallerAdmission::of(grant, Holder::Program));
            }
            RequestCredential::Bearer(token) if may_be_devices(token)? => {
                return self.admit_device(token, address).await;
            }
            RequestCredential::Bearer(token) => directory::Credential::Bearer(token),
            RequestCredential::Session(token) => directory::Credential::Session(token),
        };
        let identity = self.directory().identify(credential, self.hub().clock.now(), address)?;
        let grant = self.hub().of_identity(&identity, Source::Rest);
        Ok(CallerAdmission::of(grant, Holder::Known(Box::new(identity))))
    }

    /// Lets a device in by its token. Nothing is read of the store where the twin is in memory and the token was shown
    /// before.
    async fn admit_device(&self, token: &str, address: IpAddr) -> Result<CallerAdmission, ApiError> {
        let TokenHolder { reach, out_of_service } =
            match self.hub().token_holders.present(&self.tokens, token) {
                Some(holder) => holder,
                None => match self.hub().token_holders.find(self.hub(), &self.tokens, token).await? {
                    Some(holder) => holder,
                    // One of other programs says that it is none of ours.
                    None => {
                        return Err(Secret::parse(token)
                            .map_or_else(Unidentified::from, |_| Unidentified::Key)
                            .into());
                    }
                },
            };
        if let Some(refusal) = out_of_service {
            return Err(HubError::Refused(refusal).into());
        }
        let grant = self.hub().of_device(&reach, Source::Rest).at_address(address);
        Ok(CallerAdmission::of(grant, Holder::Device(Box::new(reach))))
    }

    /// Lets a device in by the certificate of its connection. One that counts for no device is as good as none.
    async fn admit_certificate(
        &self,
        certificate: &Arc<PeerCertificate>,
        request: &HttpRequest,
        address: IpAddr,
    ) -> Result<CallerAdmission, ApiError> {
        let found = self.hub().certificates.identify(certificate, &[], self.hub().clock.now()).await;
        let refusal = match found {
            Ok(CertifiedDevice { device, by }) => {
                let reach = device.access.reach.clone();
                let grant = self.hub().of_device(&reach, Source::Rest).at_address(address);
                request.extensions_mut().insert(by);
                return Ok(CallerAdmission::of(grant, Holder::Device(Box::new(reach))));
            }
            Err(refusal) => refusal,
        };
        let stranger = self.identify(RequestCredential::Nothing, address).await?;
        if stranger.grant.demand(Permission::Read).is_err() {
            self.hub().certificates.log_refusal(certificate, address, &refusal);
        }
        Ok(CallerAdmission { refused_certificate: Some(refusal), ..stranger })
    }

    /// The grant by which a device registers itself with a provisioning key: by the rights of the key's maker.
    #[must_use]
    pub fn grant_of_maker(&self, with: &Identity, maker: &ProvisioningUse) -> Grant {
        let ProvisioningUse { rights, owner, quota, .. } = maker;
        let maker = self.directory().provisioner(with, rights.clone(), *owner, *quota);
        self.hub().of_identity(&maker, Source::Rest)
    }

    /// Is it the key for this machine's own command line? From elsewhere it counts for nothing.
    fn is_local(&self, token: &str, address: IpAddr) -> bool {
        self.local_key.as_ref().is_some_and(|key| key.is(token, address))
    }
}

impl CallerAdmission {
    /// The admission of this holder.
    #[must_use]
    pub fn of(grant: Grant, holder: Holder) -> Self {
        Self { grant, holder, refused_certificate: None }
    }

    /// May the caller do no more than anybody who reaches the hub?
    #[must_use]
    pub fn is_stranger(&self) -> bool {
        self.grant.demand(Permission::Read).is_err() && matches!(self.holder, Holder::Anonymous)
    }

    /// Goes on where the caller has `permission`.
    ///
    /// # Errors
    /// They do not: who has no name may get it by signing in.
    pub fn demand(&self, permission: Permission) -> Result<(), ApiError> {
        if self.grant.demand(permission).is_ok() {
            return Ok(());
        }
        if let Some(refusal) = &self.refused_certificate {
            return Err(ApiError::Certificate(refusal.clone()));
        }
        Err(match &self.holder {
            Holder::Anonymous | Holder::Program => ApiError::SignIn(permission),
            // Their role has it, and their scope takes it away.
            Holder::Known(identity) if identity.rights.permissions.contain(permission) => {
                HubError::Scoped.into()
            }
            Holder::Known(identity) => ApiError::Lacks { permission, role: identity.rights.role },
            Holder::Device(_) => ApiError::Lacks { permission, role: Role::Device },
            Holder::Dialect(caller) => ApiError::Lacks { permission, role: caller.role },
        })
    }
}

/// May a bearer token be a device's? Those that people choose look like anything, so it can be all that is no other key.
///
/// # Errors
/// It begins like one of the hub's and is not whole.
fn may_be_devices(token: &str) -> Result<bool, Unidentified> {
    if !token.starts_with("twh_") {
        return Ok((token::SHORTEST..=token::LONGEST).contains(&token.len()));
    }
    Ok(Secret::parse(token)?.kind() == SecretKind::Device)
}

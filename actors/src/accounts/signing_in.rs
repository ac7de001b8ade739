//! The way in: set-up, sign-in, registration, and the way out.

use std::net::IpAddr;
use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use tokio::sync::oneshot;
use twinhub_access::limits::{Limited, Try};
use twinhub_access::name::login_key;
use twinhub_access::password::{About, PasswordHash, PasswordPolicy};
use twinhub_access::totp::AcceptedCode;
use twinhub_access::user::UserSource;
use twinhub_access::{
    Action, AuditEntry, Role, ScopeWish, SecretId, Session, SessionId, SessionKind, SessionToken, User,
    UserId,
};
use twinhub_domain::{Json, Timestamp};

use super::hashing::{PasswordCheck, random};
use super::trail::{Reason, entry, own_entry, target_of};
use super::{Accounts, RegistrationPolicy, answer, durable, external, free, links, new_session_id};
use crate::clock::new_id;
use crate::messages::accounts::{
    AccountRefusal, GivenInvitation, NewUser, Peer, Register, SessionView, SetUp, SetUpToken, SignIn,
    SignInExternally, SignOut, SignedIn, TypedCode, UserView,
};

/// Sessions of a user at once; the one that was not seen for the longest time ends for a new one.
const MOST_SESSIONS: usize = 100;

pub(super) type Reply = oneshot::Sender<Result<SignedIn, AccountRefusal>>;

/// A user who is being let in.
pub(super) struct Entering {
    pub user: User,
    /// The user is to be written, with these entries of the audit.
    pub written: Option<Vec<AuditEntry>>,
    /// Else they had signed in before.
    pub is_new: bool,
    /// The invitation that is used up by it.
    pub uses: Option<SecretId>,
    pub recovery_codes_left: Option<usize>,
    pub peer: Peer,
}

/// A way to register.
struct Registering {
    role: Role,
    scope: ScopeWish,
    source: UserSource,
    /// The invitation.
    uses: Option<SecretId>,
}

/// A user who gave a name and a password.
struct Presented {
    tried: Try,
    user: Option<UserId>,
    /// The hash that the password was checked against.
    kept: Option<PasswordHash>,
    code: Option<TypedCode>,
    peer: Peer,
}

/// Is a user who is disabled told so, by the right password? Clients that show JSON web tokens know the answer.
fn tells_disabled(peer: &Peer) -> bool {
    peer.shows == SessionKind::WebTokens
}

impl Accounts {
    /// Looks whether a new user can be had, before a hash is spent on it. The password of one in the environment is taken
    /// as it is where other machines cannot reach the hub.
    pub(super) fn check_new(&self, user: &NewUser, source: UserSource) -> Result<(), AccountRefusal> {
        let about = About { name: &user.name, email: user.email.as_ref() };
        if source != UserSource::Environment || !self.settings.only_loopback {
            PasswordPolicy::new(self.settings.only_loopback, false).check(&user.password, about)?;
        }
        self.people.check_free(UserId(uuid::Uuid::nil()), &user.name, user.email.as_ref())
    }

    /// A new user.
    pub(super) fn new_user(
        &self,
        new: NewUser,
        role: Role,
        source: UserSource,
        password: PasswordHash,
    ) -> Result<User, AccountRefusal> {
        let NewUser { name, email, display_name, scope, password: _ } = new;
        let id = UserId(new_id());
        self.people.check_free(id, &name, email.as_ref())?;
        let user = User::new(id, name, (role, scope.of(Some(id))), source, self.clock.now())?;
        Ok(User { email, display_name, password: Some(password), ..user })
    }

    /// Is it the token of the first start, in its time?
    fn check_set_up(&self, token: &SetUpToken) -> Result<(), AccountRefusal> {
        if !self.people.is_empty() {
            return Err(AccountRefusal::IsSetUp);
        }
        let now = self.clock.now();
        let is_good = self.set_up.as_ref().is_some_and(|link| now < link.until && link.hash == token.hash());
        if is_good { Ok(()) } else { Err(AccountRefusal::SetUpToken) }
    }

    fn set_up(&mut self, SetUp { token, user, peer, reply }: SetUp, ctx: &mut Context<Self>) {
        if let Err(refusal) = self.check_set_up(&token) {
            if refusal == AccountRefusal::SetUpToken {
                self.refused.note(self.clock.now(), peer.address, None, Reason::SetUpToken);
            }
            return answer(reply, Err(refusal));
        }
        if let Err(refusal) = self.check_new(&user, UserSource::Setup) {
            return answer(reply, Err(refusal));
        }
        let hashed = self.hashing.new_hash(user.password.clone(), None);
        ctx.spawn(hashed.into_actor(self).map(move |hashed, this, ctx| {
            // Another may have been faster with the same link.
            let made = this.check_set_up(&token).and(hashed);
            let made = made.and_then(|hash| this.new_user(user, Role::Admin, UserSource::Setup, hash));
            this.enter_new(made, Action::HubSetUp, None, peer, reply, ctx);
        }));
    }

    /// The way by which somebody registers who comes with this invitation, or without one.
    fn registering(
        &self,
        may_be_first: bool,
        invitation: Option<&GivenInvitation>,
    ) -> Result<Registering, AccountRefusal> {
        let by = |role| {
            // Strangers have what is theirs; the first user has the hub.
            let scope = if role == Role::Admin { ScopeWish::default() } else { ScopeWish::Own };
            Registering { role, scope, source: UserSource::Registration, uses: None }
        };
        match (self.people.is_empty(), self.settings.registration, invitation) {
            (false, _, Some(invitation)) => {
                let (key, role, scope) = links::invited(self, invitation, self.clock.now())?;
                let (uses, scope) = (Some(key.secret.id), ScopeWish::Scope(scope));
                Ok(Registering { role, scope, source: UserSource::Invitation, uses })
            }
            (true, _, _) if may_be_first => Ok(by(Role::Admin)),
            (false, RegistrationPolicy::Open, None) => Ok(by(Role::Operator)),
            (false, RegistrationPolicy::Invite, None) => Err(AccountRefusal::InvitationNeeded),
            (true, _, _) | (false, RegistrationPolicy::Closed, None) => {
                Err(AccountRefusal::RegistrationClosed)
            }
        }
    }

    fn register(&mut self, register: Register, ctx: &mut Context<Self>) {
        let Register { user, invitation, may_be_first, peer, reply } = register;
        let now = self.clock.now();
        let by = self.registering(may_be_first, invitation.as_ref());
        if let Err(refusal) = by.and_then(|by| self.check_new(&user, by.source)) {
            return answer(reply, Err(refusal));
        }
        // Invitations are limited by those who give them.
        if invitation.is_none() && !self.registrations.may(peer.address, now) {
            return answer(reply, Err(AccountRefusal::TooManyRegistrations));
        }
        let hashed = self.hashing.new_hash(user.password.clone(), None);
        ctx.spawn(hashed.into_actor(self).map(move |hashed, this, ctx| {
            // The first user may have come meanwhile, or another by the same invitation.
            let by = this.registering(may_be_first, invitation.as_ref());
            let uses = by.as_ref().ok().and_then(|by| by.uses.clone());
            let made = by.and_then(|Registering { role, scope, source, .. }| {
                this.new_user(NewUser { scope, ..user }, role, source, hashed?)
            });
            this.enter_new(made, Action::UserRegistered, uses, peer, reply, ctx);
        }));
    }

    fn enter_new(
        &mut self,
        made: Result<User, AccountRefusal>,
        action: Action,
        uses: Option<SecretId>,
        peer: Peer,
        reply: Reply,
        ctx: &mut Context<Self>,
    ) {
        match made {
            Ok(user) => {
                let written = Some(vec![own_entry(&user, self.clock.now(), action, peer.address)]);
                self.enter(
                    Entering { user, written, is_new: true, uses, recovery_codes_left: None, peer },
                    reply,
                    ctx,
                );
            }
            Err(refusal) => answer(reply, Err(refusal)),
        }
    }

    fn sign_in(&mut self, sign_in: SignIn, ctx: &mut Context<Self>) {
        let SignIn { login, password, code, peer, reply } = sign_in;
        let now = self.clock.now();
        let user = self.people.sign_in_as(&login);
        let is_last_admin = user.is_some_and(|user| self.people.is_last_admin(user));
        let account = user.map_or_else(|| login_key(&login), |user| user.name.key());
        let (kept, user) = match user {
            Some(user) if !user.disabled || tells_disabled(&peer) => (user.password.clone(), Some(user.id)),
            _ => (None, None),
        };
        let tried = match self.limits.begin(peer.address, &account, is_last_admin, now) {
            Ok(tried) => tried,
            Err(limited) => {
                self.refused.note_limited(now, peer.address);
                return answer(reply, Err(limited.into()));
            }
        };
        let checked = self.hashing.check(password, kept.clone());
        let presented = Presented { tried, user, kept, code, peer };
        ctx.spawn(checked.into_actor(self).map(move |checked, this, ctx| {
            let entering = match checked {
                Ok(check) => this.let_in(check, presented),
                Err(refusal) => {
                    this.not_judged(Some(presented.tried), &refusal);
                    Err(refusal)
                }
            };
            match entering {
                Ok(entering) => this.enter(entering, reply, ctx),
                Err(refusal) => answer(reply, Err(refusal)),
            }
        }));
    }

    /// Judges the password and the code that somebody gave.
    fn let_in(&mut self, check: PasswordCheck, presented: Presented) -> Result<Entering, AccountRefusal> {
        let Presented { tried, user, kept, code, peer } = presented;
        let now = self.clock.now();
        // The user as they are now: they may have been changed while the password was checked.
        let user = user.and_then(|id| self.people.get(id)).cloned();
        let is_same = |user: &User| user.password == kept;
        let Some(mut user) = user.clone().filter(|user| check.is_right && is_same(user)) else {
            self.refused.note(now, peer.address, user.as_ref(), Reason::Credentials);
            return Err(AccountRefusal::Credentials);
        };
        if user.disabled {
            self.refused.note(now, peer.address, Some(&user), Reason::Credentials);
            return Err(match tells_disabled(&peer) {
                true => AccountRefusal::Disabled,
                false => AccountRefusal::Credentials,
            });
        }
        let mut recovery_codes_left = None;
        let mut is_changed = check.renewed.is_some();
        if let Some(totp) = &mut user.totp {
            let code = code.ok_or(AccountRefusal::CodeNeeded)?;
            match totp.accept(&code.0, now) {
                Some(AcceptedCode::Code) => {}
                Some(AcceptedCode::Recovery { left }) => recovery_codes_left = Some(left),
                None => {
                    self.refused.note(now, peer.address, Some(&user), Reason::Code);
                    return Err(AccountRefusal::Code);
                }
            }
            is_changed = true; // a code is taken once
        }
        self.limits.succeeded(tried, now);
        user.password = check.renewed.or(user.password);
        let written = is_changed.then(Vec::new);
        Ok(Entering { user, written, is_new: false, uses: None, recovery_codes_left, peer })
    }

    /// Begins a session. Where it is one of more rights than before, those before it end.
    pub(super) fn enter(&mut self, entering: Entering, reply: Reply, ctx: &mut Context<Self>) {
        let Entering { user, written, is_new, uses, recovery_codes_left, peer } = entering;
        let now = self.clock.now();
        let token = match random() {
            Ok(random) => SessionToken::new(random),
            Err(refusal) => return answer(reply, Err(refusal)),
        };
        let session = Session::begin(new_session_id(), &token, user.id, (peer.address, &peer.agent), now);
        let session = Session { kind: peer.shows, ..session };
        let over = if is_new { None } else { self.session_too_many(user.id) };
        let gains = self.gains(&user);
        let signed_in = own_entry(&user, now, Action::SignedIn, peer.address);
        let signed_in = match recovery_codes_left {
            Some(left) => {
                let left = Json::from(i64::try_from(left).unwrap_or(i64::MAX));
                signed_in.with_detail([("recovery_codes_left", left)].into_iter().collect())
            }
            None => signed_in,
        };
        let store = Arc::clone(&self.store);
        let (kept_user, kept_session, used) = (user.clone(), session.clone(), uses.clone());
        let write = async move {
            // First of all: where it ends in the midst, no invitation counts twice.
            if let Some(used) = used
                && !durable(|| store.remove_key(&used, &[])).await?
            {
                return Err(AccountRefusal::Invitation);
            }
            if let Some(audit) = written {
                if gains {
                    durable(|| store.remove_sessions_of(kept_user.id, None, &[])).await?;
                }
                free(durable(|| store.put_user(&kept_user, &audit)).await?, &kept_user.name)?;
            }
            // From here on the user is stored, with or without a session.
            Ok(begin(&*store, over, &kept_session, &[signed_in]).await.map(|()| over))
        };
        let apply = move |this: &mut Self, begun: Result<Option<SessionId>, AccountRefusal>| {
            if gains {
                this.directory.end_sessions_of(user.id, None);
            }
            if let Some(used) = &uses {
                this.directory.end_key(used);
            }
            this.put_user(user.clone());
            let over = begun?;
            let ends_at = this.directory.begin(session.clone(), &user, over);
            let session = SessionView::of(&session, ends_at, Some(session.id));
            Ok(SignedIn { token, session, user: UserView::of(&user), recovery_codes_left })
        };
        self.commit(ctx, write, apply, reply);
    }

    /// The session that a user has to give for another, where they have as many as they may.
    fn session_too_many(&self, user: UserId) -> Option<SessionId> {
        let sessions = self.directory.sessions_of(user);
        let oldest = || sessions.iter().map(|(session, _)| session).min_by_key(|session| session.last_seen);
        (sessions.len() >= MOST_SESSIONS).then(oldest).flatten().map(|session| session.id)
    }

    /// Takes a user in as they were committed.
    pub(super) fn put_user(&mut self, user: User) {
        self.set_up = None;
        self.directory.put_user(&user);
        self.people.put(user);
    }

    /// Asks the limits for a check of the present password of a user who is signed in.
    pub(super) fn try_own_password(
        &mut self,
        user: &User,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Try, Limited> {
        let is_last_admin = self.people.is_last_admin(user);
        let tried = self.limits.begin(address, &user.name.key(), is_last_admin, now);
        if tried.is_err() {
            self.refused.note_limited(now, address);
        }
        tried
    }

    /// Takes a try back that nobody has judged, as `refusal` says.
    pub(super) fn not_judged(&mut self, tried: Option<Try>, refusal: &AccountRefusal) {
        let is_fault = matches!(refusal, AccountRefusal::Busy | AccountRefusal::System(_));
        if let Some(tried) = tried.filter(|_| is_fault) {
            self.limits.take_back(tried);
        }
    }
}

/// Writes a new session down, and removes another for it.
async fn begin(
    store: &dyn twinhub_store::AccessStore,
    over: Option<SessionId>,
    session: &Session,
    audit: &[AuditEntry],
) -> Result<(), AccountRefusal> {
    if let Some(over) = over {
        durable(|| store.remove_session(over, &[])).await?;
    }
    match durable(|| store.put_session(session, audit)).await? {
        true => Ok(()),
        false => Err(AccountRefusal::UnknownUser),
    }
}

impl Handler<SetUp> for Accounts {
    type Result = ();

    fn handle(&mut self, set_up: SetUp, ctx: &mut Context<Self>) {
        self.set_up(set_up, ctx);
    }
}

impl Handler<Register> for Accounts {
    type Result = ();

    fn handle(&mut self, register: Register, ctx: &mut Context<Self>) {
        self.register(register, ctx);
    }
}

impl Handler<SignIn> for Accounts {
    type Result = ();

    fn handle(&mut self, sign_in: SignIn, ctx: &mut Context<Self>) {
        self.sign_in(sign_in, ctx);
    }
}

impl Handler<SignInExternally> for Accounts {
    type Result = ();

    fn handle(&mut self, sign_in: SignInExternally, ctx: &mut Context<Self>) {
        external::sign_in(self, sign_in, ctx);
    }
}

impl Handler<SignOut> for Accounts {
    type Result = ();

    fn handle(&mut self, SignOut { by, reply }: SignOut, ctx: &mut Context<Self>) {
        let (Some(user), Some(session)) = (by.user.and_then(|id| self.people.get(id)), by.session) else {
            return answer(reply, Err(AccountRefusal::NotSignedIn));
        };
        let entry = entry(&by, self.clock.now(), Action::SignedOut, &target_of(user));
        let store = Arc::clone(&self.store);
        let write =
            async move { durable(|| store.remove_session(session, std::slice::from_ref(&entry))).await };
        let apply = move |this: &mut Self, _was_there: bool| {
            this.directory.end_session(session);
            Ok(())
        };
        self.commit(ctx, write, apply, reply);
    }
}

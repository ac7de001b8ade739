//! The accounts over both stores, and a clock that is moved by hand.

mod changing;
mod ending;
mod external;
mod factors;
mod failing;
mod first;
mod granted;
mod limits;
mod secrets;

use std::net::{IpAddr, Ipv4Addr};

use actix::Handler;
use actix::dev::ToEnvelope;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use twinhub_access::audit::AuditRecord;
use twinhub_access::password::Password;
use twinhub_access::role::{Permission, Permissions, Role};
use twinhub_access::user::UserSource;
use twinhub_access::{
    Action, AuditOutcome, DisplayName, ScopeWish, Session, SessionKind, SessionToken, UserName,
};
use twinhub_store::sql::{SqlOptions, SqlStore};
use twinhub_store::{MemoryStore, Store};
use twinhub_testkit::{FailingStore, ManualClock, ask, within};

use super::directory::{Credential, Identity, Unidentified};
use super::*;
use crate::messages::accounts::{
    AddUser, Asker, AuditFilter, ChangeUser, KeyMade, MakeKey, NewKey, NewUser, Peer, SetUp, SignIn, SignOut,
    SignedIn, TypedCode, UserEdit,
};

/// 2026-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_767_225_600_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const GOOD: &str = "correct horse battery";

/// Started accounts over a store.
struct Scene {
    store: Arc<FailingStore>,
    clock: Arc<ManualClock>,
    settings: AccountSettings,
    accounts: Addr<Accounts>,
    directory: Arc<Directory>,
    token: Option<SetUpToken>,
    /// The turns of hashes.
    turns: Arc<Semaphore>,
    _folder: Option<TempDir>,
}

/// A message, and the answer to it.
trait Answered<T>: Sized {
    fn with(make: impl FnOnce(oneshot::Sender<T>) -> Self) -> (Self, oneshot::Receiver<T>) {
        let (reply, answer) = oneshot::channel();
        (make(reply), answer)
    }
}

impl<M, T> Answered<T> for M {}

impl Scene {
    async fn over(store: Arc<FailingStore>, clock: Arc<ManualClock>, settings: AccountSettings) -> Self {
        let loaded = Accounts::load(store.clone(), clock.clone(), settings).await.unwrap();
        let LoadedAccounts { accounts, directory, set_up_token: token } = loaded;
        let turns = Arc::clone(&accounts.hashing.turns);
        Self { store, clock, settings, accounts: accounts.start(), directory, token, turns, _folder: None }
    }

    async fn in_memory(settings: AccountSettings) -> Self {
        let store = FailingStore::around(Arc::new(MemoryStore::default()));
        Self::over(store, ManualClock::at(Timestamp::from_millis(NEW_YEAR)), settings).await
    }

    /// One over each store.
    async fn each() -> [Self; 2] {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("twinhub.db").display());
        let store = FailingStore::around(SqlStore::open(&url, SqlOptions::default()).await.unwrap());
        let clock = ManualClock::at(Timestamp::from_millis(NEW_YEAR));
        let durable = Self::over(store, clock, AccountSettings::default()).await;
        [Self::in_memory(AccountSettings::default()).await, Self { _folder: Some(folder), ..durable }]
    }

    /// As after a crash of the program.
    async fn again(self) -> Self {
        let store = self.store.cut_off().await;
        let again = Self::over(store, self.clock, self.settings).await;
        Self { _folder: self._folder, ..again }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The answer to a message that has a reply in it.
    async fn answer<M, T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> M) -> T
    where
        M: Message<Result = ()> + Send + 'static,
        Accounts: Handler<M>,
        Context<Accounts>: ToEnvelope<Accounts, M>,
    {
        let (message, answer) = M::with(make);
        crate::mailbox::try_send_unbounded(&self.accounts, message)
            .unwrap_or_else(|_| panic!("the accounts are gone"));
        within("the answer of the accounts", answer).await.unwrap()
    }

    async fn sign_in_from(
        &self,
        peer: Peer,
        login: &str,
        password: &str,
        code: Option<&str>,
    ) -> Result<SignedIn, AccountRefusal> {
        let (login, password) = (login.into(), Password::typed(password).unwrap());
        let code = code.map(|code| TypedCode(code.into()));
        self.answer(|reply| SignIn { login, password, code, peer, reply }).await
    }

    async fn sign_in(&self, login: &str, password: &str) -> Result<SignedIn, AccountRefusal> {
        self.sign_in_from(peer(1), login, password, None).await
    }

    /// The first user, an admin, signed in.
    async fn ann(&self) -> SignedIn {
        let token = self.token.clone().unwrap();
        self.answer(|reply| SetUp { token, user: new("ann"), peer: peer(1), reply }).await.unwrap()
    }

    async fn add(&self, name: &str, role: Role) -> UserView {
        self.answer(|reply| AddUser { user: new(name), role, by: program(), reply }).await.unwrap()
    }

    async fn edit(&self, user: UserId, change: UserEdit, by: Asker) -> Result<UserView, AccountRefusal> {
        self.answer(|reply| ChangeUser { user, change, by, reply }).await
    }

    async fn sign_out(&self, by: Asker) -> Result<(), AccountRefusal> {
        self.answer(|reply| SignOut { by, reply }).await
    }

    async fn make_key(&self, name: &str, role: Role, by: Asker) -> Result<KeyMade, AccountRefusal> {
        let scope = ScopeWish::default();
        let key = NewKey { name: DisplayName::parse(name).unwrap(), role, scope, life_ms: None };
        self.answer(|reply| MakeKey { key, by, reply }).await
    }

    fn by_session(&self, signed_in: &SignedIn) -> Result<Identity, Unidentified> {
        let text = signed_in.token.reveal();
        self.directory.identify(Credential::Session(&text), self.now(), address(1))
    }

    fn by_key(&self, made: &KeyMade) -> Result<Identity, Unidentified> {
        self.directory.identify(Credential::Bearer(made.secret.reveal()), self.now(), address(1))
    }

    fn changes(&self) -> u64 {
        *self.directory.changes().borrow()
    }

    /// Has the accounts do what they do now and then.
    async fn look(&self) {
        ask(&self.accounts, Look).await;
        ask(&self.accounts, NoteUses).await;
        ask(&self.accounts, ListUsers { offset: 0, limit: 0 }).await; // behind what they write
    }

    /// The audit, the oldest first.
    async fn audit(&self) -> Vec<AuditRecord> {
        let query = AuditFilter { limit: 1_000, ..AuditFilter::default() };
        let mut records = self.answer(|reply| ListAudit { query, reply }).await.unwrap();
        records.reverse();
        records
    }

    /// The caller, action, target and outcome of each entry.
    async fn done(&self) -> Vec<(String, Action, String, AuditOutcome)> {
        let entries = self.audit().await.into_iter().map(|record| record.entry);
        entries.map(|entry| (entry.who.into(), entry.action, entry.target.into(), entry.outcome)).collect()
    }
}

fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

fn peer(last: u8) -> Peer {
    Peer { address: address(last), agent: "Firefox".into(), shows: SessionKind::Cookie }
}

fn new(name: &str) -> NewUser {
    let password = Password::typed(GOOD).unwrap();
    NewUser {
        name: UserName::parse(name).unwrap(),
        email: None,
        display_name: DisplayName::default(),
        scope: ScopeWish::default(),
        password,
    }
}

/// The program itself, as the command line is.
fn program() -> Asker {
    Asker {
        name: "".into(),
        user: None,
        session: None,
        address: None,
        permissions: Permissions::all(),
        is_everywhere: true,
        source: UserSource::CommandLine,
    }
}

/// A user who is signed in.
fn asker(identity: &Identity) -> Asker {
    Asker {
        name: identity.caller.name().into(),
        user: identity.user,
        session: identity.session,
        address: Some(identity.address),
        permissions: identity.rights.permissions,
        is_everywhere: identity.rights.scopes.are_all(),
        source: UserSource::Admin,
    }
}

#[actix::test]
async fn a_name_and_a_password_open_a_session() {
    for scene in Scene::each().await {
        scene.ann().await;
        scene.add("Bob", Role::Operator).await;
        let in_time = scene.sign_in(" bOB", GOOD).await.unwrap();
        let identity = scene.by_session(&in_time).unwrap();
        assert_eq!(identity.caller.name(), "user:Bob");
        assert_eq!((identity.user, identity.session), (Some(in_time.user.id), Some(in_time.session.id)));
        assert_eq!(identity.rights.role, Role::Operator);
        assert!(identity.rights.permissions.contain(Permission::Account));
        assert!(!identity.rights.permissions.contain(Permission::Users));
        let wrong = scene.sign_in("bob", "correct horse batterie").await.unwrap_err();
        let unknown = scene.sign_in("eve", GOOD).await.unwrap_err();
        assert_eq!((&wrong, &unknown), (&AccountRefusal::Credentials, &AccountRefusal::Credentials));
        let other = SessionToken::new([7; 32]);
        for text in ["", "x", &other.reveal(), &in_time.token.reveal().to_uppercase()] {
            let found = scene.directory.identify(Credential::Session(text), scene.now(), address(1));
            assert_eq!(found.unwrap_err(), Unidentified::Session, "{text}");
        }
        let again = scene.sign_in("bob", GOOD).await.unwrap();
        assert_ne!((again.token, again.session.id), (in_time.token, in_time.session.id), "each a new one");
        let signed_in =
            |outcome, who: &str, target: &str| (who.to_owned(), Action::SignedIn, target.to_owned(), outcome);
        let (ann, bob) = ("user:ann".to_owned(), "user:Bob".to_owned());
        let expected = [
            (ann.clone(), Action::HubSetUp, ann.clone(), AuditOutcome::Done),
            signed_in(AuditOutcome::Done, "user:ann", "user:ann"),
            (String::new(), Action::UserCreated, bob.clone(), AuditOutcome::Done),
            signed_in(AuditOutcome::Done, "user:Bob", "user:Bob"),
        ];
        let mut done = scene.done().await;
        assert_eq!(done[..4], expected);
        done[4..].sort_by_key(|(who, ..)| who.clone());
        let rest = [
            signed_in(AuditOutcome::Refused, "", "user:Bob"),
            signed_in(AuditOutcome::Refused, "", ""), // a name that nobody has may be a password
            signed_in(AuditOutcome::Done, "user:Bob", "user:Bob"),
        ];
        assert_eq!(done[4..], rest);
    }
}

#[actix::test]
async fn a_restart_keeps_sessions_and_keys() {
    for scene in Scene::each().await {
        let ann = scene.ann().await;
        let identity = scene.by_session(&ann).unwrap();
        let key = scene.make_key("ci", Role::Viewer, asker(&identity)).await.unwrap();
        scene.clock.advance(7 * HOUR_MS);
        let _seen = scene.by_session(&ann).unwrap();
        let used = scene.by_key(&key).unwrap();
        assert_eq!((used.caller.name(), used.rights.role), ("key:ann/ci".to_owned(), Role::Viewer));
        scene.look().await;
        let scene = scene.again().await;
        assert!(scene.token.is_none() && scene.directory.has_users());
        scene.clock.advance(7 * HOUR_MS);
        let identity = scene.by_session(&ann).unwrap();
        assert_eq!(identity.user, Some(ann.user.id), "its use was written down");
        assert_eq!(scene.by_key(&key).unwrap().rights, used.rights);
        let of = KeysOf::Anybody;
        let keys = ask(&scene.accounts, ListKeys { of, by: program() }).await.unwrap();
        let used = Some((scene.now(), address(1)));
        assert_eq!(keys.iter().map(|key| key.last_used).collect::<Vec<_>>(), [used]);
        assert_eq!(scene.sign_in("ann", GOOD).await.unwrap().user.id, ann.user.id);
    }
}

/// A request a second, and one write a minute.
#[actix::test]
async fn uses_are_written_once_a_minute() {
    let scene = Scene::in_memory(AccountSettings::default()).await;
    let ann = scene.ann().await;
    let stored = async || {
        let sessions = Arc::clone(&scene.store).access().sessions(ann.user.id).await.unwrap();
        sessions[0].last_seen.millis() - NEW_YEAR
    };
    let mut seen = Vec::new();
    for _ in 0..150 {
        scene.clock.advance(1_000);
        let _identity = scene.by_session(&ann).unwrap();
        scene.look().await;
        seen.push(stored().await);
    }
    seen.dedup();
    assert_eq!(seen, [0, MINUTE_MS, 2 * MINUTE_MS]);
}

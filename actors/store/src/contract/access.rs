//! Users, keys, sessions and the audit, in every store.

use std::net::IpAddr;
use std::sync::Arc;

use super::samples::{self, entry, user};
use super::support::{NOON, SqlFixture};
use crate::{
    AccessStore, AuditPage, AuditQuery, KeyStore, KeyUse, MemoryStore, SessionStore, SqlStore, UserStore,
    UserWrite,
};
use twinhub_access::name::login_key;
use twinhub_access::secret::RANDOM_BYTES;
use twinhub_access::session::TOKEN_BYTES;
use twinhub_access::{
    Action, AuditEntry, AuditOutcome, AuditRecord, DisplayName, Email, Key, KeyWish, Role, Scope, Session,
    SessionId, SessionKind, SessionToken, User, UserName,
};
use twinhub_domain::Timestamp;
use uuid::Uuid;

/// A store under test; a database is opened anew each time that it is asked for.
pub enum AccessFixture {
    Memory(Arc<MemoryStore>),
    Sql(SqlFixture),
}

impl AccessFixture {
    pub fn both() -> [Self; 2] {
        [Self::Memory(Arc::default()), Self::Sql(SqlFixture::new())]
    }

    pub async fn store(&self) -> Arc<dyn AccessStore> {
        match self {
            Self::Memory(store) => Arc::clone(store) as Arc<dyn AccessStore>,
            Self::Sql(fixture) => fixture.open().await,
        }
    }
}

pub fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(NOON + ms)
}

pub fn here() -> IpAddr {
    "2001:db8::1".parse().unwrap()
}

pub fn key(number: u8, owner: Option<&User>) -> Key {
    let name = DisplayName::parse("ci").unwrap();
    let wish = KeyWish { name, role: Role::Viewer, scope: Scope::Groups([].into()), life_ms: None };
    let random = [number; RANDOM_BYTES];
    match owner {
        Some(owner) => Key::personal(wish, owner, 0, &random, at(number.into())).unwrap().0,
        None => Key::service(wish, &random, at(number.into())).unwrap().0,
    }
}

pub fn session(number: u8, user: &User) -> Session {
    let (id, token) = (SessionId(Uuid::from_u128(number.into())), SessionToken::new([number; TOKEN_BYTES]));
    let kind = if number.is_multiple_of(2) { SessionKind::WebTokens } else { SessionKind::Cookie };
    Session { kind, ..Session::begin(id, &token, user.id, (here(), "Firefox"), at(number.into())) }
}

pub fn all() -> AuditQuery {
    AuditQuery { limit: 1_000, ..AuditQuery::default() }
}

async fn entries(store: &dyn AccessStore) -> Vec<AuditEntry> {
    store.audit(&all()).await.unwrap().records.into_iter().map(|record| record.entry).collect()
}

#[tokio::test]
async fn users_have_names_and_addresses_of_their_own() {
    for fixture in AccessFixture::both() {
        let store = fixture.store().await;
        let email = |text| Some(Email::parse(text).unwrap());
        let ann = User { email: email("Ann@example.com"), ..user(1, "Bu\u{308}ro") };
        let told = [entry(1, "user:root", Action::UserCreated).with_address(here())];
        assert_eq!(store.put_user(&ann, &told).await.unwrap(), UserWrite::Done);
        assert_eq!(
            store.put_user(&ann, &[]).await.unwrap(),
            UserWrite::Done,
            "after an answer that got lost"
        );
        let refused = [entry(2, "user:root", Action::UserCreated)];
        for name in ["büro", "BÜRO", "BU\u{308}RO"] {
            let other = user(2, name);
            assert_eq!(store.put_user(&other, &refused).await.unwrap(), UserWrite::NameTaken, "{name}");
        }
        let other = User { email: email("ann@EXAMPLE.com"), ..user(2, "bob") };
        assert_eq!(store.put_user(&other, &refused).await.unwrap(), UserWrite::EmailTaken);
        let bob = user(2, "bob");
        assert_eq!(store.put_user(&bob, &[]).await.unwrap(), UserWrite::Done);
        assert_eq!(
            store.put_user(&user(3, "eve"), &[]).await.unwrap(),
            UserWrite::Done,
            "none has an address"
        );

        let store = fixture.store().await;
        for login in ["büro", "Bu\u{308}ro ", "ann@example.com", "ANN@example.com"] {
            assert_eq!(store.find_user(&login_key(login)).await.unwrap().as_ref(), Some(&ann), "{login}");
        }
        assert_eq!(store.find_user(&login_key("bo")).await.unwrap(), None);
        assert_eq!(store.user(bob.id).await.unwrap(), Some(bob.clone()));
        assert_eq!(store.user(user(9, "x").id).await.unwrap(), None);
        assert_eq!(store.users().await.unwrap(), [bob.clone(), ann.clone(), user(3, "eve")].map_sorted());
        assert_eq!(entries(&*store).await, told, "what was refused leaves no trace of having been done");

        let renamed = User { name: UserName::parse("carl").unwrap(), disabled: true, ..bob.clone() };
        assert_eq!(store.put_user(&renamed, &[]).await.unwrap(), UserWrite::Done);
        assert_eq!(store.find_user("bob").await.unwrap(), None);
        assert_eq!(store.find_user("carl").await.unwrap(), Some(renamed));
        let free = User { email: None, ..ann };
        assert_eq!(store.put_user(&free, &[]).await.unwrap(), UserWrite::Done);
        let taken = User { email: email("ann@example.com"), ..user(2, "carl") };
        assert_eq!(store.put_user(&taken, &[]).await.unwrap(), UserWrite::Done, "the address is free again");
    }
}

/// Users in the order of their names as they are compared.
trait MapSorted {
    fn map_sorted(self) -> Vec<User>;
}

impl<const N: usize> MapSorted for [User; N] {
    fn map_sorted(self) -> Vec<User> {
        let mut users = Vec::from(self);
        users.sort_by_key(|user| user.name.key());
        users
    }
}

#[tokio::test]
async fn a_removed_user_takes_keys_and_sessions_along() {
    for fixture in AccessFixture::both() {
        let store = fixture.store().await;
        let (ann, bob) = (user(1, "ann"), user(2, "bob"));
        for user in [&ann, &bob] {
            store.put_user(user, &[]).await.unwrap();
        }
        for key in [key(1, Some(&ann)), key(2, Some(&ann)), key(3, Some(&bob)), key(4, None)] {
            assert!(store.put_key(&key, &[]).await.unwrap());
        }
        for session in [session(1, &ann), session(2, &ann), session(3, &bob)] {
            assert!(store.put_session(&session, &[]).await.unwrap());
        }
        let told = [entry(1, "user:bob", Action::UserRemoved).with_target("user:ann")];
        assert!(store.remove_user(ann.id, &told).await.unwrap());
        assert!(!store.remove_user(ann.id, &told).await.unwrap());

        let store = fixture.store().await;
        assert_eq!(store.users().await.unwrap(), std::slice::from_ref(&bob));
        assert_eq!(store.keys(Some(ann.id)).await.unwrap(), []);
        assert_eq!(store.keys(Some(bob.id)).await.unwrap(), [key(3, Some(&bob))]);
        assert_eq!(store.keys(None).await.unwrap(), [key(4, None)]);
        assert_eq!(store.key(&key(1, Some(&ann)).secret.id).await.unwrap(), None);
        assert_eq!(store.find_session(&session(1, &ann).hash).await.unwrap(), None);
        assert_eq!(store.sessions(bob.id).await.unwrap(), [session(3, &bob)]);
        assert_eq!(entries(&*store).await, told);
        // One that was being made when its user went.
        assert!(!store.put_key(&key(5, Some(&ann)), &told).await.unwrap());
        assert!(!store.put_session(&session(5, &ann), &told).await.unwrap());
        assert_eq!(entries(&*store).await, told);
    }
}

#[tokio::test]
async fn keys_are_kept_as_they_are_made() {
    for fixture in AccessFixture::both() {
        let store = fixture.store().await;
        let ann = user(1, "ann");
        store.put_user(&ann, &[]).await.unwrap();
        let (first, second) = (key(1, Some(&ann)), key(2, Some(&ann)));
        for key in [&second, &first] {
            assert!(store.put_key(key, &[]).await.unwrap());
        }
        let store = fixture.store().await;
        assert_eq!(store.keys(Some(ann.id)).await.unwrap(), [first.clone(), second.clone()]);
        assert_eq!(store.key(&first.secret.id).await.unwrap(), Some(first.clone()));
        let used = |key: &Key, ms| KeyUse { id: key.secret.id.clone(), at: at(ms), address: here() };
        let gone = key(9, None);
        store.note_key_uses(&[used(&first, 5), used(&gone, 6), used(&first, 7)]).await.unwrap();
        store.note_key_uses(&[]).await.unwrap();
        let noted = Key { last_used: Some((at(7), here())), ..first.clone() };
        assert_eq!(store.key(&first.secret.id).await.unwrap(), Some(noted.clone()));
        // A change of it leaves its use and its secret alone.
        let narrowed = Key { scope: Scope::Own(ann.id), expires_at: at(9), ..first.clone() };
        assert!(store.put_key(&narrowed, &[]).await.unwrap());
        let expected = Key { scope: Scope::Own(ann.id), expires_at: at(9), ..noted };
        assert_eq!(store.key(&first.secret.id).await.unwrap(), Some(expected));
        let told = [entry(1, "user:ann", Action::KeyRevoked)];
        assert!(store.remove_key(&first.secret.id, &told).await.unwrap());
        assert!(!store.remove_key(&first.secret.id, &told).await.unwrap());
        assert_eq!(store.keys(Some(ann.id)).await.unwrap(), [second]);
        assert_eq!(entries(&*store).await, told);
    }
}

#[tokio::test]
async fn sessions_end_one_by_one_together_and_by_age() {
    for fixture in AccessFixture::both() {
        let store = fixture.store().await;
        let (ann, bob) = (user(1, "ann"), user(2, "bob"));
        for user in [&ann, &bob] {
            store.put_user(user, &[]).await.unwrap();
        }
        for number in 1..=4 {
            assert!(store.put_session(&session(number, &ann), &[]).await.unwrap());
        }
        assert!(store.put_session(&session(1, &ann), &[]).await.unwrap(), "after an answer that got lost");
        assert!(store.put_session(&session(9, &bob), &[]).await.unwrap());

        let store = fixture.store().await;
        assert_eq!(store.find_session(&session(2, &ann).hash).await.unwrap(), Some(session(2, &ann)));
        assert_eq!(store.find_session(&[0; 32]).await.unwrap(), None);
        let id = |number| session(number, &ann).id;
        assert_eq!(store.session(id(2)).await.unwrap(), Some(session(2, &ann)));
        store.note_sessions_seen(&[(id(2), at(1_000)), (id(77), at(1_000))]).await.unwrap();
        let seen = Session { last_seen: at(1_000), ..session(2, &ann) };
        assert_eq!(store.session(id(2)).await.unwrap(), Some(seen.clone()));

        let told = [entry(1, "user:ann", Action::SignedOut)];
        assert!(store.remove_session(id(1), &told).await.unwrap());
        assert!(!store.remove_session(id(1), &told).await.unwrap());
        assert!(store.put_session(&session(5, &ann), &[]).await.unwrap());
        assert_eq!(store.remove_sessions(&[id(1), id(5)], &[]).await.unwrap(), 1, "one is gone already");
        assert_eq!(store.remove_sessions(&[], &[]).await.unwrap(), 0);
        assert_eq!(store.remove_sessions_of(ann.id, Some(id(2)), &[]).await.unwrap(), [id(3), id(4)]);
        assert_eq!(store.sessions(ann.id).await.unwrap(), [seen]);
        assert_eq!(entries(&*store).await, told);

        // The first was made too long ago, the other was not seen for too long.
        assert_eq!(store.expire_sessions(at(0), at(2)).await.unwrap(), 0);
        assert_eq!(store.expire_sessions(at(0), at(3)).await.unwrap(), 1);
        assert_eq!(store.expire_sessions(at(10), at(0)).await.unwrap(), 1);
        assert_eq!(store.sessions(bob.id).await.unwrap(), []);
        assert_eq!(store.remove_sessions_of(bob.id, None, &[]).await.unwrap(), []);
    }
}

#[tokio::test]
async fn the_audit_is_read_by_pages_both_ways() {
    for fixture in AccessFixture::both() {
        let store = fixture.store().await;
        let detail = super::support::object(r#"{"role": "admin", "rate": 1.50}"#);
        let made: Vec<AuditEntry> = (0..25)
            .map(|n| {
                let (who, action) = match n % 3 {
                    0 => ("user:ann", Action::SignedIn),
                    1 => ("user:bob", Action::SignedIn),
                    _ => ("user:ann", Action::RoleChanged),
                };
                let entry = entry(n, who, action).with_target(&format!("user:{}", n % 2));
                entry.with_outcome(AuditOutcome::Refused).with_detail(detail.clone())
            })
            .collect();
        store.append_audit(&made[..10]).await.unwrap();
        store.append_audit(&[]).await.unwrap();
        store.append_audit(&made[10..]).await.unwrap();

        let store = fixture.store().await;
        assert_eq!(entries(&*store).await, made);
        for newest_first in [false, true] {
            let (mut query, mut found) = (AuditQuery { newest_first, limit: 10, ..all() }, Vec::new());
            let mut pages = 0;
            loop {
                let AuditPage { records, has_more } = store.audit(&query).await.unwrap();
                pages += 1;
                let last = records.last().map(|record| record.seq);
                found.extend(records);
                if !has_more {
                    break;
                }
                if newest_first {
                    query.before = last;
                } else {
                    query.since = last;
                }
                // Entries that are added meanwhile disturb nobody who goes back.
                if newest_first && pages == 1 {
                    store.append_audit(&[entry(99, "user:eve", Action::SignedIn)]).await.unwrap();
                }
            }
            assert_eq!((pages, found.len()), (3, 25));
            if newest_first {
                found.reverse();
            }
            assert!(found.is_sorted_by(|one, next| one.seq < next.seq));
            let told: Vec<AuditEntry> = found.into_iter().map(|record| record.entry).collect();
            assert_eq!(told, made);
        }
        for (query, expected) in [
            (AuditQuery { who: Some("user:ann".into()), ..all() }, 17),
            (AuditQuery { action: Some(Action::RoleChanged), ..all() }, 8),
            (AuditQuery { target: Some("user:1".into()), ..all() }, 12),
            (AuditQuery { from: Some(at(3)), to: Some(at(7)), ..all() }, 4),
            (AuditQuery { who: Some("user:bob".into()), action: Some(Action::RoleChanged), ..all() }, 0),
            (AuditQuery { limit: 0, ..all() }, 0),
        ] {
            assert_eq!(store.audit(&query).await.unwrap().records.len(), expected, "{query:?}");
        }
    }
}

#[tokio::test]
async fn old_entries_go_and_their_places_are_never_given_again() {
    for fixture in AccessFixture::both() {
        let store = fixture.store().await;
        let made: Vec<AuditEntry> = (0..700).map(|n| entry(n, "user:ann", Action::SignedIn)).collect();
        store.append_audit(&made).await.unwrap();
        assert_eq!(store.expire_audit(at(0)).await.unwrap(), 0);
        assert_eq!(store.expire_audit(at(690)).await.unwrap(), 690);
        let before = store.audit(&all()).await.unwrap().records;
        assert_eq!(before.len(), 10);
        assert_eq!(store.expire_audit(at(700)).await.unwrap(), 10);
        let store = fixture.store().await;
        store.append_audit(&made[..1]).await.unwrap();
        let records: Vec<AuditRecord> = store.audit(&all()).await.unwrap().records;
        assert_eq!(records.len(), 1);
        assert!(records[0].seq > before[9].seq, "{records:?}");
    }
}

/// The records of a user are worth nothing to somebody who has the file alone.
#[tokio::test]
async fn the_database_holds_no_secret_in_clear() {
    use crate::seal::Seal;
    use crate::{SqlOptions, Store as _};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("twinhub.db");
    let options = SqlOptions { seal: Some(Arc::new(Seal::new(&[7; 32]))), ..SqlOptions::default() };
    let store = SqlStore::open(&format!("sqlite:{}", path.display()), options).await.unwrap();
    let ann = samples::user_with_factors(1, "ann");
    store.put_user(&ann, &[]).await.unwrap();
    let (made, secret) = {
        let wish = KeyWish {
            name: DisplayName::parse("ci").unwrap(),
            role: Role::Viewer,
            scope: Scope::All,
            life_ms: None,
        };
        Key::personal(wish, &ann, 0, &[3; RANDOM_BYTES], at(0)).unwrap()
    };
    store.put_key(&made, &[]).await.unwrap();
    let token = SessionToken::new([5; TOKEN_BYTES]);
    let session = Session::begin(SessionId(Uuid::from_u128(1)), &token, ann.id, (here(), ""), at(0));
    store.put_session(&session, &[]).await.unwrap();
    assert_eq!(store.user(ann.id).await.unwrap(), Some(ann));
    store.maintain(at(1)).await.unwrap();
    store.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend(std::fs::read(path.with_extension("db-wal")).unwrap_or_default());
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
    assert!(has(b"ann"), "it is the right file");
    for secret in
        [b"argon2".as_slice(), b"GEZDGNBVGY3TQOJQ", &[5; TOKEN_BYTES], &secret.reveal().as_bytes()[20..60]]
    {
        assert!(!has(secret), "{}", String::from_utf8_lossy(secret));
    }
}

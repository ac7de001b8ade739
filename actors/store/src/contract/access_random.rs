//! The database answers as the store in memory does, whatever is done to users, keys, sessions and the audit.

use proptest::prelude::*;
use uuid::Uuid;

use super::access::{all, at, here, key, session};
use super::samples::{entry, user};
use super::support::SqlFixture;
use crate::{AccessStore, KeyUse, MemoryStore};
use twinhub_access::{Action, AuditEntry, Email, SessionId, User, UserId};

/// Users, keys and sessions have small numbers, so that steps meet.
#[derive(Clone, Debug)]
enum Step {
    PutUser { number: u8, name: u8, email: Option<u8> },
    RemoveUser(u8),
    PutKey { number: u8, owner: Option<u8> },
    UseKey(u8, i64),
    RemoveKey(u8),
    PutSession { number: u8, user: u8 },
    SeeSession(u8, i64),
    RemoveSession(u8),
    RemoveSessionsOf { user: u8, stays: Option<u8> },
    ExpireSessions(i64, i64),
    Append(i64),
    ExpireAudit(i64),
}

fn steps() -> impl Strategy<Value = Step> {
    let number = || 1..4_u8;
    let time = || -3..8_i64;
    prop_oneof![
        4 => (number(), number(), prop::option::of(number()))
            .prop_map(|(number, name, email)| Step::PutUser { number, name, email }),
        1 => number().prop_map(Step::RemoveUser),
        3 => (number(), prop::option::of(number())).prop_map(|(number, owner)| Step::PutKey { number, owner }),
        1 => (number(), time()).prop_map(|(number, ms)| Step::UseKey(number, ms)),
        1 => number().prop_map(Step::RemoveKey),
        3 => (number(), number()).prop_map(|(number, user)| Step::PutSession { number, user }),
        1 => (number(), time()).prop_map(|(number, ms)| Step::SeeSession(number, ms)),
        1 => number().prop_map(Step::RemoveSession),
        1 => (number(), prop::option::of(number()))
            .prop_map(|(user, stays)| Step::RemoveSessionsOf { user, stays }),
        1 => (time(), time()).prop_map(|(seen, made)| Step::ExpireSessions(seen, made)),
        1 => time().prop_map(Step::Append),
        1 => time().prop_map(Step::ExpireAudit),
    ]
}

/// The answer to a step.
async fn take(store: &dyn AccessStore, step: &Step) -> String {
    let told = |ms| [entry(ms, "user:root", Action::UserChanged)];
    let some = |number: u8| -> User { user(number.into(), &format!("user-{number}")) };
    let id = |number: u8| SessionId(Uuid::from_u128(number.into()));
    match *step {
        Step::PutUser { number, name, email } => {
            let email = email.map(|number| Email::parse(&format!("{number}@example.com")).unwrap());
            let user = User { email, ..user(number.into(), &format!("user-{name}")) };
            format!("{:?}", store.put_user(&user, &told(1)).await.unwrap())
        }
        Step::RemoveUser(number) => {
            format!("{}", store.remove_user(some(number).id, &told(2)).await.unwrap())
        }
        Step::PutKey { number, owner } => {
            let key = key(number, owner.map(some).as_ref());
            format!("{}", store.put_key(&key, &told(3)).await.unwrap())
        }
        Step::UseKey(number, ms) => {
            let use_of_it = KeyUse { id: key(number, None).secret.id, at: at(ms), address: here() };
            format!("{:?}", store.note_key_uses(&[use_of_it]).await.unwrap())
        }
        Step::RemoveKey(number) => {
            format!("{}", store.remove_key(&key(number, None).secret.id, &told(4)).await.unwrap())
        }
        Step::PutSession { number, user } => {
            format!("{}", store.put_session(&session(number, &some(user)), &told(5)).await.unwrap())
        }
        Step::SeeSession(number, ms) => {
            format!("{:?}", store.note_sessions_seen(&[(id(number), at(ms))]).await.unwrap())
        }
        Step::RemoveSession(number) => {
            format!("{}", store.remove_session(id(number), &told(6)).await.unwrap())
        }
        Step::RemoveSessionsOf { user, stays } => {
            let gone = store.remove_sessions_of(some(user).id, stays.map(id), &told(7)).await.unwrap();
            format!("{gone:?}")
        }
        Step::ExpireSessions(seen, made) => {
            format!("{}", store.expire_sessions(at(seen), at(made)).await.unwrap())
        }
        Step::Append(ms) => format!("{:?}", store.append_audit(&told(ms)).await.unwrap()),
        Step::ExpireAudit(ms) => format!("{}", store.expire_audit(at(ms)).await.unwrap()),
    }
}

/// All that is there.
async fn told(store: &dyn AccessStore) -> String {
    let mut told = format!("{:#?}\n", store.users().await.unwrap());
    for owner in [None, Some(1), Some(2), Some(3)] {
        let owner = owner.map(|number| UserId(Uuid::from_u128(number)));
        told += &format!("{:#?}\n", store.keys(owner).await.unwrap());
        if let Some(user) = owner {
            told += &format!("{:#?}\n", store.sessions(user).await.unwrap());
        }
    }
    let records = store.audit(&all()).await.unwrap().records;
    let entries: Vec<AuditEntry> = records.into_iter().map(|record| record.entry).collect();
    told + &format!("{entries:#?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_database_and_memory_answer_alike(steps in prop::collection::vec(steps(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (memory, fixture) = (MemoryStore::default(), SqlFixture::new());
            let sql = fixture.open().await;
            for step in &steps {
                prop_assert_eq!(take(&*sql, step).await, take(&memory, step).await, "{:?}", step);
            }
            prop_assert_eq!(told(&*sql).await, told(&memory).await);
            sql.close().await;
            Ok(())
        })?;
    }
}

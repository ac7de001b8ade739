//! Changes of users and passwords.

use twinhub_access::Email;
use twinhub_access::limits::Limited;
use twinhub_access::password::{BadPassword, PasswordHash};
use twinhub_access::user::BadUserChange;

use super::*;
use crate::messages::accounts::{EndSession, PROGRAM_KEYS, RemoveUser, RevokeKey, SetPassword};

const NEWER: &str = "wrong donkey capacitor";

async fn set_password(
    scene: &Scene,
    user: UserId,
    old: Option<&str>,
    new: &str,
    by: Asker,
) -> Result<(), AccountRefusal> {
    let old = old.map(|old| Password::typed(old).unwrap());
    let new = Password::typed(new).unwrap();
    scene.answer(|reply| SetPassword { user, old, new, by, reply }).await
}

fn role(role: Role) -> UserEdit {
    UserEdit { role: Some(role), ..UserEdit::default() }
}

#[actix::test]
async fn the_last_admin_stays() {
    for scene in Scene::each().await {
        let ann = scene.ann().await;
        let by = asker(&scene.by_session(&ann).unwrap());
        let last = AccountRefusal::User(BadUserChange::LastAdmin);
        let disabled = UserEdit { disabled: Some(true), ..UserEdit::default() };
        let user = ann.user.id;
        let remove = async || {
            let by = by.clone();
            scene.answer(|reply| RemoveUser { user, by, reply }).await
        };
        for change in [role(Role::Operator), role(Role::Viewer), disabled] {
            assert_eq!(scene.edit(user, change, by.clone()).await.unwrap_err(), last);
        }
        assert_eq!(remove().await.unwrap_err(), last);
        let bob = scene.add("bob", Role::Admin).await;
        let one = scene.edit(user, role(Role::Viewer), program());
        let other = scene.edit(bob.id, role(Role::Viewer), program());
        let (one, other) = tokio::join!(one, other);
        let narrowed = [&one, &other].into_iter().filter(|changed| changed.is_ok()).count();
        assert_eq!(narrowed, 1, "of two at once one stays: {one:?} {other:?}");
    }
}

#[actix::test]
async fn a_new_password_ends_the_other_sessions() {
    for scene in Scene::each().await {
        scene.ann().await;
        let bob = scene.add("bob", Role::Operator).await;
        let (one, other) =
            (scene.sign_in("bob", GOOD).await.unwrap(), scene.sign_in("bob", GOOD).await.unwrap());
        let [identity, of_other] = [&one, &other].map(|session| scene.by_session(session).unwrap());
        let by = asker(&identity);
        for old in [None, Some("wrong wrong wrong")] {
            let refused = set_password(&scene, bob.id, old, NEWER, by.clone()).await;
            assert_eq!(refused, Err(AccountRefusal::OldPassword), "{old:?}");
        }
        let short = set_password(&scene, bob.id, Some(GOOD), "short", by.clone()).await;
        assert_eq!(short, Err(AccountRefusal::Password(BadPassword::TooShort { least: 8 })));
        let changes = scene.changes();
        assert_eq!(set_password(&scene, bob.id, Some(GOOD), NEWER, by.clone()).await, Ok(()));
        assert_eq!(scene.changes(), changes + 1);
        assert!(scene.directory.is_valid(&identity) && !scene.directory.is_valid(&of_other));
        assert_eq!(scene.sign_in("bob", GOOD).await.unwrap_err(), AccountRefusal::Credentials);
        let scene = scene.again().await;
        assert!(scene.by_session(&one).is_ok() && scene.by_session(&other).is_err());
        let third = scene.sign_in("bob", NEWER).await.unwrap();

        assert_eq!(set_password(&scene, bob.id, None, GOOD, program()).await, Ok(()), "an admin's");
        assert!(scene.by_session(&one).is_err() && scene.by_session(&third).is_err());
        assert!(scene.sign_in("bob", GOOD).await.is_ok());
    }
}

#[actix::test]
async fn the_present_password_cannot_be_guessed_in_a_session() {
    let scene = Scene::in_memory(AccountSettings::default()).await;
    scene.ann().await;
    let bob = scene.add("bob", Role::Operator).await;
    let by = asker(&scene.by_session(&scene.sign_in("bob", GOOD).await.unwrap()).unwrap());
    for _ in 0..5 {
        let wrong = set_password(&scene, bob.id, Some("wrong wrong wrong"), NEWER, by.clone()).await;
        assert_eq!(wrong, Err(AccountRefusal::OldPassword));
    }
    let limited = set_password(&scene, bob.id, Some(GOOD), NEWER, by.clone()).await;
    assert_eq!(limited, Err(AccountRefusal::Limited(Limited::Wait { wait_ms: 1_000 })));
    scene.clock.advance(1_000);
    assert_eq!(set_password(&scene, bob.id, Some(GOOD), NEWER, by).await, Ok(()));
}

#[actix::test]
async fn passwords_are_longer_where_others_reach_the_hub() {
    let settings = AccountSettings { only_loopback: false, ..AccountSettings::default() };
    let scene = Scene::in_memory(settings).await;
    let token = scene.token.clone().unwrap();
    let user = NewUser { password: Password::typed("zebra-lamp-42").unwrap(), ..new("ann") };
    let short = scene.answer(|reply| SetUp { token, user, peer: peer(1), reply }).await.unwrap_err();
    assert_eq!(short, AccountRefusal::Password(BadPassword::TooShort { least: 15 }));
    assert_eq!(scene.ann().await.user.role, Role::Admin);
}

/// As seed systems and earlier versions have left them.
#[actix::test]
async fn an_old_hash_is_replaced_when_its_password_is_typed() {
    let scene = Scene::in_memory(AccountSettings::default()).await;
    let ann = scene.ann().await;
    let access = Arc::clone(&scene.store).access();
    let bcrypt = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"; // of `secret`
    let mut user = access.user(ann.user.id).await.unwrap().unwrap();
    user.password = Some(PasswordHash::parse(bcrypt).unwrap());
    access.put_user(&user, &[]).await.unwrap();
    let scene = scene.again().await;
    assert_eq!(scene.sign_in("ann", "wrong").await.unwrap_err(), AccountRefusal::Credentials);
    let kept = async || access.user(ann.user.id).await.unwrap().unwrap().password.unwrap();
    assert!(kept().await.needs_rehash());
    assert!(scene.sign_in("ann", "secret").await.is_ok());
    let renewed = kept().await;
    assert!(!renewed.needs_rehash() && renewed.is_of(&Password::typed("secret").unwrap()));
    assert!(scene.sign_in("ann", "secret").await.is_ok());
    assert_eq!(kept().await, renewed, "once");
}

#[actix::test]
async fn names_and_addresses_belong_to_one_user() {
    for scene in Scene::each().await {
        scene.ann().await;
        let bob = scene.add("bob", Role::Viewer).await;
        let email = |text: &str| Some(Some(Email::parse(text).unwrap()));
        let edit = |text: &str| UserEdit { email: email(text), ..UserEdit::default() };
        let carl = scene.add("carl", Role::Viewer).await;
        scene.edit(bob.id, edit("Bob@example.com"), program()).await.unwrap();
        let taken = scene.edit(carl.id, edit("bob@EXAMPLE.com"), program()).await.unwrap_err();
        assert_eq!(taken, AccountRefusal::EmailTaken);
        let (by, role) = (program(), Role::Viewer);
        let taken = scene.answer(|reply| AddUser { user: new("BOB"), role, by, reply }).await.unwrap_err();
        assert_eq!(taken, AccountRefusal::NameTaken(UserName::parse("BOB").unwrap()));
        let one = scene.answer(|reply| AddUser { user: new("dora"), role, by: program(), reply });
        let other = scene.answer(|reply| AddUser { user: new("Dora"), role, by: program(), reply });
        let (one, other) = tokio::join!(one, other);
        assert_eq!([one.is_ok(), other.is_ok()].into_iter().filter(|made| *made).count(), 1);
        assert_eq!(scene.sign_in("bob@example.com", GOOD).await.unwrap().user.id, bob.id);
        let scene = scene.again().await;
        assert_eq!(scene.sign_in("BOB@example.com", GOOD).await.unwrap().user.id, bob.id);
        let page = ask(&scene.accounts, ListUsers { offset: 1, limit: 2 }).await;
        let names: Vec<_> = page.users.iter().map(|user| user.name.as_str()).collect();
        assert_eq!((names, page.total), (vec!["bob", "carl"], 4));
        let found = ask(&scene.accounts, FindUser { login: "CARL".into() }).await;
        assert_eq!(found.map(|user| user.id), Some(carl.id));
    }
}

#[actix::test]
async fn people_change_their_own_account_and_no_other() {
    let scene = Scene::in_memory(AccountSettings::default()).await;
    let ann = scene.ann().await;
    let bob = scene.add("bob", Role::Operator).await;
    let by = asker(&scene.by_session(&scene.sign_in("bob", GOOD).await.unwrap()).unwrap());
    let name =
        || UserEdit { display_name: Some(DisplayName::parse("Bobby").unwrap()), ..UserEdit::default() };
    assert!(scene.edit(bob.id, name(), by.clone()).await.is_ok());
    let forbidden = AccountRefusal::Forbidden(Permission::Users);
    let quota = UserEdit { quota: Some(1_000), ..UserEdit::default() };
    for change in [role(Role::Admin), quota, UserEdit { disabled: Some(true), ..name() }] {
        assert_eq!(scene.edit(bob.id, change, by.clone()).await.unwrap_err(), forbidden);
    }
    let user = ann.user.id;
    assert_eq!(scene.edit(user, name(), by.clone()).await.unwrap_err(), forbidden);
    assert_eq!(set_password(&scene, user, Some(GOOD), NEWER, by.clone()).await, Err(forbidden.clone()));
    let sessions = ask(&scene.accounts, ListSessions { user, by: by.clone() }).await;
    assert_eq!(sessions.unwrap_err(), forbidden);
    for of in [KeysOf::User(user), KeysOf::Services, KeysOf::Anybody] {
        let keys = ask(&scene.accounts, ListKeys { of, by: by.clone() }).await;
        assert_eq!(keys.unwrap_err(), forbidden, "{of:?}");
    }
    let session = ann.session.id;
    let ended = scene.answer(|reply| EndSession { user, session, by: by.clone(), reply }).await;
    assert_eq!(ended, Err(forbidden.clone()));
    let by_ann = asker(&scene.by_session(&ann).unwrap());
    let key = scene.make_key("ci", Role::Admin, by_ann).await.unwrap();
    let id = key.key.id.clone();
    let revoked =
        scene.answer(|reply| RevokeKey { key: id, kinds: PROGRAM_KEYS, by: by.clone(), reply }).await;
    assert_eq!(revoked, Err(forbidden));
    let too_much = scene.make_key("ci", Role::Admin, by.clone()).await.unwrap_err();
    assert_eq!(too_much.to_string(), "a key's role is at most that of its owner");
    // A key that somebody came by, be it an admin's, takes no account over.
    let by_key = asker(&scene.by_key(&key).unwrap());
    let own = set_password(&scene, user, Some(GOOD), NEWER, by_key.clone()).await;
    assert_eq!(own, Err(AccountRefusal::Forbidden(Permission::Account)));
    let signed_out = scene.sign_out(by_key).await;
    assert_eq!(signed_out, Err(AccountRefusal::NotSignedIn));
    assert_eq!(ask(&scene.accounts, ReadOwnUser { by }).await.unwrap().display_name.as_str(), "Bobby");
    let nobody = ask(&scene.accounts, ReadOwnUser { by: program() }).await;
    assert_eq!(nobody, Err(AccountRefusal::NotSignedIn));
}

#[actix::test]
async fn each_change_is_in_the_audit_and_pages_follow_each_other() {
    for scene in Scene::each().await {
        let ann = scene.ann().await;
        let by = asker(&scene.by_session(&ann).unwrap());
        let bob =
            scene.answer(|reply| AddUser { user: new("bob"), role: Role::Viewer, by: by.clone(), reply });
        let bob = bob.await.unwrap().id;
        let edit = UserEdit { quota: Some(3), ..role(Role::Operator) };
        scene.edit(bob, edit.clone(), by.clone()).await.unwrap();
        scene.edit(bob, edit, by.clone()).await.unwrap(); // which changes nothing
        let key = scene.make_key("ci", Role::Viewer, by.clone()).await.unwrap().key.id;
        scene.answer(|reply| RevokeKey { key, kinds: PROGRAM_KEYS, by: by.clone(), reply }).await.unwrap();
        set_password(&scene, bob, None, NEWER, by.clone()).await.unwrap();
        scene.answer(|reply| RemoveUser { user: bob, by: by.clone(), reply }).await.unwrap();
        scene.sign_out(by).await.unwrap();
        let done = scene.audit().await;
        let words: Vec<_> = done.iter().map(|record| record.entry.action.as_str()).collect();
        let expected = [
            "hub.set_up",
            "user.signed_in",
            "user.created",
            "user.role_changed",
            "user.changed",
            "key.created",
            "key.revoked",
            "user.password_changed",
            "user.removed",
            "user.signed_out",
        ];
        assert_eq!(words, expected);
        assert!(done.iter().all(|record| &*record.entry.who == "user:ann"));
        assert!(done.iter().all(|record| record.entry.address == Some(address(1))));
        let mut paged: Vec<AuditRecord> = Vec::new();
        loop {
            let before = paged.last().map(|record| record.seq);
            let query = AuditFilter { before, limit: 3, ..AuditFilter::default() };
            let page = scene.answer(|reply| ListAudit { query, reply }).await.unwrap();
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        paged.reverse();
        assert_eq!(paged, done);
        let query = AuditFilter { action: Some(Action::KeyRevoked), limit: 9, ..AuditFilter::default() };
        assert_eq!(scene.answer(|reply| ListAudit { query, reply }).await.unwrap(), done[6..7]);
        let query = AuditFilter { who: Some("user:eve".into()), limit: 9, ..AuditFilter::default() };
        assert!(scene.answer(|reply| ListAudit { query, reply }).await.unwrap().is_empty());
    }
}

//! Rights that end, and are dead at once.

use twinhub_access::jwt::{self, JwtKey, JwtKeys};
use twinhub_access::key::DeadKey;
use twinhub_access::secret::RANDOM_BYTES;
use twinhub_access::{Secret, SecretKind};

use super::*;
use crate::messages::accounts::{
    EndOtherSessions, EndSession, MakeServiceKey, PROGRAM_KEYS, RemoveUser, RevokeKey, SetPassword,
};

#[actix::test]
async fn sessions_end_when_they_are_idle_or_old() {
    for scene in Scene::each().await {
        let ann = scene.ann().await;
        let changes = scene.changes();
        scene.clock.advance(8 * HOUR_MS - 1);
        let identity = scene.by_session(&ann).unwrap();
        scene.clock.advance(8 * HOUR_MS - 1);
        assert!(scene.by_session(&ann).is_ok(), "it was used");
        scene.look().await;
        assert_eq!((scene.changes(), scene.directory.is_valid(&identity)), (changes, true));
        scene.clock.advance(8 * HOUR_MS);
        assert_eq!(scene.by_session(&ann).unwrap_err(), Unidentified::Session, "even before anybody looks");
        scene.look().await;
        assert_eq!((scene.changes(), scene.directory.is_valid(&identity)), (changes + 1, false));
        let stored = Arc::clone(&scene.store).access().sessions(ann.user.id).await.unwrap();
        assert!(stored.is_empty(), "{stored:?}");

        let ann = scene.sign_in("ann", GOOD).await.unwrap();
        let end = ann.session.created_at.plus_millis(30 * 24 * HOUR_MS);
        while scene.now().plus_millis(7 * HOUR_MS) < end {
            scene.clock.advance(7 * HOUR_MS);
            assert!(scene.by_session(&ann).is_ok());
        }
        scene.clock.advance(end.millis() - scene.now().millis());
        assert_eq!(scene.by_session(&ann).unwrap_err(), Unidentified::Session);
    }
}

/// Web tokens, which are good for a day whether they are used or not.
#[actix::test]
async fn a_web_token_lasts_as_long_as_it_says_unless_its_session_is_ended() {
    let keys = JwtKeys::new("hub", JwtKey::own("1", [7; 32]), []);
    let sign = |scene: &Scene, signed_in: &SignedIn| {
        let ends_at = scene.now().plus_millis(jwt::LIFE_MS);
        let session_ends_at = scene.directory.end_of_session(signed_in.session.id).unwrap();
        assert!(ends_at <= session_ends_at, "{session_ends_at:?}");
        keys.sign(signed_in.user.name.as_str(), signed_in.session.id, scene.now(), ends_at)
    };
    let counts = |scene: &Scene, token: &str| {
        let claims = keys.verify(token, scene.now());
        claims.is_ok_and(|claims| {
            scene.directory.identify(Credential::Claims(&claims), scene.now(), address(1)).is_ok()
        })
    };
    for scene in Scene::each().await {
        let ann = scene.ann().await;
        let program = || Peer { shows: SessionKind::WebTokens, ..peer(1) };
        let sign_in = async |scene: &Scene| scene.sign_in_from(program(), "ann", GOOD, None).await.unwrap();
        let signed_in = sign_in(&scene).await;
        let token = sign(&scene, &signed_in);
        scene.clock.advance(jwt::LIFE_MS - 1_000);
        scene.look().await;
        let scene = scene.again().await;
        assert!(counts(&scene, &token), "after a day without a use, and a restart");
        assert!(scene.by_session(&ann).is_err(), "a browser's is over after 8 hours");
        // Another one, for the session that has just been used.
        let refreshed = sign(&scene, &signed_in);
        scene.clock.advance(1_000);
        assert!(!counts(&scene, &token) && counts(&scene, &refreshed));
        scene.clock.advance(jwt::LIFE_MS - 2_000);
        assert!(counts(&scene, &refreshed));
        scene.clock.advance(2 * jwt::LIFE_MS);
        scene.look().await;
        assert_eq!(scene.directory.end_of_session(signed_in.session.id), None);

        let signed_out = sign_in(&scene).await;
        let stays = sign_in(&scene).await;
        let tokens = [&signed_out, &stays].map(|signed_in| sign(&scene, signed_in));
        scene.sign_out(asker(&scene.by_session(&signed_out).unwrap())).await.unwrap();
        assert_eq!(tokens.clone().map(|token| counts(&scene, &token)), [false, true]);
        let [old, new] = [GOOD, "another good password"].map(|text| Password::typed(text).unwrap());
        let (user, by) = (ann.user.id, asker(&scene.by_session(&sign_in(&scene).await).unwrap()));
        scene.answer(|reply| SetPassword { user, old: Some(old), new, by, reply }).await.unwrap();
        assert!(!counts(&scene, &tokens[1]), "with a new password");
    }
}

#[actix::test]
async fn sessions_of_admins_are_short_over_tls() {
    let settings = AccountSettings { over_tls: true, ..AccountSettings::default() };
    let scene = Scene::in_memory(settings).await;
    let ann = scene.ann().await;
    scene.add("bob", Role::Operator).await;
    let bob = scene.sign_in("bob", GOOD).await.unwrap();
    assert_eq!(ann.session.ends_at, scene.now().plus_millis(HOUR_MS));
    scene.clock.advance(HOUR_MS);
    assert!(scene.by_session(&ann).is_err() && scene.by_session(&bob).is_ok());
}

#[actix::test]
async fn a_session_that_was_signed_out_or_ended_elsewhere_is_dead_at_once() {
    for scene in Scene::each().await {
        let ann = scene.ann().await;
        let [one, two, three] = [
            scene.sign_in("ann", GOOD).await.unwrap(),
            scene.sign_in("ann", GOOD).await.unwrap(),
            scene.sign_in("ann", GOOD).await.unwrap(),
        ];
        let (first, user) = (scene.by_session(&ann).unwrap(), ann.user.id);
        let by = asker(&first);
        let by_one = asker(&scene.by_session(&one).unwrap());
        let (changes, watched) = (scene.changes(), scene.directory.changes());
        scene.sign_out(by_one.clone()).await.unwrap();
        assert!(scene.by_session(&one).is_err() && scene.by_session(&two).is_ok());
        assert!(watched.has_changed().unwrap());
        let session = two.session.id;
        let ended = scene.answer(|reply| EndSession { user, session, by: by.clone(), reply }).await;
        assert_eq!((ended, scene.by_session(&two).is_ok()), (Ok(()), false));
        let again = scene.answer(|reply| EndSession { user, session, by: by.clone(), reply }).await;
        assert_eq!(again, Err(AccountRefusal::UnknownSession));
        assert_eq!(scene.changes(), changes + 2);
        let list = || ask(&scene.accounts, ListSessions { user, by: by.clone() });
        let listed: Vec<_> = list().await.unwrap().iter().map(|one| (one.id, one.is_current)).collect();
        assert_eq!(listed, [(three.session.id, false), (ann.session.id, true)], "the newest first");
        let ended = scene.answer(|reply| EndOtherSessions { user, by: by.clone(), reply }).await;
        assert_eq!((ended, list().await.unwrap().len()), (Ok(1), 1));
        assert!(scene.directory.is_valid(&first) && scene.by_session(&three).is_err());
        let scene = scene.again().await;
        let alive = [&ann, &one, &two, &three].map(|session| scene.by_session(session).is_ok());
        assert_eq!(alive, [true, false, false, false]);
    }
}

#[actix::test]
async fn a_key_that_was_revoked_or_has_expired_is_dead_at_once() {
    for scene in Scene::each().await {
        let ann = scene.ann().await;
        let by = asker(&scene.by_session(&ann).unwrap());
        let key = scene.make_key("ci", Role::Operator, by.clone()).await.unwrap();
        let other = scene.make_key("lamp", Role::Viewer, by.clone()).await.unwrap();
        let [identity, of_other] = [&key, &other].map(|key| scene.by_key(key).unwrap());
        assert_eq!((identity.user, identity.session), (Some(ann.user.id), None));
        assert!(!identity.rights.permissions.contain(Permission::Account), "a key makes no keys");
        let changes = scene.changes();
        let id = key.key.id.clone();
        let revoked = scene
            .answer(|reply| RevokeKey { key: id.clone(), kinds: PROGRAM_KEYS, by: by.clone(), reply })
            .await
            .unwrap();
        assert_eq!(revoked.last_used, Some((scene.now(), address(1))));
        assert_eq!(KeyView { last_used: None, ..revoked }, key.key);
        assert_eq!(scene.by_key(&key).unwrap_err(), Unidentified::Key);
        assert!(!scene.directory.is_valid(&identity) && scene.directory.is_valid(&of_other));
        assert_eq!(scene.changes(), changes + 1);
        let again =
            scene.answer(|reply| RevokeKey { key: id, kinds: PROGRAM_KEYS, by: by.clone(), reply }).await;
        assert_eq!(again, Err(AccountRefusal::UnknownKey));

        scene.clock.advance(90 * 24 * HOUR_MS);
        assert_eq!(scene.by_key(&other).unwrap_err(), Unidentified::Dead(DeadKey::Expired));
        scene.look().await;
        assert!(!scene.directory.is_valid(&of_other) && scene.changes() > changes + 1);
        // The clock was wrong: the key is there still.
        scene.clock.advance(-24 * HOUR_MS);
        scene.look().await;
        assert!(scene.directory.is_valid(&scene.by_key(&other).unwrap()));
        let scene = scene.again().await;
        assert!(scene.by_key(&key).is_err() && scene.by_key(&other).is_ok());
    }
}

#[actix::test]
async fn a_secret_that_is_no_key_of_a_person_or_service_names_nobody() {
    let scene = Scene::in_memory(AccountSettings::default()).await;
    scene.ann().await;
    let key = NewKey {
        name: DisplayName::parse("ci").unwrap(),
        role: Role::Admin,
        scope: ScopeWish::default(),
        life_ms: None,
    };
    let made = scene.answer(|reply| MakeServiceKey { key, by: program(), reply }).await.unwrap();
    let identity = scene.by_key(&made).unwrap();
    assert_eq!((identity.caller.name(), identity.user), ("key:ci".to_owned(), None));
    assert_eq!(identity.rights.permissions, Role::Admin.permissions().without(Permission::Account));
    let text = made.secret.reveal();
    let [device, personal] = [SecretKind::Device, SecretKind::Personal]
        .map(|kind| Secret::new(kind, &[1; RANDOM_BYTES]).reveal().to_owned());
    for (text, expected) in [
        (&text[..40], "this is not whole: a character is missing or mistyped"),
        ("abc", "this is no key of a hub: those begin with twh_"),
        (&device, "this kind of key is not taken here"),
        (&personal, "this key is not known: it was revoked, or is another hub's"),
    ] {
        let found = scene.directory.identify(Credential::Bearer(text), scene.now(), address(1));
        assert_eq!(found.unwrap_err().to_string(), expected);
    }
}

#[actix::test]
async fn a_role_that_is_narrowed_is_so_at_once_for_sessions_and_keys() {
    for scene in Scene::each().await {
        scene.ann().await;
        let bob = scene.add("bob", Role::Admin).await;
        let signed_in = scene.sign_in("bob", GOOD).await.unwrap();
        let identity = scene.by_session(&signed_in).unwrap();
        let key = scene.make_key("ci", Role::Operator, asker(&identity)).await.unwrap();
        let of_key = scene.by_key(&key).unwrap();
        let role = |role| UserEdit { role: Some(role), ..UserEdit::default() };
        let changes = scene.changes();
        scene.edit(bob.id, role(Role::Viewer), program()).await.unwrap();
        assert_eq!(scene.changes(), changes + 1);
        let valid = [&identity, &of_key].map(|identity| scene.directory.is_valid(identity));
        assert_eq!(valid, [false; 2]);
        for rights in [scene.by_session(&signed_in).unwrap().rights, scene.by_key(&key).unwrap().rights] {
            assert_eq!(rights.role, Role::Viewer);
            assert!(!rights.permissions.contain(Permission::Operate));
        }
        let narrowed = scene.by_session(&signed_in).unwrap();
        assert!(scene.directory.is_valid(&narrowed));
        let name = UserEdit { display_name: Some(DisplayName::parse("Bob").unwrap()), ..UserEdit::default() };
        scene.edit(bob.id, name, program()).await.unwrap();
        assert!(scene.directory.is_valid(&narrowed), "a name is no right");
        assert_eq!(scene.changes(), changes + 1);
    }
}

/// A thief of a session gains nothing by what its owner is given.
#[actix::test]
async fn who_is_given_more_signs_in_again() {
    for scene in Scene::each().await {
        scene.ann().await;
        let bob = scene.add("bob", Role::Viewer).await;
        let signed_in = scene.sign_in("bob", GOOD).await.unwrap();
        let identity = scene.by_session(&signed_in).unwrap();
        let key = scene.make_key("ci", Role::Viewer, asker(&identity)).await.unwrap();
        let of_key = scene.by_key(&key).unwrap();
        let role = |role| UserEdit { role: Some(role), ..UserEdit::default() };
        scene.edit(bob.id, role(Role::Operator), program()).await.unwrap();
        assert!(scene.by_session(&signed_in).is_err() && !scene.directory.is_valid(&identity));
        assert!(scene.directory.is_valid(&of_key), "a key has a role of its own");
        let again = scene.sign_in("bob", GOOD).await.unwrap();
        assert_eq!(scene.by_session(&again).unwrap().rights.role, Role::Operator);
        let scene = scene.again().await;
        assert!(scene.by_session(&signed_in).is_err() && scene.by_session(&again).is_ok());
    }
}

/// A small computer whose clock ran a year ahead, and was set right.
#[actix::test]
async fn a_session_that_a_clock_ahead_has_begun_ends_as_others_do() {
    const YEAR_MS: i64 = 365 * 24 * HOUR_MS;
    for scene in Scene::each().await {
        scene.ann().await;
        scene.clock.advance(YEAR_MS);
        let ann = scene.sign_in("ann", GOOD).await.unwrap();
        scene.clock.advance(-YEAR_MS);
        assert!(scene.by_session(&ann).is_ok(), "it is not over by that");
        scene.look().await;
        let scene = scene.again().await;
        scene.clock.advance(8 * HOUR_MS - 1);
        assert!(scene.by_session(&ann).is_ok());
        scene.clock.advance(8 * HOUR_MS);
        assert!(scene.by_session(&ann).is_err());
        scene.look().await;
        let stored = Arc::clone(&scene.store).access().sessions(ann.user.id).await.unwrap();
        assert!(stored.is_empty(), "{stored:?}");
    }
}

#[actix::test]
async fn who_is_disabled_or_removed_has_nothing_left() {
    for scene in Scene::each().await {
        scene.ann().await;
        let bob = scene.add("bob", Role::Operator).await;
        let signed_in = scene.sign_in("bob", GOOD).await.unwrap();
        let identity = scene.by_session(&signed_in).unwrap();
        let key = scene.make_key("ci", Role::Viewer, asker(&identity)).await.unwrap();
        let disabled = |disabled| UserEdit { disabled: Some(disabled), ..UserEdit::default() };
        let changes = scene.changes();
        scene.edit(bob.id, disabled(true), program()).await.unwrap();
        assert_eq!((scene.changes(), scene.directory.is_valid(&identity)), (changes + 1, false));
        assert!(scene.by_session(&signed_in).is_err());
        assert_eq!(scene.by_key(&key).unwrap_err(), Unidentified::Dead(DeadKey::OwnerDisabled));
        assert_eq!(scene.sign_in("bob", GOOD).await.unwrap_err(), AccountRefusal::Credentials);
        let scene = scene.again().await;
        scene.edit(bob.id, disabled(false), program()).await.unwrap();
        assert!(scene.by_session(&signed_in).is_err(), "it has ended for good");
        assert!(scene.by_key(&key).is_ok() && scene.sign_in("bob", GOOD).await.is_ok());
        let by = program();
        scene.answer(|reply| RemoveUser { user: bob.id, by: by.clone(), reply }).await.unwrap();
        assert_eq!(scene.by_key(&key).unwrap_err(), Unidentified::Key);
        let again = scene.answer(|reply| RemoveUser { user: bob.id, by, reply }).await;
        assert_eq!(again, Err(AccountRefusal::UnknownUser));
        let scene = scene.again().await;
        assert_eq!(scene.by_key(&key).unwrap_err(), Unidentified::Key);
        assert_eq!(scene.sign_in("bob", GOOD).await.unwrap_err(), AccountRefusal::Credentials);
        assert_ne!(scene.add("bob", Role::Viewer).await.id, bob.id);
    }
}

#[actix::test]
async fn a_user_has_a_hundred_sessions_at_most() {
    let scene = Scene::in_memory(AccountSettings::default()).await;
    let ann = scene.ann().await;
    let access = Arc::clone(&scene.store).access();
    for n in 1..100_u8 {
        let (id, token, at) = (SessionId(new_id()), SessionToken::new([n; 32]), scene.now());
        let session = Session::begin(id, &token, ann.user.id, (address(1), ""), at.plus_millis(i64::from(n)));
        assert!(access.put_session(&session, &[]).await.unwrap());
    }
    let scene = scene.again().await;
    scene.clock.advance(MINUTE_MS);
    assert!(scene.by_session(&ann).is_ok(), "it was seen last");
    let one_more = scene.sign_in("ann", GOOD).await.unwrap();
    let user = ann.user.id;
    let sessions = ask(&scene.accounts, ListSessions { user, by: program() }).await.unwrap();
    assert_eq!(sessions.len(), 100);
    assert!(scene.by_session(&one_more).is_ok() && scene.by_session(&ann).is_ok());
    let oldest = SessionToken::new([1; 32]).reveal();
    assert!(scene.directory.identify(Credential::Session(&oldest), scene.now(), address(1)).is_err());
    assert_eq!(access.sessions(user).await.unwrap().len(), 100);
}

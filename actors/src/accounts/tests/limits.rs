//! Passwords that are guessed.

use twinhub_access::limits::Limited;

use super::*;

#[actix::test]
async fn who_guesses_waits_and_hinders_nobody_else() {
    for scene in Scene::each().await {
        scene.ann().await;
        for _ in 0..5 {
            let wrong = scene.sign_in_from(peer(66), "ann", "wrong wrong wrong", None).await;
            assert_eq!(wrong.unwrap_err(), AccountRefusal::Credentials);
        }
        for _ in 0..1_000 {
            let limited = scene.sign_in_from(peer(66), "ann", GOOD, None).await.unwrap_err();
            assert_eq!(limited, AccountRefusal::Limited(Limited::Wait { wait_ms: 1_000 }));
        }
        let honest = scene.sign_in_from(peer(2), "ann", GOOD, None).await;
        assert!(honest.is_ok(), "{honest:?}");
        let refused =
            scene.audit().await.into_iter().filter(|record| record.entry.outcome == AuditOutcome::Refused);
        let refused: Vec<_> = refused.collect();
        assert_eq!(refused.len(), 6, "one for the thousand: {refused:?}");
        let tries: Vec<_> = refused.iter().filter_map(|record| record.entry.detail.get("tries")).collect();
        assert_eq!(tries, [&twinhub_domain::Json::from(1_000)]);
        assert!(refused.iter().all(|record| record.entry.address == Some(address(66))));
    }
}

#[actix::test]
async fn an_unknown_name_is_limited_as_a_known_one() {
    let scene = Scene::in_memory(AccountSettings::default()).await;
    scene.ann().await;
    for name in ["ann", "eve"] {
        let mut answers = Vec::new();
        for _ in 0..6 {
            let wrong = scene.sign_in_from(peer(66), name, "wrong wrong wrong", None).await;
            answers.push(wrong.unwrap_err().to_string());
        }
        scene.clock.advance(2 * MINUTE_MS);
        assert_eq!(answers[4], "the name or the password is wrong", "{name}");
        assert_eq!(answers[5], "too many tries: try again in 1 s", "{name}");
    }
}

/// All places are taken: the password was not looked at, so it was not wrong.
#[actix::test]
async fn a_try_at_a_busy_hub_is_no_failure() {
    let scene = Scene::in_memory(AccountSettings::default()).await;
    scene.ann().await;
    let held = Arc::clone(&scene.turns).acquire_many_owned(2).await.unwrap();
    let names: Vec<String> = (0..32).map(|n| format!("user-{n}")).collect();
    let tries =
        names.iter().zip(0..).map(|(name, n)| scene.sign_in_from(peer(n), name, "wrong wrong wrong", None));
    let mut waiting: Vec<_> = tries.map(Box::pin).collect();
    for answer in &mut waiting {
        assert!(futures_util::poll!(answer).is_pending());
    }
    for _ in 0..20 {
        let busy = scene.sign_in_from(peer(66), "ann", GOOD, None).await.unwrap_err();
        assert_eq!(busy, AccountRefusal::Busy);
    }
    drop(held);
    for answer in waiting {
        assert!(answer.await.is_err());
    }
    assert!(scene.sign_in_from(peer(66), "ann", GOOD, None).await.is_ok());
}

/// All turns of hashes are taken, so whoever needs one waits.
#[actix::test]
async fn an_unknown_user_costs_a_hash_and_a_try_that_waits_none() {
    let scene = Scene::in_memory(AccountSettings::default()).await;
    scene.ann().await;
    scene.add("bob", Role::Viewer).await;
    let bob = scene.add("carl", Role::Viewer).await;
    let disabled = UserEdit { disabled: Some(true), ..UserEdit::default() };
    scene.edit(bob.id, disabled, program()).await.unwrap();
    for name in ["bob", "carl", "eve"] {
        let held = Arc::clone(&scene.turns).acquire_many_owned(2).await.unwrap();
        let mut answer = std::pin::pin!(scene.sign_in_from(peer(66), name, "wrong wrong wrong", None));
        assert!(futures_util::poll!(&mut answer).is_pending());
        for _ in 0..10 {
            ask(&scene.accounts, ListUsers { offset: 0, limit: 0 }).await; // so it is at the hash
        }
        assert!(futures_util::poll!(&mut answer).is_pending(), "{name} costs none");
        drop(held);
        assert_eq!(answer.await.unwrap_err(), AccountRefusal::Credentials, "{name}");
    }
    for _ in 0..4 {
        let wrong = scene.sign_in_from(peer(66), "eve", "wrong wrong wrong", None).await;
        assert_eq!(wrong.unwrap_err(), AccountRefusal::Credentials);
    }
    let _held = Arc::clone(&scene.turns).acquire_many_owned(2).await.unwrap();
    let limited = scene.sign_in_from(peer(66), "eve", "wrong wrong wrong", None).await.unwrap_err();
    assert!(matches!(limited, AccountRefusal::Limited(_)), "{limited:?}");
}

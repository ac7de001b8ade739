//! A store that fails: no right begins that it does not have, and none ends in the answer alone.

use twinhub_testkit::{CommitFault, until};

use super::*;
use crate::messages::accounts::EndOtherSessions;

#[actix::test]
async fn nothing_is_done_that_the_store_does_not_take() {
    for scene in Scene::each().await {
        let ann = scene.ann().await;
        let bob = scene.add("bob", Role::Operator).await;
        let signed_in = scene.sign_in("bob", GOOD).await.unwrap();
        let by = asker(&scene.by_session(&signed_in).unwrap());
        let changes = scene.changes();
        scene.store.break_commits(CommitFault::Failed);
        assert_eq!(scene.sign_in("ann", GOOD).await.unwrap_err(), AccountRefusal::Store);
        assert_eq!(scene.make_key("ci", Role::Viewer, by.clone()).await.unwrap_err(), AccountRefusal::Store);
        let role = UserEdit { role: Some(Role::Viewer), ..UserEdit::default() };
        assert_eq!(scene.edit(bob.id, role, program()).await.unwrap_err(), AccountRefusal::Store);
        assert_eq!(scene.sign_out(by.clone()).await, Err(AccountRefusal::Store));
        let user = bob.id;
        let ended = scene.answer(|reply| EndOtherSessions { user, by, reply }).await;
        assert_eq!(ended, Err(AccountRefusal::Store));
        let wrong = scene.sign_in("ann", "wrong wrong wrong").await;
        assert_eq!(wrong.unwrap_err(), AccountRefusal::Credentials);
        scene.look().await;
        assert_eq!(scene.changes(), changes);
        assert_eq!(scene.by_session(&signed_in).unwrap().rights.role, Role::Operator);
        assert!(scene.by_session(&ann).is_ok());
        scene.store.heal();
        let refused = (String::new(), Action::SignedIn, "user:ann".to_owned(), AuditOutcome::Refused);
        assert_eq!(scene.done().await.last(), Some(&refused), "it is written once the store takes it");
        assert!(scene.sign_in("ann", GOOD).await.is_ok());
    }
}

#[actix::test]
async fn a_change_of_which_nobody_knows_is_made_again() {
    for (fault, scene) in
        [CommitFault::UnknownDone, CommitFault::UnknownNotDone].into_iter().zip(Scene::each().await)
    {
        let ann = scene.ann().await;
        let by = asker(&scene.by_session(&ann).unwrap());
        scene.store.break_commits(fault);
        let made = {
            let mut made = std::pin::pin!(scene.make_key("ci", Role::Viewer, by));
            let tried = async {
                until("the key is stored, or not", async || {
                    let keys = Arc::clone(&scene.store).access().keys(Some(ann.user.id)).await.unwrap();
                    keys.len() == usize::from(fault == CommitFault::UnknownDone)
                })
                .await;
                for _ in 0..100 {
                    tokio::task::yield_now().await; // so that it was tried, where nothing shows that
                }
            };
            tokio::select! {
                biased;
                made = &mut made => panic!("answered already: {made:?}"),
                () = tried => {}
            }
            scene.store.heal();
            made.await.unwrap()
        };
        assert!(scene.by_key(&made).is_ok());
        let scene = scene.again().await;
        assert!(scene.by_key(&made).is_ok());
    }
}

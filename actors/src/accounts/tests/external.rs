//! People whom an identity provider knows.

use twinhub_access::user::ExternalSubject;
use twinhub_access::{KeyPurpose, Provisioning, Scope};

use super::*;
use crate::messages::accounts::{ExternalProfile, MakeShare, SignInExternally};
use crate::messages::bound_keys::NewBoundKey;

async fn sign_on(scene: &Scene, rights: Option<(Role, Scope)>) -> Result<SignedIn, AccountRefusal> {
    let profile = ExternalProfile {
        subject: ExternalSubject { issuer: "https://id.example".into(), subject: "s-1".into() },
        name: UserName::parse("bob").unwrap(),
        email: None,
        display_name: DisplayName::default(),
    };
    scene.answer(|reply| SignInExternally { profile, rights, peer: peer(1), reply }).await
}

fn identified(scene: &Scene, credential: Credential<'_>) -> Result<Identity, Unidentified> {
    scene.directory.identify(credential, scene.now(), address(1))
}

#[actix::test]
async fn rights_that_the_provider_takes_are_those_of_keys_too() {
    for scene in Scene::each().await {
        scene.ann().await;
        let operator = Some((Role::Operator, Scope::All));
        let bob = sign_on(&scene, operator.clone()).await.unwrap();
        let by = asker(&scene.by_session(&bob).unwrap());
        let key = scene.make_key("ci", Role::Operator, by.clone()).await.unwrap();
        let wall = NewKey {
            name: DisplayName::parse("wall").unwrap(),
            role: Role::Viewer,
            scope: ScopeWish::default(),
            life_ms: None,
        };
        let share =
            scene.answer(|reply| MakeShare { key: wall, by: by.clone(), reply }).await.unwrap().secret;
        let line = NewBoundKey {
            name: DisplayName::parse("line").unwrap(),
            purpose: KeyPurpose::Provisioning(Provisioning::default()),
            expires_at: None,
            most_uses: None,
        };
        let bound = scene.answer(|reply| MakeBoundKey { key: line, by, reply }).await.unwrap().secret;
        let (share, bound) = (Credential::Session(share.reveal()), Credential::Bearer(bound.reveal()));
        let before = [
            scene.by_key(&key).unwrap(),
            identified(&scene, share).unwrap(),
            identified(&scene, bound).unwrap(),
        ];
        for _ in 0..2 {
            assert_eq!(sign_on(&scene, None).await.unwrap_err(), AccountRefusal::NoRights);
        }
        assert!(before.iter().all(|identity| !scene.directory.is_valid(identity)), "what is open ends");
        let done = scene.done().await;
        let times = |wanted: Action| done.iter().filter(|(_, action, ..)| *action == wanted).count();
        let entries = [Action::RoleChanged, Action::ProvisioningKeyRevoked].map(times);
        assert_eq!(entries, [1, 1], "each once: {done:?}");

        let check = |scene: &Scene| {
            assert_eq!(scene.by_session(&bob).unwrap_err(), Unidentified::Session);
            assert_eq!(identified(scene, bound).unwrap_err(), Unidentified::Key);
            for identity in [scene.by_key(&key).unwrap(), identified(scene, share).unwrap()] {
                let rights = identity.rights;
                assert_eq!(rights.role, Role::Viewer);
                assert!(rights.scopes.iter().any(|scope| *scope == Scope::Nothing), "{rights:?}");
            }
        };
        check(&scene);
        let scene = scene.again().await;
        check(&scene);

        assert!(sign_on(&scene, operator).await.is_ok());
        assert_eq!(scene.by_key(&key).unwrap().rights, before[0].rights, "a group gives them back");
        assert_eq!(identified(&scene, bound).unwrap_err(), Unidentified::Key);
    }
}

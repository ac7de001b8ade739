//! The first user, and those who register.

use super::*;
use crate::messages::accounts::Register;

async fn set_up(scene: &Scene, token: SetUpToken, name: &str) -> Result<SignedIn, AccountRefusal> {
    scene.answer(|reply| SetUp { token, user: new(name), peer: peer(1), reply }).await
}

async fn register(
    scene: &Scene,
    name: &str,
    from: u8,
    may_be_first: bool,
) -> Result<SignedIn, AccountRefusal> {
    scene
        .answer(|reply| Register { user: new(name), invitation: None, may_be_first, peer: peer(from), reply })
        .await
}

#[actix::test]
async fn the_set_up_link_makes_one_admin() {
    for scene in Scene::each().await {
        let token = scene.token.clone().unwrap();
        assert!(!scene.directory.has_users() && token.reveal().len() == 64);
        let wrong = set_up(&scene, SetUpToken::given(&"0".repeat(64)), "eve").await;
        assert_eq!(wrong.unwrap_err(), AccountRefusal::SetUpToken);
        let weak = NewUser { password: Password::typed("12345678").unwrap(), ..new("ann") };
        let weak =
            scene.answer(|reply| SetUp { token: token.clone(), user: weak, peer: peer(1), reply }).await;
        assert!(matches!(weak.unwrap_err(), AccountRefusal::Password(_)), "which does not use the link up");
        // Two at once.
        let given = SetUpToken::given(token.reveal());
        let (one, other) = tokio::join!(set_up(&scene, token.clone(), "ann"), set_up(&scene, given, "bob"));
        let made = [&one, &other].into_iter().filter(|made| made.is_ok()).count();
        assert_eq!(made, 1, "{one:?} {other:?}");
        let made = one.or(other).unwrap();
        assert_eq!((made.user.role, made.user.source), (Role::Admin, UserSource::Setup));
        assert!(scene.directory.has_users() && scene.by_session(&made).is_ok());
        assert_eq!(set_up(&scene, token.clone(), "eve").await.unwrap_err(), AccountRefusal::IsSetUp);
        let scene = scene.again().await;
        assert!(scene.token.is_none());
        assert_eq!(set_up(&scene, token, "eve").await.unwrap_err(), AccountRefusal::IsSetUp);
    }
}

#[actix::test]
async fn the_set_up_link_works_for_an_hour_and_until_another_makes_a_user() {
    let scene = Scene::in_memory(AccountSettings::default()).await;
    let token = scene.token.clone().unwrap();
    scene.clock.advance(HOUR_MS);
    assert_eq!(set_up(&scene, token, "ann").await.unwrap_err(), AccountRefusal::SetUpToken);
    let refused = (String::new(), Action::HubSetUp, String::new(), AuditOutcome::Refused);
    assert_eq!(scene.done().await, [refused]);
    let scene = Scene::in_memory(AccountSettings::default()).await;
    let token = scene.token.clone().unwrap();
    let by = program();
    let viewer = scene.answer(|reply| AddUser { user: new("bob"), role: Role::Viewer, by, reply }).await;
    assert_eq!(viewer.unwrap_err(), AccountRefusal::FirstAdmin);
    assert_eq!(scene.add("ann", Role::Admin).await.source, UserSource::CommandLine);
    assert_eq!(set_up(&scene, token, "eve").await.unwrap_err(), AccountRefusal::IsSetUp);
}

#[actix::test]
async fn registration_is_closed_but_for_the_first() {
    let scene = Scene::in_memory(AccountSettings::default()).await;
    let closed = Err(AccountRefusal::RegistrationClosed);
    assert_eq!(register(&scene, "eve", 1, false).await.map(|_| ()), closed, "from another machine");
    let first = register(&scene, "ann", 1, true).await.unwrap();
    assert_eq!((first.user.role, first.user.source), (Role::Admin, UserSource::Registration));
    assert_eq!(register(&scene, "eve", 1, true).await.map(|_| ()), closed);
}

#[actix::test]
async fn where_registration_is_open_each_becomes_an_operator() {
    let settings = AccountSettings { registration: RegistrationPolicy::Open, ..AccountSettings::default() };
    let scene = Scene::in_memory(settings).await;
    let closed = Err(AccountRefusal::RegistrationClosed);
    assert_eq!(register(&scene, "eve", 1, false).await.map(|_| ()), closed, "there must be an admin first");
    let (one, other) = tokio::join!(register(&scene, "ann", 1, true), register(&scene, "bob", 1, true));
    let mut roles: Vec<_> = [one, other].into_iter().map(|made| made.unwrap().user.role.as_str()).collect();
    roles.sort_unstable();
    assert_eq!(roles, ["admin", "operator"], "of two at once one is the first");
    let taken = register(&scene, "ANN", 1, true).await.unwrap_err();
    assert_eq!(taken, AccountRefusal::NameTaken(UserName::parse("ANN").unwrap()));
    assert!(register(&scene, "carl", 1, true).await.is_ok());
    assert_eq!(register(&scene, "dora", 1, false).await.unwrap_err(), AccountRefusal::TooManyRegistrations);
    assert!(register(&scene, "dora", 2, false).await.is_ok(), "from another address");
    scene.clock.advance(HOUR_MS);
    assert!(register(&scene, "emil", 1, false).await.is_ok());
}

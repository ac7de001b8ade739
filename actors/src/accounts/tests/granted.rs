//! The accounts in a hub, by grants.

use std::time::Duration;

use twinhub_access::AuditEntry;
use twinhub_domain::cause::Source;
use twinhub_testkit::until;

use super::*;
use crate::access::Grant;
use crate::caller::Caller;
use crate::messages::accounts::{MakeServiceKey, RemoveUser};
use crate::{Hub, HubError, Settings};

async fn hub(store: Arc<FailingStore>, clock: Arc<ManualClock>) -> Arc<Hub> {
    let settings = Settings { maintain_every: Duration::from_millis(1), arbiters: 1, ..Settings::default() };
    Hub::start(store, clock, settings).await.unwrap()
}

fn identified(hub: &Arc<Hub>, credential: Credential<'_>) -> Grant {
    let identity = hub.directory.identify(credential, hub.clock.now(), address(1)).unwrap();
    hub.of_identity(&identity, Source::Rest)
}

#[actix::test]
async fn a_grant_of_an_identity_has_its_rights_and_its_name() {
    let store = FailingStore::around(Arc::new(MemoryStore::default()));
    let hub = hub(store.clone(), ManualClock::at(Timestamp::from_millis(NEW_YEAR))).await;
    let token = hub.take_set_up_token().unwrap();
    assert!(hub.take_set_up_token().is_none());
    let nobody =
        hub.of(Caller::Anonymous, Source::Rest).confined_to([Permission::Public].into_iter().collect());
    let signed_in = nobody.change(|reply| SetUp { token, user: new("ann"), peer: peer(1), reply }).await;
    let ann_text = signed_in.unwrap().unwrap().token.reveal();
    let ann = identified(&hub, Credential::Session(&ann_text));
    assert_eq!(&*ann.cause().by, "user:ann");
    let by = ann.asker();
    let added = ann.change(|reply| AddUser { user: new("bob"), role: Role::Viewer, by, reply }).await;
    let bob = added.unwrap().unwrap();
    let (login, password) = ("bob".into(), Password::typed(GOOD).unwrap());
    let sign_in = |reply| SignIn { login, password, code: None, peer: peer(1), reply };
    let text = nobody.change(sign_in).await.unwrap().unwrap().token.reveal();
    let viewer = identified(&hub, Credential::Session(&text));

    let by = viewer.asker();
    let refused = viewer.change(|reply| AddUser { user: new("eve"), role: Role::Viewer, by, reply }).await;
    assert!(matches!(refused, Err(HubError::Forbidden(Permission::Users))), "{refused:?}");
    let by = viewer.asker();
    let refused = viewer.change(|reply| RemoveUser { user: bob.id, by, reply }).await;
    assert!(matches!(refused, Err(HubError::Forbidden(Permission::Users))), "{refused:?}");
    let users = viewer.ask(ListUsers { offset: 0, limit: 1 }).await;
    assert!(matches!(users, Err(HubError::Forbidden(Permission::Users))), "{users:?}");
    assert!(viewer.demand(Permission::Operate).is_err() && viewer.demand(Permission::Read).is_ok());

    let ci = NewKey {
        name: DisplayName::parse("ci").unwrap(),
        role: Role::Viewer,
        scope: ScopeWish::default(),
        life_ms: None,
    };
    let (key, by) = (ci.clone(), viewer.asker());
    let made = viewer.change(|reply| MakeKey { key, by, reply }).await.unwrap().unwrap();
    let by_key = identified(&hub, Credential::Bearer(made.secret.reveal()));
    assert_eq!(&*by_key.cause().by, "key:bob/ci");
    let (key, by) = (ci.clone(), by_key.asker());
    let refused = by_key.change(|reply| MakeKey { key, by, reply }).await;
    assert!(matches!(refused, Err(HubError::Forbidden(Permission::Account))), "{refused:?}");
    let me = by_key.ask(ReadOwnUser { by: by_key.asker() }).await.unwrap().unwrap();
    assert_eq!(me.id, bob.id);
    // A key that somebody came by does not give its owner a new password by way of another admin.
    let of_admin = NewKey { role: Role::Admin, ..ci };
    let (key, by) = (of_admin.clone(), ann.asker());
    let personal = ann.change(|reply| MakeKey { key, by, reply }).await.unwrap().unwrap();
    let (key, by) = (of_admin, ann.asker());
    let service = ann.change(|reply| MakeServiceKey { key, by, reply }).await.unwrap().unwrap();
    for (key, name, users) in [(personal, "key:ann/ci", false), (service, "key:ci", true)] {
        let by_key = identified(&hub, Credential::Bearer(key.secret.reveal()));
        let has = by_key.demand(Permission::Users).is_ok();
        assert_eq!((&*by_key.cause().by, has), (name, users));
        assert!(by_key.demand(Permission::Administer).is_ok() && by_key.demand(Permission::Account).is_err());
    }
    assert!(nobody.ask(ReadOwnUser { by: nobody.asker() }).await.unwrap().is_err());
    crate::testkit::close(&hub).await;
    let kept = store.access().key(&made.key.id).await.unwrap().unwrap();
    assert_eq!(kept.last_used, Some((hub.clock.now(), address(1))), "the hub writes it down as it goes");
}

#[actix::test]
async fn the_audit_is_kept_for_a_year_by_a_clock_that_is_believed() {
    const DAY_MS: i64 = 24 * HOUR_MS;
    let store = FailingStore::around(Arc::new(MemoryStore::default()));
    let clock = ManualClock::at(Timestamp::from_millis(NEW_YEAR));
    let access = Arc::clone(&store).access();
    let entry = |days| {
        let at = Timestamp::from_millis(NEW_YEAR - days * DAY_MS);
        AuditEntry::new(at, "user:ann", Action::SignedIn)
    };
    access.append_audit(&[entry(366), entry(364)]).await.unwrap();
    let kept = async || {
        let query = AuditQuery { limit: 9, ..AuditQuery::default() };
        access.audit(&query).await.unwrap().records.into_iter().map(|record| record.entry).collect::<Vec<_>>()
    };
    let hub = hub(store.clone(), clock.clone()).await;
    until("the older one is removed", async || kept().await == [entry(364)]).await;
    clock.advance(2 * DAY_MS);
    until("the other is too, with time", async || kept().await.is_empty()).await;
    crate::testkit::close(&hub).await;
}

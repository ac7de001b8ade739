//! Keys that are bound to one purpose, in every store.

use super::access::{AccessFixture, all, at, here};
use super::samples::{entry, user};
use crate::KeyUse;
use twinhub_access::bound_key::{BoundKeyWish, KeyPurpose, Provisioning};
use twinhub_access::secret::RANDOM_BYTES;
use twinhub_access::{Action, BoundKey, DisplayName, UserId};

fn key(number: u8, owner: Option<UserId>, purpose: KeyPurpose) -> BoundKey {
    let name = DisplayName::parse("line 3").unwrap();
    let wish = BoundKeyWish { name, owner, purpose, expires_at: Some(at(9_000)), most_uses: Some(2) };
    BoundKey::new(wish, &[number; RANDOM_BYTES], at(number.into())).unwrap().0
}

#[tokio::test]
async fn keys_are_counted_and_the_count_outlasts_a_start() {
    for fixture in AccessFixture::both() {
        let store = fixture.store().await;
        let provisioning = Provisioning { template_id: Some("pump".into()), ..Provisioning::default() };
        let first = key(1, None, KeyPurpose::Provisioning(provisioning));
        let other = key(2, None, KeyPurpose::Webhook("door".into()));
        let told = [entry(1, "user:ann", Action::ProvisioningKeyCreated)];
        assert!(store.add_bound_key(&other, &[]).await.unwrap());
        assert!(store.add_bound_key(&first, &told).await.unwrap());
        let used = |at| KeyUse { id: first.secret.id.clone(), at, address: here() };
        assert!(store.use_bound_key(&used(at(10)), &told).await.unwrap());

        let store = fixture.store().await; // as after a crash
        let after = BoundKey { uses: 1, last_used: Some((at(10), here())), ..first.clone() };
        assert_eq!(store.bound_keys().await.unwrap(), [after, other.clone()]);
        assert!(store.use_bound_key(&used(at(20)), &[]).await.unwrap());
        assert!(!store.use_bound_key(&used(at(30)), &told).await.unwrap(), "twice at most");
        store.give_back_bound_key(&first.secret.id).await.unwrap();
        assert!(store.use_bound_key(&used(at(40)), &[]).await.unwrap());
        assert_eq!(store.bound_keys().await.unwrap()[0].uses, 2);
        assert_eq!(store.audit(&all()).await.unwrap().records.len(), 2, "what was not counted left no trace");

        assert!(store.remove_bound_key(&first.secret.id, &told).await.unwrap());
        assert!(!store.remove_bound_key(&first.secret.id, &told).await.unwrap());
        assert!(!store.use_bound_key(&used(at(50)), &told).await.unwrap());
        store.give_back_bound_key(&first.secret.id).await.unwrap();
        assert_eq!(store.bound_keys().await.unwrap(), [other]);
        assert_eq!(store.audit(&all()).await.unwrap().records.len(), 3);
    }
}

#[tokio::test]
async fn keys_go_with_the_user_who_made_them() {
    for fixture in AccessFixture::both() {
        let store = fixture.store().await;
        let ann = user(1, "ann");
        let of_ann = key(1, Some(ann.id), KeyPurpose::Webhook("door".into()));
        assert!(!store.add_bound_key(&of_ann, &[]).await.unwrap(), "she is not there yet");
        store.put_user(&ann, &[]).await.unwrap();
        assert!(store.add_bound_key(&of_ann, &[]).await.unwrap());
        store.remove_user(ann.id, &[]).await.unwrap();
        assert_eq!(store.bound_keys().await.unwrap(), []);
    }
}

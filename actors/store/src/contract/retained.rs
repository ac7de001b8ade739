//! Retained messages, in every store.

use std::sync::Arc;

use super::support::{NOON, SqlFixture};
use crate::{MemoryStore, RetainedStore};
use twinhub_domain::Timestamp;
use twinhub_domain::retained::{RetainedChange, RetainedMessage};

fn message(topic: &str, payload: &'static [u8], qos: u8) -> RetainedMessage {
    RetainedMessage {
        topic: topic.into(),
        payload: payload.into(),
        qos,
        properties: b"\x07\x26\x00\x01a\x00\x01b"[..].into(),
        stored_at: Timestamp::from_millis(NOON),
        expires_at: (qos == 2).then(|| Timestamp::from_millis(NOON + 1_000)),
    }
}

fn keep(message: &RetainedMessage) -> RetainedChange {
    RetainedChange::Keep(Arc::new(message.clone()))
}

async fn all(store: &dyn RetainedStore) -> Vec<RetainedMessage> {
    let mut all = store.retained().await.unwrap();
    all.sort_by(|one, other| one.topic.cmp(&other.topic));
    all
}

async fn the_last_message_of_a_topic_is_kept(store: &dyn RetainedStore) {
    assert_eq!(all(store).await, []);
    let long = format!("a/{}", "x".repeat(60_000));
    let first = [message("A/b", b"1", 0), message("a/b", b"2", 1), message(&long, b"\0\xff", 2)];
    store.change_retained(&first.iter().map(keep).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(all(store).await, first);
    store.change_retained(&[]).await.unwrap();

    let second = message("a/b", b"3", 2);
    let changes = [keep(&second), RetainedChange::Clear("A/b".into()), RetainedChange::Clear("no".into())];
    for _ in 0..2 {
        store.change_retained(&changes).await.unwrap(); // again, after an answer that got lost
        assert_eq!(all(store).await, [second.clone(), first[2].clone()]);
    }
}

#[tokio::test]
async fn memory_keeps_the_last_retained_message_of_a_topic() {
    the_last_message_of_a_topic_is_kept(&MemoryStore::default()).await;
}

#[tokio::test]
async fn a_database_keeps_the_last_retained_message_of_a_topic() {
    let fixture = SqlFixture::new();
    the_last_message_of_a_topic_is_kept(&*fixture.open().await).await;
    assert_eq!(all(&*fixture.open().await).await.len(), 2, "over a restart");
}

#[tokio::test]
async fn many_retained_messages_are_written_at_once() {
    let fixture = SqlFixture::new();
    let store = fixture.open().await;
    let messages: Vec<_> = (0..1_500).map(|n| message(&format!("t/{n}"), b"x", 1)).collect();
    store.change_retained(&messages.iter().map(keep).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(all(&*store).await.len(), 1_500);
    let clear: Vec<_> = messages.iter().map(|m| RetainedChange::Clear(m.topic.clone())).collect();
    store.change_retained(&clear).await.unwrap();
    assert_eq!(all(&*store).await, []);
}

//! Look-ups against the plain way: every topic, matched one by one.

use std::sync::atomic::{AtomicUsize, Ordering};

use mqtt5::topic_matches_filter;
use proptest::prelude::*;

use super::*;
use crate::testing::{MemoryPersistence, still};

fn kept(topic: &str) -> Arc<RetainedMessage> {
    let packet = PublishPacket::new(topic, &b"1"[..], QoS::AtMostOnce);
    Arc::new(message(&packet, Timestamp::default()))
}

fn index(topics: &[&str]) -> Index {
    let mut index = Index::default();
    for topic in topics {
        index.insert(kept(topic));
    }
    index
}

fn found(index: &mut Index, filter: &str) -> Vec<String> {
    let (mut found, mut steps) = (Vec::new(), usize::MAX);
    let Some(mut cursor) = Cursor::new(filter) else { return found };
    while let Peeked::Message(message) = index.peek(&mut cursor, &mut steps) {
        found.push(message.topic.to_string());
        Index::pass(&mut cursor, &message);
    }
    found
}

#[test]
fn finds_what_a_filter_asks_for() {
    let topics = ["a", "a/b", "a/b/c", "a /b", "ab", "a//b", "/a", "$SYS/a", "b/x/c", "b/y/c", "b/y/d"];
    let mut index = index(&topics);
    for (filter, expected) in [
        ("a", &["a"][..]),
        ("a/b", &["a/b"]),
        ("a/#", &["a", "a//b", "a/b", "a/b/c"]),
        ("a/+", &["a/b"]),
        ("a/+/b", &["a//b"]),
        ("+", &["a", "ab"]),
        ("+/+", &["/a", "a/b", "a /b"]),
        ("+/b", &["a/b", "a /b"]),
        ("b/+/c", &["b/x/c", "b/y/c"]),
        ("+/+/c", &["a/b/c", "b/x/c", "b/y/c"]),
        ("$SYS/#", &["$SYS/a"]),
        ("$SYS/+", &["$SYS/a"]),
        ("$share/g/a", &[]),
        ("c/#", &[]),
    ] {
        assert_eq!(found(&mut index, filter), expected, "{filter}");
    }
    assert_eq!(found(&mut index, "#").len(), topics.len() - 1, "all but those of the broker");
}

fn levels(any: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(any), 1..5).prop_map(|levels| levels.join("/"))
}

proptest! {
    #[test]
    fn finds_the_same_as_the_plain_way(
        topics in prop::collection::btree_set(levels(&["", "a", "b", "ab", "a\u{1}", "$a"]), 0..40),
        filter in levels(&["", "a", "b", "ab", "+", "+", "$a"]),
        all_below in any::<bool>(),
    ) {
        prop_assume!(topics.iter().all(|topic| !topic.is_empty()));
        let filter = if all_below { format!("{filter}/#") } else { filter };
        prop_assume!(!filter.is_empty());
        let mut index = index(&topics.iter().map(|topic| &**topic).collect::<Vec<_>>());
        let mut found = found(&mut index, &filter);
        found.sort();
        let plain: Vec<String> = topics.iter().filter(|topic| topic_matches_filter(topic, &filter)).cloned().collect();
        prop_assert_eq!(found, plain);
    }
}

#[tokio::test]
async fn a_filter_that_many_branches_lead_nowhere_for_is_looked_up_bit_by_bit() {
    let store = Arc::new(MemoryPersistence::default());
    let retained = Retained::load(store, still(), RetainedLimits::default()).await.unwrap();
    for number in 0..5_000 {
        let topic = format!("iot/devices/{number}/status");
        retained.take(&PublishPacket::new(topic, &b"1"[..], QoS::AtMostOnce), None);
    }
    let mut cursor = Cursor::new("iot/devices/+/zzz1").unwrap();
    let mut turns = 1;
    loop {
        let (before, mut steps) = (retained.looked_at(), 1_000);
        let answered = retained.answer(&mut cursor, &mut steps, |_| panic!("there is none"));
        assert!(retained.looked_at() - before <= 1_000);
        if answered == AnswerProgress::All {
            break;
        }
        assert_eq!((answered, steps), (AnswerProgress::Interrupted, 0));
        turns += 1;
    }
    assert!((5..=12).contains(&turns), "it goes on where it was: {turns}");
}

/// A store that is down.
struct Down;

#[async_trait::async_trait]
impl RetainedPersistence for Down {
    async fn retained(&self) -> Result<Vec<RetainedMessage>, PersistenceError> {
        Ok(Vec::new())
    }

    async fn change_retained(&self, _: &[RetainedChange]) -> Result<(), PersistenceError> {
        Err(PersistenceError("down".into()))
    }
}

/// Topics that are cleared as soon as they are said, and take room until the store knows it. `written_at`: so many are
/// being written, for ever.
async fn topics_that_fit(written_at: Option<usize>) -> (usize, Arc<Retained>) {
    let limits = RetainedLimits { total: 100_000, ..Default::default() };
    let retained = Retained::load(Arc::new(Down), still(), limits).await.unwrap();
    let packet = |topic: &str, payload: &'static [u8]| PublishPacket::new(topic, payload, QoS::AtMostOnce);
    for _ in 0..10_000 {
        retained.take(&packet("a", b"1"), None);
    }
    assert!(retained.lock().waiting.is_empty(), "nobody waits for these");
    let mut topics = 0;
    loop {
        let topic = format!("t/{topics:04}");
        if !retained.has_room(&packet(&topic, b"1")) {
            return (topics, retained);
        }
        retained.take(&packet(&topic, b"1"), None);
        retained.take(&packet(&topic, b""), None);
        topics += 1;
        assert!(topics < 10_000, "topics that are to be cleared take room, too");
        if Some(topics) == written_at {
            assert!(retained.next_round().is_some());
        }
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_bounded() {
    let (topics, _) = topics_that_fit(None).await;
    let (again, retained) = topics_that_fit(Some(500)).await;
    assert!(topics > 500);
    assert_eq!(again, topics, "what is being written takes as much room");
    let (upto, _) = retained.next_round().unwrap();
    retained.settle(upto);
    let packet = PublishPacket::new("t", &b"1"[..], QoS::AtMostOnce);
    assert!(retained.next_round().is_none() && retained.has_room(&packet), "all is written");
}

#[test]
fn what_is_replaced_or_removed_takes_no_room() {
    let mut index = index(&["a", "a", "b/c"]);
    assert_eq!((index.len(), index.bytes()), (2, size(&kept("a")) + size(&kept("b/c"))));
    assert_eq!(index.topics_below("b"), [Arc::<str>::from("b/c")]);
    assert_eq!(index.topics_below("a"), [] as [Arc<str>; 0]);
    assert!(index.remove("a") && index.remove("b/c") && !index.remove("a"));
    assert_eq!((index.len(), index.bytes()), (0, 0));
}

#[test]
fn a_packet_comes_out_as_it_went_in() {
    let mut sent = PublishPacket::new("a/b", &b"1"[..], QoS::AtLeastOnce)
        .with_user_property("k".into(), "v".into())
        .with_content_type("text/plain".into())
        .with_message_expiry_interval(60);
    let now = Timestamp::from_millis(1_000_000);
    let kept = message(&sent, now);
    assert_eq!(kept.expires_at, Some(Timestamp::from_millis(1_060_000)));
    let later = packet(&kept, Timestamp::from_millis(1_010_500));
    assert_eq!(later.message_expiry_interval(), Some(49));
    sent.retain = true;
    assert!(later.retain && later.topic_name == sent.topic_name && later.payload == sent.payload);
    assert_eq!(later.properties.get_user_property_value("k"), Some("v"));
    assert_eq!(later.properties.get_content_type().as_deref(), Some("text/plain"));
}

#[tokio::test]
async fn expired_messages_are_not_sent_before_the_sweep() {
    let store = Arc::<MemoryPersistence>::default();
    let keep = |topic: &str, end: Option<i64>| {
        let expires_at = end.map(Timestamp::from_millis);
        RetainedChange::Keep(Arc::new(RetainedMessage { expires_at, ..(*kept(topic)).clone() }))
    };
    let changes = [keep("a/over", Some(1)), keep("a/lasts", Some(i64::MAX)), keep("a/stays", None)];
    store.change_retained(&changes).await.unwrap();
    let retained = Retained::load(store, still(), RetainedLimits::default()).await.unwrap();
    let (mut told, mut steps) = (Vec::new(), usize::MAX);
    let answered = retained.answer(&mut Cursor::new("a/#").unwrap(), &mut steps, |packet| {
        told.push(packet.topic_name.clone());
        true
    });
    assert_eq!((answered, told), (AnswerProgress::All, vec!["a/lasts".to_owned(), "a/stays".to_owned()]));
}

#[tokio::test]
async fn what_comes_during_a_commit_is_acknowledged_after_the_next_one() {
    let store = Arc::<MemoryPersistence>::default();
    let retained = Retained::load(store, still(), RetainedLimits::default()).await.unwrap();
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let take = |topic: &str| {
        let acknowledged = Arc::clone(&acknowledged);
        let receipt = Receipt::new(move |settled| {
            acknowledged.fetch_add(usize::from(settled.is_ok()), Ordering::Relaxed);
        });
        retained.take(&PublishPacket::new(topic, &b"1"[..], QoS::AtLeastOnce), Some(receipt));
    };
    take("a");
    for (comes, expected) in [("b", 1), ("c", 2)] {
        let (upto, _) = retained.next_round().unwrap();
        take(comes);
        retained.settle(upto);
        assert_eq!(acknowledged.load(Ordering::Relaxed), expected, "{comes} is not written yet");
    }
}

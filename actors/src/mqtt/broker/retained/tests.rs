//! Look-ups against the plain way: every topic, matched one by one.

use mqtt5::topic_matches_filter;
use proptest::prelude::*;

use super::*;

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
    let mut found = Vec::new();
    let Some(mut cursor) = Cursor::new(filter) else { return found };
    while let Some(message) = index.peek(&mut cursor) {
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

#[test]
fn what_is_replaced_or_removed_takes_no_room() {
    let mut index = index(&["a", "a", "b/c"]);
    assert_eq!((index.len(), index.bytes()), (2, size(&kept("a")) + size(&kept("b/c"))));
    assert_eq!(index.topics_below("b"), ["b/c".into()]);
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

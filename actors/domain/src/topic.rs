//! Topic filters of MQTT: `+` matches one level, `#` all that follow.

use crate::text::has_control;

/// Does `filter` match `topic`? Also decides whether it matches all that another filter does, given as `topic`.
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    // Topics of the broker itself are not meant by who asks for everything.
    if topic.starts_with('$') != filter.starts_with('$') {
        return false;
    }
    let (mut levels, mut wanted) = (topic.split('/'), filter.split('/'));
    loop {
        match (wanted.next(), levels.next()) {
            (Some("#"), _) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(own), Some(level)) if own == level => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// Is there a topic that both filters match?
#[must_use]
pub fn overlap(one: &str, other: &str) -> bool {
    if one.starts_with('$') != other.starts_with('$') {
        return false;
    }
    let (mut ones, mut others) = (one.split('/'), other.split('/'));
    loop {
        match (ones.next(), others.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(one), Some(other)) if one == "+" || other == "+" || one == other => {}
            _ => return false,
        }
    }
}

/// Reasons for which a text is no topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFilter {
    #[error("a topic filter must not be empty")]
    Empty,
    #[error("a topic filter has {LONGEST_FILTER} bytes at most here")]
    TooLong,
    #[error("`+` and `#` stand alone between slashes, and `#` at the end")]
    Wildcard,
    #[error("topics that begin with `$` are the broker's own")]
    OfBroker,
    #[error("no control characters, and no white space at the ends")]
    Character,
}

/// The longest topic filter that is kept, in bytes.
const LONGEST_FILTER: usize = 512;

/// Looks whether `text` is a topic filter of clients.
///
/// # Errors
/// It is none.
pub fn check_filter(text: &str) -> Result<(), BadFilter> {
    if text.is_empty() {
        return Err(BadFilter::Empty);
    }
    if text.len() > LONGEST_FILTER {
        return Err(BadFilter::TooLong);
    }
    if text.starts_with('$') {
        return Err(BadFilter::OfBroker);
    }
    if has_control(text) || text.trim() != text {
        return Err(BadFilter::Character);
    }
    let mut levels = text.split('/').peekable();
    while let Some(level) = levels.next() {
        let is_whole = match level {
            "#" => levels.peek().is_none(),
            "+" => true,
            level => !level.contains(['+', '#']),
        };
        if !is_whole {
            return Err(BadFilter::Wildcard);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{BadFilter, LONGEST_FILTER, check_filter, matches, overlap};

    #[test]
    fn filters_have_a_form() {
        let long = "a".repeat(LONGEST_FILTER + 1);
        for (text, expected) in [
            ("a", Ok(())),
            ("#", Ok(())),
            ("+", Ok(())),
            ("a/+/c d/#", Ok(())),
            ("/a//b", Ok(())),
            (&long[1..], Ok(())),
            ("", Err(BadFilter::Empty)),
            (&long, Err(BadFilter::TooLong)),
            ("a/#/b", Err(BadFilter::Wildcard)),
            ("a#", Err(BadFilter::Wildcard)),
            ("a/b+", Err(BadFilter::Wildcard)),
            ("$SYS/#", Err(BadFilter::OfBroker)),
            ("$share/g/a", Err(BadFilter::OfBroker)),
            ("a\nb", Err(BadFilter::Character)),
            (" a", Err(BadFilter::Character)),
        ] {
            assert_eq!(check_filter(text), expected, "{text}");
        }
    }

    fn filter() -> impl Strategy<Value = String> {
        let levels = prop::collection::vec(prop_oneof![3 => "[ab]", 1 => Just("+".to_owned())], 1..5);
        (levels, any::<bool>()).prop_map(|(mut levels, all)| {
            if all {
                levels.push("#".into());
            }
            levels.join("/")
        })
    }

    proptest! {
        /// Filters overlap where one topic is matched by both, and where one is within the other.
        #[test]
        fn filters_overlap_where_a_topic_is_of_both(
            one in filter(),
            other in filter(),
            topic in prop::collection::vec("[abc]", 1..6),
        ) {
            let topic = topic.join("/");
            if matches(&one, &topic) && matches(&other, &topic) {
                prop_assert!(overlap(&one, &other), "{one} {other} {topic}");
            }
            prop_assert_eq!(overlap(&one, &other), overlap(&other, &one));
            if matches(&one, &other) {
                prop_assert!(overlap(&one, &other), "{other} is within {one}");
            }
            prop_assert_eq!(check_filter(&one), Ok(()));
        }
    }

    #[test]
    fn filters_overlap() {
        let check = |one, other, expected| assert_eq!(overlap(one, other), expected, "{one} {other}");
        check("a/+", "+/b", true);
        check("a/+", "b/+", false);
        check("a/#", "a", true);
        check("a/+/c", "a/b/#", true);
        check("a/b", "a/b/c", false);
        check("#", "iot/devices/+/desired", true);
        check("iot/devices/+/data", "iot/devices/+/desired", false);
        check("#", "$SYS/a", false);
    }

    #[test]
    fn as_mqtt_says() {
        let check =
            |filter, topic, expected| assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        check("a/b", "a/b", true);
        check("a/b", "a/b/c", false);
        check("a/b/c", "a/b", false);
        check("a/+", "a/b", true);
        check("a/+", "a", false);
        check("a/+", "a/", true);
        check("+/+", "/b", true);
        check("a/#", "a", true);
        check("a/#", "a/b/c", true);
        check("#", "a/b", true);
        check("#", "$SYS/uptime", false);
        check("+/uptime", "$SYS/uptime", false);
        check("$SYS/#", "$SYS/uptime", true);
        // One filter within another.
        check("a/#", "a/+", true);
        check("a/+", "a/#", false);
        check("a/+/c", "a/b/+", false);
    }
}

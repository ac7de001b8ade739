//! Topic filters of MQTT: `+` matches one level, `#` all that follow.

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

#[cfg(test)]
mod tests {
    use super::matches;

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

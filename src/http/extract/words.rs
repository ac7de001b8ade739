//! The one vocabulary of queries: each word with those of earlier versions and of other systems, which are read as it is.

/// A word, and another that is read as it where it is asked for.
pub const OLDER_WORDS: [(&str, &str); 10] = [
    ("from", "start_date"),
    ("to", "end_date"),
    ("device_id", "device"),
    ("group_id", "group"),
    ("template_id", "template"),
    ("rule_id", "rule"),
    ("run_id", "run"),
    ("parent_id", "parent"),
    ("parent_group", "parent"),
    ("command_type", "type"),
];

/// The words, for people: in the description, and in the README.
pub const TABLE: &str = "\
| word | of | read as it too |
|---|---|---|
| `command_type` | what a command does | `type` |
| `timestamp` | when a reading was taken | |
| `at`, `…_at` | when anything else happened | |
| `from`, `to` | a stretch of time: from here on, up to there | `start_date`, `end_date` |
| `since` | a place in the one sequence of events, by its `cursor`: only what came after it | |
| `timeout`, `ttl`, `for` and other durations | a text such as `30s`, or seconds; given back as it was given | |
| `device_id`, `group_id`, `template_id`, `rule_id`, `run_id`, `job_id`, `image_id` | what is meant, by its id | `device`, `group`, `template`, `rule`, `run` |
| `parent_group`, `parent_id` | the group, or the run, above | `parent`, and `parent_id` of a group |
| `rate` | devices a second | |
| `share` | a part of a whole, 0 to 1 | `rate` in a roll-out's `abort` |
";

/// Is the parameter `given` what is asked for as `word`?
#[must_use]
pub fn means(word: &str, given: &str) -> bool {
    word == given || OLDER_WORDS.contains(&(word, given))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_all_older_words_and_stands_in_the_readme() {
        for (word, older) in OLDER_WORDS {
            let has = |row: &str| row.contains(&format!("`{word}`")) && row.contains(&format!("`{older}`"));
            assert!(TABLE.lines().any(has), "{older} for {word}");
        }
        let readme = include_str!("../../../README.md");
        for row in TABLE.lines() {
            assert!(readme.contains(row), "{row}");
        }
    }
}

//! The filter of the log: a level, or a list such as `info,twinhub_mqtt=debug`. Read strictly: the
//! library takes every word that it does not know for a part of some program, and then logs nothing of any other.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use twinhub_rules::file::nearest;

/// A filter that means something.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LogFilter(String);

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// Our own parts. Others (`sqlx`, `actix_web`) may be named too.
const OURS: [&str; 11] = [
    "twinhub",
    "twinhub_access",
    "twinhub_actors",
    "twinhub_domain",
    "twinhub_migrations",
    "twinhub_mqtt",
    "twinhub_readings",
    "twinhub_rules",
    "twinhub_socketio",
    "twinhub_store",
    "twinhub_tls",
];

impl LogFilter {
    /// As the library reads it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".into())
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = parts(text).map(str::trim).filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            return Err(format!("it says nothing: expected {}", expected()));
        }
        for part in &parts {
            check(part)?;
        }
        Ok(Self(parts.join(",")))
    }
}

super::values::from_string!(LogFilter);

fn expected() -> String {
    format!("one of {}, or parts with their levels such as info,twinhub_mqtt=debug", LEVELS.join(", "))
}

/// The directives, between commas that are not inside of brackets (`part[span{field=1,other=2}]=debug`).
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |c| {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth <= 0
    })
}

fn check(part: &str) -> Result<(), String> {
    let after_span = part.rfind(']').map_or(0, |at| at + 1);
    let Some(at) = part[after_span..].rfind('=') else {
        return if is_level(part) { Ok(()) } else { Err(no_level(part, part)) };
    };
    let (target, level) = (part[..after_span + at].trim(), part[after_span + at + 1..].trim());
    if !is_level(level) {
        return Err(no_level(level, part));
    }
    let name = target.split(['[', ':']).next().unwrap_or_default();
    let is_name = |c: char| c.is_alphanumeric() || "_-".contains(c);
    if target.is_empty() || !name.chars().all(is_name) {
        return Err(format!("`{target}` in `{part}` is no part of a program: expected {}", expected()));
    }
    match nearest(name, OURS.into_iter()) {
        Some(ours) if ours != name => {
            Err(format!("`{name}` in `{part}` is no part of twinhub, did you mean `{ours}`?"))
        }
        _ => Ok(()),
    }
}

fn is_level(word: &str) -> bool {
    LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level))
}

fn no_level(word: &str, part: &str) -> String {
    let place = if word == part { String::new() } else { format!(" in `{part}`") };
    let hint = nearest(word, LEVELS.into_iter()).map(|level| format!(", did you mean `{level}`?"));
    format!("`{word}`{place} is no level: expected {}{}", expected(), hint.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crate_that_logs_is_a_part() {
        let manifest: toml::Table = include_str!("../../Cargo.toml").parse().unwrap();
        let crates =
            manifest["dependencies"].as_table().unwrap().keys().filter(|name| name.starts_with("twinhub-"));
        let mut crates: Vec<_> = crates.map(|name| name.replace('-', "_")).collect();
        crates.push("twinhub".into());
        crates.sort();
        assert_eq!(crates, OURS);
    }

    #[test]
    fn levels_and_parts_with_levels_are_taken() {
        for (text, read) in [
            ("info", "info"),
            ("WARN", "WARN"),
            ("off", "off"),
            (" info , twinhub_mqtt=debug ", "info,twinhub_mqtt=debug"),
            ("twinhub_mqtt::broker=trace", "twinhub_mqtt::broker=trace"),
            ("warn,sqlx=debug,actix_web=info,", "warn,sqlx=debug,actix_web=info"),
            ("twinhub[request{id=1,path=2}]=debug", "twinhub[request{id=1,path=2}]=debug"),
            ("sea_orm=warn,tokio=info,mqtt5=warn", "sea_orm=warn,tokio=info,mqtt5=warn"),
        ] {
            assert_eq!(text.parse(), Ok(LogFilter(read.into())), "{text}");
        }
    }

    #[test]
    fn what_would_silence_the_log_is_refused_with_the_words_that_exist() {
        for (text, parts) in [
            ("loud", &["`loud` is no level", "off, error, warn, info, debug, trace"][..]),
            ("", &["it says nothing", "off, error"]),
            (",", &["it says nothing"]),
            ("inof", &["`inof` is no level", "did you mean `info`?"]),
            ("info,foo=loud", &["`loud` in `foo=loud` is no level"]),
            ("info,foo", &["`foo` is no level"]),
            ("=debug", &["`` in `=debug` is no part of a program"]),
            ("info,twinhub_actor=debug", &["`twinhub_actor`", "did you mean `twinhub_actors`?"]),
            ("what=ever=it", &["`it` in `what=ever=it` is no level"]),
            ("5", &["`5` is no level"]),
        ] {
            let error = text.parse::<LogFilter>().unwrap_err();
            for part in parts {
                assert!(error.contains(part), "{text}: `{part}` is not in: {error}");
            }
        }
    }
}

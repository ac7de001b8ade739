//! User names, e-mail addresses and display names: read once, valid from then on.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};
use twinhub_domain::text::{composed, has_control, searched};

/// A user's name for signing in: 1 to 64 letters and digits, and `.`, `_`, `-` among them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct UserName(Box<str>);

/// An e-mail address. Its form is checked, not its existence.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Email(Box<str>);

/// A name for people to read: up to 128 characters; it may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DisplayName(Box<str>);

/// Reasons for which a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    #[error("a user name must not be empty")]
    Empty,
    #[error("{what} has {most} characters at most, this one has {found}")]
    TooLong { what: &'static str, most: usize, found: usize },
    #[error("a user name is made of letters, digits and . _ - and this one has `{}`", .0.escape_debug())]
    Character(char),
    #[error("a user name begins with a letter or digit")]
    Beginning,
    #[error("`{0}` means something else to the hub: take another name")]
    Reserved(Box<str>),
    #[error("an e-mail address looks like ann@example.com")]
    NoEmail,
    #[error("a display name has no control characters")]
    Control,
}

const LONGEST_NAME: usize = 64;
const LONGEST_DISPLAY_NAME: usize = 128;
/// RFC 5321: 64 bytes before the `@`, 254 in all.
const LONGEST_EMAIL: usize = 254;
const LONGEST_LOCAL_PART: usize = 64;
/// Words for callers without a name, and words in the place of a name in routes.
const RESERVED: [&str; 6] = ["anonymous", "device", "hub", "me", "nobody", "program"];

impl UserName {
    /// Takes `text` as a user name, in its composed form.
    ///
    /// # Errors
    /// The reason why it is none.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let text = composed(text);
        let Some(first) = text.chars().next() else { return Err(BadName::Empty) };
        if let Some(bad) = text.chars().find(|c| !(c.is_alphanumeric() || "._-".contains(*c))) {
            return Err(BadName::Character(bad));
        }
        if !first.is_alphanumeric() {
            return Err(BadName::Beginning);
        }
        check_length("a user name", LONGEST_NAME, &text)?;
        let name = Self(text.into());
        if RESERVED.contains(&&*name.key()) {
            return Err(BadName::Reserved(name.0));
        }
        Ok(name)
    }

    /// The form in which names are compared: `Ann` and `ann` are one person.
    #[must_use]
    pub fn key(&self) -> String {
        searched(&self.0)
    }

    /// The name as it was typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Email {
    /// Takes `text` as an e-mail address.
    ///
    /// # Errors
    /// The reason why it is none.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let text = composed(text.trim());
        let (local, domain) = text.rsplit_once('@').ok_or(BadName::NoEmail)?;
        let is_plain = |part: &str| {
            let has_odd =
                part.chars().any(|c| c.is_whitespace() || c.is_control() || "<>()[],;:\\\"@".contains(c));
            !part.is_empty() && !has_odd && part.split('.').all(|label| !label.is_empty())
        };
        let is_host = domain.chars().all(|c| c.is_alphanumeric() || ".-".contains(c));
        if !is_plain(local) || !is_plain(domain) || !is_host {
            return Err(BadName::NoEmail);
        }
        check_length("an e-mail address", LONGEST_EMAIL, &text)?;
        if local.len() > LONGEST_LOCAL_PART || text.len() > LONGEST_EMAIL {
            return Err(BadName::NoEmail);
        }
        Ok(Self(text.into()))
    }

    /// The form in which addresses are compared.
    #[must_use]
    pub fn key(&self) -> String {
        searched(&self.0)
    }

    /// The part before the `@`.
    #[must_use]
    pub fn local_part(&self) -> &str {
        self.0.rsplit_once('@').map_or(&*self.0, |(local, _)| local)
    }

    /// The address as it was typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl DisplayName {
    /// Takes `text` as a display name, without white space around it.
    ///
    /// # Errors
    /// The reason why it is none.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let text = composed(text.trim());
        if has_control(&text) || text.chars().any(turns_around) {
            return Err(BadName::Control);
        }
        check_length("a display name", LONGEST_DISPLAY_NAME, &text)?;
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The key under which a user is looked up who signs in as `text`, by name or by e-mail address. No name has an `@`, so
/// nobody can take another's address for a name.
#[must_use]
pub fn login_key(text: &str) -> String {
    searched(&composed(text.trim()))
}

/// Marks that turn the direction of text around: a name with one reads as another's.
fn turns_around(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn check_length(what: &'static str, most: usize, text: &str) -> Result<(), BadName> {
    match text.chars().count() {
        found if found > most => Err(BadName::TooLong { what, most, found }),
        _ => Ok(()),
    }
}

macro_rules! texts {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    )+};
}

texts!(UserName, Email, DisplayName);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_taken_or_it_is_said_why_not() {
        for (typed, name) in
            [("ann", "ann"), ("Ann.B-9_", "Ann.B-9_"), ("bu\u{308}ro", "büro"), ("山田", "山田")]
        {
            assert_eq!(UserName::parse(typed).unwrap().as_str(), name);
        }
        assert!(UserName::parse(&"ü".repeat(64)).is_ok());
        for (wrong, why) in [
            ("", "a user name must not be empty"),
            ("a b", "a user name is made of letters, digits and . _ - and this one has ` `"),
            ("a@b", "a user name is made of letters, digits and . _ - and this one has `@`"),
            ("a\nb", "a user name is made of letters, digits and . _ - and this one has `\\n`"),
            ("a\u{202e}b", "a user name is made of letters, digits and . _ - and this one has `\\u{202e}`"),
            (".ann", "a user name begins with a letter or digit"),
            ("Anonymous", "`Anonymous` means something else to the hub: take another name"),
            (&"ü".repeat(65), "a user name has 64 characters at most, this one has 65"),
        ] {
            assert_eq!(UserName::parse(wrong).unwrap_err().to_string(), why, "{wrong}");
        }
        let (one, other) = (UserName::parse("BU\u{308}RO").unwrap(), UserName::parse("büro").unwrap());
        assert_eq!((one.key(), login_key(" Bu\u{308}ro ")), (other.key(), other.key()));
    }

    #[test]
    fn addresses_have_a_form() {
        for (typed, kept, local) in [
            ("ann@example.com", "ann@example.com", "ann"),
            (" Ann.B+x@Example.COM ", "Ann.B+x@Example.COM", "Ann.B+x"),
            ("root@localhost", "root@localhost", "root"),
            ("jürgen@münchen.example", "jürgen@münchen.example", "jürgen"),
        ] {
            let email = Email::parse(typed).unwrap();
            assert_eq!((email.as_str(), email.local_part()), (kept, local));
            assert_eq!(email.key(), login_key(typed));
        }
        let long = format!("{}@example.com", "a".repeat(65));
        let longer = format!("a@{}.com", "b".repeat(254));
        for wrong in [
            "",
            "@",
            "ann",
            "ann@",
            "@b.com",
            "a b@c.com",
            "a@b@c.com",
            "a@b..com",
            ".a@b.com",
            "a@b.com\n.x",
            "<a@b.com>",
            "a@b_c.com",
            &long,
            &longer,
        ] {
            assert!(Email::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn display_names_are_plain_text() {
        assert_eq!(DisplayName::parse("  Ann B. ").unwrap().as_str(), "Ann B.");
        assert_eq!(DisplayName::parse("").unwrap(), DisplayName::default());
        assert_eq!(DisplayName::parse("a\tb"), Err(BadName::Control));
        assert_eq!(DisplayName::parse("nna\u{202e}"), Err(BadName::Control));
        let why = DisplayName::parse(&"x".repeat(129)).unwrap_err().to_string();
        assert_eq!(why, "a display name has 128 characters at most, this one has 129");
    }

    proptest! {
        #[test]
        fn a_name_that_is_taken_is_taken_again(text in "\\PC{0,70}") {
            if let Ok(name) = UserName::parse(&text) {
                prop_assert_eq!(&UserName::parse(name.as_str()).unwrap(), &name);
                prop_assert_eq!(login_key(&text), name.key());
                let json = serde_json::to_string(&name).unwrap();
                prop_assert_eq!(serde_json::from_str::<UserName>(&json).unwrap(), name);
            }
            if let Ok(email) = Email::parse(&text) {
                prop_assert_eq!(Email::parse(email.as_str()).unwrap(), email);
            }
            if let Ok(name) = DisplayName::parse(&text) {
                prop_assert_eq!(DisplayName::parse(name.as_str()).unwrap(), name);
            }
        }
    }
}

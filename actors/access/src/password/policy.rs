//! The policy for new passwords: length counts, and what everybody tries first is refused. No rule says which kinds of
//! characters to mix, and none that passwords must be changed: both make worse passwords (NIST SP 800-63B).

use twinhub_domain::text::searched;

use super::Password;
use crate::name::{Email, UserName};

/// Sorted, a password a line; lines that begin with `#` are comments.
const COMMON: &str = include_str!("common.txt");
/// The program's own name is the first guess.
const PROGRAM: &str = "twinhub";

/// The least length of new passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    least: usize,
}

/// The names that a password must not be made of.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    pub name: &'a UserName,
    pub email: Option<&'a Email>,
}

/// Reasons to refuse a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPassword {
    #[error("a password has at least {least} characters")]
    TooShort { least: usize },
    #[error("a password has {most} characters at most")]
    TooLong { most: usize },
    #[error("this password is one of those that are tried first")]
    Common,
    #[error("this password is little more than a name that others know")]
    Name,
    #[error("this password repeats a few characters, or counts them up")]
    Pattern,
}

impl PasswordPolicy {
    const SHORT: usize = 8;
    const LONG: usize = 15;
    /// A password keeps at least as many characters without the names in it.
    const BESIDE_NAMES: usize = 6;

    /// The policy for a hub that listens on loopback alone, or beyond, and for a user with a second factor, or without.
    #[must_use]
    pub fn new(only_loopback: bool, has_totp: bool) -> Self {
        Self { least: if only_loopback || has_totp { Self::SHORT } else { Self::LONG } }
    }

    /// The least number of characters.
    #[must_use]
    pub fn least(self) -> usize {
        self.least
    }

    /// Judges a new password of a user.
    ///
    /// # Errors
    /// The reason why it is refused.
    pub fn check(self, password: &Password, about: About<'_>) -> Result<(), BadPassword> {
        if password.as_str().chars().count() < self.least {
            return Err(BadPassword::TooShort { least: self.least });
        }
        let lower = searched(password.as_str());
        let chars: Vec<char> = lower.chars().collect();
        if is_common(&lower) {
            return Err(BadPassword::Common);
        }
        if repeats(&chars) || counts(&chars) {
            return Err(BadPassword::Pattern);
        }
        if beside_names(&lower, about) < Self::BESIDE_NAMES {
            return Err(BadPassword::Name);
        }
        Ok(())
    }
}

/// Is it among the most common, as it is or with digits and signs behind it?
fn is_common(lower: &str) -> bool {
    let word = lower.trim_end_matches(|c: char| !c.is_alphabetic());
    let is_listed =
        |text: &str| text.len() >= PasswordPolicy::SHORT && COMMON.lines().any(|line| line == text);
    !lower.starts_with('#') && (is_listed(lower) || is_listed(word))
}

/// Is it a text of less than 8 characters over and over, or made of three characters at most?
fn repeats(chars: &[char]) -> bool {
    let mut kinds = chars.to_vec();
    kinds.sort_unstable();
    kinds.dedup();
    let period = (1..PasswordPolicy::SHORT.min(chars.len()))
        .find(|period| chars[*period..] == chars[..chars.len() - period]);
    kinds.len() <= 3 || period.is_some_and(|period| period * 2 <= chars.len())
}

/// Does each character follow the one before, upward or downward: `abcdefgh`, `98765432109`?
fn counts(chars: &[char]) -> bool {
    let step = |pair: &[char]| match (pair[0], pair[1]) {
        ('9', '0') => 1,
        ('0', '9') => -1,
        (one, next) => i64::from(u32::from(next)) - i64::from(u32::from(one)),
    };
    let mut steps = chars.windows(2).map(step);
    match steps.next() {
        Some(first) => first.abs() <= 1 && steps.all(|step| step == first),
        None => true,
    }
}

/// The number of characters beside the names in it.
fn beside_names(lower: &str, about: About<'_>) -> usize {
    let email = about.email.map(|email| (email.key(), searched(email.local_part())));
    let (address, local) = email.unwrap_or_default();
    let mut rest = lower.to_owned();
    for name in [&*address, &*local, &*about.name.key(), PROGRAM] {
        // A shorter one stands in many words.
        if name.chars().count() >= 3 {
            rest = rest.replace(name, "");
        }
    }
    rest.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: PasswordPolicy, text: &str) -> Result<(), BadPassword> {
        let (name, email) =
            (UserName::parse("Annabel").unwrap(), Email::parse("a.bell@example.com").unwrap());
        policy.check(&Password::typed(text).unwrap(), About { name: &name, email: Some(&email) })
    }

    #[test]
    fn length_depends_on_where_the_hub_listens_and_on_a_second_factor() {
        for (only_loopback, has_totp, least) in
            [(true, false, 8), (true, true, 8), (false, true, 8), (false, false, 15)]
        {
            let policy = PasswordPolicy::new(only_loopback, has_totp);
            assert_eq!(policy.least(), least);
            let good = "kö7-zTq.mW2xLo+e";
            let text: String = good.chars().take(least).collect();
            assert_eq!(check(policy, &text), Ok(()));
            let text: String = good.chars().take(least - 1).collect();
            assert_eq!(check(policy, &text), Err(BadPassword::TooShort { least }));
        }
    }

    #[test]
    fn the_first_guesses_are_refused() {
        use BadPassword::{Common, Name, Pattern};
        let policy = PasswordPolicy::new(true, false);
        for (text, expected) in [
            ("correct horse battery", Ok(())),
            ("tr0ubadour&3x", Ok(())),
            ("annabel likes rivers", Ok(())),
            ("пароль на каждый день", Ok(())),
            ("password", Err(Common)),
            ("PassWord", Err(Common)),
            ("password2026!", Err(Common)),
            ("1qaz2wsx", Err(Common)),
            ("trustno1", Err(Common)),
            ("aaaaaaaaaaaaaaa", Err(Pattern)),
            ("abababababababab", Err(Pattern)),
            ("abc123abc123abc123", Err(Pattern)),
            ("abcdefghijkl", Err(Pattern)),
            ("0987654321098", Err(Pattern)),
            ("Annabel2026", Err(Name)),
            ("twinhub-annabel", Err(Name)),
            ("a.bell@example.com", Err(Name)),
            ("a.bella.bell12", Err(Name)),
            ("TwinHub1234!", Err(Name)),
        ] {
            assert_eq!(check(policy, text), expected, "{text}");
        }
    }

    #[test]
    fn the_list_is_sorted_and_of_lengths_that_can_be_chosen() {
        let lines: Vec<&str> = COMMON.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(lines.len() > 10_000 && lines.is_sorted());
        assert!(lines.iter().all(|line| line.len() >= PasswordPolicy::SHORT && *line == line.to_lowercase()));
        assert_eq!(
            check(PasswordPolicy::new(true, false), COMMON.lines().next().unwrap()),
            Ok(()),
            "a comment is none"
        );
    }
}

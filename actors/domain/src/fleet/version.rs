//! Versions of firmware: dotted numbers, with the suffixes of semantic versioning.

use std::cmp::Ordering;
use std::fmt;

use crate::text::order_key;

/// A version: `1.4.2`, `v2.0`, `1.5.0-rc.1`, `3.1+build7`. Ordered as by semantic versioning, with any number of
/// numbers, of which missing ones are 0; the part behind a `+` makes no difference.
#[derive(Clone, Debug)]
pub struct Version {
    /// Without zeros in front of each, and without those that are 0 at the end.
    numbers: Vec<Box<str>>,
    /// The pre-release part: `rc.1`.
    pre: Vec<Identifier>,
    text: Box<str>,
}

/// A version has at most this many bytes.
pub const LONGEST_VERSION: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    /// Numbers come before words.
    Number(VersionNumber),
    Word(Box<str>),
}

/// Digits without zeros in front: of any length, longer is larger.
#[derive(Clone, Debug, PartialEq, Eq)]
struct VersionNumber(Box<str>);

impl Version {
    /// Reads a text as a version; none where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > LONGEST_VERSION {
            return None;
        }
        let bare = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (bare, build) = bare.split_once('+').map_or((bare, None), |(bare, build)| (bare, Some(build)));
        let (core, pre) = bare.split_once('-').map_or((bare, None), |(core, pre)| (core, Some(pre)));
        let mut numbers: Vec<Box<str>> = core.split('.').map(digits).collect::<Option<_>>()?;
        while numbers.last().is_some_and(|number| number.is_empty()) {
            numbers.pop();
        }
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !build.is_none_or(|build| build.split('.').all(is_word)) {
            return None;
        }
        let pre = match pre {
            None => Vec::new(),
            Some(pre) if pre.split('.').all(is_word) => pre.split('.').map(Identifier::of).collect(),
            Some(_) => return None,
        };
        Some(Self { numbers, pre, text: text.into() })
    }

    /// The order of two texts as versions. A text that is no version comes behind all that are, as numbers in it sort;
    /// so there is an order of all texts.
    #[must_use]
    pub fn compare(one: &str, other: &str) -> Ordering {
        match (Self::parse(one), Self::parse(other)) {
            (Some(one), Some(other)) => one.cmp(&other),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => {
                let key = |text: &str| order_key(text.trim(), usize::MAX);
                key(one).cmp(&key(other)).then_with(|| one.trim().cmp(other.trim()))
            }
        }
    }

    /// Does a name that ends in this word mean a version? `version`, `firmware_version`, `hwVersion`.
    #[must_use]
    pub fn is_named(word: &str) -> bool {
        word == "version" || ["_version", "-version", "Version"].iter().any(|end| word.ends_with(end))
    }

    /// Do these two texts mean the same version? A text that is no version equals only itself.
    #[must_use]
    pub fn is_same(one: &str, other: &str) -> bool {
        match (Self::parse(one), Self::parse(other)) {
            (Some(one), Some(other)) => one == other,
            (None, None) => one.trim() == other.trim(),
            _ => false,
        }
    }
}

impl Identifier {
    fn of(word: &str) -> Self {
        match digits(word) {
            Some(digits) => Self::Number(VersionNumber(digits)),
            None => Self::Word(word.into()),
        }
    }
}

/// The digits without zeros in front, empty for 0; none where there is anything else, or nothing.
fn digits(text: &str) -> Option<Box<str>> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.trim_start_matches('0').into())
}

impl Ord for VersionNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0.len(), &self.0).cmp(&(other.0.len(), &other.0))
    }
}

impl PartialOrd for VersionNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let numbers = |version: &Self| -> Vec<VersionNumber> {
            version.numbers.iter().cloned().map(VersionNumber).collect()
        };
        // Numbers that are 0 at the end are gone, so a list that goes on is larger.
        numbers(self).cmp(&numbers(other)).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.pre.cmp(&other.pre),
        })
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each group is of equal versions, and older than the next.
    const IN_ORDER: [&[&str]; 19] = [
        &["0", "0.0", "v0.0.0"],
        &["0.0.1"],
        &["0.9"],
        &["0.10"],
        &["1.0.0-alpha"],
        &["1.0.0-alpha.1", "1.0.0-alpha.01"],
        &["1.0.0-alpha.beta"],
        &["1.0-beta"],
        &["1.0.0-beta.2"],
        &["1.0.0-beta.11", "v1-beta.11+x"],
        &["1.0.0-rc.1"],
        &["1", "1.0", "v1.0.0", "V1.0.0+build.7", "01.0", " 1.0 "],
        &["1.0.0.1"],
        &["1.0.2"],
        &["1.0.10"],
        &["1.4.2-rc.1"],
        &["1.4.2"],
        &["9"],
        &["18446744073709551616.1"],
    ];

    #[test]
    fn versions_stand_in_one_order() {
        for (place, group) in IN_ORDER.iter().enumerate() {
            for text in *group {
                for (other_place, other_group) in IN_ORDER.iter().enumerate() {
                    for other in *other_group {
                        let (one, two) = (Version::parse(text).unwrap(), Version::parse(other).unwrap());
                        assert_eq!(one.cmp(&two), place.cmp(&other_place), "{text} and {other}");
                        assert_eq!(
                            Version::compare(text, other),
                            place.cmp(&other_place),
                            "{text} and {other}"
                        );
                        assert_eq!(Version::is_same(text, other), place == other_place, "{text} and {other}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_version_comes_behind_all_that_are() {
        for pair in ["", "beta-2", "beta-10", "spring"].windows(2) {
            assert_eq!(Version::compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(Version::compare("999.0", pair[1]), Ordering::Less, "{pair:?}");
        }
        assert_eq!(Version::compare(" spring", "spring "), Ordering::Equal);
        assert_ne!(Version::compare("build-07-x", "build-7-x"), Ordering::Equal, "they are two texts");
    }

    #[test]
    fn what_is_no_version_is_none() {
        for text in
            ["", "v", "one", "1.", ".1", "1..2", "1.x", "1.0-", "1.0-a..b", "1.0+", "1.0-ä", "1.0 beta"]
        {
            assert!(Version::parse(text).is_none(), "{text}");
        }
        assert!(Version::parse(&"1".repeat(LONGEST_VERSION + 1)).is_none());
        assert!(Version::is_same("spring", " spring"));
        assert!(!Version::is_same("spring", "1.0"));
        assert_eq!(Version::parse(" v1.0-rc.1 ").unwrap().to_string(), "v1.0-rc.1");
    }

    proptest! {
        #[test]
        fn the_order_is_total(texts in prop::collection::vec("v?[0-9]{1,3}(\\.[0-9]{1,2}){0,3}(-[a-z0-9]{1,3}(\\.[0-9a]{1,2})?)?", 3)) {
            let versions: Vec<_> = texts.iter().map(|text| Version::parse(text).unwrap()).collect();
            let [one, two, three] = &versions[..] else { unreachable!() };
            prop_assert_eq!(one.cmp(two), two.cmp(one).reverse());
            if one <= two && two <= three {
                prop_assert!(one <= three);
            }
        }
    }
}

//! The versions that a change may be made to: counted, or where they are not counted, entity tags of the content.

use std::fmt;

/// Versions, one of which must be the present one for a change to be made. Without any it never is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions(Box<[u64]>);

impl Versions {
    /// Is `version` one of them?
    #[must_use]
    pub fn contain(&self, version: u64) -> bool {
        self.0.contains(&version)
    }
}

impl From<u64> for Versions {
    fn from(version: u64) -> Self {
        Self(Box::new([version]))
    }
}

impl FromIterator<u64> for Versions {
    fn from_iter<I: IntoIterator<Item = u64>>(versions: I) -> Self {
        Self(versions.into_iter().collect())
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(&self.0, f)
    }
}

/// Entity tags, one of which must be the present one for a change to be made. Without any it never is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntityTags(Box<[Box<str>]>);

impl EntityTags {
    /// Is `tag` one of them?
    #[must_use]
    pub fn contain(&self, tag: &str) -> bool {
        self.0.iter().any(|named| **named == *tag)
    }
}

impl FromIterator<Box<str>> for EntityTags {
    fn from_iter<I: IntoIterator<Item = Box<str>>>(tags: I) -> Self {
        Self(tags.into_iter().collect())
    }
}

impl fmt::Display for EntityTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(&self.0, f)
    }
}

fn list(named: &[impl fmt::Display], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some((first, others)) = named.split_first() else { return f.write_str("one that was named") };
    write!(f, "{first}")?;
    others.iter().try_for_each(|other| write!(f, " or {other}"))
}

//! The versions that a change may be made to.

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
        let Some((first, others)) = self.0.split_first() else { return f.write_str("one that was named") };
        write!(f, "{first}")?;
        others.iter().try_for_each(|version| write!(f, " or {version}"))
    }
}

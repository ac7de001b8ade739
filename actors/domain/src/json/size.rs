//! The size of a document, and the limits for those of a twin.

use super::{Json, Object};

/// Members that a document has at most, those of nested objects counted too. A page that shows a twin is useless
/// long before, and every change of a property looks at all of them.
pub const MOST_MEMBERS: usize = 1_000;
/// Bytes that each of a twin's documents (`reported`, `desired`, `tags`, `configuration`, `limits`) has at most.
pub const LARGEST_DOCUMENT: usize = 64 * 1024;

/// The size of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DocumentSize {
    /// As compact JSON text whose strings need no escapes.
    pub bytes: usize,
    /// Members of its objects, on all levels together.
    pub members: usize,
}

impl DocumentSize {
    /// Of `{}`.
    pub const EMPTY: Self = Self { bytes: 2, members: 0 };

    /// The size that a member adds to its object.
    #[must_use]
    pub fn of_member(key: &str, value: Self) -> Self {
        value + Self { bytes: key.len() + 4, members: 1 }
    }

    /// The excess over the limits, as a sentence. A document that is larger already may stay as large as `before`, or
    /// it could not be made smaller step by step.
    #[must_use]
    pub fn excess(self, before: Self) -> Option<String> {
        let Self { bytes, members } = self;
        if members > MOST_MEMBERS.max(before.members) {
            return Some(format!(
                "a document has {MOST_MEMBERS} members at most, all levels together; this would have {members}"
            ));
        }
        (bytes > LARGEST_DOCUMENT.max(before.bytes))
            .then(|| format!("a document has {LARGEST_DOCUMENT} bytes at most, this would have {bytes}"))
    }

    /// Could it be too large together with a patch of this size? Then it has to be measured.
    #[must_use]
    pub fn may_exceed_with(self, patch: Self) -> bool {
        let Self { bytes, members } = self + patch;
        bytes > LARGEST_DOCUMENT || members > MOST_MEMBERS
    }
}

impl std::ops::Add for DocumentSize {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, members: self.members + other.members }
    }
}

// Walks through the document, and allocates nothing.

impl Json {
    /// Its size.
    #[must_use]
    pub fn size(&self) -> DocumentSize {
        let bytes = match self {
            Self::Null => 4,
            Self::Bool(value) => 5 - usize::from(*value),
            Self::Number(number) => number.as_str().len(),
            Self::String(text) => text.len() + 2,
            Self::Array(items) => {
                let commas = DocumentSize { bytes: 2 + items.len(), members: 0 };
                return items.iter().fold(commas, |size, item| size + item.size());
            }
            Self::Object(object) => return object.size(),
        };
        DocumentSize { bytes, members: 0 }
    }
}

impl Object {
    /// Its size.
    #[must_use]
    pub fn size(&self) -> DocumentSize {
        self.iter()
            .fold(DocumentSize::EMPTY, |size, (key, value)| size + DocumentSize::of_member(key, value.size()))
    }
}

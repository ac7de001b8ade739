//! A scope as somebody asks for it, before it is known whose it is.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use twinhub_domain::Json;

use crate::scope::Scope;
use crate::user::UserId;

/// The wish for a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeWish {
    /// The devices that its holder owns.
    Own,
    Scope(Scope),
}

impl Default for ScopeWish {
    fn default() -> Self {
        Self::Scope(Scope::All)
    }
}

impl ScopeWish {
    /// The scope of `holder`: no device where that is no user, who could own one.
    #[must_use]
    pub fn of(self, holder: Option<UserId>) -> Scope {
        match self {
            Self::Own => holder.map_or(Scope::Nothing, Scope::Own),
            Self::Scope(scope) => scope,
        }
    }
}

/// The written form of a scope, and `"own"`.
impl<'de> Deserialize<'de> for ScopeWish {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const FORMS: &str =
            r#"expected "all", "own", "nothing", {"groups": ["…"]}, {"devices": ["…"]} or {"ids": ["…"]}"#;
        let given = Json::deserialize(deserializer)?;
        if given.as_str() == Some("own") {
            return Ok(Self::Own);
        }
        let scope = serde_json::from_str(&given.to_string());
        scope
            .map(Self::Scope)
            .map_err(|error: serde_json::Error| D::Error::custom(format!("{FORMS}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn own_is_the_holders() {
        let read = |text: &str| serde_json::from_str::<ScopeWish>(text);
        let ann = UserId(Uuid::from_u128(1));
        assert_eq!(read(r#""own""#).unwrap().of(Some(ann)), Scope::Own(ann));
        assert_eq!(read(r#""own""#).unwrap().of(None), Scope::Nothing);
        assert_eq!(read(r#""all""#).unwrap().of(Some(ann)), Scope::All);
        let hall = read(r#"{"groups": ["hall"]}"#).unwrap().of(None);
        assert!(matches!(&hall, Scope::Groups(groups) if groups.len() == 1), "{hall:?}");
        for wrong in [r#""mine""#, "{}", "null", r#"{"groups": [""]}"#, "5"] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.starts_with(r#"expected "all", "own""#), "{wrong}: {error}");
        }
    }
}

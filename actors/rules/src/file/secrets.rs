//! The environment variables that rules may sign with. A rule that could name any of them would sign with the
//! database's password for its receiver.

use std::sync::Arc;

/// The prefix of variables for rules.
const PREFIX: &str = "TWINHUB_SECRET_";

/// The names that rules may use. The default: those that begin with `TWINHUB_SECRET_`.
#[derive(Clone, Debug, Default)]
pub struct SecretNames(Arc<[String]>);

impl SecretNames {
    /// The default ones, and `others`, from an operator's list.
    #[must_use]
    pub fn with(others: &[String]) -> Self {
        Self(others.into())
    }

    /// May a rule sign with the variable of this name?
    #[must_use]
    pub fn may(&self, name: &str) -> bool {
        name.strip_prefix(PREFIX).is_some_and(|own| !own.is_empty())
            || self.0.iter().any(|other| other == name)
    }

    /// The name that would do.
    pub(crate) fn instead_of(name: &str) -> String {
        format!("{PREFIX}{}", name.trim_start_matches('_').to_uppercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_for_rules_are_known_by_their_names() {
        let listed = SecretNames::with(&["HOOK_KEY".into()]);
        for (name, by_default, with_list) in [
            ("TWINHUB_SECRET_HOOK", true, true),
            ("HOOK_KEY", false, true),
            ("TWINHUB_SECRET_", false, false),
            ("TWINHUB_DATABASE", false, false),
            ("PATH", false, false),
            ("twinhub_secret_a", false, false),
        ] {
            assert_eq!(
                (SecretNames::default().may(name), listed.may(name)),
                (by_default, with_list),
                "{name}"
            );
        }
        assert_eq!(SecretNames::instead_of("hook_key"), "TWINHUB_SECRET_HOOK_KEY");
    }
}

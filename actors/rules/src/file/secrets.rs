//! The environment variables that rules may sign with. A rule that could name any of them would sign with the
//! database's password for its receiver.

use std::sync::Arc;

use super::check::{Checker, Map};
use crate::model::WebhookSecret;

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

/// The `secret` or `secret_env` of a webhook.
pub(crate) fn read(c: &mut Checker, map: &Map<'_>) -> Option<WebhookSecret> {
    let text = c.text(map, "secret");
    let variable = c.text(map, "secret_env");
    if let (Some(_), Some(node)) = (map.get("secret"), map.get("secret_env")) {
        c.flaw(node, "say `secret` or `secret_env`, not both");
    }
    if let (Some(name), Some(node)) = (variable, map.get("secret_env"))
        && name.contains(['=', '\0'])
    {
        c.expected(node, "the name of an environment variable");
    } else if let (Some(name), Some(node)) = (variable, map.get("secret_env"))
        && !c.secrets.may(name)
    {
        let shown: String = name.chars().take(64).collect();
        let message = format!(
            "`{shown}` is no variable for rules: those are called `TWINHUB_SECRET_…`, or listed in the option `rule-secrets`"
        );
        c.flaw_hint(node, message, Some(SecretNames::instead_of(&shown)));
    }
    variable
        .map(|name| WebhookSecret::Environment(name.into()))
        .or(text.map(|text| WebhookSecret::Text(text.into())))
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

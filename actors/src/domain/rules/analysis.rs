//! What can be seen in rules without running them: rules that write the same thing, circles, rules that can
//! never fire, names of nobody.

use super::model::{Rule, RuleId};

/// Something that people should look at. Never an error.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Warning {
    /// `conflict`, `circle`, `never`, `unknown_device`, `unknown_rule`.
    pub code: &'static str,
    /// The rules it is about.
    pub rules: Vec<RuleId>,
    /// A sentence.
    pub message: String,
}

/// Looks at all rules together. `is_device` tells whether anybody has heard of a device.
#[must_use]
pub fn analyse(_rules: &[&Rule], _is_device: &dyn Fn(&str) -> bool) -> Vec<Warning> {
    Vec::new()
}

//! Rule files: YAML, or JSON of the same shape, read into checked rules.
//!
//! A text becomes a tree whose parts know their places (`yaml`, `node`); the tree is read by tables of the allowed keys
//! and values (`shape`, `check`), from which the JSON Schema is made too. Every error is reported, in the order of the
//! text, with line, column, JSON pointer and, where one is near, the right word.
//!
//! Of YAML everything works but tags and merge keys (`<<`), which are refused. Words without quotes stay words:
//! `on`, `off`, `yes`, `no` are texts, and so are `007` and `22:30`; only `true` and `false` are booleans.

pub(crate) mod action;
pub(crate) mod check;
pub(crate) mod condition;
mod expect;
pub(crate) mod fingerprint;
mod hint;
pub(crate) mod node;
mod rule;
mod schema;
pub(crate) mod secrets;
mod seed;
pub(crate) mod select;
pub(crate) mod shape;
mod tests_of;
mod trigger;
mod yaml;

use chrono_tz::Tz;

use self::check::Checker;
use self::node::YamlNode;
use self::yaml::YamlDocument;
use super::model::{Rule, RuleOrigin};
use super::scenario::Test;
use twinhub_domain::run::RuleId;
use twinhub_domain::{Json, Object};

pub use self::hint::nearest;
pub use self::schema::schema;
pub use self::secrets::SecretNames;
pub use self::trigger::SHORTEST_SECRET;

/// A larger file is refused: a megabyte of rules is not written by hand, and a program can write several files.
pub const LARGEST: usize = 1 << 20;

/// The most rules of a file.
pub const MOST_RULES: usize = 10_000;

/// A file that checks out.
#[derive(Clone, Debug, Default)]
pub struct RuleFile {
    pub rules: Vec<Rule>,
    /// By the rule's place in `rules`.
    pub tests: Vec<(usize, Test)>,
}

/// Something that is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProblem {
    /// From 1; 0 where it is not known, as with JSON from the API.
    pub line: u32,
    pub column: u32,
    /// A JSON pointer to it: `/rules/greenhouse-cool/triggers/0/above`.
    pub pointer: String,
    /// The error and the expected value, as a sentence.
    pub message: String,
    /// The nearest right word, or the right form.
    pub hint: Option<String>,
}

impl FileProblem {
    /// The error, and the nearest right word where there is one.
    #[must_use]
    pub fn sentence(&self) -> String {
        match &self.hint {
            Some(hint) if !self.message.contains("did you mean") => {
                format!("{}, did you mean `{hint}`?", self.message)
            }
            _ => self.message.clone(),
        }
    }
}

impl RuleFile {
    /// Reads a file's text.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the text.
    pub fn parse(text: &str, origin: &RuleOrigin) -> Result<Self, Vec<FileProblem>> {
        Self::parse_with(text, origin, &SecretNames::default())
    }

    /// The same, where rules may sign with other variables too.
    ///
    /// # Errors
    /// As [`RuleFile::parse`].
    pub fn parse_with(
        text: &str,
        origin: &RuleOrigin,
        secrets: &SecretNames,
    ) -> Result<Self, Vec<FileProblem>> {
        if text.len() > LARGEST {
            let message = format!("a rule file has {LARGEST} bytes at most, this one has {}", text.len());
            return Err(vec![FileProblem {
                line: 1,
                column: 1,
                pointer: String::new(),
                message,
                hint: None,
            }]);
        }
        let YamlDocument { root, flaws } = yaml::read(text).map_err(|problem| vec![problem])?;
        let Some(root) = root.filter(|root| !root.is_null()) else { return Ok(Self::default()) };
        let mut checker = Checker::new(flaws, secrets.clone());
        let file = rule::file(&mut checker, &root, origin);
        if checker.is_clean() { Ok(file) } else { Err(checker.finish(&root)) }
    }
}

/// Reads one rule in the API's form: the same shape as in a file, with its `id` in it, or the form
/// `name, trigger_conditions, actions, schedule, enabled_status`, which becomes a rule of ours (its `source` is that
/// rule, errors have its own pointers).
///
/// Of that form is accepted:
/// - `id`: as ours; without it, it is made of the name: `Fan on!` becomes `fan-on`.
/// - `name`, `description`: texts. `enabled_status` (also `enabled`, `is_enabled`): true or false.
/// - `trigger_conditions`: one condition, a list of them (all must hold), or
///   `{operator: "AND" | "OR", conditions: […]}`, these inside each other as deep as 16. A condition is
///   `{device_id, sensor_type (or property, or field), operator, value}` with the operators
///   `> < >= <= == !=`, also written `gt lt gte lte eq ne`, `=`, `<>`; `value` a number for the first four, else
///   a number, a boolean or a text. Each becomes a trigger, and together they become the rule's condition.
/// - `actions`: one or a list of `{type (or action_type), …}`:
///   `command` (also `send_command`, `device_command`) with `device_id`, `command` or `command_type`, `parameters`;
///   `set_state` (also `set`, `desired`, `update_state`) with `device_id` and `parameters` or `state`;
///   `notification` (also `notify`, `alert`, `alarm`) with `message`, `severity`, `device_id`: an alarm of the
///   rule's name;
///   `webhook` with `url`, `method`, `body`; `delay` with `duration`; `log` with `message`. Without a type
///   it is a command if it has `command` or `command_type`.
/// - `schedule`: a cron text of five to seven fields or a name like `@daily`, or `{cron, timezone}`: one more
///   trigger.
///
/// # Errors
/// Everything that is wrong with it, by JSON pointer.
pub fn parse_rule(rule: &Object) -> Result<(Rule, Vec<Test>), Vec<FileProblem>> {
    parse_rule_with(rule, &SecretNames::default())
}

/// The same, where rules may sign with other variables too.
///
/// # Errors
/// As [`parse_rule`].
pub fn parse_rule_with(rule: &Object, secrets: &SecretNames) -> Result<(Rule, Vec<Test>), Vec<FileProblem>> {
    // The other form signs nothing.
    if seed::is_seed(rule) { seed::parse(rule) } else { of_json(rule, secrets) }
}

/// Reads a rule of our own shape.
fn of_json(json: &Object, secrets: &SecretNames) -> Result<(Rule, Vec<Test>), Vec<FileProblem>> {
    let root = YamlNode::of_json(&Json::Object(json.clone()));
    let mut checker = Checker::new(Vec::new(), secrets.clone());
    let id = match root.get("id") {
        None => Err("a rule needs an `id`".to_owned()),
        Some(id) => RuleId::parse(id.as_text().unwrap_or_default()),
    };
    // Other mistakes are told with it.
    let (id, wrong) = match id {
        Ok(id) => (Some(id), None),
        Err(detail) => (RuleId::parse("unnamed").ok(), Some(detail)),
    };
    if let Some(detail) = wrong {
        checker.flaw(root.get("id").unwrap_or(&root), detail);
    }
    let origin = match id.as_ref().and_then(RuleId::template) {
        Some(template) => RuleOrigin::Template(template.into()),
        None => RuleOrigin::Api,
    };
    let read = id.and_then(|id| rule::rule(&mut checker, &root, id, Tz::UTC, &origin));
    match read {
        Some(read) if checker.is_clean() => Ok(read),
        _ => Err(checker.finish(&root)),
    }
}

#[cfg(test)]
mod tests;

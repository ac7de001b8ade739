//! Good files and broken ones, the other form, the schema, and anything at all.

mod broken;
mod fingerprints;
mod fuzz;
mod good;
mod rule_tests;
mod schema;
mod seeds;

use super::{FileProblem, RuleFile};
use crate::model::{Rule, RuleOrigin};
use twinhub_domain::{Json, Object};

/// The rules that come with the program, by their files' names.
pub(super) const SHIPPED: [(&str, &str); 5] = [
    ("greenhouse.yaml", include_str!("../../../../rules/greenhouse.yaml")),
    ("night-setback.yaml", include_str!("../../../../rules/night-setback.yaml")),
    ("door.yaml", include_str!("../../../../rules/door.yaml")),
    ("silent.yaml", include_str!("../../../../rules/silent.yaml")),
    ("leak.yaml", include_str!("../../../../rules/leak.yaml")),
];

fn parse(text: &str) -> Result<RuleFile, Vec<FileProblem>> {
    RuleFile::parse(text, &RuleOrigin::File("a.yaml".into()))
}

/// The rules of a file that must check out.
fn rules(text: &str) -> Vec<Rule> {
    parse(text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}")).rules
}

/// The one rule `r` with these lines, indented by four columns.
fn rule(lines: &str) -> Rule {
    let mut rules = rules(&file(lines));
    assert_eq!(rules.len(), 1);
    rules.remove(0)
}

/// A file with one rule `r`: its first line is the third.
fn file(lines: &str) -> String {
    let lines: Vec<String> = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!("rules:\n  r:\n{}", lines.concat())
}

fn object(text: &str) -> Object {
    match text.parse::<Json>().unwrap() {
        Json::Object(object) => object,
        other => panic!("{other}"),
    }
}

//! The data: the database, and the rule files.

use super::finding::Finding;

const DATABASE: &str = "database";
const RULES: &str = "rules";

/// The data, as they were found.
#[derive(Clone, Debug)]
pub struct DataFacts {
    /// The database's place, without a password.
    pub database: String,
    /// None where there is no database yet; an error where it cannot be used.
    pub integrity: Option<Result<Vec<String>, String>>,
    /// The problems in the rule files, `hall.yaml:7:9: …`; an error where the folder cannot be read.
    pub rules: Option<Result<Vec<String>, String>>,
}

/// Checks them.
pub fn check(facts: &DataFacts) -> Vec<Finding> {
    let DataFacts { database, integrity, rules } = facts;
    let mut found = Vec::new();
    found.push(match integrity {
        None => Finding::ok(DATABASE, format!("{database} is made at the first start")),
        Some(Ok(problems)) => match problems.first() {
            None => Finding::ok(DATABASE, format!("{database} is whole")),
            Some(first) => Finding::fail(
                DATABASE,
                format!("{database} is damaged, in {} places: {first}", problems.len()),
                "stop the hub, copy the file, and put a backup in its place; look at the disk it was on",
            ),
        },
        Some(Err(error)) => Finding::fail(
            DATABASE,
            format!("{database} cannot be used: {error}"),
            "mend that, or put a backup in its place",
        ),
    });
    match rules {
        None => {}
        Some(Ok(problems)) if problems.is_empty() => found.push(Finding::ok(RULES, "all files check out")),
        Some(Ok(problems)) => found.extend(problems.iter().map(|problem| {
            Finding::fail(RULES, problem.clone(), "mend it; `twinhub rules check` shows the place")
        })),
        Some(Err(error)) => found.push(Finding::fail(RULES, error.clone(), "name the folder with --rules")),
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::testing::bad;

    type Found = Option<Result<Vec<String>, String>>;

    fn expect(integrity: Found, rules: Found, expected: &[&str]) {
        let found = bad(&check(&DataFacts { database: "/d/t.db".into(), integrity, rules }));
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn damage_and_broken_rules_are_found() {
        let one = |text: &str| Some(Ok(vec![text.to_owned()]));
        expect(None, None, &[]);
        expect(Some(Ok(vec![])), Some(Ok(vec![])), &[]);
        expect(one("row 7 is missing"), None, &["fail  database: /d/t.db is damaged, in 1 places: row 7"]);
        expect(
            Some(Err("it is locked".into())),
            None,
            &["fail  database: /d/t.db cannot be used: it is locked"],
        );
        expect(None, one("hall.yaml:7:9: `abve` is no key"), &["fail  rules: hall.yaml:7:9: `abve`"]);
        expect(None, Some(Err("cannot read r".into())), &["fail  rules: cannot read r"]);
    }
}

//! Rule files as texts, read and parsed, and what is wrong in them shown where it stands.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use twinhub_actors::automation::files::is_rule_file;
use twinhub_domain::run::RuleId;
use twinhub_rules::analysis;
use twinhub_rules::analysis::Warning;
use twinhub_rules::file::SecretNames;
use twinhub_rules::model::RuleOrigin;
use twinhub_rules::{FileProblem, Rule, RuleFile};

use super::CommandFailed;

/// Folders in folders are followed this far.
const DEEPEST: usize = 8;

/// A rule file.
pub struct RuleSource {
    /// As people name it: `rules/hall.yaml`.
    pub path: String,
    pub text: String,
    pub read: Result<RuleFile, Vec<FileProblem>>,
}

/// Reads the files and all files in the folders that are named, or those of the rules folder.
///
/// # Errors
/// One of them cannot be read.
pub fn read(
    paths: &[PathBuf],
    folder: Option<&Path>,
    secrets: &SecretNames,
) -> Result<Vec<RuleSource>, CommandFailed> {
    let named = match (paths, folder) {
        ([], None) => {
            return Err(CommandFailed::Misused(anyhow!(
                "there is no folder `rules` here: name files, or say --rules DIR"
            )));
        }
        ([], Some(folder)) => vec![folder.to_owned()],
        (paths, _) => paths.to_vec(),
    };
    let mut files = Vec::new();
    for path in named {
        find(&path, DEEPEST, true, &mut files).map_err(CommandFailed::Misused)?;
    }
    let mut sources =
        files.iter().map(|path| RuleSource::read(path, secrets)).collect::<Result<Vec<_>, _>>()?;
    refuse_doubles(&mut sources);
    Ok(sources)
}

fn find(path: &Path, deeper: usize, named: bool, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let shown = || format!("cannot read {}", path.display());
    if !std::fs::metadata(path).with_context(shown)?.is_dir() {
        // A file that is named is read whatever it is called.
        if named || is_rule_file(path) {
            found.push(path.to_owned());
        }
        return Ok(());
    }
    let mut entries = std::fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>())
        .with_context(shown)?;
    entries.sort();
    for entry in entries {
        let is_hidden =
            entry.file_name().and_then(|name| name.to_str()).is_none_or(|name| name.starts_with('.'));
        if !is_hidden && deeper > 0 {
            find(&entry, deeper - 1, false, found)?;
        }
    }
    Ok(())
}

impl RuleSource {
    fn read(path: &Path, secrets: &SecretNames) -> Result<Self, CommandFailed> {
        let shown = path.display().to_string();
        let bytes = std::fs::read(path)
            .with_context(|| format!("cannot read {shown}"))
            .map_err(CommandFailed::Misused)?;
        Ok(match String::from_utf8(bytes) {
            Ok(text) => Self::of(shown, text, secrets),
            Err(_) => Self {
                path: shown,
                text: String::new(),
                read: Err(vec![at(0, 0, "", "the file is no UTF-8 text".into())]),
            },
        })
    }

    fn of(path: String, text: String, secrets: &SecretNames) -> Self {
        let read = RuleFile::parse_with(&text, &RuleOrigin::File(path.as_str().into()), secrets);
        Self { path, text, read }
    }

    /// A problem as compilers report it, with its line.
    pub fn describe(&self, problem: &FileProblem) -> String {
        self.point(problem.line, problem.column, &problem.sentence())
    }

    /// `rules/hall.yaml:12:7: message`, the line, and a mark below the place.
    pub fn point(&self, line: u32, column: u32, message: &str) -> String {
        let path = &self.path;
        let Some(text) = line.checked_sub(1).and_then(|line| self.text.lines().nth(line as usize)) else {
            return format!("{path}: {message}");
        };
        let before = column.saturating_sub(1) as usize;
        // Tabs stay, so that the mark stands below its place however wide they are.
        let blank: String = text.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let word =
            text.chars().skip(before).take_while(|c| !c.is_whitespace() && !":,]}".contains(*c)).count();
        let (gutter, mark) = (" ".repeat(line.to_string().len()), "^".repeat(word.max(1)));
        format!("{path}:{line}:{column}: {message}\n  {line} | {text}\n  {gutter} | {blank}{mark}")
    }

    /// The line and column at which a rule begins, where it is found.
    pub fn place_of(&self, rule: &RuleId) -> (u32, u32) {
        let key = |text: &str| {
            let key = text.trim_start().trim_start_matches(['"', '\'']);
            key.strip_prefix(rule.as_str())
                .is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':'))
        };
        let found = (1..).zip(self.text.lines()).find(|(_, text)| key(text));
        found.map_or((0, 0), |(line, text)| {
            let indent = text.chars().take_while(|c| c.is_whitespace()).count();
            (line, u32::try_from(indent).unwrap_or_default() + 1)
        })
    }
}

/// A name stands for one rule: the second one of it is wrong.
fn refuse_doubles(sources: &mut [RuleSource]) {
    let mut taken: HashMap<RuleId, String> = HashMap::new();
    for source in sources {
        let Ok(file) = &source.read else { continue };
        let mut doubles = Vec::new();
        for rule in &file.rules {
            match taken.get(&rule.id) {
                Some(other) => {
                    let (line, column) = source.place_of(&rule.id);
                    let message = format!("there is a rule `{}` already, in {other}", rule.id);
                    doubles.push(at(line, column, &format!("/rules/{}", rule.id), message));
                }
                None => {
                    taken.insert(rule.id.clone(), source.path.clone());
                }
            }
        }
        if !doubles.is_empty() {
            source.read = Err(doubles);
        }
    }
}

/// The warnings about the rules of all files. The devices and groups are not known here.
#[must_use]
pub fn warnings(sources: &[RuleSource]) -> Vec<Warning> {
    let rules: Vec<&Rule> =
        sources.iter().filter_map(|source| source.read.as_ref().ok()).flat_map(|file| &file.rules).collect();
    analysis::analyse(&rules, &|_| true, &|_| true)
}

fn at(line: u32, column: u32, pointer: &str, message: String) -> FileProblem {
    FileProblem { line, column, pointer: pointer.into(), message, hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> RuleSource {
        RuleSource { path: "rules/x.yaml".into(), text: text.into(), read: Ok(RuleFile::default()) }
    }

    #[test]
    fn points_at_what_is_wrong() {
        let source = source("version: 1\nrules:\n  x:\n    triggers:\n      - abve: 28\n");
        let mut problem = at(5, 9, "/rules/x/triggers/0/abve", "unknown key `abve`".into());
        problem.hint = Some("above".into());
        assert_eq!(
            source.describe(&problem),
            "rules/x.yaml:5:9: unknown key `abve`, did you mean `above`?\n  5 |       - abve: 28\n    |         ^^^^"
        );
        assert_eq!(source.describe(&at(0, 0, "", "no text".into())), "rules/x.yaml: no text");
        assert_eq!(source.describe(&at(99, 1, "", "gone".into())), "rules/x.yaml: gone");
    }

    #[test]
    fn finds_where_a_rule_begins() {
        let source = source("version: 1\nrules:\n  hall-warm:\n    alias: x\n  \"hall\":\n    alias: y\n");
        let place = |id: &str| source.place_of(&RuleId::parse(id).unwrap());
        assert_eq!(place("hall-warm"), (3, 3));
        assert_eq!(place("hall"), (5, 3));
        assert_eq!(place("nobody"), (0, 0));
    }

    #[test]
    fn says_which_folder_is_missing() {
        let text = |failed| match failed {
            CommandFailed::Misused(error) | CommandFailed::Broke(error) => format!("{error:#}"),
        };
        assert!(text(read(&[], None, &SecretNames::default()).err().unwrap()).contains("--rules DIR"));
        let missing = read(&["/no/such/x.yaml".into()], None, &SecretNames::default()).err().unwrap();
        assert!(text(missing).starts_with("cannot read /no/such/x.yaml: "));
    }
}

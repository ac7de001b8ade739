//! The names in a filter or an order: to warn its writer of those that no device has. Mostly they are slips of the
//! fingers, or texts whose quotes were forgotten.

use std::collections::{BTreeMap, BTreeSet};

use super::filter::look;
use super::name::{Name, Root, SECTIONS};
use super::operators::Operator;
use super::tree::{ExpressionKind, ExpressionNode};
use super::twin_names::{is_more, more};
use super::{EvaluationScope, HEAD};
use twinhub_domain::status::UNKNOWN;
use twinhub_domain::{Object, Timestamp, Twin};

/// The most characters of a name that are shown.
const SHOWN: usize = 64;
/// Longer words are near to none, and comparing costs by the product of the lengths.
const LONGEST: usize = 40;

/// A name that devices have or do not have: a property that they report, a tag, a part of a document.
#[derive(Clone, Debug)]
pub struct Mention {
    name: Name,
    /// As it is written.
    text: Box<str>,
    /// The name is a single word beside a comparison: a text without its quotes, perhaps.
    may_be_text: bool,
}

/// The part of a twin in which a device would have the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TwinSection {
    Reported,
    Desired,
    Tags,
    Configuration,
}

impl Mention {
    /// Does this twin have it?
    #[must_use]
    pub fn is_had_by(&self, twin: &Twin, now: Timestamp) -> bool {
        look(twin, now, |scope: &EvaluationScope<'_>| self.name.find(scope).is_some())
    }

    /// Adds the names that this twin has in the same place: for [`Mention::unheard`].
    pub fn collect(&self, twin: &Twin, names: &mut BTreeSet<Box<str>>) {
        let keys = |object: &Object| object.iter().map(|(key, _)| key.into()).collect::<Vec<Box<str>>>();
        match self.place().0 {
            TwinSection::Reported => {
                names.extend(twin.reported.iter().map(|property| (*property.name).into()));
            }
            TwinSection::Desired => names.extend(twin.desired.iter().map(|property| (*property.name).into())),
            TwinSection::Tags => names.extend(keys(&twin.setup.tags)),
            TwinSection::Configuration => names.extend(keys(&twin.setup.configuration)),
        }
    }

    /// The warning that none of the devices has it. `names` are the names that they have there.
    #[must_use]
    pub fn unheard(&self, names: &BTreeSet<Box<str>>) -> String {
        let (place, word) = self.place();
        let shown: String = word.chars().take(SHOWN).collect();
        let told = match place {
            TwinSection::Reported => format!("no device reports `{shown}`"),
            TwinSection::Desired => format!("no device has a desired `{shown}`"),
            TwinSection::Tags => format!("no device has a tag `{shown}`"),
            TwinSection::Configuration => format!("no device has `{shown}` in its configuration"),
        };
        let is_word = place == TwinSection::Reported && self.name.path.len() == 1;
        let words: Vec<&str> = HEAD.into_iter().chain(more()).filter(|_| is_word).collect();
        let near = nearest(&word, names.iter().map(|name| &**name).chain(words));
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let quotes =
            if self.may_be_text { format!("; a text needs quotes: \"{shown}\"") } else { String::new() };
        told + &near + &quotes
    }

    /// Was it probably meant as a text?
    #[must_use]
    pub fn may_be_text(&self) -> bool {
        self.may_be_text
    }

    fn place(&self) -> (TwinSection, String) {
        let (first, rest) =
            self.name.path.split_first().map_or(("", &[][..]), |(first, rest)| (&**first, rest));
        match first {
            "reported" => (TwinSection::Reported, rest.join(".")),
            "desired" => (TwinSection::Desired, rest.join(".")),
            "tag" | "tags" => (TwinSection::Tags, rest.join(".")),
            "configuration" => (TwinSection::Configuration, rest.join(".")),
            _ => (TwinSection::Reported, self.name.path.join(".")),
        }
    }
}

/// The names in `root` that devices may have or not, each once, in the order in which they are written.
pub(super) fn mentions(source: &str, root: &ExpressionNode) -> Vec<Mention> {
    let (mut found, mut compared) = (BTreeMap::new(), BTreeSet::new());
    root.walk(&mut |node| match &node.kind {
        // Two names side by side: one of them may be a text.
        ExpressionKind::Binary(operator, sides) if operator.equates() || operator.orders() => {
            for (one, other) in [(&sides.0, &sides.1), (&sides.1, &sides.0)] {
                if let (ExpressionKind::Name(one_name), ExpressionKind::Name(_)) = (&one.kind, &other.kind)
                    && one_name.path.len() == 1
                {
                    compared.insert(one.start());
                }
            }
        }
        ExpressionKind::Name(name) if may_be_missing(name) => {
            let may_be_text = compared.contains(&node.start());
            let mention = Mention { name: (**name).clone(), text: node.text(source).into(), may_be_text };
            found.entry(node.start()).or_insert(mention);
        }
        _ => {}
    });
    let mut seen = BTreeSet::new();
    found.into_values().filter(|mention: &Mention| seen.insert(mention.text.clone())).collect()
}

/// Is it none of the words that every twin has?
fn may_be_missing(name: &Name) -> bool {
    let [first, rest @ ..] = &*name.path else { return false };
    let has_parts = SECTIONS.contains(&&**first) || **first == *"tag";
    name.root == Root::Itself
        && if has_parts { !rest.is_empty() } else { !HEAD.contains(&&**first) && !is_more(first) }
}

/// The nearest of `names`: a slip of the fingers in every four letters, or one more word before or behind it.
fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    if length > LONGEST {
        return None;
    }
    let lower = word.to_lowercase();
    let slips = names
        .filter(|name| name.len() <= 2 * LONGEST)
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name));
    let (slips, near) = slips.min()?;
    let is_begun = length >= 3 && near.to_lowercase().starts_with(&lower);
    (is_begun || (slips <= (length / 4).max(1) && slips < length)).then_some(near)
}

/// An error, with its place, in a comparison of a word of the twin that has few values, such as `status`.
pub(super) fn impossible(source: &str, root: &ExpressionNode) -> Option<(usize, String)> {
    let mut wrong: Option<(usize, String)> = None;
    root.walk(&mut |node| {
        let ExpressionKind::Binary(operator, sides) = &node.kind else { return };
        let pairs: Vec<(&ExpressionNode, &ExpressionNode)> = match (operator, &sides.1.kind) {
            (Operator::In, ExpressionKind::List(items)) => {
                items.iter().map(|item| (&sides.0, item)).collect()
            }
            (operator, _) if operator.equates() => vec![(&sides.0, &sides.1), (&sides.1, &sides.0)],
            _ => return,
        };
        for (one, other) in pairs {
            let ExpressionKind::Name(name) = &one.kind else { continue };
            let [word] = &*name.path else { continue };
            if name.root != Root::Itself {
                continue;
            }
            let why = match (&**word, &other.kind) {
                ("claimed", ExpressionKind::Text(_)) => {
                    Some("`claimed` is true or false, and no text".to_owned())
                }
                (word, kind) => {
                    values_of(word).and_then(|values| why_never(word, values, kind, other.text(source)))
                }
            };
            if let Some(why) = why {
                wrong.get_or_insert((other.start(), why));
            }
        }
    });
    wrong
}

/// All values of a word of the twin that has few.
fn values_of(word: &str) -> Option<&'static [&'static str]> {
    Some(match word {
        "status" => &["online", "offline"],
        "mode" => &["manual", "schedule"],
        "lifecycle" => &["provisioned", "active", "suspended", "retired"],
        _ => return None,
    })
}

fn why_never(word: &str, values: &[&str], other: &ExpressionKind, written: &str) -> Option<String> {
    let all = values.join(", ");
    match other {
        ExpressionKind::Text(text) if **text == *UNKNOWN && word == "status" => None, // of earlier versions
        ExpressionKind::Text(text) if !values.contains(&&**text) => {
            let near = nearest(text, values.iter().copied());
            let near = near.map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
            let text: String = text.chars().take(SHOWN).collect();
            Some(format!("`{word}` is never \"{text}\", but one of {all}{near}"))
        }
        ExpressionKind::Name(name)
            if name.root == Root::Itself && matches!(&*name.path, [one] if values.contains(&&**one)) =>
        {
            Some(format!("a text needs quotes: {word} == \"{written}\""))
        }
        ExpressionKind::Int(_) | ExpressionKind::Double(_) | ExpressionKind::Bool(_) => {
            Some(format!("`{word}` is a text, one of {all}, and never {written}"))
        }
        _ => None,
    }
}

//! The templates for minijinja, held within limits.
//!
//! Expressions are taken out before and filled in as values, so Jinja's own arithmetic is seldom met; its `*` is
//! refused, because `"x" * 100000000` is one word for 100 MB.

mod check;
mod environment;
mod values;

use std::collections::BTreeMap;
use std::io;

use minijinja::machinery;
use minijinja::value::Value;
use minijinja::{Error, ErrorKind};

#[cfg(test)]
pub use self::environment::{FILTERS, TESTS};
use self::environment::{environment, syntax};
use super::parts::{TemplatePart, loop_names, without_texts};
use super::{BadTextTemplate, LONGEST_FILLED, print};
use crate::expression::{Dependency, EvaluationScope, Expression, Name, Root};
use twinhub_domain::{DeviceId, Json};

/// A template that minijinja fills.
#[derive(Clone, Debug)]
pub struct Jinja {
    /// The template, each expression in it replaced by a name of ours: `_0`, `_1`…
    source: Box<str>,
    /// The text between `{{` and `}}` where the template is one such expression.
    one: Option<Box<str>>,
    expressions: Box<[ExtractedExpression]>,
    /// The roots that Jinja itself reads, by their words.
    roots: Box<[(Box<str>, Root)]>,
    /// Devices that it looks at as `twin['…']`.
    twins: Box<[DeviceId]>,
}

/// An expression that was taken out.
#[derive(Clone, Debug)]
struct ExtractedExpression {
    expression: Expression,
    /// The value is printed as it is, and no filter takes it.
    printed: bool,
}

/// The rewritten source, with where its pieces came from.
#[derive(Default)]
struct Rewritten {
    source: String,
    /// Places in it, and in the text.
    origins: Vec<(usize, usize)>,
}

impl Jinja {
    /// Compiles the template of these parts.
    pub fn compile(text: &str, parts: &[TemplatePart]) -> Result<Self, BadTextTemplate> {
        let loops = loop_names(parts, text);
        let mut rewritten = Rewritten::default();
        let mut expressions: Vec<ExtractedExpression> = Vec::new();
        let mut one = None;
        for part in parts {
            match part {
                TemplatePart::Text { from, to } | TemplatePart::Comment { from, to } => {
                    rewritten.keep(text, *from, *to);
                }
                TemplatePart::Tag { from, to, body } => {
                    no_repeats(text, body.0, body.1)?;
                    rewritten.keep(text, *from, *to);
                }
                TemplatePart::Print(print) => {
                    let expression = Expression::compile(print.head(text)).ok();
                    let Some(expression) = expression.filter(|expression| !names_any(expression, &loops))
                    else {
                        no_repeats(text, print.head_at(), print.to - 2)?;
                        one = text.get(print.from + 2..print.to - 2).map(Box::from);
                        rewritten.keep(text, print.from, print.to);
                        continue;
                    };
                    let filters = print.filters(text);
                    no_repeats(text, print.to - 2 - filters.len(), print.to - 2)?;
                    let mark = |trims: bool| if trims { "-" } else { "" };
                    let name = format!("_{}", expressions.len());
                    // Each piece from its own place, so that what is wrong is told where it stands.
                    rewritten.put(print.from, &format!("{{{{{}{name}", mark(print.trims.0)));
                    rewritten.put(print.filters_at(), filters);
                    rewritten.put(print.to - 2, &format!("{}}}}}", mark(print.trims.1)));
                    one = Some(format!("{name}{filters}").into());
                    expressions.push(ExtractedExpression { expression, printed: filters.is_empty() });
                }
            }
        }
        let template = environment()
            .template_from_str(&rewritten.source)
            .map_err(|error| bad(&error, |at| rewritten.origin(at)))?;
        let parsed = machinery::parse(&rewritten.source, "", syntax())
            .map_err(|error| bad(&error, |at| rewritten.origin(at)))?;
        check::template(&parsed)
            .map_err(|(at, detail)| BadTextTemplate::new(rewritten.origin(at), detail))?;
        drop(parsed);
        let mut roots = Vec::new();
        let mut twins = Vec::new();
        for word in template.undeclared_variables(false) {
            if word == "twin" {
                twins = named_twins(text)?;
            } else if !word.starts_with('_')
                && let Some(root) = Name::root_of(&word)
            {
                roots.push((word.into(), root));
            }
        }
        roots.sort_by(|a: &(Box<str>, Root), b| a.0.cmp(&b.0)); // the order of a hash set is nobody's
        drop(template);
        Ok(Self {
            source: rewritten.source.into(),
            one: one.filter(|_| parts.len() == 1),
            expressions: expressions.into(),
            roots: roots.into(),
            twins: twins.into(),
        })
    }

    /// Is it one expression and nothing else?
    pub fn is_one_expression(&self) -> bool {
        self.one.is_some()
    }

    /// The twins that it reads; some may come twice.
    pub fn dependencies(&self) -> Vec<Dependency> {
        let taken = self.expressions.iter().flat_map(|taken| taken.expression.dependencies().to_vec());
        let roots = self.roots.iter().filter_map(|(_, root)| match root {
            Root::Device(id) => Some(Dependency::Device(id.clone())),
            Root::TriggerDevice => Some(Dependency::TriggerDevice),
            Root::Itself | Root::Trigger | Root::Now => None,
        });
        taken.chain(roots).chain(self.twins.iter().cloned().map(Dependency::Device)).collect()
    }

    /// Fills the text in.
    pub fn fill(&self, scope: &EvaluationScope<'_>) -> Result<String, BadTextTemplate> {
        let (values, missing) = self.values(scope, true);
        let mut out = Capped(Vec::new());
        let template = environment().template_from_str(&self.source).map_err(|error| bad(&error, |_| 0))?;
        let rendered = template.render_captured_to(values, &mut out);
        rendered.map_err(|error| self.failed(&error, missing))?;
        Ok(String::from_utf8(out.0).unwrap_or_default()) // never: it was written as text
    }

    /// The value of the one expression.
    pub fn fill_json(&self, scope: &EvaluationScope<'_>) -> Result<Json, BadTextTemplate> {
        let (values, missing) = self.values(scope, false);
        let one = self.one.as_deref().unwrap_or_default();
        let value = environment()
            .compile_expression(one)
            .and_then(|expression| expression.eval(values))
            .map_err(|error| self.failed(&error, missing.clone()))?;
        if value.is_undefined() {
            return Err(self.failed(&Error::from(ErrorKind::UndefinedError), missing));
        }
        let text =
            serde_json::to_string(&value).map_err(|error| BadTextTemplate::new(0, error.to_string()))?;
        if text.len() > LONGEST_FILLED {
            return Err(BadTextTemplate::too_long());
        }
        Json::parse(text.as_bytes()).map_err(|error| BadTextTemplate::new(0, error.to_string()))
    }

    /// The values of its names, and the reasons for those that are unknown.
    fn values(&self, scope: &EvaluationScope<'_>, as_text: bool) -> (Value, Vec<String>) {
        let mut values: BTreeMap<String, Value> = BTreeMap::new();
        let mut missing = Vec::new();
        for (index, taken) in self.expressions.iter().enumerate() {
            match taken.expression.fill(scope) {
                Ok(json) if taken.printed && as_text => {
                    let mut text = String::new();
                    print(&json, &mut text); // with its digits
                    values.insert(format!("_{index}"), text.into());
                }
                Ok(json) => {
                    values.insert(format!("_{index}"), values::of_json(&json));
                }
                Err(why) => missing.push(why),
            }
        }
        for (word, root) in &self.roots {
            match values::of_root(root, scope) {
                Ok(value) => {
                    values.insert(word.to_string(), value);
                }
                Err(why) => missing.push(why),
            }
        }
        if !self.twins.is_empty() {
            let found = self.twins.iter().filter_map(|id| {
                let twin = values::of_root(&Root::Device(id.clone()), scope);
                Some((id.to_string(), twin.map_err(|why| missing.push(why)).ok()?))
            });
            let found: BTreeMap<String, Value> = found.collect();
            values.insert("twin".into(), found.into());
        }
        (values.into(), missing)
    }

    fn failed(&self, error: &Error, missing: Vec<String>) -> BadTextTemplate {
        let mut error = bad(error, |_| 0);
        if let (true, false) = (error.detail == UNDEFINED, missing.is_empty()) {
            error.detail = missing.join("; ");
        } else if error.detail == UNDEFINED {
            let words: Vec<_> = self.roots.iter().map(|(word, _)| format!("`{word}`")).collect();
            error.detail = format!("something of {} is not known", words.join(", "));
        }
        error
    }
}

impl Rewritten {
    fn keep(&mut self, text: &str, from: usize, to: usize) {
        self.put(from, text.get(from..to).unwrap_or_default());
    }

    fn put(&mut self, from: usize, what: &str) {
        self.origins.push((self.source.len(), from));
        self.source.push_str(what);
    }

    /// The place in the original text of the place `at`.
    fn origin(&self, at: usize) -> usize {
        let before = self.origins.iter().rev().find(|(place, _)| *place <= at);
        before.map_or(0, |(place, from)| from + (at - place))
    }
}

/// Minijinja's error for an undefined value.
const UNDEFINED: &str = "something is not known";

/// A text that does not grow beyond [`LONGEST_FILLED`].
struct Capped(Vec<u8>);

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST_FILLED {
            return Err(io::Error::other("too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// minijinja's error as a sentence; `origin` finds its place in the text.
fn bad(error: &Error, origin: impl Fn(usize) -> usize) -> BadTextTemplate {
    let at = error.range().map_or(0, |range| origin(range.start));
    let detail = match error.kind() {
        ErrorKind::UndefinedError => UNDEFINED.to_owned(),
        ErrorKind::OutOfFuel => "it costs too much time".to_owned(),
        ErrorKind::WriteFailure => return BadTextTemplate::too_long(),
        kind => match error.detail() {
            Some(detail) => format!("{kind}: {detail}"),
            None => kind.to_string(),
        },
    };
    BadTextTemplate::new(at, detail)
}

/// Refuses `*` in Jinja's own expressions: it repeats texts without a bound.
fn no_repeats(text: &str, from: usize, to: usize) -> Result<(), BadTextTemplate> {
    let source = text.get(from..to).unwrap_or_default();
    if !without_texts(source).contains('*') {
        return Ok(());
    }
    Err(BadTextTemplate::new(
        from,
        "`*` may stand only between `{{` and `}}`, before the first `|`, in an expression",
    ))
}

fn names_any(expression: &Expression, words: &[&str]) -> bool {
    let mut found = false;
    expression.places(&mut |place| {
        found |= place.device.is_some_and(|device| words.contains(&device.as_str()));
    });
    found
}

/// The ids in `twin['…']`.
fn named_twins(text: &str) -> Result<Vec<DeviceId>, BadTextTemplate> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("twin[") {
        let rest = text[at + 5..].trim_start();
        let id = ['\'', '"'].into_iter().find_map(|mark| rest.strip_prefix(mark)?.split_once(mark));
        let id = id.and_then(|(id, _)| DeviceId::parse(id).ok()).ok_or_else(|| {
            BadTextTemplate::new(at, "between `twin[` and `]` goes an id as a text, twin['pump-1']")
        })?;
        if !found.contains(&id) {
            found.push(id);
        }
    }
    Ok(found)
}

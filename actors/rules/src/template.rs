//! Texts and documents with something to fill in: `Greenhouse {{ trigger.value }} °C`, in Jinja's language.
//!
//! The text between `{{` and `}}` is an [`Expression`](super::Expression) where it can be read as one, so that names,
//! digits (`23.50` stays `23.50`) and unknowns are the same in conditions and in messages. Forms of Jinja alone,
//! filters and `{% if %}` and `{% for %}`, are left to minijinja, with limits to time and memory: no includes, macros
//! or assignments, and a text of 64 kB at most.

mod jinja;
mod parts;

use self::jinja::Jinja;
use self::parts::{TemplatePart, loop_names, parts};
use super::expression::{Dependency, EvaluationScope, Expression};
use twinhub_domain::{Json, Object};

/// The longest filled text, in bytes.
pub const LONGEST_FILLED: usize = 65_536;

/// The longest template, in bytes.
pub const LONGEST: usize = 16_384;

/// A text with something to fill in, compiled.
#[derive(Clone, Debug)]
pub struct TextTemplate {
    text: Box<str>,
    filling: Filling,
}

/// A document whose texts are templates. A text that is one expression and nothing else gives the expression's
/// value, a number or a boolean or a whole document; every other gives a text.
#[derive(Clone, Debug)]
pub struct JsonTemplate {
    json: Json,
    /// None: there is nothing to fill in.
    root: Option<Box<TemplateNode>>,
}

/// The reason why a text is no template, or could not be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct BadTextTemplate {
    pub detail: String,
    /// In bytes from the start of the text, where that is known.
    pub at: usize,
}

/// The way in which a text is filled.
#[derive(Clone, Debug)]
enum Filling {
    /// Not at all.
    Plain,
    Pieces(Box<[Piece]>),
    Jinja(Box<Jinja>),
}

#[derive(Clone, Debug)]
enum Piece {
    /// From and to, in the text.
    Text(u32, u32),
    Value(Expression),
}

/// A document's part with something to fill in.
#[derive(Clone, Debug)]
enum TemplateNode {
    Fixed(Json),
    Text(TextTemplate),
    Array(Box<[TemplateNode]>),
    Object(Box<[(Box<str>, TemplateNode)]>),
}

impl TextTemplate {
    /// Compiles `text`.
    ///
    /// # Errors
    /// The error and its place.
    pub fn compile(text: &str) -> Result<Self, BadTextTemplate> {
        let filling = if ["{{", "{%", "{#"].into_iter().any(|open| text.contains(open)) {
            Filling::compile(text)?
        } else {
            Filling::Plain
        };
        Ok(Self { text: text.into(), filling })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Is there nothing to fill in?
    #[must_use]
    pub fn is_plain(&self) -> bool {
        matches!(self.filling, Filling::Plain)
    }

    /// The twins that it reads, each once.
    #[must_use]
    pub fn dependencies(&self) -> Vec<Dependency> {
        let mut found = Vec::new();
        self.collect_dependencies(&mut found);
        found
    }

    /// Fills it in.
    ///
    /// # Errors
    /// The template names a value that is not there, or costs too much.
    pub fn fill(&self, scope: &EvaluationScope<'_>) -> Result<String, BadTextTemplate> {
        match &self.filling {
            Filling::Plain => Ok(self.text.to_string()),
            Filling::Pieces(pieces) => self.fill_pieces(pieces, scope),
            Filling::Jinja(jinja) => jinja.fill(scope),
        }
    }

    /// Fills it in: with the expression's own value where it is one expression and nothing else.
    fn fill_json(&self, scope: &EvaluationScope<'_>) -> Result<Json, BadTextTemplate> {
        match &self.filling {
            Filling::Pieces(pieces) if let [Piece::Value(expression)] = &**pieces => {
                expression.fill(scope).map_err(|detail| BadTextTemplate::new(0, detail))
            }
            Filling::Jinja(jinja) if jinja.is_one_expression() => jinja.fill_json(scope),
            _ => self.fill(scope).map(Json::from),
        }
    }

    fn fill_pieces(&self, pieces: &[Piece], scope: &EvaluationScope<'_>) -> Result<String, BadTextTemplate> {
        let mut filled = String::with_capacity(self.text.len());
        let mut at = 0;
        for piece in pieces {
            match piece {
                Piece::Text(from, to) => {
                    at = *to as usize;
                    filled.push_str(self.text.get(*from as usize..at).unwrap_or_default());
                }
                Piece::Value(expression) => {
                    let value = expression.fill(scope).map_err(|detail| BadTextTemplate::new(at, detail))?;
                    print(&value, &mut filled);
                }
            }
            if filled.len() > LONGEST_FILLED {
                return Err(BadTextTemplate::too_long());
            }
        }
        Ok(filled)
    }

    fn collect_dependencies(&self, found: &mut Vec<Dependency>) {
        let mut add = |dependency: &Dependency| {
            if !found.contains(dependency) {
                found.push(dependency.clone());
            }
        };
        match &self.filling {
            Filling::Plain => {}
            Filling::Pieces(pieces) => {
                for piece in pieces {
                    if let Piece::Value(expression) = piece {
                        expression.dependencies().iter().for_each(&mut add);
                    }
                }
            }
            Filling::Jinja(jinja) => jinja.dependencies().iter().for_each(add),
        }
    }
}

impl Filling {
    fn compile(text: &str) -> Result<Self, BadTextTemplate> {
        if text.len() > LONGEST {
            let detail = format!("a template has {LONGEST} bytes at most, and this one has {}", text.len());
            return Err(BadTextTemplate::new(LONGEST, detail));
        }
        let parts = parts(text)?;
        let mut pieces = Vec::new();
        for part in &parts {
            match part {
                TemplatePart::Text { from, to } => {
                    // Both fit: the text is short.
                    let fit = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
                    pieces.push(Piece::Text(fit(*from), fit(*to)));
                }
                TemplatePart::Print(print) if print.is_plain() => match Expression::compile(print.head(text))
                {
                    Ok(expression) => pieces.push(Piece::Value(expression)),
                    Err(_) if print.needs_jinja(text) => break,
                    Err(bad) if loop_names(&parts, text).is_empty() => {
                        return Err(BadTextTemplate::new(print.head_at() + bad.at, bad.detail));
                    }
                    Err(_) => break,
                },
                TemplatePart::Print(_) | TemplatePart::Tag { .. } | TemplatePart::Comment { .. } => break,
            }
        }
        if pieces.len() == parts.len() {
            return Ok(Self::Pieces(pieces.into()));
        }
        Jinja::compile(text, &parts).map(|jinja| Self::Jinja(Box::new(jinja)))
    }
}

impl JsonTemplate {
    /// Compiles every text in `json`.
    ///
    /// # Errors
    /// The error, and the JSON pointer of the text.
    pub fn compile(json: Json) -> Result<Self, (String, BadTextTemplate)> {
        let root = TemplateNode::compile(&json, &mut String::new())?;
        let root = if matches!(root, TemplateNode::Fixed(_)) { None } else { Some(Box::new(root)) };
        Ok(Self { json, root })
    }

    /// As it was written.
    #[must_use]
    pub fn json(&self) -> &Json {
        &self.json
    }

    /// Is there nothing to fill in?
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.root.is_none()
    }

    /// The twins that it reads, each once.
    #[must_use]
    pub fn dependencies(&self) -> Vec<Dependency> {
        let mut found = Vec::new();
        if let Some(root) = &self.root {
            root.collect_dependencies(&mut found);
        }
        found
    }

    /// Fills it in.
    ///
    /// # Errors
    /// As [`TextTemplate::fill`].
    pub fn fill(&self, scope: &EvaluationScope<'_>) -> Result<Json, BadTextTemplate> {
        self.root.as_ref().map_or_else(|| Ok(self.json.clone()), |root| root.fill(scope))
    }
}

impl TemplateNode {
    fn compile(json: &Json, pointer: &mut String) -> Result<Self, (String, BadTextTemplate)> {
        let length = pointer.len();
        let fixed = |node: &Self| matches!(node, Self::Fixed(_));
        match json {
            Json::String(text) => {
                let template = TextTemplate::compile(text).map_err(|bad| (pointer.clone(), bad))?;
                Ok(if template.is_plain() { Self::Fixed(json.clone()) } else { Self::Text(template) })
            }
            Json::Array(items) => {
                let mut nodes = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    pointer.push_str(&format!("/{index}"));
                    nodes.push(Self::compile(item, pointer)?);
                    pointer.truncate(length);
                }
                let all_fixed = nodes.iter().all(fixed);
                Ok(if all_fixed { Self::Fixed(json.clone()) } else { Self::Array(nodes.into()) })
            }
            Json::Object(object) => {
                let mut nodes = Vec::with_capacity(object.len());
                for (key, value) in object.iter() {
                    pointer.push('/');
                    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                    nodes.push((Box::from(key), Self::compile(value, pointer)?));
                    pointer.truncate(length);
                }
                let all_fixed = nodes.iter().all(|(_, node)| fixed(node));
                Ok(if all_fixed { Self::Fixed(json.clone()) } else { Self::Object(nodes.into()) })
            }
            other => Ok(Self::Fixed(other.clone())),
        }
    }

    fn fill(&self, scope: &EvaluationScope<'_>) -> Result<Json, BadTextTemplate> {
        Ok(match self {
            Self::Fixed(json) => json.clone(),
            Self::Text(template) => template.fill_json(scope)?,
            Self::Array(nodes) => {
                let items: Result<Vec<_>, _> = nodes.iter().map(|node| node.fill(scope)).collect();
                Json::Array(items?.into())
            }
            Self::Object(nodes) => {
                let mut object = Object::default();
                for (key, node) in nodes {
                    object.insert(key.clone(), node.fill(scope)?);
                }
                Json::Object(object)
            }
        })
    }

    fn collect_dependencies(&self, found: &mut Vec<Dependency>) {
        match self {
            Self::Fixed(_) => {}
            Self::Text(template) => template.collect_dependencies(found),
            Self::Array(nodes) => nodes.iter().for_each(|node| node.collect_dependencies(found)),
            Self::Object(nodes) => nodes.iter().for_each(|(_, node)| node.collect_dependencies(found)),
        }
    }
}

impl BadTextTemplate {
    fn new(at: usize, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), at }
    }

    fn too_long() -> Self {
        Self::new(0, format!("filled in, it is longer than {LONGEST_FILLED} bytes"))
    }
}

/// Does a text look as if there were something to fill in?
pub(crate) fn has_placeholder(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// Does a text in this document look so?
pub(crate) fn has_placeholders(json: &Json) -> bool {
    match json {
        Json::String(text) => has_placeholder(text),
        Json::Array(items) => items.iter().any(has_placeholders),
        Json::Object(object) => object.iter().any(|(_, value)| has_placeholders(value)),
        _ => false,
    }
}

/// A value within a text: texts without quotation marks, numbers with their digits.
fn print(value: &Json, out: &mut String) {
    match value {
        Json::String(text) => out.push_str(text),
        other => other.write(out),
    }
}

#[cfg(test)]
mod tests;

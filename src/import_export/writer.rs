//! Rows, written.

use std::collections::{BTreeMap, BTreeSet};

use twinhub_domain::{Json, Object};

use super::columns::{Column, ColumnShape, ColumnUse, Table};
use super::{Format, cell};

/// A section with more keys than this stands in one column, as JSON.
const MOST_KEYS: usize = 500;

/// The keys that the sections of rows have: what CSV has to know before its first line.
#[derive(Debug, Default)]
pub struct SectionKeys(BTreeMap<&'static str, BTreeSet<Box<str>>>);

/// Writes rows of a kind in a format.
#[derive(Debug)]
pub struct RowWriter {
    /// Of CSV; none: JSON Lines.
    columns: Option<Vec<CellSource>>,
    fields: Vec<&'static Column>,
}

/// A column of CSV.
#[derive(Debug)]
struct CellSource {
    column: &'static Column,
    key: Option<Box<str>>,
}

/// A row has a key that no other had when they were looked through.
#[derive(Debug, thiserror::Error)]
#[error("`{0}.{1}` was not there at first: the devices changed while they were exported")]
pub struct Unforeseen(&'static str, String);

impl SectionKeys {
    /// Looks at a row.
    pub fn check(&mut self, table: &'static Table, row: &Object) {
        for column in table.columns.iter().filter(|column| column.shape == ColumnShape::Section) {
            let known = self.0.entry(column.name).or_default();
            for (key, _) in row.get(column.name).and_then(Json::as_object).into_iter().flat_map(Object::iter)
            {
                if known.len() <= MOST_KEYS && !known.contains(key) {
                    known.insert(key.into());
                }
            }
        }
    }
}

impl RowWriter {
    /// A writer of rows of `table`, with `all` of their fields or those that can be taken in again. `keys`
    /// are those of all rows that will come: CSV needs them.
    #[must_use]
    pub fn new(table: &'static Table, format: Format, all: bool, keys: &SectionKeys) -> Self {
        let is_written = |column: &&Column| match column.use_of {
            ColumnUse::Both => true,
            ColumnUse::ExportOnly => all,
            ColumnUse::Taken => false,
        };
        let fields: Vec<&Column> = table.columns.iter().filter(is_written).collect();
        let places = |column: &&'static Column| -> Vec<CellSource> {
            let place = |key| CellSource { column, key };
            match keys.0.get(column.name) {
                Some(keys) if column.shape == ColumnShape::Section && keys.len() <= MOST_KEYS => {
                    keys.iter().map(|key| place(Some(key.clone()))).collect()
                }
                None if column.shape == ColumnShape::Section => Vec::new(),
                _ => vec![place(None)],
            }
        };
        let columns = (format == Format::Csv).then(|| fields.iter().flat_map(places).collect());
        Self { columns, fields }
    }

    /// The text before the first row.
    #[must_use]
    pub fn header(&self) -> Vec<u8> {
        let Some(columns) = &self.columns else { return Vec::new() };
        let name = |place: &CellSource| match &place.key {
            Some(key) => format!("{}.{}", place.column.name, cell::write_key(key)),
            None => place.column.name.to_owned(),
        };
        line(columns.iter().map(name))
    }

    /// A row. Fields that have no column are left out.
    ///
    /// # Errors
    /// A section has a key that is not among those told.
    pub fn row(&self, row: &Object) -> Result<Vec<u8>, Unforeseen> {
        let Some(columns) = &self.columns else {
            let fields = self.fields.iter();
            let fields = fields.filter_map(|column| Some((column.name, row.get(column.name)?.clone())));
            let mut text = Json::Object(fields.collect()).to_string();
            text.push('\n');
            return Ok(text.into_bytes());
        };
        self.foreseen(columns, row)?;
        let cells = columns.iter().map(|CellSource { column, key }| {
            let value = row.get(column.name);
            match (key, value) {
                (_, None) => String::new(),
                (Some(key), Some(section)) => {
                    let value = section.as_object().and_then(|section| section.get(key));
                    value.map_or_else(String::new, cell::write)
                }
                (None, Some(name)) if column.shape == ColumnShape::Name => cell::write_name(name),
                (None, Some(Json::String(text))) if column.shape == ColumnShape::Text => {
                    cell::write_text(text)
                }
                (None, Some(value)) => value.to_string(),
            }
        });
        Ok(line(cells))
    }

    fn foreseen(&self, columns: &[CellSource], row: &Object) -> Result<(), Unforeseen> {
        for column in self.fields.iter().filter(|column| column.shape == ColumnShape::Section) {
            let Some(section) = row.get(column.name).and_then(Json::as_object) else { continue };
            let mut of_section = columns.iter().filter(|place| place.column == *column);
            let foreseen = of_section.by_ref().filter(|place| match &place.key {
                Some(key) => section.get(key).is_some(),
                None => true,
            });
            let is_whole = columns.iter().any(|place| place.column == *column && place.key.is_none());
            if foreseen.count() < section.len() && !is_whole {
                let known = |key: &str| {
                    columns.iter().any(|place| place.column == *column && place.key.as_deref() == Some(key))
                };
                let key = section.iter().map(|(key, _)| key).find(|key| !known(key)).unwrap_or_default();
                return Err(Unforeseen(column.name, key.to_owned()));
            }
        }
        Ok(())
    }
}

/// A line of CSV.
pub fn line(cells: impl Iterator<Item = String>) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    let _ = writer.write_record(cells.map(String::into_bytes)); // into memory
    writer.into_inner().unwrap_or_default()
}

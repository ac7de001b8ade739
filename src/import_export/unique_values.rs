//! Values that may be in one line of a file alone: of two lines with the same name the first counts, or it would be
//! a matter of luck which one does.

use std::collections::HashMap;

use twinhub_domain::{Json, Object};

use super::columns::Table;
use crate::http::extract::fields::FieldError;

/// It is not to be read in a report.
const SECRET: &str = "auth_token";

/// Where each name was first.
#[derive(Debug, Default)]
pub struct UniqueValues(HashMap<(&'static str, Box<str>), u64>);

impl UniqueValues {
    /// Looks at the row on `line`.
    ///
    /// # Errors
    /// Names the line that has the same name.
    pub fn check(&mut self, table: &'static Table, row: &Object, line: u64) -> Result<(), FieldError> {
        for field in table.unique {
            let Some(text) = row.get(field).and_then(Json::as_str).filter(|text| !text.is_empty()) else {
                continue;
            };
            let first = *self.0.entry((field, text.into())).or_insert(line);
            if first != line {
                let detail = match *field {
                    SECRET => format!("the same token is in line {first} already"),
                    _ => format!("`{text}` is in line {first} already"),
                };
                return Err(FieldError { field: (*field).to_owned(), detail, code: "duplicate" });
            }
        }
        Ok(())
    }
}

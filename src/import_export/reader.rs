//! Rows, read from a body as it comes in.

use twinhub_domain::{Json, Object};

use super::columns::{ColumnUse, Table};
use super::header::{DecimalCommas, Header};
use super::records::{self, LineRecord, Records};
use super::{FileFault, Format, LineFault, json};

/// Separators of cells: spreadsheets write the one that their country's decimal comma leaves free.
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];
/// The first bytes of files that are no text, with the advice for each.
const MAGIC: [(&[u8], &str); 4] = [
    (b"\xff\xfe", "this is UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "this is UTF-16: save it as UTF-8"),
    (b"PK\x03\x04", "this is a spreadsheet or an archive: save it as CSV"),
    (b"\x1f\x8b", "this is compressed: unpack it first"),
];
const MARK: &[u8] = b"\xef\xbb\xbf";

/// A row, with where it stands.
#[derive(Debug)]
pub struct FileRow {
    /// The line on which it begins, from 1.
    pub line: u64,
    pub fields: Result<Object, LineFault>,
}

/// Reads rows.
#[derive(Debug)]
pub struct RowReader {
    table: &'static Table,
    format: Option<Format>,
    first_line: Option<u64>,
    /// The body until its format is known, and the line on which it begins.
    opening: Vec<u8>,
    line: u64,
    separator: u8,
    records: Option<Records>,
    header: Option<Header>,
    ended: bool,
}

impl RowReader {
    /// A reader of rows of `table`. Without a format the first bytes say it. `first_line` is the number of
    /// the first line, or in CSV of the one after the header, where this is a part of a larger file.
    #[must_use]
    pub fn new(table: &'static Table, format: Option<Format>, first_line: Option<u64>) -> Self {
        let (opening, line) = (Vec::new(), 1);
        Self {
            table,
            format,
            first_line,
            opening,
            line,
            separator: SEPARATORS[0],
            records: None,
            header: None,
            ended: false,
        }
    }

    /// Takes in the next piece of the body.
    pub fn push(&mut self, piece: &[u8]) {
        match &mut self.records {
            Some(records) => records.push(piece),
            None => self.opening.extend_from_slice(piece),
        }
    }

    /// The body is over.
    pub fn end(&mut self) {
        self.ended = true;
        if let Some(records) = &mut self.records {
            records.end();
        }
    }

    /// The number of the line that comes next.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.records.as_ref().map_or(self.line, Records::line)
    }

    /// The numbers so far that were written with a decimal comma, by column.
    #[must_use]
    pub fn decimal_commas(&self) -> Vec<DecimalCommas> {
        self.header.iter().flat_map(Header::decimal_commas).cloned().collect()
    }

    /// The next row that is there whole.
    ///
    /// # Errors
    /// Nothing of the file can be read.
    pub fn next_row(&mut self) -> Result<Option<FileRow>, FileFault> {
        if self.records.is_none() && !self.open()? {
            return Ok(None);
        }
        if self.format == Some(Format::Csv) && self.header.is_none() && !self.read_header()? {
            return Ok(None);
        }
        let record = self.records.as_mut().and_then(Records::next);
        Ok(record.map(|LineRecord { line, cells }| {
            let fields = cells.and_then(|cells| self.row(cells));
            FileRow { line, fields }
        }))
    }

    /// Finds out what it is. False while too little of it is there.
    fn open(&mut self) -> Result<bool, FileFault> {
        self.pass_over_empty_lines();
        let line = self.line;
        let refuse = |code, detail: &str| Err(FileFault { line, fault: LineFault::of_line(code, detail) });
        let bytes = &self.opening;
        if let Some((_, detail)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
            return refuse("not_text", detail);
        }
        let first = bytes.trim_ascii_start();
        let line_end = first.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
        if !(line_end || self.ended || bytes.len() > records::LONGEST) {
            return Ok(false);
        }
        if first.starts_with(b"[") && self.format != Some(Format::Csv) {
            let detail = "this is one JSON array: an object a line is read, as `jq -c '.[]'` makes of it";
            return refuse("not_lines", detail);
        }
        let guessed = if first.starts_with(b"{") { Format::Jsonl } else { Format::Csv };
        let format = *self.format.get_or_insert(guessed);
        let line = match format {
            Format::Jsonl => self.first_line.unwrap_or(1) + (line - 1),
            Format::Csv => line,
        };
        let named = if format == Format::Csv { named_separator(&self.opening) } else { None };
        if !self.ended
            && named.is_some_and(|(_, length)| self.opening.len() == length)
            && self.opening.ends_with(b"\r")
        {
            return Ok(false); // the rest of its end may be on its way
        }
        let opening = std::mem::take(&mut self.opening);
        let (line, rest) = match named {
            Some((separator, length)) => {
                self.separator = separator;
                (line + 1, &opening[length..])
            }
            None => {
                self.separator = separator(self.table, opening.trim_ascii_start());
                (line, &opening[..])
            }
        };
        let mut records = Records::new(format, self.separator, line);
        records.push(rest);
        if self.ended {
            records.end();
        }
        self.records = Some(records);
        Ok(true)
    }

    /// Drops empty lines, however many.
    fn pass_over_empty_lines(&mut self) {
        if self.opening.starts_with(MARK) {
            self.opening.drain(..MARK.len());
        }
        let mut passed = 0;
        while let Some(length) = records::empty_line(&self.opening[passed..], self.ended) {
            passed += length;
            self.line += 1;
        }
        self.opening.drain(..passed);
    }

    /// False while it is not there whole.
    fn read_header(&mut self) -> Result<bool, FileFault> {
        let Some(records) = &mut self.records else { return Ok(false) };
        let Some(LineRecord { line, cells }) = records.next() else { return Ok(false) };
        let names = cells.map_err(|fault| FileFault { line, fault })?;
        let header = Header::read(self.table, &names, line)?.with_decimal_comma(self.separator != b',');
        records.set_columns(header.columns());
        if let Some(first) = self.first_line {
            records.set_line(first);
        }
        self.header = Some(header);
        Ok(true)
    }

    fn row(&mut self, cells: Vec<String>) -> Result<Object, LineFault> {
        if let Some(header) = &mut self.header {
            return header.row(cells);
        }
        match json(cells.first().map_or("", String::as_str))? {
            Json::Object(mut row) => {
                for column in
                    self.table.columns.iter().filter(|column| column.use_of == ColumnUse::ExportOnly)
                {
                    row.remove(column.name);
                }
                Ok(row)
            }
            other => {
                let detail = format!("expected an object, found {}", other.kind());
                Err(LineFault::of_line("not_an_object", detail))
            }
        }
    }
}

/// The separator that the line `sep=;` tells, which Excel reads and writes above the names; and how long that line is.
fn named_separator(text: &[u8]) -> Option<(u8, usize)> {
    let end = text.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(text.len());
    let line = text[..end].trim_ascii_start();
    let line = line.strip_prefix(b"\"").map_or(line, |line| line.strip_suffix(b"\"").unwrap_or(line));
    let (word, separator) = line.split_at_checked(4)?;
    let rest = &text[end..];
    let length = end + if rest.starts_with(b"\r\n") { 2 } else { rest.len().min(1) };
    match separator {
        [separator] if word.eq_ignore_ascii_case(b"sep=") && can_part(*separator) => {
            Some((*separator, length))
        }
        _ => None,
    }
}

/// Can it stand between cells? No letter, digit or quote does.
fn can_part(byte: u8) -> bool {
    byte == b'\t' || (byte.is_ascii_punctuation() && !matches!(byte, b'"' | b'\'' | b'.' | b'-' | b'_'))
}

/// The separator with which the header makes sense, or else the one of which there are most.
fn separator(table: &'static Table, text: &[u8]) -> u8 {
    let sense = |separator: u8| {
        let names = records::first(text, separator).unwrap_or_default();
        (names.len() > 1 && Header::read(table, &names, 1).is_ok(), names.len())
    };
    let [comma, others @ ..] = SEPARATORS;
    others.into_iter().fold(comma, |best, other| if sense(other) > sense(best) { other } else { best })
}

#[cfg(test)]
mod tests {
    use super::super::columns::DEVICES;
    use super::*;

    #[test]
    fn of_empty_lines_before_the_header_nothing_is_kept() {
        let mut reader = RowReader::new(&DEVICES, None, None);
        reader.push(MARK);
        for _ in 0..1_000 {
            reader.push(b" \n\n\t\r\n");
            assert!(reader.next_row().unwrap().is_none());
            assert!(reader.opening.is_empty());
        }
        reader.push(b"name\n\nP\n");
        assert_eq!(reader.next_row().unwrap().map(|row| row.line), Some(3_003));
    }
}

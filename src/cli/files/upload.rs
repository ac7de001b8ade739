//! Lines on their way to the hub: so many in a request that none takes long, and that it can be seen how far
//! it is. What was read here goes out as JSON Lines, so nothing of it is read in two ways: what a cell means may
//! depend on all those above it, which the hub does not see.

use anyhow::Result;
use indicatif::ProgressBar;
use serde_json::Value;
use twinhub_domain::Json;

use super::import::ImportWay;
use super::report::ImportReportView;
use crate::cli::remote::Remote;
use crate::import_export::columns::Table;
use crate::import_export::unique_values::UniqueValues;
use crate::import_export::{FileRow, Format, MOST_DETAILS};

/// Bytes in a request, about; a line may be longer.
const BYTES: usize = 8 << 20;
/// As what they are sent.
const FORMAT: Format = Format::Jsonl;

/// The upload of one file.
pub struct FileUpload {
    table: &'static Table,
    hub: Remote,
    /// Where they go, with all but the number of the first line.
    path: String,
    seen: UniqueValues,
    /// Lines in a request.
    most: usize,
    body: Vec<u8>,
    lines: usize,
    /// The number of the body's first line, and of the one that would come next.
    first: u64,
    next: u64,
    pub report: ImportReportView,
}

impl FileUpload {
    /// To this hub, as it is asked for.
    pub fn new(table: &'static Table, hub: Remote, way: &ImportWay<'_>, report: ImportReportView) -> Self {
        let details = if table.whole { MOST_DETAILS } else { way.lines };
        let path = format!(
            "/api/{}/import?format={}&dry_run={}&details={details}{}",
            table.name,
            FORMAT.as_str(),
            way.file.is_dry_run(),
            way.parameters
        );
        Self {
            table,
            hub,
            path,
            seen: UniqueValues::default(),
            most: way.lines,
            body: Vec::new(),
            lines: 0,
            first: 0,
            next: 0,
            report,
        }
    }

    /// Puts a row beside the others, unless it is seen here already that it is none.
    pub fn take(&mut self, FileRow { line, fields }: FileRow) {
        let row = match fields {
            Ok(row) => row,
            Err(fault) => return self.report.refuse_here(line, None, &fault),
        };
        // The hub sees a part of the file alone: what stands there twice is seen here.
        if let Err(error) = self.seen.check(self.table, &row, line) {
            let id = row.get(self.table.key).and_then(Json::as_str);
            return self.report.refuse_here(line, id, &error.into());
        }
        if self.lines == 0 {
            self.body.clear();
            (self.first, self.next) = (line, line);
        }
        // For each line that was left out, or had nothing in it, stands an empty one: those after it keep their numbers.
        for _ in self.next..line {
            self.body.push(b'\n');
        }
        self.body.extend_from_slice(Json::from(row).to_string().as_bytes());
        self.body.push(b'\n');
        self.next = line + 1;
        self.lines += 1;
    }

    /// Is it time to send them?
    pub fn is_full(&self) -> bool {
        !self.table.whole && (self.lines >= self.most || self.body.len() >= BYTES)
    }

    /// Sends what there is, and tells what became of it.
    pub async fn send(&mut self, bar: &ProgressBar) -> Result<()> {
        let answer = if self.lines == 0 {
            Value::Null
        } else {
            let path = format!("{}&first_line={}", self.path, self.first);
            let body = std::mem::take(&mut self.body);
            self.lines = 0;
            self.hub.send_file(&path, FORMAT.media_type(), body).await?
        };
        bar.suspend(|| self.report.take(&answer))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::files::import::ImportedFileArgs;
    use crate::cli::remote::HUB;
    use crate::import_export::RowReader;
    use crate::import_export::columns::DEVICES;

    #[derive(Parser)]
    struct ImportCommand {
        #[command(flatten)]
        args: ImportedFileArgs,
    }

    /// The bodies that go out, of a file whose first request is full after `first` rows.
    fn bodies(file: &str, first: usize) -> Vec<(u64, String)> {
        let ImportCommand { args } = ImportCommand::parse_from(["import", "pumps.csv"]);
        let way = ImportWay { parameters: String::new(), lines: 2_000, tokens: false, file: &args };
        let report = ImportReportView::new("pumps.csv", None, false).unwrap();
        let mut upload = FileUpload::new(&DEVICES, Remote::at(HUB, None).unwrap(), &way, report);
        let mut reader = RowReader::new(&DEVICES, None, None);
        reader.push(file.as_bytes());
        reader.end();
        let mut bodies = Vec::new();
        let mut send = |upload: &mut FileUpload| {
            bodies.push((upload.first, String::from_utf8(std::mem::take(&mut upload.body)).unwrap()));
            upload.lines = 0;
        };
        while let Some(row) = reader.next_row().unwrap() {
            upload.take(row);
            if upload.lines == first {
                send(&mut upload);
            }
        }
        send(&mut upload);
        bodies
    }

    /// A text further up makes `1,5` a text, also where it goes out with another request.
    #[test]
    fn a_cell_means_what_it_means_in_the_whole_file() {
        let file = "name;tags.x\nP;a\n\n\"Q\n2\";1,5\nR;1,5\n";
        let [p, q, r] = [
            r#"{"name":"P","tags":{"x":"a"}}"#,
            r#"{"name":"Q\n2","tags":{"x":"1,5"}}"#,
            r#"{"name":"R","tags":{"x":"1,5"}}"#,
        ];
        assert_eq!(
            bodies(file, 1),
            [(2, format!("{p}\n")), (4, format!("{q}\n")), (6, format!("{r}\n")), (6, String::new())]
        );
        assert_eq!(bodies(file, 2), [(2, format!("{p}\n\n{q}\n")), (6, format!("{r}\n"))]);
        assert_eq!(bodies(file, 9), [(2, format!("{p}\n\n{q}\n\n{r}\n"))]);
    }
}

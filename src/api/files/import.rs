//! `POST /api/devices/import`: many at once, from a file. Each line is imported, or refused with its reason, for
//! itself.

mod devices;
mod groups;
mod report;
mod rows;
mod run;
mod templates;

use std::collections::HashMap;

use actix_web::http::{StatusCode, header};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::Stream;
use tokio::sync::oneshot;
use tracing::{info, warn};
use twinhub_access::Action;
use twinhub_actors::access::Grant;
use twinhub_domain::{Json, Object};

use crate::api::files::schema::Importing;
use crate::http::Access;
use crate::http::extract::body::promised;
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::{Params, bad};
use crate::http::extract::upload_pace::Steady;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;
use crate::http::turns::TurnKind;
use crate::import_export::columns::Table;
use crate::import_export::{FileFault, Format, LineFault, MOST_DETAILS};
use devices::DeviceImport;
use groups::GroupImport;
pub use report::ImportReport;
pub(crate) use report::{BrokenOff, LineRefused};
pub(crate) use rows::{BodyRows, RowsEnd};
use templates::TemplateImport;

/// The default number of refusals that are listed in full.
const DETAILS: usize = 1_000;
/// The part of a body that cannot be read that is still taken off the line, so that its sender gets the reason.
const DRAINED: usize = 16 << 20;

/// The treatment of a line about a thing that exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum IfExists {
    #[default]
    Refuse,
    Update,
    Skip,
}

/// The options of any import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileOptions {
    pub format: Option<Format>,
    /// Nothing is changed.
    pub dry_run: bool,
    /// The number of the first line, where this is a part of a file.
    pub first_line: Option<u64>,
    /// The refusals that are listed in full.
    pub details: usize,
}

/// The options of an import of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ImportOptions {
    pub existing: IfExists,
    pub tokens: bool,
    pub file: FileOptions,
}

/// A kind of record that is imported line by line.
pub(super) trait RecordImport: 'static {
    /// Its fields.
    fn table() -> &'static Table;

    /// Takes in a line.
    async fn import(&self, row: Object) -> Result<LineOutcome, ApiError>;

    /// Is the line to be tried again once the others are in? For lines that may come before those that they need.
    fn may_be_deferred(&self, _refused: &ApiError) -> bool {
        false
    }

    /// The reasons for lines that were to be tried again and never came in, where more is known than each one's own
    /// error.
    fn explain(_waiting: &[DeferredLine<'_>]) -> HashMap<u64, LineFault> {
        HashMap::new()
    }
}

/// A line that waits for others.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeferredLine<'a> {
    pub line: u64,
    pub row: &'a Object,
}

/// The outcome of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LineOutcome {
    Created {
        id: String,
        /// The token that was made for it.
        token: Option<String>,
    },
    Updated {
        id: String,
    },
    Skipped,
}

/// Takes devices in, each line as POST, or with `existing=update` PUT, takes one in.
#[utoipa::path(
    post,
    path = "/api/devices/import",
    tag = "devices",
    params(Importing),
    request_body(content = String, content_type = "application/x-ndjson", description = "JSON Lines, or CSV with a line of names (`text/csv`); the fields of a registration and `desired` and `claimed`"),
    responses(
        (status = 200, description = "The outcome of each line; lines that are not among the refusals are in", body = ImportReport),
        (status = 413, description = "The body is longer than `import-limit`", body = Problem),
        (status = 422, description = "Nothing of the file can be read, or a parameter makes no sense", body = Problem),
    )
)]
pub async fn import_devices(
    request: HttpRequest,
    params: Params,
    body: Payload,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let options = import_options(params)?;
    let devices = DeviceImport::new(access.clone(), &options);
    import(&request, options, devices, body, &access).await
}

/// Takes groups in, each line as POST, or with `existing=update` PUT, takes one in. They may come in any order.
#[utoipa::path(
    post,
    path = "/api/groups/import",
    tag = "groups",
    params(Importing),
    request_body(content = String, content_type = "application/x-ndjson", description = "JSON Lines, or CSV with a line of names (`text/csv`); the fields of a new group"),
    responses(
        (status = 200, description = "The outcome of each line; lines that are not among the refusals are in", body = ImportReport),
        (status = 413, description = "The body is longer than `import-limit`", body = Problem),
        (status = 422, description = "Nothing of the file can be read, or a parameter makes no sense", body = Problem),
    )
)]
pub async fn import_groups(
    request: HttpRequest,
    params: Params,
    body: Payload,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let options = import_options(params)?.without_tokens()?;
    let groups = GroupImport::new(access.clone(), &options);
    import(&request, options, groups, body, &access).await
}

/// Takes templates in, each line as POST, or with `existing=update` PATCH, takes one in.
#[utoipa::path(
    post,
    path = "/api/templates/import",
    tag = "templates",
    params(Importing),
    request_body(content = String, content_type = "application/x-ndjson", description = "JSON Lines, or CSV with a line of names (`text/csv`); the fields of a new template"),
    responses(
        (status = 200, description = "The outcome of each line; lines that are not among the refusals are in", body = ImportReport),
        (status = 413, description = "The body is longer than `import-limit`", body = Problem),
        (status = 422, description = "Nothing of the file can be read, or a parameter makes no sense", body = Problem),
    )
)]
pub async fn import_templates(
    request: HttpRequest,
    params: Params,
    body: Payload,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let options = import_options(params)?.without_tokens()?;
    let templates = TemplateImport::new(access.clone(), &options);
    import(&request, options, templates, body, &access).await
}

/// Imports the body of a request.
async fn import<K: RecordImport>(
    request: &HttpRequest,
    mut options: ImportOptions,
    kind: K,
    body: Payload,
    access: &Access,
) -> Result<HttpResponse, ApiError> {
    options.file.format = options.file.format.or_else(|| format_of(request));
    let work = async move |mut body: Payload, limit| {
        let done = run::run(kind, &mut body, options, limit).await;
        (done, body)
    };
    carry_out(request, K::table(), body, access, work).await
}

/// The format that the content type of the body says.
pub(crate) fn format_of(request: &HttpRequest) -> Option<Format> {
    let media_type = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    Format::of_media_type(media_type)
}

/// Carries an import out in its caller's turn, and answers with its report. `work` gets the body, of which it reads so
/// many bytes at most, and gives it back.
pub(crate) async fn carry_out<W>(
    request: &HttpRequest,
    table: &'static Table,
    body: Payload,
    access: &Access,
    work: W,
) -> Result<HttpResponse, ApiError>
where
    W: AsyncFnOnce(Payload, usize) -> (Result<ImportReport, FileFault>, Payload) + 'static,
{
    let limit = access.state.policy().import_limit;
    if promised(request).is_some_and(|length| length > limit as u64) {
        return Err(ApiError::TooLarge { limit });
    }
    let turn = access.state.turns.take(TurnKind::Import, access, request)?;
    let (told, hears) = oneshot::channel();
    let grant = access.grant();
    // Beside the request: who breaks off has the handler dropped, and the log is to say how far it came.
    actix_rt::spawn(async move {
        let _turn = turn;
        let (done, mut body) = work(body, limit).await;
        log(table, &done);
        audit(&grant, table, &done).await;
        if done.is_err() {
            drain(&mut body).await;
        }
        let _ = told.send(done); // who asked may have gone
    });
    match hears.await {
        Ok(Ok(report)) => Ok(reply::json(StatusCode::OK, &report)),
        Ok(Err(fault)) => Err(fault.into()),
        Err(_) => Err(ApiError::Fault("the import ended without a word")),
    }
}

/// Writes down an import that changed something, with how much: one entry, whatever the number of lines.
async fn audit(grant: &Grant, table: &Table, done: &Result<ImportReport, FileFault>) {
    let Ok(report) = done else { return };
    if report.dry_run {
        return;
    }
    let count = |number: u64| Json::from(i64::try_from(number).unwrap_or(i64::MAX));
    let detail = [
        ("created", count(report.created)),
        ("updated", count(report.updated)),
        ("refused", count(report.refused)),
        ("broken_off", Json::from(report.broken_off.is_some())),
    ];
    grant.audit_done(Action::DataImported, table.name, detail).await;
}

fn log(table: &Table, done: &Result<ImportReport, FileFault>) {
    let what = table.name;
    match done {
        Ok(ImportReport { broken_off: Some(broken), lines, refused, .. }) => {
            warn!(what, lines, refused, line = broken.line, error = broken.error, "an import broke off");
        }
        Ok(ImportReport { lines, created, updated, skipped, refused, dry_run, .. }) => {
            info!(what, lines, created, updated, skipped, refused, dry_run, "imported");
        }
        Err(fault) => info!(what, error = %fault, "an import could not be read"),
    }
}

async fn drain<E>(body: &mut (impl Stream<Item = Result<actix_web::web::Bytes, E>> + Unpin)) {
    let (mut left, mut steady) = (DRAINED, Steady::default());
    while let Ok(Some(Ok(piece))) = steady.next(body).await {
        match left.checked_sub(piece.len()) {
            Some(less) => left = less,
            None => return,
        }
    }
}

fn import_options(mut params: Params) -> Result<ImportOptions, FieldError> {
    let file = FileOptions::take(&mut params)?;
    let options = ImportOptions {
        existing: params.read("existing", "refuse, update or skip", IfExists::parse)?.unwrap_or_default(),
        tokens: params.value("tokens", "true or false")?.unwrap_or_default(),
        file,
    };
    params.finish()?;
    Ok(options)
}

impl FileOptions {
    /// Takes them from the parameters.
    ///
    /// # Errors
    /// One of them makes no sense.
    pub fn take(params: &mut Params) -> Result<Self, FieldError> {
        let options = Self {
            format: params.read("format", "jsonl or csv", Format::parse)?,
            dry_run: params.value("dry_run", "true or false")?.unwrap_or_default(),
            first_line: params.value("first_line", "the number of a line")?,
            details: params.value("details", "a whole number")?.unwrap_or(DETAILS),
        };
        if options.details > MOST_DETAILS {
            return Err(bad("details", format!("{MOST_DETAILS} at most")));
        }
        if options.first_line == Some(0) {
            return Err(bad("first_line", "lines are counted from 1"));
        }
        Ok(options)
    }
}

impl ImportOptions {
    /// The same for records without tokens.
    fn without_tokens(self) -> Result<Self, FieldError> {
        if self.tokens { Err(bad("tokens", "only devices have tokens")) } else { Ok(self) }
    }
}

impl IfExists {
    /// The word for it, read.
    fn parse(word: &str) -> Option<Self> {
        match word {
            "refuse" => Some(Self::Refuse),
            "update" => Some(Self::Update),
            "skip" => Some(Self::Skip),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_how_it_is_to_be_done() {
        let read = |query: &str| import_options(Params::parse(query));
        let file = FileOptions { details: DETAILS, ..FileOptions::default() };
        let usual = ImportOptions { file, ..ImportOptions::default() };
        assert_eq!(read("").unwrap(), usual);
        let all =
            read("format=csv&existing=skip&dry_run=true&tokens=true&first_line=2001&details=5").unwrap();
        let file =
            FileOptions { format: Some(Format::Csv), dry_run: true, first_line: Some(2_001), details: 5 };
        let expected = ImportOptions { existing: IfExists::Skip, tokens: true, file };
        assert_eq!(all, expected);
        for wrong in
            ["format=xml", "existing=yes", "dry_run=1", "first_line=0", "details=100001", "colour=red"]
        {
            let field = wrong.split('=').next().unwrap();
            assert_eq!(read(wrong).unwrap_err().field, field);
        }
    }
}

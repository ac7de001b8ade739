//! `POST /api/data/import`: readings of any age, out of a file.

mod intake;
mod row;
mod run;

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use chrono_tz::Tz;

use self::row::RowWindow;
use crate::api::data::schema::ReadingsImporting;
use crate::api::files::import::{FileOptions, ImportReport, carry_out, format_of};
use crate::http::Access;
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::import_export::columns::READINGS;

/// The options of an import of readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ReadingsImportOptions {
    file: FileOptions,
    /// A device that is not known is refused, and not made.
    refuse_unknown: bool,
    /// The zone of times that name none.
    zone: Option<Tz>,
}

/// Takes readings in, of any age and of many devices, as an export writes them. A reading that is there already (of this
/// device, time, name and value) is left out, so that a file may come in again. A device that is not known is made. The state
/// of a twin takes what is newer than it has; no device counts as heard, and no rule runs.
#[utoipa::path(
    post,
    path = "/api/data/import",
    tag = "data",
    params(ReadingsImporting),
    request_body(content = String, content_type = "application/x-ndjson", description = "JSON Lines, or CSV with a line of names (`text/csv`): `device_id`, `timestamp`, `sensor_type`, `value`, and perhaps `unit`, `quality_score` and `claimed_at`"),
    responses(
        (status = 200, description = "The number of lines by outcome: `created` are stored now, `skipped` were there already. Lines that are not among the refusals are in", body = ImportReport),
        (status = 413, description = "The body is longer than `import-limit`", body = Problem),
        (status = 422, description = "Nothing of the file can be read, or a parameter makes no sense", body = Problem),
    )
)]
pub async fn import_readings(
    request: HttpRequest,
    params: Params,
    body: Payload,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let mut options = import_options(params)?;
    options.file.format = options.file.format.or_else(|| format_of(&request));
    // A caller who sees a part of the devices cannot say in which part a new one would be.
    options.refuse_unknown |= !access.reaches_everywhere();
    let importer = access.clone();
    let work = async move |mut body: Payload, limit| {
        let done = run::run(importer, &mut body, options, limit).await;
        (done, body)
    };
    carry_out(&request, &READINGS, body, &access, work).await
}

fn import_options(mut params: Params) -> Result<ReadingsImportOptions, FieldError> {
    let zone_name = "a name of the time zone database, such as Europe/Berlin";
    let file = FileOptions::take(&mut params)?;
    let options = ReadingsImportOptions {
        refuse_unknown: params
            .read("unknown", "create or refuse", |word| match word {
                "create" => Some(false),
                "refuse" => Some(true),
                _ => None,
            })?
            .unwrap_or_default(),
        zone: params.read("timezone", zone_name, |name| name.parse().ok())?,
        file,
    };
    params.finish()?;
    Ok(options)
}

impl ReadingsImportOptions {
    /// The times that a row may have.
    fn window(&self, access: &Access) -> RowWindow {
        let now = access.now();
        RowWindow { zone: self.zone, until: now.plus_millis(access.state.policy().window.ahead_ms).into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import_export::Format;

    #[test]
    fn reads_how_it_is_to_be_done() {
        let read = |query: &str| import_options(Params::parse(query));
        let usual = read("").unwrap();
        assert_eq!((usual.refuse_unknown, usual.zone, usual.file.dry_run), (false, None, false));
        let all =
            read("format=csv&dry_run=true&unknown=refuse&timezone=Europe/Madrid&first_line=2001&details=5");
        let expected = ReadingsImportOptions {
            refuse_unknown: true,
            zone: Some(Tz::Europe__Madrid),
            file: FileOptions {
                format: Some(Format::Csv),
                dry_run: true,
                first_line: Some(2_001),
                details: 5,
            },
        };
        assert_eq!(all.unwrap(), expected);
        for wrong in
            ["format=xml", "unknown=skip", "timezone=Madrid", "first_line=0", "details=100001", "x=1"]
        {
            let field = wrong.split('=').next().unwrap();
            assert_eq!(read(wrong).unwrap_err().field, field);
        }
    }
}

//! `GET /api/devices/export`: all devices, or those of a filter, as a file that can be imported again.

pub(super) mod records;

use std::sync::Arc;

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use futures_util::{StreamExt as _, stream};
use twinhub_access::Action;
use twinhub_actors::messages::archive::{ListDevices, LoadTwins};
use twinhub_actors::messages::search::{FindAllDevices, FindDevices, SearchWarning};
use twinhub_domain::{DeviceId, DeviceNumber, Json, Object, Twin};
use twinhub_store::{DeviceQuery, DeviceSort};

use crate::api::devices::list;
use crate::api::devices::list::FixedQuery;
use crate::api::devices::schema::Listing;
use crate::api::files::schema::Exporting;
use crate::http::Access;
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::{Params, bad};
use crate::http::problem::{ApiError, Problem};
use crate::http::turns::TurnKind;
use crate::http::warnings;
use crate::import_export::columns::{ColumnShape, ColumnUse, DEVICES, Table};
use crate::import_export::{Format, RowWriter, SectionKeys};

/// Devices that are read at once: by number, and by id.
const PAGE: u64 = 1_000;
const SHORT_PAGE: usize = 500;

/// Devices by number, page by page: all that match, however many there are.
pub(in crate::api) struct ExportPages {
    access: Access,
    which: ExportedDevices,
}

/// The devices to export.
#[derive(Clone)]
enum ExportedDevices {
    /// The devices of the query, which has them by their numbers.
    Query(Box<DeviceQuery>),
    /// The devices that a filter found, from a place on.
    Found(Arc<[DeviceId]>, usize),
}

/// All devices, or those that match, in the form in which they can be imported again. Tokens are not in it.
#[utoipa::path(
    get,
    path = "/api/devices/export",
    tag = "devices",
    params(Exporting, Listing),
    responses(
        (status = 200, description = "A device a line, by number; `sort`, `page` and `limit` are not taken", content((String = "application/x-ndjson"), (String = "text/csv")),
            headers(("X-Warnings" = String, description = "As of `/api/devices`"))),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn export_devices(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let (format, all) = export_options(&mut params)?;
    let asked = asked_devices(params, &access)?;
    let turn = access.state.turns.take(TurnKind::Export, &access, &request)?;
    exported(&access, &DEVICES, format).await;
    let (mut pages, warnings) = ExportPages::of(asked, &access, &request).await?;
    let which = pages.which.clone();
    let templates = access.catalog().iter().next().is_some();
    let mut keys = SectionKeys::default();
    if format == Format::Csv {
        // The names of all columns stand first, so all devices are looked through twice.
        while let Some(twins) = pages.next().await? {
            twins.iter().for_each(|twin| keys.check(&DEVICES, &row(twin, templates)));
        }
        pages.which = which.up_to(&pages.which);
    }
    let writer = RowWriter::new(&DEVICES, format, all, &keys);
    let begun = Bytes::from(writer.header());
    let first = pages.next().await?; // a store that does not answer is told while that can still be told
    let rest = stream::try_unfold(
        (pages, writer, first, turn),
        move |(mut pages, writer, ahead, turn)| async move {
            let Some(twins) = ahead else { return Ok(None) };
            let mut text = Vec::with_capacity(twins.len() * 256);
            for twin in &twins {
                let line = writer.row(&row(twin, templates)).map_err(|error| broken_off(&error))?;
                text.extend(line);
            }
            let ahead = pages.next().await.map_err(|error| broken_off(&error))?;
            Ok(Some((Bytes::from(text), (pages, writer, ahead, turn))))
        },
    );
    let body = stream::iter((!begun.is_empty()).then_some(Ok::<_, ApiError>(begun))).chain(rest);
    let mut response = file(&DEVICES, format);
    warnings::set_header(&mut response, &warnings);
    Ok(response.streaming(body))
}

/// The devices that the parameters name.
pub(in crate::api) fn asked_devices(params: Params, access: &Access) -> Result<FindDevices, ApiError> {
    if params.has("sort") {
        return Err(bad("sort", "an export is in the order of numbers").into());
    }
    Ok(list::device_search(params, FixedQuery::default(), &access.tree(), access.now())?)
}

/// The format, and whether all is asked for.
fn export_options(params: &mut Params) -> Result<(Format, bool), FieldError> {
    let format = params.read("format", "jsonl or csv", Format::parse)?.unwrap_or(Format::Jsonl);
    Ok((format, params.value("all", "true or false")?.unwrap_or_default()))
}

/// Writes down that a file is asked for, before any of it is sent: whoever breaks off has had a part.
pub(super) async fn exported(access: &Access, table: &Table, format: Format) {
    exported_as(access, Action::DataExported, table, format).await;
}

/// The same as this action.
pub(in crate::api) async fn exported_as(access: &Access, action: Action, table: &Table, format: Format) {
    access.audit_done(action, table.name, [("format", Json::from(format.as_str()))]).await;
}

/// The head of a file.
pub(in crate::api) fn file(table: &Table, format: Format) -> HttpResponseBuilder {
    let name = format!("attachment; filename=\"{}.{}\"", table.name, format.as_str());
    let mut response = HttpResponse::Ok();
    response
        .content_type(format.media_type())
        .insert_header((header::CONTENT_DISPOSITION, name))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    response
}

/// The connection is broken off, so that the part is not taken for the whole.
pub(in crate::api) fn broken_off(error: &impl std::fmt::Display) -> ApiError {
    tracing::warn!(%error, "an export broke off");
    ApiError::Fault("the export broke off")
}

/// A device as a line: its own values, so that its template goes on giving the rest. Values that it does not have are
/// not in it, but that it has no template, where there are templates that it might be given.
pub(super) fn row(twin: &Twin, may_have_template: bool) -> Object {
    let head = twin.head(twin.updated_at);
    let mut row = twin.setup.own_words();
    if may_have_template && twin.template_id().is_none() {
        row.insert("template", Json::Null);
    }
    row.insert("device_id", twin.id.as_str().into());
    if !twin.desired.is_empty() {
        row.insert("desired", twin.desired.to_object().into());
    }
    for column in DEVICES.columns.iter().filter(|column| column.use_of != ColumnUse::Taken) {
        // A name of its own is not told from the id that stands in for one, and need not be.
        let value = match (column.shape, head.get(column.name)) {
            (ColumnShape::Section | ColumnShape::Json, _) | (_, None | Some(Json::Null)) => continue,
            (ColumnShape::Name, _) if column.name == "template" => continue,
            (_, Some(Json::String(text))) if text.is_empty() => continue,
            (_, Some(value)) => value,
        };
        // Where else it stands comes of itself.
        if column.name != "lifecycle" || twin.lifecycle().is_out_of_service() {
            row.insert(column.name, value.clone());
        }
    }
    row
}

impl ExportedDevices {
    fn by_number(query: DeviceQuery) -> Self {
        let numbers = Some((DeviceNumber(0), DeviceNumber(i64::MAX)));
        let order = (DeviceSort::Number, false);
        let (sort, descending) = order;
        Self::Query(Box::new(DeviceQuery { numbers, sort, descending, offset: 0, limit: PAGE, ..query }))
    }

    /// The same, without the devices that have come since `reached` ended.
    fn up_to(self, reached: &Self) -> Self {
        match (self, reached) {
            (Self::Query(mut query), Self::Query(reached)) => {
                if let Some((next, _)) = reached.numbers {
                    query.numbers = Some((DeviceNumber(0), DeviceNumber(next.0 - 1)));
                }
                Self::Query(query)
            }
            (same, _) => same,
        }
    }
}

impl ExportPages {
    /// The devices that are asked for, and what is to be warned of.
    pub(in crate::api) async fn of(
        FindDevices { query, filter, .. }: FindDevices,
        access: &Access,
        request: &HttpRequest,
    ) -> Result<(Self, Vec<SearchWarning>), ApiError> {
        let (which, warnings) = match filter {
            None => (ExportedDevices::by_number(query), Vec::new()),
            Some(_) => {
                let _turn = access.state.turns.wait(TurnKind::Search, access, request).await?;
                let found = access.ask(FindAllDevices { query, filter }).await??;
                let ids = found.devices.into_iter().map(|(id, _)| id).collect();
                (ExportedDevices::Found(ids, 0), found.warnings)
            }
        };
        Ok((Self { access: access.clone(), which }, warnings))
    }

    /// The next devices; none after the last.
    pub(in crate::api) async fn next(&mut self) -> Result<Option<Vec<Twin>>, ApiError> {
        match &mut self.which {
            ExportedDevices::Query(query) => {
                let page = self.access.ask(ListDevices(DeviceQuery::clone(query))).await??;
                let Some(last) = page.twins.last() else { return Ok(None) };
                if let Some((from, _)) = &mut query.numbers {
                    *from = DeviceNumber(last.number.0 + 1);
                }
                Ok(Some(page.twins))
            }
            ExportedDevices::Found(ids, place) => {
                let these: Vec<_> = ids.iter().skip(*place).take(SHORT_PAGE).cloned().collect();
                if these.is_empty() {
                    return Ok(None);
                }
                *place += these.len();
                let mut twins = self.access.ask(LoadTwins(these)).await??;
                twins.sort_unstable_by_key(|twin| twin.number);
                Ok(Some(twins))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use twinhub_domain::twin::Registration;
    use twinhub_domain::{Cause, Input, Timestamp, payload};

    use super::*;

    #[test]
    fn a_device_is_a_row() {
        let now = Timestamp::from_millis(0);
        let mut twin = Twin::new(DeviceId::parse("pump-1").unwrap(), DeviceNumber(1), now);
        let text = r#"{"name": "Pump", "token_hash": "secret", "tags": {"floor": 2}, "settings": {"heartbeat": "90s"},
            "desired": {"power": "on"}, "schedule": [{"cron": "0 7 * * *", "set": {"power": "off"}}], "model": ""}"#;
        let patch = payload::object(text.as_bytes()).unwrap();
        let input = Input::Register(Box::new(Registration { patch }));
        twin.apply(input, now, &Cause::hub()).unwrap();
        let row = row(&twin, false);
        let said: Vec<_> = row.iter().map(|(name, _)| name).collect();
        let expected = [
            "claimed",
            "created_at",
            "desired",
            "device_id",
            "mode",
            "name",
            "schedule",
            "settings",
            "status",
            "tags",
            "updated_at",
            "version",
        ];
        assert_eq!(said, expected);
        let writer = RowWriter::new(&DEVICES, Format::Jsonl, false, &SectionKeys::default());
        let line = String::from_utf8(writer.row(&row).unwrap()).unwrap();
        let begin =
            r#"{"claimed":true,"desired":{"power":"on"},"device_id":"pump-1","name":"Pump","schedule":[{"#;
        assert!(line.starts_with(begin), "{line}");
        assert!(line.ends_with("\"settings\":{\"heartbeat\":\"90s\"},\"tags\":{\"floor\":2}}\n"), "{line}");
        // In CSV all but the sections are as they are: sections must be objects.
        assert!(DEVICES.columns.iter().all(|column| column.shape != ColumnShape::Section
            || row.get(column.name).is_none_or(|value| value.as_object().is_some())));
    }
}

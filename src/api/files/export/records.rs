//! Exports of records that are few enough for one answer.

use actix_web::HttpResponse;
use twinhub_domain::{Json, Object};
use twinhub_rules::redaction::hide_in_rules;

use super::{broken_off, export_options, exported, file};
use crate::api::files::schema::Exporting;
use crate::http::Access;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::import_export::columns::{GROUPS, TEMPLATES, Table};
use crate::import_export::{RowWriter, SectionKeys};

/// All templates, in the form in which they can be imported again.
#[utoipa::path(
    get,
    path = "/api/templates/export",
    tag = "templates",
    params(Exporting),
    responses(
        (status = 200, description = "A template a line, by id", content((String = "application/x-ndjson"), (String = "text/csv"))),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn export_templates(params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    let catalog = access.catalog();
    whole(&access, params, &TEMPLATES, catalog.iter().map(|template| hide_in_rules(&template.document())))
        .await
}

/// All groups, in the form in which they can be imported again.
#[utoipa::path(
    get,
    path = "/api/groups/export",
    tag = "groups",
    params(Exporting),
    responses(
        (status = 200, description = "A group a line, by id", content((String = "application/x-ndjson"), (String = "text/csv"))),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn export_groups(params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    let tree = access.tree();
    whole(&access, params, &GROUPS, tree.iter().map(|group| group.to_object())).await
}

/// A file of these. Members that they do not have are not in it.
async fn whole(
    access: &Access,
    mut params: Params,
    table: &'static Table,
    records: impl Iterator<Item = Object>,
) -> Result<HttpResponse, ApiError> {
    let (format, all) = export_options(&mut params)?;
    params.finish()?;
    exported(access, table, format).await;
    let rows: Vec<Object> = records.map(|record| row_of(&record)).collect();
    let mut keys = SectionKeys::default();
    rows.iter().for_each(|row| keys.check(table, row));
    let writer = RowWriter::new(table, format, all, &keys);
    let mut body = writer.header();
    for row in &rows {
        // The keys are those of these rows, so all are foreseen.
        body.extend(writer.row(row).map_err(|error| broken_off(&error))?);
    }
    Ok(file(table, format).body(body))
}

fn row_of(record: &Object) -> Object {
    let is_said = |value: &Json| match value {
        Json::Null => false,
        Json::String(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Object(object) => !object.is_empty(),
        Json::Bool(_) | Json::Number(_) => true,
    };
    record.iter().filter(|(_, value)| is_said(value)).map(|(name, value)| (name, value.clone())).collect()
}

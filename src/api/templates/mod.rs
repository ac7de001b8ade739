//! `/api/templates`: the common properties of devices of a kind, written once.

pub(crate) mod request;
pub mod schema;

use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use tokio::sync::oneshot;
use twinhub_access::Action;
use twinhub_actors::messages::archive::ListDevices;
use twinhub_actors::messages::automation::RuleCaller;
use twinhub_actors::messages::templates::{
    DeleteTemplate, DeleteTemplateReply, PutMode, PutTemplate, PutTemplateReply, TemplateRequest,
    TryTemplate, TryTemplateReply,
};
use twinhub_domain::text::{order_key, searched};
use twinhub_domain::{Json, Object};
use twinhub_rules::device_template::DeviceTemplate;
use twinhub_rules::redaction::hide_in_rules;
use twinhub_store::DeviceQuery;

use crate::api::devices::list::{FixedQuery, list};
use crate::api::devices::schema::{DeviceItem, Listing};
use crate::api::templates::request::{NewTemplate, TemplateChange};
use crate::api::templates::schema::{TemplateChanged, TemplateItem, TemplateListing, TemplateRemoved};
use crate::http::Access;
use crate::http::extract::body::{Body, NamePath};
use crate::http::extract::paging::Paging;
use crate::http::extract::params::Params;
use crate::http::extract::precondition;
use crate::http::extract::precondition::if_match;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::{Document, array};
use crate::http::routes::routes;

routes! {
    Read: self::list_templates,
    Automate: self::post_template,
    Read: self::get_template,
    Automate: self::put_template,
    Automate: self::patch_template,
    Automate: self::delete_template,
    Read: self::list_template_devices,
}

/// The most devices on a page of a dry run; the default is 10.
const MOST_SHOWN: u64 = 100;
const USUALLY_SHOWN: u64 = 10;

/// The longest wait for a dry run: each of the devices is compared.
const LONGEST_TRIAL: Duration = Duration::from_secs(600);

/// The templates, by their ids, each with how many devices have it.
#[utoipa::path(
    get,
    path = "/api/templates",
    tag = "templates",
    params(TemplateListing),
    responses(
        (status = 200, description = "A page of templates", body = [TemplateItem],
            headers(("X-Total-Count" = u64, description = "The number of entries on all pages"), ("Link" = String))),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn list_templates(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let all = params.all().to_vec();
    let paging = Paging::take(&mut params)?;
    let q = params.text("q")?.map(|text| searched(&text));
    params.finish()?;
    let catalog = access.catalog();
    let says = |template: &&DeviceTemplate| {
        let part = |text: &str| q.as_deref().is_none_or(|q| searched(text).contains(q));
        part(&template.id) || part(&template.name) || part(&template.description)
    };
    let mut found: Vec<&DeviceTemplate> = catalog.iter().map(|template| &**template).filter(says).collect();
    found.sort_by_cached_key(|template| order_key(&template.id, usize::MAX));
    let (offset, limit) = (count(paging.offset()), count(paging.limit));
    let mut items = Vec::new();
    for template in found.iter().skip(offset).take(limit) {
        items.push(item(template, devices_of(&access, &template.id).await?));
    }
    let mut response = HttpResponse::Ok();
    paging.set_headers(&mut response, request.path(), &all, found.len() as u64);
    Ok(array(response, &items, Object::write))
}

/// One template; its version is the `ETag`.
#[utoipa::path(
    get,
    path = "/api/templates/{id}",
    tag = "templates",
    params(("id" = String, Path, description = "The template's id")),
    responses(
        (status = 200, body = TemplateItem, headers(("ETag" = String, description = "The version, quoted"))),
        (status = 404, body = Problem),
    )
)]
pub async fn get_template(
    NamePath(id): NamePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let catalog = access.catalog();
    let template = catalog.get(&id).ok_or_else(|| ApiError::no_template(&id))?;
    let devices = devices_of(&access, &id).await?;
    Ok(Document::of(&item(template, devices)).send(tagged(HttpResponse::Ok(), template)))
}

/// Makes a template. Devices that appear from now on take it where `applies_to` means them; to others it is given.
#[utoipa::path(
    post,
    path = "/api/templates",
    tag = "templates",
    request_body = NewTemplate,
    responses(
        (status = 201, body = TemplateItem, headers(("Location" = String, description = "Where the template is"),
            ("ETag" = String, description = "The version, quoted"))),
        (status = 409, description = "There is a template of this id", body = Problem),
        (status = 422, description = "It does not check out; of rules `errors` lists everything that is wrong, each \
            with a JSON pointer into the template", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn post_template(
    mut params: Params,
    Body(body): Body<NewTemplate>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let is_dry = dry_run(&mut params)?;
    let id = body.id.clone();
    let wish = TemplateRequest {
        id: id.clone(),
        body: body.members(),
        mode: PutMode::Make,
        by: RuleCaller::default(),
        if_version: None,
    };
    if is_dry {
        return try_out(&access, params, wish).await;
    }
    params.finish()?;
    let PutTemplateReply { template, devices, .. } = put(&access, wish).await?;
    let mut response = tagged(HttpResponse::Created(), &template);
    response.insert_header((header::LOCATION, format!("/api/templates/{id}")));
    Ok(Document::of(&item(&template, devices)).send(response))
}

/// Changes a template as a whole. Its devices take the change by a job; what they say themselves stays over it. With
/// `dry_run=true` nothing is done, and the answer says what would change on which devices.
#[utoipa::path(
    put,
    path = "/api/templates/{id}",
    tag = "templates",
    params(
        ("id" = String, Path, description = "The template's id"),
        ("dry_run" = Option<bool>, Query, description = "Only say what would change"),
        ("page" = Option<u64>, Query, description = "Of the devices that a dry run shows, from 1"),
        ("limit" = Option<u64>, Query, description = "Devices that it shows: 10 by default, 100 at most"),
        ("If-Match" = Option<String>, Header, description = "The version to change, or a list of versions: `\"3\", \"4\"`"),
    ),
    request_body = TemplateChange,
    responses(
        (status = 200, description = "As it is now, with the job; of a dry run what would change", body = TemplateChanged,
            headers(("ETag" = String, description = "The version, quoted; none of a dry run"))),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 412, description = "The template is at none of the versions that `If-Match` names", body = Problem),
        (status = 422, description = "As for a new one", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn put_template(
    request: HttpRequest,
    named: NamePath,
    params: Params,
    body: Body<TemplateChange>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    change(&request, named, params, body, &access, PutMode::Replace).await
}

/// Changes what the body names, as a merge patch (RFC 7396); the rest as with PUT.
#[utoipa::path(
    patch,
    path = "/api/templates/{id}",
    tag = "templates",
    params(
        ("id" = String, Path, description = "The template's id"),
        ("dry_run" = Option<bool>, Query, description = "Only say what would change"),
        ("page" = Option<u64>, Query, description = "Of the devices that a dry run shows, from 1"),
        ("limit" = Option<u64>, Query, description = "Devices that it shows: 10 by default, 100 at most"),
        ("If-Match" = Option<String>, Header, description = "The version to change, or a list of versions: `\"3\", \"4\"`"),
    ),
    request_body = TemplateChange,
    responses(
        (status = 200, description = "As it is now, with the job; of a dry run what would change", body = TemplateChanged,
            headers(("ETag" = String, description = "The version, quoted; none of a dry run"))),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 412, description = "The template is at none of the versions that `If-Match` names", body = Problem),
        (status = 422, description = "As for a new one", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn patch_template(
    request: HttpRequest,
    named: NamePath,
    params: Params,
    body: Body<TemplateChange>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    change(&request, named, params, body, &access, PutMode::Merge).await
}

/// Removes a template, with its rules. One that devices have is kept, unless it is forced: then a job takes it off
/// them, and what they say themselves is all they have.
#[utoipa::path(
    delete,
    path = "/api/templates/{id}",
    tag = "templates",
    params(
        ("id" = String, Path, description = "The template's id"),
        ("force" = Option<bool>, Query, description = "Also where devices have it"),
        ("If-Match" = Option<String>, Header, description = "The version to remove, or a list of versions: `\"3\", \"4\"`"),
    ),
    responses(
        (status = 200, body = TemplateRemoved),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 412, description = "The template is at none of the versions that `If-Match` names", body = Problem),
        (status = 409, description = "Devices have it: `detail` says how many", body = Problem),
    )
)]
pub async fn delete_template(
    request: HttpRequest,
    NamePath(id): NamePath,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let force = params.value("force", "true or false")?.unwrap_or(false);
    params.finish()?;
    let (if_version, cause, template) = (if_match(&request)?, access.cause(), id.clone());
    let delete = |reply| DeleteTemplate { id: template, force, if_version, cause, reply };
    let DeleteTemplateReply { devices, job } = access.change(delete).await??;
    access
        .audit_done(Action::TemplateRemoved, &format!("template:{id}"), [("devices", number(devices))])
        .await;
    let told = [
        ("id", Json::from(&*id)),
        ("deleted", true.into()),
        ("device_count", number(devices)),
        ("job_id", job.map_or(Json::Null, |job| job.to_string().into())),
        ("message", format!("template {id} is gone").into()),
    ];
    Ok(Document::of(&told.into_iter().collect()).send(HttpResponse::Ok()))
}

/// The devices that have a template: as `/api/devices`, of these alone.
#[utoipa::path(
    get,
    path = "/api/templates/{id}/devices",
    tag = "templates",
    params(("id" = String, Path, description = "The template's id"), Listing),
    responses(
        (status = 200, description = "A page of devices", body = [DeviceItem],
            headers(("X-Total-Count" = u64, description = "The number of entries on all pages"), ("Link" = String),
                ("X-Warnings" = String, description = "As of `/api/devices`"))),
        (status = 404, body = Problem),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn list_template_devices(
    request: HttpRequest,
    NamePath(id): NamePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    if access.catalog().get(&id).is_none() {
        return Err(ApiError::no_template(&id));
    }
    list(&request, params.with("template_id", &id), &access, FixedQuery::default()).await
}

async fn change(
    request: &HttpRequest,
    NamePath(id): NamePath,
    mut params: Params,
    Body(body): Body<TemplateChange>,
    access: &Access,
    how: PutMode,
) -> Result<HttpResponse, ApiError> {
    let is_dry = dry_run(&mut params)?;
    let wish = TemplateRequest {
        id,
        body: body.members(),
        mode: how,
        by: RuleCaller::default(),
        if_version: if_match(request)?,
    };
    if is_dry {
        return try_out(access, params, wish).await;
    }
    params.finish()?;
    let PutTemplateReply { template, devices, job } = put(access, wish).await?;
    let job = job.map(|job| job.to_string());
    Ok(Document::of(&item(&template, devices))
        .with("job_id", &job)
        .send(tagged(HttpResponse::Ok(), &template)))
}

async fn put(access: &Access, wish: TemplateRequest) -> Result<PutTemplateReply, ApiError> {
    let cause = access.cause();
    let made = wish.mode == PutMode::Make;
    let put = access.change(|reply| PutTemplate { request: wish, cause, reply }).await??;
    let detail = [("made", Json::from(made)), ("devices", number(put.devices))];
    access.audit_done(Action::TemplateChanged, &format!("template:{}", put.template.id), detail).await;
    Ok(put)
}

async fn try_out(
    access: &Access,
    mut params: Params,
    wish: TemplateRequest,
) -> Result<HttpResponse, ApiError> {
    let limit = crate::http::extract::paging::limit(&mut params, USUALLY_SHOWN, MOST_SHOWN)?;
    let page: u64 = params.value("page", "a page number from 1")?.unwrap_or(1);
    params.finish()?;
    let offset = count(page.saturating_sub(1).saturating_mul(limit));
    let (reply, tried) = oneshot::channel();
    let asked = TryTemplate { request: wish, offset, limit: count(limit), reply };
    access.send(asked)?;
    let TryTemplateReply { template, devices, changed, changes } =
        access.answer_in(LONGEST_TRIAL, tried).await??;
    let line = |(device, difference): &(_, Object)| {
        let device: &twinhub_domain::DeviceId = device;
        let line = [("device_id", Json::from(device.as_str())), ("changes", difference.clone().into())];
        Json::Object(line.into_iter().collect())
    };
    let shown = changes.iter().map(line).collect();
    let told = [
        ("dry_run", true.into()),
        ("template", item(&template, devices).into()),
        ("device_count", number(devices)),
        ("changed_count", number(changed)),
        ("changes", Json::Array(shown)),
    ];
    Ok(Document::of(&told.into_iter().collect()).send(HttpResponse::Ok()))
}

async fn devices_of(access: &Access, id: &str) -> Result<u64, ApiError> {
    let query = DeviceQuery { template: Some(id.to_owned()), ..DeviceQuery::default() };
    Ok(access.ask(ListDevices(query)).await??.total)
}

/// The template as lists show it.
fn item(template: &DeviceTemplate, devices: u64) -> Object {
    let mut item = hide_in_rules(&template.document());
    item.insert("device_count", number(devices));
    item
}

fn tagged(response: HttpResponseBuilder, template: &DeviceTemplate) -> HttpResponseBuilder {
    precondition::tagged(response, &template.version.to_string())
}

fn dry_run(params: &mut Params) -> Result<bool, ApiError> {
    Ok(params.value("dry_run", "true or false")?.unwrap_or(false))
}

fn number(count: u64) -> Json {
    i64::try_from(count).unwrap_or(i64::MAX).into()
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

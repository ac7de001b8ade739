//! `/api/jobs`: what is done to many devices, how far it has come, and what became of each of them.

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use tokio::sync::oneshot;
use twinhub_actors::HubError;
use twinhub_actors::messages::archive::ListJobDevices;
use twinhub_actors::messages::firmware::FindImage;
use twinhub_actors::messages::jobs::{JobTold, ListJobs, MakeJob, ShowJob, Steer, SteerJob};
use twinhub_actors::post::post;
use twinhub_domain::cause::Source;
use twinhub_domain::fleet::{JobAction, JobId, JobStatus, StepState};
use twinhub_domain::{Cause, Json, Object};
use twinhub_store::{JobDevice, JobDeviceQuery};
use utoipa::OpenApi;

use super::body::JobNamed;
use super::bulk;
use super::paging::Paging;
use super::params::Params;
use super::reply::{self, Document, array};
use super::schema::jobs::{JobDeviceItem, JobItem, JobListing, JobRemoved};
use super::{get, resource};
use crate::error::{ApiError, Problem};
use crate::web::WebState;

const STATUSES: &str = "preparing, running, paused, done, canceled or failed";
/// What of a roll-out is called done.
const UPDATED: &str = "updated";
const STATES: &str = "queued, asked, notified, downloading, downloaded, verified, updating, done, updated, \
     failed, skipped or canceled";

/// The part of the description that is about jobs.
#[derive(OpenApi)]
#[openapi(
    tags((name = "jobs", description = "One thing done to many devices, and what became of each")),
    paths(
        bulk::post_bulk, list_jobs, get_job, remove_job, list_job_devices, pause_job, resume_job, cancel_job,
        retry_job,
    )
)]
pub(super) struct Description;

/// Before the routes of one device, which take any word for its id.
pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(resource("/api/devices/bulk", "POST").route(web::post().to(bulk::post_bulk)))
        .service(resource("/api/jobs", "GET, HEAD").route(get().to(list_jobs)))
        .service(
            resource("/api/jobs/{id}", "GET, HEAD, DELETE")
                .route(get().to(get_job))
                .route(web::delete().to(remove_job)),
        )
        .service(resource("/api/jobs/{id}/devices", "GET, HEAD").route(get().to(list_job_devices)))
        .service(resource("/api/jobs/{id}/pause", "POST").route(web::post().to(pause_job)))
        .service(resource("/api/jobs/{id}/resume", "POST").route(web::post().to(resume_job)))
        .service(resource("/api/jobs/{id}/cancel", "POST").route(web::post().to(cancel_job)))
        .service(resource("/api/jobs/{id}/retry", "POST").route(web::post().to(retry_job)));
}

/// The jobs, the newest first. The last 1,000 that came to their end are remembered.
#[utoipa::path(
    get,
    path = "/api/jobs",
    tag = "jobs",
    params(JobListing),
    responses(
        (status = 200, description = "A page of jobs", body = [JobItem],
            headers(("X-Total-Count" = u64, description = "How many there are on all pages"), ("Link" = String))),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn list_jobs(
    request: HttpRequest,
    mut params: Params,
    state: Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    let all = params.all().to_vec();
    let paging = Paging::take(&mut params)?;
    let status = params.words("status", STATUSES, JobStatus::parse)?;
    let kind = |word: &str| JobAction::KINDS.into_iter().find(|kind| *kind == word).map(Box::from);
    let kinds = params.words("kind", &JobAction::KINDS.join(", "), kind)?;
    params.finish()?;
    let (reply, page) = oneshot::channel();
    let limit = usize::try_from(paging.limit).unwrap_or(usize::MAX);
    let offset = usize::try_from(paging.offset()).unwrap_or(usize::MAX);
    post(&state.hub.jobs, ListJobs { status, kinds, offset, limit, reply }).map_err(|_| going_down())?;
    let page = state.hub.answer(page).await?;
    let mut response = HttpResponse::Ok();
    paging.tell(&mut response, request.path(), &all, page.total as u64);
    Ok(array(response, &page.jobs, |told, out| told.document().write(out)))
}

/// One job, with how many of its devices are in which state, how fast it goes, and when it will be done.
#[utoipa::path(
    get,
    path = "/api/jobs/{id}",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, body = JobItem), (status = 404, body = Problem))
)]
pub async fn get_job(
    JobNamed(id): JobNamed,
    params: Params,
    state: Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    Ok(shown(&find(&state, id).await?))
}

/// The devices of a job in the order of their turns, with what became of each.
#[utoipa::path(
    get,
    path = "/api/jobs/{id}/devices",
    tag = "jobs",
    params(
        ("id" = String, Path, description = "The job's id"),
        ("state" = Option<String>, Query, description = "One or several states, parted by commas: `queued`, `asked` \
            (it has a command to carry out), `done`, `failed`, `skipped`, `canceled`"),
        ("page" = Option<u64>, Query, description = "From 1"),
        ("limit" = Option<u64>, Query, description = "20 by default, 1,000 at most"),
    ),
    responses(
        (status = 200, description = "A page of devices", body = [JobDeviceItem],
            headers(("X-Total-Count" = u64, description = "How many there are on all pages"), ("Link" = String))),
        (status = 404, body = Problem),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn list_job_devices(
    request: HttpRequest,
    JobNamed(id): JobNamed,
    mut params: Params,
    state: Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    let all = params.all().to_vec();
    let paging = Paging::take(&mut params)?;
    let state_of = |word: &str| StepState::parse(if word == UPDATED { "done" } else { word });
    let states = params.words("state", STATES, state_of)?;
    params.finish()?;
    let is_rollout = find(&state, id).await?.job.action.rollout().is_some();
    let (offset, limit) = (paging.offset(), paging.limit);
    let query = JobDeviceQuery { states, offset, limit, ..JobDeviceQuery::of(id) };
    let page = state.hub.archive.send(ListJobDevices(query)).await??;
    let mut response = HttpResponse::Ok();
    paging.tell(&mut response, request.path(), &all, page.total);
    Ok(array(response, &page.devices, |device, out| item(device, is_rollout).write(out)))
}

/// Has no further device get its turn until the job is resumed. Of a roll-out, devices that were told and have not begun
/// are told that they need not.
#[utoipa::path(
    post,
    path = "/api/jobs/{id}/pause",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses(
        (status = 200, description = "It is paused", body = JobItem),
        (status = 404, body = Problem),
        (status = 409, description = "It does not run", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn pause_job(
    job: JobNamed,
    params: Params,
    state: Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    steered(job, params, &state, Steer::Pause).await
}

/// Goes on with a job that is paused.
#[utoipa::path(
    post,
    path = "/api/jobs/{id}/resume",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses(
        (status = 200, description = "It runs", body = JobItem),
        (status = 404, body = Problem),
        (status = 409, description = "It is not paused", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn resume_job(
    job: JobNamed,
    params: Params,
    state: Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    steered(job, params, &state, Steer::Resume).await
}

/// Calls a job off: devices that had no turn yet get none. What was handed to devices before stays, and commands
/// that are with devices go on.
#[utoipa::path(
    post,
    path = "/api/jobs/{id}/cancel",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses(
        (status = 200, description = "It is canceled", body = JobItem),
        (status = 404, body = Problem),
        (status = 409, description = "It has come to its end", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn cancel_job(
    job: JobNamed,
    params: Params,
    state: Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    steered(job, params, &state, Steer::Cancel).await
}

/// Gives the devices that failed another turn. A roll-out waits as long for devices that are away as it did before.
#[utoipa::path(
    post,
    path = "/api/jobs/{id}/retry",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses(
        (status = 200, description = "It runs", body = JobItem),
        (status = 404, body = Problem),
        (status = 409, description = "It has not come to its end, no device failed, or its firmware image was \
            removed", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn retry_job(
    job: JobNamed,
    params: Params,
    state: Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    let asked = find(&state, job.0).await?.job;
    if let Some(rollout) = asked.action.rollout().filter(|_| asked.status.is_final())
        && state.hub.firmware.send(FindImage(rollout.image.clone())).await?.is_none()
    {
        return Err(ApiError::ImageRemoved(rollout.image.to_string()));
    }
    steered(job, params, &state, Steer::Retry).await
}

/// Forgets a job that has come to its end, with what became of each device.
#[utoipa::path(
    delete,
    path = "/api/jobs/{id}",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses(
        (status = 200, description = "It is forgotten", body = JobRemoved),
        (status = 404, body = Problem),
        (status = 409, description = "It has not come to its end: cancel it first", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn remove_job(
    JobNamed(id): JobNamed,
    params: Params,
    state: Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    steer(&state, id, Steer::Remove).await?;
    Ok(reply::json(StatusCode::OK, &JobRemoved { id: id.to_string(), deleted: true }))
}

/// Makes a job, and tells of it when all its devices are written down, as it is most often at once. Of a large one, for
/// which that takes longer than one waits, it is told that it is `preparing`.
///
/// # Errors
/// It was not made durable in time.
pub(super) async fn make(
    state: &WebState,
    make: impl FnOnce(oneshot::Sender<JobTold>, oneshot::Sender<JobTold>) -> MakeJob,
) -> Result<JobTold, ApiError> {
    let ((reply, told), (prepared, whole)) = (oneshot::channel(), oneshot::channel());
    post(&state.hub.jobs, make(reply, prepared)).map_err(|_| going_down())?;
    let told = state.hub.answer(told).await?;
    Ok(state.hub.answer(whole).await.unwrap_or(told))
}

async fn steered(
    JobNamed(id): JobNamed,
    params: Params,
    state: &WebState,
    how: Steer,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    Ok(shown(&steer(state, id, how).await?))
}

async fn steer(state: &WebState, id: JobId, steer: Steer) -> Result<JobTold, ApiError> {
    if state.hub.is_failing() {
        return Err(HubError::Unavailable("the store does not take anything in just now").into());
    }
    let (cause, (reply, told)) = (Cause::new(Source::Rest, ""), oneshot::channel());
    post(&state.hub.jobs, SteerJob { id, steer, cause, reply }).map_err(|_| going_down())?;
    Ok(state.hub.answer(told).await??)
}

async fn find(state: &WebState, id: JobId) -> Result<JobTold, ApiError> {
    let (reply, told) = oneshot::channel();
    post(&state.hub.jobs, ShowJob { id, reply }).map_err(|_| going_down())?;
    state.hub.answer(told).await?.ok_or_else(|| ApiError::no_job(id))
}

fn shown(told: &JobTold) -> HttpResponse {
    Document::of(&told.document()).send(HttpResponse::Ok())
}

fn item(JobDevice { device, step, at, .. }: &JobDevice, is_rollout: bool) -> Object {
    let is_updated = is_rollout && step.state == StepState::Done;
    let reason = (!step.detail.is_empty()).then(|| Json::String(step.detail.clone()));
    [
        ("device_id", Json::from(device.as_str())),
        ("state", if is_updated { UPDATED } else { step.state.as_str() }.into()),
        ("reason", reason.unwrap_or_default()),
        ("percent", step.percent.map(|percent| i64::from(percent).into()).unwrap_or_default()),
        ("command_id", step.command.map(|id| id.to_string().into()).unwrap_or_default()),
        ("at", at.to_string().into()),
    ]
    .into_iter()
    .collect()
}

fn going_down() -> ApiError {
    ApiError::Mailbox(actix::MailboxError::Closed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use twinhub_domain::fleet::job::Progress;
    use twinhub_domain::fleet::{Job, Step};
    use twinhub_domain::{DeviceId, DeviceNumber, Timestamp};

    use super::*;

    fn described(schema: &str) -> BTreeSet<String> {
        let document = serde_json::to_value(crate::api::openapi()).unwrap();
        let properties = &document["components"]["schemas"][schema]["properties"];
        properties.as_object().unwrap().keys().cloned().collect()
    }

    fn written(object: &Object) -> BTreeSet<String> {
        object.iter().map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn jobs_are_described_as_they_are_written() {
        let (id, now) = (JobId(uuid::Uuid::nil()), Timestamp::default());
        let job = Job::new(id, JobAction::Delete, "rest", 0, now);
        let mut told = written(&job.document(&Progress::default()));
        told.extend(["unknown".into(), "warnings".into()]); // of a new one
        assert_eq!(described("JobItem"), told);
        let device = DeviceId::parse("pump-1").unwrap();
        let step = Step::new(id, StepState::Queued);
        let device = JobDevice { device, number: DeviceNumber(1), place: 0, step, at: now };
        assert_eq!(described("JobDeviceItem"), written(&item(&device, false)));
        assert_eq!(described("NewBulk"), bulk::FIELDS.map(str::to_owned).into());
    }

    #[test]
    fn all_kinds_and_filters_are_described() {
        let document = serde_json::to_value(crate::api::openapi()).unwrap();
        let parameters =
            |path: &str| document["paths"][path]["get"]["parameters"].as_array().unwrap().clone();
        let property = |schema: &str, name: &str| {
            document["components"]["schemas"][schema]["properties"][name]["description"].to_string()
        };
        let listing = parameters("/api/jobs").into_iter().find(|parameter| parameter["name"] == "kind");
        let listing = listing.unwrap()["description"].to_string();
        let says = |text: &str, word: &str| assert!(text.contains(&format!("`{word}")), "{word}: {text}");
        for kind in JobAction::KINDS {
            says(&property("JobItem", "kind"), kind);
            says(&listing, kind);
        }
        for kind in bulk::action::KINDS {
            says(&property("NewBulk", "action"), kind);
        }
        for filter in parameters("/api/devices") {
            let name = filter["name"].as_str().unwrap();
            if !["filter", "sort", "page", "limit"].contains(&name) {
                says(&property("NewBulk", "where"), name.split('.').next().unwrap());
            }
        }
    }

    #[test]
    fn all_words_are_said() {
        assert!(JobStatus::ALL.iter().all(|status| STATUSES.contains(status.as_str())));
        assert!(StepState::ALL.iter().all(|state| STATES.contains(state.as_str())));
    }
}

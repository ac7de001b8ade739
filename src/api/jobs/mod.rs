//! `/api/jobs`: actions on many devices, with their progress and the result of each device.

pub(crate) mod bulk;
pub(crate) mod request;
pub mod schema;
pub mod selection;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use tokio::sync::oneshot;
use twinhub_access::Action;
use twinhub_actors::access::Grant;
use twinhub_actors::messages::archive::ListJobDevices;
use twinhub_actors::messages::firmware::FindImage;
use twinhub_actors::messages::jobs::{JobView, JobViewer, ListJobs, MakeJob, ShowJob, Steer, SteerJob};
use twinhub_domain::fleet::{JobAction, JobId, JobStatus, StepState};
use twinhub_domain::{Json, Object};
use twinhub_store::{JobDevice, JobDeviceQuery};

use crate::api::jobs::schema::{JobDeviceItem, JobItem, JobListing, JobRemoved};
use crate::http::Access;
use crate::http::extract::body::JobPath;
use crate::http::extract::paging::Paging;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;
use crate::http::reply::{Document, array};
use crate::http::routes::routes;

const STATUSES: &str = "preparing, running, paused, done, canceled or failed";
/// The word for `done` in a roll-out.
pub(in crate::api) const UPDATED: &str = "updated";
const STATES: &str = "queued, asked, notified, downloading, downloaded, verified, updating, done, updated, \
     failed, skipped or canceled";

routes! {
    Manage: bulk::post_bulk,
    Read: self::list_jobs,
    Read: self::get_job,
    Manage: self::remove_job,
    Read: self::list_job_devices,
    Manage: self::pause_job,
    Manage: self::resume_job,
    Manage: self::cancel_job,
    Manage: self::retry_job,
}

/// The jobs, the newest first. The last 1,000 that came to their end are remembered.
#[utoipa::path(
    get,
    path = "/api/jobs",
    tag = "jobs",
    params(JobListing),
    responses(
        (status = 200, description = "A page of jobs", body = [JobItem],
            headers(("X-Total-Count" = u64, description = "The number of entries on all pages"), ("Link" = String))),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn list_jobs(
    request: HttpRequest,
    mut params: Params,
    access: Access,
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
    access.send(ListJobs { status, kinds, viewer: JobViewer::default(), offset, limit, reply })?;
    let page = access.answer(page).await?;
    let mut response = HttpResponse::Ok();
    paging.set_headers(&mut response, request.path(), &all, page.total as u64);
    Ok(array(response, &page.jobs, |job_reply, out| job_reply.document().write(out)))
}

/// One job, with how many of its devices are in which state, how fast it goes, and when it will be done.
#[utoipa::path(
    get,
    path = "/api/jobs/{id}",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, body = JobItem), (status = 404, body = Problem))
)]
pub async fn get_job(JobPath(id): JobPath, params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    Ok(shown(&find(&access, id).await?))
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
            headers(("X-Total-Count" = u64, description = "The number of entries on all pages"), ("Link" = String))),
        (status = 404, body = Problem),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn list_job_devices(
    request: HttpRequest,
    JobPath(id): JobPath,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let all = params.all().to_vec();
    let paging = Paging::take(&mut params)?;
    let state_of = |word: &str| StepState::parse(if word == UPDATED { "done" } else { word });
    let states = params.words("state", STATES, state_of)?;
    params.finish()?;
    let is_rollout = find(&access, id).await?.job.action.rollout().is_some();
    let (offset, limit) = (paging.offset(), paging.limit);
    let query = JobDeviceQuery { states, offset, limit, ..JobDeviceQuery::of(id) };
    let page = access.ask(ListJobDevices(query)).await??;
    let mut response = HttpResponse::Ok();
    paging.set_headers(&mut response, request.path(), &all, page.total);
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
pub async fn pause_job(job: JobPath, params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    steered(job, params, &access, Steer::Pause).await
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
pub async fn resume_job(job: JobPath, params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    steered(job, params, &access, Steer::Resume).await
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
pub async fn cancel_job(job: JobPath, params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    steered(job, params, &access, Steer::Cancel).await
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
pub async fn retry_job(job: JobPath, params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    let asked = find(&access, job.0).await?.job;
    if let Some(rollout) = asked.action.rollout().filter(|_| asked.status.is_final())
        && access.ask(FindImage(rollout.image.clone())).await?.is_none()
    {
        return Err(ApiError::ImageRemoved(rollout.image.to_string()));
    }
    steered(job, params, &access, Steer::Retry).await
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
    JobPath(id): JobPath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    steer(&access, id, Steer::Remove).await?;
    Ok(reply::json(StatusCode::OK, &JobRemoved { id: id.to_string(), deleted: true }))
}

/// Makes a job, and answers when all its devices are written down, most often at once. A large one, for which that
/// takes longer than the wait, is answered as `preparing`.
///
/// # Errors
/// The job was not made durable in time.
pub(crate) async fn make(
    access: &Access,
    make: impl FnOnce(oneshot::Sender<JobView>, oneshot::Sender<JobView>) -> MakeJob,
) -> Result<JobView, ApiError> {
    let ((reply, job_reply), (prepared, whole)) = (oneshot::channel(), oneshot::channel());
    access.send(make(reply, prepared))?;
    let job_reply = access.answer(job_reply).await?;
    Ok(access.answer(whole).await.unwrap_or(job_reply))
}

async fn steered(
    JobPath(id): JobPath,
    params: Params,
    access: &Access,
    how: Steer,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    Ok(shown(&steer(access, id, how).await?))
}

async fn steer(access: &Access, id: JobId, steer: Steer) -> Result<JobView, ApiError> {
    let access = access.clone();
    let steered = Grant::see_through(async move {
        let (cause, viewer) = (access.cause(), JobViewer::default());
        let steered: JobView = access.change(|reply| SteerJob { id, viewer, steer, cause, reply }).await??;
        let (target, word) = (format!("job:{id}"), [("steer", Json::from(steer.as_str()))]);
        if steer == Steer::Remove {
            access.audit_done(Action::JobRemoved, &target, []).await;
        } else if steered.job.action.rollout().is_some() {
            access.audit_done(Action::RolloutChanged, &target, word).await;
        }
        Ok::<JobView, ApiError>(steered)
    });
    steered.await?
}

async fn find(access: &Access, id: JobId) -> Result<JobView, ApiError> {
    let (reply, job_reply) = oneshot::channel();
    access.send(ShowJob { id, viewer: JobViewer::default(), reply })?;
    access.answer(job_reply).await?.ok_or_else(|| ApiError::no_job(id))
}

fn shown(job_reply: &JobView) -> HttpResponse {
    Document::of(&job_reply.document()).send(HttpResponse::Ok())
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use twinhub_domain::fleet::job::JobProgress;
    use twinhub_domain::fleet::{Job, JobStep};
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
        let mut job_reply = written(&job.document(&JobProgress::default()));
        job_reply.extend(["unknown".into(), "warnings".into()]); // of a new one
        assert_eq!(described("JobItem"), job_reply);
        let device = DeviceId::parse("pump-1").unwrap();
        let step = JobStep::new(id, StepState::Queued);
        let device = JobDevice { device, number: DeviceNumber(1), place: 0, step, at: now };
        assert_eq!(described("JobDeviceItem"), written(&item(&device, false)));
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
            says(&listing, kind);
        }
        for filter in parameters("/api/devices") {
            let name = filter["name"].as_str().unwrap();
            if !["filter", "sort", "page", "limit"].contains(&name) {
                says(&property("NewBulk", "where"), name.split('.').next().unwrap());
            }
        }
    }

    #[test]
    fn all_words_are_described() {
        assert!(JobStatus::ALL.iter().all(|status| STATUSES.contains(status.as_str())));
        assert!(StepState::ALL.iter().all(|state| STATES.contains(state.as_str())));
    }
}

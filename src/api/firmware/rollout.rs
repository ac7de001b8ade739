//! `POST /api/firmware/{id}/rollouts`: devices are brought to an image, in stages, as a job.

use std::collections::HashMap;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use twinhub_access::Action;
use twinhub_actors::messages::archive::LoadTwins;
use twinhub_actors::messages::jobs::MakeJob;
use twinhub_actors::messages::search::SearchWarning;
use twinhub_domain::duration::{GivenDuration, within};
use twinhub_domain::fleet::firmware::USUAL_TIMEOUT_MS;
use twinhub_domain::fleet::rollout::{Abort, USUAL_ABORT, USUAL_LIFE_MS, USUAL_STAGES, check_stages, places};
use twinhub_domain::fleet::{GroupTree, Image, JobAction, Rollout};
use twinhub_domain::{DeviceId, DeviceNumber, Json, Object, Timestamp, Twin};

use super::{find, url};
use crate::api::firmware::request::{NewAbort, NewRollout};
use crate::api::firmware::schema::RolloutPreview;
use crate::api::jobs;
use crate::api::jobs::bulk::refuse_slips;
use crate::api::jobs::request::{checked_description, checked_rate};
use crate::api::jobs::schema::JobItem;
use crate::api::jobs::selection::{DeviceSelection, SelectedDevices};
use crate::http::Access;
use crate::http::extract::body::{Body, NamePath};
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::Document;
use crate::http::warnings;

/// Twins read with one query.
const AT_ONCE: usize = 500;
/// Devices that a dry run shows of each kind.
const SHOWN: usize = 10;
/// A device that is silent for less than this has hardly failed.
const SHORTEST_TIMEOUT_MS: i64 = 1_000;

/// A request for a roll-out.
#[derive(Debug)]
struct RolloutRequest {
    choice: DeviceSelection,
    stages: Vec<u8>,
    abort: Option<Abort>,
    allow_downgrade: bool,
    timeout: GivenDuration,
    /// When, and how long that is.
    expires: (Timestamp, GivenDuration),
    rate: Option<f64>,
    description: Box<str>,
    dry_run: bool,
}

/// The devices that get the image, and those that do not, with the reason.
#[derive(Default)]
struct RolloutPlan {
    devices: Vec<(DeviceId, DeviceNumber)>,
    /// The first of them, as a dry run shows them.
    first: Vec<Json>,
    skipped: Vec<(DeviceId, DeviceNumber, Box<str>)>,
}

/// Some of the devices that get it.
#[derive(Default)]
struct RolloutShare {
    devices: Vec<(DeviceId, DeviceNumber)>,
    first: Vec<Json>,
}

/// Brings devices to an image: those whose model it is for and whose version is older; the others are passed over, and
/// the job says why. It goes by stages, each up to so many percent of the devices, those that are there first: the next
/// one begins when no device is under way in the one before it and one at least was updated. Where too many fail it is
/// broken off, and what devices have not begun with is called back. A device that is away is updated when it returns,
/// as long as the roll-out lives, and holds nobody up: where nobody of the first stage comes for `timeout`, as many
/// others join it.
#[utoipa::path(
    post,
    path = "/api/firmware/{id}/rollouts",
    tag = "firmware",
    params(("id" = String, Path, description = "The image's id")),
    request_body = NewRollout,
    responses(
        (status = 202, description = "The job is stored, and runs", body = JobItem,
            headers(("Location" = String, description = "Where the job is"))),
        (status = 200, description = "With `dry_run`: who gets it and who does not", body = RolloutPreview),
        (status = 404, description = "No such image", body = Problem),
        (status = 422, description = "A field makes no sense", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn post_rollout(
    request: HttpRequest,
    NamePath(id): NamePath,
    params: Params,
    Body(rollout): Body<NewRollout>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let now = access.now();
    let wanted = rollout_request(rollout, &access.tree(), now)?;
    let image = find(&access, id).await?;
    let matched = wanted.choice.devices(&request, &access).await?;
    if !wanted.dry_run {
        refuse_slips(&matched)?;
    }
    let warnings = matched.warnings.clone();
    let plan = plan(&access, &image, matched, wanted.allow_downgrade).await?;
    let rollout = Rollout {
        places: places(&wanted.stages, plan.devices.len() as u64),
        url: url(&image, &access),
        image: image.id,
        version: image.version,
        models: image.models,
        sha256: image.sha256,
        size: image.size,
        stages: wanted.stages,
        abort: wanted.abort,
        allow_downgrade: wanted.allow_downgrade,
        timeout: wanted.timeout,
        expires: wanted.expires.0,
        life: wanted.expires.1,
    };
    if wanted.dry_run {
        return Ok(preview(&rollout, plan, &warnings));
    }
    access.check_store()?;
    let (target, version) = (format!("firmware:{}", rollout.image), rollout.version.to_string());
    let devices = i64::try_from(plan.devices.len()).unwrap_or(i64::MAX);
    let told = jobs::make(&access, |reply, prepared| MakeJob {
        action: JobAction::Firmware(Box::new(rollout)),
        description: wanted.description,
        rate: wanted.rate,
        devices: plan.devices,
        skipped: plan.skipped,
        unknown: Vec::new(),
        author: None,
        cause: access.cause(),
        reply,
        prepared,
    })
    .await?;
    let detail = [
        ("job", Json::from(told.job.id.to_string())),
        ("version", Json::from(version)),
        ("devices", Json::from(devices)),
    ];
    access.audit_done(Action::RolloutStarted, &target, detail).await;
    let mut response = HttpResponse::Accepted();
    response.insert_header((header::LOCATION, format!("/api/jobs/{}", told.job.id)));
    let mut shown = told.document();
    warnings::add(&mut shown, &warnings);
    Ok(Document::of(&shown).send(response))
}

/// Sorts the devices: first those that are online, so that a stage tries the image at once, then those that are away;
/// all in their order.
async fn plan(
    access: &Access,
    image: &Image,
    matched: SelectedDevices,
    down: bool,
) -> Result<RolloutPlan, ApiError> {
    let (mut plan, mut there, mut away) =
        (RolloutPlan::default(), RolloutShare::default(), RolloutShare::default());
    for some in matched.devices.chunks(AT_ONCE) {
        let ids = some.iter().map(|(id, _)| id.clone()).collect();
        let twins = access.ask(LoadTwins(ids)).await??;
        let mut twins: HashMap<DeviceId, Twin> =
            twins.into_iter().map(|twin| (twin.id.clone(), twin)).collect();
        for (id, number) in some {
            // One that went meanwhile is nobody's.
            let Some(twin) = twins.remove(id).filter(|twin| twin.number == *number) else { continue };
            match why_not(image, &twin, down) {
                None if twin.presence.is_reachable() => there.take(&twin),
                None => away.take(&twin),
                Some(why) => plan.skipped.push((twin.id, twin.number, why.into())),
            }
        }
    }
    // That nobody knows them says nothing of the image, so they have not failed.
    for (n, id) in (1..).zip(matched.unknown) {
        let why = format!("there is no device `{id}`");
        plan.skipped.push((id, DeviceNumber(-n), why.into())); // nobody's number
    }
    plan.devices = [there.devices, away.devices].concat();
    plan.first = there.first.into_iter().chain(away.first).take(SHOWN).collect();
    Ok(plan)
}

impl RolloutShare {
    fn take(&mut self, twin: &Twin) {
        if self.first.len() < SHOWN {
            self.first.push(shown(twin));
        }
        self.devices.push((twin.id.clone(), twin.number));
    }
}

fn shown(twin: &Twin) -> Json {
    let text = |field: &str| Json::from(twin.profile.text(field));
    let members = [
        ("id", Json::from(twin.id.as_str())),
        ("device_id", twin.id.as_str().into()),
        ("model", text("model")),
        ("firmware_version", text("firmware_version")),
    ];
    Json::Object(members.into_iter().collect())
}

fn why_not(image: &Image, twin: &Twin, down: bool) -> Option<String> {
    let lifecycle = twin.lifecycle();
    if lifecycle.is_out_of_service() {
        return Some(format!("it is {}", lifecycle.as_str()));
    }
    image
        .fits(twin.profile.text("model"), twin.profile.text("firmware_version"), down)
        .err()
        .map(|unfit| unfit.to_string())
}

fn preview(rollout: &Rollout, plan: RolloutPlan, warnings: &[SearchWarning]) -> HttpResponse {
    let skipped = plan.skipped.iter().take(SHOWN).map(|(id, _, why)| {
        let id = id.as_str();
        Json::Object(
            [("id", id.into()), ("device_id", id.into()), ("reason", Json::String(why.clone()))]
                .into_iter()
                .collect(),
        )
    });
    let count = |count: u64| Json::from(i64::try_from(count).unwrap_or(i64::MAX));
    let stages = rollout.stages.iter().zip(&rollout.places).map(|(percent, devices)| {
        Json::Object(
            [("percent", i64::from(*percent).into()), ("devices", count(*devices))].into_iter().collect(),
        )
    });
    let mut object: Object = [
        ("dry_run", Json::Bool(true)),
        ("version", Json::String(rollout.version.clone())),
        ("total", count(plan.devices.len() as u64)),
        ("first", Json::Array(plan.first.into())),
        ("skipped", count(plan.skipped.len() as u64)),
        ("first_skipped", Json::Array(skipped.collect())),
        ("stages", Json::Array(stages.collect())),
    ]
    .into_iter()
    .collect();
    warnings::add(&mut object, warnings);
    Document::of(&object).send(HttpResponse::Ok())
}

fn rollout_request(
    rollout: NewRollout,
    tree: &GroupTree,
    now: Timestamp,
) -> Result<RolloutRequest, FieldError> {
    Ok(RolloutRequest {
        choice: DeviceSelection::of(rollout.ids, rollout.filter.as_deref(), rollout.r#where, tree, now)?,
        stages: stages(rollout.stages)?,
        abort: abort(rollout.abort)?,
        allow_downgrade: rollout.allow_downgrade.unwrap_or_default(),
        timeout: timeout(rollout.timeout)?,
        expires: expires(rollout.expires, now)?,
        rate: checked_rate(rollout.rate)?,
        description: checked_description(rollout.description)?,
        dry_run: rollout.dry_run.unwrap_or_default(),
    })
}

fn timeout(given: Option<GivenDuration>) -> Result<GivenDuration, FieldError> {
    let timeout = given.unwrap_or_else(|| GivenDuration::from_ms(USUAL_TIMEOUT_MS));
    within(timeout.ms(), SHORTEST_TIMEOUT_MS..=i64::MAX).map_err(|error| {
        let expected = "expected a duration of a second or more such as 30m or 2h, or seconds";
        FieldError::bad("timeout", format!("{expected}: {error}"))
    })?;
    Ok(timeout)
}

fn stages(given: Option<Vec<u8>>) -> Result<Vec<u8>, FieldError> {
    let stages = given.unwrap_or_else(|| USUAL_STAGES.to_vec());
    check_stages(&stages).map_err(|detail| FieldError::bad("stages", detail))?;
    Ok(stages)
}

/// Null is never.
fn abort(given: Option<Option<NewAbort>>) -> Result<Option<Abort>, FieldError> {
    let NewAbort { share, min } = match given {
        None => return Ok(Some(USUAL_ABORT)),
        Some(None) => return Ok(None),
        Some(Some(abort)) => abort,
    };
    let share = share.unwrap_or(USUAL_ABORT.share);
    if share <= 0.0 || share > 1.0 {
        let detail = "expected a part of those that are through: above 0, 1 at most";
        return Err(FieldError::bad("abort.share", detail));
    }
    Ok(Some(Abort { share, min: min.unwrap_or(USUAL_ABORT.min) }))
}

fn expires(given: Option<Json>, now: Timestamp) -> Result<(Timestamp, GivenDuration), FieldError> {
    let after = |life: GivenDuration| (now.plus_millis(life.ms()), life);
    let bad = |why: &str| {
        let expected = "expected a duration such as 7d, seconds, or an RFC 3339 time that is to come";
        FieldError::bad("expires", format!("{expected}{why}"))
    };
    match &given {
        None => Ok(after(GivenDuration::from_ms(USUAL_LIFE_MS))),
        Some(Json::String(text)) if text.contains(':') => {
            let at = Timestamp::parse_calendar(text).filter(|at| *at > now).ok_or_else(|| bad(""))?;
            Ok((at, GivenDuration::from_ms(at.millis() - now.millis())))
        }
        Some(given) => GivenDuration::of(given).map(after).map_err(|error| bad(&format!(": {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(more: &str) -> Result<RolloutRequest, FieldError> {
        let text = format!(r#"{{"ids": ["a"]{more}}}"#);
        let rollout = crate::http::extract::read::read(text.parse::<Json>().unwrap())?;
        rollout_request(rollout, &GroupTree::default(), Timestamp::from_millis(0))
    }

    #[test]
    fn reads_how_carefully() {
        let usual = read("").unwrap();
        assert_eq!((usual.stages, usual.abort), (vec![5, 25, 100], Some(USUAL_ABORT)));
        assert_eq!(
            (usual.timeout.ms(), usual.expires.0),
            (3_600_000, Timestamp::from_millis(7 * 86_400_000))
        );
        assert!(!usual.allow_downgrade && !usual.dry_run);
        let more = r#", "stages": [50, 100], "abort": {"share": 0.5}, "timeout": "90s", "expires": "1970-01-02T00:00:00Z",
            "allow_downgrade": true, "rate": 2, "dry_run": true"#;
        let wanted = read(more).unwrap();
        assert_eq!((wanted.stages, wanted.abort), (vec![50, 100], Some(Abort { share: 0.5, min: 5 })));
        assert_eq!((wanted.timeout.ms(), wanted.expires.0), (90_000, Timestamp::from_millis(86_400_000)));
        assert!(wanted.allow_downgrade && wanted.dry_run);
        assert_eq!(read(r#", "abort": null"#).unwrap().abort, None);
        assert_eq!(read(r#", "expires": 60"#).unwrap().expires.0, Timestamp::from_millis(60_000));
    }

    #[test]
    fn names_what_is_wrong() {
        let check = |more: &str, field: &str| assert_eq!(read(more).unwrap_err().field, field, "{more}");
        for stages in ["[]", "[5]", "[25, 5, 100]", "[0, 100]", "100", r#""all""#] {
            check(&format!(r#", "stages": {stages}"#), "stages");
        }
        check(r#", "stages": [5.5, 100]"#, "stages.0");
        check(r#", "stages": [5, 300]"#, "stages.1");
        check(r#", "abort": 5"#, "abort");
        check(r#", "abort": {"share": 0}"#, "abort.share");
        check(r#", "abort": {"rate": 1.1}"#, "abort.share");
        check(r#", "abort": {"min": -1}"#, "abort.min");
        check(r#", "abort": {"max": 1}"#, "abort.max");
        check(r#", "timeout": "soon""#, "timeout");
        check(r#", "timeout": "10ms""#, "timeout");
        check(r#", "timeout": "0s""#, "timeout");
        check(r#", "expires": 0"#, "expires");
        check(r#", "expires": "1969-01-01T00:00:00Z""#, "expires");
        check(r#", "expires": "soon""#, "expires");
        check(r#", "rate": 0"#, "rate");
        check(r#", "allow_downgrade": 1"#, "allow_downgrade");
        check(r#", "where": {}"#, "ids");
        check(r#", "colour": 1"#, "colour");
    }
}

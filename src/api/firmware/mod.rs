//! `/api/firmware`: the images that devices can be brought to, by URL or uploaded.

mod file;
pub(crate) mod request;
mod rollout;
pub mod schema;
mod upload;

use std::path::Path;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use tracing::warn;
use twinhub_access::Action;
use twinhub_actors::access::Grant;
use twinhub_actors::messages::firmware::{AddImage, FindImage, ListImages, RemoveImage};
use twinhub_domain::fleet::Image;
use twinhub_domain::fleet::version::{LONGEST_VERSION, Version};
use twinhub_domain::{Json, Object};
use uuid::Uuid;

pub use file::Folder;

use crate::api::firmware::request::NewFirmware;
use crate::api::firmware::schema::{FirmwareItem, FirmwareListing};
use crate::http::Access;
use crate::http::extract::body::{Body, NamePath};
use crate::http::extract::fields::FieldError;
use crate::http::extract::paging::Paging;
use crate::http::extract::params::Params;
use crate::http::extract::precondition::{if_match_content, tagged};
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::{Document, array};
use crate::http::routes::routes;

/// An image is for so many models at most, each of so many bytes.
const MOST_MODELS: usize = 100;
const LONGEST_MODEL: usize = 128;
const LONGEST_URL: usize = 2_048;
const LONGEST_NOTES: usize = 16_384;

routes! {
    Read: self::list_firmware,
    Firmware: self::post_firmware,
    Firmware: upload::upload_firmware,
    Read: self::get_firmware,
    Firmware: self::delete_firmware,
    Manage: rollout::post_rollout,
    Report: file::get_file,
}

/// The images, the newest first.
#[utoipa::path(
    get,
    path = "/api/firmware",
    tag = "firmware",
    params(FirmwareListing),
    responses(
        (status = 200, description = "A page of images", body = [FirmwareItem],
            headers(("X-Total-Count" = u64, description = "The number of entries on all pages"), ("Link" = String))),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn list_firmware(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let all = params.all().to_vec();
    let paging = Paging::take(&mut params)?;
    let (model, version) = (params.text("model")?.map(Into::into), params.text("version")?.map(Into::into));
    params.finish()?;
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let list = ListImages { model, version, offset: size(paging.offset()), limit: size(paging.limit) };
    let page = access.ask(list).await?;
    let mut response = HttpResponse::Ok();
    paging.set_headers(&mut response, request.path(), &all, page.total as u64);
    Ok(array(response, &page.images, |image, out| item(image, &access).write(out)))
}

/// Takes in an image that lies elsewhere. What is there is not looked at: devices check it by its hash.
#[utoipa::path(
    post,
    path = "/api/firmware",
    tag = "firmware",
    request_body = NewFirmware,
    responses(
        (status = 201, description = "Taken in", body = FirmwareItem,
            headers(("ETag" = String, description = "The SHA-256 hash, quoted"),
                ("Location" = String, description = "Where the image is"))),
        (status = 409, description = "There is an image of this version for one of these models", body = Problem),
        (status = 422, description = "A field makes no sense", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn post_firmware(Body(image): Body<NewFirmware>, access: Access) -> Result<HttpResponse, ApiError> {
    let wanted = image_of(image)?;
    let image = Image { id: new_id(), created_at: access.now(), ..wanted };
    let image = add(&access, image).await?;
    Ok(created(&image, &access))
}

/// One image.
#[utoipa::path(
    get,
    path = "/api/firmware/{id}",
    tag = "firmware",
    params(("id" = String, Path, description = "The image's id")),
    responses(
        (status = 200, body = FirmwareItem, headers(("ETag" = String, description = "The SHA-256 hash, quoted"))),
        (status = 404, body = Problem),
    )
)]
pub async fn get_firmware(
    NamePath(id): NamePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let image = find(&access, id).await?;
    Ok(Document::of(&item(&image, &access)).send(tagged(HttpResponse::Ok(), &image.sha256)))
}

/// Removes an image, and its bytes where the hub has them. Devices that are on their way to it may not find it.
#[utoipa::path(
    delete,
    path = "/api/firmware/{id}",
    tag = "firmware",
    params(
        ("id" = String, Path, description = "The image's id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the image to remove, or a list of them"),
    ),
    responses(
        (status = 200, description = "Removed; the image as it was", body = FirmwareItem),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 412, description = "The image is none of those that `If-Match` names", body = Problem),
        (status = 409, description = "A roll-out uses it", body = Problem),
    )
)]
pub async fn delete_firmware(
    request: HttpRequest,
    NamePath(id): NamePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let if_hash = if_match_content(&request)?;
    let cause = access.cause();
    let removed = access.change(|reply| RemoveImage { id, if_hash, cause, reply }).await?;
    let image = removed.map_err(ApiError::Image)?;
    access.audit_done(Action::FirmwareRemoved, &format!("firmware:{}", image.id), about(&image)).await;
    if image.file {
        access.state.firmware.remove(&image.id);
    }
    Ok(Document::of(&item(&image, &access)).send(HttpResponse::Ok()))
}

/// The image of this id, or the 404 that names it.
pub(super) async fn find(access: &Access, id: Box<str>) -> Result<Image, ApiError> {
    let found = access.ask(FindImage(id.clone())).await?;
    found.ok_or_else(|| ApiError::NotFound { what: "firmware image", name: id.into() })
}

/// Makes an image durable.
async fn add(access: &Access, image: Image) -> Result<Image, ApiError> {
    let cause = access.cause();
    let image = access.change(|reply| AddImage { image, cause, reply }).await?.map_err(ApiError::Image)?;
    access.audit_done(Action::FirmwareUploaded, &format!("firmware:{}", image.id), about(&image)).await;
    Ok(image)
}

/// An image as the audit tells it.
fn about(image: &Image) -> [(&'static str, Json); 2] {
    [("version", Json::from(&*image.version.to_string())), ("sha256", Json::from(&*image.sha256))]
}

fn created(image: &Image, access: &Access) -> HttpResponse {
    let mut response = tagged(HttpResponse::build(StatusCode::CREATED), &image.sha256);
    response.insert_header((header::LOCATION, format!("/api/firmware/{}", image.id)));
    Document::of(&item(image, access)).send(response)
}

/// The view of an image: of one whose bytes the hub has, with the address for devices.
fn item(image: &Image, access: &Access) -> Object {
    let mut item = image.to_object();
    item.insert("url", Json::String(url(image, access)));
    item
}

/// The address at which devices download it.
pub(super) fn url(image: &Image, access: &Access) -> Box<str> {
    if image.file {
        return format!("{}/api/firmware/{}/file", access.state.info.public_url, image.id).into();
    }
    image.url.clone()
}

/// Is this the name of a file that the hub makes in the folder of images?
#[must_use]
pub fn is_file_name(name: &str) -> bool {
    let id = name.strip_prefix(upload::UNFINISHED).unwrap_or(name);
    Uuid::try_parse(id).is_ok_and(|uuid| uuid.to_string() == id)
}

fn new_id() -> Box<str> {
    twinhub_actors::clock::new_id().to_string().into()
}

fn image_of(image: NewFirmware) -> Result<Image, FieldError> {
    let NewFirmware { version: text, model, models: several, url, sha256: hash, size, notes: said } = image;
    let version = version(&text)?;
    let named = match (model, several) {
        (Some(_), Some(_)) => {
            return Err(FieldError::bad("model", "says the same as `models`: give one of them"));
        }
        (one, several) => one.or(several).ok_or_else(|| FieldError::missing("models"))?,
    };
    if url.len() > LONGEST_URL || !url::Url::parse(&url).is_ok_and(|url| url.has_host()) {
        let shown: String = url.chars().take(64).collect();
        let expected = "an address with a scheme and a host, such as https://example.com/pump-1.5.0.bin";
        return Err(FieldError::bad("url", format!("expected {expected}, found `{shown}`")));
    }
    let hash = sha256("sha256", &hash)?;
    if size == 0 {
        return Err(FieldError::bad("size", "an image has one byte at least"));
    }
    let notes = notes(said.unwrap_or_default())?;
    Ok(Image {
        version,
        models: models("models", named)?,
        url,
        sha256: hash,
        size,
        notes,
        ..Image::default()
    })
}

fn version(text: &str) -> Result<Box<str>, FieldError> {
    let version = Version::parse(text).ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        let detail = format!("expected a version such as 1.4.2 or 2.0.0-rc.1, of {LONGEST_VERSION} bytes at most, found `{shown}`");
        FieldError::bad("version", detail)
    })?;
    Ok(version.to_string().into())
}

fn models(field: &str, named: Vec<Box<str>>) -> Result<Vec<Box<str>>, FieldError> {
    let mut models: Vec<Box<str>> = named.iter().map(|model| model.trim().into()).collect();
    if models.is_empty() || models.iter().any(|model| model.is_empty()) {
        return Err(FieldError::bad(
            field,
            "names the models that the image is for: one at least, none empty; `*` is any",
        ));
    }
    if models.len() > MOST_MODELS || models.iter().any(|model| model.len() > LONGEST_MODEL) {
        let detail = format!("{MOST_MODELS} models at most, of {LONGEST_MODEL} bytes at most each");
        return Err(FieldError::bad(field, detail));
    }
    models.sort_unstable();
    models.dedup();
    Ok(models)
}

/// A hash in lower case.
fn sha256(field: &str, text: &str) -> Result<Box<str>, FieldError> {
    let is_hash = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hash {
        return Err(FieldError::bad(field, "expected the SHA-256 hash as 64 hexadecimal digits"));
    }
    Ok(text.to_ascii_lowercase().into())
}

fn notes(text: Box<str>) -> Result<Box<str>, FieldError> {
    if text.len() > LONGEST_NOTES {
        return Err(FieldError::bad("notes", format!("{LONGEST_NOTES} bytes at most")));
    }
    Ok(text)
}

/// Removes the remains of uploads that the hub did not live to finish. A whole file that belongs to no image stays, and
/// the log names it: it may well belong to one of another database, or to one whose record cannot be read.
///
/// # Errors
/// The images cannot be asked for.
pub async fn tidy(hub: &Grant, folder: &Folder) -> Result<(), ApiError> {
    let all = ListImages { limit: usize::MAX, ..ListImages::default() };
    let images = hub.ask(all).await?.images;
    let is_known = |name: &str| images.iter().any(|image| image.file && &*image.id == name);
    for path in folder.files() {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(upload::UNFINISHED) {
            remove(&path);
        } else if !is_known(name) {
            warn!(path = %path.display(), "a firmware file belongs to no image of this database, keeping it");
        }
    }
    Ok(())
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        warn!(path = %path.display(), %error, "could not remove an unused firmware file");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::extract::read::read;

    const HASH: &str = "E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn check(more: &str, expected: &str) {
        let text = format!(
            r#"{{"version": " v1.5.0 ", "url": "https://h/f.bin", "sha256": "{HASH}", "size": 7{more}}}"#
        );
        let told = match read(text.parse::<Json>().unwrap()).and_then(image_of) {
            Ok(Image { version, models, sha256, .. }) => {
                format!("{version} {} {}", models.join(","), &sha256[..4])
            }
            Err(error) => error.to_string(),
        };
        assert!(told.starts_with(expected), "{text}: {told}");
    }

    #[test]
    fn reads_an_image_by_its_address() {
        check(r#", "models": ["P2", "P1", "P2"]"#, "v1.5.0 P1,P2 e3b0");
        check(r#", "model": "P1", "notes": "fixes the valve""#, "v1.5.0 P1 e3b0");
        check(r#", "models": "*""#, "v1.5.0 * e3b0");
    }

    #[test]
    fn names_what_is_wrong() {
        let with = |field: &str| format!(r#", "models": ["P1"], {field}"#);
        check("", "`models`: must be given");
        check(r#", "models": []"#, "`models`: names the models");
        check(r#", "models": ["P1", " "]"#, "`models`: names the models");
        check(r#", "model": "P1", "models": ["P1"]"#, "`model`: says the same as `models`");
        check(&with(r#""version": "spring""#), "`version`: expected a version such as 1.4.2");
        check(&with(r#""url": "f.bin""#), "`url`: expected an address");
        check(&with(r#""url": "file:///etc/passwd""#), "`url`: expected an address");
        check(&with(r#""sha256": "e3b0""#), "`sha256`: expected the SHA-256 hash");
        check(&with(r#""size": 0"#), "`size`: an image has one byte at least");
        check(&with(r#""size": null"#), "`size`: expected a whole number, found null");
        check(&with(r#""colour": "red""#), "`colour`: there is no such field");
    }
}

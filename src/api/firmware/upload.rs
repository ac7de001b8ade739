//! `POST /api/firmware/upload`: an image's bytes come in. They go to a file while they come, hashed and counted on the
//! way; a broken upload leaves nothing behind.

use std::path::{Path, PathBuf};

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use twinhub_actors::messages::firmware::ImageRefusal;
use twinhub_domain::fleet::Image;
use twinhub_domain::text::hex;

use super::{add, created, models, new_id, notes, sha256, version};
use crate::api::firmware::schema::{FirmwareItem, Upload};
use crate::http::Access;
use crate::http::extract::body::promised;
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::{Params, bad};
use crate::http::extract::upload_pace::Steady;
use crate::http::problem::{ApiError, Problem};

/// The prefix of a file that is not whole yet; no id begins so.
pub(super) const UNFINISHED: &str = ".upload-";

/// Takes in an image with its bytes, which the hub serves from then on.
#[utoipa::path(
    post,
    path = "/api/firmware/upload",
    tag = "firmware",
    params(Upload),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The image, as it is"),
    responses(
        (status = 201, description = "Taken in", body = FirmwareItem,
            headers(("ETag" = String, description = "The SHA-256 hash, quoted"),
                ("Location" = String, description = "Where the image is"))),
        (status = 408, description = "The bytes stopped coming, or all but stopped", body = Problem),
        (status = 409, description = "There is an image of this version for one of these models", body = Problem),
        (status = 413, description = "It is larger than an image may be", body = Problem),
        (status = 422, description = "A parameter makes no sense, or it is not what `sha256` says", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn upload_firmware(
    request: HttpRequest,
    params: Params,
    payload: Payload,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let (wanted, hash) = upload_options(params)?;
    let limit = access.state.policy().firmware_limit;
    if promised(&request).is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let id = new_id();
    let unfinished =
        UnfinishedFile::begin(access.state.firmware.path(), &id).await.map_err(|error| broken(&error))?;
    let ReceivedFile { size, sha256: found } = receive(payload, &unfinished.path, limit).await?;
    if size == 0 {
        return Err(FieldError::bad("body", "an image has one byte at least").into());
    }
    if hash.is_some_and(|hash| hash != found) {
        return Err(bad("sha256", format!("what came hashes to {found}")).into());
    }
    let file = access.state.firmware.file(&id);
    unfinished.finish(&file).await.map_err(|error| broken(&error))?;
    let image = Image { id: id.clone(), size, sha256: found, file: true, created_at: access.now(), ..wanted };
    match add(&access, image).await {
        Ok(image) => Ok(created(&image, &access)),
        Err(error) => {
            // Where it is not known whether it was taken in, there may be an image that needs the file.
            if matches!(&error, ApiError::Image(refusal) if *refusal != ImageRefusal::Lost) {
                access.state.firmware.remove(&id);
            }
            Err(error)
        }
    }
}

fn upload_options(mut params: Params) -> Result<(Image, Option<Box<str>>), FieldError> {
    let text = params.text("version")?.ok_or_else(|| bad("version", "must be given"))?;
    let version = version(&text)?;
    let named = [params.list("model"), params.list("models")].concat();
    let models = models("model", named.into_iter().map(Into::into).collect())?;
    let hash = params.text("sha256")?.map(|text| sha256("sha256", &text)).transpose()?;
    let notes = notes(params.text("notes")?.unwrap_or_default().into())?;
    params.finish()?;
    Ok((Image { version, models, notes, ..Image::default() }, hash))
}

/// The received bytes, all of them in the file.
struct ReceivedFile {
    size: u64,
    sha256: Box<str>,
}

async fn receive(mut payload: Payload, path: &Path, limit: u64) -> Result<ReceivedFile, ApiError> {
    let mut file = File::create(path).await.map_err(|error| broken(&error))?;
    let (mut size, mut hash, mut steady) = (0, Sha256::new(), Steady::default());
    while let Some(bytes) = steady.next(&mut payload).await.map_err(|_| ApiError::SlowBody)? {
        let bytes = bytes.map_err(|error| ApiError::Body(error.to_string()))?;
        size += bytes.len() as u64;
        if size > limit {
            return Err(too_large(limit));
        }
        hash.update(&bytes);
        file.write_all(&bytes).await.map_err(|error| broken(&error))?;
    }
    file.sync_all().await.map_err(|error| broken(&error))?;
    let sha256 = hex(&hash.finalize());
    Ok(ReceivedFile { size, sha256: sha256.into() })
}

fn too_large(limit: u64) -> ApiError {
    ApiError::TooLarge { limit: usize::try_from(limit).unwrap_or(usize::MAX) }
}

fn broken(error: &std::io::Error) -> ApiError {
    tracing::warn!(%error, "an image could not be written");
    ApiError::Fault("the image could not be written to the data folder")
}

/// A file that is being written; removed unless it is finished.
struct UnfinishedFile {
    path: PathBuf,
}

impl UnfinishedFile {
    async fn begin(folder: &Path, id: &str) -> std::io::Result<Self> {
        tokio::fs::create_dir_all(folder).await?;
        Ok(Self { path: folder.join(format!("{UNFINISHED}{id}")) })
    }

    /// Gives the file its name, also over a loss of power.
    async fn finish(mut self, name: &Path) -> std::io::Result<()> {
        tokio::fs::rename(&self.path, name).await?;
        self.path = PathBuf::new();
        if let Some(folder) = name.parent() {
            File::open(folder).await?.sync_all().await?;
        }
        Ok(())
    }
}

impl Drop for UnfinishedFile {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            let _ = std::fs::remove_file(&self.path); // it may not have been made yet; the next start looks again
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_description_of_an_image() {
        let check = |text: &str, expected: &str| {
            let told = match upload_options(Params::parse(text)) {
                Ok((Image { version, models, notes, .. }, hash)) => {
                    format!("{version} {} {notes} {}", models.join(","), hash.is_some())
                }
                Err(error) => error.to_string(),
            };
            assert!(told.starts_with(expected), "{text}: {told}");
        };
        check("version=1.5.0&model=P1", "1.5.0 P1  false");
        check("version=1.5.0&models=P2,P1&notes=a%20b", "1.5.0 P1,P2 a b false");
        check("model=P1", "`version`: must be given");
        check("version=new&model=P1", "`version`: expected a version");
        check("version=1", "`model`: names the models");
        check("version=1&model=P1&sha256=12", "`sha256`: expected the SHA-256 hash");
        check("version=1&model=P1&url=x", "`url`: there is no such parameter");
    }
}

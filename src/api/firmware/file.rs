//! The images' bytes: a folder with a file for each, and how devices get them.

use std::path::{Path, PathBuf};

use actix_files::NamedFile;
use actix_web::http::header::{self, ContentDisposition, DispositionParam, DispositionType};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::{find, remove};
use crate::api::body::Named;
use crate::api::params::Params;
use crate::error::{ApiError, Problem};
use crate::web::WebState;

/// Where images lie, each under its id.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    /// Bytes of an image at most.
    pub limit: u64,
}

impl Folder {
    /// The folder at `path`, made when the first image comes.
    #[must_use]
    pub fn new(path: PathBuf, limit: u64) -> Self {
        Self { path, limit }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the image of this id lies.
    pub(super) fn file(&self, id: &str) -> PathBuf {
        self.path.join(id)
    }

    pub(super) fn remove(&self, id: &str) {
        remove(&self.file(id));
    }

    /// All that lies in it.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
    }
}

/// The image's bytes, whole or in ranges.
#[utoipa::path(
    get,
    path = "/api/firmware/{id}/file",
    tag = "firmware",
    params(
        ("id" = String, Path, description = "The image's id"),
        ("Range" = Option<String>, Header, description = "`bytes=0-1023`"),
    ),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range that was asked for"),
        (status = 404, description = "No such image, or it lies elsewhere", body = Problem),
        (status = 416, description = "There is no such range in it"),
    )
)]
pub async fn get_file(
    request: HttpRequest,
    Named(id): Named,
    params: Params,
    state: Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let image = find(&state, id).await?;
    if !image.file {
        return Err(ApiError::NotFound { what: "file of firmware image", name: image.id.into() });
    }
    let file = NamedFile::open_async(state.firmware.file(&image.id)).await.map_err(|error| {
        tracing::warn!(image = %image.id, %error, "a firmware file cannot be read");
        ApiError::Fault("the image's file cannot be read")
    })?;
    let name = DispositionParam::Filename(format!("{}.bin", image.version));
    let attachment = ContentDisposition { disposition: DispositionType::Attachment, parameters: vec![name] };
    let mut response = file
        .set_content_disposition(attachment)
        .set_content_type(mime::APPLICATION_OCTET_STREAM)
        .into_response(&request);
    // It never changes.
    let forever = header::HeaderValue::from_static("private, max-age=31536000, immutable");
    response.headers_mut().insert(header::CACHE_CONTROL, forever);
    Ok(response)
}

//! The images' bytes: a folder with a file for each, and how devices get them.

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};

use actix_web::body::SizedStream;
use actix_web::http::header::{self, ContentDisposition, DispositionParam, DispositionType, EntityTag};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tracing::warn;

use super::{find, remove};
use crate::http::Access;
use crate::http::Holder;
use crate::http::extract::body::NamePath;
use crate::http::extract::params::Params;
use crate::http::extract::precondition::{if_match_tags, if_none_match_tags};
use crate::http::problem::{ApiError, Problem};

/// Bytes that are read of a file at once.
const PIECE: usize = 64 * 1024;

/// The folder of images, each under its id.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at `path`, made when the first image comes.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the image of this id.
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

/// The image's bytes, whole or a range of them. Of several ranges none is taken: all of it comes then.
#[utoipa::path(
    get,
    path = "/api/firmware/{id}/file",
    tag = "firmware",
    params(
        ("id" = String, Path, description = "The image's id"),
        ("Range" = Option<String>, Header, description = "`bytes=0-1023`, `bytes=1024-` or `bytes=-1024`"),
        ("If-Range" = Option<String>, Header, description = "The `ETag` of what came before: all of it comes where it \
            is another one"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of what is there already"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what is wanted"),
    ),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream",
            headers(("ETag" = String, description = "The SHA-256 hash"))),
        (status = 206, description = "The range that was asked for", body = Vec<u8>, content_type = "application/octet-stream",
            headers(("ETag" = String, description = "The SHA-256 hash"))),
        (status = 304, description = "It is what is there already"),
        (status = 404, description = "No such image, or it lies elsewhere", body = Problem),
        (status = 412, description = "It is none of those that `If-Match` names", body = Problem),
        (status = 416, description = "There is no such range in it", body = Problem),
    )
)]
pub async fn get_file(
    request: HttpRequest,
    NamePath(id): NamePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let image = find(&access, id).await?;
    check_own(&access, &image.id).await?;
    if !image.file {
        return Err(ApiError::NotFound { what: "file of firmware image", name: image.id.into() });
    }
    let tag = EntityTag::new_strong(image.sha256.to_string());
    if if_match_tags(&request)?.is_some_and(|tags| !tags.match_strongly(&image.sha256)) {
        return Err(ApiError::OtherFile(tag.to_string()));
    }
    if if_none_match_tags(&request).is_some_and(|tags| tags.match_weakly(&image.sha256)) {
        return Ok(head(StatusCode::NOT_MODIFIED, &tag).finish());
    }
    let asked = requested_range(&request, &tag)
        .map_or(RequestedRange::Whole, |text| RequestedRange::read(text, image.size));
    let (status, from, length) = match asked {
        RequestedRange::Whole => (StatusCode::OK, 0, image.size),
        RequestedRange::Part { from, length } => (StatusCode::PARTIAL_CONTENT, from, length),
        RequestedRange::Nothing => return Err(ApiError::NoSuchRange { size: image.size }),
    };
    let file = open(&access.state.firmware.file(&image.id), image.size, from).await.map_err(|error| {
        warn!(image = %image.id, %error, "a firmware file cannot be read");
        ApiError::Fault("the image's file cannot be read")
    })?;
    let name = DispositionParam::Filename(format!("{}.bin", image.version));
    let attachment = ContentDisposition { disposition: DispositionType::Attachment, parameters: vec![name] };
    let mut response = head(status, &tag);
    response
        .content_type(mime::APPLICATION_OCTET_STREAM)
        .insert_header(attachment)
        .insert_header((header::ACCEPT_RANGES, "bytes"));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {from}-{}/{}", from + length - 1, image.size);
        response.insert_header((header::CONTENT_RANGE, range));
    }
    Ok(response.body(SizedStream::new(length, pieces(file, length))))
}

/// A device gets the image that it is to come to, and no other. A gateway fetches those of others, and gets any.
async fn check_own(access: &Access, image: &str) -> Result<(), ApiError> {
    let Holder::Device(reach) = access.holder() else { return Ok(()) };
    if reach.is_gateway() {
        return Ok(());
    }
    let twin = access.read(reach.own()).await?;
    let is_own = twin.is_some_and(|twin| twin.firmware().is_some_and(|task| *task.image == *image));
    match is_own {
        true => Ok(()),
        false => Err(ApiError::NotFound { what: "firmware image", name: image.to_owned() }),
    }
}

fn head(status: StatusCode, tag: &EntityTag) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::ETAG, tag.to_string()))
        .insert_header((header::CACHE_CONTROL, "private, max-age=31536000, immutable")); // it never changes
    response
}

/// The range that is asked for of this file: only a GET has one, and only of the file that `If-Range` names.
fn requested_range<'a>(request: &'a HttpRequest, tag: &EntityTag) -> Option<&'a str> {
    let of_this = request.headers().get(header::IF_RANGE).is_none_or(|of| *of == *tag.to_string());
    let range = request.headers().get(header::RANGE).filter(|_| of_this && request.method() == Method::GET);
    range.and_then(|range| range.to_str().ok())
}

/// The requested part of a file.
#[derive(Debug, PartialEq, Eq)]
enum RequestedRange {
    Whole,
    Part {
        from: u64,
        /// One byte at least.
        length: u64,
    },
    /// A range that has none of its bytes.
    Nothing,
}

impl RequestedRange {
    /// Reads a `Range` of a file of `size` bytes: one range of bytes. Anything else counts as no range (RFC 9110,
    /// 14.2).
    fn read(text: &str, size: u64) -> Self {
        let range = text.split_once('=').filter(|(unit, _)| unit.eq_ignore_ascii_case("bytes"));
        let Some((first, last)) = range.and_then(|(_, range)| range.trim().split_once('-')) else {
            return Self::Whole;
        };
        match (number(first), number(last)) {
            (Some(first), Some(last)) if last < first => Self::Whole,
            (Some(first), Some(last)) => Self::part(first, last.saturating_add(1).min(size)),
            (Some(first), None) if last.is_empty() => Self::part(first, size),
            (None, Some(length)) if first.is_empty() => Self::part(size - length.min(size), size),
            _ => Self::Whole,
        }
    }

    fn part(from: u64, to: u64) -> Self {
        if from < to { Self::Part { from, length: to - from } } else { Self::Nothing }
    }
}

/// Digits; one that is too large is as good as the largest.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// The file of `size` bytes, to be read from this one on.
async fn open(path: &Path, size: u64, from: u64) -> io::Result<File> {
    let mut file = File::open(path).await?;
    let found = file.metadata().await?.len();
    if found != size {
        return Err(io::Error::other(format!("it has {found} bytes, not {size}")));
    }
    file.seek(SeekFrom::Start(from)).await?;
    Ok(file)
}

/// The next `length` bytes of a file, piece by piece.
fn pieces(file: File, length: u64) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(file.take(length), |mut rest| async move {
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = rest.read_buf(&mut piece).await?;
        Ok((read > 0).then(|| (piece.freeze(), rest)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_range_and_passes_over_the_rest() {
        let check = |text: &str, expected: RequestedRange| {
            assert_eq!(RequestedRange::read(text, 1_000), expected, "{text}");
        };
        let part = |from, length| RequestedRange::Part { from, length };
        check("bytes=0-0", part(0, 1));
        check("bytes=0-999", part(0, 1_000));
        check("Bytes= 10-19", part(10, 10));
        check("bytes=990-5000", part(990, 10));
        check("bytes=990-99999999999999999999", part(990, 10));
        check("bytes=990-", part(990, 10));
        check("bytes=-10", part(990, 10));
        check("bytes=-5000", part(0, 1_000));
        for beyond in ["bytes=1000-", "bytes=1000-1001", "bytes=-0", "bytes=99999999999999999999-"] {
            check(beyond, RequestedRange::Nothing);
        }
        for other in
            ["items=0-5", "bytes", "bytes=", "bytes=-", "bytes=5-4", "bytes=0-1,5-6", "bytes=+1-2", "0-5"]
        {
            check(other, RequestedRange::Whole);
        }
    }
}

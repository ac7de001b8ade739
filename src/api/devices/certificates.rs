//! `/api/devices/{id}/certificate`: the certificate that is bound to a device, by its fingerprint.

use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use twinhub_actors::access::stored_fingerprint;
use twinhub_domain::twin::CertificateChange;
use twinhub_domain::{Input, Timestamp, Twin, payload};
use twinhub_tls::{CertificateState, read_client_certificate};
use utoipa::ToSchema;

use super::device::{find, make};
use super::tokens::tagged;
use crate::api::schema::words;
use crate::http::Access;
use crate::http::extract::body::{DevicePath, TextBody};
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::Params;
use crate::http::extract::precondition::if_match;
use crate::http::extract::read;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;

/// The certificate that is bound to a device.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceCertificate {
    #[schema(example = "pump-1")]
    device_id: String,
    /// SHA-256 of the whole certificate.
    #[schema(example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    fingerprint: String,
    /// The end of the certificate; null where the fingerprint alone was given.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// `ok`; `expiring`: it ends within two weeks; or `expired`: it lets nobody in.
    #[schema(value_type = words::CertificateStatus)]
    status: &'static str,
    /// Of the twin, as in its `ETag`.
    version: u64,
}

/// A device to which no certificate is bound any more.
#[derive(Debug, Serialize, ToSchema)]
pub struct CertificateRemoved {
    #[schema(example = "pump-1")]
    device_id: String,
    /// Of the twin after it, as in its `ETag`.
    version: u64,
}

/// A certificate by its fingerprint.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateByFingerprint {
    /// SHA-256 of the whole certificate in hexadecimal digits, with colons or without: as `openssl x509 -fingerprint -sha256`
    /// prints it, or with `sha256:` before it.
    #[schema(example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    fingerprint: String,
}

impl DeviceCertificate {
    fn of(twin: &Twin, now: Timestamp) -> Option<Self> {
        let fingerprint = Some(twin.profile.certificate()).filter(|bound| !bound.is_empty())?;
        let expires_at = twin.profile.certificate_end();
        let state = expires_at.map_or(CertificateState::Valid, |end| CertificateState::of(None, end, now));
        Some(Self {
            device_id: twin.id.to_string(),
            fingerprint: fingerprint.to_owned(),
            expires_at,
            status: state.as_str(),
            version: twin.version,
        })
    }
}

/// Shows the certificate that is bound to the device.
#[utoipa::path(
    get,
    path = "/api/devices/{id}/certificate",
    tag = "devices",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = DeviceCertificate, headers(("ETag" = String, description = "The version, quoted"))),
        (status = 404, description = "There is no such device, or no certificate is bound to it", body = Problem),
    )
)]
pub async fn get_certificate(
    DevicePath(id): DevicePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let twin = find(&access, &id).await?;
    let bound = DeviceCertificate::of(&twin, access.now());
    let bound =
        bound.ok_or_else(|| ApiError::NotFound { what: "certificate of device", name: id.to_string() })?;
    Ok(reply::json_with(tagged(&twin), &bound))
}

/// Binds a certificate to the device, in the place of the one that was bound before, whose connections end. From then on
/// the device comes by this certificate, whoever signed it, and by no other; its tokens count beside it until they are
/// ended.
#[utoipa::path(
    put,
    path = "/api/devices/{id}/certificate",
    tag = "devices",
    params(
        ("id" = String, Path),
        ("If-Match" = Option<String>, Header, description = "The version to change, or a list of versions: `\"3\", \"4\"`"),
    ),
    request_body(description = "The certificate as PEM, without its private key; or its fingerprint",
        content((Vec<u8> = "application/x-pem-file"), (CertificateByFingerprint = "application/json"))),
    responses(
        (status = 200, body = DeviceCertificate, headers(("ETag" = String, description = "The version, quoted"))),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 409, description = "The device is retired, or the certificate is bound to another one", body = Problem),
        (status = 412, description = "The twin is at none of the versions that `If-Match` names", body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn put_certificate(
    request: HttpRequest,
    DevicePath(id): DevicePath,
    params: Params,
    access: Access,
    TextBody(body): TextBody,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let if_version = if_match(&request)?;
    let (fingerprint, expires) = certificate(&body, access.now())?;
    let _given = access.state.giving.begin_binding(&access, &fingerprint, &id).await?;
    let change = CertificateChange::Bind { fingerprint: fingerprint.into(), expires };
    let twin = make(&access, id, if_version, Input::SetCertificate(change)).await?;
    let bound = DeviceCertificate::of(&twin, access.now());
    let bound = bound.ok_or(ApiError::Fault("the certificate was bound and removed again at once"))?;
    Ok(reply::json_with(tagged(&twin), &bound))
}

/// Ends that the certificate counts for the device. Connections that came by it are closed. A certificate that an
/// authority of `tls-client-ca` issued to the device's name counts again.
#[utoipa::path(
    delete,
    path = "/api/devices/{id}/certificate",
    tag = "devices",
    params(
        ("id" = String, Path),
        ("If-Match" = Option<String>, Header, description = "The version to change, or a list of versions: `\"3\", \"4\"`"),
    ),
    responses(
        (status = 200, body = CertificateRemoved, headers(("ETag" = String, description = "The version, quoted"))),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 409, description = "The device is retired", body = Problem),
        (status = 412, description = "The twin is at none of the versions that `If-Match` names", body = Problem),
    )
)]
pub async fn delete_certificate(
    request: HttpRequest,
    DevicePath(id): DevicePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let if_version = if_match(&request)?;
    let twin = make(&access, id, if_version, Input::SetCertificate(CertificateChange::Remove)).await?;
    let removed = CertificateRemoved { device_id: twin.id.to_string(), version: twin.version };
    Ok(reply::json_with(tagged(&twin), &removed))
}

/// The stored fingerprint of the certificate in a body, and its end where that is known.
fn certificate(body: &str, now: Timestamp) -> Result<(String, Option<Timestamp>), ApiError> {
    let body = body.trim();
    if body.starts_with('{') {
        let CertificateByFingerprint { fingerprint } = read::read(payload::object(body.as_bytes())?)?;
        let stored = fingerprint_of(&fingerprint).ok_or_else(|| {
            FieldError::bad(
                "fingerprint",
                "it is the SHA-256 of the certificate in 64 hexadecimal digits, with colons or without",
            )
        })?;
        return Ok((stored, None));
    }
    let facts = read_client_certificate(body.as_bytes()).map_err(|reason| FieldError::bad("body", reason))?;
    if facts.expires <= now {
        return Err(FieldError::bad("body", format!("the certificate has expired: {}", facts.expires)).into());
    }
    Ok((stored_fingerprint(&facts.fingerprint), Some(facts.expires)))
}

/// The stored form of a fingerprint as people write it.
fn fingerprint_of(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let digits =
        text.strip_prefix("sha256:").or_else(|| text.strip_prefix("sha256 fingerprint=")).unwrap_or(&text);
    let digits: String = digits.chars().filter(|character| *character != ':').collect();
    let is_hash = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| format!("sha256:{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_tools_show_them() {
        let digits = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        let stored = Some(format!("sha256:{digits}"));
        let openssl = format!("sha256 Fingerprint={colons}");
        for text in [&digits, &colons, &format!("sha256:{digits}"), &format!("SHA256:{colons}"), &openssl] {
            assert_eq!(fingerprint_of(text), stored, "{text}");
        }
        for text in ["", "sha256:", &digits[1..], &format!("{digits}a"), &"xy".repeat(32), "sha1:abab"] {
            assert_eq!(fingerprint_of(text), None, "{text}");
        }
    }

    #[test]
    fn a_body_says_what_is_wrong_with_it() {
        let wrong = |body: &str, expected: &str| {
            let error = certificate(body, Timestamp::from_millis(0)).unwrap_err().to_string();
            assert!(error.contains(expected), "{body}: {error}");
        };
        wrong("", "there is no certificate in it");
        wrong("hello", "there is no certificate in it");
        wrong("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "");
        wrong(
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "its private key stands beside it",
        );
        wrong(r#"{"fingerprint": "ab"}"#, "64 hexadecimal digits");
        wrong(r#"{"finger": "ab"}"#, "finger");
        wrong("{", "");
    }
}

//! Holds every answer against its description. An answer whose status, header or body the OpenAPI document does not
//! describe fails the test that got it.

use std::collections::HashMap;
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use http::Extensions;
use jsonschema::{Draft, Validator};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Body, Request, Response};
use reqwest_middleware::{Middleware, Next};
use serde_json::{Map, Value, json};

/// Headers that a response has only where it is said that it may.
const HEADERS: [&str; 8] = [
    "etag",
    "link",
    "location",
    "retry-after",
    "x-total-count",
    "x-warnings",
    "content-range",
    "x-request-id",
];
/// Routes below `/api` that are not described.
const BESIDES: [&str; 6] =
    ["/api/ws", "/api/openapi.json", "/api/asyncapi.json", "/api/layout", "/api/layout/", "/api/status"];

static NOTHING: Value = Value::Null;
static DESCRIPTION: LazyLock<ApiDocument> = LazyLock::new(ApiDocument::read);

/// A client's middleware that holds answers against the description.
pub struct Described;

#[async_trait::async_trait]
impl Middleware for Described {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let (method, path) = (request.method().as_str().to_owned(), request.url().path().to_owned());
        let response = next.run(request, extensions).await?;
        let Some(answer) = DESCRIPTION.answer(&method, &path, response.status().as_u16()) else {
            return Ok(response);
        };
        let Some(schema) = or_fail(answer.check_head(response.headers())) else { return Ok(response) };
        let (head, body) = http::Response::<Body>::from(response).into_parts();
        let bytes = http_body_util::BodyExt::collect(body).await?.to_bytes();
        or_fail(answer.check_body(&schema, &bytes));
        Ok(http::Response::from_parts(head, Body::from(bytes)).into())
    }
}

fn or_fail<T>(checked: Result<T, String>) -> T {
    checked.unwrap_or_else(|difference| panic!("{difference}"))
}

/// The document, with the validators that were needed so far.
struct ApiDocument {
    document: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// An answer, and what is said of it.
struct DescribedAnswer<'a> {
    description: &'a ApiDocument,
    /// `GET /api/devices/{id}: 200`
    name: String,
    /// None of a route or method that is not described: then a problem document alone may come.
    responses: Option<&'a Value>,
    status: u16,
}

impl ApiDocument {
    /// Asks the program for it.
    fn read() -> Self {
        let printed = Command::new(super::hub::PROGRAM).arg("openapi").output().unwrap();
        Self::new(serde_json::from_slice(&printed.stdout).unwrap())
    }

    fn new(mut document: Value) -> Self {
        close(&mut document);
        Self { document, validators: Mutex::default() }
    }

    /// The description of an answer; none of those outside of the API, and of those without a body by nature.
    fn answer(&self, method: &str, path: &str, status: u16) -> Option<DescribedAnswer<'_>> {
        let is_api = path.starts_with("/api/") || ["/health", "/ready", "/metrics"].contains(&path);
        if !is_api || BESIDES.contains(&path) || method == "HEAD" || method == "OPTIONS" {
            return None;
        }
        let paths = self.document["paths"].as_object().unwrap();
        // Word by word goes before a parameter, as in the hub's own table.
        let found = paths.iter().filter(|(template, _)| fits(template, path)).max_by_key(|(template, _)| {
            template.split('/').map(|part| !part.starts_with('{')).collect::<Vec<_>>()
        });
        let (template, item) = found.map_or((path, &NOTHING), |(template, item)| (&**template, item));
        let responses = item[method.to_lowercase()].get("responses");
        Some(DescribedAnswer {
            description: self,
            name: format!("{method} {template}: {status}"),
            responses,
            status,
        })
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let pointer = value["$ref"].as_str().and_then(|at| at.strip_prefix('#'));
        pointer.map_or(value, |pointer| self.document.pointer(pointer).unwrap())
    }

    fn validator(&self, schema: &Value) -> Arc<Validator> {
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let made = validators.entry(schema.to_string()).or_insert_with(|| {
            let root = json!({"allOf": [schema], "components": self.document["components"]});
            let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
            Arc::new(options.build(&root).unwrap())
        });
        Arc::clone(made)
    }
}

impl DescribedAnswer<'_> {
    /// Checks status, content type and headers, and gives the schema of the body where that is JSON.
    fn check_head(&self, headers: &HeaderMap) -> Result<Option<Value>, String> {
        let name = &self.name;
        let media = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap());
        let media = media.map(|value| value.split(';').next().unwrap().trim());
        let Some(responses) = self.responses else {
            return match media {
                Some("application/problem+json") => Ok(Some(json!({"$ref": "#/components/schemas/Problem"}))),
                _ => Err(format!("{name} is a {media:?}, and its route is not described")),
            };
        };
        let described = self.description.resolved(&responses[self.status.to_string()]);
        if !described.is_object() {
            return Err(format!("{name} is not described"));
        }
        for header in HEADERS.into_iter().filter(|header| headers.contains_key(*header)) {
            let mut told = described["headers"].as_object().into_iter().flat_map(Map::keys);
            if !told.any(|told| told.eq_ignore_ascii_case(header)) {
                return Err(format!("{name} has a header {header} that is not described"));
            }
        }
        match (media, described["content"].as_object()) {
            (None, None) => Ok(None),
            (Some(media), Some(content)) if content.contains_key(media) => {
                let is_json = media.ends_with("/json") || media.ends_with("+json");
                Ok(is_json.then(|| content[media]["schema"].clone()))
            }
            _ => Err(format!("{name} is not described as {media:?}")),
        }
    }

    fn check_body(&self, schema: &Value, bytes: &[u8]) -> Result<(), String> {
        let (name, text) = (&self.name, String::from_utf8_lossy(bytes));
        let body: Value =
            serde_json::from_slice(bytes).map_err(|error| format!("{name}: {error}: {text}"))?;
        let validator = self.description.validator(schema);
        let wrong: Vec<_> = validator
            .iter_errors(&body)
            .map(|error| format!("at `{}`: {error} ({})", error.instance_path(), error.schema_path()))
            .collect();
        if wrong.is_empty() {
            return Ok(());
        }
        Err(format!("{name} breaks its description:\n{}\n{text}", wrong.join("\n")))
    }
}

/// Allows no members but those described: clients may be tolerant, this one is not.
fn close(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(close);
            if members.get("properties").is_some_and(Value::is_object) && members.get("type").is_some() {
                members.entry("additionalProperties").or_insert(false.into());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(part), Some(said)) if part.starts_with('{') || part == said => {}
            _ => return false,
        }
    }
}

/// Differences from the description are noticed.
#[test]
fn differences_are_named() {
    let thing = json!({"type": "object", "required": ["a"], "properties": {
        "a": {"type": "string", "enum": ["on", "off"]}, "at": {"type": "string", "format": "date-time"},
    }});
    let problem = json!({"type": "object", "properties": {"code": {"type": "string"}}});
    let content = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}});
    let description = ApiDocument::new(json!({
        "paths": {"/api/{id}": {"get": {"responses": {"200": {"content": content}, "204": {}}}}},
        "components": {"schemas": {"Thing": thing, "Problem": problem}},
    }));
    let check = |status: u16, headers: &[(&'static str, &str)], body: &str, part: &str| {
        let answer = description.answer("GET", "/api/x", status).unwrap();
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let checked = answer.check_head(&headers.collect()).and_then(|schema| match schema {
            Some(schema) => answer.check_body(&schema, body.as_bytes()),
            None => Ok(()),
        });
        match checked {
            Ok(()) => assert_eq!(part, "", "{body}"),
            Err(difference) => assert!(!part.is_empty() && difference.contains(part), "{difference}"),
        }
    };
    let json = [("content-type", "application/json")];
    check(200, &json, r#"{"a": "on", "at": "2026-01-01T00:00:00.000Z"}"#, "");
    check(204, &[], "", "");
    check(200, &json, r#"{"a": "on", "b": 1}"#, "'b' was unexpected");
    check(200, &json, "{}", "required");
    check(200, &json, r#"{"a": null}"#, "/a");
    check(200, &json, r#"{"a": "onn"}"#, "/a");
    check(200, &json, r#"{"a": "on", "at": "soon"}"#, "/at");
    check(200, &json, "{", "EOF");
    check(200, &[("content-type", "text/plain")], "a", "text/plain");
    check(200, &[json[0], ("etag", "1")], "{}", "etag");
    check(204, &json, "{}", "application/json");
    check(409, &json, "{}", "409 is not described");
    let elsewhere = description.answer("GET", "/api/x/y", 404).unwrap();
    assert!(elsewhere.check_head(&HeaderMap::new()).is_err(), "it is no problem document");
    assert!(description.answer("GET", "/docs/", 200).is_none());
}

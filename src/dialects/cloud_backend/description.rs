//! `/openapi.json`, the description of this dialect's routes where FastAPI's clients look for it, and `/redoc`, the same to
//! read. `/docs` is the page to try it.

mod page;

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::{self, ContentType};
use serde_json::{Value, json};
use utoipa::OpenApi;

use super::{compare, sensors, sign_in, status, weather};

/// The routes that take a token always.
const OF_ACCOUNTS: [&str; 2] = ["/v1/auth/me", "/v1/auth/refresh"];
/// The page loads the style sheet and nothing else.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "IoT cloud backend",
        version = "1.0.0",
        description = "Readings of sensors, as the cloud backend on FastAPI answered them. Times are RFC 3339, UTC. \
            Live readings come by WebSocket at `/ws`. `/api/openapi.json` describes everything else that this hub does.",
    ),
    tags(
        (name = "auth", description = "Sign-in by JSON web tokens"),
        (name = "sensors", description = "Readings of sensors, and the weather beside them"),
        (name = "system", description = "State of the hub"),
    ),
    paths(
        sign_in::login, sign_in::me, sign_in::refresh,
        sensors::latest, sensors::history, sensors::anomalies, sensors::stats, sensors::live,
        weather::external, compare::compare,
        status::status,
    ),
    components(schemas(status::ServiceStates)),
)]
struct CloudDescription;

static DOCUMENT: LazyLock<Value> = LazyLock::new(described);

/// The description as JSON.
pub(super) async fn document() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(DOCUMENT.to_string())
}

/// The description as a page.
pub(super) async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(page::of(&DOCUMENT))
}

fn described() -> Value {
    let mut document = serde_json::to_value(CloudDescription::openapi()).unwrap_or_default(); // texts and numbers
    document["paths"]["/health"] = json!({ "get": {
        "tags": ["system"],
        "summary": "Gives the state of the hub and of its services",
        "operationId": "health",
        "responses": { "200": { "description": "The state", "content": { "application/json": { "schema": {
            "type": "object",
            "required": ["status", "services"],
            "properties": {
                "status": { "type": "string", "example": "healthy" },
                "services": { "$ref": "#/components/schemas/ServiceStates" },
            },
        } } } } },
    } });
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for operation in item.as_object_mut().into_iter().flatten().map(|(_, operation)| operation) {
            complete(path, operation);
        }
    }
    let schemas = &mut document["components"]["schemas"];
    schemas["Detail"] = json!({
        "type": "object", "required": ["detail"], "properties": { "detail": { "type": "string" } },
    });
    schemas["HTTPValidationError"] = json!({
        "type": "object",
        "properties": { "detail": { "type": "array", "items": { "$ref": "#/components/schemas/ValidationError" } } },
    });
    schemas["ValidationError"] = json!({
        "type": "object",
        "required": ["loc", "msg", "type"],
        "properties": {
            "loc": { "type": "array", "items": { "anyOf": [{ "type": "string" }, { "type": "integer" }] } },
            "msg": { "type": "string" },
            "type": { "type": "string" },
            "input": {},
            "ctx": { "type": "object" },
        },
    });
    document["components"]["securitySchemes"] =
        json!({ "HTTPBearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } });
    document
}

/// Adds the refusals that the kind of a route brings, and the token.
fn complete(path: &str, operation: &mut Value) {
    let has_input = operation["requestBody"].is_object()
        || operation["parameters"].as_array().is_some_and(|parameters| !parameters.is_empty());
    let takes_token = !matches!(path, "/v1/auth/login" | "/health");
    if takes_token {
        let bearer = json!({ "HTTPBearer": [] });
        let needs_one = OF_ACCOUNTS.contains(&path);
        // An empty requirement is that of a hub that lets everybody read.
        operation["security"] = if needs_one { json!([bearer]) } else { json!([bearer, {}]) };
    }
    let refusals = [
        ("401", takes_token || path == "/v1/auth/login", "The credentials are none that count"),
        ("403", takes_token, "There is no token, or it has no right to this"),
        ("404", matches!(path, "/v1/auth/me" | "/v1/sensors/history"), "There is none such"),
        ("404", path.ends_with("/weather"), "The weather service knows no such city"),
        ("429", path != "/health", "There were too many requests"),
        ("503", takes_token, "The readings of the last days are being counted, or the store fails"),
    ];
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (status, _, description) in refusals.into_iter().filter(|(_, applies, _)| *applies) {
        responses.insert(status.into(), response(description, "Detail"));
    }
    if has_input {
        responses.insert("422".into(), response("A field or parameter is wrong", "HTTPValidationError"));
    }
}

fn response(description: &str, schema: &str) -> Value {
    let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_with_its_refusals() {
        let document = described();
        for operation in super::super::operations() {
            let path = &*operation.path;
            if matches!(path, "/ws" | "/redoc" | "/openapi.json") {
                continue; // no answers in JSON, or the description itself
            }
            let item = &document["paths"][path];
            let described = item.get("get").or(item.get("post")).unwrap_or_else(|| panic!("{path}"));
            assert!(described["summary"].is_string(), "{path}");
            assert!(described["responses"]["429"].is_object(), "{path}");
        }
        assert!(document["components"]["schemas"]["ServiceStates"].is_object());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = described();
        let text = document.to_string();
        for reference in text.split(r##""$ref":"#"##).skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
        let page = page::of(&document);
        assert!(page.contains("/v1/sensors/latest") && page.contains("Sensors at most, 1 to 1000"));
    }
}

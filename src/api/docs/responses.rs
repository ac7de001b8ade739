//! Rules for all responses of the description: how refusals look, which every route has, and what a status means.
//!
//! A refusal is a problem document. Those that come with the kind of a route (it has a body, names something in its path,
//! takes `If-Match`) are described here; a handler's description says those that it has besides, and what is special about
//! one.

use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::http::problem::PROBLEM_JSON;

const PROBLEM: &str = "#/components/schemas/Problem";
/// These answer also while nobody else gets in, and take no parameters.
const MONITORING: [&str; 3] = ["/health", "/ready", "/metrics"];
/// Refusals of any route: of a foreign host, page or caller, of one that asks too much, and what nobody foresaw.
const ANYWHERE: [u16; 6] = [400, 401, 403, 421, 429, 500];

/// Completes the responses of all operations.
pub(super) fn complete(document: &mut Value) {
    let mut named = Map::new();
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let mut refusals = refusals(path, method, operation);
            let Some(responses) = operation["responses"].as_object_mut() else { continue };
            refusals.extend(responses.iter().filter_map(|(status, response)| bare(status, response)));
            responses.retain(|status, response| bare(status, response).is_none());
            for (status, response) in responses.iter_mut() {
                describe(status, response);
            }
            for status in refusals {
                responses.entry(status.to_string()).or_insert_with(|| {
                    let name = name_of(status);
                    named.entry(name.clone()).or_insert_with(|| refusal(status));
                    json!({"$ref": format!("#/components/responses/{name}")})
                });
            }
        }
    }
    document["components"]["responses"] = named.into();
}

/// The refusals that an operation has by what it takes.
fn refusals(path: &str, method: &str, operation: &Value) -> Vec<u16> {
    let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    let has = |place: &str, name: Option<&str>| {
        let fits = |one: &Value| one["in"] == place && name.is_none_or(|name| one["name"] == name);
        parameters.iter().any(fits)
    };
    let mut found = ANYWHERE.to_vec();
    if MONITORING.contains(&path) {
        return found;
    }
    found.extend([422, 503]); // a parameter that nobody asked for; too many connections, or a store that fails
    if has("path", None) {
        found.push(404);
    }
    if has("header", Some("If-Match")) {
        found.push(412);
    }
    if operation["requestBody"].is_object() {
        found.extend([408, 413]);
    }
    if method != "get" {
        found.push(415); // compressed bodies are refused, also where none is read
        if has("path", None) {
            found.push(409); // it is retired, another job has it, it is final, others stand on it
        }
    }
    found
}

/// The status of a refusal of which its handler's description says nothing else.
fn bare(status: &str, response: &Value) -> Option<u16> {
    let says =
        !response["description"].as_str().unwrap_or_default().is_empty() || response["headers"].is_object();
    if !says && is_refusal(status) && is_problem(response) { status.parse().ok() } else { None }
}

/// Completes one response that a handler's description has.
fn describe(status: &str, response: &mut Value) {
    if response["description"].as_str().is_none_or(str::is_empty) {
        response["description"] = meaning(status).into();
    }
    if is_refusal(status) && is_problem(response) {
        response["content"] = problem();
    }
    if let Some(bytes) = response.pointer_mut("/content/application~1octet-stream") {
        *bytes = json!({"schema": {"type": "string", "format": "binary"}});
    }
    let headers = headers(status);
    if let Value::Object(described) = &mut response["headers"] {
        described.extend(headers);
    } else {
        response["headers"] = headers.into();
    }
}

fn is_refusal(status: &str) -> bool {
    matches!(status.as_bytes(), [b'4' | b'5', ..])
}

/// Only what is described as something else is none.
fn is_problem(response: &Value) -> bool {
    let content = &response["content"];
    !content.is_object() || content["application/json"]["schema"]["$ref"] == PROBLEM
}

/// A refusal of which nothing special is said.
fn refusal(status: u16) -> Value {
    let mut response = json!({});
    describe(&status.to_string(), &mut response);
    response
}

fn problem() -> Value {
    json!({ PROBLEM_JSON: {"schema": {"$ref": PROBLEM}} })
}

/// Headers of every response with this status.
fn headers(status: &str) -> Map<String, Value> {
    let header =
        |description: &str, kind: &str| json!({"description": description, "schema": {"type": kind}});
    let mut headers = Map::new();
    headers.insert("X-Request-Id".into(), header("The id of the request, as in the log", "string"));
    let left = "The requests that the caller has left, where its number is limited: `\"caller\";r=187;t=1`";
    headers.insert("RateLimit".into(), header(left, "string"));
    let policy = "The limit, where there is one: `\"caller\";q=200;w=4`";
    headers.insert("RateLimit-Policy".into(), header(policy, "string"));
    match status {
        "206" => headers.insert("Content-Range".into(), header("Which part of how much", "string")),
        "304" => headers.insert("ETag".into(), header("The tag that was named", "string")),
        "429" | "503" => headers.insert("Retry-After".into(), header("Seconds to wait", "integer")),
        "401" => headers.insert("WWW-Authenticate".into(), header("`Bearer`", "string")),
        "415" => headers.insert("Accept-Encoding".into(), header("`identity`", "string")),
        "416" => {
            headers.insert("Content-Range".into(), header("How long the file is: `bytes */1024`", "string"))
        }
        _ => None,
    };
    headers
}

/// `NotFound` for 404.
fn name_of(status: u16) -> String {
    let known = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    known.unwrap_or("Refused").split(' ').collect()
}

/// The meaning of a status in this API.
fn meaning(status: &str) -> &'static str {
    match status {
        "200" => "What was asked for",
        "201" => "It was made",
        "202" => "It is stored, and will be done",
        "204" => "It was done, and there is nothing to say",
        "206" => "The part that was asked for",
        "304" => "It is as it was",
        "400" => "The request cannot be read",
        "401" => "Its caller has to sign in, or the credential counts no more",
        "403" => "Its caller, or the page that it comes from, may not do this",
        "404" => "There is no such thing",
        "408" => "The body did not arrive in time",
        "409" => "It does not go with what is there",
        "410" => "It is no longer there",
        "412" => "It is not the version that was named",
        "413" => "The body is too large",
        "415" => "The body is of a kind that is not read, or compressed",
        "416" => "There is no such part",
        "421" => "This hub does not have the host name that was asked",
        "422" => "It was read, and makes no sense",
        "429" => "Too many at once: come again later",
        "500" => "Something in the hub is wrong",
        "503" => "It cannot be stored, or done, just now: come again later",
        "504" => "It did not come to an end in time",
        _ => "It was not done, and the problem document says why",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(path: &str, method: &str, operation: Value) -> Vec<String> {
        let mut document = json!({"paths": {path: {method: operation}}, "components": {}});
        complete(&mut document);
        document["paths"][path][method]["responses"].as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn refusals_come_with_what_a_route_takes() {
        let ok = json!({"200": {"description": "ok"}});
        let anywhere = ["200", "400", "401", "403", "421", "429", "500"];
        assert_eq!(statuses("/health", "get", json!({"responses": ok})), anywhere);
        let id = json!({"name": "id", "in": "path"});
        let get = statuses("/api/a/{id}", "get", json!({"responses": ok, "parameters": [id]}));
        assert_eq!(get, ["200", "400", "401", "403", "404", "421", "422", "429", "500", "503"]);
        let version = json!({"name": "If-Match", "in": "header"});
        let put = json!({"responses": ok, "parameters": [id, version], "requestBody": {}});
        for status in ["404", "408", "409", "412", "413", "415", "422", "503"] {
            assert!(statuses("/api/a/{id}", "put", put.clone()).contains(&status.to_owned()), "{status}");
        }
    }

    #[test]
    fn a_refusal_is_a_problem_document_with_what_its_route_says() {
        let body = json!({"application/json": {"schema": {"$ref": PROBLEM}}});
        let responses = json!({
            "404": {"description": "", "content": body},
            "409": {"description": "It is taken", "content": body},
        });
        let mut document = json!({"paths": {"/a": {"post": {"responses": responses}}}, "components": {}});
        complete(&mut document);
        let taken = &document["paths"]["/a"]["post"]["responses"]["409"];
        assert_eq!((&taken["description"], &taken["content"]), (&json!("It is taken"), &problem()));
        assert!(taken["headers"]["X-Request-Id"].is_object());
        let gone = &document["paths"]["/a"]["post"]["responses"]["404"];
        assert_eq!(gone["$ref"], "#/components/responses/NotFound", "nothing is said of it");
        let common = &document["components"]["responses"]["ServiceUnavailable"];
        assert_eq!(
            (&common["content"], &common["headers"]["Retry-After"]["schema"]["type"]),
            (&problem(), &json!("integer"))
        );
    }
}

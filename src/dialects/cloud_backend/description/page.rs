//! A description as a page to read, without any script.

use std::fmt::Write as _;

use serde_json::Value;

/// The page of an OpenAPI document.
pub(super) fn of(document: &Value) -> String {
    let text = |value: &Value| escaped(value.as_str().unwrap_or_default());
    let title = text(&document["info"]["title"]);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"stylesheet\" href=\"/assets/style.css\"></head><body><main>\n<h1>{title}</h1>\n<p>{}</p>\n\
         <p>As a document: <a href=\"/openapi.json\">/openapi.json</a>. To try: <a href=\"/docs/\">/docs</a>.</p>\n",
        text(&document["info"]["description"])
    );
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            // Writing to a String cannot fail.
            let _ = writeln!(page, "<h2><code>{} {}</code></h2>", method.to_uppercase(), escaped(path));
            let _ = writeln!(page, "<p>{}</p>", text(&operation["summary"]));
            write_parameters(&mut page, operation);
            write_responses(&mut page, operation);
        }
    }
    page.push_str("<h2>Shapes</h2>\n");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let shape = serde_json::to_string_pretty(schema).unwrap_or_default(); // it was made of JSON
        let (name, shape) = (escaped(name), escaped(&shape));
        let _ = writeln!(page, "<h3 id=\"{name}\">{name}</h3>\n<pre>{shape}</pre>");
    }
    page.push_str("</main></body></html>\n");
    page
}

fn write_parameters(page: &mut String, operation: &Value) {
    let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    if parameters.is_empty() {
        return;
    }
    page.push_str("<table><tr><th>parameter</th><th>is</th></tr>\n");
    for parameter in parameters {
        let name = escaped(parameter["name"].as_str().unwrap_or_default());
        let description = escaped(parameter["description"].as_str().unwrap_or_default());
        let needed = if parameter["required"] == true { " (must be given)" } else { "" };
        let _ = writeln!(page, "<tr><td><code>{name}</code></td><td>{description}{needed}</td></tr>");
    }
    page.push_str("</table>\n");
}

fn write_responses(page: &mut String, operation: &Value) {
    page.push_str("<table><tr><th>status</th><th>is</th></tr>\n");
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let description = escaped(response["description"].as_str().unwrap_or_default());
        let schema = &response["content"]["application/json"]["schema"]["$ref"];
        let name = schema.as_str().and_then(|name| name.rsplit('/').next()).map(escaped);
        let link = name.map(|name| format!(" <a href=\"#{name}\">{name}</a>")).unwrap_or_default();
        let _ = writeln!(page, "<tr><td>{}</td><td>{description}{link}</td></tr>", escaped(status));
    }
    page.push_str("</table>\n");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

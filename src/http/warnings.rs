//! Warnings: requests that are allowed, and probably not meant so. Answers that are an object have them as `warnings`;
//! those that are a plain list, or a file, have the header `X-Warnings`, with the same array in it.

use actix_web::HttpResponseBuilder;
use twinhub_actors::messages::search::SearchWarning;
use twinhub_domain::{Json, Object};

/// The header of answers that have no place for warnings in them.
pub const HEADER: &str = "X-Warnings";

/// The warnings as answers show them: `[{"code": "unknown_name", "field": "filter", "detail": "…"}]`.
pub fn to_json(warnings: &[SearchWarning]) -> Json {
    let item = |warning: &SearchWarning| {
        let members = [
            ("code", Json::from(warning.code)),
            ("field", warning.field.into()),
            ("detail", warning.detail.as_str().into()),
        ];
        Json::Object(members.into_iter().collect())
    };
    Json::Array(warnings.iter().map(item).collect())
}

/// Adds the header where there is something to warn of.
pub fn set_header(response: &mut HttpResponseBuilder, warnings: &[SearchWarning]) {
    if !warnings.is_empty() {
        response.insert_header((HEADER, ascii(&to_json(warnings).to_string())));
    }
}

/// Adds the member where there is something to warn of.
pub fn add(object: &mut Object, warnings: &[SearchWarning]) {
    if !warnings.is_empty() {
        object.insert("warnings", to_json(warnings));
    }
}

/// JSON text for a header: characters that are not visible ASCII are written as JSON's escapes.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            text.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_carries_any_text() {
        let warning =
            SearchWarning { code: "unknown_name", field: "filter", detail: "no `kühl🌡\n` \"x\"".into() };
        let text = ascii(&to_json(std::slice::from_ref(&warning)).to_string());
        assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{text}");
        let back: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back[0]["detail"], warning.detail);
        assert_eq!(back[0]["code"], "unknown_name");
    }
}

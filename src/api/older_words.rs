//! Older words of query parameters in the description: each is there beside the word it is read as, and deprecated.

use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::{Deprecated, OpenApi, PathItem, RefOr, Required};

use crate::http::extract::words::OLDER_WORDS;

/// Describes the older words of each operation.
pub(super) fn describe(whole: &mut OpenApi) {
    for path in whole.paths.paths.values_mut() {
        let PathItem { get, put, post, delete, patch, .. } = path;
        for operation in [get, put, post, delete, patch].into_iter().flatten() {
            add_older(operation);
        }
    }
}

fn add_older(operation: &mut Operation) {
    let Some(parameters) = &mut operation.parameters else { return };
    for (word, older) in OLDER_WORDS {
        if query(parameters, older).is_some() {
            continue; // it is a word of its own there
        }
        if let Some(mut parameter) = query(parameters, word).cloned() {
            parameter.name = older.to_owned();
            parameter.description = Some(format!("Read as `{word}`, which is the word for it now."));
            parameter.deprecated = Some(Deprecated::True);
            parameter.required = Required::False;
            parameters.push(RefOr::T(parameter));
        }
    }
}

/// The parameter of this name.
fn query<'a>(parameters: &'a [RefOr<Parameter>], name: &str) -> Option<&'a Parameter> {
    parameters.iter().find_map(|parameter| match parameter {
        RefOr::T(known) if known.name == name && known.parameter_in == ParameterIn::Query => Some(known),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn older_words_are_deprecated() {
        let document = serde_json::to_value(crate::api::openapi()).unwrap();
        let parameters =
            |path: &str| document["paths"][path]["get"]["parameters"].as_array().unwrap().clone();
        let check = |path: &str, word: &str, older: &str| {
            let parameters = parameters(path);
            let of = |name: &str| parameters.iter().find(|parameter| parameter["name"] == name).cloned();
            assert!(
                of(word).unwrap_or_else(|| panic!("{path}: {word}"))["deprecated"].is_null(),
                "{path}: {word}"
            );
            assert_eq!(of(older).unwrap_or_else(|| panic!("{path}: {older}"))["deprecated"], true, "{path}");
        };
        check("/api/devices/{id}/data", "from", "start_date");
        check("/api/devices/{id}/data", "to", "end_date");
        check("/api/devices", "group_id", "group");
        check("/api/devices", "template_id", "template");
        check("/api/commands", "device_id", "device");
        check("/api/commands", "command_type", "type");
        check("/api/groups", "parent_group", "parent");
        check("/api/alarms", "rule_id", "rule");
        check("/api/automation/journal", "parent_id", "parent");
        check("/api/automation/webhooks/deliveries", "run_id", "run");
    }
}

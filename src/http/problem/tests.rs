//! Problem documents have the status, the stable word and the field that is wrong.

use actix_web::ResponseError as _;
use actix_web::http::header;

use super::*;

fn check(error: &ApiError, status: u16, code: &str, field: Option<&str>) {
    let problem = error.problem();
    assert_eq!((problem.status, problem.code, problem.field.as_deref()), (status, code, field), "{error}");
    assert_eq!(problem.error, problem.detail);
    assert_eq!(problem.kind, format!("urn:twinhub:problem:{code}"));
}

#[test]
fn says_what_was_wrong() {
    let refused = |refusal| ApiError::Hub(HubError::Refused(refusal));
    check(&refused(Refusal::Version { current: 3, expected: 2.into() }), 412, "version_mismatch", None);
    let invalid = Refusal::Invalid { field: "name".into(), detail: "too long".into() };
    check(&refused(invalid), 422, "bad_field", Some("name"));
    check(&ApiError::no_device("pump-1"), 404, "device_not_found", None);
    check(&ApiError::no_command("x"), 404, "command_not_found", None);
    check(&ApiError::no_alarm("x"), 404, "alarm_not_found", None);
    check(&ApiError::Hub(HubError::Unavailable("not now")), 503, "unavailable", None);
    let syntax = twinhub_domain::payload::object(b"{\n  nope").unwrap_err();
    assert!(syntax.to_string().contains("line 2 column"), "{syntax}");
    check(&ApiError::Payload(syntax), 400, "not_json", None);
}

#[test]
fn names_the_command_that_it_is_about() {
    let id = CommandId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
    let error = ApiError::CommandNotFinished { id, status: CommandStatus::Sent };
    check(&error, 504, "command_not_finished", None);
    let problem = error.problem();
    assert_eq!((problem.command_id, problem.command_status), (Some(id.to_string()), Some("sent")));
    assert_eq!(problem.detail, format!("command `{id}` is still sent: it goes on"));
    let response = error.error_response();
    assert_eq!(*response.headers().get(header::LOCATION).unwrap(), format!("/api/commands/{id}"));
    let taken = Refusal::KeyTaken { key: "k".into(), id };
    assert_eq!(ApiError::Hub(HubError::Refused(taken)).problem().command_id, Some(id.to_string()));
}

#[test]
fn names_everything_that_is_wrong_with_a_rule() {
    let problem = |pointer: &str, hint: Option<&str>| twinhub_rules::FileProblem {
        line: 0,
        column: 0,
        pointer: pointer.into(),
        message: "unknown key `abve`".into(),
        hint: hint.map(Into::into),
    };
    let problems = vec![problem("/triggers/0/abve", Some("above")), problem("/actions", None)];
    let error = ApiError::Rule(RuleRefusal::Problems(problems));
    check(&error, 422, "bad_rule", Some("/triggers/0/abve"));
    assert_eq!(error.to_string(), "`/triggers/0/abve`: unknown key `abve`, did you mean `above`?");
    let errors = error.problem().errors.unwrap();
    assert_eq!((errors.len(), &*errors[1].pointer, errors[1].line), (2, "/actions", None));
    check(&ApiError::no_rule("x"), 404, "rule_not_found", None);
}

#[test]
fn tells_when_to_come_again_and_what_is_allowed() {
    let response = ApiError::Hub(HubError::Unavailable("not now")).error_response();
    assert_eq!(response.headers().get(header::RETRY_AFTER).unwrap(), "1");
    assert_eq!(response.headers().get(header::CONTENT_TYPE).unwrap(), PROBLEM_JSON);
    let method = ApiError::Method { path: "/health".into(), method: "PUT".into(), allow: "GET".into() };
    assert_eq!(method.error_response().headers().get(header::ALLOW).unwrap(), "GET");
}

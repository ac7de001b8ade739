//! Sentences of errors that hold many: of readings, rules and templates.

use twinhub_actors::messages::automation::RuleRefusal;
use twinhub_actors::messages::templates::TemplateRefusal;
use twinhub_domain::payload::PayloadError;
use twinhub_rules::device_template::BadDeviceTemplate;

/// The first that is wrong with readings, and how many more are.
pub(super) fn of_readings(errors: &[PayloadError]) -> String {
    let first = errors.first().map(ToString::to_string).unwrap_or_default();
    match errors.len() {
        0 | 1 => first,
        count => format!("{first} (and {} more)", count - 1),
    }
}

/// The refusal as a sentence; of a rule that does not check out the first error.
pub(super) fn of_rule(refusal: &RuleRefusal) -> String {
    match refusal {
        RuleRefusal::Problems(problems) => first_of(problems, refusal),
        _ => refusal.to_string(),
    }
}

/// The same of a template.
pub(super) fn of_template(refusal: &TemplateRefusal) -> String {
    match refusal {
        TemplateRefusal::Bad(BadDeviceTemplate::Rules(problems)) => first_of(problems, refusal),
        _ => refusal.to_string(),
    }
}

/// Whose something is: a device's, which is not named to callers that do not reach it.
pub(super) fn whose(device: Option<&str>) -> String {
    device.map_or_else(|| "another device".to_owned(), |device| format!("device `{device}`"))
}

fn first_of(problems: &[twinhub_rules::FileProblem], refusal: &impl ToString) -> String {
    let Some(first) = problems.first() else { return refusal.to_string() };
    let place = if first.pointer.is_empty() { String::new() } else { format!("`{}`: ", first.pointer) };
    format!("{place}{}", first.sentence())
}

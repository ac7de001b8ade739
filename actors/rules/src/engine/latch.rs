//! Latches: a trigger that looks at a state fires once when the state comes about, and not again before it has
//! gone. What is remembered of that, and the thresholds that decide it.

use serde::{Deserialize, Serialize};

use twinhub_domain::run::RunId;
use twinhub_domain::{Cause, Json, Number, Timestamp};

/// The memory of a trigger and a device. One that is armed is not remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Latch {
    /// It holds, but not yet for long enough.
    Pending(Box<Pending>),
    /// It has fired; armed again when what it looks at is over.
    Fired {
        /// The run that came of it, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ran: Option<RunId>,
    },
}

/// A `for` under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pending {
    pub since: Timestamp,
    pub until: Timestamp,
    /// The event that it began with.
    pub seq: u64,
    pub cause: Cause,
    /// The value before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Json>,
}

/// The standing of what a trigger looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TriggerLevel {
    /// As the trigger wants it.
    Holds,
    /// Not so, but it has not come back far enough to arm the trigger again.
    Between,
    /// It is over.
    Over,
}

/// Where `value` lies. With both thresholds it holds between them (`above` < `below`) or outside, and is over
/// when it does not hold: `release` belongs to one threshold.
pub(super) fn threshold(
    value: &Number,
    above: Option<&Number>,
    below: Option<&Number>,
    release: Option<&Number>,
) -> TriggerLevel {
    let (holds, back) = match (above, below) {
        (Some(above), Some(below)) if above < below => (value > above && value < below, true),
        (Some(above), Some(below)) => (value > above || value < below, true),
        (Some(above), None) => (value > above, release.is_none_or(|release| value <= release)),
        (None, Some(below)) => (value < below, release.is_none_or(|release| value >= release)),
        (None, None) => return TriggerLevel::Over,
    };
    match (holds, back) {
        (true, _) => TriggerLevel::Holds,
        (false, true) => TriggerLevel::Over,
        (false, false) => TriggerLevel::Between,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds() {
        use TriggerLevel::{Between, Holds, Over};
        let check = |value: f64, above: Option<f64>, below: Option<f64>, release: Option<f64>, expected| {
            let number = |value: f64| Number::from_f64(value).unwrap();
            let [above, below, release] = [above, below, release].map(|bound| bound.map(number));
            assert_eq!(
                threshold(&number(value), above.as_ref(), below.as_ref(), release.as_ref()),
                expected,
                "{value} {above:?} {below:?} {release:?}"
            );
        };
        check(28.0, Some(28.0), None, None, Over);
        check(28.1, Some(28.0), None, None, Holds);
        check(27.0, Some(28.0), None, Some(26.0), Between);
        check(26.0, Some(28.0), None, Some(26.0), Over);
        check(4.9, None, Some(5.0), None, Holds);
        check(5.0, None, Some(5.0), Some(6.0), Between);
        check(6.0, None, Some(5.0), Some(6.0), Over);
        // Between them.
        check(15.0, Some(10.0), Some(20.0), None, Holds);
        check(10.0, Some(10.0), Some(20.0), None, Over);
        check(25.0, Some(10.0), Some(20.0), None, Over);
        // Outside them.
        check(25.0, Some(20.0), Some(10.0), None, Holds);
        check(5.0, Some(20.0), Some(10.0), None, Holds);
        check(15.0, Some(20.0), Some(10.0), None, Over);
        let count = |text: &str| Number::parse(text).unwrap();
        let (reached, passed) = (count("9007199254740992"), count("9007199254740993"));
        assert_eq!(threshold(&passed, Some(&reached), None, None), Holds, "counters are compared exactly");
        assert_eq!(threshold(&reached, Some(&reached), None, None), Over);
    }
}

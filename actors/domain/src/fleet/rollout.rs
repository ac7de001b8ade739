//! Roll-outs: an image for many devices, in stages, as long as it goes well.

use serde::{Deserialize, Serialize};

use super::firmware::{FirmwareState, FirmwareTask};
use super::job::{JobCounts, JobId, StepState};
use crate::clock::Timestamp;
use crate::duration::GivenDuration;

/// An image that devices are brought to, and how carefully.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    #[serde(rename = "image_id", alias = "image")]
    pub image: Box<str>,
    pub version: Box<str>,
    /// The models of the image: patterns, as in it.
    #[serde(default)]
    pub models: Vec<Box<str>>,
    /// The address from which devices download it.
    pub url: Box<str>,
    pub sha256: Box<str>,
    pub size: u64,
    /// Each stage goes up to this percentage of the devices.
    pub stages: Vec<u8>,
    /// And so up to this place in their order, exclusive.
    pub places: Vec<u64>,
    /// None: it goes on however many fail.
    #[serde(default)]
    pub abort: Option<Abort>,
    #[serde(default)]
    pub allow_downgrade: bool,
    /// After how long without any progress a device has failed.
    #[serde(alias = "timeout_ms")]
    pub timeout: GivenDuration,
    /// A device that has not begun by then has failed.
    pub expires: Timestamp,
    /// So long it has for that, from when it is made or tried again.
    #[serde(default = "usual_life", alias = "life_ms")]
    pub life: GivenDuration,
}

/// The condition on which a roll-out ends early.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Abort {
    /// When of those that are through so large a part has failed: above 0, up to 1.
    #[serde(alias = "rate")]
    pub share: f64,
    /// Not before so many are through.
    pub min: u64,
}

/// The decision on a roll-out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutDecision {
    /// Go on without a change.
    Wait,
    /// The stage is well through: the next one, from 1, begins.
    Stage(u32),
    /// The stage has too few devices online to prove anything: this many others are to join it.
    Widen(u64),
    /// No more: why.
    Abort(String),
}

/// The default stages, in percent.
pub const USUAL_STAGES: [u8; 3] = [5, 25, 100];
pub const USUAL_ABORT: Abort = Abort { share: 0.2, min: 5 };
/// The time for which a roll-out waits for devices that are away, unless it is said otherwise.
pub const USUAL_LIFE_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

fn usual_life() -> GivenDuration {
    GivenDuration::from_ms(USUAL_LIFE_MS)
}

/// The last place of each stage, of this many devices: at least one in the first, and all in the last.
#[must_use]
pub fn places(stages: &[u8], devices: u64) -> Vec<u64> {
    stages.iter().map(|percent| (devices * u64::from(*percent)).div_ceil(100).min(devices)).collect()
}

/// Stages rise, and end with all.
///
/// # Errors
/// The error in them.
pub fn check_stages(stages: &[u8]) -> Result<(), &'static str> {
    match stages.last() {
        None => Err("expected one stage at least"),
        Some(100) => {
            let rises = stages.windows(2).all(|pair| pair[0] < pair[1]) && stages[0] > 0;
            if rises {
                Ok(())
            } else {
                Err("each stage must be larger than the one before it, and the first above 0")
            }
        }
        Some(_) => Err("the last stage must be 100: all of the devices"),
    }
}

impl Rollout {
    /// The task for a device.
    #[must_use]
    pub fn task(&self, job: JobId) -> FirmwareTask {
        FirmwareTask {
            job: Some(job),
            image: self.image.clone(),
            version: self.version.clone(),
            models: self.models.clone(),
            url: self.url.clone(),
            sha256: self.sha256.clone(),
            size: self.size,
            state: FirmwareState::Queued,
            percent: None,
            at: Timestamp::default(),
            furthest: None,
            reason: "".into(),
            timeout_ms: self.timeout.ms(),
            expires: Some(self.expires),
            down: self.allow_downgrade,
        }
    }

    /// The places of a stage, counted from 1: from this one on, up to that, exclusive.
    #[must_use]
    pub fn stage(&self, stage: u32) -> (u64, u64) {
        let end = |stage: u32| match stage {
            0 => 0,
            stage => self.places.get(stage as usize - 1).copied().unwrap_or(u64::MAX),
        };
        (end(stage.saturating_sub(1)), end(stage))
    }

    /// Adds this many of the next devices to a stage, counted from 1; the stages after it remain as large as they were.
    pub fn widen(&mut self, stage: u32, devices: u64) {
        let Some(total) = self.places.last().copied() else { return };
        for end in self.places.iter_mut().skip(stage as usize - 1) {
            *end = (*end + devices).min(total);
        }
    }

    /// The number of devices of a stage.
    fn size(&self, stage: u32) -> u64 {
        let planned = places(&self.stages, self.places.last().copied().unwrap_or_default());
        let end = |stage: u32| match stage {
            0 => 0,
            stage => planned.get(stage as usize - 1).copied().unwrap_or_default(),
        };
        end(stage) - end(stage.saturating_sub(1))
    }

    /// Decides when in stage number `stage` all had their turn, or not (`through`), its devices are in the states that
    /// `of_stage` counts, and those of all stages so far in those that `of_all` does. `expired`: its time is over, and
    /// devices that were away fail by that alone.
    #[must_use]
    pub fn next(
        &self,
        stage: u32,
        through: bool,
        of_stage: &JobCounts,
        of_all: &JobCounts,
        expired: bool,
    ) -> RolloutDecision {
        let count = |counts: &JobCounts, state| counts.get(&state).copied().unwrap_or_default();
        let (works, failed) = (count(of_all, StepState::Done), count(of_all, StepState::Failed));
        let finished = works + failed;
        if let Some(Abort { share: most, min }) = self.abort
            && !expired
            && failed > 0
            && finished >= min
        {
            #[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 devices")]
            let share = failed as f64 / finished as f64;
            if share >= most {
                let (is, may) = (share * 100.0, most * 100.0);
                return RolloutDecision::Abort(format!(
                    "{failed} of {finished} devices failed: {is:.0} %, and {may:.0} % end it"
                ));
            }
        }
        let is_last = stage as usize >= self.stages.len();
        let under_way = |(state, count): (&StepState, &u64)| {
            *count > 0 && !state.is_final() && *state != StepState::Queued
        };
        if !through || is_last || of_stage.iter().any(under_way) {
            return RolloutDecision::Wait;
        }
        let (done, failed) = (count(of_stage, StepState::Done), count(of_stage, StepState::Failed));
        let away = count(of_stage, StepState::Queued);
        let (total, (_, end)) = (self.places.last().copied().unwrap_or_default(), self.stage(stage));
        let missing = self.size(stage).saturating_sub(failed);
        match (done, away, failed) {
            (0, 0, 0) | (1.., ..) => RolloutDecision::Stage(stage + 1), // it went well, or there was nobody to try it on
            (0, 1.., _) if works > 0 => RolloutDecision::Stage(stage + 1), // the stages before have shown that it works
            (0, 1.., _) if expired => RolloutDecision::Wait,
            (0, 0, _) if expired => RolloutDecision::Stage(stage + 1),
            (0, ..) if away == 0 || missing == 0 => {
                RolloutDecision::Abort(format!("none of stage {stage} was updated: {failed} failed"))
            }
            (0, ..) if end < total => RolloutDecision::Widen(missing.min(total - end)),
            (0, ..) => RolloutDecision::Wait, // all have their turn: one of them is to come
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rollout(stages: &[u8], devices: u64) -> Rollout {
        Rollout {
            image: "i".into(),
            version: "2".into(),
            models: vec!["*".into()],
            url: "u".into(),
            sha256: "0".into(),
            size: 1,
            stages: stages.to_vec(),
            places: places(stages, devices),
            abort: Some(Abort { share: 0.2, min: 5 }),
            allow_downgrade: false,
            timeout: GivenDuration::from_ms(1),
            expires: Timestamp::from_millis(9),
            life: GivenDuration::from_ms(9),
        }
    }

    #[test]
    fn stages_are_of_the_devices() {
        let check = |devices: u64, expected: [u64; 3]| {
            assert_eq!(places(&USUAL_STAGES, devices), expected, "{devices}");
        };
        check(0, [0, 0, 0]);
        check(1, [1, 1, 1]);
        check(3, [1, 1, 3]);
        check(20, [1, 5, 20]);
        check(1_000, [50, 250, 1_000]);
        let three = rollout(&USUAL_STAGES, 20);
        assert_eq!([1, 2, 3].map(|stage| three.stage(stage)), [(0, 1), (1, 5), (5, 20)]);
        for (stages, fits) in [
            (&[100][..], true),
            (&[1, 2, 100], true),
            (&[], false),
            (&[50], false),
            (&[0, 100], false),
            (&[20, 10, 100], false),
            (&[100, 100], false),
        ] {
            assert_eq!(check_stages(stages).is_ok(), fits, "{stages:?}");
        }
    }

    #[test]
    fn others_join_a_stage_and_the_stages_after_it_remain_as_large() {
        let mut three = rollout(&USUAL_STAGES, 20);
        three.widen(1, 1);
        assert_eq!(three.places, [2, 6, 20]);
        three.widen(2, 9);
        assert_eq!(three.places, [2, 15, 20]);
        three.widen(2, 9);
        assert_eq!(three.places, [2, 20, 20]);
        assert_eq!([1, 2, 3].map(|stage| three.size(stage)), [1, 4, 15]);
    }

    /// `"2 done 1 failed"`
    fn counts(text: &str) -> JobCounts {
        let words: Vec<_> = text.split_whitespace().collect();
        let count = |pair: &[&str]| (StepState::parse(pair[1]).unwrap(), pair[0].parse().unwrap());
        words.chunks(2).map(count).collect()
    }

    #[test]
    fn it_goes_on_when_it_goes_well() {
        let check = |stage: u32, of_stage: &str, of_all: &str, expected: &str| {
            let told = match rollout(&USUAL_STAGES, 100).next(
                stage,
                true,
                &counts(of_stage),
                &counts(of_all),
                false,
            ) {
                RolloutDecision::Wait => "wait".into(),
                RolloutDecision::Stage(stage) => format!("stage {stage}"),
                RolloutDecision::Widen(devices) => format!("{devices} others"),
                RolloutDecision::Abort(why) => why,
            };
            assert_eq!(told, expected, "stage {stage}: {of_stage}; all: {of_all}");
        };
        let same = |stage, both: &str, expected: &str| check(stage, both, both, expected);
        same(1, "5 done", "stage 2");
        same(1, "4 done 1 downloading", "wait");
        same(1, "4 done 1 notified", "wait");
        same(1, "1 done 4 queued", "stage 2"); // those are away
        same(1, "5 queued", "5 others"); // in place of those that are away
        same(1, "4 queued 1 failed", "4 others");
        same(1, "4 queued 1 skipped", "5 others");
        same(1, "4 queued 1 notified", "wait");
        check(2, "20 queued", "5 done 20 queued", "stage 3");
        check(2, "20 queued", "5 skipped 20 queued", "20 others");
        same(1, "5 skipped", "stage 2");
        same(1, "", "stage 2");
        same(1, "3 failed 2 skipped", "none of stage 1 was updated: 3 failed");
        same(1, "1 done 3 failed 1 queued", "stage 2"); // four are too few to say
        same(1, "1 done 4 failed", "4 of 5 devices failed: 80 %, and 20 % end it");
        check(2, "20 done", "24 done 1 failed", "stage 3");
        check(2, "15 done 4 failed 1 updating", "19 done 4 failed 1 updating", "wait");
        check(2, "15 done 5 failed", "20 done 5 failed", "5 of 25 devices failed: 20 %, and 20 % end it");
        check(3, "5 done", "5 done", "wait"); // it ends when all have
        check(3, "9 done 9 failed", "9 done 9 failed", "9 of 18 devices failed: 50 %, and 20 % end it");
        let well = rollout(&USUAL_STAGES, 100);
        assert_eq!(
            well.next(1, false, &counts("5 done"), &counts("5 done"), false),
            RolloutDecision::Wait,
            "not all had their turn"
        );
        let away = counts("9 failed");
        assert_eq!(
            well.next(3, true, &away, &away, true),
            RolloutDecision::Wait,
            "they were away, and its time is over"
        );
        let all_away = Rollout { places: vec![100, 100, 100], ..well.clone() };
        assert_eq!(
            all_away.next(1, true, &counts("100 queued"), &counts("100 queued"), false),
            RolloutDecision::Wait
        );
        assert_eq!(
            well.next(1, true, &counts("5 queued"), &counts("5 queued"), true),
            RolloutDecision::Wait,
            "they fail"
        );
        let careless = Rollout { abort: None, ..well };
        let careless = |both: &str| careless.next(1, true, &counts(both), &counts(both), false);
        assert_eq!(careless("1 done 9 failed"), RolloutDecision::Stage(2));
        assert_eq!(careless("9 queued 4 failed"), RolloutDecision::Widen(1));
        let why = "none of stage 1 was updated: 5 failed"; // as many as were to try it
        assert_eq!(careless("9 queued 5 failed"), RolloutDecision::Abort(why.into()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Played to its end, with devices that fail and devices that are away: it ends, no stage begins before the one
        /// before it is through, no device gets a turn after it was broken off, and devices that are away delay none
        /// that is online.
        #[test]
        fn it_comes_to_its_end(
            devices in prop::collection::vec(0..10u8, 0..60),
            mut stages in prop::collection::btree_set(1..100u8, 0..4),
        ) {
            stages.insert(100);
            let stages: Vec<u8> = stages.into_iter().collect();
            let total = devices.len() as u64;
            let mut rollout = rollout(&stages, total);
            prop_assert_eq!(rollout.places.last().copied(), Some(total));
            prop_assert!(rollout.places.windows(2).all(|pair| pair[0] <= pair[1]));
            let mut states = vec![StepState::Queued; devices.len()];
            let count = |states: &[StepState], (from, to): (u64, u64)| {
                let mut counts = JobCounts::new();
                let to = to.min(states.len() as u64);
                for state in &states[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()] {
                    *counts.entry(*state).or_default() += 1;
                }
                counts
            };
            let (mut stage, mut given) = (1, 0);
            for _ in 0..=stages.len() + devices.len() {
                let (from, to) = rollout.stage(stage);
                for place in given..to.min(total) {
                    let place = usize::try_from(place).unwrap();
                    prop_assert_eq!(states[place], StepState::Queued);
                    states[place] = match devices[place] {
                        0..7 => StepState::Done,
                        7 => StepState::Failed,
                        8 => StepState::Skipped,
                        _ => StepState::Queued, // away
                    };
                }
                given = to.min(total);
                let (of_stage, of_all) = (count(&states, (from, to)), count(&states, (0, total)));
                match rollout.next(stage, true, &of_stage, &of_all, false) {
                    RolloutDecision::Stage(next) => {
                        prop_assert_eq!(next, stage + 1);
                        stage = next;
                    }
                    RolloutDecision::Widen(more) => {
                        prop_assert!(more > 0 && !of_all.contains_key(&StepState::Done), "{} {:?}", stage, of_all);
                        rollout.widen(stage, more);
                    }
                    RolloutDecision::Wait => {
                        prop_assert!(given == total || stage as usize == stages.len(), "{} {:?}", stage, of_stage);
                        return Ok(());
                    }
                    RolloutDecision::Abort(_) => {
                        prop_assert!(of_all.get(&StepState::Failed).is_some_and(|failed| *failed > 0));
                        return Ok(());
                    }
                }
            }
            prop_assert!(false, "it goes on for ever");
        }
    }
}

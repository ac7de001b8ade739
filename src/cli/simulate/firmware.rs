//! The firmware of a device, and its updates. Pure: tasks and the outcome of its download come in, its reports come
//! out.

use serde_json::{Value, json};

use super::machine::FIRMWARE;
use super::rng::Rng;

/// Percent that it says as it downloads.
const PERCENTS: [u8; 4] = [25, 50, 75, 100];

/// The firmware of one device.
#[derive(Clone, Debug)]
pub(super) struct FirmwareUpdater {
    version: String,
    update: Option<SimulatedUpdate>,
    /// The roll-out that it began last: a second message about it has no effect.
    begun: Option<String>,
}

/// An image that it is on its way to.
#[derive(Clone, Debug, PartialEq)]
struct SimulatedUpdate {
    job: String,
    version: String,
    sha256: String,
    stage: Stage,
    /// The outcome of the download, where it is a real one.
    download: Download,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// The number of [`PERCENTS`] that it has reported.
    Downloading(usize),
    Downloaded,
    Verified,
    Updating,
}

/// The state of the image's bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Download {
    /// They only seem to come.
    Pretended,
    UnderWay,
    /// They came, and hash to this.
    Came(String),
    Broken(String),
}

/// A download that it has to make.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fetch {
    pub(super) job: String,
    pub(super) url: String,
    pub(super) size: u64,
}

/// Its next step.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum UpdaterStep {
    /// It says this, and goes on.
    Say(Value),
    /// It says this, and that is all.
    Last(Value),
    /// It says this, and restarts.
    Restart(Value),
    /// Nothing yet: the bytes still come.
    Wait,
    /// There is nothing to be done.
    Nothing,
}

impl FirmwareUpdater {
    pub(super) fn new() -> Self {
        Self { version: FIRMWARE.into(), update: None, begun: None }
    }

    /// The version that it runs.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Hears that it is to come to an image, or that it need not: what it has to fetch, where it begins.
    pub(super) fn hear(&mut self, message: &[u8]) -> Option<Fetch> {
        let task: Value = serde_json::from_slice(message).ok()?;
        let text = |name: &str| task[name].as_str().map(str::to_owned);
        let job = text("job").unwrap_or_default();
        if task["cancel"] == true || self.update.is_some() || self.begun.as_ref() == Some(&job) {
            return None; // it begins at once, so there is never anything to be called back
        }
        let (version, url, sha256) = (text("version")?, text("url")?, text("sha256")?);
        let (stage, download) = (Stage::Downloading(0), Download::Pretended);
        self.begun = Some(job.clone()).filter(|job| !job.is_empty());
        self.update = Some(SimulatedUpdate { job: job.clone(), version, sha256, stage, download });
        Some(Fetch { job, url, size: task["size"].as_u64().unwrap_or(u64::MAX) })
    }

    /// The bytes really come, or came, or did not.
    pub(super) fn fetched(&mut self, job: &str, outcome: Download) {
        if let Some(update) = self.update.as_mut().filter(|update| update.job == job) {
            update.download = outcome;
        }
    }

    /// Takes the next step, at `failure_rate` (0 to 1) into the wrong direction.
    pub(super) fn step(&mut self, failure_rate: f64, rng: &mut Rng) -> UpdaterStep {
        let Some(update) = &mut self.update else { return UpdaterStep::Nothing };
        let report = |state: &str| json!({ "state": state, "job": update.job });
        let stage = match (update.stage, &update.download) {
            (Stage::Downloading(_), Download::Broken(why)) => {
                let why = format!("the download broke: {why}");
                return self.fail(&why);
            }
            (Stage::Downloading(report), _) if report < PERCENTS.len() => {
                let percent = PERCENTS[report];
                update.stage = Stage::Downloading(report + 1);
                return UpdaterStep::Say(
                    json!({ "state": "downloading", "percent": percent, "job": update.job }),
                );
            }
            (Stage::Downloading(_), Download::UnderWay) => return UpdaterStep::Wait,
            (Stage::Downloading(_), _) => Stage::Downloaded,
            (Stage::Downloaded, Download::Came(hash)) if *hash != update.sha256 => {
                let why = format!("what came hashes to {hash}");
                return self.fail(&why);
            }
            (Stage::Downloaded, _) => Stage::Verified,
            (Stage::Verified, _) if rng.chance(failure_rate) => {
                return self.fail("the flash memory does not take it");
            }
            (Stage::Verified, _) => Stage::Updating,
            (Stage::Updating, _) => return UpdaterStep::Nothing, // it has restarted
        };
        let progress = report(match stage {
            Stage::Downloading(_) => "downloading",
            Stage::Downloaded => "downloaded",
            Stage::Verified => "verified",
            Stage::Updating => "updating",
        });
        update.stage = stage;
        if stage != Stage::Updating {
            return UpdaterStep::Say(progress);
        }
        self.version.clone_from(&update.version);
        self.update = None;
        UpdaterStep::Restart(progress)
    }

    fn fail(&mut self, why: &str) -> UpdaterStep {
        let job = self.update.take().map(|update| update.job);
        self.begun = None; // told to, it tries again
        UpdaterStep::Last(json!({ "state": "failed", "reason": why, "job": job }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &[u8] = br#"{"job":"j","version":"2.0.0","url":"http://h/f","sha256":"aa","size":9}"#;

    /// All that it says until it is through, with what came of its download.
    fn way(firmware: &mut FirmwareUpdater, failure_rate: f64, download: &Download) -> Vec<String> {
        let mut rng = Rng::new(1, 0);
        let mut shown = Vec::new();
        firmware.fetched("j", download.clone());
        loop {
            match firmware.step(failure_rate, &mut rng) {
                UpdaterStep::Say(report) => shown.push(report),
                UpdaterStep::Last(report) | UpdaterStep::Restart(report) => {
                    shown.push(report);
                    break;
                }
                UpdaterStep::Wait | UpdaterStep::Nothing => break,
            }
        }
        let word = |report: &Value| {
            format!("{} {} {}", report["state"], report["percent"], report["reason"])
                .replace(['"'], "")
                .replace(" null", "")
        };
        shown.iter().map(word).collect()
    }

    #[test]
    fn goes_through_all_of_it() {
        let downloading = ["downloading 25", "downloading 50", "downloading 75", "downloading 100"];
        let check = |failure_rate: f64, download: Download, rest: &[&str], version: &str| {
            let mut firmware = FirmwareUpdater::new();
            let fetch = firmware.hear(TOLD).unwrap();
            assert_eq!(fetch, Fetch { job: "j".into(), url: "http://h/f".into(), size: 9 });
            let expected: Vec<_> = downloading.iter().chain(rest).copied().collect();
            assert_eq!(way(&mut firmware, failure_rate, &download), expected);
            assert_eq!(firmware.version(), version);
        };
        check(0.0, Download::Pretended, &["downloaded", "verified", "updating"], "2.0.0");
        check(0.0, Download::Came("aa".into()), &["downloaded", "verified", "updating"], "2.0.0");
        check(0.0, Download::Came("bb".into()), &["downloaded", "failed what came hashes to bb"], FIRMWARE);
        check(0.0, Download::UnderWay, &[], FIRMWARE);
        let worn = ["downloaded", "verified", "failed the flash memory does not take it"];
        check(1.0, Download::Pretended, &worn, FIRMWARE);
        let mut firmware = FirmwareUpdater::new();
        firmware.hear(TOLD).unwrap();
        let broken = way(&mut firmware, 0.0, &Download::Broken("404".into()));
        assert_eq!(broken, ["failed the download broke: 404"]);
    }

    #[test]
    fn begins_once() {
        let mut firmware = FirmwareUpdater::new();
        assert!(firmware.hear(TOLD).is_some());
        assert_eq!(firmware.hear(TOLD), None, "told again");
        way(&mut firmware, 0.0, &Download::Pretended);
        assert_eq!(firmware.hear(TOLD), None, "and after it is done");
        assert_eq!(firmware.hear(br#"{"cancel":true,"job":"k","version":"3"}"#), None);
        assert_eq!(firmware.hear(b"nonsense"), None);
        assert_eq!(firmware.step(0.0, &mut Rng::new(1, 0)), UpdaterStep::Nothing);
        let other = br#"{"job":"k","version":"3","url":"x","sha256":"a","size":1}"#;
        assert!(firmware.hear(other).is_some(), "another roll-out");
    }
}

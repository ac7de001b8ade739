use super::FirmwareState as S;
use super::*;

#[test]
fn every_report_in_every_state() {
    // The report:         queued notified  downloading            downloaded            verified            updating            updated            failed
    let next = [
        Some(S::Notified),
        Some(S::Downloading),
        Some(S::Downloaded),
        Some(S::Verified),
        Some(S::Updating),
        Some(S::Updated),
        Some(S::Failed),
    ];
    let again = Some(S::Downloading);
    let check = |from: S, expected: [Option<S>; 7]| {
        assert_eq!(from.after(S::Queued), None, "no device says so");
        let said =
            [S::Notified, S::Downloading, S::Downloaded, S::Verified, S::Updating, S::Updated, S::Failed];
        assert_eq!(said.map(|said| from.after(said)), expected, "{from:?}");
    };
    let [_, _, downloaded, verified, updating, updated, failed] = next;
    check(S::Queued, next);
    check(S::Notified, [None, again, downloaded, verified, updating, updated, failed]);
    check(S::Downloading, [None, None, downloaded, verified, updating, updated, failed]);
    check(S::Downloaded, [None, again, None, verified, updating, updated, failed]);
    check(S::Verified, [None, again, None, None, updating, updated, failed]);
    check(S::Updating, [None, again, None, None, None, updated, failed]);
    check(S::Updated, [None; 7]);
    check(S::Failed, [None; 7]);
}

#[test]
fn words_are_read_back() {
    for state in S::ALL {
        assert_eq!(S::parse(state.as_str()), Some(state));
    }
}

fn task(state: S) -> FirmwareTask {
    FirmwareTask {
        job: JobId::parse("01890a5d-ac96-774b-bcce-b302099a8057"),
        image: "i".into(),
        version: "2.0.0".into(),
        models: vec!["P1".into(), "Q*".into()],
        url: "http://h/f".into(),
        sha256: "00".into(),
        size: 5,
        state,
        percent: None,
        at: Timestamp::from_millis(1_000_000),
        furthest: None,
        reason: "".into(),
        timeout_ms: 600_000,
        expires: Some(Timestamp::from_millis(9_000_000)),
        down: false,
    }
}

#[test]
fn what_waits_for_a_device_ends_with_the_roll_out_and_what_has_begun_when_it_stalls() {
    let check = |state: S, expires: Option<i64>, deadline: Option<i64>, why: &str| {
        let task = FirmwareTask { expires: expires.map(Timestamp::from_millis), ..task(state) };
        assert_eq!(task.deadline().map(Timestamp::millis), deadline, "{state:?}");
        assert_eq!(task.overdue(), why, "{state:?}");
    };
    check(S::Queued, None, None, "away: it was not there in time");
    check(S::Queued, Some(9_000_000), Some(9_000_000), "away: it was not there in time");
    check(S::Queued, Some(900_000), Some(900_000), "the roll-out's time was over before its turn came");
    check(S::Notified, Some(9_000_000), Some(1_600_000), "it was notified, and has not begun for 10m");
    check(S::Notified, Some(1_300_000), Some(1_300_000), "it was notified, and had not begun in time");
    check(S::Notified, None, Some(1_600_000), "it was notified, and has not begun for 10m");
    check(S::Updating, Some(1_300_000), Some(1_600_000), "no progress for 10m: the last was `updating`");
    assert_eq!(task(S::Updated).deadline(), None);
    assert_eq!(task(S::Failed).deadline(), None);
}

#[test]
fn a_task_is_sent_whole() {
    let queued = task(S::Queued);
    assert_eq!(FirmwareTask::from_given(&queued.given(), queued.at), Some(queued.clone()));
    let bare = FirmwareTask { models: Vec::new(), job: None, expires: None, down: true, ..queued.clone() };
    assert_eq!(FirmwareTask::from_given(&bare.given(), bare.at), Some(bare));
    assert_eq!(
        queued.message(false).to_string(),
        r#"{"deadline":"1970-01-01T02:30:00.000Z","job":"01890a5d-ac96-774b-bcce-b302099a8057","sha256":"00","size":5,"url":"http://h/f","version":"2.0.0"}"#
    );
    assert_eq!(
        queued.message(true).to_string(),
        r#"{"cancel":true,"job":"01890a5d-ac96-774b-bcce-b302099a8057","version":"2.0.0"}"#
    );
}

#[test]
fn it_is_for_its_models_and_goes_up() {
    let check = |model: &str, version: &str, down: bool, expected: &str| {
        let task = FirmwareTask { down, ..task(S::Queued) };
        let told = task.fits(model, version).map_or_else(|unfit| unfit.to_string(), |()| "fits".into());
        assert_eq!(told, expected, "{model} {version} {down}");
    };
    check("P1", "1.9", false, "fits");
    check("Q7", "", false, "fits"); // it said one when it was chosen, or was to come to it all the same
    check("R", "1.9", true, "its model is `R`, and the image is for P1, Q*");
    check("P1", "2.1", false, "it runs 2.1, which is newer than 2.0.0");
    check("P1", "2.1", true, "fits");
    check("P1", "spring", false, "its version `spring` cannot be compared to 2.0.0");
    check("P1", "spring", true, "fits");
    assert_eq!(FirmwareTask { models: Vec::new(), ..task(S::Queued) }.fits("R", "1.9"), Ok(()));
}

#[test]
fn reads_what_devices_say() {
    let check = |text: &str, expected: &str| {
        let told = match FirmwareReport::read(text.as_bytes()) {
            Ok(FirmwareReport { state, percent, version, reason, job }) => {
                let (version, reason) = (version.unwrap_or_default(), reason.unwrap_or_default());
                format!("{} {percent:?} {version} {reason} {}", state.as_str(), job.is_some())
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(told, expected, "{text}");
    };
    check(r#"{"state": "downloading", "percent": 40.9}"#, "downloading Some(40)   false");
    check(r#"{"state": "Updated", "version": " 2.0.0 ", "more": 1}"#, "updated None 2.0.0  false");
    check(r#"{"state": "failed", "reason": "no room"}"#, "failed None  no room false");
    check(r#"{"state": "updating", "job": "01890a5d-ac96-774b-bcce-b302099a8057"}"#, "updating None   true");
    let words = "none of notified, downloading, downloaded, verified, updating, updated, failed";
    check(r#"{"state": "queued"}"#, &format!("`state`: `queued` is {words}"));
    check("{}", &format!("`state`: `` is {words}"));
    check(r#"{"state": 5}"#, "`state`: expected a string, found a number");
    check(r#"{"state": "downloading", "percent": 101}"#, "`percent`: 101 is not from 0 to 100");
    check(r#"{"state": "downloading", "percent": -1}"#, "`percent`: -1 is not from 0 to 100");
    check(
        r#"{"state": "downloading", "percent": "40"}"#,
        "`percent`: expected a number from 0 to 100, found a string",
    );
    check("downloading", "not JSON: expected value at line 1 column 1");
    let long = format!(r#"{{"state": "failed", "reason": "{}"}}"#, "ü".repeat(2_000));
    assert_eq!(
        FirmwareReport::read(long.as_bytes()).unwrap().reason.unwrap().chars().count(),
        LONGEST_REASON
    );
}

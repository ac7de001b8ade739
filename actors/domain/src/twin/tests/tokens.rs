//! Tokens: two count at most, each ends when it is to, and no event shows one.

use super::scene::Scene;
use super::*;
use crate::fleet::Lifecycle;

fn registered() -> Scene {
    let mut scene = Scene::new();
    let patch = object(r#"{"name": "Pump", "token_hash": "one"}"#);
    scene.input(Input::Register(Box::new(Registration { patch })), &cause());
    scene
}

fn make(scene: &mut Scene, hash: &str, overlap: Option<i64>) -> String {
    let old_until = overlap.map(|seconds| at(scene.now + seconds));
    let change = TokenChange::Make { hash: hash.into(), broker_hash: "".into(), old_until };
    told(&scene.input(Input::SetToken(change), &cause()))
}

fn told(outcome: &Outcome) -> String {
    let events: Vec<_> = outcome.events.iter().map(|event| Json::from(event.data()).to_string()).collect();
    events.join(" ")
}

fn counting(scene: &Scene) -> Vec<String> {
    // Also as it is stored.
    let stored: Twin = serde_json::from_str(&serde_json::to_string(&scene.twin).unwrap()).unwrap();
    assert!(stored.profile.token_hashes().eq(scene.twin.profile.token_hashes()));
    scene.twin.profile.token_hashes().map(Into::into).collect()
}

#[test]
fn the_token_before_counts_until_the_overlap_ends() {
    let mut scene = registered();
    assert_eq!(scene.deadline(), None);
    assert_eq!(
        make(&mut scene, "two", Some(60)),
        r#"{"change":"token","old_token":"counts","token":"made","until":"1970-01-01T00:01:00.000Z"}"#
    );
    assert_eq!(counting(&scene), ["two", "one"]);
    assert_eq!(scene.wait(59), []);
    assert_eq!(counting(&scene), ["two", "one"]);
    let ended: Vec<_> = scene.wait(1).iter().map(told).collect();
    assert_eq!(ended, [r#"{"change":"token","old_token":"ended"}"#]);
    assert_eq!(counting(&scene), ["two"]);
    assert_eq!(scene.deadline(), None);
}

#[test]
fn two_count_at_most() {
    let mut scene = registered();
    make(&mut scene, "two", Some(600));
    scene.wait(10);
    make(&mut scene, "three", Some(60));
    assert_eq!(counting(&scene), ["three", "two"], "the first one ends at once");
    assert_eq!(make(&mut scene, "four", None), r#"{"change":"token","old_token":"ended","token":"made"}"#);
    assert_eq!(counting(&scene), ["four"]);
    assert_eq!(make(&mut scene, "five", None), r#"{"change":"token","token":"made"}"#);
    assert_eq!(counting(&scene), ["five"]);
}

#[test]
fn a_token_that_is_stored_anew_is_the_same_token() {
    let renew = |scene: &mut Scene, stored: &str, hash: &str| {
        let change = TokenChange::Renew { stored: stored.into(), hash: hash.into() };
        told(&scene.input(Input::SetToken(change), &cause()))
    };
    let renewed = r#"{"change":"token","token":"renewed"}"#;
    let mut scene = registered();
    assert_eq!(renew(&mut scene, "one", "1"), renewed);
    assert_eq!(counting(&scene), ["1"]);
    for (stored, hash) in [("one", "uno"), ("1", "1"), ("", "x")] {
        assert_eq!(renew(&mut scene, stored, hash), "", "{stored} is not stored, or as it was");
    }
    make(&mut scene, "two", Some(60));
    assert_eq!(renew(&mut scene, "1", "I"), renewed, "the one before");
    assert_eq!(renew(&mut scene, "two", "2"), renewed, "and it goes on");
    assert_eq!(counting(&scene), ["2", "I"]);
    scene.wait(59);
    assert_eq!(counting(&scene), ["2", "I"]);
    scene.wait(1);
    assert_eq!(counting(&scene), ["2"], "the overlap ends when it was to");
}

#[test]
fn tokens_end_with_a_word_and_with_the_device() {
    let end = |scene: &mut Scene| told(&scene.input(Input::SetToken(TokenChange::End), &cause()));
    let mut scene = registered();
    make(&mut scene, "two", Some(60));
    assert_eq!(end(&mut scene), r#"{"change":"token","old_token":"ended","token":"ended"}"#);
    assert!(counting(&scene).is_empty());
    assert_eq!((end(&mut scene), scene.deadline()), (String::new(), None), "there is none to end");
    assert_eq!(make(&mut scene, "three", Some(60)), r#"{"change":"token","token":"made"}"#);
    assert_eq!(counting(&scene), ["three"], "nothing was there to count on");

    make(&mut scene, "four", Some(60));
    scene.input(Input::SetLifecycle { state: Lifecycle::Suspended, reason: "".into() }, &cause());
    assert_eq!(counting(&scene), ["four", "three"], "it comes back with what it had");
    scene.input(Input::SetLifecycle { state: Lifecycle::Retired, reason: "".into() }, &cause());
    assert!(counting(&scene).is_empty());
    let change = TokenChange::Make { hash: "five".into(), broker_hash: "".into(), old_until: None };
    assert_eq!(scene.try_input(Input::SetToken(change), &cause()), Err(Refusal::Retired));
}

/// An unclaimed device that is registered gets a token, and what it had ends.
#[test]
fn a_registration_ends_what_counted_before() {
    let mut scene = Scene::new();
    scene.input(Input::Appear, &cause());
    make(&mut scene, "one", None);
    make(&mut scene, "two", Some(60));
    let patch = object(r#"{"name": "Pump", "token_hash": "three"}"#);
    scene.input(Input::Register(Box::new(Registration { patch })), &cause());
    assert_eq!(counting(&scene), ["three"]);
    assert_eq!(scene.deadline(), None);
}

#[test]
fn the_end_of_an_overlap_moves_with_the_clock() {
    let mut scene = registered();
    make(&mut scene, "two", Some(60));
    scene.input(Input::ClockMoved { from: at(0), to: at(3_600) }, &Cause::hub());
    scene.now = 3_600;
    assert_eq!(scene.wait(59), []);
    scene.wait(1);
    assert_eq!(counting(&scene), ["two"]);
}

#[test]
fn a_device_with_a_code_is_claimed_by_who_knows_it() {
    let claim = |scene: &mut Scene, code: &str| {
        let patch = object(&format!(r#"{{"name": "Mine"{code}}}"#));
        scene.try_input(Input::Claim(Box::new(Registration { patch })), &cause())
    };
    let prepared = || {
        let mut scene = Scene::new();
        let patch = object(r#"{"name": "Lamp", "claimed": false, "claim_code_hash": "h1"}"#);
        let registered = scene.input(Input::Register(Box::new(Registration { patch })), &cause());
        assert_eq!(told(&registered), r#"{"change":"registered","claimed":false,"name":"Lamp"}"#);
        scene
    };
    let mut scene = prepared();
    for wrong in ["", r#", "claim_code": "h2""#, r#", "claim_code": 1"#, r#", "claim_code": """#] {
        assert_eq!(claim(&mut scene, wrong), Err(Refusal::ClaimCode), "{wrong}");
        let patch = object(&format!(r#"{{"name": "Mine", "token_hash": "x"{wrong}}}"#));
        let registration = Input::Register(Box::new(Registration { patch }));
        assert_eq!(scene.try_input(registration, &cause()), Err(Refusal::ClaimCode), "{wrong}");
    }
    let claimed = claim(&mut scene, r#", "claim_code": "h1""#).unwrap();
    assert_eq!(told(&claimed), r#"{"change":"claimed","claimed":true,"name":"Mine"}"#);
    assert_eq!(scene.twin.profile.text("claim_code_hash"), "", "it has done its service");
    assert!(!Json::from(scene.twin.document(at(1))).to_string().contains("claim_code"));
    // Where there is no code, one that is said does no harm.
    let mut plain = Scene::new();
    plain.input(Input::Appear, &cause());
    claim(&mut plain, r#", "claim_code": "h1""#).unwrap();
}

#[test]
fn a_provisioning_key_takes_no_device_that_has_its_credential_by_another_way() {
    let register = |patch: &str| Input::Register(Box::new(Registration { patch: object(patch) }));
    let by_key = || register(r#"{"token_hash": "two", "provisioned_by": "k1"}"#);
    let bind = || {
        let change = CertificateChange::Bind { fingerprint: "sha256:ab".into(), expires: None };
        Input::SetCertificate(change)
    };
    let unpaired = r#"{"claimed": false}"#;
    let paired = r#"{"claimed": false, "token_hash": "one"}"#;
    let of_key = r#"{"claimed": false, "token_hash": "one", "provisioned_by": "k1"}"#;
    let of_other = r#"{"claimed": false, "token_hash": "one", "provisioned_by": "k2"}"#;
    for (first, binds, is_taken) in [
        (unpaired, false, false),
        (unpaired, true, true),
        (paired, false, true),
        (of_key, false, false),
        (of_other, false, true),
    ] {
        let mut scene = Scene::new();
        scene.input(register(first), &cause());
        if binds {
            scene.input(bind(), &cause());
        }
        let refused = scene.try_input(by_key(), &cause()).err();
        let expected = is_taken.then(|| Refusal::Registered(scene.twin.id.clone()));
        assert_eq!(refused, expected, "{first} {binds}");
        if is_taken {
            scene.input(register(r#"{"name": "Pump"}"#), &cause()); // a person may
        }
    }
}

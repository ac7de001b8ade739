//! The certificate of a device: one at most, which ends with a word and with the device.

use super::scene::Scene;
use super::*;
use crate::fleet::Lifecycle;

fn registered() -> Scene {
    let mut scene = Scene::new();
    let patch = object(r#"{"name": "Pump"}"#);
    scene.input(Input::Register(Box::new(Registration { patch })), &cause());
    scene
}

fn bind(fingerprint: &str, expires: Option<i64>) -> Input {
    let change = CertificateChange::Bind { fingerprint: fingerprint.into(), expires: expires.map(at) };
    Input::SetCertificate(change)
}

fn tell(scene: &mut Scene, input: Input) -> String {
    let outcome = scene.input(input, &cause());
    let events: Vec<_> = outcome.events.iter().map(|event| Json::from(event.data()).to_string()).collect();
    let stored: Twin = serde_json::from_str(&serde_json::to_string(&scene.twin).unwrap()).unwrap();
    assert_eq!(stored.profile.certificate(), scene.twin.profile.certificate());
    assert_eq!(stored.profile.certificate_end(), scene.twin.profile.certificate_end());
    events.join(" ")
}

#[test]
fn one_certificate_is_bound_at_most() {
    let mut scene = registered();
    assert_eq!((scene.twin.profile.certificate(), scene.twin.profile.certificate_end()), ("", None));
    assert_eq!(
        tell(&mut scene, bind("sha256:ab", Some(60))),
        r#"{"certificate":"bound","change":"certificate","expires_at":"1970-01-01T00:01:00.000Z","fingerprint":"sha256:ab"}"#
    );
    assert_eq!(tell(&mut scene, bind("sha256:ab", Some(60))), "", "it is bound already");
    assert_eq!(
        tell(&mut scene, bind("sha256:cd", None)),
        r#"{"certificate":"bound","change":"certificate","fingerprint":"sha256:cd"}"#
    );
    let profile = &scene.twin.profile;
    assert_eq!(
        (profile.certificate(), profile.certificate_end()),
        ("sha256:cd", None),
        "that of before has gone"
    );
    let document = Json::from(scene.twin.document(at(1))).to_string();
    assert!(!document.contains("certificate"), "{document}");
    let remove = || Input::SetCertificate(CertificateChange::Remove);
    assert_eq!(tell(&mut scene, remove()), r#"{"certificate":"removed","change":"certificate"}"#);
    assert_eq!(tell(&mut scene, remove()), "");
}

#[test]
fn a_certificate_ends_with_the_device_and_stays_while_it_is_suspended() {
    let mut scene = registered();
    tell(&mut scene, bind("sha256:ab", Some(60)));
    scene.input(Input::SetLifecycle { state: Lifecycle::Suspended, reason: "".into() }, &cause());
    assert_eq!(scene.twin.profile.certificate(), "sha256:ab");
    scene.input(Input::SetLifecycle { state: Lifecycle::Retired, reason: "".into() }, &cause());
    assert_eq!((scene.twin.profile.certificate(), scene.twin.profile.certificate_end()), ("", None));
    assert_eq!(scene.try_input(bind("sha256:cd", None), &cause()), Err(Refusal::Retired));
}

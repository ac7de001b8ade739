//! Second factors.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use twinhub_access::limits::Limited;
use twinhub_access::totp::RecoveryCode;

use super::*;
use crate::messages::accounts::{BeginTotp, ConfirmTotp, EndTotp, TotpBegun};

/// An app's code for `now` (RFC 6238).
fn code(begun: &TotpBegun, now: Timestamp) -> String {
    let digits = begun.secret().bytes().map(|digit| match digit {
        b'A'..=b'Z' => digit - b'A',
        _ => digit - b'2' + 26,
    });
    let bits: Vec<u8> = digits.flat_map(|digit| (0..5).rev().map(move |bit| digit >> bit & 1)).collect();
    let secret: Vec<u8> =
        bits.chunks(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | bit)).collect();
    let mut mac = Hmac::<Sha1>::new_from_slice(&secret).unwrap();
    mac.update(&(now.millis() / 30_000).to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let offset = usize::from(hash[19] & 0xf);
    let number = u32::from_be_bytes(hash[offset..offset + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

async fn begin(scene: &Scene, password: &str, by: &Asker) -> Result<TotpBegun, AccountRefusal> {
    let (password, by) = (Password::typed(password).unwrap(), by.clone());
    scene.answer(|reply| BeginTotp { password, by, reply }).await
}

async fn confirm(scene: &Scene, code: &str, by: &Asker) -> Result<Vec<RecoveryCode>, AccountRefusal> {
    let (code, by) = (TypedCode(code.into()), by.clone());
    scene.answer(|reply| ConfirmTotp { code, by, reply }).await
}

async fn end(scene: &Scene, user: UserId, password: Option<&str>, by: &Asker) -> Result<(), AccountRefusal> {
    let (password, by) = (password.map(|password| Password::typed(password).unwrap()), by.clone());
    scene.answer(|reply| EndTotp { user, password, by, reply }).await
}

/// Ann with a second factor.
async fn with_factor(scene: &Scene) -> (SignedIn, TotpBegun, Vec<RecoveryCode>) {
    let ann = scene.ann().await;
    let by = asker(&scene.by_session(&ann).unwrap());
    let begun = begin(scene, GOOD, &by).await.unwrap();
    let codes = confirm(scene, &code(&begun, scene.now()), &by).await.unwrap();
    scene.clock.advance(30_000);
    (ann, begun, codes)
}

#[actix::test]
async fn a_second_factor_counts_once_it_is_confirmed() {
    for scene in Scene::each().await {
        let ann = scene.ann().await;
        let by = asker(&scene.by_session(&ann).unwrap());
        let none = confirm(&scene, "123456", &by).await.unwrap_err();
        assert_eq!(none, AccountRefusal::NoTotpBegun);
        let begun = begin(&scene, GOOD, &by).await.unwrap();
        assert!(begun.address.starts_with("otpauth://totp/twinhub:ann?secret="), "{}", begun.address);
        assert_eq!(begun.secret().len(), 32);
        assert_eq!(confirm(&scene, "12345", &by).await.unwrap_err(), AccountRefusal::Code);
        assert!(scene.sign_in("ann", GOOD).await.is_ok(), "it does not count yet");
        scene.clock.advance(10 * MINUTE_MS);
        let late = confirm(&scene, &code(&begun, scene.now()), &by).await.unwrap_err();
        assert_eq!(late, AccountRefusal::NoTotpBegun);
        let begun = begin(&scene, GOOD, &by).await.unwrap();
        let first = code(&begun, scene.now());
        assert_eq!(confirm(&scene, &first, &by).await.unwrap().len(), 10);
        assert_eq!(begin(&scene, GOOD, &by).await.unwrap_err(), AccountRefusal::HasTotp);
        let scene = scene.again().await;
        assert_eq!(scene.sign_in("ann", GOOD).await.unwrap_err(), AccountRefusal::CodeNeeded);
        let seen = scene.sign_in_from(peer(1), "ann", GOOD, Some(&first)).await;
        assert_eq!(seen.unwrap_err(), AccountRefusal::Code, "it was the one that turned it on");
        scene.clock.advance(30_000);
        let next = code(&begun, scene.now());
        let signed_in = scene.sign_in_from(peer(1), "ann", GOOD, Some(&next)).await.unwrap();
        assert!(signed_in.user.has_totp);
        let scene = scene.again().await;
        let twice = scene.sign_in_from(peer(1), "ann", GOOD, Some(&next)).await;
        assert_eq!(twice.unwrap_err(), AccountRefusal::Code, "also after a restart");
    }
}

/// Both are checked at once; the second finds the code used.
#[actix::test]
async fn a_code_lets_one_in() {
    let scene = Scene::in_memory(AccountSettings::default()).await;
    let (_, begun, _) = with_factor(&scene).await;
    let code = code(&begun, scene.now());
    let (one, other) = tokio::join!(
        scene.sign_in_from(peer(1), "ann", GOOD, Some(&code)),
        scene.sign_in_from(peer(2), "ann", GOOD, Some(&code)),
    );
    assert_eq!(
        [one.is_ok(), other.is_ok()].into_iter().filter(|is_in| *is_in).count(),
        1,
        "{one:?} {other:?}"
    );
}

#[actix::test]
async fn a_recovery_code_works_once() {
    for scene in Scene::each().await {
        let (_, _, codes) = with_factor(&scene).await;
        let typed = codes[3].reveal().to_lowercase();
        let signed_in = scene.sign_in_from(peer(1), "ann", GOOD, Some(&typed)).await.unwrap();
        assert_eq!(signed_in.recovery_codes_left, Some(9));
        let scene = scene.again().await;
        let twice = scene.sign_in_from(peer(1), "ann", GOOD, Some(&typed)).await;
        assert_eq!(twice.unwrap_err(), AccountRefusal::Code);
    }
}

/// An attacker who has the password must not have as many tries as they like for the rest.
#[actix::test]
async fn codes_cannot_be_guessed() {
    let scene = Scene::in_memory(AccountSettings::default()).await;
    let (_, begun, _) = with_factor(&scene).await;
    let right = code(&begun, scene.now());
    for n in 0..5 {
        let code = (n % 2 == 1).then_some("12345"); // no code at all sets nothing back
        assert!(scene.sign_in_from(peer(66), "ann", GOOD, code).await.is_err());
    }
    let limited = scene.sign_in_from(peer(66), "ann", GOOD, Some(&right)).await.unwrap_err();
    assert!(matches!(limited, AccountRefusal::Limited(Limited::Wait { .. })), "{limited:?}");
    assert!(scene.sign_in_from(peer(1), "ann", GOOD, Some(&right)).await.is_ok());
}

/// A session alone begins none: its owner would be locked out by whoever has come by it.
#[actix::test]
async fn a_second_factor_is_begun_by_the_password() {
    let scene = Scene::in_memory(AccountSettings::default()).await;
    let ann = scene.ann().await;
    let by = asker(&scene.by_session(&ann).unwrap());
    for _ in 0..5 {
        let wrong = begin(&scene, "wrong wrong wrong", &by).await.unwrap_err();
        assert_eq!(wrong, AccountRefusal::OldPassword);
    }
    let limited = begin(&scene, GOOD, &by).await.unwrap_err();
    assert!(matches!(limited, AccountRefusal::Limited(Limited::Wait { .. })), "{limited:?}");
    scene.clock.advance(MINUTE_MS);
    let begun = begin(&scene, GOOD, &by).await.unwrap();
    assert!(confirm(&scene, &code(&begun, scene.now()), &by).await.is_ok());
}

#[actix::test]
async fn a_second_factor_ends_by_the_password_or_by_an_admin() {
    for scene in Scene::each().await {
        let (ann, _, _) = with_factor(&scene).await;
        let by = asker(&scene.by_session(&ann).unwrap());
        let user = ann.user.id;
        for wrong in [None, Some("wrong wrong wrong")] {
            assert_eq!(end(&scene, user, wrong, &by).await, Err(AccountRefusal::OldPassword), "{wrong:?}");
        }
        assert_eq!(end(&scene, user, Some(GOOD), &by).await, Ok(()));
        assert_eq!(end(&scene, user, Some(GOOD), &by).await, Err(AccountRefusal::NoTotp));
        assert!(scene.sign_in("ann", GOOD).await.is_ok());
        let begun = begin(&scene, GOOD, &by).await.unwrap();
        confirm(&scene, &code(&begun, scene.now()), &by).await.unwrap();
        assert_eq!(end(&scene, user, None, &program()).await, Ok(()), "an admin needs none");
        let words: Vec<_> = scene.done().await.into_iter().map(|(_, action, ..)| action).collect();
        assert_eq!(words.iter().filter(|action| **action == Action::TotpEnabled).count(), 2);
        assert_eq!(words.iter().filter(|action| **action == Action::TotpDisabled).count(), 2);
    }
}
